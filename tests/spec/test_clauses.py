"""Every clause is cited by a test, and every clause that is cited exists."""

import ast
import importlib.util
from pathlib import Path

TESTS = Path(__file__).parent.parent


def clauses():
    spec = importlib.util.spec_from_file_location("clauses", Path(__file__).with_name("clauses.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.CLAUSES


def cited(path):
    """The names that the tests in a file cite: arguments of `proves`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "proves":
            yield from (argument.value for argument in node.args if isinstance(argument, ast.Constant))


CITED = {name: path.name for path in sorted(TESTS.rglob("test_*.py")) for name in cited(path)}


def test_every_clause_is_proved():
    """A rule of the wire without a test is a wish."""
    assert sorted(clauses().keys() - CITED.keys()) == []


def test_every_clause_that_is_cited_exists():
    """A test that proves what nobody wrote down is a typo."""
    assert sorted(f"{CITED[name]}: {name}" for name in CITED.keys() - clauses().keys()) == []


def test_every_clause_names_its_source():
    """A rule is a sentence, and comes from somewhere."""
    assert all(clause.rule.endswith(".") and clause.source for clause in clauses().values())

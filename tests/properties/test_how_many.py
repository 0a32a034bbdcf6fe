"""How many properties there are: each is counted once, for however many nouns or codings it is tried."""

import ast
from pathlib import Path

TESTS = Path(__file__).parents[1]
LEAST = 100


def properties():
    """Each test with `@given`, and each state machine, with what it says of itself."""
    for path in sorted(TESTS.rglob("test_*.py")):
        source = path.read_text(encoding="utf-8")
        if "from hypothesis" not in source:
            continue
        for node in ast.walk(ast.parse(source)):
            if is_property(node) or is_machine(node):
                yield node.name, ast.get_docstring(node)


def is_property(node):
    is_test = isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    return is_test and any(map(is_given, node.decorator_list))


def is_machine(node):
    return isinstance(node, ast.ClassDef) and any(map(is_rule, ast.walk(node)))


def is_given(node):
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "given"


def is_rule(node):
    return isinstance(node, ast.FunctionDef) and any(
        ast.unparse(each).startswith("rule(") for each in node.decorator_list
    )


def test_there_are_enough_and_each_says_what_it_guards():
    """A hundred of them, none under the name of another, each with its rule in a sentence."""
    found = list(properties())
    names = [name for name, _ in found if name != "Timed"]  # the clock that the machines have in common
    assert len(names) >= LEAST
    assert len(set(names)) == len(names)
    assert all(docstring for _, docstring in found)

"""The tables that pages take from the code are whole: a row for each thing, and a page for each table."""

import importlib.util
import json
import re
import runpy
import typing
from pathlib import Path

import attrs
import pytest
from jsonschema import Draft202012Validator

from asap_adapters.bench import Figure
from asap_proto import limits
from asap_proto.errors import CATALOGUE
from asap_proto.model import PAYLOADS, McpToolCall, payload_name
from asap_proto.roles import AnyCommand
from asap_proto.roles.answering import ANSWERED
from asap_proto.rules.lifecycle import MOVES
from asap_proto.wire.schema import EXTENSIONS, SCHEMAS

DOCS = Path(__file__).parents[2] / "docs"


def load(name):
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / "_ext" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generated = load("generated")


def rows(text):
    """The first cells of a Markdown table, and that each line has as many cells as the head."""
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines()]
    assert {len(line) for line in lines} == {len(lines[0])}
    return [line[0].strip().strip("`") for line in lines[2:]]


def test_each_error_has_a_row():
    """The errors page lists the whole catalogue, with what to do about each."""
    text = generated.errors()
    assert rows(text) == sorted(CATALOGUE)
    assert all(row.kind.remedy in text for row in CATALOGUE.values())


def test_each_setting_has_a_row_with_its_reason():
    """The limits page lists every field of Limits."""
    text = generated.settings()
    assert rows(text) == [field.name for field in attrs.fields(limits.Limits)]
    assert "(ASAP:" not in text
    assert all(line.split("|")[3].strip() for line in text.splitlines())


def test_each_constant_has_a_row():
    """The limits page lists every constant."""
    assert set(rows(generated.constants())) == set(limits.__all__) - {"Limits"}


def test_each_command_has_a_row():
    """The page on fronts lists every command that a front is asked."""
    assert rows(generated.asked()) == [command.__name__ for command in typing.get_args(AnyCommand)]


def test_the_fourth_front_answers_each_command():
    """The performer of the page on fronts has an arm for every command."""
    page = (DOCS / "how-to/fourth-front.md").read_text(encoding="utf-8")
    arms = set(re.findall(r"case roles\.(\w+)\(", page))
    assert arms == {command.__name__ for command in typing.get_args(AnyCommand)}


def test_each_payload_has_a_row():
    """The wire page lists every payload."""
    assert rows(generated.payloads()) == list(PAYLOADS)


def test_each_scenario_of_the_live_tests_has_a_row():
    """The page on interoperating lists what each client and server is held to."""
    kept = runpy.run_path(str(DOCS.parent / "tests/interop/matrix.py"))
    assert rows(generated.meetings()) == list(kept["MATRIX"])


def test_each_extension_has_a_row():
    """The wire page lists what we read and write in extensions, each with a schema, or the noun that has one."""
    text = generated.extensions()
    assert rows(text) == list(EXTENSIONS)
    for line in text.splitlines()[2:]:
        shown = line.split("|")[3].strip().strip("`")
        if shown.removeprefix("asap schema ") not in SCHEMAS:
            Draft202012Validator.check_schema(json.loads(shown))


def test_the_wire_page_tells_how_each_payload_is_answered():
    """The table of built-in answers names every payload that has one."""
    page = (DOCS / "reference/wire.md").read_text(encoding="utf-8")
    table = page.partition("### Built-in answers")[2].partition("```json")[0]
    told = set(re.findall(r"`(\w+\.\w+)`", table))
    assert {payload_name(kind) for kind in [*ANSWERED, McpToolCall]} <= told


def test_each_figure_has_a_row(tmp_path, monkeypatch):
    """The page on measuring shows what `asap bench --json` said: also what is not held, and what was left out."""
    figures = [
        Figure("requests/s", 21034.0, "/s", "the reference", 13.25, 12, True, at_least=True, suite="server"),
        Figure("server CPU", 50.0, "us", "a bare app", 1.7, 1.5, False, suite="server"),
        Figure("end to end", None, "/s", "the reference", None, 25, None, at_least=True, note="there is none"),
    ]
    machine = {"at": "2026-01-01", "python": "CPython 3.11", "system": "Linux", "cores": 2, "load": 0.1}
    run = {"rounds": 5, "seconds": 1.0, "machine": {**machine, "packages": {"uvicorn": "1.0"}}}
    kept = tmp_path / "results.json"
    kept.write_text(json.dumps({**run, "figures": [attrs.asdict(figure) for figure in figures]}), encoding="utf-8")
    monkeypatch.setattr(generated, "RESULTS", kept)
    made, _, text = generated.figures().partition("\n\n")
    assert rows(text) == [figure.name for figure in figures]
    assert all(word in made for word in ("CPython 3.11", "5 rounds of 1 s", "uvicorn 1.0"))
    assert all(word in text for word in ("21,034 /s", "13.25", "≥ 12", "**not held**", "there is none"))


def test_a_page_without_figures_says_so(tmp_path, monkeypatch):
    """Where no run is kept there is no table."""
    monkeypatch.setattr(generated, "RESULTS", tmp_path / "none.json")
    assert "|" not in generated.figures()


def test_the_lifecycle_is_drawn_as_it_is():
    """The drawing has a box for each status and an arrow for each move, and the table says the same."""
    drawing = generated.drawing()
    assert set(re.findall(r'data-status="(\w+)"', drawing)) == set(MOVES)
    arrows = re.findall(r'data-move="(\w+) (\w+)"', drawing)
    assert sorted(arrows) == sorted((status, to) for status, onward in MOVES.items() for to in onward)
    assert rows(generated.moves()) == list(MOVES)


def test_the_command_line_page_has_each_command():
    """Every command's own help stands on the page, examples included."""
    text = generated.command_line()
    names = generated.command_names()
    assert {"demo", "serve", "send", "manifest", "validate", "schema"} <= set(names)
    assert re.findall(r"^## asap ?(.*)$", text, re.MULTILINE) == ["", *names]
    assert text.count("Examples:") >= len(names)


def test_the_environment_is_told_whole():
    """The page on serving lists each variable that `asap serve` reads."""
    page = (DOCS / "how-to/serve.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(ASAP_\w+)`", page, re.MULTILINE))
    assert told == set(re.findall(r"ASAP_\w+", generated.help_of("serve")))


def test_each_generated_table_is_shown_somewhere():
    """No page asks for a table there is none of, and none is made for nobody."""
    asked = {
        name
        for page in DOCS.rglob("*.md")
        for name in re.findall(r"^```\{generated\} (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert asked == set(generated.MAKERS)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Gives `Kept`, or `AsapError`s.", "Gives ``Kept``, or ``AsapError``\\ s."),
        ("One message (ASAP: envelope).", "One message."),
        ("``Kept`` and :class:`Kept` stay.", "``Kept`` and :class:`Kept` stay."),
    ],
)
def test_backticks_mark_code(line, shown):
    """Docstrings mark code as Markdown does; autodoc is given what docutils knows."""
    assert load("docstrings").translate([line]) == [shown]


def test_parameters_become_a_list():
    """The names under `Parameters` become a list, with the lines that carry on."""
    lines = ["Parameters:", "    me, peer: who.", "        And whom.", "", "Raises."]
    shown = ["Parameters:", "", "- ``me``, ``peer``: who.", "  And whom.", "", "Raises."]
    assert load("docstrings").translate(lines) == shown

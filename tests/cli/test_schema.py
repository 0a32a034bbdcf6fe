"""`asap schema`."""

import json

import jsonschema
import pytest

from asap_adapters.cli import main
from asap_proto.wire.schema import BESIDE, SCHEMAS

NAMES = [*SCHEMAS, *BESIDE]


def test_lists_the_nouns(capsys):
    """Without a name, every noun is listed with what it is for, and last what is none."""
    assert main(["schema", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["schemas"]
    assert [each["name"] for each in listed] == NAMES
    assert all(each["about"] for each in listed)


def test_list_for_people(capsys):
    """The list is a table for people."""
    assert main(["schema"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in NAMES)


@pytest.mark.parametrize("name", ["TaskRequest", "taskrequest", "task.request", "task_request"])
def test_one_schema_by_any_spelling(name, capsys):
    """A schema is found by its name, or a payload's name on the wire."""
    assert main(["schema", name]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["title"] == "TaskRequest"
    jsonschema.Draft202012Validator.check_schema(schema)


def test_the_schema_of_extensions(capsys):
    """What travels in extensions has a schema as well, complete in itself."""
    assert main(["schema", "extensions"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["title"] == "Extensions"
    assert {"snapshot", "parent_task_id"} <= schema["properties"].keys()
    assert "StateSnapshot" in schema["$defs"]


def test_all_schemas_at_once(capsys):
    """--all prints them as one document."""
    assert main(["schema", "--all"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == set(NAMES)


def test_writes_files(tmp_path, capsys):
    """--out writes one file for each schema, and makes the directory."""
    folder = tmp_path / "new" / "schemas"
    assert main(["schema", "--all", "--out", str(folder), "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{name}.schema.json" for name in NAMES)
    assert len(files) == len(NAMES)
    assert json.loads((folder / "Envelope.schema.json").read_text())["title"] == "Envelope"


def test_out_needs_something_to_write(tmp_path, capsys):
    """--out alone says what is missing."""
    assert main(["schema", "--out", str(tmp_path)]) == 2
    assert "--all" in capsys.readouterr().err


def test_name_and_all_are_too_much(capsys):
    """A name and --all contradict each other."""
    assert main(["schema", "Envelope", "--all"]) == 2
    assert "one of the two" in capsys.readouterr().err


def test_out_that_can_not_be_written(tmp_path, capsys):
    """A directory that can't be made is told."""
    (tmp_path / "file").write_text("")
    assert main(["schema", "Envelope", "--out", str(tmp_path / "file")]) == 1
    assert "can't write" in capsys.readouterr().err

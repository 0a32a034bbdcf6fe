"""`asap validate`: every fault, with its JSON path."""

import io
import json
import sys

import pytest

from asap_adapters.cli import main

ENVELOPE = {
    "id": "e-1",
    "asap_version": "0.1",
    "timestamp": "2026-01-02T03:04:05Z",
    "sender": "urn:asap:agent:a",
    "recipient": "urn:asap:agent:b",
    "payload_type": "task.request",
    "payload": {"conversation_id": "c", "skill_id": "echo", "input": {}},
}
REQUEST = {"jsonrpc": "2.0", "id": "1", "method": "asap.send", "params": {"envelope": ENVELOPE}}
MANIFEST = {
    "id": "urn:asap:agent:a",
    "name": "A",
    "version": "1.0.0",
    "description": "",
    "capabilities": {"skills": [{"id": "echo", "description": "Repeat"}]},
    "endpoints": {"asap": "https://a.example/asap"},
}
WRONG_ENVELOPE = {**ENVELOPE, "sender": "me", "extra": 1, "payload": {"conversation_id": 5, "input": []}}


@pytest.fixture
def check(tmp_path, capsys):
    """Validates one document; answers the exit code, its sort, and its faults as (path, type) pairs."""

    def run(document, *words):
        file = tmp_path / "document.json"
        file.write_text(document if isinstance(document, str) else json.dumps(document))
        exit_code = main(["validate", str(file), "--json", *words])
        [found] = json.loads(capsys.readouterr().out)["files"]
        return exit_code, found["as"], [(each["path"], each["type"]) for each in found["faults"]]

    return run


@pytest.mark.parametrize(
    ("document", "sort"),
    [(ENVELOPE, "envelope"), (REQUEST, "request"), (MANIFEST, "manifest"), ([REQUEST, REQUEST], "batch")],
)
def test_valid_documents_are_recognised(check, document, sort):
    """Each sort of document is told by its looks, and passes."""
    assert check(document) == (0, sort, [])


def test_every_fault_of_an_envelope(check):
    """Faults of the envelope and of its payload are told together."""
    exit_code, sort, faults = check(WRONG_ENVELOPE)
    assert (exit_code, sort) == (1, "envelope")
    assert sorted(faults) == [
        ("$.extra", "extra_forbidden"),
        ("$.payload.conversation_id", "string_type"),
        ("$.payload.input", "dict_type"),
        ("$.payload.skill_id", "missing"),
        ("$.sender", "urn"),
    ]


def test_faults_of_a_request_reach_into_its_envelope(check):
    """Paths start at the document's root, however deep the fault."""
    document = {**REQUEST, "id": 1.5, "params": {"envelope": {**ENVELOPE, "recipient": 7}}}
    assert check(document) == (1, "request", [("$.id", "rpc_id"), ("$.params.envelope.recipient", "string_type")])


def test_faults_of_a_batch_name_the_item(check):
    """In a batch each path starts with the item's index."""
    assert check([REQUEST, {**REQUEST, "method": "asap.push"}]) == (
        1,
        "batch",
        [("$[1].method", "asap:protocol/unknown_method")],
    )


def test_an_empty_batch(check):
    """An empty array is no batch."""
    assert check([])[0] == 1


def test_faults_of_a_manifest(check):
    """A manifest's faults are found down to its skills."""
    document = {**MANIFEST, "version": "new", "capabilities": {"skills": [{"id": 1}]}}
    assert check(document)[2] == [
        ("$.version", "version"),
        ("$.capabilities.skills[0].id", "string_type"),
        ("$.capabilities.skills[0].description", "missing"),
    ]


def test_more_faults_than_a_peer_is_told(check):
    """A document of one's own is told all of them, however many."""
    document = {**MANIFEST, "capabilities": {"skills": [{} for _ in range(30)]}}
    assert len(check(document)[2]) == 60


def test_unknown_fields_of_a_newer_peer(check):
    """--lenient passes over unknown fields; those that newer releases are known to add pass anyway."""
    assert check({**MANIFEST, "ttl_seconds": 300})[0] == 0
    newer = {**MANIFEST, "mood": "good"}
    assert check(newer) == (1, "manifest", [("$.mood", "extra_forbidden")])
    assert check(newer, "--lenient")[0] == 0


def test_any_noun_by_name(check):
    """--as takes any noun that has a schema, by any of its spellings."""
    payload = ENVELOPE["payload"]
    assert check(payload, "--as", "TaskRequest") == (0, "TaskRequest", [])
    assert check(payload, "--as", "task.request") == (0, "TaskRequest", [])
    assert check({"type": "text", "content": "hi"}, "--as", "textpart") == (0, "TextPart", [])


def test_sort_that_contradicts_the_looks(check):
    """--as is believed before the looks."""
    exit_code, sort, faults = check(MANIFEST, "--as", "envelope")
    assert (exit_code, sort) == (1, "envelope")
    assert ("$.sender", "missing") in faults


@pytest.mark.parametrize("text", ["{bad", "", "\ufeff{}", "[" * 200 + "]" * 200])
def test_what_is_no_json(check, text):
    """Text that is no JSON, or too deep, is one fault at the root."""
    assert check(text) == (1, "JSON text", [("$", "json_invalid")])


def test_keys_that_stand_twice(check):
    """Two senders in one request: parsers would differ on who speaks."""
    text = json.dumps(REQUEST).replace('"sender"', '"sender": "urn:asap:agent:z", "sender"')
    assert check(text)[2] == [("$.params.envelope", "json_invalid")]


def test_several_files_for_people(tmp_path, capsys):
    """Each file has its verdict; one that is invalid makes exit code 1."""
    (tmp_path / "good.json").write_text(json.dumps(ENVELOPE))
    (tmp_path / "bad.json").write_text(json.dumps(WRONG_ENVELOPE))
    assert main(["validate", str(tmp_path / "good.json"), str(tmp_path / "bad.json")]) == 1
    shown = capsys.readouterr().out
    assert "good.json: valid envelope" in shown
    assert "bad.json: not a valid envelope, 5 faults" in shown
    assert "$.payload.skill_id         is required" in shown


def test_stdin(capsys, monkeypatch):
    """- is stdin."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(ENVELOPE).encode())))
    assert main(["validate", "-"]) == 0
    assert capsys.readouterr().out == "stdin: valid envelope\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["validate"], "Name files"),
        (["validate", "nowhere.json"], "can't read nowhere.json"),
        (["validate", "--jsn"], "Unknown option"),
        (["validate", "-", "-"], "once"),
        (["validate", "--as", "poem", __file__], "no such sort"),
    ],
)
def test_usage(words, says, capsys):
    """What can't be done is exit code 2, with what to do instead."""
    assert main(words) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("text", ['{"a": 1}', "5", "null"])
def test_what_looks_like_nothing(text, tmp_path, capsys):
    """A document without looks needs --as."""
    (tmp_path / "odd.json").write_text(text)
    assert main(["validate", str(tmp_path / "odd.json")]) == 2
    assert "--as envelope" in capsys.readouterr().err

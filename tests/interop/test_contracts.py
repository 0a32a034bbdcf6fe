"""Envelopes, manifests and frames of JSON-RPC, by the models of the releases themselves, in both directions.

All that is drawn for one release goes to it at once, so what fails is not shrunk; it is shown whole.
"""

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asap_adapters.testing import strategies as asap
from asap_proto.errors import AsapError
from asap_proto.limits import ID_LENGTH, Limits
from asap_proto.model import PAYLOADS, SPELLINGS
from asap_proto.wire.json import dump, load
from asap_proto.wire.manifests import enclosable, read_manifest
from asap_proto.wire.nouns import decode_envelope, encode
from asap_proto.wire.replies import read_answer
from asap_testkit.schemas import documents
from interop import excused

DEPTH = Limits().json_depth
READ = {"Envelope": decode_envelope, "Manifest": read_manifest}
WRITTEN = {
    "Envelope": asap.envelopes().map(encode),
    "Manifest": asap.manifests().map(encode),
    "JsonRpcRequest": asap.rpc_requests(),
    "JsonRpcResponse": asap.rpc_answers(),
    "JsonRpcErrorResponse": asap.rpc_errors(),
}

_LETTER = {
    "asap_version": "0.1",
    "sender": "urn:asap:agent:a",
    "recipient": "urn:asap:agent:b",
    "payload_type": "anything",
    "payload": {},
}
_PUBLISHED = {
    "id": "urn:asap:agent:a",
    "name": "A",
    "version": "1.0",
    "description": "",
    "capabilities": {},
    "endpoints": {"asap": "http://a/asap"},
}
_LONG = "x" * (ID_LENGTH + 1)
_ASKED = {"conversation_id": "c", "skill_id": "s"}
_DONE = {"task_id": "t", "status": "completed", "result": {}, "metrics": {"duration_ms": "few"}}
_NEWS = {"task_id": "t", "update_type": "progress", "status": "working", "progress": {"percent": True}}
#: What no schema leads to: a document for each rule of which only one side knows, whatever is drawn besides.
ODD = {
    "Envelope": [
        *({**_LETTER, who: name} for who in ("sender", "recipient") for name in ("a", "urn:asap:agent:a\n")),
        *({**_LETTER, field: _LONG} for field in ("id", "correlation_id", "trace_id")),
        {**_LETTER, "payload_type": "TaskRequest", "payload": _ASKED},
        {**_LETTER, "payload_type": "task.update", "payload": _NEWS},
    ],
    "Manifest": [
        {**_PUBLISHED, "id": "urn:asap:agent:a\n"},
        {**_PUBLISHED, "auth": {"schemes": ["oauth2"]}},
    ],
}
#: What releases do not take, whatever is drawn besides.
OURS = {
    "Envelope": [
        {**_LETTER, "payload_type": "task.request", "payload": {**_ASKED, "input": {}, "config": {"mood": "calm"}}},
        {**_LETTER, "payload_type": "task.response", "payload": _DONE, "correlation_id": "e"},
        {**_LETTER, "payload_type": "task.response", "payload": {**_DONE, "metrics": None}},
    ],
}


def drawn(strategy: st.SearchStrategy[Any], times: int = 1) -> list[Any]:
    """So many examples as the profile says, times this."""
    kept: list[Any] = []

    @settings(max_examples=settings().max_examples * times)
    @given(strategy)
    def keep(one: Any) -> None:
        kept.append(one)

    keep()
    return kept


def arrived(value: Any) -> Any:
    """A value after the wire."""
    return load(dump(value), depth=DEPTH)


def bare(schema: Any) -> Any:
    """A schema without its words, which differ between releases that say the same."""
    if isinstance(schema, list):
        return [bare(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: bare(one) for name, one in value.items()} if key in ("properties", "$defs") else bare(value)
        for key, value in schema.items()
        if key not in ("title", "description", "default")
    }


@st.composite
def letters(draw: st.DrawFn, frame: dict[str, Any], payloads: dict[str, Any]) -> dict[str, Any]:
    """Envelopes of a release: its frame, and in it one of its payloads under any name, or anything."""
    letter = {**draw(documents(frame)), "sender": draw(asap.urns()), "recipient": draw(asap.urns())}
    kind = draw(st.sampled_from([*payloads, None]))
    if kind is None:
        return {**letter, "payload": draw(asap.json_objects())}
    name = draw(st.sampled_from([name for name, other in SPELLINGS.items() if other.__name__ == kind]))
    return {**letter, "payload_type": name, "payload": draw(documents(payloads[kind]))}


@cache
def theirs(name: str, schemas: str) -> list[Any]:
    """Documents by the schemas of a release; releases whose schemas are the same share them."""
    schema, payloads = json.loads(schemas)
    if name == "Envelope":
        return [arrived(one) for one in drawn(letters(schema, payloads), 2)]
    made = drawn(st.tuples(documents(schema), asap.urns()))
    return [arrived({**one, "id": urn}) for one, urn in made]


@cache
def ours(name: str) -> list[Any]:
    """Documents that we send, the same for each release."""
    return [arrived(one) for one in drawn(WRITTEN[name], 4 if name == "Envelope" else 1)] + OURS.get(name, [])


def read(name: str, document: Any) -> tuple[Any, list[str]]:
    """What our decoder makes of a document, or what it finds wrong with it."""
    try:
        return READ[name](document), []
    except AsapError as error:
        return None, [f"{fault.path} {fault.type}" for fault in error.faults]


@pytest.fixture
def client(references, release):
    return references.client(release)


def told(client, name, payloads=()) -> str:
    """What the release says of its own model, and of the payloads in it."""
    schema, *inner = [bare(client.ask(op="schema", name=each)["schema"]) for each in (name, *payloads)]
    return json.dumps([schema, dict(zip(payloads, inner, strict=True))], sort_keys=True)


def check_sent(client, release, name, sent) -> set[excused.Row]:
    """Let the release judge what we have written: the rows that were needed."""
    rows, used = excused.rows(excused.SENT_BY_US, release, name), set()
    verdicts = client.ask(op="check", name=name, documents=sent)["faults"]
    for document, faults in zip(sent, verdicts, strict=True):
        needed = excused.among(rows, faults)
        assert needed is not None, (faults, document)
        used |= needed
    return used


@pytest.mark.parametrize("name", READ)
def test_what_a_release_takes_is_read(client, release, name) -> None:
    """Our decoder takes what the release takes, and what we make of it the release takes again, or a row says why."""
    payloads = [kind.__name__ for kind in PAYLOADS.values()] if name == "Envelope" else ()
    sent = theirs(name, told(client, name, payloads)) + ODD[name]
    verdicts = client.ask(op="check", name=name, documents=sent)["faults"]
    taken = [document for document, faults in zip(sent, verdicts, strict=True) if not faults]
    assert len(taken) > len(sent) / 2
    rows, used, back = excused.rows(excused.SENT_BY_THEM, release, name), set(), []
    for document in taken:
        noun, faults = read(name, document)
        needed = excused.among(rows, faults)
        assert needed is not None, (faults, document)
        used |= needed
        if not faults:
            back.append(arrived(encode(noun)))
    assert used == rows, "a row excuses nothing"
    check_sent(client, release, name, back)


@pytest.mark.parametrize("name", WRITTEN)
def test_what_we_send_is_taken_by_a_release(client, release, name) -> None:
    """The release's own model takes what we write, or a row says why not."""
    used = check_sent(client, release, name, ours(name))
    assert used == excused.rows(excused.SENT_BY_US, release, name), "a row excuses nothing"


def test_a_row_excuses_one_rule_alone(references) -> None:
    """What breaks another rule of the newest release is not excused, though that is told at the same path."""
    both = {"request_id": "r", "success": True, "result": {}, "error": "none"}
    letter = {**_LETTER, "payload_type": "mcp.tool_result", "payload": both, "correlation_id": "e"}
    with pytest.raises(AssertionError, match="error must be None"):
        check_sent(references.client("newest"), "newest", "Envelope", [letter])


def test_an_enclosed_manifest_is_taken_by_the_newest(references) -> None:
    """What is signed of a manifest has every field that the newest release knows, and each as it wants it."""
    sent = [arrived(enclosable(manifest)) for manifest in drawn(asap.manifests())]
    verdicts = references.client("newest").ask(op="check", name="Manifest", documents=sent)["faults"]
    assert verdicts == [[]] * len(sent)
    known = references.client("newest").ask(op="schema", name="Manifest")["schema"]["properties"].keys()
    assert {*sent[0], "signature"} == known


def test_an_error_of_a_release_is_understood(client) -> None:
    """Whatever its model of an error holds, our client hears an error, with the peer's own number and data."""
    name = "JsonRpcErrorResponse"
    [schema, _] = json.loads(told(client, name))
    sent = [arrived(one) for one in drawn(documents(schema))]
    assert client.ask(op="check", name=name, documents=sent)["faults"] == [[]] * len(sent)
    for document in sent:
        with pytest.raises(AsapError) as heard:
            read_answer(document, id="req-1")
        assert heard.value.facts["rpc_code"] == document["error"]["code"]
        assert heard.value.facts["data"] == (document["error"].get("data") or {})

"""What a request is taken for, and whether it is taken at all."""

from datetime import timedelta

import pytest

from asap_proto.limits import Limits
from asap_proto.model import McpToolCall, TaskCancel, TaskRequest
from asap_proto.roles.judging import Judge, Judged, note_of
from asap_proto.rules.identity import Identity
from asap_proto.stores import Job, NonceClaim, Slot
from asap_testkit import CALLER, ME, NOW, echo_manifest, error_of, fixed_sources, letter
from asap_testkit.receiving import admitted

AT = NOW.timestamp()
TASK = "task_01KDYAK3830000000000000001"


def judged(envelope, *, key=None, caller=None, size=7, **options):
    rules = {"handles": (), "nonces": "accept", "check_recipient": False, **options}
    return Judge(echo_manifest(), fixed_sources(), Limits(), **rules).judge(envelope, key, admitted(caller), size)


@pytest.mark.parametrize("caller", [None, CALLER])
def test_a_request_for_a_skill(caller):
    """Is a job of its own, as deep as it says, by whoever sent it; nothing more is claimed than it brings."""
    envelope = letter()
    job = Job(envelope.payload, envelope, TASK, 0, caller, "echo", None, AT, 7)
    assert judged(envelope, caller=caller) == Judged(job, "echo", NOW, None, "192.0.2.1")
    envelope = letter(extensions={"nonce": "n", "task_depth": 3})
    found = judged(envelope, key="k", caller=caller)
    # Stores keep digests while an agent is brought up to date: the next release has to know them again.
    slot = Slot(ME, "k", bytes.fromhex("4d72abdcc7635f5ec802e09d02477dcc"))
    job = Job(envelope.payload, envelope, TASK, 3, caller, "echo", slot, AT, 7)
    assert found == Judged(job, "echo", NOW, NonceClaim(ME, "n", AT + 600.0), "192.0.2.1")


def test_a_call_of_a_tool_is_a_request_for_the_skill_of_that_name():
    """Of no conversation; a tool that is no skill is answered without a handler."""
    found = judged(letter(McpToolCall("r", "echo", {"a": 1})))
    assert (found.job.payload, found.job.name, found.name) == (TaskRequest("", "echo", {"a": 1}), "echo", "echo")
    call = McpToolCall("r", "other", {})
    found = judged(letter(call))
    assert (found.job.payload, found.job.name, found.name) == (call, "mcp.tool_call", None)


def test_what_is_answered_without_a_handler():
    """Is named by its payload, and no task, so that its depth is nobody's."""
    found = judged(letter(TaskCancel("t"), extensions={"task_depth": 99}))
    assert (found.name, found.job.name, found.job.depth) == (None, "task.cancel", 0)


@pytest.mark.proves("freshness.window")
@pytest.mark.parametrize(("seconds", "passes"), [(-300, True), (-301, False), (30, True), (31, False)])
def test_the_window_has_both_its_ends(seconds, passes):
    """What is as old, or as far ahead, as it may be is taken."""
    error = error_of(judged, letter(at=NOW + timedelta(seconds=seconds)))
    assert (error is None) == passes


@pytest.mark.parametrize(
    ("envelope", "options", "code", "path"),
    [
        (letter(recipient=ME), {"check_recipient": True}, "asap:protocol/wrong_recipient", "$.recipient"),
        (letter(at=None), {"nonces": "require"}, "asap:protocol/invalid_timestamp", "$.timestamp"),
        (letter(), {"nonces": "require"}, "asap:protocol/invalid_nonce", "$.extensions.nonce"),
        (letter(TaskRequest("c", "x", {})), {}, "asap:capability/skill_not_found", "$.payload.skill_id"),
        (letter({"a": 1}, payload_type="x"), {}, "asap:transport/handler_not_found", "$.payload_type"),
        (letter(), {"caller": Identity("urn:asap:agent:other")}, "asap:auth/sender_mismatch", "$.sender"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_taken(envelope, options, code, path):
    """By its code, its path, and a sentence."""
    error = error_of(judged, envelope, **options)
    assert (error.code, error.path) == (code, path)
    assert error.message


@pytest.mark.parametrize(("id", "told"), [(None, ""), ("x" * 64, "x" * 64), ("x" * 65, "x" * 64)])
def test_who_was_not_believed_is_noted_with_its_envelope(id, told):
    """By the beginning of the id that it has."""
    envelope = letter(id=id)
    error = error_of(judged, envelope, caller=Identity("urn:asap:agent:other"))
    words = f"(caller=urn:asap:agent:other, envelope={told}, sender={ME})"
    assert note_of(error, envelope, Identity("urn:asap:agent:other")).endswith(words)

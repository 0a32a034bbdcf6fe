"""What holds for each client and each server alike, ours and released; and ours among themselves."""

from collections import Counter

import pytest

from interop.matrix import RELEASES
from interop.ours import AGENT
from interop.relay import Relay
from interop.scenarios import CALLER, ECHOES, REFUSALS, REQUEST_MOST, TOKEN, noise, task

BEARER = {"token": TOKEN, "sender": CALLER}
NO_SIZE_LIMIT = {"0.1.0"}

#: What an agent of ours answers to each payload beside a task request: the payload of its reply, or a code.
PAYLOADS = {
    "task.cancel": ({"task_id": "task_unknown"}, "asap:task/not_found"),
    "state.query": ({"task_id": "task_unknown"}, "asap:task/not_found"),
    "state.restore": ({"task_id": "task_unknown", "snapshot_id": "snap_unknown"}, "asap:task/not_found"),
    "message.send": (
        {"task_id": "task_unknown", "message_id": "m", "sender": CALLER, "role": "user", "parts": ["part"]},
        "asap:task/not_found",
    ),
    "task.update": (
        {"task_id": "task_unknown", "update_type": "progress", "status": "working", "progress": {"percent": 1}},
        "asap:protocol/unsolicited",
    ),
    "artifact.notify": ({"artifact_id": "a", "task_id": "task_unknown"}, "asap:protocol/unsolicited"),
    "task.response": ({"task_id": "task_unknown", "status": "completed"}, "asap:protocol/unsolicited"),
    "mcp.tool_call": ({"request_id": "r", "tool_name": "echo", "arguments": {"n": 1}}, "mcp.tool_result"),
    "mcp.resource_fetch": ({"resource_uri": "asap:artifact:t/a"}, "asap:resource/not_found"),
    "mcp.tool_result": ({"request_id": "r", "success": True, "result": {}}, "asap:transport/handler_not_found"),
    "mcp.resource_data": (
        {"resource_uri": "file:///etc/hosts", "content": {"text": "hi"}},
        "asap:transport/handler_not_found",
    ),
}


def result(outcome):
    """What came of a task that was asked for."""
    assert outcome.get("ok"), outcome
    return outcome["envelope"]["payload"]["result"]


# -- every pair -------------------------------------------------------------------------------------------------------


def test_every_payload_is_answered(pair) -> None:
    """Our servers have an answer for each; a released one says that it has no handler."""
    url = pair.serve()
    outcomes = {
        # Since 1.4 a payload that answers something has to say what.
        name: pair.ask(op="send", url=url, envelope={"payload_type": name, "payload": payload, "correlation_id": "c"})
        for name, (payload, _) in PAYLOADS.items()
    }
    if pair.server in RELEASES:
        number = -32012 if pair.server == "newest" else -32601
        assert Counter(outcome["number"] for outcome in outcomes.values()) == {number: len(PAYLOADS)}
    else:
        said = {
            name: outcome["envelope"]["payload_type"] if outcome.get("ok") else outcome["code"]
            for name, outcome in outcomes.items()
        }
        assert said == {name: code for name, (_, code) in PAYLOADS.items()}


def test_a_lost_answer_is_asked_for_again(pair) -> None:
    """Our clients ask a second time; our servers then give the answer again, and do not run the skill again."""
    url = pair.serve()
    skill = "echo" if pair.server in RELEASES else "count"
    wanted = {"payload": {"conversation_id": "c", "skill_id": skill, "input": {"lost": 1}}}
    before = result(pair.ask(op="send", url=url, envelope=wanted))
    with Relay(url, loses=True) as relay:
        outcome = pair.ask(op="send", url=relay.url, envelope=wanted, attempts=3)
    if pair.client in RELEASES:
        assert (outcome["ok"], outcome["error"], relay.connections) == (False, "ASAPConnectionError", 1)
    else:
        assert result(outcome) == (before if pair.server in RELEASES else {"runs": before["runs"] + 1})
        assert relay.connections == 2


def test_a_body_at_the_limit(pair) -> None:
    """A request just below what the server takes is answered, one just above is refused."""
    url = pair.serve()
    below, above = (noise(REQUEST_MOST + more) for more in (-2000, 100))
    assert result(pair.ask(op="send", url=url, envelope=task({"text": below}))) == {"echoed": {"text": below}}
    outcome = pair.ask(op="send", url=url, envelope=task({"text": above}))
    assert outcome["ok"] is (pair.server in NO_SIZE_LIMIT), str(outcome)[:300]


def test_one_connection_serves_and_tells_the_version(pair) -> None:
    """Three requests of a client share a connection; where a version was offered, and only there, one is chosen."""
    with Relay(pair.serve()) as relay:
        outcome = pair.ask(op="send", url=relay.url, envelope=task({"n": 1}), times=3)
        assert result(outcome) == {"echoed": {"n": 1}}
    assert relay.connections == 1
    offered = b"asap-version:" in relay.asked.lower()
    assert offered is (pair.client == "newest" or pair.client not in RELEASES)
    chosen = b"asap-version:" in relay.answered.lower()
    assert chosen is (offered and (pair.server == "newest" or pair.server not in RELEASES))


# -- ours among themselves --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", ECHOES, ids=lambda scenario: scenario.name)
def test_a_request_is_answered(our_pair, scenario) -> None:
    """Each front gets its echo from each."""
    outcome = our_pair.ask(op="send", url=our_pair.serve(), envelope=scenario.envelope)
    assert result(outcome) == {"echoed": scenario.envelope["payload"]["input"]}
    assert outcome["envelope"]["sender"] == AGENT


@pytest.mark.parametrize("scenario", REFUSALS, ids=lambda scenario: scenario.name)
def test_a_request_is_refused(our_pair, scenario) -> None:
    """By the code of the catalogue, and its number."""
    outcome = our_pair.ask(op="send", url=our_pair.serve(), envelope=scenario.envelope)
    number, code = scenario.outcome.split()
    assert (outcome["ok"], outcome["number"], outcome["code"]) == (False, int(number), code)


def test_a_failed_handler_is_told(our_pair) -> None:
    """As an internal error, without its text."""
    letter = {"payload": {"conversation_id": "conversation", "skill_id": "boom", "input": {}}}
    outcome = our_pair.ask(op="send", url=our_pair.serve(), envelope=letter)
    assert outcome["number"] == -32603
    assert "as it was asked to" not in str(outcome)


def test_the_manifest_is_read(our_pair) -> None:
    """With the skills that the agent has."""
    outcome = our_pair.ask(op="manifest", url=our_pair.serve())
    assert outcome.get("ok"), outcome
    assert [skill["id"] for skill in outcome["manifest"]["capabilities"]["skills"]] == [
        "echo",
        "steps",
        "boom",
        "count",
    ]


def test_many_are_sent(our_pair) -> None:
    """A batch comes back in order, its failure in its place."""
    letters = [task({"n": number}) for number in range(5)]
    letters[2] = {"payload_type": "Nope", "payload": {}}
    outcome = our_pair.ask(op="batch", url=our_pair.serve(), envelopes=letters)
    assert outcome.get("ok"), outcome
    replies = outcome["envelopes"]
    assert [reply.get("ok", True) for reply in replies] == [True, True, False, True, True]
    assert [reply["payload"]["result"]["echoed"]["n"] for reply in replies[:2] + replies[3:]] == [0, 1, 3, 4]


def test_a_stream_is_followed(our_pair) -> None:
    """From the first move of the task to its response."""
    outcome = our_pair.ask(op="stream", url=our_pair.serve(), input={"n": 1})
    assert outcome.get("ok"), outcome
    told = outcome["payloads"]
    assert [one["is"] for one in told] == ["TaskUpdate", "TaskUpdate", "TaskResponse"]
    assert told[-1]["result"] == {"echoed": {"n": 1}}


def test_a_nonce_counts_once(our_pair) -> None:
    """The second use is refused."""
    letter = task({}, extensions={"nonce": f"from-{our_pair.client}-to-{our_pair.server}"})
    first, second = (our_pair.ask(op="send", url=our_pair.serve(), envelope=letter, nonces=False) for _ in range(2))
    assert first.get("ok"), first
    assert (second["number"], second["code"]) == (-32602, "asap:protocol/invalid_nonce")


@pytest.mark.parametrize(("token", "right"), [(TOKEN, True), ("wrong", False), (None, False)])
def test_a_token_is_shown(our_pair, token, right) -> None:
    """The right one is let in."""
    outcome = our_pair.ask(op="send", url=our_pair.serve(**BEARER), envelope=task({}), token=token)
    assert outcome["ok"] is right
    assert right or outcome["data"]["status_code"] == 401


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_request_is_compressed(our_pair, coding) -> None:
    """In each coding; what comes over the wire is less than the text."""
    text = "sixteen letters " * 1000
    with Relay(our_pair.serve()) as relay:
        outcome = our_pair.ask(op="send", url=relay.url, envelope=task({"text": text}), compress=coding)
    assert result(outcome) == {"echoed": {"text": text}}
    assert len(relay.asked) < len(text)


def test_an_answer_is_compressed(our_pair) -> None:
    """Where the agent is told to, and the client says what it takes."""
    text = "sixteen letters " * 1000
    with Relay(our_pair.serve(compress=True)) as relay:
        outcome = our_pair.ask(op="send", url=relay.url, envelope=task({"text": text}))
    assert result(outcome) == {"echoed": {"text": text}}
    assert len(relay.answered) < len(text)


def test_a_quota_is_spent(our_pair) -> None:
    """What is beyond it is refused with the time to wait."""
    url = our_pair.serve_anew(rate_limit="3/minute")
    outcomes = [our_pair.ask(op="send", url=url, envelope=task({})) for _ in range(4)]
    assert [outcome["ok"] for outcome in outcomes] == [True, True, True, False]
    assert outcomes[3]["error"] == "RateLimited"
    assert 0 < outcomes[3]["facts"]["retry_after"] <= 60

"""What released servers answered, given to our client; what released clients sent, given to our server."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import pytest

from asap_adapters._shared.inflate import ENCODINGS, inflater
from asap_proto.errors import AsapError, PeerTimedOut
from asap_proto.http import HttpResponse, TransportFailure
from asap_proto.model import Envelope, TaskRequest
from asap_proto.roles import ClientRole, Pause, Steps, Transmit
from asap_proto.wire.body import BodyGauge
from asap_testkit import alone
from vectors import deviations, records
from vectors.performing import CALLER, ME, Server, sources
from vectors.test_server import ENVELOPE

HEARD = records.answers("reply", "manifest")
ANSWERED = records.answers("answered")
SENT = records.answers("sent")

TROUBLES = {
    "hangs up": TransportFailure("broken", "the peer hung up"),
    "never answers": TransportFailure("timed_out", "nothing came"),
    "stops in mid-body": TransportFailure("timed_out", "the rest did not come"),
}


def tell(steps: Steps[Any], answers: Sequence[HttpResponse | TransportFailure]) -> tuple[Any, int]:
    """What comes of a story that hears these answers in turn, the last for ever; and how often it sent."""
    sent, answer = 0, None
    while True:
        try:
            command = steps.send(answer)
        except StopIteration as finish:
            return finish.value, sent
        if isinstance(command, Transmit):
            answer = answers[min(sent, len(answers) - 1)]
            sent += 1
        else:
            assert isinstance(command, Pause)
            answer = None


def heard(told: Mapping[str, Any]) -> HttpResponse:
    """A recorded answer as a front hands it over: its body as it was before it was encoded."""
    headers = {name.lower(): value for name, value in told.get("headers", ())}
    body = records.body_of(told)
    encoding = headers.get("content-encoding", "identity")
    assert encoding in ("identity", *ENCODINGS)
    return HttpResponse(told["status"], headers, inflater(encoding, BodyGauge(1_000_000)).feed(body))


def client(row: Mapping[str, Any]) -> ClientRole:
    return ClientRole(CALLER, sources(row["at"]))


def letter(request: Mapping[str, Any]) -> Envelope:
    """A task request with the names of the recorded one."""
    payload = TaskRequest("conv_1", "echo", {"message": "hi"})
    return Envelope(
        id=request["id"],
        sender=request["sender"],
        recipient=request["recipient"],
        payload_type="task.request",
        payload=payload,
        trace_id=request["trace_id"],
    )


def outcome(steps: Steps[Any], answers: Sequence[HttpResponse | TransportFailure]) -> tuple[str, int]:
    """Ours, in words: `accepted`, `remote NUMBER`, or `refused` and the code of our own."""
    counted = list(answers)
    try:
        _, sent = tell(steps, counted)
    except PeerTimedOut:
        return "timeout", 0
    except AsapError as error:
        number = error.facts.get("rpc_code")
        return f"refused {error.code}" if number is None else f"remote {number}", 0
    return "accepted", sent


def agrees(theirs: str, ours: str) -> bool:
    """Theirs call whatever they can't take a trouble of the connection; ours say what it was."""
    if theirs in ("connection", "correlation", "invalid"):
        return ours.startswith("refused")
    return theirs == ours


@pytest.mark.parametrize("row", [pytest.param(row, id=row["name"]) for row in HEARD])
def test_canned_answer_is_taken_alike(row: Mapping[str, Any]) -> None:
    """Our client takes an answer as the releases' clients do, or the table says why not."""
    theirs = next(row["taken"][release] for release in ("1.0.0", *row["taken"]) if release in row["taken"])
    answers = [TROUBLES[row["trouble"]]] if "trouble" in row else [heard(told) for told in row["responses"]]
    role = client(row)
    steps: Steps[Any] = alone(role.discover()) if row["kind"] == "manifest" else role.send(letter(row["request"]))
    ours, sent = outcome(steps, answers)
    deviation = deviations.row_for(deviations.CLIENT, row["name"])
    if deviation is None:
        assert agrees(theirs, ours), f"reference: {theirs}; ours: {ours}"
    else:
        assert not agrees(theirs, ours), "the row is no longer needed"
        assert ours == deviation.verdict
    if ours == "accepted":
        assert sent == row.get("attempts", 1)


@pytest.mark.parametrize("row", [pytest.param(row, id=row["name"]) for row in ANSWERED])
def test_real_answer_is_understood(row: Mapping[str, Any]) -> None:
    """What a released server really answered is taken for what it is: a reply, or the error it reports."""
    answer, request = heard(row["responses"][0]), row["request"]
    told = json.loads(answer.body) if answer.body.startswith(b"{") else {}
    if request is None:
        request = {"id": "01J", "sender": CALLER, "recipient": ME, "trace_id": None, "rpc_id": None}
    elif "id" in told and told["id"] == request["rpc_id"]:
        # Ours numbers its requests in its own way; what matters is that the reply bears the request's.
        told["id"] = "req-1"
        answer = attrs.evolve(answer, body=json.dumps(told).encode())
    if request["id"] is None and "result" in told:
        request = {**request, "id": told["result"]["envelope"]["correlation_id"]}
    ours, _ = outcome(client(row).send(letter(request)), [answer])
    deviation = deviations.row_for(deviations.CLIENT, row["name"])
    theirs = expected(answer.status, told)
    if deviation is None:
        assert agrees(theirs, ours), f"expected: {theirs}; ours: {ours}"
    else:
        assert not agrees(theirs, ours), "the row is no longer needed"
        assert ours == deviation.verdict


def expected(status: int, told: Mapping[str, Any]) -> str:
    """What the answer says, by ASAP: clients: an HTTP refusal, an error, or a reply."""
    if not 200 <= status < 300:
        return "connection"
    return f"remote {told['error']['code']}" if "error" in told else "accepted"


@pytest.mark.parametrize("row", [pytest.param(row, id=row["name"]) for row in SENT])
def test_sent_request_is_answered(row: Mapping[str, Any]) -> None:
    """What a released client sent is answered so that every released client takes the reply."""
    server = Server("full", row["at"])
    headers = {name.lower(): value for name, value in row["headers"]}
    answer = server.exchange("POST", "/asap", headers, records.body_of(row))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert "content-encoding" not in answer.headers
    told = json.loads(answer.body)
    assert told["jsonrpc"] == "2.0"
    assert told["id"].startswith("req-")
    if "unknown_payload" in row["name"]:
        assert told["error"]["code"] == -32601
        return
    # A release reads the mere presence of `error` as a failure, and refuses fields that it does not know.
    assert set(told) == {"jsonrpc", "result", "id"}
    reply = told["result"]["envelope"]
    assert set(reply) == ENVELOPE
    assert reply["sender"] == ME
    assert reply["recipient"] == CALLER
    assert reply["correlation_id"]


@pytest.mark.parametrize("row", deviations.CLIENT, ids=lambda row: row.pattern)
def test_rows_are_used(row: deviations.Row) -> None:
    """Each pattern of the table covers an answer."""
    assert row.idle(each["name"] for each in [*HEARD, *ANSWERED]) == []

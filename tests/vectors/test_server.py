"""What the released servers were asked, asked of ours: same status and codes, or a row says why not."""

import gzip
import json
import re
from collections.abc import Mapping
from typing import Any

import brotli
import pytest

from asap_proto.http import HttpResponse
from asap_proto.model import payload_class
from vectors import deviations, records
from vectors.performing import Server

# A release that ours is compared with first comes first: the wire is 1.0, and what only 2.x has is 2.x's.
MODELLED_ON = ("1.0.0", "0.5.0", "0.3.0", "0.1.0", "2.5.10")

ENVELOPE = {
    "id",
    "asap_version",
    "timestamp",
    "sender",
    "recipient",
    "payload_type",
    "payload",
    "correlation_id",
    "trace_id",
    "extensions",
}

ROWS = records.exchanges()


def their_verdict(row: Mapping[str, Any]) -> str:
    """The verdict of the newest release that our wire is modelled on."""
    return str(next(row["replies"][release] for release in MODELLED_ON if release in row["replies"]))


def request_body(row: Mapping[str, Any]) -> bytes:
    if row.get("body") == "51 requests":
        one = json.loads(next(each for each in ROWS if each["name"] == "task_request_ok")["body"])
        return json.dumps([{**one, "id": f"req-{number}"} for number in range(51)]).encode()
    return records.body_of(row)


def exchange(row: Mapping[str, Any]) -> HttpResponse:
    """Our answer, after what was asked before."""
    server = Server(row["profile"], row["at"], saturated=row.get("given") == "saturated")
    headers: dict[str, str] = {}
    for name, value in row.get("headers", ()):
        headers.setdefault(name.lower(), value)
    body = request_body(row)
    before = body if row.get("before") == "the same" else row.get("before", "")
    for _ in range(row.get("before_count", 1) if before else 0):
        server.exchange("POST", "/asap", {}, before if isinstance(before, bytes) else before.encode())
    return server.exchange(row["method"], row["path"], headers, body)


def verdict(row: Mapping[str, Any], response: HttpResponse) -> str:
    """Our answer in the words of `server.jsonl`."""
    answer = parsed(response.body)
    if isinstance(answer, list):
        return f"{response.status} [{', '.join(told(one) for one in answer)}]"
    words = f"{response.status} {told(answer)}".strip()
    if isinstance(answer, dict) and "jsonrpc" in answer and response.status == 200:
        request = parsed(request_body(row))
        asked = request.get("id") if isinstance(request, dict) else None
        if json.dumps(asked) != json.dumps(answer["id"]):
            words += f" id={json.dumps(answer['id'])}"
    return words


def told(answer: Any) -> str:
    if not isinstance(answer, dict) or "jsonrpc" not in answer:
        return ""
    if "result" in answer:
        return "ok"
    error = answer["error"]
    assert set(error) == {"code", "message", "data"}
    return f"{error['code']} {error['data']['code']}"


def parsed(body: bytes) -> Any:
    try:
        return json.loads(body.decode())
    except RecursionError:
        # How deep the standard library reads differs from one Python to the next; all we want is the id.
        last = re.search(rb'"id": ?"([^"]*)"}$', body)
        return last and {"id": last[1].decode()}
    except ValueError:
        return None


def agrees(theirs: str, ours: str) -> bool:
    """Alike in all that theirs tells: our errors always carry a code of ours, theirs seldom."""
    if "[" in theirs or "[" in ours:
        return bare(theirs) == bare(ours)
    had, have = theirs.split(), ours.split()
    if any(word.startswith("id=") for word in {*had, *have}) and had[-1] != have[-1]:
        return False
    return set(had) <= set(have)


def bare(words: str) -> tuple[str, str, list[str]]:
    """The status, whether it is a list, and of each answer the number alone, without the codes of ours."""
    status, _, rest = words.partition(" ")
    return status, rest[:1], [item.partition(" ")[0] for item in rest.strip("[]").split(", ")]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("200 -32600", "200 [ok]"),
        ("200 [ok]", "200 ok"),
        ("200 [ok]", "200 [-32600 asap:protocol/invalid_request]"),
        ("200 [ok, -32601]", "200 [ok, -32600 asap:protocol/invalid_request]"),
        ("200 [ok]", "200 [ok, ok]"),
        ("204", "200 [ok]"),
        ("200 -32602", "200 -32603 asap:protocol/internal_error"),
        ("200 ok id=null", "200 ok"),
    ],
)
def test_what_differs_does_not_agree(theirs: str, ours: str) -> None:
    """The comparison sees a list for what it is, and each answer in it."""
    assert not agrees(theirs, ours)


@pytest.mark.parametrize("row", [pytest.param(row, id=row["name"]) for row in ROWS])
def test_answer(row: Mapping[str, Any]) -> None:
    """A request is answered as the releases do, or the table says why not."""
    theirs, response = their_verdict(row), exchange(row)
    ours = verdict(row, response)
    deviation = deviations.row_for(deviations.SERVER, row["name"])
    if deviation is None:
        assert agrees(theirs, ours), f"reference: {theirs}; ours: {ours}"
        if "answer" in row and "result" in parsed(response.body):
            check_reply(row, parsed(response.body)["result"])
    else:
        assert not agrees(theirs, ours), "the row is no longer needed"
        assert ours == deviation.verdict


def check_reply(row: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    """The reply says what theirs says, in an envelope that every release accepts."""
    assert set(result) == {"envelope"}
    reply, asked = result["envelope"], sent_envelope(row)
    assert set(reply) == ENVELOPE
    theirs = row["answer"]
    assert payload_class(reply["payload_type"]) is payload_class(theirs["payload_type"])
    assert ("." in reply["payload_type"]) == ("." in asked["payload_type"])
    if theirs["payload"] != "<long>":
        assert reply["payload"] == {
            name: reply["payload"][name] if value == "<new>" else value for name, value in theirs["payload"].items()
        }
    assert reply["recipient"] == asked["sender"]
    assert reply["trace_id"] == asked.get("trace_id")
    assert reply["asap_version"] == asked["asap_version"]
    if asked.get("id"):
        assert reply["correlation_id"] == asked["id"]


def sent_envelope(row: Mapping[str, Any]) -> dict[str, Any]:
    body = records.body_of(row)
    if "body_b64" in row:
        body = brotli.decompress(body) if "br" in dict(row["headers"]).values() else gzip.decompress(body)
    envelope = json.loads(body)["params"]["envelope"]
    assert isinstance(envelope, dict)
    return envelope


@pytest.mark.parametrize("row", deviations.SERVER, ids=lambda row: row.pattern)
def test_rows_are_used(row: deviations.Row) -> None:
    """Each pattern of the table covers an exchange."""
    assert row.idle(each["name"] for each in ROWS) == []

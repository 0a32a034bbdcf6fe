"""Whether what came of an input is what must come of it, and what must never come of any."""

import json
from collections.abc import Iterator
from typing import Any

from asap_proto.errors import CATALOGUE
from hostile.cases import SILENCE, Case
from hostile.servers import SECRET, Served
from hostile.sockets import HANG, Answer, Exchange

#: What tells of the inside of a server.
_INSIDE = ("Traceback", 'File "', "site-packages", "asap_adapters", "target.py", "ValueError", "KeyError", SECRET)

#: Bytes of an answer that refuses: a small request must not fetch a large one.
_REFUSAL_MOST = 16 * 1024


def problems(case: Case, came: Exchange, server: Served) -> Iterator[str]:
    """What is wrong with it, in words."""
    expect = case.expect
    if came.hangs:
        yield f"no answer within {HANG:.0f} s" + (f", but {came.rest[:80]!r}" if came.rest else "")
        return
    if came.status not in expect.statuses:
        yield f"status {_shown(came)}; expected {_either(expect.statuses)}"
    if came.rest:
        yield f"what is no answer: {came.rest[:80]!r}"
    if len(came.answers) > 1:
        yield f"{len(came.answers)} answers: {', '.join(str(each.status) for each in came.answers)}"
    if expect.closes and not came.closed:
        yield "the connection stays open"
    for answer in came.answers:
        yield from _wrong(answer, server)
    if came.answers and came.status in expect.statuses:
        yield from _other(case, came.answers[0])


def _wrong(answer: Answer, server: Served) -> Iterator[str]:
    """What no answer may be."""
    if answer.status >= 500 and answer.status not in (501, 503, 505):
        yield f"status {answer.status}"
    whole = str(answer.headers) + answer.body.decode("utf-8", "replace")
    for word in (*_INSIDE, str(server.folder)):
        if word in whole:
            yield f"the answer tells {word!r}"
    if answer.header("content-type").startswith("application/json") and answer.body:
        try:
            document = json.loads(answer.body)
        except ValueError:
            yield f"the body is no JSON: {answer.body[:80]!r}"
            return
        if not isinstance(document, list):
            yield from _wrong_rpc(document, answer)
            return
        if answer.status != 200:
            yield f"a batch with status {answer.status}"
        for each in document:
            yield from _wrong_rpc(each, answer, in_batch=True)


def _wrong_rpc(document: Any, answer: Answer, *, in_batch: bool = False) -> Iterator[str]:
    if "jsonrpc" not in document:
        return
    if document.keys() not in ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"}):
        yield f"members {sorted(document)}"
    if (error := document.get("error")) is not None:
        kind = CATALOGUE[error["data"]["code"]].kind
        # A batch is answered 200 whatever becomes of its items, which bring errors of their own.
        if error["code"] != kind.rpc_code or not (in_batch or kind.http_status in (answer.status, 200)):
            yield f"{kind.code} with number {error['code']} and status {answer.status}"
        if len(answer.body) > _REFUSAL_MOST:
            yield f"a refusal of {len(answer.body)} bytes"


def _other(case: Case, answer: Answer) -> Iterator[str]:
    """Where it is another answer than the right one."""
    expect = case.expect
    if not expect.succeeds and expect.code is None:
        return
    try:
        document = json.loads(answer.body)
    except ValueError:
        yield f"no JSON: {answer.body[:80]!r}"
        return
    error = document.get("error") if isinstance(document, dict) else None
    if expect.succeeds and error is not None:
        yield f"refused: {error['data']['code']} {error['data']['path']} {error['data']['error']}"
    if expect.code is None:
        return
    if error is None:
        yield f"not refused, expected {expect.code}: {answer.body[:120]!r}"
    elif error["data"]["code"] != expect.code:
        yield f"{error['data']['code']} ({error['data']['error']}); expected {expect.code}"
    elif expect.path is not None and error["data"]["path"] != expect.path:
        yield f"path {error['data']['path']}; expected {expect.path}"


def _shown(came: Exchange) -> str:
    return "none (hung up)" if came.status == SILENCE else f"{came.status} {came.answers[0].body[:60]!r}"


def _either(statuses: frozenset[int]) -> str:
    return " or ".join("silence" if one == SILENCE else str(one) for one in sorted(statuses))

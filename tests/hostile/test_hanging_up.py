"""Callers that hang up: whatever else they have said before, nothing is done or held for them any longer."""

import json
import os
import time
from collections.abc import Callable

import pytest

from hostile.cases import Place, call, envelope, head, open_place, posted, request
from hostile.servers import Served
from hostile.sockets import Line

#: Seconds; what is looked for now and then is found by then, and a connection may otherwise be idle for longer.
_SOON = 5.0


def _slow(at: Place) -> bytes:
    return posted(at, call(envelope(at, payload=request(skill_id="slow", input={"seconds": 60}))))


def _active(target: Served, at: Place) -> int:
    with Line(target.address) as line:
        came = line.exchange((head(at, method="GET", target="/.well-known/asap/health", type=None),))
    return int(json.loads(came.answers[0].body)["load"]["active_tasks"])


def _is_so_soon(found: Callable[[], bool]) -> bool:
    until = time.monotonic() + _SOON
    while not found() and time.monotonic() < until:
        time.sleep(0.05)
    return found()


@pytest.mark.parametrize("behind", ["another", "half of another", "half a head", "garbage"])
def test_who_asks_more_and_hangs_up(server: Served, behind: str) -> None:
    """Its handler is cancelled like that of anybody who hangs up, though nothing of what it said last was read."""
    if server.runtime == "sync":
        pytest.skip("a thread can't be cut off")
    at = open_place(server.port)
    another = posted(at, call(envelope(at)))
    more = {
        "another": another,
        "half of another": another[:-20],
        "half a head": another[:40],
        "garbage": b"\0\xff\r\n\r\n",
    }
    before = len(server.said())
    with Line(server.address) as line:
        line.say(_slow(at) + more[behind])
        assert _is_so_soon(lambda: _active(server, at) == 1)
    assert _is_so_soon(lambda: _active(server, at) == 0)
    assert server.said()[before:] == ""


def test_no_connection_is_held_for_who_is_gone(server: Served) -> None:
    """Whether it has heard its answer, hung up before that, or never asked."""
    at = open_place(server.port)
    files = f"/proc/{server.process.pid}/fd"
    before = len(os.listdir(files))
    for _ in range(10):
        with Line(server.address) as line:
            assert line.exchange((posted(at, call(envelope(at))),)).status == 200
        for sends in (posted(at, call(envelope(at))), head(at)):
            with Line(server.address) as line:
                line.say(sends)
    assert _is_so_soon(lambda: len(os.listdir(files)) <= before)


@pytest.mark.parametrize("target", ["/asap", "/asap/stream"])
def test_no_trace_is_left_of_a_broken_body(server: Served, target: str) -> None:
    """One that was to be waited for with 100 Continue, and is broken before that is said."""
    at = open_place(server.port)
    more = {"Transfer-Encoding": "chunked", "Expect": "100-continue"}
    before = len(server.said())
    for _ in range(20):
        with Line(server.address) as line:
            came = line.exchange((head(at, target=target, more=more) + b"x\r\n",), to_close=True)
        assert came.status == 400
    assert server.said()[before:] == ""

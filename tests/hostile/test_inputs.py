"""Every hostile input, at a real server on each runtime: none breaks it, hangs, learns of its inside, or is let in."""

import itertools
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import frozen

from hostile import bodies, envelopes, frames, framing, origins, payloads, routes, streams, texts
from hostile.cases import REFUSALS, Case, Place, call, envelope, guarded_place, head, open_place, posted, request
from hostile.routes import UPGRADES
from hostile.servers import SECRET, Served
from hostile.sockets import Exchange, Line
from hostile.verdicts import problems


@frozen
class Group:
    """Inputs of one kind; those that leave their connection whole share it, so that each meets what others left."""

    inputs: Callable[[Place], Iterator[Case]]
    shares: bool = False
    is_guarded: bool = False


GROUPS = {
    "texts": Group(texts.texts, shares=True),
    "frames": Group(frames.frames, shares=True),
    "batches": Group(frames.batches, shares=True),
    "keys": Group(frames.keys, shares=True),
    "envelopes": Group(envelopes.envelopes, shares=True),
    "names": Group(envelopes.names, shares=True),
    "times": Group(envelopes.times, shares=True),
    "nonces": Group(envelopes.nonces, shares=True),
    "strangers": Group(envelopes.strangers, is_guarded=True),
    "payloads": Group(payloads.payloads, shares=True),
    "seekers": Group(payloads.seekers, shares=True),
    "streams": Group(streams.streams),
    "routes": Group(routes.routes),
    "lines": Group(routes.lines),
    "headers": Group(routes.headers),
    "lengths": Group(framing.lengths),
    "codings": Group(framing.codings),
    "chunks": Group(framing.chunks),
    "bodies": Group(bodies.bodies),
    "sizes": Group(bodies.sizes),
    "origins": Group(origins.origins),
}

#: What differs from one good request to the next: ids, nonces, times.
_FRESH = re.compile(rb"fresh_[0-9a-f]{16}_|20[0-9]{2}-[-0-9T:.]{20,30}")

#: Connections that a group uses at the same time.
_CONNECTIONS = 8


def test_the_inputs_are_many_and_distinct():
    """At least 400 inputs, leaving out what is fresh in each; no two of a group have the same name."""
    place = open_place(1)
    cases = [(name, case) for name, group in GROUPS.items() for case in group.inputs(place)]
    names = [(name, case.name) for name, case in cases]
    assert len(names) == len(set(names)), sorted(name for name in set(names) if names.count(name) > 1)
    assert len({tuple(_FRESH.sub(b"", part) for part in case.sends) for _, case in cases}) >= 400


@pytest.mark.parametrize("name", GROUPS)
def test_hostile_inputs(server: Served, guarded: Served, name: str) -> None:
    """Each is answered as it has to be, or the connection is closed; then the server is as well as before."""
    group = GROUPS[name]
    target = guarded if group.is_guarded else server
    place = guarded_place(target.port) if group.is_guarded else open_place(target.port)
    before = len(target.said())
    cases = list(group.inputs(place))
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        hands = [cases[first::_CONNECTIONS] for first in range(_CONNECTIONS)]
        came = itertools.chain.from_iterable(pool.map(lambda hand: list(_told(hand, group, target)), hands))
        wrong = {case.name: found for case, exchange in came if (found := list(problems(case, exchange, target)))}
    told = (f"{case}: {'; '.join(what)}" for case, what in sorted(wrong.items()))
    assert not wrong, "\n".join((f"{len(wrong)} of {len(cases)} inputs:", *told))
    said = target.said()[before:]
    # What a handler raises is told to whoever runs the agent, and nothing else ever is.
    assert said.count("Traceback") == said.count(f"ValueError: {SECRET}"), said
    check_health(target, place)


def test_requests_one_behind_another(server: Served) -> None:
    """A hundred requests in one packet are answered one by one, in their order."""
    at = open_place(server.port)
    ids = [at.fresh() for _ in range(100)]
    packet = b"".join(posted(at, call(envelope(at), id=one)) for one in ids)
    with Line(server.address) as line:
        came = line.exchange((packet,), to_close=True)
    assert [json.loads(each.body)["id"] for each in came.answers] == ids


@pytest.mark.parametrize("name", UPGRADES)
@pytest.mark.parametrize(
    "behind", [b"\x81\x00" * 5, b"\x88\x02\x03\xe8", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"]
)
def test_an_upgrade_with_more_behind(server: Served, name: str, behind: bytes) -> None:
    """Whoever speaks another protocol before it is agreed on harms its own connection alone."""
    at = open_place(server.port)
    sends = head(at, method="GET", more=UPGRADES[name])
    for pieces in ((sends + behind,), (sends, behind), (sends, 0.05, behind)):
        with Line(server.address) as line:
            came = line.exchange(pieces, to_close=True)
        assert came.status in REFUSALS
    check_health(server, at)


def test_what_is_counted_stays_small(server: Served) -> None:
    """No input can make the metrics grow: what is counted is named by us."""
    at = open_place(server.port)
    before = len(_metrics(server, at))
    for number in range(100):
        with Line(server.address) as line:
            hostile = envelope(at, payload_type=f"x{number}", sender=f"urn:asap:agent:a{number}")
            line.exchange((posted(at, call(hostile, method=f"m{number}"), target=f"/{number}"),))
            line.exchange((posted(at, call(hostile)),))
            line.exchange((posted(at, call(envelope(at, payload=request(skill_id=f"s{number}")))),))
    assert len(_metrics(server, at)) - before < 4096


def _metrics(target: Served, at: Place) -> bytes:
    with Line(target.address) as line:
        return line.exchange((head(at, method="GET", target="/asap/metrics"),)).answers[0].body


def _told(cases: list[Case], group: Group, target: Served) -> Iterator[tuple[Case, Exchange]]:
    """Says all that is in one hand's list, and hears what comes of it."""
    line: Line | None = None
    for case in cases:
        if line is None or not group.shares or not line.is_open:
            if line is not None:
                line.__exit__()
            line = Line(target.address)
        yield case, line.exchange(case.sends, to_close=case.expect.closes, ends=case.ends, head=case.head)
    if line is not None:
        line.__exit__()


def check_health(target: Served, place: Place) -> None:
    """The server answers a good request, and says that it is well."""
    with Line(target.address) as line:
        answered = line.exchange((posted(place, call(envelope(place))),))
        assert answered.status == 200
        assert b'"status":"completed"' in answered.answers[0].body
    with Line(target.address) as line:
        health = f"GET /health HTTP/1.1\r\nHost: {place.host}\r\n\r\n".encode()
        assert line.exchange((health,)).status == 200

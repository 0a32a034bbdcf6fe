"""Small requests that would grow: the memory of the server is measured at its peak, by the kernel."""

import gzip
from collections.abc import Callable
from functools import cache

import brotli
import pytest

from hostile.bodies import LIMIT, bombs
from hostile.cases import Place, call, chunked, envelope, head, in_chunks, open_place, posted, request, text
from hostile.servers import Served
from hostile.sockets import Line
from hostile.test_inputs import check_health

#: What a bomb may cost, in KiB.
_MOST = 32 * 1024


def _filled(item: bytes, before: bytes = b"[", after: bytes = b"]") -> bytes:
    """JSON as long as the limit, of many of the same."""
    count = (LIMIT - len(before) - len(after)) // (len(item) + 1)
    return before + b",".join([item] * count) + after


def _keys() -> bytes:
    size = LIMIT // 14
    return b"{" + b",".join(b'"k%07d":0' % n for n in range(size)) + b"}"


@cache
def _wide() -> dict[str, bytes]:
    """JSON texts within the limit, of which a parser makes far more than it reads."""
    frame = text(call(envelope(Place("x"), timestamp=..., payload=request(input={"a": "HERE"}))))
    before, after = frame.split(b'"HERE"')
    return {
        "numbers": _filled(b"0"),
        "fractions": _filled(b"0.5"),
        "empty arrays": _filled(b"[]"),
        "empty objects": _filled(b"{}"),
        "small objects": _filled(b'{"a":0}'),
        "short texts": _filled(b'"ab"'),
        "many keys": _keys(),
        "nested arrays": _filled(b"[" * 90 + b"]" * 90),
        "empty arrays in a request": _filled(b"[]", before + b"[", b"]" + after),
        "a text in a request": before + b'"' + b"x" * (LIMIT - len(frame)) + b'"' + after,
        "accents in a request": before + b'"' + "é".encode() * ((LIMIT - len(frame)) // 2) + b'"' + after,
        "one emoji in a request": before + '"\U0001f600'.encode() + b"x" * (LIMIT - len(frame) - 4) + b'"' + after,
    }


#: No bombs: good requests of 10 MiB, of which each byte is sent, and comes back in the answer. Where there is one emoji
#: Python takes four bytes for each other character.
_LARGE = {"a text in a request, plain": 5, "accents in a request, plain": 5, "one emoji in a request, plain": 10}


def _bombs() -> dict[str, Callable[[Place], bytes]]:
    found: dict[str, Callable[[Place], bytes]] = {}
    for name in bombs():
        found[name] = lambda at, name=name: _packed(at, *bombs()[name])
        if not name.startswith("one byte more"):
            found[f"{name}, in chunks"] = lambda at, name=name: _in_chunks(at, *bombs()[name])
    for name in _wide():
        found[f"{name}, in gzip"] = lambda at, name=name: _packed(at, "gzip", gzip.compress(_wide()[name], 1))
        found[f"{name}, in brotli"] = lambda at, name=name: _packed(at, "br", brotli.compress(_wide()[name], quality=1))
        found[f"{name}, plain"] = lambda at, name=name: posted(at, _wide()[name])
    found["300,000 members"] = lambda at: _packed(at, "gzip", gzip.compress(b"") * 300_000)
    found["a million open arrays"] = lambda at: posted(at, b"[" * 1_000_000)
    headers = tuple((f"X-{n}", "y" * 50) for n in range(100_000))
    found["100,000 headers"] = lambda at: head(at, method="GET", target="/health", more=headers)
    found["a header of 20 MB"] = lambda at: head(at, method="GET", target="/health", more={"X": "y" * 20_000_000})
    found["a target of 20 MB"] = lambda at: head(at, method="GET", target="/" + "y" * 20_000_000)
    trailers = b"0\r\n" + b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 500_000 + b"\r\n"
    found["20 MB of trailers"] = lambda at: chunked(at, trailers)
    found["a line of 20 MB"] = lambda at: b"G" * 20_000_000
    found["extensions of 20 MB"] = lambda at: chunked(at, b"1;" + b"a" * 20_000_000 + b"\r\n1\r\n0\r\n\r\n")
    found["50,000 requests in one packet"] = lambda at: head(at, method="GET", target="/health") * 50_000
    found["a megabyte in chunks of a byte"] = lambda at: chunked(at, in_chunks(b" " * 1_000_000, 1))
    return found


def _packed(at: Place, coding: str, body: bytes) -> bytes:
    return posted(at, body, more={"Content-Encoding": coding})


def _in_chunks(at: Place, coding: str, body: bytes) -> bytes:
    return chunked(at, in_chunks(body, 4096), more=(("Content-Encoding", coding),))


BOMBS = _bombs()


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_little(server: Served, name: str) -> None:
    """While it is answered the server grows by at most 32 MiB; for a good request by some times what is sent."""
    at = open_place(server.port)
    sends = BOMBS[name](at)
    check_health(server, at)
    before = server.forget_peaks()
    with Line(server.address) as line:
        came = line.exchange((sends,))
    grown = server.growth(before)
    assert not came.hangs
    assert came.status < 500
    most = len(sends) * _LARGE[name] // 1024 if name in _LARGE else _MOST
    assert grown <= most, f"{grown // 1024} MiB for {len(sends) // 1024} KiB, answered {came.status}"


def test_what_is_kept_of_bombs(server: Served) -> None:
    """Requests that are wide are kept within what the limits allow for tasks, as they stand in memory."""
    at = open_place(server.port)
    body = _wide()["empty arrays in a request"][: LIMIT // 4]
    body = body[: body.rindex(b"[]") + 2] + _wide()["empty arrays in a request"].rpartition(b"[]")[2]
    sends = _packed(at, "gzip", gzip.compress(body, 1))
    before = server.forget_peaks()
    for _ in range(40):
        with Line(server.address) as line:
            line.exchange((sends,))
    kept = server.kept(before)
    assert kept <= 64 * 1024 + _MOST, f"{kept // 1024} MiB are kept of 40 requests of {len(sends) // 1024} KiB"

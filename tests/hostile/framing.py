"""Where one request ends and the next begins: each input carries a second request that must not be heard."""

import itertools
from collections.abc import Iterator

from hostile.cases import Case, Expect, Place, call, envelope, good, head, in_chunks, lenient, no_http, status, text

#: What a front that counts otherwise would take for the next request.
_SECOND = "GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n"


def lengths(at: Place) -> Iterator[Case]:
    """Two lengths, or none that is one."""
    second = _SECOND.format(host=at.host).encode()
    body = text(call(envelope(at)))
    size = len(body)

    def framed(name: str, more: tuple[tuple[str, str], ...], content: bytes = body) -> Case:
        return Case(name, (head(at, more=more) + content + second,), no_http())

    length, coding = ("Content-Length", str(size)), ("Transfer-Encoding", "chunked")
    chunks = in_chunks(body)
    for (first, one), (other, another) in itertools.permutations(
        (("a length", length), ("chunks", coding), ("no length", ("Content-Length", "0"))), 2
    ):
        yield framed(f"{first} and {other}", (one, another), chunks if one is coding else body)
    for first, other in itertools.product((str(size), "0", "5"), repeat=2):
        yield framed(f"lengths {first} and {other} of {size}", (("Content-Length", first), ("Content-Length", other)))
        yield framed(f"a length of '{first}, {other}' of {size}", (("Content-Length", f"{first}, {other}"),))
    for value in (
        *("-1", f"+{size}", f"{size} {size}", f"{size};", f"0x{size:x}", f"{size}.0", "1e3", "1_0", "x", "\xb2"),
        *("9" * 30, "9" * 5000, str(2**63), str(2**64), str(2**64 + size), f"{size}\t0", '"5"', "NaN"),
    ):
        yield framed(f"a length of {value[:20]!r} {len(value)}", (("Content-Length", value),))
    yield framed("an empty length", (("Content-Length", ""),), b"")
    yield Case("a blank before the length's colon", (_spelt(at, f"Content-Length : {size}", body + second),), no_http())
    yield Case("a folded length", (_spelt(at, f"Content-Length:\r\n {size}", body + second),), no_http())
    yield Case("a NUL in the length", (_spelt(at, f"Content-Length: {size}\0", body + second),), no_http())
    yield Case(
        "a length behind a bare return", (_spelt(at, f"X: y\rContent-Length: {size}", body + second),), no_http()
    )
    short = head(at, length=size + 50) + body
    yield Case("less than was announced", (short,), Expect(frozenset({0, 400}), closes=True), ends=True)
    cut = head(at, length=size) + body[: size // 2]
    yield Case("half of what was announced", (cut,), Expect(frozenset({0, 400}), closes=True), ends=True)
    yield Case("a length and nothing", (head(at, length=size),), Expect(frozenset({0, 400}), closes=True), ends=True)


def codings(at: Place) -> Iterator[Case]:
    """Transfer codings that are not exactly ``chunked``."""
    second = _SECOND.format(host=at.host).encode()
    chunks = in_chunks(text(call(envelope(at)))) + second
    for value in (
        *("chunked, chunked", "chunked, identity", "identity, chunked", "gzip, chunked", "chunked, gzip", "identity"),
        *("gzip", "xchunked", "chunkedx", "chunk", "chunked;q=1", "chunked;a=b", '"chunked"', "chunked,", ",chunked"),
        *("chunked\0", "\0chunked", "\x0bchunked", "chunked\x0b", "chunked chunked", "cow", "", " ", "\xa0chunked"),
        *("x" * 5000,),
    ):
        sends = head(at, more={"Transfer-Encoding": value}) + chunks
        yield Case(f"coding {value[:20]!r}", (sends,), no_http())
    for first, other in (("chunked", "chunked"), ("chunked", "identity"), ("identity", "chunked"), ("cow", "chunked")):
        sends = head(at, more=(("Transfer-Encoding", first), ("Transfer-Encoding", other))) + chunks
        yield Case(f"codings {first} and {other}", (sends,), no_http())
    for name, spelt in {
        "a blank before the colon": "Transfer-Encoding : chunked",
        "a folded coding": "Transfer-Encoding:\r\n chunked",
        "a folded coding, twice": "Transfer-Encoding: x\r\n chunked",
        "behind a bare return": "X: y\rTransfer-Encoding: chunked",
        "behind a bare line feed, with a length": "X: y\nTransfer-Encoding: chunked\r\nContent-Length: 5",
        "a NUL in the name": "Transfer\0-Encoding: chunked",
    }.items():
        yield Case(f"coding: {name}", (_spelt(at, spelt, chunks),), no_http())
    old = head(at, more={"Transfer-Encoding": "chunked"}).replace(b"HTTP/1.1", b"HTTP/1.0") + chunks
    yield Case("chunks in HTTP/1.0", (old,), Expect(lenient().statuses, closes=True))
    for value, expect in {"CHUNKED": good(), "Chunked": good(), "\tchunked\t": lenient()}.items():
        sends = head(at, more={"Transfer-Encoding": value}) + in_chunks(text(call(envelope(at))))
        yield Case(f"coding {value!r}", (sends,), expect)


_CHUNKS = {
    "a negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "a size with a plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "a size with a prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a size with an underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "a size of words": b"five\r\nhello\r\n0\r\n\r\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "a blank before the size": b" 5\r\nhello\r\n0\r\n\r\n",
    "a size and a NUL": b"5\0\r\nhello\r\n0\r\n\r\n",
    "a size and a decimal": b"5.0\r\nhello\r\n0\r\n\r\n",
    "wide digits": "５\r\nhello\r\n0\r\n\r\n".encode(),
    "a chunk too short": b"5\r\nhell\r\n0\r\n\r\n",
    "a chunk too long": b"5\r\nhello!\r\n0\r\n\r\n",
    "no end of the chunk": b"5\r\nhello0\r\n\r\n",
    "a bare line feed behind the chunk": b"5\r\nhello\n0\r\n\r\n",
    "a bare return behind the size": b"5\rhello\r\n0\r\n\r\n",
    "an extension with a bare return": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "an extension with a bare line feed": b"5;a\nhello\r\n0\r\n\r\n",
    "a trailer without a colon": b"5\r\nhello\r\n0\r\nbroken\r\n\r\n",
    "a trailer of a megabyte": b"5\r\nhello\r\n0\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
    "trailers without number": b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
}


def chunks(at: Place) -> Iterator[Case]:
    """Chunks that are none, each followed by a second request."""
    second = _SECOND.format(host=at.host).encode()
    coding = {"Transfer-Encoding": "chunked"}
    for name, raw in _CHUNKS.items():
        yield Case(name, (head(at, more=coding) + raw + second,), no_http())
    for name, size in {"beyond 64 bits": b"F" * 17, "that wraps to five": b"1" + b"0" * 15 + b"5"}.items():
        never = head(at, more=coding) + size + b"\r\nhello\r\n0\r\n\r\n" + second
        yield Case(f"a size {name}", (never,), no_http(), ends=True)
    body = text(call(envelope(at)))
    for name, raw in {
        "a byte a chunk": in_chunks(body, 1),
        "small extensions": in_chunks(body).replace(b"\r\n", b";a=b\r\n", 1),
        "zeros before the size": b"000" + in_chunks(body),
        "a trailer": in_chunks(body)[:-2] + b"X-Trailer: y\r\n\r\n",
        "a trailer with a coding": in_chunks(body)[:-2] + b"Content-Encoding: br\r\n\r\n",
        "a trailer with another host": in_chunks(body)[:-2] + b"Host: evil.example\r\n\r\n",
        "a trailer with a token": in_chunks(body)[:-2] + b"Authorization: Bearer x\r\n\r\n",
    }.items():
        yield Case(name, (head(at, more=coding) + raw,), good())
    for name, raw in {
        "a size of a thousand digits": b"0" * 1000 + in_chunks(body),
        "an extension of 100,000 letters": in_chunks(body).replace(b"\r\n", b";" + b"a" * 100_000 + b"\r\n", 1),
        "a trailer with a length": in_chunks(body)[:-2] + b"Content-Length: 5\r\n\r\n",
        "a trailer with a coding of transfer": in_chunks(body)[:-2] + b"Transfer-Encoding: x\r\n\r\n",
    }.items():
        yield Case(name, (head(at, more=coding) + raw,), lenient())
    for name, raw in {
        "chunks without end": in_chunks(body)[:-5],
        "a cut chunk": b"ff\r\nhello",
        "a cut size": b"f",
        "a size alone": b"5\r\n",
        "an end without its last line": in_chunks(body)[:-2],
        "nothing": b"",
    }.items():
        cut = Expect(frozenset({0, 400}), closes=True)
        yield Case(name, (head(at, more=coding) + raw,), cut, ends=True)
    endless = head(at, more=coding) + b"5" + b";" * 1_000_000
    yield Case("a million empty extensions", (endless,), no_http(), ends=True)
    yield Case("chunks for a GET", (head(at, method="GET", target="/health", more=coding) + b"0\r\n\r\n",), status(200))
    yield Case("a body for a GET", (head(at, method="GET", target="/health", length=5) + b"hello",), status(200))


def _spelt(at: Place, line: str, content: bytes) -> bytes:
    return head(at)[:-2] + line.encode("latin-1") + b"\r\n\r\n" + content

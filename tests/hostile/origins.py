"""A web page that would drive an agent of this machine: by its own name, by a name that now leads here, by a form."""

from collections.abc import Iterator

from hostile.cases import REFUSALS, Case, Expect, Place, call, envelope, good, head, no_http, posted, refused, status

#: The refusals of a request for another host (where it is none, by the server), and from a page of another origin.
_HOST = Expect(frozenset({400, 421}))
_ORIGIN = refused("asap:http/foreign_origin", status=403)


def origins(at: Place) -> Iterator[Case]:
    """Hosts and origins that are not ours."""
    port = at.host.rpartition(":")[2]
    body = call(envelope(at))
    hosts = {
        "another name": "evil.example",
        "another name with our port": f"evil.example:{port}",
        "a name that begins like ours": f"127.0.0.1.evil.example:{port}",
        "a name that ends like ours": f"evil-localhost:{port}",
        "a name below ours": f"x.localhost.evil:{port}",
        "an address of a neighbour": f"192.168.0.1:{port}",
        "the address of the cloud": "169.254.169.254",
        "any address": f"0.0.0.0:{port}",
        "a number": f"2130706434:{port}",
        "a name with ours as its user": f"localhost@evil.example:{port}",
        "a name behind a comma": f"localhost, evil.example:{port}",
        "a name behind a blank": "localhost evil.example",
        "a Cyrillic o, escaped": "xn--lcalhost-71e",
        "a port that is none": "evil.example:x",
        "8,000 characters": "a" * 8000,
    }
    for name, host in hosts.items():
        yield Case(f"host: {name}", (posted(at, body, host=host),), _HOST)
        yield Case(f"host: {name}, to read", (head(at, method="GET", target="/health", host=host),), _HOST)
    whole = head(at, method="GET", target="http://evil.example/health")
    yield Case("host: another in the target", (whole,), _HOST)
    whole = head(at, method="GET", target=f"http://{at.host}/health", host="evil.example")
    yield Case("host: ours in the target alone", (whole,), Expect(frozenset({200, 400, 421})))
    yield Case("host: none", (b"GET /health HTTP/1.1\r\n\r\n",), no_http())
    yield Case("host: none in HTTP/1.0", (b"GET /health HTTP/1.0\r\n\r\n",), Expect(REFUSALS | {421}))
    yield Case("host: empty", (head(at, method="GET", target="/health", host=""),), Expect(REFUSALS | {421}))
    for name, host in {
        "localhost": f"localhost:{port}",
        "localhost without port": "localhost",
        "LOCALHOST": f"LOCALHOST:{port}",
        "localhost, absolute": f"localhost.:{port}",
        "IPv6": f"[::1]:{port}",
        "another loopback port": "127.0.0.1:1",
    }.items():
        yield Case(f"host: {name}", (posted(at, body, host=host),), good())
    yield from _pages(at, port)


def _pages(at: Place, port: str) -> Iterator[Case]:
    body = call(envelope(at))
    for origin in (
        *("https://evil.example", "http://evil.example", f"http://evil.example:{port}", "null", "file://", ""),
        *("http://localhost.evil.example", "http://127.0.0.1.evil.example", "http://evil.example/localhost"),
        *("http://localhost@evil.example", "http://evil.example#localhost", "chrome-extension://abc", "localhost"),
        *("http://localhost, http://evil.example", "http://localhost http://evil.example", "\xff", "x" * 5000),
        *("http://[::1", "http://", "//localhost", "http://localhost:99999"),
    ):
        yield Case(f"origin {origin[:40]!r}", (posted(at, body, more={"Origin": origin}),), _ORIGIN)
    for origin in ("https://evil.example", "null"):
        sends = head(at, method="GET", target="/asap/metrics", more={"Origin": origin})
        yield Case(f"origin {origin}, to read", (sends,), status(403))
        sends = posted(at, body, type="text/plain", more={"Origin": origin})
        yield Case(f"origin {origin}, a form", (sends,), status(403, 415))
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        for path in ("/asap", "/asap/stream", "/health"):
            sends = head(at, method="OPTIONS", target=path, more=asked)
            yield Case(f"origin {origin} asks leave for {path}", (sends,), status(403, 405))
    two = (("Origin", f"http://localhost:{port}"), ("Origin", "https://evil.example"))
    yield Case("two origins", (posted(at, body, more=two),), Expect(frozenset({400, 403})))
    two = tuple(reversed(two))
    yield Case("two origins, the other way round", (posted(at, body, more=two),), Expect(frozenset({400, 403})))
    for origin in (f"http://localhost:{port}", f"http://127.0.0.1:{port}", f"http://[::1]:{port}"):
        yield Case(f"origin {origin[:16]}", (posted(at, body, more={"Origin": origin}),), good())

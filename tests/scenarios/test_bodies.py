"""Bodies as they are sent: their size, their coding, and how they are announced."""

import gzip
import json
import socket
import zlib
from contextlib import suppress
from urllib.parse import urlsplit

import brotli
import httpx
import pytest

from asap_proto import Limits
from asap_proto.limits import GZIP_MEMBERS

from .fronts import JSON, WORKER, post

LIMIT = 4096


def frame(size=None):
    """A request to echo, padded to a number of bytes."""
    envelope = {
        "asap_version": "0.1",
        "sender": "urn:asap:agent:me",
        "recipient": WORKER,
        "payload_type": "task.request",
        "payload": {"conversation_id": "c", "skill_id": "echo", "input": {"pad": ""}},
    }
    document = {"jsonrpc": "2.0", "method": "asap.send", "params": {"envelope": envelope}, "id": 1}
    if size is not None:
        envelope["payload"]["input"]["pad"] = "x" * (size - len(json.dumps(document)))
    return json.dumps(document).encode()


def deflate(data, form, level=9):
    packer = zlib.compressobj(level, zlib.DEFLATED, form)
    return packer.compress(data) + packer.flush()


@pytest.fixture(scope="module")
def small(front):
    """An HTTP client to an agent that takes at most `LIMIT` bytes."""
    agent = front.agent(limits=Limits(request_bytes=LIMIT))

    @agent.skill("echo")
    def echo(task):
        return {"length": len(task.input["pad"])}

    with front.serving(agent) as url, httpx.Client(base_url=url, headers=JSON, trust_env=False) as http:
        yield http


def in_pieces(body, size=700):
    """A body without Content-Length: httpx sends it chunked."""
    return (body[start : start + size] for start in range(0, len(body), size))


CODINGS = {None: bytes, "gzip": gzip.compress, "br": brotli.compress, "GZIP": gzip.compress, "identity": bytes}


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
@pytest.mark.parametrize("coding", CODINGS, ids=str)
@pytest.mark.parametrize("over", [0, 1], ids=["at the limit", "one over"])
def test_size_limit(small, coding, over, chunked):
    """A body may have as many bytes as the limit, as sent and as inflated, and not one more."""
    body = CODINGS[coding](frame(LIMIT + over))
    headers = {"content-encoding": coding} if coding else {}
    response = small.post("/asap", content=in_pieces(body) if chunked else body, headers=headers)
    if over:
        assert response.status_code == 413
        assert response.json()["error"]["data"]["code"] == "asap:transport/too_large"
        assert response.json()["error"]["data"]["details"] == {"limit_bytes": LIMIT}
    else:
        assert response.status_code == 200
        assert response.json()["result"]["envelope"]["payload"]["status"] == "completed"
    assert small.get("/health").status_code == 200


BOMB = 64 * 1024 * 1024


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
@pytest.mark.parametrize(
    ("coding", "body"),
    [("gzip", gzip.compress(bytes(BOMB))), ("br", brotli.compress(bytes(BOMB), quality=1))],
    ids=["gzip", "br"],
)
def test_bomb(front, stack, coding, body, chunked):
    """A body that inflates beyond the limit is refused long before it is inflated."""
    url = stack.enter_context(front.serving(front.agent(limits=Limits(request_bytes=1024 * 1024))))
    http = stack.enter_context(httpx.Client(base_url=url, headers=JSON, trust_env=False))
    content = in_pieces(body, 16384) if chunked else body
    assert http.post("/asap", content=content, headers={"content-encoding": coding}).status_code == 413


GOOD = frame()
MEMBER = gzip.compress(GOOD, mtime=0)


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("gzip", MEMBER, 200),
        ("gzip", MEMBER + bytes(100), 200),
        ("gzip", gzip.compress(GOOD[:50], mtime=0) + gzip.compress(GOOD[50:], mtime=0), 200),
        ("gzip", MEMBER + gzip.compress(b"", mtime=0) * (GZIP_MEMBERS - 1), 200),
        ("gzip", MEMBER + gzip.compress(b"", mtime=0) * GZIP_MEMBERS, 400),
        ("gzip", MEMBER[:-1], 400),
        ("gzip", MEMBER[:20], 400),
        ("gzip", MEMBER[:-8] + bytes(8), 400),
        ("gzip", MEMBER[:30] + b"\xff\xff\xff" + MEMBER[33:], 400),
        ("gzip", MEMBER + b"garbage", 400),
        ("gzip", MEMBER + bytes(3) + b"garbage", 400),
        ("gzip", GOOD, 400),
        ("gzip", deflate(GOOD, 15), 400),
        ("br", brotli.compress(GOOD), 200),
        ("br", brotli.compress(GOOD)[:-1], 400),
        ("br", brotli.compress(GOOD) + b"\0", 400),
        ("br", brotli.compress(GOOD) * 2, 400),
        ("br", GOOD, 400),
        ("br", MEMBER, 400),
        ("deflate", deflate(GOOD, 15), 415),
        ("gzip, br", MEMBER, 415),
        ("x-gzip", MEMBER, 415),
        ("", GOOD, 200),
        ("IDENTITY", GOOD, 200),
    ],
)
@pytest.mark.parametrize("size", [None, 7], ids=["whole", "in pieces"])
def test_codings(small, coding, body, status, size):
    """Good bodies are inflated whatever their pieces; broken ones and unknown codings are refused in HTTP."""
    content = in_pieces(body, size) if size else body
    # Whether a connection can be used again after a body was refused unread is the server's business.
    response = small.post("/asap", content=content, headers={"content-encoding": coding, "connection": "close"})
    assert response.status_code == status, response.text
    if status == 200:
        assert "result" in response.json()
    else:
        assert response.json()["error"]["data"]["code"].startswith("asap:transport/")


@pytest.mark.parametrize("coding", ["gzip", "br", "identity"])
def test_no_body(small, coding):
    """No body at all is no JSON, whatever it claims to be."""
    response = small.post("/asap", content=b"", headers={"content-encoding": coding})
    assert (response.status_code, response.json()["error"]["code"]) == (200, -32700)


def exchange(url, request):
    """What a server says to raw bytes, until it hangs up or falls silent."""
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=1) as connection:
        answer = b""
        with suppress(OSError):
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                answer += chunk
        return answer


TYPE = b"Content-Type: application/json\r\n"
ODD_LENGTHS = ["-1", "+10", "1_0", " ", "x", "0x10", "1e3", "9" * 5000, "18446744073709551617", "10, 10", "\xb2"]


@pytest.mark.parametrize("length", ODD_LENGTHS, ids=range(len(ODD_LENGTHS)))
def test_odd_content_lengths(small, length):
    """A Content-Length that is no number never makes a 5xx, nor does it stop the server."""
    head = f"POST /asap HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n"
    answer = exchange(str(small.base_url), head.encode("latin-1") + TYPE + b"\r\n" + frame())
    assert not answer.startswith(b"HTTP/1.1 5")
    assert b"Traceback" not in answer
    assert small.get("/health").status_code == 200


BROKEN = [
    b"",
    b"\r\n\r\n",
    b"GET\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"POST /asap HTTP/1.1\r\nHost: x\r\n" + TYPE + b"Content-Length: 100\r\n\r\n{",
    b"POST /asap HTTP/1.1\r\nHost: x\r\n" + TYPE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /asap HTTP/1.1\r\nHost: x\r\n" + TYPE + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
    b"POST /asap HTTP/1.1\r\nHost: x\r\n" + TYPE + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    b"POST /asap HTTP/1.1\r\nHost: x\r\n" + TYPE + b"X: a\r\n  folded\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /asap HTTP/1.1\r\nHost: x\r\n" + TYPE + b"Authorization: Bearer \xff\xfe\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /asap HTTP/1.1\r\nHost: x\r\n" + TYPE + b"ASAP-Version: \xff\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /%ff%00/../asap HTTP/1.1\r\nHost: x\r\n" + TYPE + b"Content-Length: 2\r\n\r\n{}",
    b"POST //asap HTTP/1.1\r\nHost: x\r\n" + TYPE + b"Content-Length: 2\r\n\r\n{}",
    b"POST http://elsewhere/asap HTTP/1.1\r\nHost: x\r\n" + TYPE + b"Content-Length: 2\r\n\r\n{}",
    b"CONNECT asap:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /asap HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAA=\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
]


@pytest.mark.parametrize("request_bytes", BROKEN, ids=range(len(BROKEN)))
def test_broken_http(small, request_bytes):
    """Broken HTTP is the server's business; ours is that nothing of it reaches the agent, which goes on."""
    answer = exchange(str(small.base_url), request_bytes)
    assert b"Traceback" not in answer
    assert not answer.startswith((b"HTTP/1.1 500", b"HTTP/1.0 500"))
    assert post(small, frame()).json()["result"]


def test_duplicate_headers(small):
    """Headers sent twice mean the same on every front: here that the body is gzip, which it is not."""
    twice = [
        ("content-encoding", "identity"),
        ("content-encoding", "gzip"),
        ("asap-version", "2.2"),
        ("asap-version", "x"),
    ]
    response = small.post("/asap", content=frame(), headers=twice)
    assert response.status_code == 400
    assert response.json()["error"]["data"]["code"] == "asap:transport/bad_encoding"

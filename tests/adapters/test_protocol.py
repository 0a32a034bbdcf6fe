"""HTTP is held to the same bounds by both servers, whatever app they serve."""

import functools
import gc
import json
import socket
import threading
import time
import weakref
from contextlib import contextmanager, suppress

import pytest

from asap_proto.limits import Limits
from hostile.sockets import Line

anyio = pytest.importorskip("anyio")

LIMITS = Limits(
    header_bytes=4096, header_count=20, header_seconds=0.4, idle_seconds=0.4, send_seconds=0.4, request_bytes=1 << 20
)


#: A request under /slow is being answered.
begun = threading.Event()
#: What stands for a request under /remembered in its server, as long as that holds it.
remembered = weakref.WeakSet()


async def app(scope, receive, send):
    """Tells what it was asked: under /deaf before it has heard all, /slow a moment later, /large at length."""
    heard = b""
    if scope["type"] != "http":
        return
    while scope["path"] != "/deaf":
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        heard += message["body"]
        if not message["more_body"]:
            break
    if scope["path"] == "/remembered":
        remembered.add(receive.__self__)
    if scope["path"] == "/slow":
        begun.set()
        await anyio.sleep(1.0)
    told = {"headers": {name.decode(): value.decode() for name, value in scope["headers"]}, "body": len(heard)}
    body = bytes(32 << 20) if scope["path"] == "/large" else json.dumps(told).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def uvicorn_serving(limits):
    """Uvicorn with our protocol; its address."""
    uvicorn = pytest.importorskip("uvicorn")
    from asap_adapters.asyncio.protocol import bounded

    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            app,
            http=bounded(limits),
            ws="none",
            lifespan="off",
            log_config=None,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        running = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        running.start()
        try:
            yield listener.getsockname()
        finally:
            server.should_exit = True
            running.join()


@contextmanager
def trio_serving(limits):
    """Our own server; its address."""
    trio = pytest.importorskip("trio")
    pytest.importorskip("httptools")
    from asap_adapters.trio.server import serve

    stop = threading.Event()
    told = functools.partial(trio.to_thread.run_sync, stop.wait)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        run = functools.partial(serve, app, listener, limits=limits, stop=told, grace_seconds=1)
        running = threading.Thread(target=trio.run, args=(run,))
        running.start()
        try:
            yield listener.getsockname()
        finally:
            stop.set()
            running.join()


@pytest.fixture(scope="module", params=[uvicorn_serving, trio_serving], ids=["asyncio", "trio"])
def serving(request):
    """What serves that app, on each runtime."""
    return request.param


@pytest.fixture(scope="module")
def address(serving):
    """A server with low limits."""
    with serving(LIMITS) as bound:
        yield bound


def get(path="/", more="", version="1.1"):
    return f"GET {path} HTTP/{version}\r\nHost: a\r\n{more}\r\n".encode()


def post(path="/", more="Transfer-Encoding: chunked\r\n"):
    return f"POST {path} HTTP/1.1\r\nHost: a\r\n{more}\r\n".encode()


def told(address, *sends, patience=5.0):
    """What comes of it until the server hangs up."""
    with Line(address) as line:
        return line.exchange(sends, to_close=True, patience=patience)


def statuses(came):
    assert came.closed
    assert not came.rest
    return [answer.status for answer in came.answers]


def test_a_good_request(address):
    """It is answered, and so is the next on the same connection."""
    with Line(address) as line:
        for body in (b"", b"x" * 100_000):
            came = line.exchange((post(more=f"Content-Length: {len(body)}\r\n") + body,))
            assert json.loads(came.answers[0].body)["body"] == len(body)
        came = line.exchange((post() + b"5\r\nhello\r\n0\r\n\r\n",))
        assert json.loads(came.answers[0].body)["body"] == 5
        assert line.is_open


def test_trailers_are_no_headers(address):
    """What comes behind the body belongs to nobody, also where all came in one packet."""
    with Line(address) as line:
        came = line.exchange((post() + b"0\r\nAuthorization: Bearer x\r\nX: y\r\n\r\n",))
    assert json.loads(came.answers[0].body)["headers"] == {"host": "a", "transfer-encoding": "chunked"}


@pytest.mark.parametrize(
    "sends",
    [
        get("/" + "a" * 5000),
        get(more="X: y\r\n" * 20),
        get(more=f"X: {'y' * 5000}\r\n"),
        get(more=f"{'X' * 5000}: y\r\n"),
        get(more=f"X: {'y' * 3000}\r\nZ: {'y' * 3000}\r\n"),
        post() + b"0\r\n" + b"X: y\r\n" * 20 + b"\r\n",
        post() + b"0\r\nX: " + b"y" * 5000 + b"\r\n\r\n",
    ],
)
def test_heads_and_trailers_are_bounded(address, sends):
    """By their bytes and their number: the line, each header, all together, and what comes behind a body."""
    assert statuses(told(address, sends)) == [431]


@pytest.mark.parametrize("start", [b"GET /", get()[:-2] + b"X: ", get()[:-2] + b"X"])
def test_what_never_ends_is_cut_off(address, start):
    """A target, a value and a name of which no end comes are refused when they have become too large."""
    sends = (start, *(piece for _ in range(8) for piece in (0.02, b"a" * 1000)))
    assert statuses(told(address, *sends)) == [431]


@pytest.mark.parametrize("around", [b"5;" + b"a" * 1000, b"0\r\nX: " + b"a" * 1000])
def test_what_is_around_a_body_is_bounded(address, around):
    """An extension of a chunk, or a trailer, of which no end comes is refused too."""
    sends = (post() + around, *(piece for _ in range(8) for piece in (0.02, b"a" * 1000)))
    assert statuses(told(address, *sends)) == [400]


def test_the_smallest_chunks_are_sound(address):
    """A body in chunks of one byte is a body."""
    with Line(address) as line:
        came = line.exchange((post(), *(b"1\r\nx\r\n" * 5000,) * 4, b"0\r\n\r\n"))
    assert json.loads(came.answers[0].body)["body"] == 20_000


@pytest.mark.parametrize("version", ["0.9", "2.0", "9.9", "1.10"])
def test_other_versions(address, version):
    """Nobody is answered in a version that it does not speak."""
    assert statuses(told(address, get(version=version))) in ([400], [505])


def test_a_line_without_a_version(address):
    """What HTTP/0.9 was is not answered."""
    assert statuses(told(address, b"GET /\r\n\r\n")) in ([400], [505])


def test_http_1_0(address):
    """The old one is, once."""
    assert statuses(told(address, get(version="1.0") + get())) == [200]


@pytest.mark.parametrize(
    ("target", "status"),
    [("http://a/", 200), ("HTTP://A/x", 200), ("http://b/", 400), ("http://a:80/", 400), ("http://b@a/", 400)],
)
def test_a_whole_url_as_target(address, target, status):
    """It names the same host as the header, which is the one that the app sees."""
    with Line(address) as line:
        assert line.exchange((get(target),)).status == status


def test_http_2_by_prior_knowledge(address):
    """HTTP/2 is not spoken."""
    assert statuses(told(address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(50))) in ([400], [505])


@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "x"])
def test_upgrades(address, upgrade):
    """A wish for another protocol is passed over; nothing that follows is taken for HTTP."""
    sends = get(more=f"Connection: Upgrade\r\nUpgrade: {upgrade}\r\n") + get()
    assert statuses(told(address, sends)) == [200]


@pytest.mark.parametrize("sends", [(), (b"GET /",), (b"\r\n\r\n",), (b"\r\n", 0.1, b"\r\n", 0.1, b"\r\n", 0.1) * 3])
def test_a_head_comes_in_time(address, sends):
    """A connection on which no whole head comes is closed, however it drips."""
    started = time.monotonic()
    came = told(address, *sends)
    assert statuses(came) == ([408] if sends == (b"GET /",) else [])
    assert time.monotonic() - started < 2.0


def test_a_head_that_drips(address):
    """The time of a head does not begin anew with each of its bytes."""
    sends = [piece for byte in get(more="X: y\r\n" * 10) for piece in (bytes([byte]), 0.05)]
    assert statuses(told(address, *sends)) == [408]


def test_an_idle_connection(address):
    """After an answer there is a while for the next request, and no longer."""
    with Line(address) as line:
        assert line.exchange((get(),)).status == 200
        assert statuses(line.exchange((), to_close=True)) == []


def test_who_waits_for_an_answer_is_not_idle(address):
    """Neither a handler's time nor an empty line meanwhile ends a connection."""
    came = told(address, get("/slow") + b"\r\n", 0.2, b"\r\n")
    assert statuses(came) == [200]


def test_an_idle_connection_holds_nothing_of_what_it_asked():
    """A request is let go once it is answered, with no need of the garbage collector."""
    with uvicorn_serving(Limits()) as address, Line(address) as line, Line(address) as other:
        gc.disable()
        try:
            assert line.exchange((get("/remembered"),)).status == 200
            assert other.exchange((get(),)).status == 200
            assert line.is_open
            assert not remembered
        finally:
            gc.enable()


def wait_busily(line):
    begun.clear()
    line.say(get("/slow"))
    assert begun.wait(10)


def test_more_connections_than_there_is_room_for(serving):
    """Whoever was answered longest ago, or never asked all, makes room; nobody does who waits for an answer."""
    with serving(Limits(connections=3)) as address, Line(address) as busy, Line(address) as oldest:
        wait_busily(busy)
        assert oldest.exchange((get(),)).status == 200
        with Line(address) as old, Line(address):
            old.say(post() + b"5\r\nhel")
            assert statuses(oldest.exchange((), to_close=True)) == []
            with Line(address) as newest:
                assert statuses(old.exchange((), to_close=True)) == []
                assert newest.exchange((get(),)).status == 200
        assert busy.exchange(()).status == 200


def test_everybody_waits_for_an_answer(serving):
    """Then it is who comes last that goes."""
    with serving(Limits(connections=1)) as address, Line(address) as busy:
        wait_busily(busy)
        with Line(address) as late:
            assert statuses(late.exchange((), to_close=True)) == []
        assert busy.exchange(()).status == 200


def test_what_follows_a_broken_request(address):
    """What came before is answered, in its order, and then what is broken; what follows is heard by nobody."""
    good, broken = get(), b"NO HTTP\r\n\r\n"
    assert statuses(told(address, good * 3 + broken + good)) == [200, 200, 200, 400]
    assert statuses(told(address, get("/slow") + good + broken + good)) == [200, 200, 400]


def test_a_broken_body(address):
    """It is refused, whether its turn has come or not."""
    broken = post() + b"5\r\nhello!\r\n0\r\n\r\n"
    assert statuses(told(address, broken + get())) == [400]
    assert statuses(told(address, post() + b"5\r\nhello\r\n", 0.1, b"x\r\n", get())) == [400]
    assert statuses(told(address, get("/slow") + broken + get())) == [200, 400]


@pytest.mark.parametrize("body", [b"", b"5\r\nhel", (b"1000\r\n" + b"x" * 4096 + b"\r\n") * 1000])
def test_an_answer_before_the_request_is_whole(address, body):
    """It says that the connection ends with it, and it does; what still comes is read by nobody."""
    came = told(address, post("/deaf") + body)
    assert statuses(came) == [200]
    assert came.answers[0].header("connection") == "close"


def test_an_answer_that_is_early_reaches_who_still_speaks(address):
    """The connection is not broken off at once: the answer would be lost with it."""
    came = told(address, post("/deaf"), 0.1, b"1\r\nx\r\n", 0.1, b"1\r\nx\r\n", 0.1, b"0\r\n\r\n" + get())
    assert statuses(came) == [200]


def test_a_reader_that_does_not_read(address):
    """It is hung up on."""
    with socket.create_connection(address) as silent:
        silent.sendall(get("/large"))
        time.sleep(1.2)
        silent.settimeout(5.0)
        heard = 0
        with suppress(ConnectionResetError):
            while chunk := silent.recv(1 << 20):
                heard += len(chunk)
    assert heard < 32 << 20


def test_a_reader_that_is_slow(address):
    """As long as it reads it is told all."""
    with socket.create_connection(address) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        slow.sendall(get("/large"))
        heard = 0
        while heard < 32 << 20:
            chunk = slow.recv(1 << 20)
            assert chunk, heard
            heard += len(chunk)
            time.sleep(0.002)

"""What only our own server on trio does: an app's life, its failures, the end, and other sockets than TCP."""

import contextvars
import functools
import logging
import os
import resource
import socket
import ssl
import threading
from contextlib import contextmanager

import pytest

from asap_proto.limits import Limits
from hostile.sockets import Line, parse

pytest.importorskip("trio")
pytest.importorskip("httptools")

import trio
import trio.testing

from asap_adapters.trio.server import AppNotStarted, serve

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@contextmanager
def serving(app, listener=None, **options):
    """A server of that app, in a thread; its socket's address, and what tells it to stop."""
    ready, stop = threading.Event(), threading.Event()

    async def main():
        async with trio.open_nursery() as nursery:
            told = functools.partial(trio.to_thread.run_sync, stop.wait)
            how = {"limits": Limits(), "grace_seconds": 10.0} | options
            await nursery.start(functools.partial(serve, app, listener, stop=told, **how))
            ready.set()

    listener = listener or socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    running = threading.Thread(target=trio.run, args=(main,))
    running.start()
    try:
        assert ready.wait(10)
        yield address, stop
    finally:
        stop.set()
        running.join(20)
        assert not running.is_alive()


def plain(answer):
    """An app that knows nothing of a lifespan, and answers so."""

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await answer(scope, receive, send)

    return app


async def hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def told(address, *sends):
    """All that comes until the server hangs up."""
    with Line(address) as line:
        return line.exchange(sends, to_close=True)


def heard_by(connection):
    """All that comes until the server hangs up, on a socket."""
    return b"".join(iter(lambda: connection.recv(1 << 20), b""))


# -- an app's life ----------------------------------------------------------------------------------------------------


def test_an_app_lives_from_its_start_to_its_end():
    """It is started before anybody is answered, ended behind the last; what it keeps is there for each request."""
    life = []

    async def app(scope, receive, send):
        if scope["type"] == "http":
            life.append(scope["state"].pop("made"))
            await hello(scope, receive, send)
            return
        for event in ("startup", "shutdown"):
            life.append((await receive())["type"])
            scope["state"]["made"] = "at the start"
            await send({"type": f"lifespan.{event}.complete"})

    with serving(app) as (address, _), Line(address) as line:
        assert [line.exchange((GET,)).status for _ in range(2)] == [200, 200]
    assert life == ["lifespan.startup", "at the start", "at the start", "lifespan.shutdown"]


def test_an_app_without_a_life_is_served():
    """One that fails at whatever is no request is taken to know of nothing else."""
    with serving(plain(hello)) as (address, _), Line(address) as line:
        assert line.exchange((GET,)).status == 200


@pytest.mark.parametrize("how", ["says so", "says so and asks on", "fails"])
def test_an_app_that_can_not_start(how):
    """It is not served, and why is told to who serves it."""

    async def app(scope, receive, send):
        await receive()
        if how == "fails":
            raise RuntimeError("no store")
        await send({"type": "lifespan.startup.failed", "message": "no store"})
        if how == "says so and asks on":
            assert await receive() == {"type": "lifespan.shutdown"}

    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(BaseExceptionGroup) as raised:
        trio.run(functools.partial(serve, app, listener, limits=Limits(), stop=trio.sleep_forever, grace_seconds=1.0))
    found = raised.value.subgroup(AppNotStarted)
    while isinstance(found, BaseExceptionGroup):
        (found,) = found.exceptions
    assert "no store" in str(found)


def test_an_app_whose_life_fails(caplog):
    """Once it runs it is served to the end; the failure is written down."""

    async def app(scope, receive, send):
        if scope["type"] == "http":
            await hello(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        raise RuntimeError("later")

    with serving(app) as (address, _), Line(address) as line:
        assert line.exchange((GET,)).status == 200
    assert [each.getMessage() for each in caplog.records] == ["the app's lifespan failed"]


# -- an app's failures ------------------------------------------------------------------------------------------------


async def raises(scope, receive, send):
    raise RuntimeError("the handler's secret")


async def raises_behind_the_start(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise RuntimeError("the handler's secret")


async def says_nothing(scope, receive, send):
    await receive()


async def says_too_much(scope, receive, send):
    await hello(scope, receive, send)
    await send({"type": "http.response.body", "body": b"more"})


async def says_what_is_none(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"a\r\nb: c")]})


async def says_it_backwards(scope, receive, send):
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("app", [raises, raises_behind_the_start, says_nothing, says_what_is_none, says_it_backwards])
def test_an_app_that_fails_is_answered_for(app, caplog):
    """With a 500 that tells nothing of it, and hangs up; the log has it, and the next caller is answered too."""
    with serving(plain(app)) as (address, _):
        for _ in range(2):
            came = told(address, GET)
            assert came.closed
            (answer,) = came.answers
            assert (answer.status, answer.body) == (500, b"Internal Server Error\n")
    assert len(caplog.records) == 2
    assert all(each.levelno == logging.ERROR for each in caplog.records)


def test_an_app_that_fails_behind_its_answer(caplog):
    """The answer stands, and the connection goes on."""
    with serving(plain(says_too_much)) as (address, _), Line(address) as line:
        assert [line.exchange((GET,)).answers[0].body for _ in range(2)] == [b"hello"] * 2
    assert len(caplog.records) == 2


@pytest.mark.parametrize("fails", [True, False])
def test_half_an_answer_breaks_off(fails, caplog):
    """It is never ended as if it were whole."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello", "more_body": True})
        if fails:
            raise RuntimeError("in the midst")

    with serving(plain(app)) as (address, _):
        came = told(address, GET)
    assert came.closed
    assert came.answers == ()
    assert came.rest.endswith(b"5\r\nhello\r\n")
    assert len(caplog.records) == 1


def test_a_connection_that_breaks_ends_alone(caplog):
    """An error that nobody foresaw costs its own connection, is written down, and the server goes on."""

    class Breaking(logging.Logger):
        def info(self, *_):
            raise RuntimeError("nobody foresaw this")

    with serving(plain(hello), access=Breaking("x")) as (address, _):
        for _ in range(2):
            assert told(address, GET).closed
    assert [each.getMessage() for each in caplog.records] == ["a connection was lost"] * 2


def test_each_answer_is_told(caplog):
    """To the log of who wants it: who asked, for what, and how it was answered."""
    caplog.set_level(logging.INFO, "access")
    with serving(plain(hello), access=logging.getLogger("access")) as (address, _):
        told(address, LAST.replace(b"/ ", b"/a?b ", 1))
    (line,) = [each.getMessage() for each in caplog.records]
    assert line.startswith("('127.0.0.1', ")
    assert line.endswith(' "GET /a?b" 200')


# -- one request and the next -----------------------------------------------------------------------------------------


def test_nothing_of_one_request_is_there_in_the_next():
    """What an app sets in its context is gone with the request, on one connection too."""
    known = contextvars.ContextVar("known", default="nobody")

    async def app(scope, receive, send):
        before = known.get()
        known.set("somebody")
        await trio.lowlevel.checkpoint()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": before.encode()})

    with serving(plain(app)) as (address, _):
        came = told(address, GET + GET, 0.05, GET + LAST)
    assert [each.body for each in came.answers] == [b"nobody"] * 4


def test_a_task_that_an_app_leaves_behind_hears_nothing_of_the_next_request():
    """Whoever still waits for the caller is told that it has its answer; what comes then is the next request's."""
    heard, over, nurseries = [], threading.Event(), []

    async def app(scope, receive, send):
        async def wait():
            heard.append((await receive())["type"])
            if len(heard) == 2:
                over.set()

        if scope["type"] == "http":
            while (await receive())["more_body"]:
                pass
            nurseries[0].start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            await hello(scope, receive, send)
            return
        async with trio.open_nursery() as nursery:
            nurseries.append(nursery)
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    with serving(app) as (address, _), Line(address) as line:
        assert [line.exchange((GET,)).status for _ in range(2)] == [200, 200]
        assert over.wait(10)
    assert heard == ["http.disconnect"] * 2


def test_an_answer_that_was_cut_off_goes_on_where_it_was():
    """An app that gives up waiting for a slow reader, and says the end, leaves no gap in what it has said."""
    large = bytes(8 << 20)

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with trio.move_on_after(0.05) as patience:
            await send({"type": "http.response.body", "body": large, "more_body": True})
        assert patience.cancelled_caught
        slow.set()
        await send({"type": "http.response.body", "body": b"end"})

    slow = threading.Event()
    with serving(plain(app)) as (address, _), socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        reader.connect(address)
        reader.sendall(LAST)
        assert slow.wait(10)
        ((answer,), rest) = parse(heard_by(reader))
    assert (answer.body, rest) == (large + b"end", b"")


def test_who_waits_for_the_end_of_a_request_is_told_of_a_caller_who_leaves():
    """An app that is at something else hears that nobody is there any more; what it then says goes nowhere."""
    begun, gone = threading.Event(), threading.Event()

    async def app(scope, receive, send):
        assert (await receive())["more_body"] is False
        begun.set()
        assert await receive() == {"type": "http.disconnect"}
        await hello(scope, receive, send)
        gone.set()

    with serving(plain(app)) as (address, _):
        with Line(address) as line:
            line.say(GET)
            assert begun.wait(10)
        assert gone.wait(10)


def test_any_task_of_an_app_may_ask_for_the_caller():
    """Two that wait at the same time are told both; one that only looks, and does not wait, is told too."""
    begun, gone, looked = threading.Event(), threading.Event(), []

    async def app(scope, receive, send):
        async def look():
            with trio.CancelScope() as scope:
                scope.cancel()
                return (await receive())["type"]

        await receive()
        looked.append(await look())
        begun.set()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            nursery.start_soon(receive)
        looked.append(await look())
        gone.set()

    with serving(plain(app)) as (address, _):
        with Line(address) as line:
            line.say(GET)
            assert begun.wait(10)
        assert gone.wait(10)
    assert looked == [None, "http.disconnect"]


# -- the end ----------------------------------------------------------------------------------------------------------


def test_requests_may_end_once_the_server_is_told_to_stop():
    """Who waits for an answer gets it, and hears that it is the last; nobody else is waited for, or let in."""
    begun, go_on = threading.Event(), threading.Event()

    async def app(scope, receive, send):
        begun.set()
        await trio.to_thread.run_sync(go_on.wait)
        await hello(scope, receive, send)

    with serving(plain(app)) as (address, stop), Line(address) as idle, Line(address) as half, Line(address) as busy:
        half.say(GET[:-2])
        busy.say(GET + GET)
        assert begun.wait(10)
        stop.set()
        assert idle.exchange((), to_close=True).closed
        assert half.exchange((), to_close=True).closed
        with pytest.raises(ConnectionRefusedError):
            Line(address)
        go_on.set()
        came = busy.exchange((), to_close=True)
    assert [each.header("connection") for each in came.answers] == ["close"]
    assert came.closed


def test_requests_that_do_not_end_are_cut_off():
    """Once the grace is over, whatever they do."""
    begun, cut = threading.Event(), threading.Event()

    async def app(scope, receive, send):
        begun.set()
        try:
            await trio.sleep_forever()
        finally:
            cut.set()

    with serving(plain(app), grace_seconds=0.05) as (address, stop), Line(address) as line:
        line.say(GET)
        assert begun.wait(10)
        stop.set()
        assert line.exchange((), to_close=True).closed
    assert cut.is_set()


# -- sockets ----------------------------------------------------------------------------------------------------------


class Told(logging.Handler):
    """Says when something is logged."""

    def __init__(self):
        super().__init__()
        self.told = threading.Event()

    def emit(self, record):
        self.told.set()


def test_no_room_for_another_connection(caplog):
    """A server that may open no more files says so, once, and lets its callers in when it may again."""
    heard = Told()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with serving(plain(hello)) as (address, _), socket.socket() as caller:
        free = os.dup(caller.fileno())
        os.close(free)
        logging.getLogger("asap_adapters.server").addHandler(heard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, most[1]))
        try:
            caller.connect(address)
            assert heard.told.wait(10)
            heard.told.clear()
            assert not heard.told.wait(0.3)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, most)
            logging.getLogger("asap_adapters.server").removeHandler(heard)
        caller.sendall(LAST)
        assert caller.recv(1000).startswith(b"HTTP/1.1 200 OK")
    assert len(caplog.records) == 1


async def echo(scope, receive, send):
    """Tells the body it was sent, and how it was reached."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    where = repr([scope["scheme"], scope["server"], scope["client"]]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-where", where)]})
    await send({"type": "http.response.body", "body": body})


def asked(connection, body):
    """The answer to a body, over a connection of whatever kind that the server ends with it."""
    length = len(body)
    connection.sendall(f"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n".encode())
    connection.sendall(body)
    ((answer,), rest) = parse(heard_by(connection))
    assert (answer.status, rest) == (200, b"")
    return answer


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no such sockets here")
def test_a_unix_socket(tmp_path):
    """It is served as TCP is; its callers have no address."""
    path = str(tmp_path / "socket")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    with serving(plain(echo), listener), socket.socket(socket.AF_UNIX) as caller:
        caller.connect(path)
        answer = asked(caller, b"hello")
    assert answer.body == b"hello"
    assert answer.header("x-where") == repr(["http", (path, None), None])


@pytest.fixture
def contexts(tmp_path):
    """TLS for a server, and for whoever trusts it."""
    pytest.importorskip("cryptography")
    from scenarios.ears import certified

    server, issuer = certified(tmp_path, "127.0.0.1")
    return server, ssl.create_default_context(cadata=issuer)


@contextmanager
def secured(address, context):
    with (
        socket.create_connection(address, timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as secure,
    ):
        yield secure


@pytest.mark.parametrize("body", [b"hello", bytes(range(256)) * 4096])
def test_tls(contexts, body):
    """What is said is what is heard, of any size, and the end is said as TLS wants it."""
    ours, theirs = contexts
    with serving(plain(echo), tls=ours) as (address, _), secured(address, theirs) as caller:
        here = caller.getsockname()
        answer = asked(caller, body)
    assert answer.body == body
    assert answer.header("x-where") == repr(["https", address, here])


def test_tls_is_held_to_the_same_bounds(contexts):
    """A connection goes on for the next request, and is refused half a head that is late."""
    ours, theirs = contexts
    limits = Limits(header_seconds=0.3)
    with serving(plain(hello), tls=ours, limits=limits) as (address, _), secured(address, theirs) as caller:
        for _ in range(2):
            caller.sendall(GET)
            assert caller.recv(1000).endswith(b"hello")
        caller.sendall(GET[:-2])
        assert caller.recv(1000).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("sends", [b"", GET, b"\x16\x03\x01"])
def test_what_is_no_tls(contexts, sends, caplog):
    """It is hung up on in time, without a word, and nobody else notices."""
    ours, theirs = contexts
    with serving(plain(echo), tls=ours, limits=Limits(header_seconds=0.3)) as (address, _):
        came = told(address, sends)
        assert came.closed
        assert came.answers == ()
        with secured(address, theirs) as caller:
            assert asked(caller, b"hello").body == b"hello"
    assert caplog.records == []


def test_nobody_is_waited_for_who_found_no_room(contexts):
    """Whoever comes while all others wait for answers is hung up on before the handshake, and says nothing there."""
    begun, go_on = threading.Event(), threading.Event()

    async def app(scope, receive, send):
        begun.set()
        await trio.to_thread.run_sync(go_on.wait)
        await hello(scope, receive, send)

    ours, theirs = contexts
    with serving(plain(app), tls=ours, limits=Limits(connections=1)) as (address, _), secured(address, theirs) as busy:
        busy.sendall(LAST)
        assert begun.wait(10)
        with Line(address) as line:
            assert line.exchange((), to_close=True).closed
        go_on.set()
        assert heard_by(busy).endswith(b"hello")


def test_a_caller_who_leaves_over_tls(contexts):
    """It is noticed there too, though what it has sent is not read."""
    begun, gone = threading.Event(), threading.Event()

    async def app(scope, receive, send):
        await receive()
        begun.set()
        assert await receive() == {"type": "http.disconnect"}
        gone.set()

    ours, theirs = contexts
    with serving(plain(app), tls=ours) as (address, _):
        with secured(address, theirs) as caller:
            caller.sendall(GET + GET)
            assert begun.wait(10)
        assert gone.wait(10)

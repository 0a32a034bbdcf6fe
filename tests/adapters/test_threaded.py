"""A sync agent behind an event loop, as `asap serve` has it: who is slow holds no thread, who is gone no place."""

import socket
import threading
import time
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from asap_adapters.sync import Agent, Client
from asap_proto import Limits
from asap_proto.errors import AsapError, Overloaded, Unauthenticated
from asap_proto.model import TaskResponse
from asap_proto.rules.retry import RetryRule

uvicorn = pytest.importorskip("uvicorn")

ME, WORKER = "urn:asap:agent:me", "urn:asap:agent:worker"
ONCE = RetryRule(attempts=1)


@contextmanager
def served(agent):
    """The agent on uvicorn in a thread; its URL."""
    from asap_adapters.asyncio.protocol import bounded
    from asap_adapters.cli.threaded import ThreadedApp

    app = ThreadedApp(agent.app())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, http=bounded(app.limits), ws="none", lifespan="on", log_config=None)
        server = uvicorn.Server(config)
        running = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        running.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            running.join()


def agent_of(**options):
    agent = Agent(WORKER, **options)

    @agent.skill("echo")
    def echo(task):
        return {"echoed": task.input}

    @agent.skill("steps")
    def steps(task):
        for percent in (25, 50):
            task.progress(percent)
        return {"done": True}

    return agent


def test_requests_and_streams():
    """Both are answered, the parts of a stream as they come."""
    held = threading.Event()
    agent = agent_of()

    @agent.skill("held")
    def told(task):
        task.progress(50)
        held.wait(10)
        return {"done": True}

    with served(agent) as url, Client(url, me=ME) as client:
        assert client.request("echo", {"n": 1}).result == {"echoed": {"n": 1}}
        with client.stream("held", {}) as updates:
            assert next(each.progress for each in updates if each.progress)["percent"] == 50
            held.set()
            *_, last = updates
        assert isinstance(last, TaskResponse)
        assert last.result == {"done": True}
        assert client.manifest().id == WORKER


@pytest.mark.parametrize("size", [2_000, 40_000])
def test_large_answers_are_compressed(size):
    """By the thread that answers, and what is published by one of its own."""
    agent = agent_of(compress=True)
    with served(agent) as url, httpx.Client(base_url=url, trust_env=False) as http:
        with Client(url, me=ME, compress=True) as client:
            for _ in range(2):
                assert client.request("echo", {"n": [1] * size}).result == {"echoed": {"n": [1] * size}}
        counted = http.get("/asap/metrics", headers={"accept-encoding": "gzip"})
        assert counted.headers["content-encoding"] == "gzip"
        assert "asap_" in counted.text


def test_slow_callers_hold_no_thread():
    """However many callers never end their request, another one is answered, with a single thread for handlers."""
    agent = agent_of(limits=Limits(handler_threads=1, body_seconds=30.0))
    with served(agent) as url, ExitStack() as stack:
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        for target in ("/asap", "/asap/stream"):
            for _ in range(30):
                slow = stack.enter_context(socket.create_connection(address))
                head = f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                slow.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        with Client(url, me=ME, retry=ONCE) as client:
            assert client.request("echo", {}).result == {"echoed": {}}


def test_every_thread_is_taken():
    """More than there are threads for are told to come again, and who asks for health is answered meanwhile."""
    begun, held = threading.Event(), threading.Event()
    agent = agent_of(limits=Limits(handler_threads=1))

    @agent.skill("held")
    def told(task):
        begun.set()
        held.wait(10)
        return {}

    with served(agent) as url, Client(url, me=ME, retry=ONCE) as client:
        first = threading.Thread(target=client.request, args=("held", {}))
        first.start()
        try:
            assert begun.wait(10)
            with pytest.raises(Overloaded) as refused:
                client.request("echo", {})
            assert refused.value.retry_after == 1
            assert httpx.get(f"{url}/health").status_code == 200
            assert httpx.get(f"{url}/ready").status_code == 503
        finally:
            held.set()
            first.join()
        assert client.request("echo", {}).result == {"echoed": {}}


def test_a_reader_that_is_gone_holds_no_place():
    """A stream ends when its reader hangs up, not when there is next something to tell it."""
    held = threading.Event()
    agent = agent_of(limits=Limits(handler_threads=1, stream_beat_seconds=60.0))

    @agent.skill("held")
    def told(task):
        task.progress(50)
        held.wait(20)
        return {}

    with served(agent) as url:
        with Client(url, me=ME) as gone, gone.stream("held", {}) as updates:
            next(each for each in updates if each.progress)
        try:
            with Client(url, me=ME, retry=ONCE) as client:
                until = time.monotonic() + 10
                while True:
                    try:
                        # The task goes on, and takes the one thread for work; to follow takes one for streams.
                        with client.stream("steps", {}) as updates:
                            next(updates)
                    except AsapError as error:
                        if "streams" not in str(error):
                            return
                        assert time.monotonic() < until, "the place is held"
                        time.sleep(0.05)
                    else:
                        return
        finally:
            held.set()


def test_a_validator_that_takes_too_long():
    """It lets nobody in, and holds up nobody who needs none."""
    held = threading.Event()

    def wait(token):
        held.wait(10)
        return ME

    agent = agent_of(token_validator=wait, limits=Limits(auth_seconds=0.2, handler_threads=2))
    with served(agent) as url, Client(url, me=ME, token="t", retry=ONCE) as client:
        try:
            for _ in range(2):
                with pytest.raises(Unauthenticated):
                    client.request("echo", {})
            # Nor are there ever more threads that wait for it.
            with pytest.raises(Overloaded):
                client.request("echo", {})
            assert httpx.get(f"{url}/health").status_code == 200
        finally:
            held.set()
        assert client.request("echo", {}).result == {"echoed": {}}


def test_unknown_callers_cost_a_head():
    """Who is not let in is told so before its body has come."""
    agent = agent_of(token_validator=lambda token: None)
    with (
        served(agent) as url,
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=10) as stranger,
    ):
        head = "POST /asap HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        stranger.sendall(f"{head}Content-Length: 1000000\r\n\r\n".encode())
        heard = b""
        while chunk := stranger.recv(1 << 16):
            heard += chunk
    assert b"asap:auth/unauthenticated" in heard
    assert b"connection: close" in heard

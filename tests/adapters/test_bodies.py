"""Bodies as an ASGI server hands them on: in one piece, in several, or not at all."""

import importlib
import json

import anyio
import anyio.lowlevel
import pytest

from asap_proto import Limits
from asap_testkit import PEER, request_frame

MOST = 2000
#: Less than one body may have: so one that is not counted here is found out.
HELD = 1990
FRAME = json.dumps(request_frame(timestamp=None)).encode()


def of_size(size):
    """A good request of so many bytes."""
    return FRAME + b" " * (size - len(FRAME))


def whole(body):
    return [{"type": "http.request", "body": body, "more_body": False}]


def halves(body):
    middle = len(body) // 2
    return [{"type": "http.request", "body": body[:middle], "more_body": True}, *whole(body[middle:])]


@pytest.fixture(params=["asyncio", "trio"])
def asked(request):
    """What an app answers these messages, and what it then still holds; after them its caller says nothing."""
    front = importlib.import_module(f"asap_adapters.{request.param}")
    agent = front.Agent(PEER, limits=Limits(request_bytes=MOST, held_bytes=HELD))

    @agent.skill("echo")
    async def echo(task):
        return {"echoed": task.input}

    app = agent.app()

    def ask(messages, *headers):
        sent = []
        left = [*messages]

        async def receive():
            if not left:
                await anyio.sleep_forever()
            return left.pop(0)

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/asap",
            "headers": [(b"content-type", b"application/json"), *headers],
            "client": ("192.0.2.1", 1),
        }
        anyio.run(app, scope, receive, send, backend=request.param)
        assert (app._load.bytes, app._load.requests, app._waits) == (0, 0, set())
        if not sent:
            return None
        start, end = sent
        return start["status"], json.loads(end["body"])

    return ask


@pytest.mark.parametrize("parted", [whole, halves])
@pytest.mark.parametrize("headers", [(), ((b"content-encoding", b"identity"),)])
def test_a_body_may_be_as_large_as_the_limits_say(asked, parted, headers):
    """As one body, and as all that are held together; and not a byte larger, however it comes."""
    status, answer = asked(parted(of_size(HELD)), *headers)
    assert (status, "result" in answer) == (200, True)
    for size in (HELD + 1, MOST):
        status, answer = asked(parted(of_size(size)), *headers)
        assert (status, answer["error"]["data"]["code"]) == (503, "asap:transport/thread_pool_exhausted")
    status, answer = asked(parted(of_size(MOST + 1)), *headers)
    assert (status, answer["error"]["data"]["code"]) == (413, "asap:transport/too_large")


@pytest.mark.parametrize("messages", [whole(b""), [{"type": "http.request"}]])
def test_a_body_that_is_empty_is_no_json(asked, messages):
    """Whether it is said to be empty, or not said to be any."""
    status, answer = asked(messages)
    assert (status, answer["error"]["code"]) == (200, -32700)


@pytest.mark.parametrize("said", [[], halves(of_size(MOST))[:1]])
def test_who_hangs_up_before_all_is_said_is_not_answered(asked, said):
    """Neither who has said something, nor who has said nothing; and nothing of it is held."""
    assert asked([*said, {"type": "http.disconnect"}]) is None


def test_who_is_cut_off_just_as_its_body_goes_on_is_waited_for_no_more(runtime):
    """At the end of the grace: a piece that comes in that very moment does not begin the wait anew."""

    async def main():
        app = runtime.front.Agent(PEER).app()
        came, sent = anyio.Event(), []

        async def receive():
            if came.is_set():
                await anyio.sleep_forever()
            await came.wait()
            return {"type": "http.request", "body": b"{", "more_body": True}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/asap", "headers": [(b"content-type", b"application/json")]}
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(app, scope, receive, send)
                while not app._waits:
                    await anyio.lowlevel.checkpoint()
                came.set()
                app._wait_no_more()
        assert sent[0]["status"] == 503
        assert not app._waits

    runtime.run(main)

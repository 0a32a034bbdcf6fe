"""How each front runs handlers: in time, in threads, of the right colour."""

import asyncio
import gc
import json
import threading
import time

import anyio
import anyio.lowlevel
import pytest

import asap_adapters.sync
from asap_proto import Limits, Misuse
from asap_proto.errors import TakenOver

from .test_cancelling import ME, WORKER, Caller, frame


def code(caller):
    return json.loads(caller.body)["error"]["data"]["code"]


@pytest.mark.parametrize("colour", ["async", "plain"])
def test_handler_timeout(runtime, colour):
    """A handler that runs too long is cut off and told so; a thread keeps its place until it ends."""
    agent = runtime.front.Agent(WORKER, limits=Limits(handler_seconds=0.05, handler_threads=1))
    if colour == "async":

        @agent.skill("slow")
        async def slow(task):
            await anyio.sleep(5)
    else:

        @agent.skill("slow")
        def slow(task):
            time.sleep(0.2)

    async def main():
        app = agent.app()
        assert code(await Caller(app, frame("slow"))()) == "asap:execution/timed_out"
        if colour == "plain":
            assert code(await Caller(app, frame("slow"))()) == "asap:transport/thread_pool_exhausted"
        assert app._perform.__self__._active == 0

    runtime.run(main)


@pytest.mark.parametrize("ends", ["late", "failed", "well"])
def test_a_handler_that_first_waits_in_scopes_of_its_own(runtime, ends):
    """It is cut off in time, fails and returns as any other, and the next request of the same caller is answered."""
    agent = runtime.front.Agent(WORKER, limits=Limits(handler_seconds=0.05 if ends == "late" else 5))

    @agent.skill("nest")
    async def nest(task):
        with anyio.move_on_after(4), anyio.CancelScope(shield=ends == "well"):
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep, 5 if ends == "late" else 0)
                await anyio.lowlevel.checkpoint()
        if ends == "failed":
            raise ValueError
        return task.input

    @agent.skill("fail")
    async def fail(task):
        raise ValueError

    @agent.skill("echo")
    async def echo(task):
        return task.input

    async def main():
        app = agent.app()
        answer = await Caller(app, frame("nest"))()
        if ends == "well":
            assert "result" in json.loads(answer.body)
        else:
            assert code(answer) == f"asap:execution/{'timed_out' if ends == 'late' else 'handler_failed'}"
        assert code(await Caller(app, frame("fail"))()) == "asap:execution/handler_failed"
        assert "result" in json.loads((await Caller(app, frame("echo"))()).body)
        assert app._perform.__self__._active == 0

    runtime.run(main)


def test_plain_handlers_do_not_block(runtime):
    """As many plain functions run at once as the limit allows; one more is refused, with Retry-After."""
    agent = runtime.front.Agent(WORKER, limits=Limits(handler_threads=3))
    together = threading.Barrier(4)

    @agent.skill("meet")
    def meet(task):
        together.wait(10)

    async def main():
        app = agent.app()
        callers = [Caller(app, frame("meet")) for _ in range(3)]
        async with anyio.create_task_group() as group:
            for caller in callers:
                group.start_soon(caller)
            while together.n_waiting < 3:  # noqa: ASYNC110
                await anyio.sleep(0.001)
            assert code(await Caller(app, frame("meet"))()) == "asap:transport/thread_pool_exhausted"
            together.wait(10)
        assert [caller.status for caller in callers] == [200] * 3

    runtime.run(main)


def test_async_handlers_are_refused_by_sync():
    """The sync front refuses an ``async def`` when it is registered, and names the fronts that run it."""
    agent = asap_adapters.sync.Agent(WORKER)

    async def summarise(task):
        return {}

    class Callable:
        async def __call__(self, task):
            return {}

    for handler in (summarise, Callable()):
        with pytest.raises(Misuse, match=r"asap_adapters.asyncio or asap_adapters.trio"):
            agent.skill("summarise")(handler)
    assert agent.manifest().capabilities.skills == ()


@pytest.mark.parametrize("host", ["a b", "http://a", ""])
def test_a_host_that_is_none(host):
    """What no request can be for is told when the agent is made."""
    with pytest.raises(Misuse, match="is no host"):
        asap_adapters.sync.Agent(WORKER, hosts=["localhost", host])
    assert asap_adapters.sync.Agent(WORKER, hosts=["Agents.example:1"]).settings.hosts == {"agents.example"}


@pytest.mark.parametrize("when", ["at once", "later"])
def test_a_handlers_own_cancelled_error(when):
    """A handler that awaits what somebody else cancelled has failed; the request was not cancelled."""
    from asap_adapters.asyncio import Agent

    agent = Agent(WORKER)

    @agent.skill("wait")
    async def wait(task):
        other = asyncio.ensure_future(asyncio.sleep(9))
        asyncio.get_running_loop().call_soon(other.cancel)
        if when == "at once":
            other = asyncio.get_running_loop().create_future()
            other.cancel()
        await other

    async def main():
        return await Caller(agent.app(), frame("wait"))()

    assert code(asyncio.run(main())) == "asap:execution/handler_failed"


def test_an_abandoned_thread_may_still_report(runtime):
    """What a plain function calls on its task after it was cut off neither hangs nor harms, but ends it."""
    agent = runtime.front.Agent(WORKER, limits=Limits(handler_seconds=0.02))
    is_over, told = threading.Event(), threading.Event()

    @agent.skill("late")
    def late(task):
        is_over.wait(10)
        with pytest.raises(TakenOver):
            task.progress(50)
        told.set()

    async def main():
        assert code(await Caller(agent.app(), frame("late"))()) == "asap:execution/timed_out"
        is_over.set()
        with anyio.fail_after(2):
            while not told.is_set():  # noqa: ASYNC110
                await anyio.sleep(0.01)

    runtime.run(main)


def test_nothing_blocks_the_loop(caplog):
    """Asyncio's debug mode sees no callback that takes as long as a handler in a thread, nor half as long."""
    from asap_adapters.asyncio import Agent, Client, serving

    agent = Agent(WORKER)

    @agent.skill("echo")
    def echo(task):
        time.sleep(1.5)
        return {"length": len(task.input["text"])}

    async def main():
        # Other processes may keep this one waiting for some tenths of a second.
        asyncio.get_running_loop().slow_callback_duration = 0.75
        async with serving(agent.app()) as url, Client(url, me=ME) as client:
            assert (await client.request("echo", {"text": "x" * 200_000})).result == {"length": 200_000}

    asyncio.run(main(), debug=True)
    assert "Executing" not in caplog.text


@pytest.mark.parametrize(
    ("path", "root", "found"),
    [
        ("/asap", "", True),
        ("/agents/a/asap", "/agents/a", True),
        ("/asap", "/agents/a", True),
        ("/asap/asap", "/asap", True),
        ("/asap", "/a", True),
        ("/aasap", "/a", False),
        ("/agents/asap", "", False),
    ],
)
def test_mounted(runtime, path, root, found):
    """A framework may mount the app under any path; a server may or may not take it out of the path."""
    agent = runtime.front.Agent(WORKER)

    async def main():
        return await Caller(agent.app(), frame(), path=path, root_path=root)()

    assert (runtime.run(main).status == 200) is found


def test_other_scopes(runtime):
    """A websocket is closed before it opens."""
    said = []

    async def main():
        async def send(message):
            said.append(message["type"])

        await runtime.front.Agent(WORKER).app()({"type": "websocket"}, None, send)

    runtime.run(main)
    assert said == ["websocket.close"]


def test_lifespan_closes_peers(runtime):
    """When its server shuts down, an agent gives back its connections to peers."""
    agent = runtime.front.Agent(WORKER, peers={ME: "http://127.0.0.1:1"})

    async def main():
        async with runtime.front.serving(agent.app()):
            client = agent.peer(ME)
            assert agent.peer(ME) is client
        assert client._transport._pool.is_closed
        assert agent._clients == {}

    runtime.run(main)


def test_shutdown_with_a_client_connected(runtime):
    """A client that keeps its connection open does not hold up the shutdown."""
    agent = runtime.front.Agent(WORKER)

    @agent.skill("echo")
    async def echo(task):
        return {}

    async def main():
        async with runtime.front.Client("http://127.0.0.1:1", me=ME, peer=WORKER):
            begin = time.monotonic()
            async with runtime.front.serving(agent.app()) as url:
                client = runtime.front.Client(url, me=ME)
                await client.request("echo", {})
            took = time.monotonic() - begin
            await client.aclose()
        assert took < 2

    runtime.run(main)


def test_block_that_raises(runtime):
    """What the block of `serving` raises comes out as it is, and the server is gone."""

    async def main():
        async with runtime.front.serving(runtime.front.Agent(WORKER).app()):
            raise Misuse("as it is")

    with pytest.raises(Misuse, match="as it is"):
        runtime.run(main)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("ends", ["closed", "left open"])
def test_peers_of_each_run(runtime, ends):
    """An agent may be used in one run after another: each has connections of its own, and the last one's go."""
    echo = runtime.front.Agent(WORKER)

    @echo.skill("echo")
    async def say(task):
        return task.input

    agent = runtime.front.Agent(ME)
    clients = []

    async def main():
        async with runtime.front.serving(echo.app()) as url:
            agent.reconfigure(peers={WORKER: url})
            client = agent.peer(WORKER)
            assert agent.peer(WORKER) is client
            clients.append(client)
            assert (await client.request("echo", {"x": 1})).result == {"x": 1}
            if ends == "closed":
                await agent.aclose()

    for _ in range(3):
        runtime.run(main)
    assert len({id(client) for client in clients}) == 3
    clients.clear()
    gc.collect()
    assert len(agent._clients) <= (0 if ends == "closed" else 1)
    # A connection that was left open in a run that is over ends here, and not in another test.
    agent._forget()
    gc.collect()


def test_a_peer_named_before_the_run(runtime):
    """A client may be made before anything runs, and is closed with the agent."""
    agent = runtime.front.Agent(ME, peers={WORKER: "http://127.0.0.1:1"})
    client = agent.peer(WORKER)
    assert agent.peer(WORKER) is client
    runtime.run(agent.aclose)
    assert client._transport._pool.is_closed


def test_ready_as_the_lifespan_says(runtime):
    """An app is not ready once its server shuts it down, and again when it is started anew; others do not care."""
    agent = runtime.front.Agent(WORKER)

    async def ready(app):
        return (await Caller(app, b"", path="/ready", method="GET")()).status

    async def main():
        app, other = agent.app(), agent.app()
        seen = []

        async def receive():
            seen.append(await ready(app))
            return {}

        async def send(message):
            seen.append((message["type"].rpartition(".")[0], await ready(app)))

        for _ in range(2):
            await app({"type": "lifespan"}, receive, send)
        once = [("lifespan.startup", 200), 200, ("lifespan.shutdown", 503)]
        assert seen == [200, *once, 503, *once]
        assert await ready(other) == 200

    runtime.run(main)


@pytest.mark.parametrize("slow", [False, True])
def test_a_validator_that_waits(runtime, slow, caplog):
    """An async validator is asked; one that takes too long lets nobody in."""

    async def validate(token):
        await (anyio.sleep(9) if slow else anyio.lowlevel.checkpoint())
        return ME

    agent = runtime.front.Agent(WORKER, token_validator=validate, limits=Limits(auth_seconds=0.05))

    @agent.skill("echo")
    async def echo(task):
        return {}

    async def main():
        return await Caller(agent.app(), frame("echo"), headers=[(b"authorization", b"Bearer x")])()

    caller = runtime.run(main)
    if slow:
        assert code(caller) == "asap:auth/unauthenticated"
        assert "the validator failed (bearer)" in caplog.text
    else:
        assert "result" in json.loads(caller.body)


class Message:
    """What a server gives that is no coroutine, and waits once or not at all."""

    def __init__(self, message, *, waits=False):
        self.message = message
        self.waits = waits

    def __await__(self):
        if self.waits:
            yield from anyio.lowlevel.checkpoint().__await__()
        return self.message


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "late"])
@pytest.mark.parametrize("cuts", [(), (20,), (0, 7, 20)], ids=["one", "two", "four"])
@pytest.mark.parametrize("ends", [True, False], ids=["whole", "hung up"])
def test_a_body_however_it_is_given(runtime, cuts, waits, ends):
    """In one piece or in many, each there or waited for, by a coroutine or another awaitable; or not to its end."""
    agent = runtime.front.Agent(WORKER)

    @agent.skill("echo")
    async def echo(task):
        return {"got": task.input}

    text = json.dumps(frame(x=1)).encode()

    async def answered(app, gives):
        pieces = [text[first:last] for first, last in zip((0, *cuts), (*cuts, len(text)), strict=True)]
        messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        messages[-1] = messages[-1] | {"more_body": False} if ends else {"type": "http.disconnect"}
        sent = []

        async def send(message):
            sent.append(message)

        await app(Caller(app, b"").scope, lambda: gives(messages.pop(0)), send)
        return sent

    async def main():
        app = agent.app()

        async def coroutine(message):
            return await Message(message, waits=waits)

        for gives in (coroutine, lambda message: Message(message, waits=waits)):
            sent = await answered(app, gives)
            assert [b'"got":{"x":1}' in sent[1]["body"]] == [True] if ends else sent == []
        assert app._load.bytes == 0
        assert not app._load.waits

    runtime.run(main)

"""Cancelled at any await, a client and a server leave nothing behind."""

import functools
import inspect
import json
import threading
import time
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest

from asap_adapters.stores.manifests import ManifestDirectory
from asap_proto import Limits, TaskRequest
from asap_proto.errors import AsapError, SkillNotFound

from .cutting import cut_any_time, cut_everywhere

ME, WORKER = "urn:asap:agent:me", "urn:asap:agent:worker"


def served_agent(front, **options):
    agent = front.Agent(WORKER, **options)

    @agent.skill("echo")
    async def echo(task):
        await anyio.lowlevel.checkpoint()
        return task.input

    @agent.skill("tell")
    async def tell(task):
        for n in range(3):
            await task.progress(n)
            await anyio.lowlevel.checkpoint()
        return task.input

    return agent


def frame(skill="echo", *, key=None, **input):
    envelope = {
        "asap_version": "0.1",
        "id": "letter",
        "sender": ME,
        "recipient": WORKER,
        "payload_type": "task.request",
        "payload": {"conversation_id": "c", "skill_id": skill, "input": input},
    }
    return {"jsonrpc": "2.0", "method": "asap.send", "params": {"envelope": envelope, "idempotency_key": key}, "id": 1}


TRANSPORTS = pytest.mark.parametrize("kind", ["PooledTransport", "HttpxTransport"])


def client_of(runtime, kind, url, **options):
    if kind == "HttpxTransport":  # the other is every client's own
        options["transport"] = runtime.front.HttpxTransport(url, Limits())
    return runtime.front.Client(url, me=ME, **options)


def check_at_rest(client):
    """No connection is in use, and nobody waits for one."""
    transport = client._transport
    if hasattr(transport, "_client"):
        pool = transport._client._transport._pool
        assert [one for one in pool.connections if not (one.is_idle() or one.is_closed())] == []
        assert not pool._requests
    else:
        pool = transport._pool
        assert (pool.waiting, pool.places) == (0, pool.idle)


@TRANSPORTS
@pytest.mark.parametrize("what", ["request", "send", "send_batch", "fan out", "manifest"])
def test_client(runtime, what, kind, tmp_path):
    """After each cut no connection is in use, nobody is waited for, and the client goes on."""

    async def main():
        served = runtime.front.serving(served_agent(runtime.front).app())
        store = ManifestDirectory(tmp_path / "manifests")
        manifests = runtime.front.ManifestCache(store)
        async with served as url, client_of(runtime, kind, url, manifests=manifests) as client:
            client.role._takes_batches = what != "fan out"

            def letter():
                return client.role.compose(WORKER, TaskRequest("c", "echo", {}))

            async def act():
                if what == "request":
                    client._peer = None
                    await client.request("echo", {})
                elif what == "send":
                    await client.send(letter())
                elif what == "manifest":
                    manifests.drop(client.role._discovery._keys)
                    if (saved_as := client.role._discovery._saved_as) is not None:
                        store.save(saved_as, None)
                    await client.manifest()
                else:
                    await client.send_batch([letter() for _ in range(4)])

            async def look():
                check_at_rest(client)
                assert not manifests.flights

            cut = cut_any_time if what == "fan out" else cut_everywhere
            assert await cut(act, look) > 1
            assert (await client.request("echo", {"x": 1})).result == {"x": 1}

    runtime.run(main)


@TRANSPORTS
@pytest.mark.parametrize("what", ["to its end", "left early", "follow", "refused"])
def test_client_stream(runtime, what, kind):
    """So it is while it follows a task, and after it has left before the end."""

    async def main():
        served = runtime.front.serving(served_agent(runtime.front).app())
        async with served as url, client_of(runtime, kind, url) as client:
            task_id = (await client.request("tell", {})).task_id

            async def act():
                if what == "refused":
                    with pytest.raises(SkillNotFound):
                        async with client.stream("missing", {}) as payloads:
                            await anext(payloads)
                    return
                opened = client.follow(task_id) if what == "follow" else client.stream("tell", {})
                async with opened as payloads:
                    async for _ in payloads:
                        if what == "left early":
                            break

            async def look():
                check_at_rest(client)

            assert await cut_everywhere(act, look) > 1
            async with client.stream("tell", {"x": 1}) as payloads:
                assert [payload async for payload in payloads][-1].result == {"x": 1}

    runtime.run(main)


class Caller:
    """An ASGI server of one request: its body comes in pieces, each awaited."""

    def __init__(self, app, document, *, path="/asap", headers=(), **scope):
        self.app = app
        self.status = None
        self.body = b""
        head = {"type": "http", "method": "POST", "path": path, "client": ("192.0.2.1", 1)}
        head["headers"] = [(b"content-type", b"application/json"), *headers]
        self.scope = {**head, **scope}
        text = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.pieces = [text[:20], text[20:]]

    async def receive(self):
        await anyio.lowlevel.checkpoint()
        if not self.pieces:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self.pieces.pop(0), "more_body": bool(self.pieces)}

    async def send(self, message):
        await anyio.lowlevel.checkpoint()
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")

    async def __call__(self):
        await self.app(self.scope, self.receive, self.send)
        return self


def watched(app):
    """The app's performer, and every story that it is told from now on."""
    stories = []
    role, work, admission = app._role, app._role._work, app._role.admission

    def watch(told, *given):
        stories.append(told(*given))
        return stories[-1]

    for name in ("admit", "receive", "stream"):
        setattr(role, name, functools.partial(watch, getattr(role, name)))
    work.resume = functools.partial(watch, work.resume)
    admission.enter = functools.partial(watch, admission.enter)
    return app._perform.__self__, stories


@pytest.mark.parametrize("what", ["single", "batch", "plain function", "token"])
def test_server(runtime, what):
    """After each cut no story is open, nothing counts as active, no slot is busy, no thread is taken."""
    limits = Limits(handler_threads=3)

    async def validate(token):
        await anyio.lowlevel.checkpoint()
        return ME

    agent = served_agent(runtime.front, limits=limits, **({"token_validator": validate} if what == "token" else {}))

    @agent.skill("plain")
    def plain(task):
        time.sleep(0.001)
        return task.input

    app = agent.app()
    performer, stories = watched(app)
    keys = iter(range(10_000))

    def request():
        if what == "batch":
            return Caller(app, [frame(key=f"k{next(keys)}") for _ in range(3)])()
        if what == "plain function":
            return Caller(app, frame("plain", key=f"k{next(keys)}"))()
        return Caller(app, frame(key=f"k{next(keys)}"), headers=[(b"authorization", b"Bearer x")])()

    async def look():
        assert [story for story in stories if story.gi_frame is not None] == []
        stories.clear()
        assert performer._active == 0
        assert performer._stores.state._live == {}
        assert performer._runs == {}
        # A thread goes on when its task is cut.
        while performer._free_threads._value < limits.handler_threads:  # noqa: ASYNC110
            await anyio.sleep(0.001)

    async def main():
        assert await cut_everywhere(request, look) >= 4

    runtime.run(main)


class Reader(Caller):
    """Asks for a stream, and stays until it is over."""

    def __init__(self, app, document, **scope):
        super().__init__(app, document, path="/asap/stream", **scope)

    async def receive(self):
        if not self.pieces:
            await anyio.sleep_forever()
        return await super().receive()


@asynccontextmanager
async def living(app):
    """The app while a server runs its lifespan."""
    up, down = anyio.Event(), anyio.Event()

    async def receive():
        if up.is_set():
            await down.wait()
        return {}

    async def send(message):
        up.set()

    async with anyio.create_task_group() as group:
        group.start_soon(app, {"type": "lifespan"}, receive, send)
        await up.wait()
        yield
        down.set()


@pytest.mark.parametrize("lives", [True, False], ids=["lifespan", "no lifespan"])
@pytest.mark.parametrize("what", ["stream", "plain function", "follow"])
def test_server_stream(runtime, what, lives):
    """A reader that is cut off at any time leaves no story, no follower, no thread; its task goes on where it can."""
    limits = Limits(handler_threads=3, stream_events=2)
    agent = served_agent(runtime.front, limits=limits)

    @agent.skill("plain")
    def plain(task):
        task.progress(1)
        return task.input

    app = agent.app()
    performer, stories = watched(app)
    keys = iter(range(10_000))
    known = []

    def request():
        if what == "follow":
            query = {"payload_type": "state.query", "payload": {"task_id": known[0]}}
            document = frame()
            document["params"]["envelope"] |= query
            return Reader(app, document)()
        skill = "plain" if what == "plain function" else "tell"
        return Reader(app, frame(skill, key=f"k{next(keys)}"))()

    async def look():
        # What nobody waits for goes on.
        with anyio.fail_after(5):
            while performer._background_count or performer._free_threads._value < limits.handler_threads:  # noqa: ASYNC110
                await anyio.sleep(0.001)
        assert [story for story in stories if inspect.getgeneratorstate(story) == inspect.GEN_SUSPENDED] == []
        stories.clear()
        assert (performer._active, performer._runs) == (0, {})
        assert (performer._followers, performer._news) == ({}, {})
        assert performer._stores.state._live == {}

    async def all_of_it():
        first = await Caller(app, frame("tell"))()
        known.append(json.loads(first.body)["result"]["envelope"]["payload"]["task_id"])
        assert await cut_any_time(request, look) >= 4
        whole = await Reader(app, frame("tell", key="whole"))()
        assert (whole.status, whole.body.count(b"data: ")) == (200, 6)

    async def main():
        if lives:
            async with living(app):
                await all_of_it()
        else:
            await all_of_it()

    runtime.run(main)


def test_a_cut_request_may_be_sent_again(runtime):
    """A handler that was cut off has not answered: the retry runs it."""
    agent = runtime.front.Agent(WORKER)
    ran = []

    @agent.skill("slow")
    async def slow(task):
        ran.append(1)
        if len(ran) == 1:
            await anyio.sleep_forever()
        return {}

    async def main():
        app = agent.app()
        with anyio.move_on_after(0.05):
            await Caller(app, frame("slow", key="k"))()
        caller = await Caller(app, frame("slow", key="k"))()
        assert "result" in json.loads(caller.body)

    runtime.run(main)
    assert len(ran) == 2


def test_disconnect_in_the_body(runtime):
    """A caller that hangs up before it has said all is not answered, and nothing runs."""
    app = served_agent(runtime.front).app()
    performer, stories = watched(app)

    async def main():
        caller = Caller(app, frame())
        caller.pieces = []
        await caller()
        assert (caller.status, caller.body) == (None, b"")

    runtime.run(main)
    assert performer._active == 0
    assert all(story.gi_frame is None for story in stories)


def test_disconnect_while_running(runtime):
    """A caller that hangs up while its handler runs finds the reply when it asks again."""
    agent = runtime.front.Agent(WORKER)
    ran = []

    @agent.skill("count")
    async def count(task):
        ran.append(1)
        return {}

    async def main():
        app = agent.app()
        first = Caller(app, frame("count", key="k"))

        async def lost(message):
            raise OSError("the caller is gone")

        first.send = lost
        with pytest.raises(OSError, match="gone"):
            await first()
        again = await Caller(app, frame("count", key="k"))()
        assert "result" in json.loads(again.body)

    runtime.run(main)
    assert ran == [1]


def test_errors_of_a_fan_out_come_bare(runtime):
    """No error of a client comes in a group, though it works in task groups."""

    async def main():
        async with runtime.front.Client("http://127.0.0.1:1", me=ME, peer=WORKER) as client:
            client.role._takes_batches = False
            results = await client.send_batch([client.role.compose(WORKER, TaskRequest("c", "x", {1: 2}))] * 3)
            assert all(isinstance(result, AsapError) for result in results)

    runtime.run(main)


def test_threads_started_are_threads_ended(runtime):
    """A cut plain handler keeps its place until its thread ends, and no longer."""
    agent = runtime.front.Agent(WORKER, limits=Limits(handler_threads=1))
    go_on = threading.Event()

    @agent.skill("wait")
    def wait(task):
        go_on.wait(10)
        return {}

    async def main():
        app = agent.app()
        with anyio.move_on_after(0.05):
            await Caller(app, frame("wait"))()
        busy = await Caller(app, frame("wait"))()
        assert busy.status == 503
        assert json.loads(busy.body)["error"]["data"]["code"] == "asap:transport/thread_pool_exhausted"
        go_on.set()
        await anyio.sleep(0.05)
        assert (await Caller(app, frame("wait"))()).status == 200

    runtime.run(main)

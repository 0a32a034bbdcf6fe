"""Callers as the async fronts meet them on a socket: those that hang up, are slow, or too many."""

import json
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import anyio.abc
import pytest

from asap_proto import Limits, TaskStatus

ME, WORKER = "urn:asap:agent:me", "urn:asap:agent:worker"


class Work:
    """What a handler waits for, and what became of it."""

    def __init__(self):
        self.begun = 0
        self.ended = []
        self.opened = anyio.Event()

    async def __call__(self, task):
        self.begun += 1
        try:
            await self.opened.wait()
        except BaseException:
            self.ended.append((task.id, "cut off"))
            raise
        self.ended.append((task.id, "done"))
        return {"begun": self.begun}


@asynccontextmanager
async def working(runtime, **limits):
    """A served agent whose skill `work` waits, its work, a client of it, and its URL."""
    agent, work = runtime.front.Agent(WORKER, limits=Limits(**limits)), Work()

    @agent.skill("work")
    async def handler(task):
        return await work(task)

    @agent.skill("echo")
    async def echo(task):
        return task.input

    app = agent.app()
    async with runtime.front.serving(app) as url, runtime.front.Client(url, me=ME, peer=WORKER) as client:
        yield app, work, client, url


def call(skill="work", *, key=None, **input):
    envelope = {
        "asap_version": "0.1",
        "id": "letter",
        "sender": ME,
        "recipient": WORKER,
        "payload_type": "task.request",
        "payload": {"conversation_id": "c", "skill_id": skill, "input": input},
    }
    return {"jsonrpc": "2.0", "method": "asap.send", "params": {"envelope": envelope, "idempotency_key": key}, "id": 1}


def posted(document, *, path="/asap", more="", length=None):
    """A request as it goes over the wire."""
    body = json.dumps(document).encode()
    size = len(body) if length is None else length
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{more}"
    return f"{head}Content-Length: {size}\r\n\r\n".encode() + body


def dialled(url):
    """A connection to the server."""
    place = urlsplit(url)
    return anyio.connect_tcp(place.hostname, place.port)


async def until(happened):
    """Waits until this holds."""
    with anyio.fail_after(10):
        while not happened():  # noqa: ASYNC110
            await anyio.sleep(0.002)


async def heard(stream):
    """All that comes until the server hangs up: the status, and the JSON of the body."""
    answer = b""
    with anyio.fail_after(10):
        while True:
            try:
                answer += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                break
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize("key", [None, "k"])
def test_hanging_up_cancels_what_runs(runtime, key):
    """The handler is cut off, and its task cancelled; one that may be asked for again a little later."""

    async def main():
        async with working(runtime, return_seconds=0.05) as (_, work, client, url):
            async with await dialled(url) as stream:
                await stream.send(posted(call(key=key)))
                await until(lambda: work.begun)
            await until(lambda: work.ended)
            [(task_id, how)] = work.ended
            assert how == "cut off"
            assert (await client.state(task_id)).status is TaskStatus.CANCELLED

    runtime.run(main)


def test_hanging_up_cancels_a_whole_batch(runtime):
    """So it is with each of many."""

    async def main():
        async with working(runtime) as (_, work, _, url):
            async with await dialled(url) as stream:
                await stream.send(posted([{**call(), "id": n} for n in range(4)]))
                await until(lambda: work.begun == 4)
            await until(lambda: len(work.ended) == 4)
            assert {how for _, how in work.ended} == {"cut off"}

    runtime.run(main)


def test_a_plain_function_hears_of_it(runtime):
    """It can't be cut off in its thread: the next that it asks of its task ends it."""
    seen = []

    async def main():
        agent = runtime.front.Agent(WORKER)

        @agent.skill("plain")
        def plain(task):
            seen.append("begun")
            try:
                while True:
                    task.progress(1)
            finally:
                seen.append("ended")

        async with runtime.front.serving(agent.app()) as url:
            async with await dialled(url) as stream:
                await stream.send(posted(call("plain")))
                await until(lambda: seen)
            await until(lambda: seen == ["begun", "ended"])

    runtime.run(main)


def test_a_caller_that_comes_back_in_time(runtime):
    """Finds the reply of work that went on without it: it ran once."""

    async def main():
        async with working(runtime) as (_, work, _, url):
            async with await dialled(url) as stream:
                await stream.send(posted(call(key="k")))
                await until(lambda: work.begun)
            await anyio.sleep(0.1)
            work.opened.set()
            await until(lambda: work.ended)
            async with await dialled(url) as stream:
                await stream.send(posted(call(key="k"), more="Connection: close\r\n"))
                _, answer = await heard(stream)
            assert answer["result"]["envelope"]["payload"]["result"] == {"begun": 1}
            assert [how for _, how in work.ended] == ["done"]

    runtime.run(main)


@pytest.mark.parametrize("how", ["prefer", "stream"])
def test_work_that_needs_no_caller(runtime, how):
    """What is submitted, or told in a stream, goes on whoever listens."""

    async def main():
        async with working(runtime, return_seconds=0.0) as (_, work, _, url):
            document = call()
            if how == "prefer":
                document["params"]["envelope"]["extensions"] = {"prefer": "respond-async"}
            async with await dialled(url) as stream:
                await stream.send(posted(document, path="/asap/stream" if how == "stream" else "/asap"))
                await until(lambda: work.begun)
            await anyio.sleep(0.2)
            assert work.ended == []
            work.opened.set()
            await until(lambda: [how for _, how in work.ended] == ["done"])

    runtime.run(main)


def test_our_client_leaves_nothing_behind(runtime):
    """Cancelled while it waits it hangs up, and so its peer stops too: no request is left without who asked it."""

    async def main():
        async with working(runtime, return_seconds=0.05) as (_, work, client, _):
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(client.request, "work", {})
                    await until(lambda: work.begun)
                    scope.cancel()
            await until(lambda: [how for _, how in work.ended] == ["cut off"])
            assert (await client.request("echo", {"x": 1})).result == {"x": 1}

    runtime.run(main)


@pytest.mark.parametrize("said", [0, 40])
@pytest.mark.parametrize("path", ["/asap", "/asap/stream"])
def test_a_body_that_does_not_come(runtime, said, path):
    """Is waited for as long as the limit says, however it drips; then the connection is closed."""

    async def main():
        async with working(runtime, body_seconds=0.3) as (_, _, _, url), await dialled(url) as stream:
            whole = posted(call("echo"), path=path)
            head, _, body = whole.partition(b"\r\n\r\n")
            await stream.send(head + b"\r\n\r\n")
            async with anyio.create_task_group() as group:

                async def drip():
                    for byte in body[:said]:
                        await anyio.sleep(0.05)
                        await stream.send(bytes([byte]))

                group.start_soon(drip)
                status, answer = await heard(stream)
                group.cancel_scope.cancel()
            assert (status, answer["error"]["data"]["code"]) == (408, "asap:transport/too_slow")

    runtime.run(main)


def test_a_body_in_crumbs(runtime):
    """A body that comes byte by byte is refused long before its end, and the connection is closed."""

    async def main():
        async with working(runtime) as (_, _, _, url), await dialled(url) as stream:
            head = posted({}, more="Transfer-Encoding: chunked\r\n").partition(b"Content-Length")[0] + b"\r\n"
            await stream.send(head)
            async with anyio.create_task_group() as group:

                async def crumble():
                    while True:
                        await stream.send(b"1\r\n \r\n")
                        await anyio.sleep(0.0001)

                group.start_soon(crumble)
                status, answer = await heard(stream)
                group.cancel_scope.cancel()
            assert (status, answer["error"]["data"]["code"]) == (400, "asap:transport/too_many_pieces")

    runtime.run(main)


def test_more_requests_than_there_is_room_for(runtime):
    """One more is told to come again, and who only looks is answered; there is room again when others have theirs."""

    async def main():
        async with working(runtime, requests=2) as (app, work, client, url), AsyncExitStack() as stack:
            for _ in range(2):
                stream = await stack.enter_async_context(await dialled(url))
                await stream.send(posted(call()))
            await until(lambda: work.begun == 2)
            async with await dialled(url) as more:
                await more.send(posted(call("echo"), more="Connection: close\r\n"))
                status, answer = await heard(more)
            assert (status, answer["error"]["data"]["code"]) == (503, "asap:transport/thread_pool_exhausted")
            async with await dialled(url) as more:
                await more.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                assert await heard(more) == (200, {"status": "ok"})
            work.opened.set()
            await until(lambda: not app._load.requests)
            assert (await client.request("echo", {"x": 1})).result == {"x": 1}

    runtime.run(main)


def test_bodies_that_are_too_much_together(runtime):
    """The one that is too much is told to come again; what the others hold is given back when they end."""

    async def main():
        async with working(runtime, held_bytes=40_000) as (app, work, client, url):
            async with await dialled(url) as first, await dialled(url) as second:
                await first.send(posted(call(x="y" * 30_000)))
                await until(lambda: work.begun)
                await second.send(posted(call("echo", x="y" * 30_000), more="Connection: close\r\n"))
                status, answer = await heard(second)
                assert (status, answer["error"]["data"]["code"]) == (503, "asap:transport/thread_pool_exhausted")
                work.opened.set()
                await until(lambda: app._load.bytes == 0)
            assert (await client.request("echo", {"x": "y" * 10_000})).result == {"x": "y" * 10_000}

    runtime.run(main)


def test_a_whole_url_as_target(runtime):
    """What proxies are asked any server has to take."""

    async def main():
        async with working(runtime) as (_, _, _, url), await dialled(url) as stream:
            await stream.send(f"GET {url}/health HTTP/1.1\r\nHost: {url[7:]}\r\nConnection: close\r\n\r\n".encode())
            assert await heard(stream) == (200, {"status": "ok"})

    runtime.run(main)


@pytest.mark.parametrize(
    "said", [b"", b"POST /asap HTTP/1.1\r\nHost: x", b"\r\n\r\n"], ids=["nothing", "half", "blank"]
)
def test_a_head_that_does_not_come(runtime, said):
    """A connection on which nothing whole is asked is closed in time."""

    async def main():
        async with working(runtime, header_seconds=0.2) as (_, _, _, url), await dialled(url) as stream:
            await stream.send(said)
            with anyio.fail_after(5):
                await until_closed(stream)

    runtime.run(main)


def test_an_idle_connection(runtime):
    """So is one on which nothing more is asked."""

    async def main():
        async with working(runtime, idle_seconds=0.2) as (_, _, _, url), await dialled(url) as stream:
            await stream.send(posted(call("echo")))
            assert (await stream.receive()).startswith(b"HTTP/1.1 200 ")
            with anyio.fail_after(5):
                await until_closed(stream)

    runtime.run(main)


def test_an_answer_that_is_not_read(runtime):
    """Its reader is hung up on, and nothing is held for it any more."""

    async def main():
        async with working(runtime, send_seconds=0.2) as (app, _, _, url), await dialled(url) as stream:
            await stream.send(posted(call("echo", x="y" * 9_000_000)))
            place = urlsplit(url).port, stream.extra(anyio.abc.SocketAttribute.local_port)
            assert (await stream.receive()).startswith(b"HTTP/1.1 200 ")
            assert is_held(*place)
            await until(lambda: not is_held(*place) and app._load.bytes == 0)

    runtime.run(main)


def is_held(here, there):
    """Whether this process holds its end of the connection, as the system knows: it has an inode then."""
    lines = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    ends = {tuple(int(end.partition(":")[2], 16) for end in line[1:3]): line[9] for line in lines}
    return ends.get((here, there), "0") != "0"


async def until_closed(stream):
    """Hears what comes until the server hangs up."""
    try:
        while True:
            await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return


def test_more_connections_than_there_is_room_for(runtime):
    """Whoever was silent for longest makes room; nobody does who waits for an answer."""

    async def main():
        async with working(runtime, connections=2) as (_, work, _, url), await dialled(url) as busy:
            await busy.send(posted(call(), more="Connection: close\r\n"))
            await until(lambda: work.begun)
            async with await dialled(url) as silent, await dialled(url) as newest:
                with anyio.fail_after(5):
                    await until_closed(silent)
                await newest.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                assert await heard(newest) == (200, {"status": "ok"})
            work.opened.set()
            status, _ = await heard(busy)
            assert status == 200

    runtime.run(main)

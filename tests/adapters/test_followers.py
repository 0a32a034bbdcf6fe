"""Readers of streams that stand still: their task ends all the same, and so does the server."""

import gc
import io
import json
import time
import weakref

import anyio
import pytest

from asap_adapters.sync import Agent
from asap_proto import Limits

from .test_cancelling import WORKER, Caller, Reader, frame, living
from .test_threads import call


def query(task_id):
    document = frame()
    document["params"]["envelope"] |= {"payload_type": "state.query", "payload": {"task_id": task_id}}
    return document


def state_in(body):
    return json.loads(body)["result"]["envelope"]["payload"]


class StandingReader(Reader):
    """Has not taken even the head of the answer."""

    async def send(self, message):
        await anyio.sleep_forever()


async def until(happened):
    with anyio.fail_after(10):
        while not await happened():  # noqa: ASYNC110
            await anyio.sleep(0.005)


def test_the_end_of_a_task_waits_for_no_reader(runtime):
    """A handler that has told as much as its readers may be behind comes to its end, though none of them reads."""
    agent = runtime.front.Agent(WORKER, limits=Limits(stream_events=3))
    ids = []

    @agent.skill("tell")
    async def tell(task):
        ids.append(task.id)
        await task.progress(50)
        return {"done": True}

    async def main():
        app = agent.app()

        async def is_over():
            return ids and state_in((await Caller(app, query(ids[0]))()).body)["status"] == "completed"

        async with living(app), anyio.create_task_group() as group:
            group.start_soon(StandingReader(app, frame("tell")))
            await until(is_over)
            group.cancel_scope.cancel()

    runtime.run(main)


def test_a_thread_that_was_given_up_waits_for_no_reader(runtime):
    """A plain function that took too long does not go on to wait for a reader: its place is free again."""
    limits = Limits(stream_events=2, handler_seconds=0.1, handler_threads=1)
    agent = runtime.front.Agent(WORKER, limits=limits)
    ended = []

    @agent.skill("tell")
    def tell(task):
        try:
            task.progress(50)
        except BaseException as error:
            ended.append(error)
            raise
        ended.append(task.id)

    async def main():
        app = agent.app()

        async def has_ended():
            return ended and app._performer._free_threads._value == 1

        async with living(app), anyio.create_task_group() as group:
            group.start_soon(StandingReader(app, frame("tell")))
            await until(has_ended)
            group.cancel_scope.cancel()

    runtime.run(main)


def test_an_app_that_is_closed_ends_its_streams(runtime):
    """Whoever follows a task that waits is sent away at once; so is who comes later."""
    agent = runtime.front.Agent(WORKER)

    @agent.skill("ask")
    async def ask(task):
        await task.need_input("?")

    async def main():
        app = agent.app()
        async with living(app), anyio.create_task_group() as group:
            reader = Reader(app, frame("ask", key="k"))
            group.start_soon(reader)

            async def is_asked():
                return b"input_required" in reader.body

            await until(is_asked)
            app.close()
            later = Reader(app, frame("ask", key="k"))
            with anyio.fail_after(5):
                await later()
        assert b"task.response" not in reader.body + later.body
        assert b"input_required" in later.body
        assert app._performer._followers == {}

    runtime.run(main)


def environ_of(document):
    body = json.dumps(document).encode()
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/asap/stream",
        "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": "application/json",
    }


def posted(app, document):
    body = json.dumps(document).encode()
    return call(app, body, CONTENT_LENGTH=str(len(body)))


def holds(happened):
    until = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_the_end_of_a_task_waits_for_no_reader_in_threads():
    """So it is where each reader has a thread."""
    agent = Agent(WORKER, limits=Limits(stream_events=3))
    ids = []

    @agent.skill("tell")
    def tell(task):
        ids.append(task.id)
        task.progress(50)
        return {"done": True}

    app = agent.app()
    parts = app(environ_of(frame("tell")), lambda *_: None)
    holds(lambda: ids and state_in(posted(app, query(ids[0]))["body"])["status"] == "completed")
    parts.close()
    app.close()


def test_streams_leave_threads_for_others():
    """Each stream takes a thread: beyond as many as there are for handlers it is refused, until one ends."""
    agent = Agent(WORKER, limits=Limits(handler_threads=1))

    @agent.skill("ask")
    def ask(task):
        task.need_input("?")

    app = agent.app()
    said = []

    def follow(key):
        return app(environ_of(frame("ask", key=key)), lambda status, headers: said.append(status))

    first = follow("one")
    [refusal] = follow("two")
    assert json.loads(refusal)["error"]["data"]["code"] == "asap:transport/thread_pool_exhausted"
    first.close()
    third = follow("two")
    third.close()
    assert said == ["200 OK", "503 Service Unavailable", "200 OK"]
    app.close()


@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "dropped"])
def test_a_keeper_ends_with_its_app(is_closed):
    """The thread that cares for the store does not keep its app alive, nor itself, once nobody has the app."""
    agent = Agent(WORKER)
    app = agent.app()
    assert app._keeper is None
    call(app)
    keeper, watched = app._keeper, weakref.ref(app)
    assert keeper.is_alive()
    if is_closed:
        app.close()
    del app
    gc.collect()
    keeper.join(10)
    assert not keeper.is_alive()
    assert watched() is None

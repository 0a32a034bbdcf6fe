"""What threads add: clients and agents of the sync front are shared among them."""

import io
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from asap_adapters.stores.sqlite import SqliteState
from asap_adapters.sync import Agent, Client, serving
from asap_adapters.sync.drive import side_by_side
from asap_proto import Limits, TaskRequest
from asap_proto.errors import HandlerFailed, MispairedReply, Overloaded
from asap_proto.http import HttpResponse
from asap_proto.rules.retry import RetryRule
from asap_proto.rules.slot import Fresh
from asap_proto.stores import Started
from asap_proto.wire.nouns import encode
from asap_testkit.records import T, job_of

from .test_cancelling import ME, WORKER, frame


def test_one_client_many_threads():
    """Threads may share a client: every reply finds the one who asked."""
    agent = Agent(WORKER)

    @agent.skill("echo")
    def echo(task):
        return task.input

    with serving(agent.app(), threads=4) as url, Client(url, me=ME) as client, ThreadPoolExecutor(8) as threads:

        def ask(n):
            if n % 10:
                return client.request("echo", {"n": n}).result["n"]
            [reply] = client.send_batch([client.role.compose(WORKER, TaskRequest("c", "echo", {"n": n}))])
            return reply.payload.result["n"]

        assert list(threads.map(ask, range(200))) == list(range(200))


@pytest.mark.parametrize("call", ["load", "save"])
def test_a_thread_does_not_wait_for_a_store_that_was_closed_under_it(tmp_path, call):
    """Nobody can cut it off, and Python does not end before it: once the server has wound up it waits for nothing."""
    began, threads = threading.Event(), []
    with SqliteState(tmp_path / "tasks.db", agent=WORKER) as state:
        agent = Agent(WORKER, store=state, limits=Limits(grace_seconds=0.1, lease_seconds=3600.0))

        @agent.skill("go-on")
        def go_on(task):
            task.save({"n": 1})
            threads.append(threading.current_thread())
            began.set()
            while True:
                task.save({"n": 2}) if call == "save" else task.load()

        with serving(agent.app()) as url, Client(url, me=ME) as client:
            client.submit("go-on", {})
            assert began.wait(60)
    [thread] = threads
    thread.join(60)
    assert not thread.is_alive()


def test_steps_are_taken_in_turn():
    """No two threads step stories of one client at the same time; waiting they do side by side."""
    inside = []

    class Transport:
        meeting = threading.Barrier(4)

        def send(self, request, timeout):
            self.meeting.wait(5)
            return HttpResponse(200, {}, b"{}")

        def close(self):
            pass

    client = Client("http://127.0.0.1:1", me=ME, peer=WORKER, transport=Transport())
    count = client.role._next_id

    def slow_count():
        inside.append(1)
        assert len(inside) == 1
        time.sleep(0.005)
        inside.pop()
        return count()

    client.role._next_id = slow_count
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(client.request, "x", {}) for _ in range(4)]
    # Each is refused for its empty reply, and for nothing else.
    assert [type(future.exception()) for future in asked] == [MispairedReply] * 4


def test_places_come_back():
    """At the limit a request is refused; the places of those that ended, well or badly, are free again."""
    agent = Agent(WORKER, limits=Limits(handler_threads=2))
    meeting = threading.Barrier(3)

    @agent.skill("meet")
    def meet(task):
        meeting.wait(5)
        raise ValueError("badly")

    once = RetryRule(attempts=1)
    with serving(agent.app()) as url, Client(url, me=ME, retry=once) as client, ThreadPoolExecutor(2) as threads:
        client.manifest()
        for _ in range(2):
            waiting = [threads.submit(client.request, "meet", {}) for _ in range(2)]
            while meeting.n_waiting < 2:
                time.sleep(0.001)
            with pytest.raises(Overloaded):
                client.request("meet", {})
            meeting.wait(5)
            assert [type(future.exception()) for future in waiting] == [HandlerFailed] * 2


def call(app, body=b"{}", **environ):
    """The app, called as a WSGI server would."""
    said = {}

    def start_response(status, headers):
        said.update(status=status, headers=dict(headers))

    base = {"REQUEST_METHOD": "POST", "PATH_INFO": "/asap", "wsgi.input": io.BytesIO(body)}
    base["CONTENT_TYPE"] = "application/json"
    said["body"] = b"".join(app({**base, **environ}, start_response))
    return said


@pytest.mark.parametrize("length", ["1_0", "+10", " 2", "-1", "x", "²", "0x2"])
def test_lengths_that_are_none(length):
    """A server that hands on any Content-Length at all does not make the app fail."""
    assert call(Agent(WORKER).app(), CONTENT_LENGTH=length)["status"] == "400 Bad Request"


def test_body_that_ends_early():
    """A body shorter than announced was cut off on its way, even if what came is good JSON."""
    assert call(Agent(WORKER).app(), CONTENT_LENGTH="10")["status"] == "400 Bad Request"


def test_a_reader_that_would_block():
    """No more is read than was announced: some servers would wait for it."""

    class Blocking(io.BytesIO):
        def read(self, size=-1):
            assert self.tell() < 2, "read beyond the end"
            return super().read(size)

    environ = {"wsgi.input": Blocking(b"{}"), "CONTENT_LENGTH": "2"}
    assert call(Agent(WORKER).app(), **environ)["status"] == "200 OK"
    assert call(Agent(WORKER).app(), **{**environ, "CONTENT_LENGTH": ""})["status"] == "200 OK"


def test_interrupted_handler_frees_its_slot():
    """A handler cut off by what is no error, such as Ctrl-C, leaves nothing busy."""
    agent = Agent(WORKER)

    @agent.skill("stop")
    def stop(task):
        raise KeyboardInterrupt

    app = agent.app()
    performer = app._perform.__self__
    body = json.dumps(frame("stop", key="k")).encode()
    with pytest.raises(KeyboardInterrupt):
        call(app, body, CONTENT_LENGTH=str(len(body)))
    assert performer._active == 0
    assert performer._runs == {}
    assert performer._stores.state._live == {}
    assert performer._stores.state._slots == {}


def test_not_ready_while_every_thread_is_taken():
    """With all handler threads busy a balancer is told to look elsewhere, until one is free."""
    agent = Agent(WORKER, limits=Limits(handler_threads=1))
    app = agent.app()
    heard = []

    @agent.skill("look")
    def look(task):
        heard.append(call(served, REQUEST_METHOD="GET", PATH_INFO="/ready")["status"])

    served = agent.app()
    body = json.dumps(frame("look")).encode()
    assert call(served, body, CONTENT_LENGTH=str(len(body)))["status"] == "200 OK"
    assert heard == ["503 Service Unavailable"]
    for one in (app, served):
        assert call(one, REQUEST_METHOD="GET", PATH_INFO="/ready")["status"] == "200 OK"


def test_a_full_pool_is_counted():
    """A handler that found no thread was not run, and stands in a counter of its own."""
    agent = Agent(WORKER, limits=Limits(handler_threads=0))
    agent.skill("nod")(lambda task: None)
    app = agent.app()
    body = json.dumps(frame("nod")).encode()
    assert call(app, body, CONTENT_LENGTH=str(len(body)))["status"] == "503 Service Unavailable"
    batch = json.dumps([frame("nod"), frame("nod")]).encode()
    answers = json.loads(call(app, batch, CONTENT_LENGTH=str(len(batch)))["body"])
    assert [answer["error"]["data"]["code"] for answer in answers] == ["asap:transport/thread_pool_exhausted"] * 2
    text = call(app, REQUEST_METHOD="GET", PATH_INFO="/asap/metrics")["body"].decode()
    assert "\nasap_thread_pool_exhausted_total 3.0\n" in text
    assert "asap_handler_executions_total{" not in text


def test_the_server_takes_no_more_than_the_app():
    """Waitress reads a body before it asks: what is far too much it refuses at its announcement."""
    agent = Agent(WORKER, limits=Limits(request_bytes=1000))
    head = b"POST /asap HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    for length, body, whose in ((100_000_000, b"", False), (1001, bytes(1001), True)):
        with (
            serving(agent.app()) as url,
            socket.create_connection((urlsplit(url).hostname, urlsplit(url).port)) as wire,
        ):
            wire.settimeout(5)
            wire.sendall(head % length + body)
            answer = b"".join(iter(lambda: wire.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert (b"asap:transport/too_large" in answer) is whose


def test_what_waits_is_waited_for_side_by_side():
    """Each that waits has another thread come; where nothing waits none is needed."""
    barrier = threading.Barrier(3)
    with ThreadPoolExecutor(8) as threads:
        assert side_by_side(lambda index: (barrier.wait(10), index)[1], 6, 3, threads.submit) == [0, 1, 2, 3, 4, 5]
    assert side_by_side(str, 3, 3, lambda work: None) == ["0", "1", "2"]


def test_what_is_raised_side_by_side():
    """It is raised once nothing runs any more, and nothing more is begun."""
    both, begun, held = threading.Barrier(2), [], threading.Event()

    def begin(index):
        begun.append(index)
        both.wait(10)
        if index == 1:
            held.set()
            raise ZeroDivisionError
        held.wait(10)

    with ThreadPoolExecutor(8) as threads, pytest.raises(ZeroDivisionError):
        side_by_side(begin, 2, 2, threads.submit)
    assert sorted(begun) == [0, 1]


def test_a_batch_once_the_app_is_closed():
    """It is answered by the thread that asks, as there is none to help any more."""
    agent = Agent(WORKER)

    @agent.skill("echo")
    def echo(task):
        return task.input

    app = agent.app()
    with serving(app) as url, httpx.Client(base_url=url, trust_env=False) as http:
        for _ in range(2):
            answers = http.post("/asap", json=[frame("echo"), frame("echo")]).json()
            assert ["result" in answer for answer in answers] == [True, True]
            app.close()


def test_whoever_follows_hears_the_end_at_once():
    """A request that nobody streams tells those who follow its task, though they would look again only much later."""
    begun, held = threading.Event(), threading.Event()
    agent = Agent(WORKER, limits=Limits(stream_beat_seconds=60.0))
    ids = []

    @agent.skill("held")
    def hold(task):
        ids.append(task.id)
        begun.set()
        held.wait(10)
        return {"done": True}

    with serving(agent.app()) as url, Client(url, me=ME) as client, ThreadPoolExecutor(1) as threads:
        asked = threads.submit(client.request, "held", {})
        assert begun.wait(10)
        with client.follow(ids[0]) as updates:
            next(updates)
            held.set()
            *_, last = updates
        assert last.result == asked.result(10).result == {"done": True}


def test_a_task_that_is_ended_straight_on_wakes_who_follows():
    """As each write does: they would look again only much later."""
    performer = Agent(WORKER).app()._performer
    task = Started(job_of(), "one", T + 15.0)
    performer._followers[task.job.task_id], performer._told[task.job.task_id] = {1: 0}, 0
    assert performer.begin(task, None) == Fresh()
    assert performer.end(task.job, encode(task.job.envelope), b"reply", now=T, expires=T + 100.0)
    assert performer._told == {task.job.task_id: 1}

"""Tasks followed: as they run, again after a connection dropped, by many, by readers that are slow or gone."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from asap_proto import Limits, TaskResponse, TaskStatus, TaskUpdate
from asap_proto.errors import HandlerFailed, InvalidInput, PeerUnreachable, SkillNotFound, TaskNotFound
from asap_proto.model import UpdateType
from asap_proto.roles import PARENT_EXTENSION
from asap_proto.rules.retry import RetryRule

from .fronts import JSON, ME, WORKER, holds
from .wires import CuttingProxy, Peer, http_answer, listening, read_request

SUBMITTED, WORKING, WAITING = TaskStatus.SUBMITTED, TaskStatus.WORKING, TaskStatus.INPUT_REQUIRED
COMPLETED, FAILED, CANCELLED = TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED
SOON = {"seconds": 10, "every": 0.01}
QUICK = RetryRule(attempts=3, base_seconds=0.01)


def telling(front, **limits):
    """An agent that tells ``count`` steps, each of ``size`` letters."""
    agent = front.agent(limits=Limits(**limits))

    @agent.skill("tell")
    def tell(task):
        for n in range(1, task.input["count"] + 1):
            yield task.progress(n % 100, "x" * task.input.get("size", 1))
            yield front.pause(task.input.get("pause", 0))
        return {"told": task.input["count"]}

    @agent.skill("echo")
    def echo(task):
        return task.input

    return agent


@pytest.fixture
def url(front, stack):
    return stack.enter_context(front.serving(telling(front)))


@pytest.fixture
def client(front, stack, url):
    return stack.enter_context(front.client(url))


def percents(payloads):
    return [payload.progress["percent"] for payload in payloads if isinstance(payload, TaskUpdate) and payload.progress]


def frame(skill="tell", payload=None, kind="task.request", key=None, **input):
    envelope = {
        "asap_version": "0.1",
        "id": "letter",
        "sender": ME,
        "recipient": WORKER,
        "payload_type": kind,
        "payload": payload or {"conversation_id": "c", "skill_id": skill, "input": input},
    }
    params = {"envelope": envelope} | ({"idempotency_key": key} if key else {})
    return {"jsonrpc": "2.0", "method": "asap.send", "params": params, "id": 1}


@contextmanager
def followed(url, document, **headers):
    """The answer to a streamed request, as it comes."""
    with (
        httpx.Client(base_url=url, trust_env=False, timeout=10) as http,
        http.stream("POST", "/asap/stream", json=document, headers=headers) as response,
    ):
        yield response


def events_of(response):
    """Each event as its id and its envelope; a comment as None."""
    id = None
    for line in response.iter_lines():
        if line.startswith("id: "):
            id = line[4:]
        elif line.startswith("data: "):
            yield int(id), json.loads(line[6:])
        elif line.startswith(":"):
            yield None


def test_updates_and_then_the_response(client):
    """A stream has every update in order, and the response last; then it is over."""
    with client.stream("tell", {"count": 3}) as payloads:
        told = list(payloads)
    *updates, last = told
    assert all(isinstance(update, TaskUpdate) for update in updates)
    assert [update.status for update in updates] == [SUBMITTED, *[WORKING] * 4]
    assert percents(updates) == [1, 2, 3]
    assert isinstance(last, TaskResponse)
    assert (last.status, last.result) == (COMPLETED, {"told": 3})
    assert {payload.task_id for payload in told} == {last.task_id}
    assert client.state(last.task_id).result == {"told": 3}


def test_updates_come_as_they_are_told(front, stack):
    """An update arrives while its handler goes on."""
    agent, heard = front.agent(), threading.Event()

    @agent.skill("wait")
    def wait(task):
        yield task.progress(50)
        yield front.until(heard.is_set)
        return {}

    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    with client.stream("wait", {}) as payloads:
        for payload in payloads:
            if isinstance(payload, TaskUpdate) and payload.progress:
                heard.set()
    assert payload.status is COMPLETED


def test_bare_envelopes_on_the_wire(url):
    """Each event is an envelope alone, numbered as in the task's log, that answers the request."""
    with followed(url, frame(count=2)) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        events = list(events_of(response))
    assert [id for id, _ in events] == [1, 2, 3, 4, 5]
    for _, envelope in events:
        assert (envelope["correlation_id"], envelope["sender"], envelope["recipient"]) == ("letter", WORKER, ME)
    assert [envelope["payload_type"] for _, envelope in events] == [*["task.update"] * 4, "task.response"]


def test_errors_are_raised(front, stack):
    """What is refused at once, and what fails on the way, are raised like a request's."""
    agent = front.agent()

    @agent.skill("fail")
    def fail(task):
        yield task.progress(1)
        raise ValueError("secret")

    @agent.skill("refuse")
    def refuse(task):
        raise InvalidInput("too long", path="$.payload.input")

    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    told = []
    for skill, error in (("missing", SkillNotFound), ("fail", HandlerFailed), ("refuse", InvalidInput)):
        with pytest.raises(error) as caught, client.stream(skill, {}) as payloads:
            told.extend(payloads)
        assert "secret" not in repr(caught.value) + repr(caught.value.facts)
    assert percents(told) == [1]


def test_follow(client):
    """A task may be followed by its id, from its first event on, when it is over too; an unknown one is refused."""
    task_id = client.submit("tell", {"count": 3, "pause": 0.02}).task_id
    for _ in range(2):
        with client.follow(task_id) as payloads:
            told = list(payloads)
        assert percents(told) == [1, 2, 3]
        assert (told[0].status, told[-1].result) == (SUBMITTED, {"told": 3})
    with pytest.raises(TaskNotFound), client.follow("task_missing") as payloads:
        next(payloads)


def test_many_follow_one_task(front, stack):
    """As many as like may follow a task: each hears all of it."""
    url = stack.enter_context(front.serving(telling(front), threads=12))
    client = stack.enter_context(front.client(url))
    task_id = client.submit("tell", {"count": 20, "pause": 0.01}).task_id

    def follow(_):
        with front.client(url) as another, another.follow(task_id) as payloads:
            return percents(payloads)

    with ThreadPoolExecutor(5) as threads:
        assert list(threads.map(follow, range(5))) == [list(range(1, 21))] * 5


def test_a_question_in_a_stream(front, stack):
    """A stream tells what the task asks, and goes on when it was answered."""
    agent = front.agent()

    @agent.skill("ask")
    def ask(task):
        answer = yield task.need_input("name?")
        return {"hello": answer["input"]["name"]}

    url = stack.enter_context(front.serving(agent))
    client, other = (stack.enter_context(front.client(url)) for _ in range(2))
    statuses = []
    with client.stream("ask", {}) as payloads:
        for payload in payloads:
            statuses.append(payload.status)
            if isinstance(payload, TaskUpdate) and payload.input_request:
                assert payload.input_request == {"question": "name?"}
                other.tell(payload.task_id, {"name": "Ann"})
    assert statuses == [SUBMITTED, WORKING, WAITING, WORKING, COMPLETED]
    assert payload.result == {"hello": "Ann"}


def test_a_cancelled_stream(front, stack):
    """Whoever follows a task hears that it was cancelled."""
    url = stack.enter_context(front.serving(telling(front)))
    client, other = (stack.enter_context(front.client(url)) for _ in range(2))
    with client.stream("tell", {"count": 10_000, "pause": 0.01}) as payloads:
        assert next(payloads).status is SUBMITTED
        other.cancel(next(payloads).task_id)
        *_, last = payloads
    assert (last.status, last.result) == (CANCELLED, None)


@pytest.mark.parametrize("cuts", [(900,), (1200, 700), (1500, 1, 400)], ids=str)
def test_a_dropped_connection(front, stack, url, cuts):
    """A connection that drops is opened again from the event last seen: nothing is told twice, nothing is missed."""
    proxy = CuttingProxy(url, *cuts)
    lossy = stack.enter_context(listening(proxy))
    client = stack.enter_context(front.client(lossy, peer=WORKER, retry=RetryRule(attempts=6, base_seconds=0.01)))
    with client.stream("tell", {"count": 12, "pause": 0.01}) as payloads:
        told = list(payloads)
    assert percents(told) == list(range(1, 13))
    assert told[-1].result == {"told": 12}
    assert len({payload.task_id for payload in told}) == 1
    seen = [number_seen(request) for request in proxy.heard]
    assert len(seen) == len(cuts) + 1
    assert seen[0] == 0
    assert seen == sorted(seen)
    assert seen[-1] > 0


def number_seen(request):
    lines = request.split(b"\r\n\r\n")[0].lower().split(b"\r\n")
    return next((int(line.partition(b":")[2]) for line in lines if line.startswith(b"last-event-id:")), 0)


def test_a_connection_that_always_drops(front, stack, url):
    """Who gets nothing new gives up, as the retry rule says; the task ran once."""
    lossy = stack.enter_context(listening(CuttingProxy(url, *[60] * 10)))
    client = stack.enter_context(front.client(lossy, peer=WORKER, retry=QUICK))
    with pytest.raises(PeerUnreachable), client.stream("tell", {"count": 1}) as payloads:
        list(payloads)


@pytest.mark.parametrize("body", [b"", b":\n\n", b"data: {"], ids=["nothing", "alive", "half an event"])
def test_a_stream_that_says_nothing(front, stack, body):
    """A stream that ends before its response is no end of the task: it is asked again, and then given up."""
    peer = Peer(http_answer(body, Content_Type="text/event-stream"))
    client = stack.enter_context(front.client(stack.enter_context(listening(peer)), peer=WORKER, retry=QUICK))
    with pytest.raises(PeerUnreachable), client.stream("tell", {"count": 1}) as payloads:
        list(payloads)
    assert len(peer.heard) == 3


def test_last_event_id(url):
    """The same request again, or a query, goes on after the event that was seen last."""
    request = frame(count=3, key="once")
    with followed(url, request) as response:
        first = list(events_of(response))
    task_id = first[-1][1]["payload"]["task_id"]
    for document in (request, frame(payload={"task_id": task_id}, kind="state.query")):
        for seen, expected in (("0", 1), ("2", 3), ("4", 5), ("5", 6)):
            with followed(url, document, **{"last-event-id": seen}) as response:
                events = list(events_of(response))
            ids = [id for id, _ in events]
            assert ids == [*range(expected, 6), 6] if expected < 6 else ids
            assert events[-1][1]["payload"]["result"] == {"told": 3}
            assert {envelope["payload"]["task_id"] for _, envelope in events} == {task_id}


@pytest.mark.parametrize("seen", ["x", "-1", "9" * 500, "1e3", "²", "99"])
def test_odd_last_event_ids(url, seen):
    """What is no number counts for nothing; one from the future leaves nothing but the response."""
    with followed(url, frame(count=1), **{"last-event-id": seen.encode()}) as response:
        *_, (_, last) = events_of(response)
    assert last["payload"]["status"] == "completed"


def test_heartbeats(front, stack):
    """A stream on which nothing happens says that it is alive."""
    over = threading.Event()
    agent = front.agent(limits=Limits(stream_beat_seconds=0.05))

    @agent.skill("wait")
    def wait(task):
        yield front.until(over.is_set)
        return {}

    with followed(stack.enter_context(front.serving(agent)), frame("wait")) as response:
        beats = 0
        for event in events_of(response):
            if event is None and (beats := beats + 1) == 3:
                over.set()
    assert beats >= 3
    assert event[1]["payload"]["status"] == "completed"


def test_a_silent_stream_is_believed(front, stack):
    """A client takes heartbeats for what they are, and waits longer than its timeout for what a task does."""
    agent = front.agent(limits=Limits(stream_beat_seconds=0.05))

    @agent.skill("wait")
    def wait(task):
        yield front.pause(0.6)
        return {"done": True}

    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent)), timeout=0.3))
    with client.stream("wait", {}) as payloads:
        *_, last = payloads
    assert last.result == {"done": True}


def slow_reader(url, document):
    """A connection that has asked for a stream and reads nothing of it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(20)
    connection.connect((urlsplit(url).hostname, urlsplit(url).port))
    body = json.dumps(document).encode()
    head = f"POST /asap/stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
    connection.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
    return connection


def test_a_slow_reader(front, stack):
    """Who reads slowly slows the task that is followed, and nobody else; when read, nothing of it is missing."""
    agent = front.agent(limits=Limits(stream_events=5))
    told = []

    @agent.skill("pour")
    def pour(task):
        for n in range(task.input["count"]):
            yield task.progress(1, "x" * 10_000)
            told.append(n)
        return {}

    agent.skill("echo")(lambda task: task.input)
    url = stack.enter_context(front.serving(agent))
    count = 4000
    with slow_reader(url, frame("pour", count=count)) as reader, front.client(url) as client:
        before = standing(told)
        assert 0 < before < count
        for n in range(10):
            assert client.request("echo", {"n": n}).result == {"n": n}
        assert len(told) <= before + 1
        heard = b"".join(iter(lambda: reader.recv(1 << 20), b""))
    assert len(told) == count
    assert heard.count(b'"percent":1') == count
    assert b'"completed"' in heard


def standing(told):
    """How much is told once what is between a task and its slow reader is full."""
    before = -1
    while before != len(told):
        before = len(told)
        time.sleep(0.3)
    return before


@pytest.mark.parametrize("plain", [False, True], ids=["as the front likes it", "plain function"])
def test_a_slow_reader_holds_nobody_else(front, stack, plain):
    """While its handler waits for a slow reader a task is told news, is cancelled, and its handler hears of that."""
    agent = front.agent(limits=Limits(stream_events=5))
    told, ended = [], []

    def pour(task):
        try:
            while True:
                task.progress(1, "x" * 10_000)
                told.append(task.id)
        except BaseException as cut:
            ended.append(cut)
            raise

    @agent.skill("pour")
    def pour_awaiting(task):
        try:
            while True:
                yield task.progress(1, "x" * 10_000)
                told.append(task.id)
        except BaseException as cut:
            ended.append(cut)
            raise

    agent.real.skill("pour plainly")(pour)
    url = stack.enter_context(front.serving(agent))
    client = stack.enter_context(front.client(url, timeout=3.0, retry=RetryRule(attempts=1)))
    with slow_reader(url, frame("pour plainly" if plain else "pour")):
        holds(lambda: told)
        before = standing(told)
        news = TaskUpdate("task_part", UpdateType.PROGRESS, WORKING, {"percent": 50})
        for _ in range(10):
            client.send(client.role.compose(WORKER, news, extensions={PARENT_EXTENSION: told[0]}))
        assert client.cancel(told[0]).status is CANCELLED
        assert client.state(told[0]).status is CANCELLED
        holds(lambda: ended)
        assert len(told) <= before + 1


def test_a_reader_that_leaves(front, stack):
    """The task goes on when nobody reads any more, however far its reader was behind."""
    agent = front.agent(limits=Limits(stream_events=5, stream_beat_seconds=0.05))
    told = []

    @agent.skill("pour")
    def pour(task):
        for _ in range(3000):
            yield task.progress(1, "x" * 10_000)
            told.append(task.id)
        return {"done": True}

    url = stack.enter_context(front.serving(agent))
    client = stack.enter_context(front.client(url))
    with slow_reader(url, frame("pour")):
        holds(lambda: told)
        time.sleep(0.3)
        assert len(told) < 3000
    assert client.wait(told[0], seconds=30, every=0.05).result == {"done": True}


def test_a_client_that_leaves(front, stack):
    """A client may stop reading whenever it likes: the task goes on, and may be followed again."""
    url = stack.enter_context(front.serving(telling(front, stream_beat_seconds=0.05)))
    client = stack.enter_context(front.client(url))
    with client.stream("tell", {"count": 10, "pause": 0.02}) as payloads:
        first = next(payloads)
    with client.stream("tell", {"count": 1}):
        pass
    assert client.wait(first.task_id, **SOON).result == {"told": 10}
    with client.follow(first.task_id) as payloads:
        assert percents(payloads) == list(range(1, 11))


def test_a_peer_without_streams(front, stack):
    """A peer that knows no streams is asked as ever, with the same key; its answer is all there is."""
    agent = telling(front)
    url = stack.enter_context(front.serving(agent))
    paths = []

    class Older(Peer):
        """Knows nothing of streams, and hands all else on."""

        def serve(self, connection):
            with connection:
                request = read_request(connection)
                if not request:
                    return
                paths.append(request.split(b" ")[1].decode())
                if paths[-1] == "/asap/stream":
                    connection.sendall(http_answer(b'{"detail":"Not Found"}', "404 Not Found"))
                    return
                body = request.partition(b"\r\n\r\n")[2]
                with httpx.Client(base_url=url, headers=JSON, trust_env=False) as http:
                    answer = http.post("/asap", content=body)
                connection.sendall(http_answer(answer.content))

    older = stack.enter_context(listening(Older(b"")))
    client = stack.enter_context(front.client(older, peer=WORKER))
    with client.stream("echo", {"x": 1}) as payloads:
        [reply] = payloads
    assert (reply.status, reply.result) == (COMPLETED, {"x": 1})
    with pytest.raises(SkillNotFound), client.stream("missing", {}) as payloads:
        list(payloads)
    assert paths == ["/asap/stream", "/asap"] * 2


def test_a_stop_ends_streams(front, stack):
    """A server that stops is not held up by those who follow a task that waits."""
    agent = front.agent(limits=Limits(grace_seconds=0.2))

    @agent.skill("ask")
    def ask(task):
        yield task.need_input("?")

    heard = threading.Event()

    def follow(url):
        try:
            with front.client(url, retry=RetryRule(attempts=1)) as client, client.stream("ask", {}) as payloads:
                for payload in payloads:
                    if payload.status is WAITING:
                        heard.set()
        except PeerUnreachable:
            pass

    with ThreadPoolExecutor(1) as threads:
        with front.serving(agent) as url:
            following = threads.submit(follow, url)
            assert heard.wait(10)
            begun = time.monotonic()
        assert time.monotonic() - begun < 2.5
        following.result(10)


def test_a_stop_lets_a_stream_end(front, stack):
    """Who follows what runs when the server is told to stop hears its end, where that comes within the grace."""
    agent, heard = front.agent(limits=Limits(grace_seconds=10)), threading.Event()

    @agent.skill("work")
    def work(task):
        yield task.progress(1)
        yield front.until(heard.is_set)
        yield front.pause(0.5)
        yield task.progress(2)
        return {"done": True}

    def follow(url):
        with front.client(url, retry=RetryRule(attempts=1)) as client, client.stream("work", {}) as payloads:
            told = []
            for payload in payloads:
                told.append(payload)
                if isinstance(payload, TaskUpdate) and payload.progress:
                    heard.set()
            return told

    with ThreadPoolExecutor(1) as threads:
        with front.serving(agent) as url:
            following = threads.submit(follow, url)
            assert heard.wait(10)
        told = following.result(10)
    assert percents(told) == [1, 2]
    assert told[-1].result == {"done": True}


def test_a_stream_ends_in_the_reply(front, stack):
    """What a handler answers is the last event, as it is the reply: with its metrics, and told to be over."""
    agent = front.agent()

    @agent.skill("work")
    def work(task):
        status = TaskStatus(task.input["status"])
        return TaskResponse(task.id, status, {"n": 1}, {"so": "far"}, {"seconds": 0.5})

    url = stack.enter_context(front.serving(agent))
    client = stack.enter_context(front.client(url))
    for said, status in (("completed", COMPLETED), ("failed", FAILED), ("working", COMPLETED)):
        with client.stream("work", {"status": said}) as payloads:
            *_, streamed = payloads
        with client.follow(streamed.task_id) as payloads:
            *_, followed_later = payloads
        for last in (streamed, followed_later):
            assert (last.status, last.result) == (status, {"n": 1})
            assert (last.final_state, last.metrics) == ({"so": "far"}, {"seconds": 0.5})


def test_a_tool_in_a_stream(front, stack):
    """A tool call that is followed ends in the tool's result, or in what went wrong; its task in a task's response."""
    agent = front.agent()

    @agent.skill("add")
    def add(task):
        yield task.progress(50)
        return {"sum": sum(task.input["terms"])}

    @agent.skill("fail")
    def fail(task):
        raise ValueError("secret")

    url = stack.enter_context(front.serving(agent))
    client = stack.enter_context(front.client(url))

    def called(tool, **arguments):
        payload = {"request_id": "call-1", "tool_name": tool, "arguments": arguments}
        with followed(url, frame(payload=payload, kind="mcp.tool_call")) as response:
            *updates, (_, last) = events_of(response)
        assert last["payload_type"] == "mcp.tool_result"
        assert last["payload"]["request_id"] == "call-1"
        return updates[0][1]["payload"]["task_id"], last["payload"]

    task_id, result = called("add", terms=[1, 2])
    assert (result["success"], result["result"]) == (True, {"sum": 3})
    _, failure = called("fail")
    assert (failure["success"], failure["result"]) == (False, None)
    assert failure["error"]
    assert "secret" not in failure["error"]
    with client.follow(task_id) as payloads:
        *_, last = payloads
    assert (last.task_id, last.status, last.result) == (task_id, COMPLETED, {"sum": 3})

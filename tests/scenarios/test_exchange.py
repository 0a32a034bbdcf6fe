"""One task, from the client to the handler and back."""

import os
from datetime import UTC, datetime, timedelta

import attrs
import pytest

from asap_proto import AsapError, Envelope, Limits, Misuse, TaskRequest, TaskStatus, TaskUpdate
from asap_proto.errors import (
    HandlerFailed,
    InvalidInput,
    InvalidNonce,
    InvalidTimestamp,
    KeyReused,
    NoHandler,
    SkillNotFound,
    TaskNotFound,
    Unsolicited,
)
from asap_proto.model import (
    ArtifactNotify,
    McpResourceData,
    McpToolResult,
    MessageSend,
    StateQuery,
    StateRestore,
    TaskCancel,
    TaskResponse,
    UpdateType,
    payload_name,
)
from asap_proto.roles import PARENT_EXTENSION, Job

from .fronts import ME, WORKER, post


def payload_id(payload):
    return payload_name(type(payload))


DEEP = {"a": [{"b": [1, 2.5, None, True, {"c": {"d": []}}]}]}


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"message": "hi"},
        {"text": "žluťoučký kůň 🐎 \u2028 \x00"},
        DEEP,
        {"text": "x" * 65_536},
        {"noise": os.urandom(40_000).hex()},
        {"big": 2**63, "small": -(2**63), "float": 1e-300},
    ],
    ids=["empty", "plain", "unicode", "nested", "64 kB", "incompressible", "numbers"],
)
def test_echo(echo, value):
    """What is sent comes back as it was."""
    reply = echo.client.request("echo", value)
    assert reply.status is TaskStatus.COMPLETED
    assert reply.result == {"echoed": value}
    assert reply.task_id.startswith("task_")


def test_trace_and_conversation_reach_the_handler(front):
    """The reply carries on the trace; the handler sees conversation, config and caller."""
    agent = front.agent()

    @agent.skill("look")
    def look(task):
        seen = {"caller": task.caller, "config": task.config, "depth": task.depth, "id": task.id}
        return seen | {"conversation": task.payload.conversation_id, "trace": task.envelope.trace_id}

    with front.serving(agent) as url, front.client(url) as client:
        reply = client.request("look", {}, config={"speed": 2}, conversation_id="talk", trace_id="thread")
        assert reply.result == {
            "caller": ME,
            "config": {"speed": 2},
            "depth": 0,
            "id": reply.task_id,
            "conversation": "talk",
            "trace": "thread",
        }
        letter = client.role.compose(WORKER, TaskRequest("c", "look", {}), trace_id="another")
        answer = client.send(letter)
        assert (answer.trace_id, answer.correlation_id) == ("another", letter.id)
        assert (answer.sender, answer.recipient) == (WORKER, ME)


@pytest.mark.parametrize("count", [1, 30])
def test_one_connection_serves_many_requests(echo, count):
    """A client may ask again and again."""
    for n in range(count):
        assert echo.client.request("echo", {"n": n}).result == {"echoed": {"n": n}}


def test_unknown_skill(echo):
    """A skill that is not there is told by code and path."""
    with pytest.raises(SkillNotFound) as caught:
        echo.client.request("sing", {})
    assert caught.value.facts["data"]["path"] == "$.params.envelope.payload.skill_id"
    assert caught.value.facts["rpc_code"] == -32602


@pytest.mark.parametrize("payload", [McpToolResult("r", True, {}), McpResourceData("file:///x", {})], ids=payload_id)
def test_unknown_payload(echo, payload):
    """A payload without a handler, and without an answer of its own, is told so."""
    with pytest.raises(NoHandler) as caught:
        echo.client.send(echo.client.role.compose(WORKER, payload))
    assert caught.value.facts["rpc_code"] == -32601
    assert caught.value.facts["data"]["path"] == "$.params.envelope.payload_type"


NAMELESS = [
    TaskCancel("t-9"),
    StateQuery("t-9"),
    StateRestore("t-9", "snap_9"),
    MessageSend("t-9", "m", "s", "user", ("p",)),
]


@pytest.mark.parametrize("payload", NAMELESS, ids=payload_id)
def test_payload_that_names_no_task(echo, payload):
    """What is asked about a task that is not there is refused with its path."""
    with pytest.raises(TaskNotFound) as caught:
        echo.client.send(echo.client.role.compose(WORKER, payload))
    assert caught.value.facts["rpc_code"] == -32602
    assert caught.value.facts["data"]["path"] == "$.params.envelope.payload.task_id"


NEWS = [
    TaskUpdate("t-9", UpdateType.PROGRESS, TaskStatus.WORKING, {"percent": 1}),
    TaskResponse("t-9", TaskStatus.COMPLETED),
    ArtifactNotify("a-9", "t-9"),
]


@pytest.mark.parametrize("payload", NEWS, ids=payload_id)
def test_news_that_nobody_waits_for(echo, payload):
    """What happened to a task is refused where no task of ours waits for it, or the one named is not there."""
    with pytest.raises(Unsolicited) as caught:
        echo.client.send(echo.client.role.compose(WORKER, payload))
    assert caught.value.facts["data"]["path"] == "$.params.envelope.extensions.parent_task_id"
    with pytest.raises(TaskNotFound) as caught:
        echo.client.send(echo.client.role.compose(WORKER, payload, extensions={PARENT_EXTENSION: "t-8"}))
    assert caught.value.facts["data"]["path"] == "$.params.envelope.extensions.parent_task_id"


def test_payload_with_a_handler(front):
    """A handler for another payload answers with a payload, or with nothing where a task is named."""
    agent = front.agent()
    heard = []

    @agent.on(TaskUpdate)
    def hear(task):
        heard.append(task.payload)

    with front.serving(agent) as url, front.client(url) as client:
        update = TaskUpdate("t-1", UpdateType.PROGRESS, TaskStatus.WORKING, {"percent": 1})
        reply = client.send(client.role.compose(WORKER, update))
    assert heard == [update]
    assert (reply.payload.task_id, reply.payload.status) == ("t-1", TaskStatus.WORKING)


class Leak(Exception):
    """Never to be seen outside."""


@pytest.mark.parametrize(
    "error",
    [Leak("secret"), ValueError("secret"), KeyError("secret"), StopIteration("secret"), RecursionError("secret"),
     TimeoutError("secret"), OSError(5, "secret"), Misuse("secret"), HandlerFailed("secret"),
     ExceptionGroup("secret", [Leak()])],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_handler_that_raises_tells_nothing(front, error, caplog):
    """A handler's exception is the operator's business: not a word of it reaches the peer."""
    agent = front.agent()

    @agent.skill("fail")
    def fail(task):
        raise error

    with front.serving(agent) as url, front.client(url) as client, pytest.raises(HandlerFailed) as caught:
        client.request("fail", {})
    told = repr(caught.value) + str(caught.value) + repr(caught.value.facts)
    for word in ("secret", "Leak", "Traceback", type(error).__name__ + "("):
        assert word not in told.replace("HandlerFailed(", "")
    assert "fail" in caplog.text


@pytest.mark.parametrize(
    "error",
    [TaskNotFound("no task t-9", path="$.payload.task_id", facts={"task_id": "t-9"}), InvalidInput("too long")],
    ids=lambda error: type(error).__name__,
)
def test_handler_may_tell(front, error):
    """What a handler raises out of the catalogue on purpose reaches the peer as it is."""
    agent = front.agent()

    @agent.skill("fail")
    def fail(task):
        raise error

    told = pytest.raises(type(error), match=error.message)
    with front.serving(agent) as url, front.client(url) as client, told as caught:
        client.request("fail", {})
    assert caught.value.facts["data"].get("details", {}) == error.facts


CIRCLE: dict = {}
CIRCLE["self"] = CIRCLE


@pytest.mark.parametrize(
    "value",
    [{"x": object()}, {"x": {1, 2}}, {1: "x"}, {"x": b"bytes"}, {"x": 2**64}, {"x": "\ud800"}, CIRCLE,
     "text", 5, [1], object()],
    ids=lambda value: repr(value)[:12],
)  # fmt: skip
def test_handler_that_returns_no_json(front, value):
    """A handler that returns what can't be written has failed."""
    agent = front.agent()

    @agent.skill("odd")
    def odd(task):
        return value

    with front.serving(agent) as url, front.client(url) as client, pytest.raises(HandlerFailed):
        client.request("odd", {})


@attrs.frozen
class Place:
    street: str
    number: int = 1


@attrs.frozen
class Order:
    item: str
    count: int
    place: Place = Place("here")
    tags: tuple[str, ...] = ()


@attrs.frozen
class Receipt:
    total: int
    place: Place


def shop(front):
    agent = front.agent()

    @agent.skill("buy")
    def buy(task, order: Order) -> Receipt:
        return Receipt(order.count * 2, order.place)

    return agent


def test_typed_input(front):
    """Input and output may be attrs classes; their schemas stand in the manifest."""
    with front.serving(shop(front)) as url, front.client(url) as client:
        reply = client.request("buy", {"item": "book", "count": 2, "place": {"street": "there"}})
        assert reply.result == {"total": 4, "place": {"street": "there", "number": 1}}
        [skill] = client.manifest().capabilities.skills
    assert skill.input_schema["required"] == ["item", "count"]
    assert skill.output_schema["properties"]["total"] == {"type": "integer"}


@pytest.mark.parametrize(
    ("given", "paths"),
    [
        ({}, {"item", "count"}),
        ({"item": "x", "count": "2"}, {"count"}),
        ({"item": "x", "count": True}, {"count"}),
        ({"item": "x", "count": 2.0}, {"count"}),
        ({"item": "x", "count": 2, "place": {"street": 5, "number": None}}, {"place.street", "place.number"}),
        ({"item": "x", "count": 2, "place": "here"}, {"place"}),
        ({"item": "x", "count": 2, "tags": ["a", 1]}, {"tags[1]"}),
        ({"item": "x", "count": 2, "tags": "ab"}, {"tags"}),
    ],
)
def test_typed_input_faults(front, given, paths):
    """Input that does not fit its class is refused with the JSON path of each fault."""
    with front.serving(shop(front)) as url, front.client(url) as client, pytest.raises(InvalidInput) as caught:
        client.request("buy", given)
    faults = caught.value.facts["data"]["validation_errors"]
    assert {fault["loc"] for fault in faults} == {f"$.params.envelope.payload.input.{path}" for path in paths}


def test_typed_input_with_unknown_fields(front):
    """A field that the class does not have is named."""
    served = front.serving(shop(front))
    with served as url, front.client(url) as client, pytest.raises(InvalidInput, match="colour"):
        client.request("buy", {"item": "x", "count": 2, "colour": 5})


def test_duplicate_nonce(echo):
    """A nonce counts once for each sender."""
    letter = echo.client.role.compose(WORKER, TaskRequest("c", "echo", {}), extensions={"nonce": "once"})
    echo.client.send(letter)
    with pytest.raises(InvalidNonce):
        echo.client.send(letter)
    echo.client.send(attrs.evolve(letter, sender="urn:asap:agent:another"))


@pytest.mark.parametrize(("age", "fits"), [(290, True), (310, False), (-25, True), (-40, False)])
def test_timestamps(echo, age, fits):
    """An envelope may be five minutes old and half a minute ahead."""
    letter = echo.client.role.compose(WORKER, TaskRequest("c", "echo", {}))
    letter = attrs.evolve(letter, timestamp=datetime.now(UTC) - timedelta(seconds=age))
    if fits:
        assert echo.client.send(letter).payload.result == {"echoed": {}}
    else:
        with pytest.raises(InvalidTimestamp):
            echo.client.send(letter)


def test_no_timestamp_and_no_id(echo):
    """Conformance harnesses post envelopes with neither, to a recipient of no importance."""
    envelope = {
        "asap_version": "0.1",
        "sender": "urn:asap:agent:harness",
        "recipient": "urn:asap:agent:under-test",
        "payload_type": "task.request",
        "payload": {"conversation_id": "c", "skill_id": "echo", "input": {"x": 1}},
    }
    frame = {"jsonrpc": "2.0", "method": "asap.send", "params": {"envelope": envelope}, "id": 7}
    answer = post(echo.http, frame).json()
    assert answer["id"] == 7
    assert answer["result"]["envelope"]["payload"]["result"] == {"echoed": {"x": 1}}
    assert answer["result"]["envelope"]["correlation_id"]


def test_key_for_another_request(echo):
    """An idempotency key can't fetch the reply to another request."""
    role = echo.client.role
    tell = echo.client._tell
    first = role.compose(WORKER, TaskRequest("c", "echo", {"n": 1}))
    tell(role.send(first, idempotency_key="k"))
    assert tell(role.send(first, idempotency_key="k")).payload.result == {"echoed": {"n": 1}}
    with pytest.raises(KeyReused):
        tell(role.send(role.compose(WORKER, TaskRequest("c", "echo", {"n": 2})), idempotency_key="k"))


@pytest.mark.parametrize(
    "value", [{"x": object()}, {"x": 2**64}, {1: "x"}, {"x": "\ud800"}, CIRCLE], ids=lambda value: repr(value)[:12]
)
def test_what_we_cannot_write_is_our_misuse(echo, value):
    """Input that is no JSON is refused before it is sent, by a batch too."""
    with pytest.raises(Misuse):
        echo.client.request("echo", value)
    letter = echo.client.role.compose(WORKER, TaskRequest("c", "echo", value))
    with pytest.raises(Misuse):
        echo.client.send(letter)
    good = echo.client.role.compose(WORKER, TaskRequest("c", "echo", {}))
    try:
        results = echo.client.send_batch([letter, good])
    except AsapError as error:
        results = [error]
    assert isinstance(results[0], Misuse)


def job_at(depth):
    letter = {"sender": ME, "recipient": WORKER, "payload_type": "task.request"}
    request = TaskRequest("c", "dig", {})
    return Job(request, Envelope(payload=request, **letter), "task_0", depth, None)


def test_depth_limit_of_the_receiver(front):
    """Depth 10 is accepted, 11 is refused by the receiver even if the sender allows more."""
    agent = front.agent()

    @agent.skill("dig")
    def dig(task):
        return {"depth": task.depth}

    generous = Limits(task_depth=99)
    with front.serving(agent) as url, front.client(url, limits=generous) as client:
        assert client.request("dig", {}, within=job_at(9)).result == {"depth": 10}
        with pytest.raises(AsapError) as caught:
            client.request("dig", {}, within=job_at(10))
    assert caught.value.code == "asap:task/too_deep"
    assert caught.value.facts["data"]["path"] == "$.params.envelope.extensions.task_depth"

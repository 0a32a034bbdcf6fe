"""Agents among themselves: chains of tasks, and progress told on the way."""

import json

import pytest

from asap_proto import Limits, Misuse, TaskUpdate
from asap_proto.errors import HandlerFailed, NestedTooDeep, SkillNotFound

from .fronts import ME, WORKER
from .wires import Peer, http_answer, listening


def urn(n):
    return f"urn:asap:agent:link-{n}"


@pytest.fixture
def chain(front, stack):
    """Builds a chain of agents, each handing on to the next; gives the first one's URL."""

    def build(length, **options):
        url = None
        for n in reversed(range(length)):
            url = stack.enter_context(front.serving(link(n, url, options)))
        return url

    def link(n, next_url, options):
        agent = front.agent(urn(n), peers={urn(n + 1): next_url} if next_url else {}, **options)

        @agent.skill("pass")
        def hand_on(task):
            if next_url is None:
                return {"depths": [task.depth], "trace": task.envelope.trace_id}
            reply = yield task.delegate(urn(n + 1), "pass", task.input)
            return {"depths": [task.depth, *reply.result["depths"]], "trace": reply.result["trace"]}

        return agent

    return build


def test_chain(front, chain):
    """Each agent of a chain works one level deeper, in the same trace."""
    with front.client(chain(4)) as client:
        reply = client.request("pass", {}, trace_id="thread")
    assert reply.result == {"depths": [0, 1, 2, 3], "trace": "thread"}


def test_chain_too_long(front, stack):
    """An agent that hands on to itself stops at depth 10: the eleventh task is refused before it is sent."""
    depths, refused = [], []
    me = "urn:asap:agent:mirror"
    agent = front.agent(me)

    @agent.skill("dig")
    def dig(task):
        depths.append(task.depth)
        try:
            reply = yield task.delegate(me, "dig", {})
        except NestedTooDeep as error:
            refused.append((task.depth, error.facts))
            return {"bottom": task.depth}
        return reply.result

    url = stack.enter_context(front.serving(agent, threads=16))
    agent.real.reconfigure(peers={me: url})
    with front.client(url) as client:
        assert client.request("dig", {}).result == {"bottom": 10}
    assert depths == list(range(11))
    assert refused == [(10, {"depth": 11, "most": 10})]


def test_failure_far_down(front, stack):
    """What a peer's peer reports is an error of that peer's handler to us, told without its words."""
    end = stack.enter_context(front.serving(front.agent(urn(1))))
    first = front.agent(urn(0), peers={urn(1): end})
    caught = []

    @first.skill("pass")
    def hand_on(task):
        try:
            yield task.delegate(urn(1), "missing", {})
        except SkillNotFound as error:
            caught.append(error)
            raise

    url = stack.enter_context(front.serving(first))
    with front.client(url) as client, pytest.raises(HandlerFailed):
        client.request("pass", {})
    assert len(caught) == 1


def test_delegate_to_a_stranger(front, stack, caplog):
    """An agent that is not among the peers is a mistake of the handler's; the log says what to do."""
    agent = front.agent()

    @agent.skill("pass")
    def hand_on(task):
        yield task.delegate("urn:asap:agent:stranger", "x", {})

    url = stack.enter_context(front.serving(agent))
    with front.client(url) as client, pytest.raises(HandlerFailed):
        client.request("pass", {})
    assert "peers={" in caplog.text


def test_progress(front, stack):
    """Progress reaches the caller's own handler, in order and naming the task."""
    heard = []
    boss = front.agent(ME)

    @boss.on(TaskUpdate)
    def hear(task):
        heard.append((task.caller, task.payload.task_id, task.payload.progress))

    worker = front.agent(peers={ME: stack.enter_context(front.serving(boss))})

    @worker.skill("work")
    def work(task):
        yield task.progress(10)
        yield task.progress(90, "nearly")
        return {}

    with front.client(stack.enter_context(front.serving(worker))) as client:
        reply = client.request("work", {})
    assert heard == [
        (WORKER, reply.task_id, {"percent": 10}),
        (WORKER, reply.task_id, {"percent": 90, "message": "nearly"}),
    ]


def test_progress_to_nobody(front, stack):
    """Progress is best effort: a caller with no known URL, or that refuses, does not fail the task."""
    deaf = stack.enter_context(front.serving(front.agent(ME)))
    for peers in ({}, {ME: deaf}):
        worker = front.agent(peers=peers)

        @worker.skill("work")
        def work(task):
            yield task.progress(10)
            return {"done": True}

        with front.serving(worker) as url, front.client(url) as client:
            assert client.request("work", {}).result == {"done": True}


@pytest.mark.parametrize("percent", [150, -1, float("nan"), "half"])
def test_progress_that_is_none(front, stack, percent):
    """What is no percentage is the handler's mistake, and reaches it."""
    caught = []
    worker = front.agent(peers={ME: "http://127.0.0.1:1"})

    @worker.skill("work")
    def work(task):
        try:
            yield task.progress(percent)
        except Misuse as error:
            caught.append(error)
        return {}

    with front.client(stack.enter_context(front.serving(worker))) as client:
        client.request("work", {})
    assert len(caught) == 1


def test_progress_is_not_waited_for(front, stack):
    """A caller that listens and never answers holds up its task for no longer than the limit says."""
    never = stack.enter_context(listening(Peer(lambda connection: connection.recv(1))))
    worker = front.agent(peers={ME: never}, limits=Limits(progress_seconds=0.05))

    @worker.skill("work")
    def work(task):
        yield task.progress(10)
        return {"done": True}

    with front.client(stack.enter_context(front.serving(worker)), timeout=8) as client:
        assert client.request("work", {}).result == {"done": True}


@pytest.mark.parametrize("code", ["asap:protocol/invalid_state", "asap:task/not_found", "asap:local/misuse"])
def test_progress_that_the_caller_refuses(front, stack, code):
    """Whatever the caller reports, in the words of whichever class of ours, does not fail the task."""
    refused = {"jsonrpc": "2.0", "id": "req-1", "error": {"code": -32602, "message": "no", "data": {"code": code}}}
    peer = stack.enter_context(listening(Peer(http_answer(json.dumps(refused).encode()))))
    worker = front.agent(peers={ME: peer})

    @worker.skill("work")
    def work(task):
        yield task.progress(10)
        return {"done": True}

    with front.client(stack.enter_context(front.serving(worker))) as client:
        assert client.request("work", {}).result == {"done": True}

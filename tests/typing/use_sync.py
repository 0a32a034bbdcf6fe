"""A user's program on plain threads."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, assert_type

from attrs import frozen

from asap_adapters.sync import Agent, App, Client, ManifestCache, Task, TaskCancelled, TaskState, serving
from asap_proto import AsapError, Envelope, Manifest, TaskRequest, TaskResponse, TaskUpdate
from asap_proto.model import Artifact, Payload, StateSnapshot, TextPart


@frozen
class Order:
    item: str


agent = Agent("urn:asap:agent:shop", name="Shop", version="1.0")


@agent.skill("buy", description="Buys")
def buy(task: Task, order: Order) -> dict[str, Any]:
    task.progress(50, "half")
    assert_type(task.delegate("urn:asap:agent:x", "echo", {}), TaskResponse)
    assert_type(task.id, str)
    assert_type(task.save({"n": 1}, checkpoint=True), StateSnapshot)
    assert_type(task.load(), dict[str, Any] | None)
    assert_type(task.need_input("which?", choices=[1]), dict[str, Any])
    assert_type(task.artifact("x", TextPart("y")), Artifact)
    assert_type(task.cancelled, bool)
    assert_type(task.deadline, datetime)
    assert_type(task.runs, int)
    return {"item": order.item}


@agent.on(TaskUpdate)
def hear(task: Task) -> None:
    pass


typed: Callable[[Task, Order], dict[str, Any]] = buy
assert_type(agent.app(), App)


def main() -> None:
    with serving(agent.app()) as url, Client(url, me="urn:asap:agent:me", manifests=ManifestCache()) as client:
        assert_type(client.request("buy", {"item": "x"}), TaskResponse)
        assert_type(client.manifest(), Manifest)
        letter = client.role.compose("urn:asap:agent:shop", TaskRequest("c", "buy", {}))
        assert_type(client.send(letter), Envelope)
        assert_type(client.send_batch([letter]), list[Envelope | AsapError])
        submitted = client.submit("buy", {"item": "x"}, idempotency_key="k")
        assert_type(submitted, TaskResponse)
        state = client.wait(submitted.task_id, seconds=1, every=0.1)
        assert_type(state, TaskState)
        assert_type(state.snapshot, StateSnapshot | None)
        assert_type(client.state("t", 1), TaskState)
        assert_type(client.cancel("t", "enough"), TaskResponse)
        assert_type(client.tell("t", {"answer": 1}, parts=["p"]), TaskResponse)
        assert_type(client.restore("t", "s", brought=state), TaskResponse)
        with client.stream("buy", {"item": "x"}) as payloads:
            for payload in payloads:
                assert_type(payload, Payload | dict[str, Any])
        with client.follow("t") as payloads:
            assert_type(next(payloads), Payload | dict[str, Any])


@agent.skill("again", restartable=True)
def again(task: Task) -> dict[str, Any]:
    try:
        task.progress(1)
    except TaskCancelled:
        raise
    return {}

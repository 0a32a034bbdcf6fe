"""A user's program on asyncio."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, assert_type

from attrs import frozen

from asap_adapters.asyncio import Agent, App, Client, Task, TaskCancelled, TaskState, ThreadTask, serving
from asap_proto import AsapError, Envelope, Manifest, TaskRequest, TaskResponse, TaskUpdate
from asap_proto.model import Artifact, Payload, StateSnapshot, TextPart


@frozen
class Order:
    item: str


@frozen
class Receipt:
    total: int


agent = Agent("urn:asap:agent:shop", name="Shop", quota="10/second", peers={"urn:asap:agent:x": "http://localhost:1"})


@agent.skill("buy", description="Buys")
async def buy(task: Task, order: Order) -> Receipt:
    await task.progress(50, "half")
    assert_type(await task.delegate("urn:asap:agent:x", "echo", {}), TaskResponse)
    assert_type(task.input, dict[str, Any])
    assert_type(task.caller, str)
    assert_type(await task.save({"n": 1}, checkpoint=True), StateSnapshot)
    assert_type(await task.load(), dict[str, Any] | None)
    assert_type(await task.need_input("which?", choices=[1]), dict[str, Any])
    assert_type(await task.artifact("x", TextPart("y")), Artifact)
    assert_type(task.cancelled, bool)
    assert_type(task.deadline, datetime)
    assert_type(task.runs, int)
    return Receipt(len(order.item))


@agent.skill("plain")
def plain(task: ThreadTask) -> dict[str, Any]:
    task.progress(1)
    assert_type(task.save({}), StateSnapshot)
    assert_type(task.load(), dict[str, Any] | None)
    assert_type(task.need_input("which?"), dict[str, Any])
    assert_type(task.artifact("x", TextPart("y")), Artifact)
    assert_type(task.delegate("urn:asap:agent:x", "echo", {}), TaskResponse)
    return {}


@agent.on(TaskUpdate)
async def hear(task: Task) -> None:
    pass


# Decorators leave a function what it was.
typed: Callable[[Task, Order], Awaitable[Receipt]] = buy
untouched: Callable[[ThreadTask], dict[str, Any]] = plain
assert_type(agent.app(), App)


async def main() -> None:
    async with serving(agent.app()) as url, Client(url, me="urn:asap:agent:me", token="t") as client:
        assert_type(url, str)
        assert_type(await client.request("buy", {"item": "x"}), TaskResponse)
        assert_type(await client.manifest(), Manifest)
        letter = client.role.compose("urn:asap:agent:shop", TaskRequest("c", "buy", {}))
        assert_type(letter, Envelope)
        assert_type(await client.send(letter), Envelope)
        assert_type(await client.send_batch([letter]), list[Envelope | AsapError])
        submitted = await client.submit("buy", {"item": "x"}, idempotency_key="k")
        assert_type(submitted, TaskResponse)
        state = await client.wait(submitted.task_id, seconds=1, every=0.1)
        assert_type(state, TaskState)
        assert_type(state.snapshot, StateSnapshot | None)
        assert_type(await client.state("t", 1), TaskState)
        assert_type(await client.cancel("t", "enough"), TaskResponse)
        assert_type(await client.tell("t", {"answer": 1}, parts=["p"]), TaskResponse)
        assert_type(await client.restore("t", "s", brought=state), TaskResponse)
        async with client.stream("buy", {"item": "x"}) as payloads:
            async for payload in payloads:
                assert_type(payload, Payload | dict[str, Any])
        async with client.follow("t") as payloads:
            assert_type(await anext(payloads), Payload | dict[str, Any])


@agent.skill("again", restartable=True)
async def again(task: Task) -> dict[str, Any]:
    try:
        await task.progress(1)
    except TaskCancelled:
        raise
    return {}

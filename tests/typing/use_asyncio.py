"""A user's program on asyncio."""

from collections.abc import Awaitable, Callable
from typing import Any, assert_type

from attrs import frozen

from asap_adapters.asyncio import Agent, App, Client, Task, ThreadTask, serving
from asap_proto import AsapError, Envelope, Manifest, TaskRequest, TaskResponse, TaskUpdate


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
    return Receipt(len(order.item))


@agent.skill("plain")
def plain(task: ThreadTask) -> dict[str, Any]:
    task.progress(1)
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

"""A user's program on plain threads."""

from collections.abc import Callable
from typing import Any, assert_type

from attrs import frozen

from asap_adapters.sync import Agent, App, Client, Task, serving
from asap_proto import AsapError, Envelope, Manifest, TaskRequest, TaskResponse, TaskUpdate


@frozen
class Order:
    item: str


agent = Agent("urn:asap:agent:shop", name="Shop", version="1.0")


@agent.skill("buy", description="Buys")
def buy(task: Task, order: Order) -> dict[str, Any]:
    task.progress(50, "half")
    assert_type(task.delegate("urn:asap:agent:x", "echo", {}), TaskResponse)
    assert_type(task.id, str)
    return {"item": order.item}


@agent.on(TaskUpdate)
def hear(task: Task) -> None:
    pass


typed: Callable[[Task, Order], dict[str, Any]] = buy
assert_type(agent.app(), App)


def main() -> None:
    with serving(agent.app()) as url, Client(url, me="urn:asap:agent:me") as client:
        assert_type(client.request("buy", {"item": "x"}), TaskResponse)
        assert_type(client.manifest(), Manifest)
        letter = client.role.compose("urn:asap:agent:shop", TaskRequest("c", "buy", {}))
        assert_type(client.send(letter), Envelope)
        assert_type(client.send_batch([letter]), list[Envelope | AsapError])

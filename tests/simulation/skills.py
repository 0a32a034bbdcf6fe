"""What the agents of the simulation can do: one skill for each way that a handler behaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from asap_proto.errors import AsapError, InvalidInput
from asap_proto.model import TaskRequest, TaskResponse, TaskUpdate, TextPart, make_ulid
from asap_proto.model.ulid import EPOCH
from asap_proto.roles import PARENT_EXTENSION, Pause
from asap_proto.rules.retry import RetryRule

from .network import towards
from .scheduler import Story

if TYPE_CHECKING:
    from .agents import Run

__all__ = ["SKILLS", "Boom", "Skill"]

_ONCE = RetryRule(attempts=1)


class Boom(Exception):
    """What a handler raises that has failed."""


def at_once(run: Run) -> Story:
    """Returns."""
    return {"n": run.input["n"]}
    yield  # a story, like the others


def step_by_step(run: Run) -> Story:
    """Saves after each step, tells how far it has come, and goes on from there when it is run again."""
    task, n, count = run.role, run.input["n"], run.input["count"]
    known = yield from run.load()
    assert known is None or known["n"] == n, f"{run.job.task_id} is of {n}, and knows {known}"
    done = known["done"] if known else 0
    while done < count:
        yield Pause(run.input["seconds"])
        update = yield from task.progress(100 * done / count, f"step {done}")
        yield from report(run, update)
        done += 1
        yield from task.save({"n": n, "done": done}, checkpoint=done == count)
    if run.input.get("artifact"):
        yield from task.artifact("steps", [TextPart(f"{done} steps of {n}")])
    return {"n": n, "done": done}


def asking(run: Run) -> Story:
    """Asks for input, some times over; with `save` it saves what it was told, and may go on from there."""
    task, n, saves = run.role, run.input["n"], run.input.get("save")
    known = yield from run.load()
    assert known is None or known["n"] == n, f"{run.job.task_id} is of {n}, and knows {known}"
    told: list[object] = []
    for number in range(run.input["count"]):
        if saves:
            yield from task.save({"n": n, "told": told})
        answer = yield from task.need_input({"question": f"{n}, question {number}"})
        told.append(answer["input"])
        yield Pause(run.input["seconds"])
    return {"n": n, "told": told}


def delegating(run: Run) -> Story:
    """Hands the rest of the way to the next agent; the last one answers."""
    n, way = run.input["n"], run.input["way"]
    if not way:
        return {"n": n, "depth": run.job.depth}
    peer, rest = way[0], way[1:]
    role = run.worker.client(peer)
    request = TaskRequest("conversation", run.job.name, {"n": n, "way": rest}, parent_task_id=run.job.task_id)
    envelope = role.compose(peer, request, within=run.job)
    key = None
    if run.job.name == "hand on for certain":
        # What it is run again for asks the same again, and is told the same.
        key = f"{run.job.task_id} to {peer}"
        envelope = evolve(envelope, id=make_ulid(EPOCH, int.from_bytes(blake2b(key.encode(), digest_size=10).digest())))
    yield from run.role.check()
    try:
        reply = yield from towards(run.worker.agent.urn, peer, role.send(envelope, idempotency_key=key))
    except AsapError as error:
        return {"n": n, "failed": error.code}
    run.worker.agent.world.ledger.heard(peer, reply)
    assert isinstance(reply.payload, TaskResponse)
    result = reply.payload.result
    if result is not None and "depth" in result:
        assert result["depth"] == run.job.depth + 1 + len(rest), f"{run.job.task_id} has {result}"
    return {"n": n, "depth": result["depth"]} if result and "depth" in result else {"n": n, "failed": "below"}


def report(run: Run, update: TaskUpdate) -> Story:
    """Tells the task that this one is a part of, if it is."""
    sender, parent = run.job.envelope.sender, run.job.payload.parent_task_id  # type: ignore[union-attr]
    if parent is not None and sender in run.worker.agent.world.agents:
        role = run.worker.client(sender)
        news = role.compose(sender, update, within=run.job, extensions={PARENT_EXTENSION: parent})
        try:
            yield from towards(run.worker.agent.urn, sender, role.send(news, retry=_ONCE, timeout=1.0))
        except AsapError:
            return


def failing(run: Run) -> Story:
    """Fails, as the caller wishes."""
    yield Pause(run.input["seconds"])
    if run.input.get("told"):
        raise InvalidInput(f"{run.input['n']} is no number that I like")
    raise Boom(run.input["n"])


def working(run: Run) -> Story:
    """Takes its time, and tells nobody anything."""
    for _ in range(run.input["count"]):
        yield Pause(run.input["seconds"])
    return {"n": run.input["n"]}


@frozen
class Skill:
    """A handler, and what its agent says of it. One that `can_be_cut` is a coroutine, else it is a thread."""

    story: Callable[[Run], Story]
    restartable: bool = False
    can_be_cut: bool = True


SKILLS: Mapping[str, Skill] = {
    "echo": Skill(at_once),
    "steps": Skill(step_by_step),
    "ask": Skill(asking),
    "hand on": Skill(delegating),
    "hand on for certain": Skill(delegating, restartable=True),
    "fail": Skill(failing),
    "work": Skill(working),
    "work again": Skill(working, restartable=True),
    "work on": Skill(working, can_be_cut=False),
    "steps on": Skill(step_by_step, can_be_cut=False),
}

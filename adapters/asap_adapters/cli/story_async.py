"""The demo's story as agents of asyncio or trio play it; `story_sync` is its twin without `await`."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from asap_proto.model import TaskUpdate

from .story import COORDINATOR, COUNTER, EDITOR, Story, count

if TYPE_CHECKING:
    from .._awaiting.agent import Agent
    from .._awaiting.client import Client

__all__ = ["play"]


async def play(front: Any, story: Story) -> None:
    """Three servers on free ports, one task between them."""
    make: type[Agent] = front.Agent
    connect: type[Client] = front.Client
    coordinator = make(COORDINATOR, name="Coordinator", description="Hands out work")
    counter = make(COUNTER, name="Counter", description="Counts words")

    @coordinator.on(TaskUpdate)
    async def heard(task: Any) -> None:
        story.saw(COORDINATOR, task.caller, task.payload)

    @counter.skill("count", description="How many words, and which is the longest")
    async def count_words(task: Any) -> dict[str, Any]:
        story.saw_task(COUNTER, task)
        return count(task.input["text"])

    async with AsyncExitStack() as stack:

        async def serve(agent: Agent) -> str:
            url: str = await stack.enter_async_context(front.serving(agent.app()))
            return url

        peers = {COORDINATOR: await serve(coordinator), COUNTER: await serve(counter)}
        editor = make(EDITOR, name="Editor", description="Reviews texts", peers=peers)

        @editor.skill("review", description="Look through a text")
        async def review(task: Any) -> dict[str, Any]:
            story.saw_task(EDITOR, task)
            await task.progress(10, "reading")
            counted = await task.delegate(COUNTER, "count", {"text": task.input["text"]})
            story.saw(EDITOR, COUNTER, counted)
            await task.progress(90, "counted")
            return {"review": counted.result}

        url = await serve(editor)
        client = await stack.enter_async_context(connect(url, me=COORDINATOR, timeout=30.0))
        story.begin()
        found = await client.manifest()
        story.saw(COORDINATOR, found.id, found)
        answer = await client.request("review", {"text": story.text})
        story.saw(COORDINATOR, found.id, answer)

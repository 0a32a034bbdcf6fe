"""The demo's story as agents of the sync front play it; the twin of `story_async`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from asap_proto.model import TaskUpdate

from ..sync import Agent, Client, serving
from .story import COORDINATOR, COUNTER, EDITOR, Story, count

__all__ = ["play"]


def play(story: Story) -> None:
    """Three servers on free ports, one task between them."""
    coordinator = Agent(COORDINATOR, name="Coordinator", description="Hands out work")
    counter = Agent(COUNTER, name="Counter", description="Counts words")

    @coordinator.on(TaskUpdate)
    def heard(task: Any) -> None:
        story.saw(COORDINATOR, task.caller, task.payload)

    @counter.skill("count", description="How many words, and which is the longest")
    def count_words(task: Any) -> dict[str, Any]:
        story.saw_task(COUNTER, task)
        return count(task.input["text"])

    with ExitStack() as stack:

        def serve(agent: Agent) -> str:
            stack.callback(agent.close)
            return stack.enter_context(serving(agent.app()))

        peers = {COORDINATOR: serve(coordinator), COUNTER: serve(counter)}
        editor = Agent(EDITOR, name="Editor", description="Reviews texts", peers=peers)

        @editor.skill("review", description="Look through a text")
        def review(task: Any) -> dict[str, Any]:
            story.saw_task(EDITOR, task)
            task.progress(10, "reading")
            counted = task.delegate(COUNTER, "count", {"text": task.input["text"]})
            story.saw(EDITOR, COUNTER, counted)
            task.progress(90, "counted")
            return {"review": counted.result}

        url = serve(editor)
        client = stack.enter_context(Client(url, me=COORDINATOR, timeout=30.0))
        story.begin()
        found = client.manifest()
        story.saw(COORDINATOR, found.id, found)
        answer = client.request("review", {"text": story.text})
        story.saw(COORDINATOR, found.id, answer)

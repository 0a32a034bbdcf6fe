"""Three agents and one task: a coordinator hands it over, an editor works and delegates, a counter counts.

python examples/coordinator.py

The coordinator is an agent itself, for only an agent has a place where progress can arrive.
Each is served on a free port, the editor last: it has to know where the other two are.
"""

import asyncio

from asap_adapters.asyncio import Agent, Client, serving
from asap_proto import TaskUpdate

COORDINATOR = "urn:asap:agent:coordinator"
COUNTER = "urn:asap:agent:counter"
EDITOR = "urn:asap:agent:editor"

coordinator = Agent(COORDINATOR)
counter = Agent(COUNTER)


@coordinator.on(TaskUpdate)
async def heard(task):
    progress = task.payload.progress
    print(f"{task.caller} is at {progress['percent']} %: {progress['message']}")


@counter.skill("count", description="Count the words of a text")
async def count(task):
    print(f"{task.caller} asks at depth {task.depth}")
    return {"words": len(task.input["text"].split())}


async def review(task):
    await task.progress(10, "reading")
    counted = await task.delegate(COUNTER, "count", {"text": task.input["text"]})
    await task.progress(90, "counted")
    return {"short": counted.result["words"] < 10}


async def main():
    async with serving(coordinator.app()) as coordinator_url, serving(counter.app()) as counter_url:
        editor = Agent(EDITOR, peers={COORDINATOR: coordinator_url, COUNTER: counter_url})
        editor.skill("review", description="Say whether a text is short")(review)
        async with serving(editor.app()) as url, Client(url, me=COORDINATOR) as client:
            reply = await client.request("review", {"text": "to be or not to be"})
            print(reply.status, reply.result)


if __name__ == "__main__":
    asyncio.run(main())

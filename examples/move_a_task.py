"""A task is moved from one agent to another: what it knew is asked for, and brought along.

python examples/move_a_task.py

The first agent is slow, so its caller cancels the task there, asks what it knew, and has another agent go on.
The two share nothing: the snapshot and the request travel with the caller.
"""

import asyncio

from asap_adapters.asyncio import Agent, Client, serving

PAGES = 10


def reader(urn, seconds):
    """An agent that reads a page in so many seconds."""
    agent = Agent(urn)

    @agent.skill("read", description="Read a book, page by page")
    async def read(task):
        known = await task.load() or {"read": 0}
        first = known["read"] + 1
        for page in range(first, PAGES + 1):
            await asyncio.sleep(seconds if page > 3 else 0)
            await task.save({"read": page})
            await task.progress(100 * page / PAGES)
        return {"title": task.input["title"], "pages": f"{first} to {PAGES}"}

    return agent


async def main():
    slow, quick = reader("urn:asap:agent:slow", 60), reader("urn:asap:agent:quick", 0)
    me = "urn:asap:agent:librarian"
    async with (
        serving(slow.app()) as slow_url,
        serving(quick.app()) as quick_url,
        Client(slow_url, me=me) as here,
        Client(quick_url, me=me) as there,
    ):
        task_id = (await here.submit("read", {"title": "Emma"})).task_id
        async with here.follow(task_id) as news:
            async for update in news:
                if update.progress == {"percent": 30}:
                    break
        print("the slow one:", (await here.cancel(task_id, "too slow")).status)
        state = await here.state(task_id)
        print("what it knew:", state.snapshot.data)

        moved = await there.restore(task_id, state.snapshot.id, brought=state)
        print("the quick one:", moved.status)
        found = await there.wait(moved.task_id, every=0.02)
        print(found.status, found.result)


if __name__ == "__main__":
    asyncio.run(main())

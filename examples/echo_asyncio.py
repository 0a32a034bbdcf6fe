"""An echo agent on asyncio, and a client that asks it.

python examples/echo_asyncio.py                        both, in this process
asap serve echo_asyncio:agent --app-dir examples       the agent alone, for others to ask
"""

import asyncio

from asap_adapters.asyncio import Agent, Client, serving

agent = Agent("urn:asap:agent:echo", name="Echo", version="1.0.0", description="Repeats what it hears")


@agent.skill("echo", description="Repeat the input")
async def echo(task):
    return {"echoed": task.input}


async def main():
    async with serving(agent.app()) as url, Client(url, me="urn:asap:agent:caller") as client:
        reply = await client.request("echo", {"message": "hi"})
        print(reply.status, reply.result)


if __name__ == "__main__":
    asyncio.run(main())

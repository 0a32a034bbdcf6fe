"""An echo agent on trio, and a client that asks it.

python examples/echo_trio.py                           both, in this process
asap serve echo_trio:agent --app-dir examples          the agent alone, for others to ask
"""

import trio

from asap_adapters.trio import Agent, Client, serving

agent = Agent("urn:asap:agent:echo", name="Echo", version="1.0.0", description="Repeats what it hears")


@agent.skill("echo", description="Repeat the input")
async def echo(task):
    return {"echoed": task.input}


async def main():
    async with serving(agent.app()) as url, Client(url, me="urn:asap:agent:caller") as client:
        reply = await client.request("echo", {"message": "hi"})
        print(reply.status, reply.result)


if __name__ == "__main__":
    trio.run(main)

"""An echo agent on plain threads, and a client that asks it.

python examples/echo_sync.py                        both, in this process
asap serve echo_sync:agent --app-dir examples       the agent alone, for others to ask
"""

from asap_adapters.sync import Agent, Client, serving

agent = Agent("urn:asap:agent:echo", name="Echo", version="1.0.0", description="Repeats what it hears")


@agent.skill("echo", description="Repeat the input")
def echo(task):
    return {"echoed": task.input}


def main():
    with serving(agent.app()) as url, Client(url, me="urn:asap:agent:caller") as client:
        reply = client.request("echo", {"message": "hi"})
        print(reply.status, reply.result)


if __name__ == "__main__":
    main()

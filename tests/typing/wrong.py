"""What a type checker is to find: each marked line, and no other."""

from asap_adapters.asyncio import Agent, Client
from asap_adapters.sync import Client as SyncClient

Agent("urn:asap:agent:a", quotas="10/second")  # wrong
Agent("urn:asap:agent:a", version=1)  # wrong
Client("http://localhost")  # wrong
Client("http://localhost", me="urn:asap:agent:me", timeout="60")  # wrong
SyncClient("http://localhost", me="urn:asap:agent:me").request("x", ["no object"])  # wrong


SyncClient("http://localhost", me="urn:asap:agent:me").tell("t", "no object")  # wrong
SyncClient("http://localhost", me="urn:asap:agent:me").restore("t", "s", brought={})  # wrong


async def main(client: Client) -> None:
    print((await client.request("x", {})).reslt)  # wrong
    print(client.request("x", {}).result)  # wrong
    async for _ in client.stream("x", {}):  # wrong
        pass

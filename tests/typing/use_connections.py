"""A user's program that says how its peers are reached."""

import ssl

from asap_adapters import asyncio, sync, trio
from asap_proto import Limits

ALI = "urn:asap:agent:ali"

tls: ssl.SSLContext = ssl.create_default_context()
pooled: sync.Transport = sync.PooledTransport("https://a.example", Limits(pool_maxsize=5), tls=tls)
by_httpx: sync.Transport = sync.HttpxTransport("https://a.example", Limits())
on_asyncio: asyncio.Transport = asyncio.PooledTransport("http://localhost", Limits(), uds="/run/agent.sock")
on_trio: trio.Transport = trio.PooledTransport("http://localhost", Limits(), uds="/run/agent.sock")
many = sync.Client("https://a.example", me=ALI, pool_maxsize=500, pool_connections=50, pool_timeout=1.0, tls=tls)
local = asyncio.Client("http://localhost", me=ALI, transport=on_asyncio)

"""Requests a second of our connections, and of httpx or anything of its shape, against one small server, in turn.

`python asv_bench/clients.py asyncio uvloop trio sync httpx httpx2` says how many there are with 100 in flight and,
but for httpx, with 1,000. Each round runs all of them, each in a process of its own; the median of the rounds counts.
"""

import asyncio
import importlib
import statistics
import subprocess
import sys
import threading
import time

import httptools
import uvloop

from asap_proto import Limits
from asap_proto.http import HttpRequest

ROUNDS = 3
ASK = HttpRequest("POST", "/asap", {"content-type": "application/json", "asap-version": "2.2, 2.1"}, bytes(700))
HEAD = b"HTTP/1.1 200 OK\r\ndate: Fri, 27 Nov 2026 01:08:51 GMT\r\ncontent-type: application/json\r\n"
ANSWER = HEAD + b"content-length: 700\r\n\r\n" + bytes(700)


class Server(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.parser = transport, httptools.HttpRequestParser(self)

    def data_received(self, data):
        self.parser.feed_data(data)

    def on_message_complete(self):
        self.transport.write(ANSWER)


async def serve():
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Httpx:
    """An httpx client, whose pool is as large as ours."""

    def __init__(self, name, url):
        self.module, self.url = importlib.import_module(name), url

    async def send(self, request, timeout):
        answer = await self.client.request(
            request.method, self.url + request.target, headers=request.headers, content=request.body
        )
        return answer.content

    async def __aenter__(self):
        limits = self.module.Limits(max_connections=100, max_keepalive_connections=100)
        self.client = self.module.AsyncClient(limits=limits, timeout=600, trust_env=False)
        return self

    async def __aexit__(self, *error):
        await self.client.aclose()


def pooled(name, url):
    return importlib.import_module(f"asap_adapters.{name}").PooledTransport(url, Limits(pool_timeout=600))


async def awaited(transport, in_flight, total):
    from anyio import create_task_group

    left = total

    async def work():
        nonlocal left
        while left > 0:
            left -= 1
            await transport.send(ASK, 600)

    await transport.send(ASK, 600)
    begun = time.perf_counter()
    async with create_task_group() as group:
        for _ in range(in_flight):
            group.start_soon(work)
    return total / (time.perf_counter() - begun)


def threaded(transport, in_flight, total):
    def work():
        for _ in range(total // in_flight):
            transport.send(ASK, 600)

    threads = [threading.Thread(target=work) for _ in range(in_flight)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return total / (time.perf_counter() - begun)


def rate(name, url, in_flight, total):
    if name == "sync":
        return threaded(pooled(name, url), in_flight, total)

    async def main():
        if name.startswith("httpx"):
            async with Httpx(name, url) as client:
                return await awaited(client, in_flight, total)
        transport = pooled("asyncio" if name == "uvloop" else name, url)
        try:
            return await awaited(transport, in_flight, total)
        finally:
            await transport.aclose()

    if name == "trio":
        return importlib.import_module("trio").run(main)
    return (uvloop if name == "uvloop" else asyncio).run(main())


def measure(names):
    found = {}
    with subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True) as server:
        try:
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            for _ in range(ROUNDS):
                for in_flight in (100, 1000):
                    for name in names:
                        if in_flight > 100 and name.startswith("httpx"):
                            continue  # it would take minutes
                        total = 10_000 if not name.startswith("httpx") else 500
                        command = [sys.executable, __file__, "--rate", name, url, str(in_flight), str(total)]
                        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                        found.setdefault((name, in_flight), []).append(float(said))
        finally:
            server.terminate()
    for (name, in_flight), rates in sorted(found.items(), key=lambda each: (each[0][1], each[0][0])):
        print(f"{in_flight:5} in flight  {name:8} {statistics.median(rates):8.0f}/s")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--serve"]:
            uvloop.run(serve())
        case ["--rate", name, url, in_flight, total]:
            print(rate(name, url, int(in_flight), int(total)))
        case names:
            measure(names)

"""The apps run unchanged under the servers that people have."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

import asap_adapters
import asap_proto
from asap_adapters.sync import Client

WORKER = "urn:asap:agent:worker"
PROGRAM = """
import logging
from asap_adapters.{front} import Agent
from asap_proto.limits import Limits

agent = Agent("{urn}", limits=Limits(stream_beat_seconds=0.1), compress=True)

@agent.skill("echo")
{colour}def echo(task):
    return {{"echoed": task.input}}

@agent.skill("plain")
def plain(task):
    return {{"plain": True}}

@agent.skill("ask")
{colour}def ask(task):
    {wait}task.need_input("?")

@agent.skill("followers")
{colour}def followers(task):
    return {{"many": len(app._performer._followers)}}

app = agent.app()
"""

SERVERS = {
    "uvicorn": ("asyncio", "uvicorn --port {port} program:app"),
    "uvicorn under a path": ("asyncio", "uvicorn --port {port} --root-path /agents/a program:app"),
    "hypercorn on asyncio": ("asyncio", "hypercorn --bind 127.0.0.1:{port} program:app"),
    "hypercorn on trio": ("trio", "hypercorn --worker-class trio --bind 127.0.0.1:{port} program:app"),
    "granian ASGI": ("asyncio", "granian --interface asgi --port {port} program:app"),
    "granian WSGI": ("sync", "granian --interface wsgi --port {port} program:app"),
    "waitress": ("sync", "waitress --listen 127.0.0.1:{port} program:app"),
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(params=SERVERS)
def url(request, tmp_path):
    """An agent's URL, served by the server's own command line."""
    front, words = SERVERS[request.param]
    pytest.importorskip(words.partition(" ")[0])
    colour = "" if front == "sync" else "async "
    wait = "await " if colour else ""
    (tmp_path / "program.py").write_text(PROGRAM.format(front=front, urn=WORKER, colour=colour, wait=wait))
    server, port = start(words, tmp_path)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGINT)
        try:
            said, _ = server.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            server.kill()
            said, _ = server.communicate()
            raise
    # waitress and hypercorn show the interrupt itself.
    assert "asap_" not in said, said


def start(words, folder):
    """The server and its port; most take no port 0, so one that somebody else got first is given up for another."""
    paths = [str(folder), *{str(Path(package.__file__).parents[1]) for package in (asap_proto, asap_adapters)}]
    for _ in range(5):
        port = free_port()
        server = subprocess.Popen(
            [sys.executable, "-m", *words.format(port=port).split()],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if wait_for(f"http://127.0.0.1:{port}/health", server):
            return server, port
        said, _ = server.communicate()
        assert "in use" in said, said
    raise AssertionError("five free ports were all taken")


def wait_for(health, server):
    """Whether the server came up; not, if it ended instead."""
    for _ in range(150):
        if server.poll() is not None:
            return False
        try:
            if httpx.get(health).status_code == 200:
                return True
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the server never came up")


def test_server(url):
    """Requests, batches, compressed and refused bodies, reading: all as under our own `serving`."""
    with Client(url, me="urn:asap:agent:me", compress=True) as client:
        for _ in range(2):  # the second one is compressed, as the first answer was
            assert client.request("echo", {"x": "é" * 50_000}).result == {"echoed": {"x": "é" * 50_000}}
        assert client.request("plain", {}).result == {"plain": True}
        assert client.manifest().id == WORKER
    # Whether a connection can be used again after a body was refused unread is the server's business.
    with httpx.Client(base_url=url, headers={"connection": "close", "content-type": "application/json"}) as http:
        assert http.post("/asap", content=b"{").json()["error"]["code"] == -32700
        assert http.post("/asap", content=iter([b"{", b"}"])).json()["error"]["code"] == -32600
        assert http.post("/asap", content=b"x", headers={"content-encoding": "gzip"}).status_code == 400
        with suppress(httpx.TransportError):  # some servers hang up on what they no longer want to read
            assert http.post("/asap", content=iter([bytes(1024 * 1024)] * 11)).status_code == 413
        assert http.head("/elsewhere").status_code == 404
        assert http.get("/asap/metrics", headers={"accept-encoding": "gzip"}).headers["content-encoding"] == "gzip"
        assert http.get("/asap/metrics").text.startswith("# HELP")
        assert http.post("/asap/", content=b"{", follow_redirects=True).json()["error"]["code"] == -32700


def test_streams(url):
    """A stream comes as it is told; when its reader leaves nothing of it is left, though its task waits for ever."""

    def followers():
        return client.request("followers", {}).result["many"]

    with Client(url, me="urn:asap:agent:me") as client:
        with client.stream("ask", {}) as payloads:
            heard = next(payload for payload in payloads if payload.input_request)
            assert heard.input_request == {"question": "?"}
            assert followers() == 1
        until = time.monotonic() + 15
        while followers():
            assert time.monotonic() < until
            time.sleep(0.05)
        with client.stream("echo", {"x": 1}) as payloads:
            assert [*payloads][-1].result == {"echoed": {"x": 1}}

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
from asap_proto.errors import SkillNotFound
from asap_proto.model import TaskRequest

WORKER = "urn:asap:agent:worker"
PROGRAM = """
import logging
from asap_adapters.{front} import Agent
from asap_proto.limits import Limits
{imports}

agent = Agent("{urn}", limits=Limits(stream_beat_seconds=0.1, return_seconds=0.1), compress=True)
begun, cut = 0, 0

@agent.skill("echo")
{colour}def echo(task):
    return {{"echoed": task.input}}

@agent.skill("plain")
def plain(task):
    return {{"plain": True}}

@agent.skill("ask")
{colour}def ask(task):
    {wait}task.need_input("?")

@agent.skill("last")
{colour}def last(task):
    global begun, cut
    begun += 1
    try:
        {wait}sleep(60)
    finally:
        cut += 1

@agent.skill("seen")
{colour}def seen(task):
    return {{"begun": begun, "cut": cut, "followers": len(app._performer._followers)}}

app = agent.app()
"""
SLEEP = {"asyncio": "from asyncio import sleep", "trio": "from trio import sleep", "sync": "from time import sleep"}

#: The standard library's own server, with threads, and a judge between it and the app of what PEP 3333 asks of both.
WSGIREF = """
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.validate import validator
from program import app


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


with Server(("127.0.0.1", int(sys.argv[1])), WSGIRequestHandler) as server:
    server.set_app(validator(app))
    server.serve_forever()
"""

SERVERS = {
    "uvicorn": ("asyncio", "uvicorn --port {port} program:app"),
    "uvicorn under a path": ("asyncio", "uvicorn --port {port} --root-path /agents/a program:app"),
    "hypercorn on asyncio": ("asyncio", "hypercorn --bind 127.0.0.1:{port} program:app"),
    "hypercorn on trio": ("trio", "hypercorn --worker-class trio --bind 127.0.0.1:{port} program:app"),
    "granian ASGI": ("asyncio", "granian --interface asgi --port {port} program:app"),
    "granian WSGI": ("sync", "granian --interface wsgi --port {port} program:app"),
    "waitress": ("sync", "waitress --listen 127.0.0.1:{port} program:app"),
    "gunicorn": ("sync", "gunicorn --worker-class gthread --threads 8 --bind 127.0.0.1:{port} program:app"),
    "cheroot": ("sync", "cheroot --bind 127.0.0.1:{port} program:app"),
    "wsgiref": ("sync", "plain_server {port}"),
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module", params=SERVERS)
def served(request, tmp_path_factory):
    """An agent, served by the server's own command line: the server's name, the agent's front, and its URL."""
    front, words = SERVERS[request.param]
    tmp_path = tmp_path_factory.mktemp("served")
    (tmp_path / "plain_server.py").write_text(WSGIREF)
    if request.param != "wsgiref":
        pytest.importorskip(words.partition(" ")[0])
    colour = "" if front == "sync" else "async "
    wait = "await " if colour else ""
    (tmp_path / "program.py").write_text(
        PROGRAM.format(front=front, urn=WORKER, colour=colour, wait=wait, imports=SLEEP[front])
    )
    server, port = start(words, tmp_path)
    try:
        yield request.param, front, f"http://127.0.0.1:{port}"
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


def test_server(served):
    """Requests, batches, compressed and refused bodies, reading: all as under our own `serving`."""
    name, _, url = served
    with Client(url, me="urn:asap:agent:me", compress=True) as client:
        for _ in range(2):  # the second one is compressed, as the first answer was
            assert client.request("echo", {"x": "é" * 50_000}).result == {"echoed": {"x": "é" * 50_000}}
        assert client.request("plain", {}).result == {"plain": True}
        assert client.manifest().id == WORKER
        letters = [
            client.role.compose(WORKER, TaskRequest("c", skill, {"x": 1})) for skill in ("echo", "sing", "plain")
        ]
        echoed, refused, plain = client.send_batch(letters)
        assert (echoed.payload.result, plain.payload.result) == ({"echoed": {"x": 1}}, {"plain": True})
        assert isinstance(refused, SkillNotFound)
    # Whether a connection can be used again after a body was refused unread is the server's business.
    with httpx.Client(base_url=url, headers={"connection": "close", "content-type": "application/json"}) as http:
        assert http.post("/asap", content=b"{").json()["error"]["code"] == -32700
        assert http.post("/asap", content=b"x", headers={"content-encoding": "gzip"}).status_code == 400
        assert http.head("/elsewhere").status_code == 404
        assert http.get("/asap/metrics", headers={"accept-encoding": "gzip"}).headers["content-encoding"] == "gzip"
        assert http.get("/asap/metrics").text.startswith("# HELP")
        if name == "wsgiref":
            return  # its judge wants a type of each answer, be it empty; it knows of no chunks, and waits for more
        assert http.post("/asap/", content=b"{", follow_redirects=True).json()["error"]["code"] == -32700
        assert http.post("/asap", content=iter([b"{", b"}"])).json()["error"]["code"] == -32600
        with suppress(httpx.TransportError):  # some servers hang up on what they no longer want to read
            assert http.post("/asap", content=iter([bytes(1024 * 1024)] * 11)).status_code == 413


def test_streams(served):
    """A stream comes as it is told; when its reader leaves nothing of it is left, though its task waits for ever."""
    _, _, url = served
    with Client(url, me="urn:asap:agent:me") as client:
        with client.stream("ask", {}) as payloads:
            heard = next(payload for payload in payloads if payload.input_request)
            assert heard.input_request == {"question": "?"}
            assert seen(client, "followers") == 1
        wait_until(lambda: seen(client, "followers") == 0)
        with client.stream("echo", {"x": 1}) as payloads:
            assert [*payloads][-1].result == {"echoed": {"x": 1}}


def test_hanging_up(served):
    """What runs for a caller that hung up is cut off; WSGI has no word for that."""
    _, front, url = served
    if front == "sync":
        pytest.skip("a thread can't be cut off")
    with Client(url, me="urn:asap:agent:me") as client:
        payload = {"conversation_id": "c", "skill_id": "last", "input": {}}
        envelope = {"asap_version": "0.1", "id": "letter", "sender": "urn:asap:agent:me", "recipient": WORKER}
        envelope |= {"payload_type": "task.request", "payload": payload}
        call = {"jsonrpc": "2.0", "method": "asap.send", "params": {"envelope": envelope}, "id": 1}
        with httpx.Client(base_url=url, timeout=0.3) as impatient, pytest.raises(httpx.ReadTimeout):
            impatient.post("/asap", json=call)
        wait_until(lambda: seen(client, "cut") == 1)
        assert seen(client, "begun") == 1


def seen(client, what):
    return client.request("seen", {}).result[what]


def wait_until(is_so):
    until = time.monotonic() + 15
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)

"""`asap serve` is told to stop while callers do their worst."""

import json
import socket
import time
from contextlib import ExitStack

import pytest

HEAD = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"

MODULE = """
from asap_adapters.{runtime} import Agent
{imports}

agent = Agent("urn:asap:agent:hostage")


@agent.skill("echo")
{colour}def echo(task):
    return task.input


@agent.skill("work")
{colour}def work(task):
    while True:
        {wait}task.progress(1, "x" * 1000)
        {wait}sleep(0.01)
"""
SLEEP = {"asyncio": "from asyncio import sleep", "trio": "from trio import sleep", "sync": "from time import sleep"}


def call(skill, **input):
    envelope = {
        "asap_version": "0.1",
        "id": "letter",
        "sender": "urn:asap:agent:me",
        "recipient": "urn:asap:agent:hostage",
        "payload_type": "task.request",
        "payload": {"conversation_id": "c", "skill_id": skill, "input": input},
    }
    return json.dumps({"jsonrpc": "2.0", "method": "asap.send", "params": {"envelope": envelope}, "id": 1}).encode()


def posted(body, path=b"/asap"):
    return HEAD % (path, len(body)) + body


#: What is said on each connection, which then falls silent and reads nothing.
HOSTILE = {
    "nothing": b"",
    "half a head": b"POST /asap HTTP/1.1\r\nHost: x\r\n",
    "no body": HEAD % (b"/asap", 1000),
    "half a body": HEAD % (b"/asap", 1000) + b"{",
    "half a chunk": b"POST /asap HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nfff\r\n{",
    "an idle connection": b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an answer that is not read": posted(call("echo", x="y" * 9_000_000)),
    "work without an end": posted(call("work")),
    "a stream that is not read": posted(call("work"), b"/asap/stream"),
    "many requests at once": posted(call("echo")) * 50 + posted(call("work")),
}


@pytest.mark.parametrize(("runtime", "workers"), [("asyncio", "1"), ("trio", "1"), ("sync", "1"), ("asyncio", "2")])
def test_stops_within_its_grace(serving, tmp_path, runtime, workers):
    """However many callers hold on to it: what runs is cut off when the grace is over, and all else long before."""
    words = {"colour": "", "wait": ""} if runtime == "sync" else {"colour": "async ", "wait": "await "}
    (tmp_path / "hostage.py").write_text(MODULE.format(runtime=runtime, imports=SLEEP[runtime], **words))
    with serving("hostage:agent", "--grace", "1", "--workers", workers) as running, ExitStack() as stack:
        address = ("127.0.0.1", int(running.url.rpartition(":")[2]))
        for said in HOSTILE.values():
            for _ in range(2):
                caller = stack.enter_context(socket.create_connection(address, timeout=0.2))
                try:
                    caller.sendall(said)
                except TimeoutError:
                    continue  # it does not read either
        # All that was said is being worked on.
        with socket.create_connection(address, timeout=30) as caller:
            caller.sendall(posted(call("echo")))
            assert caller.recv(12) == b"HTTP/1.1 200"
        started = time.monotonic()
        ended = running.stop()
        assert time.monotonic() - started < 7.0  # its grace, and what a process may take to end
    assert ended.exit_code == 0, ended.err
    assert "Traceback" not in ended.err

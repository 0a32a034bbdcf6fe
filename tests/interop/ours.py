"""Our side of the live tests: an agent served by each front, as users serve theirs, and a client of each front.

The client takes the commands of `reference_client.py` and answers in its words.
"""

import importlib
import itertools
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import attrs

from asap_adapters.auth.manifests import PinnedKey, SigningKey
from asap_proto import AsapError, Envelope, TaskRequest
from asap_proto.model import TextPart
from asap_proto.rules.retry import RetryRule
from asap_proto.wire.converter import encode
from interop.scenarios import CALLER, REQUEST_MOST

AGENT = "urn:asap:agent:ours"
REFERENCE = "urn:asap:agent:reference"
PATIENCE = 30.0
#: What our agents sign with that are asked to.
KEY = SigningKey(bytes(range(32)))


def agent(front: str, options: Mapping[str, Any]) -> Any:
    """An agent that echoes, and one skill that fails; the options are those of `reference_server.py`."""
    given: dict[str, Any] = {"name": "Ours", "version": "1.2.3", "description": "Ours"}
    if "token" in options:
        given["token_validator"] = lambda token: options["sender"] if token == options["token"] else None
    if "signs" in options:
        given["manifest_key"] = KEY
    if "compress" in options:
        given["compress"] = options["compress"]
    if "rate_limit" in options:
        given["quota"] = options["rate_limit"]
    made = importlib.import_module(f"asap_adapters.{front}").Agent(AGENT, **given)

    def echo(task: Any) -> dict[str, Any]:
        return {"echoed": task.input}

    def boom(task: Any) -> dict[str, Any]:
        raise RuntimeError("the handler fails, as it was asked to")

    async def echo_there(task: Any) -> dict[str, Any]:
        return echo(task)

    made.skill("echo", description="Repeats its input")(echo if front == "sync" else echo_there)

    def steps(task: Any) -> dict[str, Any]:
        task.progress(50, "half of it")
        task.artifact("notes", TextPart("all of it"))
        return echo(task)

    made.skill("steps", description="Tells how far it has come")(steps)
    made.skill("boom", description="Fails")(boom)
    runs = itertools.count(1)

    def count(task: Any) -> dict[str, Any]:
        return {"runs": next(runs)}

    made.skill("count", description="Tells how often it has run")(count)
    return made


class Process:
    """One of our agents, served by `asap serve` in a process of its own until `close`."""

    def __init__(self, front: str, options: Mapping[str, Any]) -> None:
        command = [sys.executable, "-m", "asap_adapters.cli", "serve", "interop.served:agent", "--json", "--port", "0"]
        self._process = subprocess.Popen(
            [*command, "--app-dir", Path(__file__).parents[1], "--max-request-size", str(REQUEST_MOST)],
            env=os.environ | {"INTEROP_AGENT": json.dumps({"front": front, "options": options})},
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.url = json.loads(self._process.stdout.readline())["url"]

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=PATIENCE)
        assert self._process.returncode == 0


class Serving:
    """One of our agents, served in a thread of its own until `close`: for one test, where a process costs too much."""

    def __init__(self, front: str, options: Mapping[str, Any]) -> None:
        self._stop = threading.Event()
        self._urls: queue.Queue[str] = queue.Queue()
        serving = importlib.import_module(f"asap_adapters.{front}").serving
        app = agent(front, options).app()

        def hold() -> None:
            with serving(app) as url:
                self._urls.put(url)
                self._stop.wait()

        async def hold_there() -> None:
            async with serving(app) as url:
                self._urls.put(url)
                await anyio.to_thread.run_sync(self._stop.wait)

        run: Callable[[], Any] = hold if front == "sync" else lambda: anyio.run(hold_there, backend=front)
        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        self.url = self._urls.get(timeout=PATIENCE)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


class Ours:
    """Our servers of one run: kept by their options, or made anew for tests that leave a mark on them."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Process] = {}
        self._anew: list[Serving] = []

    def serve(self, front: str, **options: Any) -> str:
        key = front, repr(sorted(options.items()))
        if key not in self._kept:
            self._kept[key] = Process(front, options)
        return self._kept[key].url

    def serve_anew(self, front: str, **options: Any) -> str:
        self._anew.append(Serving(front, options))
        return self._anew[-1].url

    def close(self) -> None:
        for served in (*self._kept.values(), *self._anew):
            served.close()


def play(front: str, **command: Any) -> dict[str, Any]:
    """Performs one command with a client of this front."""
    client_of = importlib.import_module(f"asap_adapters.{front}").Client

    def client() -> Any:
        return client_of(
            command["url"],
            me=CALLER,
            token=command.get("token"),
            timeout=20,
            nonces=command.get("nonces", True),
            compress=command.get("compress"),
            pinned=PinnedKey(command["pin"]) if "pin" in command else None,
            retry=RetryRule(attempts=command.get("attempts", 1)),
        )

    async def there() -> dict[str, Any]:
        async with client() as one:
            if command["op"] == "stream":
                async with one.stream("echo", command["input"]) as told_there:
                    return {"ok": True, "payloads": [news(payload) async for payload in told_there]}
            story, answer, error = told(one, command), None, None
            while True:
                try:
                    waiting = story.throw(error) if error else story.send(answer)
                except StopIteration as finish:
                    return dict(finish.value)
                try:
                    answer, error = await waiting, None
                except AsapError as raised:
                    error = raised

    def here() -> dict[str, Any]:
        with client() as one:
            if command["op"] == "stream":
                with one.stream("echo", command["input"]) as told_here:
                    return {"ok": True, "payloads": [news(payload) for payload in told_here]}
            story, answer = told(one, command), None
            while True:
                try:
                    answer = story.send(answer)
                except StopIteration as finish:
                    return dict(finish.value)

    try:
        return here() if front == "sync" else anyio.run(there, backend=front)
    except AsapError as error:
        return trouble(error)


def told(client: Any, command: Mapping[str, Any]) -> Generator[Any, Any, dict[str, Any]]:
    """The command as a story; what it yields is awaited where the front is asynchronous."""
    if command["op"] == "manifest":
        manifest = yield client.manifest()
        return {"ok": True, "manifest": encode(manifest)}
    if command["op"] == "batch":
        replies = yield client.send_batch([letter(client, one, command) for one in command["envelopes"]])
        seen = [trouble(one) if isinstance(one, AsapError) else plain(one) for one in replies]
        return {"ok": True, "envelopes": seen}
    if command["op"] == "request":
        response = yield client.request("echo", command["input"], trace_id=command.get("trace_id"))
        return {"ok": True, "response": encode(response)}
    for _ in range(command.get("times", 1) - 1):
        yield client.send(letter(client, command["envelope"], command))
    reply = yield client.send(letter(client, command["envelope"], command))
    return {"ok": True, "envelope": plain(reply)}


def letter(client: Any, fields: Mapping[str, Any], command: Mapping[str, Any]) -> Envelope:
    """The envelope that a scenario describes, to a released agent unless the command names another."""
    wanted = dict(fields)
    age, given = wanted.pop("age", 0), wanted.pop("payload")
    task = TaskRequest("conversation", "echo", {})
    made = client.role.compose(
        command.get("to", REFERENCE),
        task,
        trace_id=wanted.pop("trace_id", None),
        extensions=wanted.pop("extensions", None),
    )
    payload = given if wanted else TaskRequest(given["conversation_id"], given["skill_id"], given["input"])
    return attrs.evolve(made, timestamp=made.timestamp - timedelta(seconds=age), payload=payload, **wanted)


def plain(envelope: Envelope) -> dict[str, Any]:
    told = encode(envelope)
    return {**told, "timestamp": str(envelope.timestamp)}


def news(payload: Any) -> dict[str, Any]:
    return payload if isinstance(payload, dict) else {"is": type(payload).__name__, **encode(payload)}


def trouble(error: AsapError) -> dict[str, Any]:
    facts = error.facts
    return {
        "ok": False,
        "error": type(error).__name__,
        "code": error.code,
        "number": facts.get("rpc_code"),
        "data": facts.get("data"),
        "facts": facts,
        "text": str(error),
    }

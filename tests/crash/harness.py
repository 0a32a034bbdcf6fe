"""A fleet of real `asap serve` processes, somebody who kills them, and a reader who proves what came of it.

Each handler writes a line into a ledger, a plain file beside the store, as it starts, and as it ends: what the store
says is held against what was done, and against what clients were told.
"""

import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from asap_adapters.cli.inspecting import Inspector
from asap_adapters.cli.states import open_state, parse_state
from asap_adapters.sync import Client
from asap_proto.errors import AsapError, HandlerInterrupted, PeerTimedOut, PeerUnreachable
from asap_proto.limits import Limits
from asap_proto.model import TaskStatus
from asap_proto.rules.lifecycle import is_final
from asap_proto.rules.retry import RetryRule
from asap_proto.stores import TaskRecord

PATIENCE = 60.0  # seconds; only a test that fails waits so long

#: Tasks of a skill that goes on from its snapshot, and of one that may be run from the start.
SKILLS = ("careful", "bold")

SOURCE = """
import os, time
from asap_adapters.{runtime} import Agent
from asap_proto.limits import Limits
{imports}

LIMITS = Limits(lease_seconds=1.5, beat_seconds=0.1, task_runs=100, grace_seconds=5.0)
agent = Agent("{agent}", limits=LIMITS)
ledger = os.open({ledger!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note(word, task):
    os.write(ledger, f"{{word}} {{task.id}} {{time.time()}} {{os.getpid()}}\\n".encode())


{colour}def work(task):
    note("start", task)
    known = {wait}task.load()
    if known is None:
        {wait}sleep(task.input["seconds"] / 2)
        known = {{"half": task.input["n"]}}
        {wait}task.save(known)
    {wait}sleep(task.input["seconds"] / 2)
    note("end", task)
    return {{"n": task.input["n"], "half": known["half"]}}


agent.skill("careful")(work)
agent.skill("bold", restartable=True)(work)
"""

_SLEEP = {"asyncio": "from asyncio import sleep", "trio": "from trio import sleep", "sync": "from time import sleep"}


@frozen
class Line:
    """One line of the ledger."""

    word: str
    task_id: str
    at: float
    pid: int


@define
class Fleet:
    """Servers of one agent on one store, each on a port of its own, which it has again when started anew."""

    folder: Path
    state: str
    runtime: str
    words: tuple[str, ...] = ()
    #: A server's store may hold the tasks of other tests.
    agent: str = field(factory=lambda: f"urn:asap:agent:crashing-{secrets.token_hex(4)}")
    processes: dict[int, "subprocess.Popen[str]"] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        waits = self.runtime != "sync"
        source = SOURCE.format(
            runtime=self.runtime,
            imports=_SLEEP[self.runtime],
            agent=self.agent,
            ledger=str(self.folder / "ledger"),
            colour="async " if waits else "",
            wait="await " if waits else "",
        )
        (self.folder / "crashing.py").write_text(source)

    def start(self, port: int) -> None:
        """Starts a server, and waits until it listens."""
        with (self.folder / "stderr").open("a") as said:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "asap_adapters.cli", "serve", "crashing:agent", "--json"),
                    *("--state", self.state, "--port", str(port), *self.words),
                ],
                cwd=self.folder,
                env={name: value for name, value in os.environ.items() if not name.startswith("ASAP_")},
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                start_new_session=True,
            )
        self.processes[port] = process
        impatience = threading.Timer(PATIENCE, process.kill)
        impatience.start()
        assert process.stdout is not None
        line = process.stdout.readline()
        impatience.cancel()
        assert line, self.said()

    def kill(self, port: int) -> None:
        """Ends a server, and the workers it has, without a word."""
        process = self.processes.pop(port)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()

    def stop(self, port: int) -> tuple[int, float]:
        """Asks a server to stop; answers its exit code, and how long it took."""
        process, started = self.processes.pop(port), time.monotonic()
        process.terminate()
        process.communicate(timeout=PATIENCE)
        return process.returncode, time.monotonic() - started

    def said(self) -> str:
        """What the servers said lately, on stderr."""
        return (self.folder / "stderr").read_text()[-4000:]

    def workers(self, port: int) -> set[int]:
        """The processes that a server has started, that live, and that have done something."""
        done = subprocess.run(
            ["pgrep", "-P", str(self.processes[port].pid)], capture_output=True, text=True, check=False
        )
        return {int(pid) for pid in done.stdout.split()} & {line.pid for line in self.ledger()}

    def ledger(self) -> list[Line]:
        """What was done."""
        lines = (line.split() for line in (self.folder / "ledger").read_text().splitlines())
        return [Line(word, task_id, float(at), int(pid)) for word, task_id, at, pid in lines]

    @contextmanager
    def store(self) -> Iterator[Inspector]:
        """The store, as an operator looks into it."""
        with open_state(parse_state(self.state), self.agent, Limits(), "sync") as state:
            yield Inspector(state, self.agent)


@contextmanager
def fleet(folder: Path, state: str, runtime: str, *words: str) -> Iterator[Fleet]:
    """Servers that are gone when the block is over."""
    made = Fleet(folder, state, runtime, words)
    try:
        yield made
    finally:
        for port in list(made.processes):
            made.kill(port)


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now."""
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


@define
class Crowd:
    """Clients that submit tasks all along, each task with a key, until somebody has accepted it."""

    agent: str
    ports: list[int]
    count: int
    seconds: Callable[[], float]
    #: Seconds between two tasks of one client.
    pause: float = 0.08
    clients: int = 4
    #: What the first answer said, by the task's number.
    accepted: dict[int, str] = field(factory=dict)
    inputs: dict[int, dict[str, Any]] = field(factory=dict)
    failures: list[BaseException] = field(factory=list)
    retries: int = 0
    _threads: list[threading.Thread] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.inputs = {n: {"n": n, "seconds": self.seconds()} for n in range(self.count)}

    def begin(self) -> None:
        for first in range(self.clients):
            thread = threading.Thread(target=self._submit_all, args=(first,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def end(self) -> None:
        """Waits until all tasks are accepted."""
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), f"{len(self.accepted)} of {self.count} accepted"
        assert not self.failures, self.failures

    @property
    def is_over(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def _submit_all(self, first: int) -> None:
        try:
            for n in range(first, self.count, self.clients):
                self.accepted[n] = self._insist(n)
                time.sleep(self.pause)
        except BaseException as error:
            self.failures.append(error)

    def _insist(self, n: int) -> str:
        """Submits one task until it is accepted, at whatever server hears it."""
        deadline = time.monotonic() + PATIENCE
        for turn in range(1_000_000):
            try:
                return self.submit(n, self.ports[(n + turn) % len(self.ports)])[0]
            except AsapError as error:
                if not (error.retryable or isinstance(error, PeerUnreachable | PeerTimedOut)):
                    raise
                if time.monotonic() > deadline:
                    raise
                self.retries += 1
                time.sleep(0.05)
        raise AssertionError

    def submit(self, n: int, port: int) -> tuple[str, Any]:
        """One try; answers the task's id and its result."""
        url = f"http://127.0.0.1:{port}"
        with Client(
            url, me="urn:asap:agent:crowd", peer=self.agent, timeout=10.0, retry=RetryRule(attempts=1)
        ) as client:
            answer = client.submit(SKILLS[n % len(SKILLS)], self.inputs[n], idempotency_key=f"key-{n}")
        return answer.task_id, answer.result


def settled(fleet: Fleet, crowd: Crowd) -> dict[str, TaskRecord]:
    """Every task's record, once all are over."""
    deadline = time.monotonic() + PATIENCE
    with fleet.store() as store:
        while True:
            records = {record.id: record for record in store.tasks(None, all=False)}
            if all(is_final(record.status) for record in records.values()):
                return records
            open_ones = Counter(record.status for record in records.values() if not is_final(record.status))
            assert time.monotonic() < deadline, (
                f"still open: {open_ones}\n{(fleet.folder / 'stderr').read_text()[-4000:]}"
            )
            time.sleep(0.1)


def prove(fleet: Fleet, crowd: Crowd, port: int, *, stale: bool = False) -> dict[str, int]:
    """Raises where a task was lost, done after it was over, or answered in two ways; answers the figures.

    With `stale`, workers may have been out of touch with their store for longer than their leases.
    """
    records = settled(fleet, crowd)
    done = defaultdict(list)
    for line in fleet.ledger():
        done[line.task_id].append(line)
    assert len(crowd.accepted) == crowd.count
    figures: Counter[str] = Counter(accepted=crowd.count, retries=crowd.retries)

    # Nothing accepted is lost, and no key stands for two tasks.
    assert len(set(crowd.accepted.values())) == crowd.count
    assert set(records) == set(crowd.accepted.values())
    for n, task_id in crowd.accepted.items():
        record = records[task_id]
        words = [line.word for line in done[task_id]]
        figures[str(record.status)] += 1
        figures["runs"] += words.count("start")
        if record.status is TaskStatus.COMPLETED:
            assert "end" in words, f"{task_id} is completed, but nobody has done it"
        else:
            # What has saved nothing, and may not be run again, is told to have been interrupted.
            assert (record.status, SKILLS[n % 2]) == (TaskStatus.FAILED, "careful")
            assert record.snapshots == 0
            assert b"asap:execution/interrupted" in (record.reply or b"")
        # Nothing is done once it is over; at most a run comes to its end whose worker was out of touch meanwhile.
        late = [line for line in done[task_id] if line.at > record.updated and (line.word == "start" or not stale)]
        assert not late, f"{task_id} was over at {record.updated}, and then: {late}"

    # A client that asks again, with the same key, is told the same, however often.
    for n in range(0, crowd.count, 5):
        told = [_answer(crowd, n, port) for _ in range(2)]
        assert told[0] == told[1]
        record = records[crowd.accepted[n]]
        expected = {"n": n, "half": n} if record.status is TaskStatus.COMPLETED else "interrupted"
        assert told[0] == (record.id if expected != "interrupted" else "", expected)
    assert {line.task_id for line in fleet.ledger()} <= set(records)
    assert sum(len(lines) for lines in done.values()) == len(fleet.ledger()), "asking again has started something"
    return dict(figures)


def _answer(crowd: Crowd, n: int, port: int) -> tuple[str, Any]:
    try:
        return crowd.submit(n, port)
    except HandlerInterrupted:
        return "", "interrupted"


def seeded() -> random.Random:
    """Chance that can be had again: CRASH_SEED names a run's seed, which is printed."""
    seed = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(1_000_000))
    print(f"CRASH_SEED={seed}")
    return random.Random(seed)


def report(name: str, figures: dict[str, Any]) -> None:
    """For whoever reads the log of a run."""
    print(name, json.dumps(figures))

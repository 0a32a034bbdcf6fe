"""An agent behind the proxy, under `asap serve`, with callers of three fronts, and what can be done to it meanwhile."""

import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from anyio.from_thread import start_blocking_portal
from attrs import define, field

from asap_proto.errors import AsapError, HandlerInterrupted
from asap_proto.model import TaskResponse, TaskStatus
from asap_proto.rules.retry import RetryRule
from chaos.ledger import SKILLS, Ledger, Line, Verdict, judge, skill_of
from chaos.places import Place
from chaos.proxy import FAIR, Proxy, Script
from hostile.servers import AGENT, PATIENCE, Served, served
from scenarios.fronts import FRONTS, Front

SOURCE = """
import hashlib, os
from asap_adapters.{runtime} import Agent
from asap_proto.limits import Limits
{imports}

LIMITS = Limits(lease_seconds=0.8, beat_seconds=0.1, task_runs=1000, return_seconds=60.0, grace_seconds=1.0)
agent = Agent("{agent}", limits=LIMITS)
ledger = os.open("ledger", os.O_WRONLY)


def note(word, task):
    os.write(ledger, f"{{word}} {{task.input['key']}} {{task.id}} {{task.runs}}\\n".encode())


def result(task):
    key = task.input["key"]
    return {{"key": key, "proof": hashlib.sha256(key.encode()).hexdigest()}}


{colour}def work(task):
    note("begun", task)
    {wait}sleep(task.input["seconds"] / 2)
    note("effect", task)
    {wait}sleep(task.input["seconds"] / 2)
    return result(task)


{colour}def saved(task):
    if {wait}task.load() is None:
        note("begun", task)
        {wait}sleep(task.input["seconds"] / 3)
        note("effect", task)
        {wait}sleep(task.input["seconds"] / 3)
        {wait}task.save({{"done": True}})
    {wait}sleep(task.input["seconds"] / 3)
    return result(task)


agent.skill("once")(work)
agent.skill("again", restartable=True)(work)
agent.skill("saved")(saved)
"""

#: Long enough for every outage, so that one call lives through it.
PERSISTENT = RetryRule(attempts=1_000_000, base_seconds=0.05, most_seconds=0.2)

Ask = Callable[[Any, str, dict[str, Any], Ledger], dict[str, Any] | None]


def by_request(client: Any, key: str, input: dict[str, Any], ledger: Ledger) -> dict[str, Any] | None:
    """One call, which the client tries again by itself."""
    return _result(client.request(skill_of(key), input))


def by_stream(client: Any, key: str, input: dict[str, Any], ledger: Ledger) -> dict[str, Any] | None:
    """Followed to its end."""
    with client.stream(skill_of(key), input, idempotency_key=key) as told:
        *_, last = told
    return _result(last)


def by_submit(client: Any, key: str, input: dict[str, Any], ledger: Ledger) -> dict[str, Any] | None:
    """Handed over with a key of its own, and asked for until it is over, however often the answer is no good."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            answer = client.submit(skill_of(key), input, idempotency_key=key)
            ledger.note("confirmed", key, answer.task_id)
            state = client.wait(answer.task_id, every=0.05, seconds=PATIENCE)
            if state.error is not None:
                raise state.error
            return state.result
        except HandlerInterrupted:
            raise
        except AsapError:
            if time.monotonic() > until:
                raise


def _result(answer: Any) -> dict[str, Any] | None:
    assert isinstance(answer, TaskResponse)
    assert answer.status is TaskStatus.COMPLETED
    return answer.result


WAYS: tuple[Ask, ...] = (by_request, by_submit, by_stream)


def call(client: Any, key: str, ledger: Ledger, ask: Ask, seconds: float = 0.0) -> None:
    """One call, and in the ledger what came of it: nothing, where it ended in a way that nobody has stated."""
    ledger.note("asked", key)
    try:
        result = ask(client, key, {"key": key, "seconds": seconds}, ledger)
    except Exception as error:
        ledger.note("refused", key, error.code if isinstance(error, AsapError) else type(error).__name__)
        return
    if not isinstance(result, dict):
        return
    told = str(result.get("key"))
    if hashlib.sha256(told.encode()).hexdigest() != result.get("proof"):
        # Nothing but TLS tells that a byte of a text is another: what was bent so is known by the caller alone.
        ledger.note("garbled", key)
    else:
        ledger.note("done" if told == key else "mistaken", key)


@define
class World:
    """One agent on one store, with a ledger of its own; a proxy leads to whichever of its servers runs."""

    folder: Path
    runtime: str
    place: Place
    words: tuple[str, ...] = ()
    source: str = SOURCE
    script: Script = FAIR
    fronts: Sequence[Front] = ()
    ledger: Ledger = field(init=False)
    proxy: Proxy = field(init=False)
    server: Served = field(init=False)
    _stack: ExitStack = field(factory=ExitStack)
    _life: ExitStack = field(factory=ExitStack)

    def __enter__(self) -> Self:
        self.ledger = self._stack.enter_context(Ledger(self.folder))
        self.proxy = self._stack.enter_context(Proxy(self.script))
        self._stack.callback(self._life.close)
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and not issubclass(kind, Exception):
            self.kill()  # whoever is stopped gives nobody time to end
        self._stack.close()

    def full_disk(self) -> AbstractContextManager[None]:
        """What it writes to takes no more while the block runs."""
        return self.place.full(self.server.process.pid)

    def start(self) -> None:
        """Starts a server, on a port that is free."""
        words = ("--state", self.place.state, *self.words)
        self.server = self._life.enter_context(
            served(self.folder, self.runtime, "open", *words, source=self.source, under=self.place.under)
        )
        self.proxy.target = self.server.address

    def kill(self) -> None:
        """Ends it without a word."""
        with suppress(ProcessLookupError):  # it has ended by itself
            self.signal(signal.SIGKILL)
        self.server.process.wait()
        self._life.close()

    def stop(self) -> int:
        """Asks it to end; answers with which code it did."""
        self.server.process.terminate()
        code = self.server.process.wait(PATIENCE)
        self._life.close()
        return code

    def signal(self, number: signal.Signals) -> None:
        os.killpg(self.server.process.pid, number)

    def client(self, front: Front, url: str = "", **options: Any) -> Any:
        """A client, by way of the proxy unless it has a URL; to be entered."""
        options = {"peer": AGENT, "timeout": 2.0, "retry": PERSISTENT} | options
        return front.client(url or self.proxy.url, **options)

    @contextmanager
    def crowd(
        self, name: str, calls: int, *, seconds: float = 0.2, ways: Sequence[Ask] = WAYS, **options: Any
    ) -> Iterator["Crowd"]:
        """Callers of each front at work, who have been answered when the block is over, or never will be."""
        crowd = Crowd(self, name, calls, seconds, ways, options)
        for front in self.fronts * 2:
            crowd.threads.append(threading.Thread(target=crowd.call_all, args=(front,), daemon=True))
            crowd.threads[-1].start()
        try:
            yield crowd
        except Exception:
            crowd.wait()
            raise
        except BaseException:
            crowd.calls = 0  # whoever is stopped waits for nobody
            raise
        crowd.wait()

    def verdict(self, name: str = "") -> Verdict:
        """What is to be said of all calls, or of those of one crowd."""
        return judge(line for line in self.ledger.lines() if f"-{name}" in line.key)

    def wait_for_calls(self) -> None:
        """Waits until every caller has come by a connection of its own since now."""
        before = self.proxy.count
        until(lambda: self.proxy.count >= before + 2 * len(self.fronts))


@define
class Crowd:
    """Callers who share what is to be asked."""

    world: World
    name: str
    calls: int
    seconds: float
    ways: Sequence[Ask]
    #: For their clients.
    options: dict[str, Any]
    threads: list[threading.Thread] = field(factory=list)
    _next: int = 0
    _turn: threading.Lock = field(factory=threading.Lock)

    def call_all(self, front: Front) -> None:
        try:
            with self.world.client(front, **self.options) as client:
                while (number := self._take()) is not None:
                    skill, way = SKILLS[number % 3], self.ways[number // 3 % len(self.ways)]
                    call(client, f"{skill}-{self.name}-{number}", self.world.ledger, way, self.seconds)
        except Exception:
            if self.calls:  # else nobody waits for it, and its event loop has gone
                raise

    @property
    def is_over(self) -> bool:
        """Whether nobody asks any more."""
        return not any(thread.is_alive() for thread in self.threads)

    def wait(self) -> None:
        """Waits until nobody asks any more, or somebody never will be answered."""
        until = time.monotonic() + PATIENCE
        for thread in self.threads:
            thread.join(max(0.0, until - time.monotonic()))

    def effects(self, count: int) -> None:
        """Waits until so many effects of its calls have come, or none comes any more."""

        def happened(lines: Sequence[Line]) -> bool:
            done = sum(line.word == "effect" and f"-{self.name}-" in line.key for line in lines)
            return done >= count or self.is_over

        self.world.ledger.wait_for(happened, PATIENCE)

    def _take(self) -> int | None:
        with self._turn:
            self._next += 1
            return self._next - 1 if self._next <= self.calls else None


@contextmanager
def three_fronts() -> Iterator[tuple[Front, ...]]:
    """Clients' fronts, the async ones in an event loop each; what still hangs there at the end is cut off."""
    with ExitStack() as stack:
        portals = {name: stack.enter_context(start_blocking_portal(name)) for name in FRONTS if name != "sync"}
        for portal in portals.values():
            stack.callback(portal.call, portal.stop, True)
        yield tuple(Front(name, portals.get(name)) for name in FRONTS)


def until(happened: Callable[[], Any]) -> None:
    """Waits until this holds."""
    last = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < last, "it does not come to hold"
        time.sleep(0.02)

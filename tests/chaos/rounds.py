"""Rounds of chaos drawn from a seed: a server, its store, a weather, and three blows, for as long as one likes."""

import argparse
import json
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Self

from attrs import define, field

from chaos.blows import no_descriptors, standing_still
from chaos.ledger import Verdict
from chaos.pairs import STORES
from chaos.places import Database, Place, on_disk
from chaos.proxy import by_chance
from chaos.world import World, three_fronts
from scenarios.fronts import FRONTS, Front
from stores.servers import (
    PostgresServer,
    RedisServer,
    postgres_binaries,
    redis_binary,
    running_postgres,
    running_redis,
)

CALLS = 36
#: What befalls a server and where it keeps its tasks; with a server there, what befalls that.
BLOWS = ("killed", "told to stop", "stands still", "full disk", "no descriptors", "store stands still")
SERVER_BLOWS = ("store killed",)


class Stopped(BaseException):
    """Somebody wants no more rounds."""


@define
class Stop:
    """Hears SIGINT and SIGTERM, and heeds them where the program only waits: whatever it starts is held by then."""

    number: int = 0
    _waits: bool = False
    _before: dict[signal.Signals, object] = field(factory=dict)

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _hear(self, number: int, _: FrameType | None) -> None:
        # Ctrl-C may come twice, from the terminal and from who has started us; nothing is left sooner by the second.
        self.number = self.number or number
        if self._waits:
            self._waits = False
            raise Stopped

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Whatever is done in the block is left when it comes, or not begun where it has come; raises `Stopped`."""
        self._waits = True
        try:
            if self.number:
                raise Stopped
            yield
        finally:
            self._waits = False

    def sleep(self, seconds: float) -> None:
        """Waits so long, or until it comes."""
        with self.heeded():
            time.sleep(seconds)


class Servers:
    """The servers of stores, each started when it is first needed."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._running: dict[str, RedisServer | PostgresServer] = {}
        redis, postgres = redis_binary(), postgres_binaries()
        self._start: dict[str, Callable[[], RedisServer | PostgresServer]] = {}
        if redis is not None:
            self._start["redis"] = lambda: stack.enter_context(running_redis(redis))
        if postgres is not None:
            self._start["postgres"] = lambda: stack.enter_context(running_postgres(postgres))

    @property
    def stores(self) -> tuple[str, ...]:
        """What this machine can keep tasks in."""
        return tuple(store for store in STORES if store == "sqlite" or store in self._start)

    @contextmanager
    def place(self, store: str, folder: Path) -> Iterator[Place]:
        """A store that holds nothing."""
        if store == "sqlite":
            with on_disk(folder) as file:
                yield file
            return
        if store not in self._running:
            self._running[store] = self._start[store]()
        yield Database(self._running[store], self._running[store].database())


def main(given: Sequence[str]) -> int:
    """Plays, and tells the counts; answers 1 where one is not 0, and 128 more than the signal that has stopped it."""
    parser = argparse.ArgumentParser(prog="chaos", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10, help="each with a server and a weather of its own")
    parser.add_argument("--seed", type=int, default=0, help="of chance, to draw the same again")
    parser.add_argument("--front", choices=FRONTS, action="append", help="only this one's servers; may be repeated")
    parser.add_argument("--store", choices=STORES, action="append", help="only this one; may be repeated")
    parser.add_argument("--json", action="store_true", help="one document on stdout, and nothing else")
    words = parser.parse_args(given)
    seed = words.seed or random.randrange(1, 2**31)
    counts, told, bad, done = Counter[str](), Counter[str](), [], 0
    with Stop() as stop:
        try:
            with ExitStack() as stack:
                servers = Servers(stack)
                stores, fronts = words.store or servers.stores, words.front or FRONTS
                if missing := {*stores} - {*servers.stores}:
                    parser.error(f"this machine has no {', '.join(sorted(missing))}")
                pairs = [(store, front) for store in stores for front in fronts]
                callers = stack.enter_context(three_fronts())
                for number in range(words.rounds):
                    pair = pairs[number % len(pairs)]
                    drawn, verdict = play(pair, random.Random(f"{seed}-{number}"), callers, servers, stop)
                    done += 1
                    counts.update(verdict.counts)
                    told.update(verdict.told)
                    if not verdict.is_clean:
                        bad.append({"round": number, "what": drawn, "verdict": str(verdict)})
                    if not words.json:
                        what = "" if verdict.is_clean else verdict
                        print(f"{done}/{words.rounds}", drawn, verdict.told, what, flush=True)
        except Stopped:
            pass
    if words.json:
        document = {"seed": seed, "rounds": done, "stopped": bool(stop.number), "counts": counts, "told": told}
        print(json.dumps({**document, "bad": bad}))
    else:
        rounds = f"stopped; {done} of {words.rounds} rounds done" if stop.number else f"{done} rounds"
        print(f"seed {seed}, {rounds}:", ", ".join(f"{name} = {count}" for name, count in counts.items()))
    if stop.number:
        return 128 + stop.number
    return 1 if counts.total() or not done else 0


def play(
    pair: tuple[str, str], chance: random.Random, fronts: tuple[Front, ...], servers: Servers, stop: Stop
) -> tuple[str, Verdict]:
    """One server under the weather, that is dealt three blows; says which, and what came of it. Raises `Stopped`."""
    store, runtime = pair
    drawn = chance.choices(BLOWS if store == "sqlite" else (*BLOWS, *SERVER_BLOWS), k=3)
    script = by_chance(chance.getrandbits(32), 0.3)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="asap-chaos-")))
        place = stack.enter_context(servers.place(store, folder))
        world = stack.enter_context(World(folder, runtime, place, script=script, fronts=fronts))
        with world.crowd("chaos", CALLS, seconds=0.3, timeout=1.0) as crowd:
            for turn, blow in enumerate(drawn):
                with stop.heeded():
                    crowd.effects(CALLS // 4 * (turn + 1))
                deal(blow, world, stop)
            with stop.heeded():
                crowd.wait()
        verdict = world.verdict()
    return f"{runtime} on {store}: {', '.join(drawn)}", verdict


def deal(blow: str, world: World, stop: Stop) -> None:
    """Something happens, and is over; raises `Stopped`."""
    server = world.place.server
    match blow:
        case "killed":
            world.kill()
            world.start()
        case "told to stop":
            world.stop()
            world.start()
        case "stands still":
            with standing_still(world):
                stop.sleep(1.5)
        case "full disk":
            with world.full_disk():
                stop.sleep(0.5)
        case "no descriptors":
            with no_descriptors(world):
                stop.sleep(0.5)
        case "store stands still":
            with world.place.paused():
                stop.sleep(1.5)
        case "store killed" if server is not None:
            server.kill()
            stop.sleep(0.5)
            server.start()
        case _:
            raise ValueError(blow)

"""Rounds of chaos drawn from a seed: a server, a weather, and three blows, for as long as one likes."""

import argparse
import json
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from chaos.blows import full_disk, no_descriptors
from chaos.ledger import Verdict
from chaos.proxy import by_chance
from chaos.world import World, three_fronts
from scenarios.fronts import FRONTS, Front
from stores.servers import RedisServer

CALLS = 36
#: What befalls a server; with a store of its own, what befalls that.
BLOWS = ("killed", "told to stop", "stands still", "full disk", "no descriptors")
STORE_BLOWS = ("store killed", "store stands still")


def main(given: Sequence[str]) -> int:
    """Plays, and tells the counts; answers 1 where one is not 0."""
    parser = argparse.ArgumentParser(prog="chaos", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10, help="each with a server and a weather of its own")
    parser.add_argument("--seed", type=int, default=0, help="of chance, to draw the same again")
    parser.add_argument("--json", action="store_true", help="one document on stdout, and nothing else")
    words = parser.parse_args(given)
    seed = words.seed or random.randrange(1, 2**31)
    counts, told, bad = Counter[str](), Counter[str](), []
    with three_fronts() as fronts:
        for number in range(words.rounds):
            drawn, verdict = play(number, random.Random(f"{seed}-{number}"), fronts)
            counts.update(verdict.counts)
            told.update(verdict.told)
            if not verdict.is_clean:
                bad.append({"round": number, "what": drawn, "verdict": str(verdict)})
            if not words.json:
                print(
                    f"{number + 1}/{words.rounds}", drawn, verdict.told, "" if verdict.is_clean else verdict, flush=True
                )
    if words.json:
        print(json.dumps({"seed": seed, "rounds": words.rounds, "counts": counts, "told": told, "bad": bad}))
    else:
        print(f"seed {seed}, {words.rounds} rounds:", ", ".join(f"{name} = {count}" for name, count in counts.items()))
    return 1 if counts.total() or not words.rounds else 0


def play(number: int, chance: random.Random, fronts: tuple[Front, ...]) -> tuple[str, Verdict]:
    """One server under the weather, that is dealt three blows; says which, and what came of it."""
    runtime, redis = FRONTS[number % len(FRONTS)], shutil.which("redis-server")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="asap-chaos-")))
        store, state, blows = None, "tasks.db", BLOWS
        if redis is not None and chance.random() < 0.3:
            store, blows = RedisServer(redis, folder), (*BLOWS, *STORE_BLOWS)
            stack.callback(store.kill)
            store.start()
            state = store.url
        drawn = chance.choices(blows, k=3)
        script = by_chance(chance.getrandbits(32), 0.3)
        with World(folder, runtime, ("--state", state), script=script, fronts=fronts) as world:
            with world.crowd("chaos", CALLS, seconds=0.3, timeout=1.0) as crowd:
                for turn, blow in enumerate(drawn):
                    crowd.effects(CALLS // 4 * (turn + 1))
                    deal(blow, world, store)
            verdict = world.verdict()
    return f"{runtime} on {'sqlite' if store is None else 'redis'}: {', '.join(drawn)}", verdict


def deal(blow: str, world: World, store: RedisServer | None) -> None:
    """Something happens, and is over."""
    match blow:
        case "killed":
            world.kill()
            world.start()
        case "told to stop":
            world.stop()
            world.start()
        case "stands still":
            world.signal(signal.SIGSTOP)
            time.sleep(1.5)
            world.signal(signal.SIGCONT)
        case "full disk":
            with full_disk(world):
                time.sleep(0.5)
        case "no descriptors":
            with no_descriptors(world):
                time.sleep(0.5)
        case "store killed" if store is not None:
            store.kill()
            time.sleep(0.5)
            store.start()
        case "store stands still" if store is not None:
            with store.paused():
                time.sleep(1.5)
        case _:
            raise ValueError(blow)

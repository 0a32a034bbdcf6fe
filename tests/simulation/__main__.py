"""Moves worlds of agents, one for each seed, and says what was promised there and did not hold.

examples:
  python tests/simulation --seeds 1000              a thousand new seeds, on one core
  python tests/simulation --seeds 1000 --first 17   seeds 17 to 1016
  python tests/simulation --seed 4711               one again: the same steps, byte for byte
  python tests/simulation --seeds 9000 --jobs 4 --steps 2000 --json
  python tests/simulation --fault "an answer that is not kept"   with that put back: how soon is it found?

It ends with 0 if all has held, 1 if not, 2 for arguments that it does not know, 130 where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulation.world import Report

TESTS = Path(__file__).parents[1]

#: Seconds between two words on how far it has come, on a terminal and elsewhere.
_OFTEN, _SELDOM = 0.5, 10.0

#: Seconds after which a second Ctrl-C ends it at once.
_INSISTS = 1.0

#: Goes back to the start of a terminal's line, and empties it.
_CLEAR = "\r\x1b[K"


def main(words: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(words)
    sys.path.insert(0, str(TESTS))
    with ExitStack() as stack:
        if asked.fault is not None:
            sys.path.insert(0, stack.enter_context(tempfile.TemporaryDirectory()))
            _put_back(asked.fault, Path(sys.path[0]))
        return _simulate(asked)


def _parser() -> argparse.ArgumentParser:
    description, _, examples = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        "simulate", description=description, epilog=examples, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=_positive, default=1000, metavar="N", help="how many; 1000 if unsaid")
    parser.add_argument("--first", type=int, metavar="N", help="the first of them; one by chance if unsaid")
    parser.add_argument(
        "--seed", type=int, action="append", metavar="N", help="this one, and no others; may be repeated"
    )
    parser.add_argument("--steps", type=_positive, metavar="N", help="of each world; if unsaid its seed says how many")
    parser.add_argument("--jobs", type=_positive, default=1, metavar="N", help="processes; 1 if unsaid")
    parser.add_argument("--json", action="store_true", help="one document on stdout, when all is done")
    parser.add_argument(
        "--fault",
        metavar="NAME",
        help="put a past fault back, of which past.py has the names, and stop when it is found",
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _put_back(name: str, folder: Path) -> None:
    """A copy of the core with the fault in it."""
    from simulation.past import PAST

    past = next((one for one in PAST if one.name == name), None)
    if past is None:
        names = "\n  ".join(one.name for one in PAST)
        print(f"there is no fault of this name; there are\n  {names}", file=sys.stderr)
        raise SystemExit(2)
    copy = shutil.copytree(TESTS.parent / "asap_proto", folder / "asap_proto")
    changed = copy / past.file
    changed.write_text(past.put_back(changed.read_text()))


def _simulate(asked: argparse.Namespace) -> int:
    first = random.randrange(1, 1_000_000_000) if asked.first is None else asked.first
    seeds = asked.seed or range(first, first + asked.seeds)
    stopped: list[float] = []

    def stop(_: int, frame: object) -> None:
        stopped.append(time.monotonic())
        # One Ctrl-C may reach us twice, from the terminal and from who has started us.
        if stopped[-1] - stopped[0] > _INSISTS:
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    if not asked.json:
        _tell(_seeds(seeds))
    begun, said = time.monotonic(), -math.inf  # the first one is told of at once
    done: list[Report] = []
    failed: list[Report] = []
    with closing(_reports(seeds, asked.steps, asked.jobs)) as reports:
        for report in reports:
            done.append(report)
            if report.failure is not None:
                failed.append(report)
            if not asked.json and (asked.seed or report.failure is not None):
                _tell(report)
            said = _say(done, failed, len(seeds), begun, said)
            if stopped or (asked.fault and failed):
                break
    minutes = (time.monotonic() - begun) / 60
    if asked.json:
        _tell(json.dumps(_document(done, failed, minutes, stopped=bool(stopped))))
    else:
        what = f"stopped; {_seeds([one.seed for one in done])} done" if stopped else f"{len(done)} seeds"
        told = f"{len(failed)} failed: {', '.join(str(one.seed) for one in failed)}" if failed else "nothing failed"
        moved = sum(one.steps for one in done)
        _tell(f"{what}, {moved} steps: {told}; {len(done) / minutes:.0f} seeds a minute, jobs: {asked.jobs}")
    return 130 if stopped else 1 if failed else 0


def _reports(seeds: Sequence[int], steps: int | None, jobs: int) -> Iterator[Report]:
    """In the order of the seeds."""
    from simulation.world import run

    move = partial(run, steps=steps)
    if jobs == 1:
        yield from map(move, seeds)
        return
    with multiprocessing.Pool(jobs, _leave_signals) as pool:  # ends its processes when it is left
        yield from pool.imap(move, seeds)


def _leave_signals() -> None:
    """Ctrl-C is for the one who hands out the seeds."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) < 2:
        return f"seed {seeds[0]}" if seeds else "no seed"
    return f"{len(seeds)} seeds, {seeds[0]} to {seeds[-1]}"


def _say(done: list[Report], failed: list[Report], all: int, begun: float, said: float) -> float:
    """How far it has come, now and then; answers when that was last said."""
    now = time.monotonic()
    is_terminal = sys.stderr.isatty()
    if now - said < (_OFTEN if is_terminal else _SELDOM):
        return said
    rate = len(done) / (now - begun) * 60
    line = f"{len(done)} of {all} seeds, {len(failed)} failed, {rate:.0f} a minute"
    if is_terminal:
        print(f"{_CLEAR}{line}", end="", file=sys.stderr, flush=True)
    else:
        print(line, file=sys.stderr, flush=True)
    return now


def _tell(line: object) -> None:
    """On stdout, with no line on how far it has come before it."""
    if sys.stderr.isatty():
        print(_CLEAR, end="", file=sys.stderr, flush=True)
    print(line, flush=True)


def _document(done: list[Report], failed: list[Report], minutes: float, *, stopped: bool) -> dict[str, Any]:
    return {
        "seeds": [one.seed for one in done],
        "steps": sum(one.steps for one in done),
        "stopped": stopped,
        "seeds_a_minute": round(len(done) / minutes, 1),
        "happened": dict(sorted(sum((one.counts for one in done), Counter()).items())),
        "failed": [
            {
                "seed": one.seed,
                "step": one.steps,
                "failure": one.failure,
                "digest": one.digest,
                "again": one.again,
                "tail": one.tail,
            }
            for one in failed
        ],
    }


if __name__ == "__main__":
    sys.exit(main())

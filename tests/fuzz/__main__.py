"""Fuzzes what `targets` lists, guided by coverage (atheris); ends with 1 where an input breaks something.

python tests/fuzz                                   all targets, 40 seconds together
python tests/fuzz server --seconds 600              one of them, for longer
python tests/fuzz server --replay FILE...           without a fuzzer: what an input does
"""

import argparse
import gc
import hashlib
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FunctionType

TESTS = Path(__file__).parents[1]

#: Where inputs are kept that break something, and with --keep those that get far.
KEPT = TESTS.parent / ".fuzz"

#: Seconds that one input may take: far more than any needs, on a busy machine too.
PATIENCE = 10
#: What the process may take, in MiB; the instrumented code alone takes some hundred.
MEMORY = 1024
LONGEST = 16 * 1024


def main() -> int:
    words = _parser().parse_args()
    sys.path.insert(0, str(TESTS))
    if words.replay:
        return _replay(words.targets, words.replay)
    if words.inside:
        return _inside(words.inside, words.libfuzzer)
    from fuzz.targets import TARGETS

    names = words.targets or list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        raise SystemExit(f"there is no target {unknown[0]}; there are {', '.join(TARGETS)}")
    seed = words.seed or random.randrange(1, 2**31)
    whole = sum(TARGETS[name].share for name in names)
    broken = [
        name for name in names if not _fuzz(name, words.seconds * TARGETS[name].share // whole, seed, keep=words.keep)
    ]
    told = f"{', '.join(broken)} broke" if broken else "nothing broke"
    print(f"fuzzed with seed {seed}: {told}")
    return 1 if broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("targets", nargs="*", help="all of them, if none is named")
    parser.add_argument("--seconds", type=int, default=40, help="for all of them together")
    parser.add_argument("--seed", type=int, default=0, help="of chance, to run the same again")
    parser.add_argument("--keep", action="store_true", help=f"go on from what {KEPT.name}/ has, and add to it")
    parser.add_argument("--replay", nargs="+", type=Path, metavar="FILE", help="feed these to the target")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("--libfuzzer", nargs=argparse.REMAINDER, default=[], help=argparse.SUPPRESS)
    return parser


def _replay(names: list[str], files: list[Path]) -> int:
    """What breaks is told by its traceback."""
    from fuzz.targets import TARGETS

    if len(names) != 1 or names[0] not in TARGETS:
        raise SystemExit(f"--replay needs one target: {', '.join(TARGETS)}")
    for path in files:
        TARGETS[names[0]].feed(path.read_bytes())
        print(f"{path} breaks nothing")
    return 0


def _fuzz(name: str, seconds: int, seed: int, *, keep: bool) -> bool:
    """Runs one target in a process of its own, as libFuzzer ends the one it runs in; false where something broke."""
    from fuzz.targets import TARGETS, dictionary

    crashes, known = KEPT / name, KEPT / f"{name}.corpus"
    crashes.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        seeds, words = Path(folder, "seeds"), Path(folder, "words")
        seeds.mkdir()
        for number, one in enumerate(sorted(set(TARGETS[name].seeds()))):
            (seeds / f"{number:05}").write_bytes(one)
        words.write_text(dictionary())
        grown = known if keep else Path(folder, "grown")
        grown.mkdir(exist_ok=True)
        print(f"\n--- {name}, {seconds} s, seed {seed}", flush=True)
        before = set(crashes.iterdir())
        options = {
            "max_total_time": max(1, seconds),
            "seed": seed,
            "max_len": LONGEST,
            "timeout": PATIENCE,
            "rss_limit_mb": MEMORY,
            "dict": words,
            "artifact_prefix": f"{crashes}{os.sep}",
            "print_final_stats": 1,
            "verbosity": 0,
        }
        libfuzzer = [*(f"-{option}={value}" for option, value in options.items()), str(grown), str(seeds)]
        command = [sys.executable, __file__, "--inside", name, "--libfuzzer", *libfuzzer]
        ended = subprocess.run(command, check=False).returncode
        new = sorted(set(crashes.iterdir()) - before)
    for path in new:
        shown = path.read_bytes()[:2000]
        print(f"{name} is broken by {path}:\n  {shown!r}\n  python tests/fuzz {name} --replay {path}", flush=True)
    if ended and not new:
        print(f"{name} ended with {ended}, and left no input that did it", flush=True)
    return ended == 0


def _inside(name: str, libfuzzer: list[str]) -> int:
    """The fuzzer itself; it never returns."""
    import atheris

    with atheris.instrument_imports(include=["asap_adapters", "asap_proto"]):
        from fuzz.mutating import mutated
        from fuzz.targets import TARGETS
    feed = TARGETS[name].feed
    # The decoders are made while the code runs, each when it is first needed: the seeds need them all.
    for seed in set(TARGETS[name].seeds()):
        try:
            feed(seed)
        except BaseException:
            (KEPT / name / f"seed-{hashlib.sha1(seed, usedforsecurity=False).hexdigest()}").write_bytes(seed)
            raise
    made = [one for one in gc.get_objects() if isinstance(one, FunctionType)]
    for function in made:
        if function.__code__.co_filename.startswith(("<decode", "<encode")):
            atheris.instrument_func(function)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        return mutated(data, most, seed, atheris.Mutate)

    atheris.Setup([name, *libfuzzer], feed, custom_mutator=mutate if TARGETS[name].is_json else None)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())

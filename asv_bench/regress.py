"""Did the working tree become slower than a commit before it? Exit code 1 if anything did, by more than a tenth.

Every `time_*` and `peakmem_*` of the benchmarks is run by two processes, one with the code of the commit and one with
that of the working tree, in turns of some milliseconds: what else the machine does meets both. CPU time counts, with
that of processes that a benchmark starts. Two processes of the same code differ too, by where their memory lies: so
there are several pairs of them, and what looks slower has to look so again, with more pairs.

    python asv_bench/regress.py [COMMIT] [--bench REGEX] [--most 1.1] [--pairs 5]
"""

import argparse
import gc
import io
import os
import re
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
from contextlib import ExitStack, contextmanager
from importlib import import_module
from itertools import product
from pathlib import Path

import orjson

HERE = Path(__file__).parent
ROOT = HERE.parent
#: What is measured; the benchmarks themselves are those of the working tree, for both.
CODE = ("asap_proto", "adapters/asap_adapters")
#: Turns of each pair of processes, and seconds of CPU that each takes at least.
TURNS = 9
TURN_SECONDS = 0.01
#: How many times as many pairs a suspect gets.
AGAIN = 3


# -- a process that runs benchmarks -----------------------------------------------------------------------------------


def cases():
    """Each benchmark that can be compared, with each of its parameters: its name, and how to make it."""
    for path in sorted((HERE / "benchmarks").glob("[!_]*.py")):
        try:
            module = import_module(f"benchmarks.{path.stem}")
        except (ImportError, AttributeError):  # the code of the commit lacks what is measured
            continue
        for name, made in vars(module).items():
            if not isinstance(made, type) or made.__module__ != module.__name__:
                continue
            params = getattr(made, "params", ())
            values = params if params and isinstance(params[0], tuple | list) else (params,) if params else ()
            for method in sorted(vars(made)):
                if method.startswith(("time_", "peakmem_")):
                    for chosen in product(*values):
                        shown = ", ".join(map(str, chosen))
                        yield f"{path.stem}.{name}.{method}({shown})", made, method, chosen


def cpu_seconds():
    spent = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in spent)


def serve():
    """Answers lines: which benchmarks there are, one made ready, or run so many times."""
    import asap_proto

    assert Path(asap_proto.__file__).is_relative_to(sys.argv[2]), asap_proto.__file__
    known = {name: rest for name, *rest in cases()}
    benchmark, run, chosen = None, None, ()
    for line in sys.stdin.buffer:
        asked = orjson.loads(line)
        answer = None
        if asked["do"] == "list":
            answer = list(known)
        elif asked["do"] == "prepare":
            if hasattr(benchmark, "teardown"):
                benchmark.teardown(*chosen)
            made, method, chosen = known[asked["name"]]
            benchmark, answer = made(), True
            try:
                getattr(benchmark, "setup", lambda *_: None)(*chosen)
            except NotImplementedError:
                benchmark, answer = None, False
            else:
                run = getattr(benchmark, method)
                run(*chosen)
                gc.collect()
        elif asked["do"] == "run":
            begin = cpu_seconds()
            for _ in range(asked["times"]):
                run(*chosen)
            answer = cpu_seconds() - begin
        elif asked["do"] == "peak":
            answer = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
        sys.stdout.buffer.flush()


# -- the one that compares --------------------------------------------------------------------------------------------


class Worker:
    """A process with the code of one tree."""

    def __init__(self, tree):
        paths = [str(tree), str(tree / "adapters"), str(HERE)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "0"}
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve", str(tree)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def ask(self, do, **more):
        self.process.stdin.write(orjson.dumps({"do": do, **more}) + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a benchmark has failed; its words stand above")
        return orjson.loads(line)


def compare(names, before, now, pairs):
    """How many times the CPU or the memory of before each takes now: medians of pairs; None where it can't be said."""
    ratios = {name: [] for name in names}
    for number in range(pairs):
        with Worker(before) as old, Worker(now) as new:
            for name in names:
                if "time_" in name and prepared(name, old, new):
                    ratios[name].append(turns(old, new, number))
    for name in names:
        if "peakmem_" in name:  # the peak of a process is that of all that it has done
            with Worker(before) as old, Worker(now) as new:
                if prepared(name, old, new):
                    ratios[name].append(new.ask("peak") / old.ask("peak"))
    return {name: statistics.median(found) if found else None for name, found in ratios.items()}


def prepared(name, *workers):
    return {worker.ask("prepare", name=name) for worker in workers} == {True}


def turns(old, new, number):
    times = 1
    while old.ask("run", times=times) < TURN_SECONDS:
        times *= 2
    new.ask("run", times=times)
    ratios = []
    for turn in range(TURNS):
        order = (old, new) if (turn + number) % 2 else (new, old)
        took = {worker: worker.ask("run", times=times) for worker in order}
        ratios.append(took[new] / took[old])
    return statistics.median(ratios)


@contextmanager
def tree_of(commit):
    """The code of a commit, in a folder of its own."""
    packed = subprocess.run(["git", "archive", commit, *CODE], cwd=ROOT, check=True, capture_output=True).stdout
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
        yield Path(folder).resolve()


def main():
    parser = argparse.ArgumentParser(description="Compare the working tree to a commit before it.")
    parser.add_argument("commit", nargs="?", default="HEAD^")
    parser.add_argument("--bench", default="", help="only those that a regular expression is found in")
    parser.add_argument("--most", type=float, default=1.1, help="how many times as much each may take")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of processes for each")
    given = parser.parse_args()
    with ExitStack() as stack:
        before = stack.enter_context(tree_of(given.commit))
        old, new = (stack.enter_context(Worker(tree)) for tree in (before, ROOT))
        theirs, ours = old.ask("list"), new.ask("list")
        chosen = [name for name in ours if re.search(given.bench, name)]
        if lost := [name for name in theirs if name not in ours]:
            raise SystemExit(f"these can't be run any more: {'; '.join(lost)}")
        if not chosen:
            raise SystemExit(f"no benchmark is called {given.bench}")
        names = [name for name in chosen if name in theirs]
        ratios = compare(names, before, ROOT, given.pairs)
        suspects = [name for name, ratio in ratios.items() if ratio is not None and ratio > given.most]
        again = compare(suspects, before, ROOT, AGAIN * given.pairs)
    slower = [name for name in suspects if again[name] > given.most]
    for name in chosen:
        shown = "new" if name not in ratios else "-" if ratios[name] is None else f"{ratios[name]:.2f}"
        print(f"{shown:>6}  {f'{again[name]:.2f}' if name in again else '':>6}  {name}")
    print(f"{len(slower)} of {len(names)} take more than {given.most:g} times what they took at {given.commit}")
    print(*(f"  {name}" for name in slower), sep="\n")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(serve() if sys.argv[1:2] == ["--serve"] else main())

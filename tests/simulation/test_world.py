"""Whatever befalls some agents, in whatever order: what they promise, holds."""

import functools
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from asap_adapters.stores.sqlite import SqliteState

from .__main__ import main
from .broken import BROKEN
from .past import PAST
from .world import Parts, run

#: Seeds that are run each time, so that whatever may happen does. The last ones are for what seldom does: where a
#: change has moved that away, `--json` tells what happened for which others.
KNOWN = (*range(1, 81), 92, 121, 130, 339, 391)

HERE = Path(__file__).parent

#: What has to happen somewhere in the runs of `KNOWN`: a world in which nothing goes wrong proves nothing.
HAPPENINGS = (
    "adopt: submitted",
    "background full",
    "batch: completed",
    "cancel: asap:task/already_completed",
    "cancel: cancelled",
    "clock goes back",
    "clock goes forward",
    "crash",
    "cut off: both",
    "cut off: from",
    "cut off: to",
    "fetch: answered",
    "follow: completed",
    "freeze",
    "go too deep: asap:task/too_deep",
    "half open, the reader waits",
    "half open, the server goes on",
    "heard twice",
    "look at others: asap:task/not_found",
    "observed asap:execution/interrupted",
    "observed asap:execution/timed_out",
    "observed asap:protocol/invalid_nonce",
    "observed asap:protocol/invalid_state",
    "observed asap:protocol/invalid_timestamp",
    "observed asap:state/unavailable",
    "observed asap:task/still_running",
    "observed asap:task/taken_over",
    "observed asap:task/too_deep",
    "overtaken",
    "power lost",
    "query: input_required",
    "reply cut off",
    "reply lost",
    "request cut off",
    "request lost",
    "request: asap:capability/input_validation",
    "request: asap:execution/handler_failed",
    "request: asap:state/unavailable",
    "request: asap:transport/timed_out",
    "request: asap:transport/unreachable",
    "request: completed",
    "request: input_required",
    "request: submitted",
    "restore: submitted",
    "restore: working",
    "reuse: asap:protocol/idempotency_key_reused",
    "saturated",
    "stop",
    "store away",
    "store does what it is asked, and is away",
    "store goes away",
    "stream: completed",
    "taken over",
    "tell: working",
    "writes lost",
)

run_once = functools.cache(run)


def test_what_is_promised_holds():
    """Tasks go along the table, no deeper than ten, run once and end once; every call gets its one reply."""
    for seed in KNOWN:
        report = run_once(seed)
        assert report.failure is None, str(report)
        assert report.steps >= 200


def test_what_is_promised_holds_in_new_worlds(new_seeds):
    """So it does for seeds that nobody has chosen."""
    for seed in new_seeds:
        report = run(seed)
        assert report.failure is None, str(report)


def test_everything_happens():
    """Each mishap, and each answer that may be given, is met in the runs of the known seeds."""
    counts = sum((run_once(seed).counts for seed in KNOWN), Counter())
    assert [name for name in HAPPENINGS if not counts[name]] == []


def test_a_seed_is_replayed():
    """The same seed makes the same steps, byte for byte, whichever process counts them and however it hashes."""
    told = simulate("--seed", "1", "--seed", "2", PYTHONHASHSEED="4711")
    assert told.returncode == 0
    for seed in (1, 2):
        assert str(run_once(seed)) in told.stdout.splitlines()
        assert str(run(seed)) == str(run_once(seed))
    assert run_once(1).digest != run_once(2).digest


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_part_is_found_out(broken):
    """Who checks is checked: each promise that a store, a worker or the network may break is seen broken."""
    parts, says, first = BROKEN[broken]
    reports = (run(seed, parts=parts) for seed in (first, *KNOWN))
    found = next((report for report in reports if report.failure is not None), None)
    assert found is not None
    assert says in found.failure
    assert str(found).endswith(f"nox -s simulate -- --seed {found.seed}")
    assert found.tail


@pytest.mark.parametrize("past", [past for past in PAST if not past.is_rare], ids=lambda past: past.name)
def test_what_was_found_once_would_be_found_again(past):
    """A past failure is kept as its fault: put back into the core, it is found from its seed on."""
    told = simulate("--fault", past.name, "--first", str(past.seed), "--seeds", "100", "--json")
    assert told.returncode == 1, told.stderr
    [failed] = json.loads(told.stdout)["failed"]
    assert past.says in failed["failure"]


def test_no_past_failure_is_back():
    """The seeds that have found something find nothing now."""
    for past in PAST:
        report = run_once(past.seed)
        assert report.failure is None, f"{past.name}:\n{report}"


def test_a_failing_seed_is_told_alike_by_every_process():
    """Its story and the line that replays it are the same byte for byte, alone, among others, and in two processes."""
    past = PAST[0]
    again = simulate("--fault", past.name, "--seed", str(past.seed))
    among = simulate("--fault", past.name, "--first", str(past.seed - 1), "--seeds", "3", "--jobs", "2")
    assert (again.returncode, among.returncode) == (1, 1)
    story = again.stdout.splitlines()[1:-1]
    assert story[-1] == f"To see it again: nox -s simulate -- --seed {past.seed}"
    assert "\n".join(story) in among.stdout


def test_ctrl_c_says_which_seeds_are_done():
    """Who stops it is told how far it has come, and the seeds in hand come to their end."""
    command = [sys.executable, HERE, "--seeds", "1000000", "--first", "7", "--json", "--jobs", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stderr.readline()  # how far it has come: the first ones are done
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate()
    document = json.loads(told)
    assert process.returncode == 130
    assert document["stopped"]
    assert document["seeds"] == [*range(7, 7 + len(document["seeds"]))] != []


@pytest.mark.parametrize("words", [["--seeds", "none"], ["--seeds", "0"], ["--fault", "no such fault"], ["--what"]])
def test_words_that_are_not_known_are_refused(words, monkeypatch):
    """Nothing is run for arguments that say nothing."""
    monkeypatch.setattr(sys, "path", [*sys.path])  # it adds to that, as a process of its own would
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2


@pytest.mark.parametrize("seed", KNOWN[:2])
def test_what_is_promised_holds_on_sqlite(tmp_path, seed):
    """The store of one file keeps the promises too."""
    with ExitStack() as stack:

        def store(agent, limits):
            path = tmp_path / agent.rpartition(":")[2]
            return stack.enter_context(SqliteState(path, agent=agent, limits=limits))

        report = run(seed, parts=Parts(store))
    assert report.failure is None, str(report)


def simulate(*words, **environment):
    """The command, as contributors call it."""
    return subprocess.run(
        [sys.executable, HERE, *words], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )

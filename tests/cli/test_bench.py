"""`asap bench`: figures as ratios, bounds that hold or do not, and nothing that outlives it."""

import json
import os
import signal
import subprocess
import typing
from pathlib import Path

import pytest

from asap_adapters.bench import SUITES, Figure
from asap_adapters.cli import main
from asap_adapters.cli.bench import Suite
from cli.conftest import ASAP, PATIENCE, environment

GOOD = Figure("decode a request", 12.0, "µs", "orjson.loads", 2.0, 2.5, True)
BAD = Figure("requests/s", 40.0, "/s", "the reference", 4.0, 12, False, at_least=True, suite="server")
FREE = Figure("import", 50.0, "ms", None, None, None, None)
ABSENT = Figure("end to end", 9.0, "/s", "the reference", None, 25, None, at_least=True, note="there is none")
VOID = Figure("end to end", None, "/s", "the reference", None, 25, False, at_least=True, note="void: 3 times HTTP 429")


class Measured:
    """What the measurements will say, and what was asked of them."""

    def __init__(self):
        self.figures = []
        self.options = self.suites = None

    def run(self, options, suites):
        self.options, self.suites = options, suites
        options.progress("measuring")
        return iter(self.figures)


@pytest.fixture
def measured(monkeypatch):
    made = Measured()
    monkeypatch.setattr("asap_adapters.bench.run", made.run)
    return made


def test_floors_that_hold(measured, capsys):
    """When every bound is held the exit code is 0; a figure without one, or without its peer, promises nothing."""
    measured.figures += [GOOD, FREE, ABSENT]
    assert main(["bench", "--rounds", "3", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["rounds"] == measured.options.rounds == 3
    assert document["holds"] is True
    assert document["suites"] == measured.suites == ["core"]
    assert {"at", "python", "system", "cores", "load", "packages"} <= set(document["machine"])
    assert document["figures"][0] == {
        "suite": "core",
        "name": "decode a request",
        "value": 12.0,
        "unit": "µs",
        "baseline": "orjson.loads",
        "ratio": 2.0,
        "floor": 2.5,
        "at_least": False,
        "holds": True,
        "note": None,
    }


def test_a_floor_that_does_not_hold(measured, capsys):
    """One bound that is not held makes exit code 1, and is pointed out with its direction."""
    measured.figures += [GOOD, BAD]
    assert main(["bench"]) == 1
    shown = capsys.readouterr().out
    assert "not held" in shown
    assert "4.00" in shown
    assert ">= 12" in shown
    assert "<= 2.5" in shown


def test_a_void_run_is_said_to_be_one(measured, capsys):
    """Errors in place of answers make exit code 1, and no figure."""
    measured.figures += [VOID]
    assert main(["bench", "end-to-end"]) == 1
    assert "void: 3 times HTTP 429" in capsys.readouterr().out


def test_suites_are_chosen_by_name(measured, capsys):
    """In the order given, each once; all means all."""
    assert main(["bench", "pace", "server", "pace", "--runtime", "trio", "--seconds", "0.5", "--peers"]) == 0
    assert measured.suites == ["pace", "server"]
    assert (measured.options.runtimes, measured.options.seconds, measured.options.peers) == (("trio",), 0.5, True)
    assert main(["bench", "all", "--reference", "python"]) == 0
    assert measured.suites == list(SUITES)
    assert measured.options.reference == "python"
    assert measured.options.runtimes == ("asyncio", "trio", "sync")
    assert main(["bench", "everything"]) == 2
    assert "asap bench --help" in capsys.readouterr().err


def test_each_suite_can_be_named():
    """The command line knows the suites that there are."""
    assert set(typing.get_args(Suite)) == {*SUITES, "all"}


def descendants(pid):
    """All processes that one has started, and they."""
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_it_started_ends_with_it(tmp_path, number, exit_code):
    """Ctrl-C, or a SIGTERM, in the middle of a measurement: no server and no client is left behind."""
    ours, its = os.openpty()
    words = ["bench", "pace", "--runtime", "sync", "--seconds", "600"]
    process = subprocess.Popen([*ASAP, *words], stderr=its, cwd=tmp_path, env=environment(), start_new_session=True)
    os.close(its)
    try:
        said = b""
        while b"round 1 of" not in said:
            said += os.read(ours, 4096)
        started = descendants(process.pid)
        process.send_signal(number)
        assert process.wait(PATIENCE) == exit_code
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert len(started) == 2
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]

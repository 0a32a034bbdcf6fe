"""`asap bench`: figures as ratios, and floors that hold or do not."""

import json
import sys
import types

import pytest
from attrs import frozen

from asap_adapters.cli import main


@frozen
class Figure:
    name: str
    value: float
    unit: str
    baseline: str | None
    ratio: float | None
    floor: float | None
    holds: bool | None


GOOD = Figure("decode a request", 12.0, "µs", "orjson.loads", 2.0, 2.5, True)
BAD = Figure("encode a reply", 40.0, "µs", "orjson.dumps", 4.0, 3.5, False)
FREE = Figure("import", 50.0, "ms", None, None, None, None)


@pytest.fixture
def figures(monkeypatch):
    """What the measurements will say."""
    module = types.ModuleType("asap_adapters.bench")
    said = []

    def run(rounds, progress):
        progress("measuring")
        module.rounds = rounds
        return said

    module.run = run
    monkeypatch.setitem(sys.modules, "asap_adapters.bench", module)
    return said


def test_floors_that_hold(figures, capsys):
    """When every floor is held the exit code is 0; a figure without one promises nothing."""
    figures += [GOOD, FREE]
    assert main(["bench", "--rounds", "3", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["rounds"] == sys.modules["asap_adapters.bench"].rounds == 3
    assert document["holds"] is True
    assert document["figures"][0] == {
        "name": "decode a request",
        "value": 12.0,
        "unit": "µs",
        "baseline": "orjson.loads",
        "ratio": 2.0,
        "floor": 2.5,
        "holds": True,
    }


def test_a_floor_that_does_not_hold(figures, capsys):
    """One floor that is not held makes exit code 1, and is pointed out."""
    figures += [GOOD, BAD]
    assert main(["bench"]) == 1
    shown = capsys.readouterr().out
    assert "not held" in shown
    assert "4.00" in shown

"""The table of who meets whom is whole: each cell has a test, and no test of a pair stands outside of it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from interop.matrix import FRONTS, KINDS, MATRIX, RELEASES

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def held():
    """Each test as pytest collects it, with the client and the server that it is run with."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--no-header", str(HERE)]
    said = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parents[1], check=True)
    return {
        (test, *_ends(test, brackets)) for test, brackets in re.findall(r"::(\w+)\[(.+)\]$", said.stdout, re.MULTILINE)
    }


def _ends(test, brackets):
    if "_to_" in brackets:
        return tuple(brackets.partition("-")[0].split("_to_"))
    words = brackets.split("-")
    ends = [word for word in words if word in RELEASES] + [word for word in words if word in FRONTS]
    return tuple(ends if test.startswith("test_their_") else reversed(ends))


def test_each_cell_has_a_test(held):
    """For every scenario, every pair of every kind; a kind that has no test says why."""
    missing = [
        f"{scenario}: {pair.client} asks {pair.server}"
        for scenario, row in MATRIX.items()
        for kind, pairs in KINDS.items()
        if getattr(row, kind) or not row.lacks
        for pair in pairs
        if (getattr(row, kind), *pair) not in held
    ]
    assert missing == []


def test_each_release_meets_each_front():
    """The table has every pair once: releases with fronts, both ways, and fronts with fronts."""
    pairs = {kind: set(pairs) for kind, pairs in KINDS.items()}
    assert pairs["theirs"] == {(release, front) for release in RELEASES for front in FRONTS}
    assert pairs["ours"] == {(front, release) for release in RELEASES for front in FRONTS}
    assert pairs["among"] == {(client, server) for client in FRONTS for server in FRONTS}


def test_the_session_installs_every_release():
    """`nox -s interop` makes an environment for each."""
    assert set(
        re.findall(r'^    "([^"]+)": "(?:==[0-9.]+)?",$', (HERE.parents[1] / "noxfile.py").read_text(), re.MULTILINE)
    ) == {*RELEASES}

"""What a user's type checker sees: small programs, one for each front, checked strictly."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def check(*programs, cache):
    options = ["--strict", f"--config-file={ROOT / 'pyproject.toml'}", f"--cache-dir={cache}"]
    command = [sys.executable, "-m", "mypy", *options, *map(str, programs)]
    environment = {**os.environ, "MYPYPATH": os.pathsep.join([str(ROOT), str(ROOT / "adapters")])}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment, cwd=HERE)


def test_programs(tmp_path):
    """Programs that use the public API as the docs tell pass; each wrong line of `wrong.py` is found."""
    wrong = HERE / "wrong.py"
    done = check(*sorted(HERE.glob("use_*.py")), wrong, cache=tmp_path)
    expected = {number for number, line in enumerate(wrong.read_text().splitlines(), 1) if line.endswith("# wrong")}
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    found = {int(line.split(":")[1]) for line in errors if line.startswith("wrong.py")}
    assert [line for line in errors if not line.startswith("wrong.py")] == [], done.stdout
    assert found == expected, done.stdout

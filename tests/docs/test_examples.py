"""Every example runs as its docstring says, and prints what it promises."""

import doctest
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
_ECHO = "completed {'echoed': {'message': 'hi'}}\n"

PRINTED = {
    "coordinator.py": """\
urn:asap:agent:editor is at 10 %: reading
urn:asap:agent:editor asks at depth 1
urn:asap:agent:editor is at 90 %: counted
completed {'short': True}
""",
    "echo_asyncio.py": _ECHO,
    "echo_sync.py": _ECHO,
    "echo_trio.py": _ECHO,
    "lost_reply.py": """\
  0.00 s  the adder adds 1 and 2
  0.00 s  request ..., reply lost
  1.05 s  request ..., reply lost
  3.15 s  request ..., fair
  3.15 s  the caller has {'sum': 3}
""",
    "move_a_task.py": """\
the slow one: cancelled
what it knew: {'read': 3}
the quick one: submitted
completed {'title': 'Emma', 'pages': '4 to 10'}
""",
    "resume_after_crash.py": """\
submitted
the server is killed; ... of 8 steps were saved
asked again with the same key, it is the same task: True
run 1 did steps 1 to ...
run 2 did steps ... to 8
completed
""",
}


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_an_example_does_what_it_says(name, tmp_path):
    """Run from anywhere, with warnings as errors, it ends well and prints what is expected."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name)],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert doctest.OutputChecker().check_output(PRINTED[name], done.stdout, doctest.ELLIPSIS), done.stdout


def test_each_example_is_run():
    """No example stands here untested, and each says how it is run."""
    found = {path.name: path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.py")}
    assert set(found) == set(PRINTED)
    assert all(f"python examples/{name}" in text for name, text in found.items())

"""The ledger finds what it is there to find: each count is not 0 where something is really broken."""

import json
import re

import pytest

from asap_proto.errors import HandlerInterrupted
from chaos import rounds
from chaos.ledger import Line, judge
from chaos.places import File
from chaos.world import SOURCE, World, by_request, by_submit, call

UNDONE = 'word == "effect" and task.input["key"].startswith("again")'

#: `once` does it twice, `again` says that it was done and has not, `saved` gives the answer to another question.
BROKEN = (
    SOURCE.replace('    note("effect", task)\n', '    note("effect", task)\n' * 2, 1)
    .replace("def note(word, task):\n", "def note(word, task):\n    if " + UNDONE + ":\n        return\n")
    .replace('key = task.input["key"]\n', 'key = task.input["key"].replace("saved-1", "saved-2")\n')
)
#: Once it has done something, it goes on when there is a file ``go``.
HELD = re.sub(
    r'^( +)(note\("effect", task\)\n)',
    r'\1\2\1while not os.path.exists("go"):\n\1    {wait}sleep(0.01)\n',
    SOURCE,
    flags=re.MULTILINE,
)


def swallows(client, key, input, ledger):
    """A caller who keeps for itself what it was told."""
    by_request(client, key, input, ledger)


def test_finds_what_an_agent_or_a_client_does_wrong(tmp_path, fronts):
    """Each fault is counted by its name, and what went well is not."""
    with (
        World(tmp_path, "sync", File(tmp_path, state="tasks.db"), source=BROKEN) as world,
        world.client(fronts[0]) as client,
    ):
        for key, ask in (
            ("once-1", by_request),
            ("again-1", by_request),
            ("saved-1", by_request),
            ("saved-3", swallows),
            ("saved-4", by_submit),
        ):
            call(client, key, world.ledger, ask)
        verdict = world.verdict()
    assert (verdict.double, verdict.lost) == ({"once-1"}, {"again-1"})
    assert (verdict.mistaken, verdict.never_answered) == ({"saved-1"}, {"saved-3"})
    assert not verdict.is_clean
    assert verdict.counts == {"LOST": 1, "DOUBLE": 1, "NEVER-ANSWERED": 1, "MISTAKEN": 1}


def test_finds_that_a_store_forgets(tmp_path, fronts):
    """A server is killed whose store dies with it: what it had confirmed is lost, what it had done is done again."""
    with World(tmp_path, "asyncio", File(tmp_path, state="memory"), source=HELD, fronts=fronts) as world:
        with world.crowd("kept", 3, ways=(by_submit,)) as crowd:
            crowd.effects(3)
            world.kill()
            (tmp_path / "go").touch()
            world.start()
        verdict = world.verdict()
    assert verdict.lost == verdict.double == {"once-kept-0", "saved-kept-1", "again-kept-2"}


def told(*lines):
    return judge(Line(word, key, *rest) for word, key, *rest in lines)


INTERRUPTED = HandlerInterrupted.kind.code

CLEAN = {
    "done": [("asked", "once-1"), ("effect", "once-1", "a", 1), ("done", "once-1")],
    "interrupted": [("asked", "once-1"), ("confirmed", "once-1", "a"), ("refused", "once-1", INTERRUPTED)],
    "again, while it is not over": [("effect", "again-1", "a", 1), ("effect", "again-1", "a", 2), ("done", "again-1")],
    "late, and refused by its token": [
        ("effect", "again-1", "a", 2),
        ("done", "again-1"),
        ("effect", "again-1", "a", 1),
    ],
    "a bent id": [
        ("confirmed", "once-1", "task_ab"),
        ("confirmed", "once-1", "task_aa"),
        ("effect", "once-1", "task_ab", 1),
    ],
    "nothing was promised": [("asked", "once-1"), ("refused", "once-1", "asap:transport/unreachable")],
}
LOST = {
    "not done": [("asked", "once-1"), ("done", "once-1"), ("effect", "once-1", "a", 1)],
    "interrupted, though it may be run again": [("confirmed", "again-1", "a"), ("refused", "again-1", INTERRUPTED)],
    "unknown": [("confirmed", "once-1", "a"), ("refused", "once-1", "asap:task/not_found")],
    "another task": [("confirmed", "once-1", "task_ab"), ("confirmed", "once-1", "task_cd")],
    "no end": [("asked", "once-1"), ("confirmed", "once-1", "a")],
}
DOUBLE = {
    "two tasks": [("effect", "again-1", "a", 1), ("effect", "again-1", "b", 1)],
    "one run": [("effect", "again-1", "a", 1), ("effect", "again-1", "a", 1)],
    "run again": [("effect", "saved-1", "a", 1), ("effect", "saved-1", "a", 2)],
    "after its end": [("effect", "again-1", "a", 1), ("done", "again-1"), ("effect", "again-1", "a", 2)],
    "late, and no fencing": [("effect", "once-1", "a", 2), ("effect", "once-1", "a", 1)],
}
UNANSWERED = {
    "nothing": [("asked", "once-1"), ("effect", "once-1", "a", 1)],
    "once of two": [("asked", "once-1"), ("effect", "once-1", "a", 1), ("done", "once-1"), ("asked", "once-1")],
    "an error that nobody stated": [("asked", "once-1"), ("refused", "once-1", "ValueError")],
}


@pytest.mark.parametrize("lines", CLEAN.values(), ids=CLEAN)
def test_what_is_promised_is_clean(lines):
    """What a crash may do by the book counts nowhere."""
    assert told(*lines).is_clean


@pytest.mark.parametrize("lines", LOST.values(), ids=LOST)
def test_what_is_lost(lines):
    """What was told to be done, or confirmed, has to be so, or be reported."""
    assert len(told(*lines).lost) == 1


@pytest.mark.parametrize("lines", DOUBLE.values(), ids=DOUBLE)
def test_what_is_double(lines):
    """One key is one task, each of its runs does it once, and nothing is done after its end."""
    assert len(told(*lines).double) == 1


@pytest.mark.parametrize("lines", UNANSWERED.values(), ids=UNANSWERED)
def test_who_is_never_answered(lines):
    """Each call ends by an answer or by an error of the catalogue."""
    assert len(told(*lines).never_answered) == 1


@pytest.mark.parametrize(("lines", "code"), [(CLEAN["done"], 0), *((each, 1) for each in (*LOST.values(),))])
def test_rounds_end_as_their_counts_say(monkeypatch, capsys, lines, code):
    """By 0 where all are 0, else by 1, with the counts on stdout, and the round that it was."""
    monkeypatch.setattr(rounds, "play", lambda *_: ("asyncio on sqlite", told(*lines)))
    assert rounds.main(["--rounds", "3", "--seed", "7", "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert (document["seed"], document["rounds"], document["counts"]["LOST"]) == (7, 3, 3 * code)
    assert [bad["round"] for bad in document["bad"]] == [0, 1, 2] * code
    assert rounds.main(["--rounds", "3"]) == code
    assert (
        capsys.readouterr()
        .out.splitlines()[-1]
        .endswith(
            f"LOST = {3 * code}, DOUBLE = 0, NEVER-ANSWERED = {3 * told(*lines).counts['NEVER-ANSWERED']}, MISTAKEN = 0"
        )
    )

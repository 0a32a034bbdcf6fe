"""`asap demo`: real sockets, and proof from the receiving ends."""

import json

import attrs
import pytest

from asap_adapters.cli import main
from asap_adapters.cli.story import COORDINATOR, COUNTER, EDITOR, Story, account
from asap_adapters.cli.story_sync import play

RUNTIMES = ["asyncio", "trio", "sync"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_step_is_seen(asap_process, runtime):
    """On each runtime every step takes place, in order, and is timed."""
    ended = asap_process("demo", "--runtime", runtime, "--json")
    assert ended.exit_code == 0, ended.err
    document = ended.document
    assert document["ok"] is True
    assert document["runtime"] == runtime
    assert [(step["from"], step["to"]) for step in document["steps"]] == [
        (EDITOR, COORDINATOR),
        (COORDINATOR, EDITOR),
        (EDITOR, COORDINATOR),
        (EDITOR, COUNTER),
        (COUNTER, EDITOR),
        (EDITOR, COORDINATOR),
        (EDITOR, COORDINATOR),
    ]
    times = [step["at_ms"] for step in document["steps"]]
    assert times == sorted(times)
    assert ended.err == ""


def test_table_for_people(asap_process):
    """Without --json it is a table and a summary."""
    ended = asap_process("demo")
    assert ended.exit_code == 0
    assert "step   from" in ended.out
    assert "7 of 7 steps seen where they arrived, on asyncio" in ended.out


def _mute(*_, **__):
    return None


async def _mute_async(*_, **__):
    return None


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_progress_that_does_not_arrive(runtime, monkeypatch, capsys):
    """A task that finishes without its progress having been heard is no success."""
    monkeypatch.setattr("asap_adapters._awaiting.tasks.Task.progress", _mute_async)
    monkeypatch.setattr("asap_adapters.sync.tasks.Task.progress", _mute)
    assert main(["demo", "--runtime", runtime, "--json"]) == 1
    said = capsys.readouterr()
    assert [step["step"] for step in json.loads(said.out)["steps"] if not step["seen"]] == [3, 6]
    assert "missing: 3, 6" in said.err


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_agent_that_fails(runtime, monkeypatch, capsys):
    """What cut the story short is told, with what was seen until then."""

    def broken(text):
        raise ValueError("no")

    monkeypatch.setattr("asap_adapters.cli.story_sync.count", broken)
    monkeypatch.setattr("asap_adapters.cli.story_async.count", broken)
    assert main(["demo", "--runtime", runtime, "--json"]) == 1
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert document["error"]["code"] == "asap:execution/handler_failed"
    assert [step["seen"] for step in document["steps"]] == [True, True, True, True, False, False, False]


@pytest.fixture(scope="module")
def played():
    """A story as it really went."""
    story = Story()
    play(story)
    return story


def test_a_real_story_is_accounted_for(played):
    """What was really seen is found whole."""
    assert [row.seen for row in account(played)] == [True] * 7


@pytest.mark.parametrize("gone", range(7))
def test_each_sight_counts(played, gone):
    """Whichever sight is missing, its step is not taken for seen."""
    story = Story(text=played.text, sights=[sight for at, sight in enumerate(played.sights) if at != gone])
    assert not all(row.seen for row in account(story))


@pytest.mark.parametrize(
    ("at", "changes"),
    [
        (1, {"depth": 1}),
        (1, {"sender": COUNTER}),
        (3, {"depth": 0}),
        (3, {"task_id": "task_other"}),
        (4, {"receiver": COORDINATOR}),
    ],
)
def test_each_sight_is_looked_at(played, at, changes):
    """A sight by another sender, receiver or depth is another; ids that nobody checks may differ."""
    sights = list(played.sights)
    sights[at] = attrs.evolve(sights[at], **changes)
    seen = all(row.seen for row in account(Story(text=played.text, sights=sights)))
    assert seen is (changes == {"task_id": "task_other"})


def test_a_subtask_names_its_parent(played):
    """A subtask of another task, or an answer with another text's count, is not taken for ours."""
    sights = list(played.sights)
    sights[3] = attrs.evolve(sights[3], payload=attrs.evolve(sights[3].payload, parent_task_id="task_other"))
    assert not account(Story(text=played.text, sights=sights))[3].seen
    assert not any(row.seen for row in account(Story(text="another text", sights=played.sights))[4:5])

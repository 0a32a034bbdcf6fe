"""The demo's story: who plays, what each writes down on arrival, and what must have arrived in the end."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any, Final

from attrs import field, frozen, mutable

from asap_proto.model import Manifest, TaskRequest, TaskResponse, TaskStatus, TaskUpdate

__all__ = ["COORDINATOR", "COUNTER", "EDITOR", "Row", "Sight", "Story", "account", "count"]

COORDINATOR: Final = "urn:asap:agent:coordinator"
EDITOR: Final = "urn:asap:agent:editor"
COUNTER: Final = "urn:asap:agent:counter"


@frozen
class Sight:
    """Something that arrived: at whom, from whom, what, and after how many milliseconds."""

    receiver: str
    sender: str
    payload: Any
    ms: float
    task_id: str = ""
    depth: int = 0


def _text() -> str:
    # New each time, so that no answer can be known beforehand.
    return " ".join(secrets.token_hex(1 + secrets.randbelow(6)) for _ in range(5 + secrets.randbelow(20)))


@mutable
class Story:
    """One performance: the text that is handed on, and all that was seen, in order of arrival."""

    text: str = field(factory=_text)
    sights: list[Sight] = field(factory=list)
    started: float = field(factory=time.perf_counter)

    def begin(self) -> None:
        """Everyone is in place: time runs from here."""
        self.started = time.perf_counter()

    def saw(self, receiver: str, sender: str, payload: Any) -> None:
        """`receiver` has this from `sender`."""
        self.sights.append(Sight(receiver, sender, payload, self._ms()))

    def saw_task(self, receiver: str, task: Any) -> None:
        """`receiver` was given a task."""
        sight = Sight(receiver, task.caller, task.payload, self._ms(), task_id=task.id, depth=task.depth)
        self.sights.append(sight)

    def _ms(self) -> float:
        return (time.perf_counter() - self.started) * 1000


def count(text: str) -> dict[str, Any]:
    """What the counter is good at."""
    words = text.split()
    return {"words": len(words), "longest": max(words, key=len)}


@frozen
class Row:
    """One step as it should have been, and after how many milliseconds it was seen."""

    step: int
    sender: str
    receiver: str
    what: str
    ms: float | None

    @property
    def seen(self) -> bool:
        return self.ms is not None


@frozen
class _Step:
    sender: str
    receiver: str
    what: str
    fits: Callable[[Sight], bool]


def account(story: Story) -> list[Row]:
    """Each step that must have been seen, in this order, and whether it was: as it was sent, and by whom."""
    rows, rest = [], list(story.sights)
    for number, step in enumerate(_steps(story), start=1):
        found = next((index for index, sight in enumerate(rest) if _is(sight, step)), None)
        ms = None if found is None else round(rest[found].ms, 3)
        rest = rest if found is None else rest[found + 1 :]
        rows.append(Row(number, step.sender, step.receiver, step.what, ms))
    return rows


def _is(sight: Sight, step: _Step) -> bool:
    return (sight.sender, sight.receiver) == (step.sender, step.receiver) and step.fits(sight)


def _steps(story: Story) -> list[_Step]:
    counted = count(story.text)
    # The editor's own id for its task: progress, subtask and answer must all name it.
    task = next((sight.task_id for sight in story.sights if sight.receiver == EDITOR and sight.task_id), None)

    def introduced(sight: Sight) -> bool:
        return isinstance(sight.payload, Manifest) and [s.id for s in sight.payload.capabilities.skills] == ["review"]

    def asked(sight: Sight) -> bool:
        asks = sight.payload
        return isinstance(asks, TaskRequest) and asks.input == {"text": story.text} and sight.depth == 0

    def delegated(sight: Sight) -> bool:
        asks = sight.payload
        if not isinstance(asks, TaskRequest) or sight.depth != 1:
            return False
        return asks.input == {"text": story.text} and asks.parent_task_id == task

    def progress(percent: float) -> Callable[[Sight], bool]:
        def fits(sight: Sight) -> bool:
            update = sight.payload
            if not isinstance(update, TaskUpdate) or update.task_id != task:
                return False
            return update.progress is not None and update.progress.get("percent") == percent

        return fits

    def answered(result: dict[str, Any], of: str | None = None) -> Callable[[Sight], bool]:
        def fits(sight: Sight) -> bool:
            answer = sight.payload
            if not isinstance(answer, TaskResponse) or answer.status is not TaskStatus.COMPLETED:
                return False
            return answer.result == result and (of is None or answer.task_id == of)

        return fits

    words = counted["words"]
    return [
        _Step(EDITOR, COORDINATOR, "its manifest: it can review", introduced),
        _Step(COORDINATOR, EDITOR, f"task.request: review a text of {words} words", asked),
        _Step(EDITOR, COORDINATOR, "task.update: 10 %, reading", progress(10)),
        _Step(EDITOR, COUNTER, "task.request: count the words, a subtask at depth 1", delegated),
        _Step(COUNTER, EDITOR, f"task.response: completed, {words} words", answered(counted)),
        _Step(EDITOR, COORDINATOR, "task.update: 90 %, counted", progress(90)),
        _Step(EDITOR, COORDINATOR, "task.response: completed", answered({"review": counted}, of=task)),
    ]

"""A ledger outside every server: what was done, and what callers were told, line after line in one order.

Handlers and callers write their lines into one pipe, each by a single write: whoever was told of something writes after
whoever did it. A line that is written stays so, however its writer ends. No clock is needed to judge.
"""

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

from attrs import define, field, frozen

from asap_proto.errors import CATALOGUE, HandlerInterrupted

#: Skills, each by how often it may do what it does. `once` saves nothing and is never run again: it is done or
#: interrupted. `saved` does it before its first snapshot, and goes on from there. `again` may be run from the start, as
#: often as its workers die, until it is over.
SKILLS = ("once", "saved", "again")

_INTERRUPTED = HandlerInterrupted.kind.code


@frozen
class Line:
    """One line: ``begun`` and ``effect`` come from handlers, the others from callers."""

    word: str
    key: str
    #: A task's id, or what a caller was told instead.
    what: str = ""
    #: Which run of its task.
    run: int = 0


def skill_of(key: str) -> str:
    """The skill that a key is for."""
    return key.partition("-")[0]


@frozen
class Verdict:
    """What was found; of each count the keys."""

    #: Told to be done, with no effect; or confirmed, and then neither done nor reported.
    lost: frozenset[str]
    #: Done more often than was promised, or after it was over.
    double: frozenset[str]
    #: Asked, and neither answered nor refused by an error of the catalogue.
    never_answered: frozenset[str]
    #: Told the answer to another's question.
    mistaken: frozenset[str]
    #: How many calls there were, and how they ended.
    told: dict[str, int]

    @property
    def counts(self) -> dict[str, int]:
        """The counts that have to be 0."""
        return {
            "LOST": len(self.lost),
            "DOUBLE": len(self.double),
            "NEVER-ANSWERED": len(self.never_answered),
            "MISTAKEN": len(self.mistaken),
        }

    @property
    def is_clean(self) -> bool:
        return not any(self.counts.values())


@define
class _Account:
    """What the lines say of one key so far."""

    skill: str
    effects: list[Line] = field(factory=list)
    confirmed: set[str] = field(factory=set)
    asked: int = 0
    answered: int = 0
    is_done: bool = False
    is_lost: bool = False
    is_double: bool = False
    is_mistaken: bool = False

    def effect(self, line: Line) -> None:
        newest = max((known.run for known in self.effects), default=0)
        if line.run < newest and self.skill == "again":
            # Of a worker that was out of touch for longer than its lease: whoever keeps `task.runs` beside what is
            # done, as a fencing token, refuses it.
            return
        others = {known.what for known in self.effects} - {line.what}
        same_run = any(known.run == line.run for known in self.effects)
        may_repeat = self.skill == "again" and not self.is_done
        self.is_double |= bool(self.effects) and (bool(others) or same_run or not may_repeat)
        self.effects.append(line)

    def done(self) -> None:
        self.answered += 1
        self.is_done = True
        self.is_lost |= not self.effects

    def refused(self, code: str) -> None:
        self.answered += code in CATALOGUE
        # Whoever has a task's id is told its end, and that is no other: it was accepted, and nobody cancels it.
        self.is_lost |= bool(self.confirmed) and (code != _INTERRUPTED or self.skill == "again")

    def confirm(self, task_id: str) -> None:
        # An id that the network has bent differs from the true one in one character.
        self.is_lost |= any(_differ(task_id, known) > 1 for known in self.confirmed)
        self.confirmed.add(task_id)


def _differ(one: str, other: str) -> int:
    return abs(len(one) - len(other)) + sum(a != b for a, b in zip(one, other, strict=False))


def judge(lines: Iterable[Line]) -> Verdict:
    """Reads the lines in their order."""
    accounts: dict[str, _Account] = {}
    told: dict[str, int] = defaultdict(int)
    for line in lines:
        account = accounts.setdefault(line.key, _Account(skill_of(line.key)))
        match line.word:
            case "asked":
                account.asked += 1
                told["asked"] += 1
            case "begun":
                pass
            case "effect":
                account.effect(line)
            case "confirmed":
                account.confirm(line.what)
            case "done":
                account.done()
                told["done"] += 1
            case "garbled":
                account.answered += 1
                told["garbled"] += 1
            case "mistaken":
                account.answered += 1
                account.is_mistaken = True
            case "refused":
                account.refused(line.what)
                told[line.what] += 1
            case _:
                raise ValueError(line)
    unanswered = frozenset(key for key, account in accounts.items() if account.answered < account.asked)
    return Verdict(
        # What was confirmed, and of whose end nobody could be told: unless it was done after all, it is lost too.
        frozenset(
            key
            for key, account in accounts.items()
            if account.is_lost or (key in unanswered and account.confirmed and not account.effects)
        ),
        frozenset(key for key, account in accounts.items() if account.is_double),
        unanswered,
        frozenset(key for key, account in accounts.items() if account.is_mistaken),
        dict(told),
    )


class Ledger:
    """The pipe, by which handlers find it in their folder, and whoever reads it."""

    def __init__(self, folder: Path) -> None:
        path = folder / "ledger"
        os.mkfifo(path)
        # Open for both, so that it ends for nobody while a server is down.
        self._pipe = os.open(path, os.O_RDWR)
        self._lines: list[Line] = []
        self._changed = threading.Condition()
        self._closing = threading.Lock()
        self._is_closed = False
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._closing:
            self._is_closed = True
        os.write(self._pipe, b"end - - 0\n")
        self._reader.join()
        os.close(self._pipe)

    def note(self, word: str, key: str, what: str = "") -> None:
        """A caller's line; nothing once it is closed, for some callers are not waited for."""
        with self._closing:
            if not self._is_closed:
                os.write(self._pipe, f"{word} {key} {what or '-'} 0\n".encode())

    def lines(self) -> list[Line]:
        """What was written until now."""
        mark = os.urandom(8).hex()
        os.write(self._pipe, f"mark {mark} - 0\n".encode())
        with self._changed:
            self._changed.wait_for(lambda: any(line.key == mark for line in reversed(self._lines)))
            return [line for line in self._lines if line.word != "mark"]

    def wait_for(self, happened: Callable[[list[Line]], bool], seconds: float) -> None:
        """Waits until the lines are such; fails after so long."""
        with self._changed:
            assert self._changed.wait_for(lambda: happened(self._lines), seconds), "it does not come to pass"

    def _read(self) -> None:
        with open(self._pipe, "rb", closefd=False) as pipe:
            for text in pipe:
                word, key, what, run = text.decode().split()
                if word == "end":
                    return
                with self._changed:
                    self._lines.append(Line(word, key, what, int(run)))
                    self._changed.notify_all()

"""What the simulation has found, or was seen to find: each fault, a seed that finds it, and how it is put back."""

from __future__ import annotations

from attrs import frozen

__all__ = ["PAST", "Past"]


@frozen
class Past:
    """A fault of the core. `mended` stands in `file`, and with `faulty` in its place the fault is there again.

    A seed means something with the code of its time alone, so it is the fault that is kept: its seed is where the
    search for it begins. One `is_rare` that hundreds of seeds do not find when the code has changed.
    """

    name: str
    file: str
    mended: str
    faulty: str
    #: Where it was found, and what was said of it.
    seed: int
    says: str
    is_rare: bool = False

    def put_back(self, source: str) -> str:
        """The source of `file` with the fault in it."""
        if source.count(self.mended) != 1:
            raise ValueError(f"{self.file} has not got, or not once: {self.mended!r}; tell tests/simulation/past.py")
        return source.replace(self.mended, self.faulty)


PAST = (
    Past(
        "a key that stands for a run that may be tried again",
        "roles/running.py",
        "            job = evolve(job, slot=None)  # a retry is to run\n",
        "            pass\n",
        2,
        "whoever tries again is told no more than that",
    ),
    Past(
        "an answer that is not kept",
        "roles/answering.py",
        "(*record.answers, message)",
        "(message,)",
        1,
        "it was told something else before",
    ),
    Past(
        "a handler run again that must not be",
        "roles/working.py",
        "safe and lost < self._limits.task_runs:",
        "lost < self._limits.task_runs:",
        4,
        "time 2 after 0 answers",
    ),
    Past(
        "a task that kills its workers for ever",
        "roles/working.py",
        "safe and lost < self._limits.task_runs:",
        "safe:",
        12,
        "runs have come to no end",
    ),
    Past(
        "a depth that is not counted",
        "rules/nesting.py",
        "return check_depth(depth + 1, most=most)",
        "return check_depth(depth, most=most)",
        2,
        "is at depth 0, below 0",
    ),
    Past(
        "a task that nobody has in hand, for its store was away",
        "roles/keeping.py",
        "if now - since >= self._role.lease]:",
        "if False]:",
        41,
        "no end after",
    ),
    Past(
        "an end that is told and not kept, for its store was away",
        "roles/working.py",
        "pass  # it is written at leisure",
        "return Settled(member, None)",
        50,
        "is told",
    ),
    Past(
        "a nonce that is forgotten too early",
        "roles/judging.py",
        "NonceClaim(envelope.sender, nonce, now + self._limits.nonce_seconds)",
        "NonceClaim(envelope.sender, nonce, now + 1.0)",
        92,
        "a nonce was taken twice",
    ),
    Past(
        "a nonce that retries have in common",
        "roles/client.py",
        "nonce = {NONCE_EXTENSION: self._sources.tokens.nonce()}",
        "nonce = {NONCE_EXTENSION: envelope.id}",
        2,
        "InvalidNonce",
    ),
    Past(
        "a task cancelled that nobody wanted cancelled",
        "roles/running.py",
        "if isinstance(outcome, Cancelled) and self.record.cancel is None:",
        "if False:",
        92,
        "nobody has asked for that",
        is_rare=True,
    ),
    Past(
        "a lost run that goes on",
        "roles/keeping.py",
        "if record is not None and record.owner != self._role.worker and record.status is not _WAITING:",
        "if False:",
        240,
        "after it was to be cancelled, or was lost",
        is_rare=True,
    ),
    Past(
        "a run beside a newer one",
        "roles/running.py",
        "(found.owner, found.runs) != mine",
        "found.owner != mine[0]",
        693,
        "by a run that another has replaced",
        is_rare=True,
    ),
    Past(
        "a question where a cancel was due",
        "roles/running.py",
        "if record.cancel is not None:  # somebody asked for that meanwhile: it is not to wait for an answer",
        "if False:",
        286,
        "it was to be cancelled, not to wait",
        is_rare=True,
    ),
)

"""Walkers over the tables: whatever happens in whatever order, what must hold holds."""

from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest
from attrs import evolve
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from asap_proto.errors import IllegalMove, Overloaded
from asap_proto.limits import Limits
from asap_proto.model import StateSnapshot, Task, TaskStatus
from asap_proto.rules.breaker import Breaker
from asap_proto.rules.caching import Lifetime
from asap_proto.rules.lifecycle import is_final, may_cancel, may_move, move
from asap_proto.rules.quota import Allowed, parse_quota
from asap_proto.rules.slot import Busy, Fresh, Kept, Reused
from asap_proto.stores import (
    NEVER,
    Change,
    Job,
    KeptManifest,
    MemoryManifests,
    MemoryQuotas,
    MemoryState,
    NonceClaim,
    Refused,
    Slot,
    Started,
    TaskEvent,
    TaskRecord,
)
from asap_proto.wire.nouns import encode
from asap_testkit import NOW, echo_manifest, letter

SECONDS = st.floats(0, 100, allow_nan=False)
FEW = st.sampled_from("abcd")
KEYS = st.lists(FEW, min_size=1, max_size=2, unique=True).map(tuple)
REQUEST = letter()


class Timed(RuleBasedStateMachine):
    """A machine whose clock only moves on."""

    def __init__(self):
        super().__init__()
        self.now = 1000.0

    @rule(seconds=SECONDS)
    def wait(self, seconds):
        self.now += seconds


#: The moves of the protocol, typed in by hand (ASAP: task lifecycle).
LEGAL = {
    ("submitted", "working"), ("submitted", "cancelled"),
    ("working", "completed"), ("working", "failed"), ("working", "cancelled"), ("working", "input_required"),
    ("input_required", "working"), ("input_required", "cancelled"),
}  # fmt: skip


class LifecycleMachine(RuleBasedStateMachine):
    """A task that is told to go anywhere goes along the protocol's moves only, and stays where it ended."""

    def __init__(self):
        super().__init__()
        self.task = Task("t", "c", TaskStatus.SUBMITTED, NOW, NOW)
        self.path = [self.task.status]

    @rule(to=st.sampled_from(TaskStatus))
    def go(self, to):
        before = self.task
        is_legal = (before.status.value, to.value) in LEGAL
        assert may_move(before.status, to=to) is is_legal
        try:
            self.task = move(self.task, to=to, at=before.updated_at + timedelta(seconds=1))
        except IllegalMove:
            assert not is_legal
            assert self.task is before
        else:
            assert is_legal
            assert self.task == evolve(before, status=to, updated_at=self.task.updated_at)
            self.path.append(to)

    @invariant()
    def ended_once(self):
        over = ("completed", "failed", "cancelled")
        assert [status for status in self.path[:-1] if status.value in over] == []
        assert is_final(self.task.status) is (self.task.status.value in over)
        assert may_cancel(self.task.status) is (self.task.status.value not in over)
        assert self.task.updated_at == NOW + timedelta(seconds=len(self.path) - 1)


class BreakerMachine(Timed):
    """While it rests nobody is admitted; then one in each stretch as long, until one of them is answered.

    The model knows two numbers: failures in a row, and until when nobody is let in.
    """

    REST, THRESHOLD = 50.0, 3

    def __init__(self):
        super().__init__()
        self.breaker = Breaker(threshold=self.THRESHOLD, rest_seconds=self.REST)
        self.in_a_row = 0
        self.shut_until = None
        #: Who was let in and has not told how it went; one that was cancelled never does.
        self.out = 0
        #: When somebody was let in since it last shut.
        self.probes = []

    @rule()
    def ask(self):
        allowed, self.breaker = self.breaker.admit(self.now)
        assert allowed is (self.shut_until is None or self.now >= self.shut_until)
        self.out += allowed
        if allowed and self.shut_until is not None:
            self.shut_until = self.now + self.REST
            self.probes.append(self.now)

    @precondition(lambda self: self.out)
    @rule()
    def succeed(self):
        self.out -= 1
        self.in_a_row, self.shut_until, self.probes = 0, None, []
        self.breaker = self.breaker.succeeded()

    @precondition(lambda self: self.out)
    @rule()
    def fail(self):
        self.out -= 1
        self.in_a_row += 1
        if self.shut_until is not None or self.in_a_row >= self.THRESHOLD:
            self.shut_until = self.now + self.REST
        self.breaker = self.breaker.failed(self.now)

    @invariant()
    def says_what_the_model_says(self):
        assert (self.breaker.state == "closed") is (self.shut_until is None)
        assert self.breaker.failures == self.in_a_row
        assert self.breaker.open_until == (self.shut_until or 0.0)

    @invariant()
    def probes_are_apart(self):
        assert all(later - earlier >= self.REST for earlier, later in pairwise(self.probes))


class TasksMachine(Timed):
    """Against a model that forgets nothing: work never runs twice at once, and no reply is another's.

    A write that was overtaken is refused.
    """

    LIMITS = Limits(tasks=3, task_bytes=3 * 2048 + 60, nonces=4, task_events=3, task_snapshots=2)

    def __init__(self):
        super().__init__()
        self.store = MemoryState(self.LIMITS)
        self.count = 0
        #: By key: the record as it was last written, whatever became of it.
        self.slots = {}
        self.live = {}
        self.done = {}
        self.logs = {}
        self.nonces = {}
        #: Those that were begun straight on, and of which nobody has written since.
        self.started = set()

    def record(self, slot, size):
        self.count += 1
        job = Job(REQUEST.payload, REQUEST, f"task_{self.count:04d}", 0, None, "echo", slot, self.now, size)
        return TaskRecord(job, TaskStatus.WORKING, "w1", self.now + 60, self.now, events=1, runs=1)

    def is_held(self, record):
        """Whether its key still stands for it."""
        if record.id in self.live:
            return self.now < record.lease or not record.owner or record.status is TaskStatus.INPUT_REQUIRED
        return self.now < record.expires

    @rule(
        key=st.none() | FEW,
        digest=st.sampled_from([b"1", b"2"]),
        nonce=st.none() | FEW,
        size=st.sampled_from([1, 40, 2000]),
        straight=st.booleans(),
    )
    def accept(self, key, digest, nonce, size, straight):
        record = self.record(Slot("s", key, digest) if key else None, size)
        before = self.store.tasks()
        claim = NonceClaim("s", nonce, self.now + 60) if nonce else None
        event = TaskEvent(1, self.now, "status_change", TaskStatus.WORKING)
        if straight:
            answer = self.store.begin(Started(record.job, record.owner, record.lease), claim)
        else:
            answer = self.store.accept(record, claim, (event,), now=self.now)
        known = self.slots.get(key)
        known = known and (self.live.get(known) or self.done.get(known))
        held = known if known and self.is_held(known) else None
        seen = nonce in self.nonces and self.now < self.nonces[nonce]
        if isinstance(answer, Fresh):
            if known and not held:
                # Its worker was cut off: it made room for its retry.
                self.live.pop(known.id, None)
            # A finished task may be forgotten for want of room, but not that it has run.
            assert held is None
            assert not seen
            self.live[record.id] = record
            self.logs[record.id] = [1]
            if straight:
                self.started.add(record.id)
            if key:
                self.slots[key] = record.id
            if nonce:
                self.nonces[nonce] = self.now + 60
        elif isinstance(answer, Busy):
            assert (answer.task_id, held.job.slot.digest) == (held.id, digest)
            assert held.id in self.live
        elif isinstance(answer, Kept):
            assert (answer.task_id, answer.reply, held.job.slot.digest) == (held.id, held.reply, digest)
        elif isinstance(answer, Reused):
            assert held.job.slot.digest != digest
        elif answer.why == "forgotten":
            assert held.id in self.done
            assert self.store.read(held.id, now=self.now) is None
        elif answer.why == "repeated":
            assert seen
        elif answer.why == "nonces full":
            assert not seen
            assert sum(self.now < until for until in self.nonces.values()) == self.LIMITS.nonces
        else:
            assert answer.why == "tasks full"
            left = [kept for id, kept in self.store._live.items() if held or not known or id != known.id]
            room = self.LIMITS.task_bytes - sum(kept.size for kept in left)
            assert len(left) == self.LIMITS.tasks or 2048 + size > room
        if isinstance(answer, Refused):
            # Nothing went for it but what has expired.
            gone = {one.id for one in before} - {one.id for one in self.store.tasks()}
            assert all(self.now >= self.done[id].expires for id in gone)

    @precondition(lambda self: self.live)
    @rule(
        data=st.data(),
        status=st.sampled_from(TaskStatus),
        owner=st.sampled_from(["w1", ""]),
        stale=st.booleans(),
        free=st.booleans(),
    )
    def write(self, data, status, owner, stale, free):
        id = data.draw(st.sampled_from(sorted(self.live)))
        record = self.live[id]
        final = is_final(status)
        job = evolve(record.job, slot=None) if free and final else record.job
        after = evolve(
            record,
            job=job,
            status=status,
            owner=owner,
            version=record.version + (0 if stale else 1),
            events=record.events + 1,
            snapshots=record.snapshots + 1,
            expires=self.now + 60 if final else NEVER,
            reply=b"reply " + id.encode() if final else None,
        )
        event = TaskEvent(after.events, self.now, "status_change", status)
        snapshot = StateSnapshot(f"snap_{id}_{after.snapshots}", id, after.snapshots, {"n": after.snapshots}, NOW)
        try:
            assert self.store.write(Change(after, (event,), snapshot)) is not stale
        except Overloaded:
            # Half of what there is room for may wait: here one task, if it is no larger than its share.
            assert status is TaskStatus.INPUT_REQUIRED is not record.status
            waiting = [self.store._live[id].size for id in self.store._waiting]
            assert waiting or 2 * self.store._live[id].size > self.LIMITS.task_bytes
            self.started.discard(id)  # which was tried, at least
            return
        if stale:
            return
        self.started.discard(id)
        self.logs[id].append(after.events)
        if final:
            del self.live[id]
            self.done[id] = after
        else:
            self.live[id] = after
        if job.slot is None and record.job.slot is not None and self.slots.get(record.job.slot.key) == id:
            del self.slots[record.job.slot.key]

    @precondition(lambda self: self.live)
    @rule(data=st.data(), reply=st.sampled_from([b"", b"reply"]))
    def end(self, data, reply):
        """What ends without a word of it is over as if it had been written; what somebody wrote of is not touched."""
        id = data.draw(st.sampled_from(sorted(self.live)))
        record = self.live[id]
        expires = self.now + 60
        envelope = encode(record.job.envelope)
        assert self.store.end(record.job, envelope, reply, now=self.now, expires=expires) is (id in self.started)
        if id in self.started:
            told = {"updated": self.now, "version": 2, "expires": expires, "events": 2, "reply": reply}
            self.done[id] = evolve(self.live.pop(id), status=TaskStatus.COMPLETED, lease=0.0, **told)
            self.logs[id].append(2)

    @precondition(lambda self: self.done)
    @rule(data=st.data())
    def write_to_what_is_over(self, data):
        record = self.done[data.draw(st.sampled_from(sorted(self.done)))]
        after = evolve(record, version=record.version + 1, status=TaskStatus.WORKING)
        assert self.store.write(Change(after)) is False

    @rule(owner=st.sampled_from(["w1", "w2"]))
    def renew(self, owner):
        held = self.store.renew(owner, until=self.now + 60)
        assert held == {
            id: record.version
            for id, record in self.live.items()
            if record.owner == owner and record.status is not TaskStatus.INPUT_REQUIRED
        }
        for id in held:
            self.live[id] = evolve(self.live[id], lease=self.now + 60)

    @rule(owner=st.sampled_from(["w1", "w2"]), most=st.integers(0, 3))
    def take_over(self, owner, most):
        lost = [
            id
            for id, record in sorted(self.live.items())
            if record.lease <= self.now and record.status is not TaskStatus.INPUT_REQUIRED
        ]
        taken = self.store.take_over(owner, now=self.now, until=self.now + 60, most=most)
        assert [record.id for record in taken] == lost[:most]
        for record in taken:
            assert (record.owner, record.lease) == (owner, self.now + 60)
            assert record.version == self.live[record.id].version + 1
            self.live[record.id] = record
            self.started.discard(record.id)

    @rule()
    def forget(self):
        before = set(self.store._done)
        over = {id for id in before if self.done[id].expires <= self.now}
        assert self.store.forget(now=self.now) == len(over)
        assert set(self.store._done) == before - over

    @invariant()
    def what_runs_is_there(self):
        assert set(self.store._live) == set(self.live)
        for id, record in self.live.items():
            assert self.store.read(id, now=self.now) == record
            self.check_log(id, record)
        for id in self.store._done:
            record = self.store.read(id, now=self.now)
            assert record == (self.done[id] if self.now < self.done[id].expires else None)
            self.check_log(id, self.done[id])

    def check_log(self, id, record):
        numbers = [event.number for event in self.store.events(id, after=0, most=99)]
        assert numbers == self.logs[id][-self.LIMITS.task_events :]
        newest = self.store.snapshot(id)
        assert (newest.version if newest else 0) == record.snapshots
        kept = [n for n in range(1, record.snapshots + 1) if self.store.snapshot(id, n)]
        assert kept == list(range(1, record.snapshots + 1))[-self.LIMITS.task_snapshots :]

    @invariant()
    def bounded(self):
        store = self.store
        assert len(store._live) + len(store._done) <= self.LIMITS.tasks
        assert len(store._nonces) <= self.LIMITS.nonces
        kept = [*store._live.values(), *store._done.values()]
        assert store._bytes == sum(one.size for one in kept)
        assert store._done_bytes == sum(one.size for one in store._done.values())
        # What runs may grow beyond the bound; it is what is over that has to go then.
        assert store._bytes <= self.LIMITS.task_bytes or not store._done
        slots = {one.record.job.slot for one in kept} - {None}
        assert {(slot.caller, slot.key) for slot in slots} == set(store._slots)


class NoncesMachine(Timed):
    """A nonce is refused while it lives, or while there is no room, and otherwise never; what is over is found.

    Those that are over are looked for little by little, and that must not show.
    """

    LIMITS = Limits(nonces=7, nonces_each=4, nonce_seconds=60.0)

    def __init__(self):
        super().__init__()
        self.store = MemoryState(self.LIMITS)
        self.until = {}

    def live(self, sender=None):
        return [key for key, until in self.until.items() if self.now < until and sender in (None, key[0])]

    @rule(sender=st.sampled_from("ab"), nonces=st.lists(st.sampled_from("abcdefghijkl"), min_size=1, unique=True))
    def claim(self, sender, nonces):
        until = self.now + self.LIMITS.nonce_seconds
        for nonce in nonces:
            answer = self.store.accept(None, NonceClaim(sender, nonce, until), (), now=self.now)
            if (sender, nonce) in self.live():
                assert answer == Refused("repeated")
            elif len(self.live()) == self.LIMITS.nonces or len(self.live(sender)) == self.LIMITS.nonces_each:
                assert answer == Refused("nonces full")
            else:
                assert answer == Fresh()
                self.until[sender, nonce] = until

    @rule()
    def forget(self):
        self.store.forget(now=self.now)
        assert len(self.store._nonces) == len(self.live())
        assert sorted(key for key, _ in self.store._nonces._order) == sorted(self.live())
        assert {key: n for table in self.store._nonces._senders for key, n in table.items()} == Counter(
            sender for sender, _ in self.live()
        )

    @invariant()
    def bounded(self):
        assert len(self.live()) <= len(self.store._nonces) <= self.LIMITS.nonces


class QuotasMachine(Timed):
    """In no stretch of time does a caller get more than its buckets held and what flowed in, and no less either.

    What it is told to wait is exact: a moment less is refused again. Others' buckets are their own.
    """

    MOMENT = 1e-3

    def __init__(self):
        super().__init__()
        self.store = MemoryQuotas(parse_quota("5/second;20/minute"))
        self.spent = {caller: [] for caller in ("urn:asap:agent:a", "urn:asap:agent:b", "192.0.2.1")}

    def model(self, caller, count, seconds):
        """What a bucket holds that was full at first, by all that was ever taken out of it."""
        level, at = float(count), 1000.0
        for when, cost in self.spent[caller]:
            level = min(count, level + (when - at) * count / seconds) - cost
            at = when
        return min(count, level + (self.now - at) * count / seconds)

    @rule(caller=st.sampled_from(["urn:asap:agent:a", "urn:asap:agent:b", "192.0.2.1"]), cost=st.integers(1, 6))
    def spend(self, caller, cost):
        levels = [self.model(caller, 5, 1), self.model(caller, 20, 60)]
        answer = self.store.spend(caller, cost, now=self.now)
        if isinstance(answer, Allowed):
            assert min(levels) >= cost - self.MOMENT
            self.spent[caller].append((self.now, cost))
            return
        assert min(levels) < cost
        if cost > 5:
            return
        assert answer.seconds == pytest.approx(
            max((cost - levels[0]) / 5, (cost - levels[1]) * 60 / 20), abs=self.MOMENT
        )
        if answer.seconds > self.MOMENT:
            self.now += answer.seconds - self.MOMENT
            assert not isinstance(self.store.spend(caller, cost, now=self.now), Allowed)
        self.now += 2 * self.MOMENT
        assert isinstance(self.store.spend(caller, cost, now=self.now), Allowed)
        self.spent[caller].append((self.now, cost))

    @invariant()
    def within_each_rate(self):
        for spent in self.spent.values():
            for count, seconds in ((5, 1), (20, 60)):
                for index, (start, _) in enumerate(spent):
                    total = sum(cost for _, cost in spent[index:])
                    assert total <= count + (self.now - start) * count / seconds + 1e-3


class ManifestsMachine(Timed):
    """Against a list of all that was ever kept: nothing old serves, nothing dropped comes back, no bound is passed.

    What makes room is what was not looked up for longest.
    """

    MOST, MOST_BYTES = 3, 4 * 2048 - 1000

    def __init__(self):
        super().__init__()
        self.store = MemoryManifests(most=self.MOST, most_bytes=self.MOST_BYTES)
        #: What is held, by key, in the order in which it was last looked up.
        self.model = {}
        self.looked = self.served = 0

    @rule(
        keys=KEYS,
        size=st.sampled_from([0, 100, 900, 9000]),
        fresh=st.sampled_from([0.0, 20.0, 60.0]),
        stale=st.sampled_from([0.0, 40.0]),
        is_kept=st.booleans(),
    )
    def keep(self, keys, size, fresh, stale, is_kept):
        entry = KeptManifest(echo_manifest(), b" " * size, None, Lifetime(fresh, stale, is_kept), self.now)
        self.store.keep(keys[0], entry, instead_of=keys)
        for key in keys:
            self.model.pop(key, None)
        if is_kept and size + 2048 <= self.MOST_BYTES:
            self.model[keys[0]] = entry
        while len(self.model) > self.MOST or self.bytes() > self.MOST_BYTES:
            del self.model[next(iter(self.model))]

    @rule(keys=KEYS, stale=st.booleans())
    def look(self, keys, stale):
        self.looked += 1
        found = self.store.look(keys, self.now, stale=stale)
        for key in keys:
            held = self.model.get(key)
            if held is None:
                continue
            age = self.now - held.since
            rests = stale and age < held.lifetime.fresh + held.lifetime.stale and self.now < held.rests_until
            if age < held.lifetime.fresh or rests:
                assert found is held.manifest
                self.model[key] = self.model.pop(key)
                self.served += 1
                return
        assert found is None

    @rule(keys=KEYS, seconds=SECONDS)
    def rest(self, keys, seconds):
        held = self.store.find(keys)
        assert held == next((self.model[key] for key in keys if key in self.model), None)
        if held is not None:
            self.looked += 1
            self.served += 1
            self.store.rest(keys, held, self.now + seconds)
            key = next(key for key in keys if key in self.model)
            self.model[key] = evolve(held, rests_until=self.now + seconds)

    @rule(keys=KEYS)
    def drop(self, keys):
        held = [key for key in keys if self.model.pop(key, None) is not None]
        assert self.store.drop(keys) == bool(held)

    @invariant()
    def counts(self):
        counts = self.store.counts()
        assert (counts.entries, counts.bytes) == (len(self.model), self.bytes())
        assert (counts.hits + counts.stale, counts.misses) == (self.served, self.looked - self.served)

    def bytes(self):
        return sum(2048 + len(entry.body) for entry in self.model.values())


TestLifecycle = LifecycleMachine.TestCase
TestBreaker = BreakerMachine.TestCase
TestTasks = TasksMachine.TestCase
TestNonces = NoncesMachine.TestCase
TestQuotas = QuotasMachine.TestCase
TestManifests = ManifestsMachine.TestCase


@pytest.mark.parametrize(
    "machine", [LifecycleMachine, BreakerMachine, TasksMachine, NoncesMachine, QuotasMachine, ManifestsMachine]
)
def test_each_machine_says_what_must_hold(machine):
    """A walker without a docstring proves nobody knows what."""
    assert machine.__doc__

"""Walkers over the tables: whatever happens in whatever order, what must hold holds."""

from datetime import timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from asap_proto.errors import IllegalMove
from asap_proto.limits import Limits
from asap_proto.model import Task, TaskStatus
from asap_proto.rules.breaker import Breaker
from asap_proto.rules.lifecycle import MOVES, is_final, move
from asap_proto.rules.quota import Allowed, parse_quota
from asap_proto.rules.slot import Busy, Fresh, Kept, Reused
from asap_proto.stores import MemoryNonces, MemoryQuotas, MemorySlots
from asap_testkit import NOW

SECONDS = st.floats(0, 100, allow_nan=False)
FEW = st.sampled_from("abcd")


class Timed(RuleBasedStateMachine):
    """A machine whose clock only moves on."""

    def __init__(self):
        super().__init__()
        self.now = 1000.0

    @rule(seconds=SECONDS)
    def wait(self, seconds):
        self.now += seconds


class LifecycleMachine(RuleBasedStateMachine):
    """A task that is told to go anywhere goes along the table only, and stays where it ended."""

    def __init__(self):
        super().__init__()
        self.task = Task("t", "c", TaskStatus.SUBMITTED, NOW, NOW)
        self.path = [self.task.status]

    @rule(to=st.sampled_from(TaskStatus))
    def go(self, to):
        before = self.task
        try:
            self.task = move(self.task, to=to, at=before.updated_at + timedelta(seconds=1))
        except IllegalMove:
            assert to not in MOVES[before.status]
            assert self.task is before
        else:
            self.path.append(to)

    @invariant()
    def ended_once(self):
        assert not any(is_final(status) for status in self.path[:-1])
        assert self.task.updated_at == NOW + timedelta(seconds=len(self.path) - 1)


class BreakerMachine(Timed):
    """While it rests nobody is admitted; while it probes, one."""

    def __init__(self):
        super().__init__()
        self.breaker = Breaker(threshold=3, rest_seconds=50.0)
        self.out = 0
        self.in_a_row = 0

    @rule()
    def ask(self):
        state, until = self.breaker.state, self.breaker.open_until
        allowed, self.breaker = self.breaker.admit(self.now)
        assert allowed == (state == "closed" or self.now >= until)
        assert (self.breaker.state == "probing") == ((allowed and state != "closed") or state == "probing")
        self.out += allowed

    @precondition(lambda self: self.out)
    @rule()
    def succeed(self):
        self.out -= 1
        self.in_a_row = 0
        self.breaker = self.breaker.succeeded()
        assert self.breaker.state == "closed"

    @precondition(lambda self: self.out)
    @rule()
    def fail(self):
        self.out -= 1
        self.in_a_row += 1
        probing = self.breaker.state != "closed"
        self.breaker = self.breaker.failed(self.now)
        assert (self.breaker.state == "open") == (probing or self.in_a_row >= 3)

    @invariant()
    def counts(self):
        assert self.breaker.failures == self.in_a_row
        assert self.breaker.open_until <= self.now + 50.0


class SlotsMachine(Timed):
    """Against a model that forgets nothing: a reply is never another's, and work never runs twice at once."""

    def __init__(self):
        super().__init__()
        self.store = MemorySlots(Limits(slots=3, slot_bytes=20))
        self.running = {}
        self.replies = {}

    @rule(key=FEW, digest=st.sampled_from([b"1", b"2"]))
    def open(self, key, digest):
        answer = self.store.open(("s", key), digest, now=self.now, until=self.now + 60)
        live = self.running.get(key)
        live = live if live and self.now < live[1] else None
        if isinstance(answer, Fresh):
            assert live is None
            self.running[key] = (digest, self.now + 60)
            self.replies.pop(key, None)
        elif isinstance(answer, Kept):
            kept_digest, reply, until = self.replies[key]
            assert (kept_digest, reply) == (digest, answer.reply)
            assert self.now < until
        elif isinstance(answer, Reused):
            assert digest != (live or self.replies[key])[0]
        else:
            alive = sum(self.now < until for _, until in self.running.values())
            assert answer == Busy()
            assert (live and live[0] == digest) or alive >= 3

    @precondition(lambda self: self.running)
    @rule(data=st.data(), size=st.integers(0, 30))
    def keep(self, data, size):
        key = data.draw(st.sampled_from(sorted(self.running)))
        digest, _ = self.running.pop(key)
        reply = key.encode() * size
        self.store.keep(("s", key), reply, until=self.now + 60)
        self.replies[key] = (digest, reply, self.now + 60)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def free(self, data):
        key = data.draw(st.sampled_from(sorted(self.running)))
        del self.running[key]
        self.store.free(("s", key))

    @invariant()
    def bounded(self):
        assert len(self.store._busy) + len(self.store._kept) <= 3
        assert sum(len(slot.reply) for slot in self.store._kept.values()) == self.store._bytes <= 20
        assert not self.store._busy.keys() & self.store._kept.keys()


class NoncesMachine(Timed):
    """No nonce is claimed twice while it is remembered, and no more are held than may be."""

    def __init__(self):
        super().__init__()
        self.store = MemoryNonces(Limits(nonces=3))
        self.claimed = {}

    @rule(sender=st.sampled_from("xy"), nonce=FEW)
    def claim(self, sender, nonce):
        answer = self.store.claim(sender, nonce, now=self.now, until=self.now + 60)
        live = {key for key, until in self.claimed.items() if self.now < until}
        if answer == "claimed":
            assert (sender, nonce) not in live
            self.claimed[sender, nonce] = self.now + 60
        elif answer == "repeated":
            assert (sender, nonce) in live
        else:
            assert (sender, nonce) not in live
            # Two are forgotten at each claim: of three, one that is over may still stand there.
            assert len(live) >= 2

    @invariant()
    def bounded(self):
        assert len(self.store._until) <= 3


class QuotasMachine(Timed):
    """In no stretch of time does a caller get more than its buckets held and what flowed in."""

    def __init__(self):
        super().__init__()
        self.store = MemoryQuotas(parse_quota("5/second;20/minute"))
        self.spent = []

    @rule(cost=st.integers(1, 6))
    def spend(self, cost):
        answer = self.store.spend("a", cost, now=self.now)
        if answer == Allowed():
            self.spent.append((self.now, cost))
        elif cost <= 5:
            assert answer.seconds > 0
            assert self.store.spend("a", cost, now=self.now + answer.seconds + 1e-6) == Allowed()
            self.now += answer.seconds + 1e-6
            self.spent.append((self.now, cost))

    @invariant()
    def within_each_rate(self):
        for count, seconds in ((5, 1), (20, 60)):
            for index, (start, _) in enumerate(self.spent):
                total = sum(cost for at, cost in self.spent[index:])
                assert total <= count + (self.now - start) * count / seconds + 1e-3


TestLifecycle = LifecycleMachine.TestCase
TestBreaker = BreakerMachine.TestCase
TestSlots = SlotsMachine.TestCase
TestNonces = NoncesMachine.TestCase
TestQuotas = QuotasMachine.TestCase


@pytest.mark.parametrize("machine", [LifecycleMachine, BreakerMachine, SlotsMachine, NoncesMachine, QuotasMachine])
def test_each_machine_says_what_must_hold(machine):
    """A walker without a docstring proves nobody knows what."""
    assert machine.__doc__

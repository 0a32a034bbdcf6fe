"""Who has which connection, and who waits: a table, walked at random and looked at after each step."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from asap_adapters._shared.http1.pool import Pool
from asap_proto import Limits

LIMITS = Limits(pool_connections=2, pool_maxsize=3, pool_timeout=5.0, pool_idle_seconds=10.0)


def opened(pool, *names):
    """Connections, each in its place."""
    for name in names:
        assert pool.claim()
        pool.opened(name)


def test_the_connection_used_last_is_used_next():
    """The others become idle for so long that they are closed."""
    pool = Pool(LIMITS)
    opened(pool, "a", "b")
    pool.give("a", 1.0)
    pool.give("b", 2.0)
    assert pool.take(3.0) == "b"
    assert pool.take(3.0) == "a"
    assert pool.take(3.0) is None


def test_more_idle_ones_than_are_kept_are_closed():
    """The one that was used the longest ago."""
    pool = Pool(LIMITS)
    opened(pool, "a", "b", "c")
    for name in "abc":
        pool.give(name, 1.0)
    assert (pool.dropped, pool.idle, pool.places) == (["a"], 2, 2)


def test_no_more_are_open_than_may_be():
    """Whoever comes then waits."""
    pool = Pool(LIMITS)
    opened(pool, "a", "b", "c")
    assert not pool.claim()
    pool.lose("a")
    assert pool.claim()


def test_an_idle_connection_has_its_time():
    """Exactly so old it is still used; a moment more, and it is closed, whether it is looked for or not."""
    pool = Pool(LIMITS)
    opened(pool, "a", "b")
    pool.give("a", 0.0)
    assert pool.take(10.0) == "a"
    pool.give("a", 0.0)
    assert pool.take(10.1) is None
    assert pool.dropped == ["a"]
    opened(pool, "c")
    pool.give("b", 0.0)
    pool.give("c", 10.1)
    assert (pool.dropped, pool.idle, pool.places) == (["a", "b"], 1, 1)


def test_first_come_first_served():
    """A connection, or the place of one that is gone, goes to whoever waits for longest, and to nobody who left."""
    pool = Pool(LIMITS)
    opened(pool, "a", "b", "c")
    for name in ("first", "second", "third"):
        pool.wait(name, 0.0)
    pool.leave("second")
    assert pool.give("a", 1.0) == "first"
    assert pool.lose("b") == "third"
    assert (pool.places, pool.waiting) == (3, 0)


def test_who_is_gone_is_passed_over():
    """It could not say so yet."""
    pool = Pool(LIMITS, {"first"}.__contains__)
    opened(pool, "a")
    pool.wait("first", 0.0)
    pool.wait("second", 0.0)
    assert pool.give("a", 1.0) == "second"


def test_who_has_waited_for_too_long():
    """They give up in the order in which they came, at their time, and not before."""
    pool = Pool(LIMITS)
    pool.wait("first", 0.0)
    pool.wait("second", 1.0)
    assert pool.due() == 5.0
    assert pool.give_up(4.9) == []
    assert pool.give_up(5.0) == ["first"]
    assert pool.give_up(6.0) == ["second"]
    assert pool.due() is None


def test_a_connection_that_is_closed_while_idle():
    """Its place is free, once."""
    pool = Pool(LIMITS)
    opened(pool, "a")
    assert not pool.forget("a")
    pool.give("a", 0.0)
    assert pool.forget("a")
    assert not pool.forget("a")
    assert (pool.places, pool.idle) == (0, 0)


def test_another_in_its_place():
    """Whoever lost a connection keeps its place, past those who wait."""
    pool = Pool(LIMITS)
    opened(pool, "a", "b", "c")
    pool.wait("first", 0.0)
    pool.replace("a")
    assert pool.places == 3
    pool.opened("d")
    assert pool.give("d", 1.0) == "first"


def test_what_is_given_back_after_the_end_is_closed():
    """And what was idle then, at once."""
    pool = Pool(LIMITS)
    opened(pool, "a", "b", "c")
    pool.give("a", 0.0)
    pool.wait("first", 0.0)
    busy, waiting = pool.close()
    assert (sorted(busy), waiting) == (["b", "c"], ["first"])
    assert pool.give("b", 1.0) is None
    assert pool.lose("c") is None
    assert sorted(pool.dropped) == ["a", "b"]
    assert pool.places == 0


class PoolWalk(RuleBasedStateMachine):
    """Connections are made, used, lost and closed, and waiters come and go, in any order."""

    def __init__(self):
        super().__init__()
        self.gone = set()
        self.pool = Pool(LIMITS, self.gone.__contains__)
        self.now = 0.0
        self.number = 0
        self.busy, self.opening, self.waiting = [], [], []

    def one_more(self):
        self.number += 1
        return self.number

    def served(self, waiter, connection):
        """Whoever has waited for longest has it now."""
        if waiter is None:
            assert not [each for each in self.waiting if each not in self.gone]
            self.waiting.clear()
            return
        while self.waiting[0] in self.gone:
            self.waiting.pop(0)
        assert waiter == self.waiting.pop(0)
        if connection is None:
            self.opening.append(waiter)
        else:
            self.busy.append(connection)

    @rule(seconds=st.sampled_from([0.0, 1.0, 6.0, 11.0]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def somebody_comes(self):
        if (found := self.pool.take(self.now)) is not None:
            assert found not in self.busy
            self.busy.append(found)
        elif self.pool.claim():
            self.opening.append(self.one_more())
        else:
            waiter = self.one_more()
            self.pool.wait(waiter, self.now)
            self.waiting.append(waiter)

    @precondition(lambda self: self.opening)
    @rule(comes_about=st.booleans(), data=st.data())
    def it_is_opened(self, comes_about, data):
        self.opening.remove(data.draw(st.sampled_from(self.opening)))
        if comes_about:
            connection = self.one_more()
            self.pool.opened(connection)
            self.busy.append(connection)
        else:
            self.served(self.pool.vacate(), None)

    @precondition(lambda self: self.busy)
    @rule(how=st.sampled_from(["give", "lose", "replace"]), data=st.data())
    def an_exchange_is_over(self, how, data):
        connection = data.draw(st.sampled_from(self.busy))
        self.busy.remove(connection)
        if how == "give":
            self.served(self.pool.give(connection, self.now), connection)
        elif how == "lose":
            self.served(self.pool.lose(connection), None)
        else:
            self.pool.replace(connection)
            self.opening.append(connection)

    @precondition(lambda self: self.waiting)
    @rule(has_said_so=st.booleans(), data=st.data())
    def somebody_goes(self, has_said_so, data):
        waiter = data.draw(st.sampled_from(self.waiting))
        if has_said_so:
            self.waiting.remove(waiter)
            self.pool.leave(waiter)
        else:
            self.gone.add(waiter)

    @rule()
    def patience_ends(self):
        for waiter in self.pool.give_up(self.now):
            assert waiter == self.waiting.pop(0)

    @invariant()
    def the_books_are_right(self):
        assert self.pool.places == len(self.busy) + len(self.opening) + self.pool.idle
        assert self.pool.places <= LIMITS.pool_maxsize
        assert self.pool.idle <= LIMITS.pool_connections
        assert not (self.pool.idle and self.pool.waiting)
        assert not self.pool.waiting or self.pool.places == LIMITS.pool_maxsize


PoolWalk.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_whatever_happens_the_books_are_right = PoolWalk.TestCase

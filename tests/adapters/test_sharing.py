"""One story told for all who ask for it at the same time, whatever becomes of the one who tells it."""

import threading

import anyio
import pytest
from anyio.lowlevel import checkpoint

from asap_adapters._awaiting.sharing import tell_once
from asap_adapters._shared.manifests import ManifestCache
from asap_adapters.sync.sharing import tell_once as tell_once_in_threads
from asap_proto.errors import PeerUnreachable
from asap_proto.roles import Pause, Shared
from asap_proto.roles.steps import ask
from scenarios.fronts import holds


class Stories:
    """Stories that pause once, and say which of them was told."""

    def __init__(self, error=None):
        self.begun, self.ended = [], []
        self.error = error

    def story(self, name):
        self.begun.append(name)
        try:
            yield from ask(Pause(1.0))
            if self.error is not None:
                raise self.error
        finally:
            self.ended.append(name)
        return name

    def shared(self, name, key="key"):
        return Shared(key, self.story(name))


def test_who_is_cut_off_hands_over_to_one_who_waits(runtime):
    """The others wait for that one, and nobody fails; afterwards nothing is remembered of it."""

    async def main():
        stories, flights, outcomes = Stories(), {}, []
        gate = anyio.Event()

        async def perform(_):
            await gate.wait()

        async def ask_for(name, scope):
            with scope:
                outcomes.append((name, await tell_once(flights, stories.shared(name), perform)))

        scopes = {name: anyio.CancelScope() for name in "abcd"}
        async with anyio.create_task_group() as group:
            for name in "abcd":
                group.start_soon(ask_for, name, scopes[name])
                await anyio.wait_all_tasks_blocked()
            scopes["b"].cancel()
            scopes["a"].cancel()
            await anyio.wait_all_tasks_blocked()
            assert stories.ended == ["a"]
            (second,) = stories.begun[1:]
            gate.set()
        assert sorted(outcomes) == [("c", second), ("d", second)]
        assert flights == {}

    runtime.run(main)


def test_what_fails_fails_for_all(runtime):
    """The error is their answer; what is no error of an exchange is raised by each, for its own story."""

    async def main():
        flights, told = {}, []

        async def perform(_):
            await checkpoint()

        async def ask_for(stories):
            try:
                told.append(await tell_once(flights, stories.shared("a"), perform))
            except ZeroDivisionError as error:
                told.append(error)

        refused = PeerUnreachable("gone")
        for error, begun in ((refused, 1), (ZeroDivisionError(), 3)):
            stories = Stories(error)
            told.clear()
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(ask_for, stories)
            assert told == [error] * 3
            assert len(stories.begun) == begun
            assert flights == {}

    runtime.run(main)


def test_stories_of_other_keys_are_told_side_by_side(runtime):
    """Nobody waits for what somebody else has asked."""

    async def main():
        stories, flights, told = Stories(), {}, []

        async def perform(_):
            await anyio.wait_all_tasks_blocked()

        async def ask_for(name):
            told.append(await tell_once(flights, stories.shared(name, key=name), perform))

        async with anyio.create_task_group() as group:
            for name in "ab":
                group.start_soon(ask_for, name)
        assert sorted(told) == ["a", "b"]

    runtime.run(main)


def test_event_loops_that_share_a_cache_do_not_wait_for_each_other():
    """What one of them holds no other can be woken by: each tells its own."""
    stories, flights, told = Stories(), {}, []
    inside = threading.Barrier(2)

    async def perform(_):
        await anyio.to_thread.run_sync(inside.wait, 10)

    async def main(name):
        told.append(await tell_once(flights, stories.shared(name), perform))

    threads = [
        threading.Thread(target=anyio.run, args=(main, backend), kwargs={"backend": backend})
        for backend in ("asyncio", "trio")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["asyncio", "trio"]
    assert flights == {}


class Joined(dict):
    """Says which flight each of those who asked has joined, or begun."""

    def __init__(self):
        super().__init__()
        self.flights = []

    def setdefault(self, key, default=None):
        flight = super().setdefault(key, default)
        self.flights.append(flight)
        return flight


class CutOff(BaseException):
    """As Ctrl-C is."""


@pytest.mark.parametrize("ending", [None, PeerUnreachable("gone")])
def test_a_thread_that_is_cut_off_hands_over_to_one_that_waits(ending):
    """The others wait for that one."""
    manifests, stories, outcomes = ManifestCache(), Stories(ending), []
    manifests.flights = joined = Joined()
    entered, cut, gate = threading.Event(), threading.Event(), threading.Event()

    def perform_first(_):
        entered.set()
        assert cut.wait(10)
        raise CutOff

    def perform(_):
        assert gate.wait(10)

    def ask_for(name, perform):
        turn = threading.Lock()
        try:
            outcomes.append(tell_once_in_threads(manifests, stories.shared(name), perform, turn))
        except CutOff:
            outcomes.append("cut off")

    first = threading.Thread(target=ask_for, args=("a", perform_first))
    first.start()
    assert entered.wait(10)
    others = [threading.Thread(target=ask_for, args=(name, perform)) for name in "bcd"]
    for thread in others:
        thread.start()
    holds(lambda: len(joined.flights) == 4)
    cut.set()
    first.join()
    holds(lambda: len(joined.flights) == 7)
    gate.set()
    for thread in others:
        thread.join()
    (outcome,) = set(outcomes) - {"cut off"} if ending is None else {ending}
    assert outcomes[0] == "cut off"
    assert outcomes[1:] == [outcome] * 3
    assert manifests.flights == {}


def test_what_a_store_raises_costs_no_more_than_a_fetch(caplog):
    """It is written down, and nothing was there."""

    class Broken:
        def load(self, name):
            raise OSError("disk on fire")

        def save(self, name, record):
            raise OSError("disk on fire")

    manifests = ManifestCache(Broken())
    assert manifests.survives
    assert manifests.recall("name") is None
    manifests.save("name", b"record")
    assert [record.message.count("disk on fire") for record in caplog.records] == [1, 1]
    without = ManifestCache()
    assert not without.survives
    assert without.recall("name") is None
    without.save("name", b"record")

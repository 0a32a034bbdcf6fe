"""Many at once, of which some wait: each is begun once, in order, and has nothing of another's."""

import contextvars

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asap_adapters._awaiting.drive import side_by_side


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(waits=st.lists(st.integers(0, 3), max_size=20), most=st.integers(1, 5))
def test_each_is_begun_once_in_order_and_so_many_wait_at_most(runtime, waits, most):
    """Whichever of them wait, and for how long."""
    begun, waiting, seen = [], set(), []

    async def wait(index):
        waiting.add(index)
        seen.append(len(waiting))
        for _ in range(waits[index]):
            await checkpoint()
        waiting.remove(index)
        return -index

    def begin(index):
        begun.append(index)
        return wait(index) if waits[index] else -index

    async def main():
        return await side_by_side(begin, len(waits), most)

    assert runtime.run(main) == [-index for index in range(len(waits))]
    assert begun == [*range(len(waits))]
    assert max(seen, default=0) <= most


def test_one_that_waits_holds_up_no_other(runtime):
    """As long as fewer wait than may."""

    async def main():
        opened, told = anyio.Event(), []

        async def wait():
            await opened.wait()
            return "waited"

        def begin(index):
            if index == 0:
                return wait()
            told.append(index)
            if index == 9:
                opened.set()
            return index

        assert await side_by_side(begin, 10, 2) == ["waited", *range(1, 10)]
        assert told == [*range(1, 10)]

    runtime.run(main)


def test_what_one_raises_cuts_off_the_others(runtime):
    """None of them goes on with nobody waiting for it, and none is begun any more."""

    async def main():
        ended = []

        async def wait(index):
            try:
                await (checkpoint() if index == 1 else anyio.sleep_forever())
            finally:
                ended.append(index)
            raise ValueError

        with pytest.raises(BaseExceptionGroup) as raised:
            await side_by_side(wait, 10, 3)
        assert raised.group_contains(ValueError)
        assert sorted(ended) == [0, 1, 2]

    runtime.run(main)


@pytest.mark.parametrize("most", [1, 3])
def test_nothing_that_one_sets_in_its_context_is_there_in_another(runtime, most):
    """Neither before it waits nor after; it can take it back, and whoever waits for all of them sees nothing of it."""
    known = contextvars.ContextVar("known", default="nobody")

    async def wait(index, token):
        await checkpoint()
        assert known.get() == index
        known.reset(token)
        assert known.get() == "nobody"
        known.set("later")
        await checkpoint()
        return known.get()

    def begin(index):
        assert known.get() == "nobody"
        token = known.set(index)
        return wait(index, token) if index % 2 else "at once"

    async def main():
        assert await side_by_side(begin, 6, most) == ["at once", "later"] * 3
        assert known.get() == "nobody"

    runtime.run(main)

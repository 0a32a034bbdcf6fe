"""Threads of an event loop: how many there are, what waits for them, and what becomes of one that is left alone."""

import asyncio
import contextvars
import threading

import pytest

from asap_adapters.cli.threads import CutOff, Threads

NAME = "asap-test"
WORD = contextvars.ContextVar("word", default="none")


def there():
    return [thread for thread in threading.enumerate() if thread.name == NAME]


def with_threads(story, most=1, **options):
    async def tell():
        threads = Threads(most, NAME, **options)
        try:
            return await asyncio.wait_for(story(threads), 10)
        finally:
            threads.end()

    result = asyncio.run(tell())
    for thread in there():
        thread.join(10)
    assert not there()
    return result


def test_what_is_returned_and_raised():
    """Both reach whoever waits, from threads that end when they are told to."""

    async def story(threads):
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 // 0)
        return [await threads.run(divmod, number, 7) for number in (7, 8)]

    assert with_threads(story) == [(1, 0), (1, 1)]


def test_as_many_at_once_as_there_may_be():
    """Where each waits for the others another one comes, up to the most; what is beyond waits for its turn."""
    barrier, most = threading.Barrier(3), 0

    def meet():
        nonlocal most
        barrier.wait(10)
        most = max(most, len(there()))
        barrier.wait(10)

    async def story(threads):
        await asyncio.gather(*(threads.run(meet) for _ in range(9)))

    with_threads(story, 3)
    assert most == 3


def test_what_is_set_for_one_is_unknown_to_the_next():
    """Each has the context of whoever asks, and keeps its own changes of it."""

    async def story(threads):
        WORD.set("mine")
        await threads.run(WORD.set, "other")
        return await threads.run(WORD.get)

    assert with_threads(story) == "mine"


def test_nobody_waits_for_what_has_not_begun():
    """It is not done at all, as whoever asked is gone."""
    done, begun, held = [], threading.Event(), threading.Event()

    async def story(threads):
        first = asyncio.ensure_future(threads.run(lambda: (begun.set(), held.wait(10))))
        await asyncio.to_thread(begun.wait, 10)
        second = asyncio.ensure_future(threads.run(done.append, "second"))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        held.set()
        await first
        await threads.run(done.append, "third")

    with_threads(story)
    assert done == ["third"]


@pytest.mark.parametrize("keeps_place", [False, True])
def test_a_thread_that_is_left_alone(keeps_place):
    """It goes on to its end, beside the others, or in its place."""
    begun, held, ended = threading.Event(), threading.Event(), threading.Event()

    def hold():
        begun.set()
        held.wait(10)
        ended.set()

    async def story(threads):
        call = threads.begin(hold)
        await asyncio.to_thread(begun.wait, 10)
        call.cut_off()
        with pytest.raises(CutOff):
            await threads.outcome(call)
        assert call.begun
        next_one = threads.begin(held.is_set)
        if keeps_place:
            held.set()
        assert await threads.outcome(next_one) is keeps_place
        held.set()
        await asyncio.to_thread(ended.wait, 10)
        return await threads.run(ended.is_set)

    assert with_threads(story, keeps_place=keeps_place)


def test_threads_that_are_told_to_end_at_work():
    """They end once they are done; what is asked then has a thread of its own."""
    begun, held = threading.Event(), threading.Event()

    async def story(threads):
        first = threads.begin(lambda: (begun.set(), held.wait(10)))
        await asyncio.to_thread(begun.wait, 10)
        threads.end()
        assert await threads.run(held.is_set) is False
        held.set()
        return await threads.outcome(first)

    assert with_threads(story) == (None, True)


def test_a_loop_that_is_no_more():
    """The thread ends all the same, and says nothing."""
    begun, held = threading.Event(), threading.Event()
    threads = Threads(1, NAME)

    async def story():
        threads.begin(lambda: (begun.set(), held.wait(10)))
        await asyncio.to_thread(begun.wait, 10)

    asyncio.run(story())
    threads.end()
    held.set()
    for thread in there():
        thread.join(10)
    assert not there()


def test_a_system_without_more_threads(monkeypatch):
    """Those that are there do it; where there are none it is said, and tried anew the next time."""
    begun, held = threading.Event(), threading.Event()
    start = threading.Thread.start

    def refuse(thread):
        if thread.name == NAME:
            raise RuntimeError("can't start new thread")
        start(thread)

    async def story(threads):
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError):
                await threads.run(held.is_set)
        first = threads.begin(lambda: (begun.set(), held.wait(10)))
        await asyncio.to_thread(begun.wait, 10)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            second = threads.begin(held.is_set)
        held.set()
        await threads.outcome(first)
        return await threads.outcome(second)

    assert with_threads(story, 2)

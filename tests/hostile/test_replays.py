"""The same request, from many at the same moment: it is let in once."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from hostile.cases import Place, call, envelope, guarded_place, open_place, posted
from hostile.servers import Served
from hostile.sockets import Exchange, Line

_COUNT = 50


def _at_once(target: Served, request: bytes) -> list[Exchange]:
    """The same bytes from fifty connections, which are open before the first byte is sent."""
    start = threading.Barrier(_COUNT)

    def say(line: Line) -> Exchange:
        with line:
            start.wait()
            return line.exchange((request,))

    with ThreadPoolExecutor(_COUNT) as pool:
        return list(pool.map(say, [Line(target.address) for _ in range(_COUNT)]))


def _outcomes(answers: list[Exchange]) -> Counter[str]:
    found: Counter[str] = Counter()
    for each in answers:
        body = each.answers[0].body.decode() if each.answers else "no answer"
        done = '"status":"completed"' in body
        found["won" if done else body.partition('"data":{"code":"')[2].partition('"')[0] or body] += 1
    return found


@pytest.mark.parametrize("place", [open_place, guarded_place], ids=["open", "guarded"])
def test_a_nonce_is_used_once(server: Served, guarded: Served, place: Callable[[int], Place]) -> None:
    """Of 50 requests with one nonce, one is run, and the others are told why not: some, that every thread is taken."""
    target = server if place is open_place else guarded
    at = place(target.port)
    request = posted(at, call(envelope(at, extensions={"nonce": at.fresh()})))
    found = _outcomes(_at_once(target, request))
    turned_away = found.pop("asap:transport/thread_pool_exhausted", 0) if target.runtime == "sync" else 0
    assert found == {"won": 1, "asap:protocol/invalid_nonce": _COUNT - 1 - turned_away}


def test_a_nonce_is_used_once_whichever_process_hears_it(crew: Served) -> None:
    """Two processes that share a store let the same nonce in once, too."""
    at = open_place(crew.port)
    request = posted(at, call(envelope(at, extensions={"nonce": at.fresh()})))
    assert _outcomes(_at_once(crew, request)) == {"won": 1, "asap:protocol/invalid_nonce": _COUNT - 1}


def test_a_key_is_run_once(server: Served) -> None:
    """Of 50 requests with one idempotency key, one is run; the others get its answer, or are to come again."""
    at = open_place(server.port)
    frame = call(None, params={"envelope": envelope(at, id="one"), "idempotency_key": at.fresh()})
    answers = _at_once(server, posted(at, frame))
    found = _outcomes(answers)
    assert found["won"] + found["asap:task/still_running"] == _COUNT
    done = {each.answers[0].body for each in answers if each.status == 200}
    assert len(done) == 1

"""What `asap bench` measures: each suite in a tiny size, once; its times mean nothing."""

import sys
import time
from contextlib import contextmanager

import pytest

from asap_adapters.bench import SUITES, Figure, Options, fixtures, run
from asap_adapters.bench.figures import Rounds, Void
from asap_adapters.bench.growth import SEGMENTS, growth
from asap_adapters.bench.letters import Letters, template
from asap_adapters.bench.messages import end_of
from asap_adapters.bench.processes import Child
from asap_adapters.bench.reference import find_reference
from asap_adapters.bench.suites import steps

SMALL = "asap_adapters.bench.suites."


def tiny(suite, **how):
    said = []
    figures = list(run(Options(rounds=1, seconds=0.05, progress=said.append, **how), [suite]))
    assert said
    assert {figure.suite for figure in figures} == {suite}
    assert not [figure for figure in figures if (figure.note or "").startswith("void")]
    assert all(figure.value is not None or figure.note for figure in figures)
    return {(figure.name, figure.baseline): figure for figure in figures}


def test_every_promised_figure_is_measured(monkeypatch):
    """One short round: each promise of the core is there with its floor."""
    monkeypatch.setattr(f"{SMALL}core._ITEMS", 5)
    figures = list(run(Options(rounds=1)))
    assert all(isinstance(figure, Figure) and (figure.holds is None) == (figure.floor is None) for figure in figures)
    assert [figure.floor for figure in figures] == [2.5, 3.5, 2.5, 3.5, 15, 30, 15, 30, 60.0, None, None]


def test_a_server_is_measured_beside_a_bare_app(monkeypatch):
    """CPU, requests/s and lateness, with all on that an agent for strangers has; what is not there is left out."""
    monkeypatch.setattr(f"{SMALL}server.MANY", 40)
    figures = tiny("server", runtimes=("asyncio",), reference="no such python")
    plain = figures["server CPU a request, ASGI on uvicorn, memory stores", "a bare app on the same server"]
    full = figures["server CPU a request, ASGI on uvicorn, auth, nonce, key, quota", "a bare app on the same server"]
    assert (plain.floor, full.floor) == (1.5, 1.9)
    assert plain.ratio > 0
    assert full.ratio > 0
    beside = figures["requests/s at 32, ASGI on uvicorn", "the reference, 1.0.0"]
    assert beside.value > 0
    assert (beside.ratio, beside.floor, beside.at_least, beside.holds) == (None, 12, True, None)
    assert "no such python" in beside.note
    assert figures["p95 at 40, ASGI on uvicorn", "the median"].ratio >= 1


def test_a_client_is_measured_beside_httpx(monkeypatch):
    """The transport alone, a whole client, and a burst that has to pass."""
    monkeypatch.setattr(f"{SMALL}client.CROWD", 20)
    monkeypatch.setattr(f"{SMALL}client.BURST", 50)
    monkeypatch.setattr(f"{SMALL}client.IN_FLIGHT", 10)
    figures = tiny("client", runtimes=("asyncio",))
    assert figures["requests/s, default transport, asyncio, 10 in flight", "httpx"].floor == 20
    assert figures["requests/s, default transport, asyncio, 10 in flight", "httpx2"].ratio is None
    assert figures["answers to 50 at once, asyncio", None].value == 50


@pytest.mark.parametrize(("suite", "runtime"), [("end-to-end", "trio"), ("batch", "sync"), ("pace", "asyncio")])
def test_a_suite_runs(suite, runtime):
    """Its processes find each other, and every answer is one."""
    figures = tiny(suite, runtimes=(runtime,), reference="no such python")
    assert any(figure.value for figure in figures.values())


def test_a_rate_is_kept_up(monkeypatch):
    """For as long as is promised; how late the worst answers are is told."""
    monkeypatch.setattr(f"{SMALL}sustained.SECONDS", 0.1)
    figures = tiny("sustained", runtimes=("trio",))
    assert [name for name, _ in figures] == [f"{q} at 1000 requests/s for 0.1 s, trio" for q in ("p50", "p95", "p99")]


def test_a_server_is_pressed_until_it_breaks(monkeypatch):
    """What it holds, what comes of twice that, and how it is afterwards."""
    monkeypatch.setattr(f"{SMALL}steps.CONNECTIONS", 20)
    monkeypatch.setattr(f"{SMALL}steps.HELD", 0.0)  # whatever a busy machine answers in so short a time
    monkeypatch.setattr(f"{SMALL}steps.STEPS", 3)
    figures = tiny("steps", runtimes=("asyncio",))
    for agent in ("asyncio", "asyncio, which turns away"):
        held = figures[f"requests/s held, {agent}", None]
        assert held.value == steps.FIRST * steps.GROWTH**2
        assert figures[f"answers/s when twice that is asked, {agent}", "what is held"].floor == 0.6
        assert figures[f"p95 at half of what is held, right after, {agent}", "before"].ratio > 0


@pytest.mark.parametrize(
    ("capacity", "held"), [(500, 500), (664, 500), (665, 700), (930, 700), (10_000, 500 * 1.4**9), (1e9, 500 * 1.4**15)]
)
def test_steps_grow_until_one_is_not_held(capacity, held):
    """One of which less than 95 in 100 are answered in time; after sixteen there is an end."""
    assert steps.climb(lambda rate: min(rate, capacity)) == pytest.approx(held)


def test_where_not_even_the_first_step_is_held_nothing_is_told():
    """A figure of nothing would be none."""
    with pytest.raises(Void, match="not even 500 requests/s are held"):
        steps.climb(lambda rate: 0.9 * rate)


def test_a_crowd_is_answered(monkeypatch):
    """Many connections and more, beside few; who is turned away is counted."""
    monkeypatch.setattr(f"{SMALL}crowd.SOME", 2)
    monkeypatch.setattr(f"{SMALL}crowd.MANY", 10)
    monkeypatch.setattr(f"{SMALL}crowd.CROWD", 20)
    figures = tiny("crowd", runtimes=("sync",))
    assert figures["requests/s at 10, sync", "at 2"].floor == 0.6
    assert figures["turned away of 20, sync", None].value == 0


def test_what_stays_behind_is_found(monkeypatch):
    """A server that leaks is told from one that does not, and what is open is counted before and after."""
    monkeypatch.setattr(f"{SMALL}soak.SERVER_WARM_SECONDS", 0.05)
    monkeypatch.setattr(f"{SMALL}soak.CLIENT_WARM_SECONDS", 0.05)
    monkeypatch.setattr(f"{SMALL}soak.CONNECTIONS", 4)
    figures = tiny("soak", runtimes=("asyncio", "sync"))
    assert figures["threads more than before, server, sync", None].value <= 0
    growth = figures["growth of memory a request, server, asyncio", None]
    assert (growth.unit, growth.floor, growth.at_least) == ("B", 16, False)
    leak = figures["growth of a server that leaks 64 bytes a request", None]
    assert (leak.unit, leak.floor, leak.at_least) == ("B", 16, True)
    assert {name.partition(" more")[0] for name, _ in figures if "more than before" in name} == {
        "file descriptors",
        "threads",
        "tasks",
    }


def test_a_slope_has_an_interval():
    """What each stretch adds is one observation: an even growth is sure, an uneven one is not."""
    even = growth([200.0] * SEGMENTS, [10] * SEGMENTS)
    assert (even.low, even.mean, even.high) == (20, 20, 20)
    uneven = growth([0.0, 400.0] * (SEGMENTS // 2), [10] * SEGMENTS)
    assert uneven.mean == 20
    # The standard deviation is 20 times the root of 30/29, its mean's that by the root of 30: 3.714, of which 2.045.
    assert (round(uneven.low, 2), round(uneven.high, 2)) == (12.41, 27.59)
    with pytest.raises(ValueError, match="expected 30"):
        growth([1.0], [1])


def test_idle_connections_are_weighed(monkeypatch):
    """Those of a server, and those that a client keeps."""
    monkeypatch.setattr(f"{SMALL}idle.CONNECTIONS", 50)
    monkeypatch.setattr(f"{SMALL}idle.CLIENTS", 2)
    monkeypatch.setattr(f"{SMALL}idle.EACH", 10)
    figures = tiny("idle", runtimes=("trio",))
    assert [(figure.unit, figure.floor) for figure in figures.values()] == [("kB", 10), ("kB", 8)]


def test_fetches_of_manifests_are_counted(monkeypatch):
    """By the server that is asked for them; each agent is asked once at least."""
    monkeypatch.setattr(f"{SMALL}discovery.LOOKUPS", 20)
    monkeypatch.setattr(f"{SMALL}discovery.AGENTS", 2)
    figures = tiny("discovery", runtimes=("sync",))
    assert figures["hits of 20 look-ups of 2 agents, sync", None].value >= 90


def test_smaller_bodies_are_measured():
    """The coding that is preferred has a bound of its size, and of its time."""
    figures = tiny("compression")
    assert [figure.floor for figure in figures.values()][:2] == [63, 60]


def test_each_suite_is_there():
    """Each name leads to a module that measures."""
    for suite in SUITES:
        __import__(f"{SMALL}{suite.replace('-', '_')}")


def counting(*answers):
    left = list(answers)

    def measure():
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"rate": answer}

    return measure


def test_subjects_take_turns_and_medians_count():
    """The ratio is the median of those within each round, not of one round's value to another's."""
    rounds = Rounds(3, lambda _: None)
    rounds.measure({"ours": counting(10.0, 40.0, 30.0), "other": counting(5.0, 10.0, 10.0)})
    figure = rounds.figure("fast", ("ours", "rate"), "/s", to=("other", "rate"), least=3)
    assert (figure.value, figure.ratio, figure.holds, figure.baseline) == (30.0, 3.0, True, "other")
    assert rounds.figure("slow", ("ours", "rate"), "/s", most=29).holds is False


def test_an_error_makes_a_measurement_void():
    """A run with an error in it proves nothing: no value is told, the promise is not held, and the reason is given."""
    rounds = Rounds(2, lambda _: None)
    rounds.measure({"ours": counting(1.0, 1.0), "other": counting(1.0, Void("1 times HTTP 429"))})
    figure = rounds.figure("fast", ("ours", "rate"), "/s", to=("other", "rate"), least=1)
    assert (figure.value, figure.holds) == (None, False)
    assert "HTTP 429" in figure.note


@contextmanager
def answering(head, body):
    """A server that has one answer, and the load process."""
    server = (
        "import asyncio\n"
        "class Answer(asyncio.Protocol):\n"
        "    def connection_made(self, transport): self.transport = transport\n"
        f"    def data_received(self, data): self.transport.write({head + body!r})\n"
        "async def main():\n"
        "    server = await asyncio.get_running_loop().create_server(Answer, '127.0.0.1', 0)\n"
        "    print('{\"port\": %d}' % server.sockets[0].getsockname()[1], flush=True)\n"
        "    await server.serve_forever()\n"
        "asyncio.run(main())\n"
    )
    load = [sys.executable, "-m", "asap_adapters.bench.load"]
    with Child([sys.executable, "-c", server], core=None) as serving, Child(load, core=None) as asking:
        yield asking, serving.hear()["port"]


@pytest.mark.parametrize(
    ("head", "body", "why"),
    [
        (b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 2\r\n\r\n", b"{}", "HTTP 429"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 23\r\n\r\n", b'{"error":{"result":1}} ', "an error with HTTP 200"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n", b'{"result":1}', "the answer to another request"),
    ],
)
def test_what_is_no_answer_is_not_counted_as_one(head, body, why):
    """The load process looks at each answer: status, result, and whose it is."""
    letter = template(fixtures.requests(1)[0])
    with answering(head, body) as (load, port), pytest.raises(Void, match=why):
        load.ask(do="open", port=port, connections=1, head="POST / HTTP/1.1\r\n\r\n", letter=letter, repeats_mark=True)


def test_letters_are_all_different():
    """Each has an id, a nonce and a key of its own, and is as long as the one that they are made from."""
    body = fixtures.requests(1)[0]
    made = iter(Letters(**template(body)))
    (mark, first), (_, second) = next(made), next(made)
    assert len(first) == len(second) == len(body)
    assert first.count(mark) == 3
    for letter in (first, second):
        assert fixtures.EchoServer().exchange(letter).status == 200
    ids = [fixtures.decode_request(letter).id for letter in (first, second)]
    assert ids[0] != ids[1]


@pytest.mark.parametrize(
    ("data", "ends"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", (38, 40)),
        (b"HTTP/1.1 200 OK\r\n\r\n", (19, 19)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", (0, 0)),
    ],
)
def test_messages_end_where_their_length_says(data, ends):
    """A head that is not whole has no end yet."""
    assert end_of(data) == ends


def test_a_process_ends_with_its_block():
    """Also one that would not end by itself, with what it has started."""
    program = (
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'input()']); print('{}', flush=True); input()"
    )
    with Child([sys.executable, "-c", program], core=None) as child:
        child.hear()
        pids = [*child._pids()]
    assert len(pids) == 2
    until = time.monotonic() + 30  # what was killed ends when its turn comes
    while any(map(is_running, pids)):
        assert time.monotonic() < until


def is_running(pid):
    """Whether it runs: one that has ended, and whose parent is gone, is waited for by whoever adopted it."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_process_that_ends_too_early_makes_the_measurement_void():
    """Its last word is told."""
    with (
        Child([sys.executable, "-c", "raise SystemExit('no room')"], core=None) as child,
        pytest.raises(Void, match="no room"),
    ):
        child.ask(do="run")


def test_a_reference_of_another_release_is_not_compared_to():
    """What is installed is asked, not believed."""
    assert find_reference(sys.executable)[0] == ""
    assert "no asap-protocol" in find_reference(sys.executable)[1]


def test_the_common_request_is_as_long_as_it_says():
    """The same length for each shape, and each request another."""
    for shape in fixtures.SHAPES:
        bodies = fixtures.requests(20, shape=shape)
        assert {len(body) for body in bodies} == {742}
        assert len(set(bodies)) == 20


def test_the_echo_agent_answers():
    """So that no error is measured in place of an exchange."""
    for full in (False, True):
        response = fixtures.EchoServer().exchange(fixtures.requests(1, full=full)[0])
        assert response.status == 200
        assert b'"status":"completed"' in response.body

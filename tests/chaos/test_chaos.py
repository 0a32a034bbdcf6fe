"""Whatever befalls the network, a server or its store: nothing lost, nothing done twice, nobody left unanswered."""

import signal
import threading

import pytest

from asap_adapters._shared.clients import ONCE
from chaos.blows import MOUNTED, full_disk, is_refused, may_mount, no_descriptors
from chaos.proxy import FAULTS, Kind, Proxy, in_turn
from chaos.world import WAYS, World, by_request, by_stream, call, until
from hostile.servers import PATIENCE

RUNTIMES = ("asyncio", "trio", "sync")


@pytest.fixture(scope="module", params=RUNTIMES)
def world(request, fronts, tmp_path_factory):
    """A server that no test of it ends; what it keeps is on a disk of its own, if this machine lets us mount one."""
    folder = tmp_path_factory.mktemp(request.param)
    under = MOUNTED if may_mount(folder) else ()
    with World(folder, request.param, ("--state", "disk/tasks.db"), under=under, fronts=fronts) as made:
        yield made


def check(world, name=""):
    """The counts are all 0, and whoever was not told that it is done was told that it was interrupted."""
    verdict = world.verdict(name)
    assert verdict.is_clean, (verdict, world.ledger.lines(), world.server.said())
    assert set(verdict.told) <= {"asked", "done", "asap:execution/interrupted"}, verdict
    return verdict.told


def test_every_fault_of_the_network(world, fronts):
    """Each fault on the first connection of a caller of each front: done, once, told so, and no other's answer.

    A bent answer may be refused as such, or be a text that is not the true one, which nothing but TLS can tell.
    """
    missed = []

    def weather(front):
        for number, fault in enumerate(FAULTS):
            way = WAYS[(number + fronts.index(front)) % 3]
            if fault.side == "reply" and fault.part == "end" and way is by_stream:
                way = by_request  # a stream's reader leaves before its end
            # A stalled connection is left after this; all else has an answer, however long that takes.
            patience = 0.3 if fault.kind is Kind.STALL else 10.0
            with Proxy(in_turn(fault), world.server.address) as proxy:
                with world.client(front, proxy.url, timeout=patience) as client:
                    # What is left over of the first must not be taken for the second's, nor for all of those to come.
                    for turn in range(8 if fault.kind is Kind.DUPLICATE else 2):
                        call(client, f"once-network-{front.name}-{number}-{turn}-{fault.kind}", world.ledger, way)
                if proxy.fired != {0: fault}:
                    missed.append((front.name, fault))

    threads = [threading.Thread(target=weather, args=(front,)) for front in fronts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert missed == []
    assert world.verdict("network").is_clean, (world.verdict("network"), world.ledger.lines())
    lines = [line for line in world.ledger.lines() if "-network" in line.key and not line.key.endswith("corrupt")]
    late = [line for line in lines if line.word == "refused"]
    assert {line.what for line in late} <= {"asap:protocol/mispaired_reply"}, late
    assert all(line.key.endswith("duplicate") and "-7-" not in line.key for line in late), late


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_server_that_is_killed(tmp_path, fronts, runtime):
    """`kill -9` as soon as some work is done, and another on its store: all is done, once, or interrupted."""
    with World(tmp_path, runtime, fronts=fronts) as world:
        with world.crowd("killed", 18) as crowd:
            crowd.effects(6)
            world.kill()
            world.start()
        told = check(world)
    assert told["done"] >= 12  # at most the six that were at work then are not


def test_a_server_that_stands_still(world):
    """SIGSTOP under load until every caller has left and come again, which is longer than the leases; then SIGCONT."""
    with world.crowd("still", 18, timeout=1.0) as crowd:
        crowd.effects(6)
        world.signal(signal.SIGSTOP)
        world.wait_for_calls()
        world.signal(signal.SIGCONT)
    assert check(world, "still")["done"] == 18


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_server_that_is_told_to_stop(tmp_path, fronts, runtime):
    """SIGTERM under load: what it has in hand is answered or given back, and the next one answers all else."""
    with World(tmp_path, runtime, ("--state", "tasks.db", "--grace", "0.2"), fronts=fronts) as world:
        with world.crowd("stopped", 12, seconds=0.8) as crowd:
            crowd.effects(6)
            assert world.stop() == 0
            world.start()
        check(world)


def test_a_full_disk(world, fronts):
    """Nothing is accepted that could not be kept; what was at work is answered once there is room again."""
    with world.crowd("full", 18) as crowd, world.client(fronts[0], retry=ONCE) as client:
        crowd.effects(6)
        with full_disk(world):
            until(lambda: is_refused(client))
    assert check(world, "full")["done"] == 18


def test_no_file_descriptor_is_left(world, fronts):
    """Callers who have a connection are answered on it meanwhile, and new ones once there is room again."""
    with world.client(fronts[0], retry=ONCE, timeout=PATIENCE) as client, world.crowd("open", 18) as crowd:
        call(client, "once-open-before", world.ledger, by_request)
        crowd.effects(6)
        with no_descriptors(world):
            for number in range(3):
                call(client, f"once-open-meanwhile-{number}", world.ledger, by_request)
        with world.client(fronts[0]) as late:
            call(late, "once-open-late", world.ledger, by_request)
    assert check(world, "open")["done"] == 23


@pytest.mark.parametrize(
    ("server", "runtime"), [("redis_server", "asyncio"), ("redis_server", "sync"), ("postgres_server", "trio")]
)
def test_a_store_that_is_away(tmp_path, fronts, runtime, server, request):
    """It stands still for longer than a timeout; then it is killed, and started again."""
    store = request.getfixturevalue(server)
    words = ("--state", store.database() if server == "postgres_server" else store.url)
    with World(tmp_path, runtime, words, fronts=fronts) as world:
        with world.crowd(f"away-{runtime}", 24, timeout=1.0) as crowd:
            crowd.effects(6)
            with store.paused():
                world.wait_for_calls()
            crowd.effects(12)
            store.kill()
            with world.client(fronts[0], retry=ONCE) as client:
                until(lambda: is_refused(client))
            store.start()
        check(world)

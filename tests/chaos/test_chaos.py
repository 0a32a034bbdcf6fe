"""Whatever befalls the network, a server or its store: nothing lost, nothing done twice, nobody left unanswered."""

import threading

from asap_adapters._shared.clients import ONCE
from chaos.blows import is_refused, no_descriptors, standing_still
from chaos.proxy import FAULTS, Kind, Proxy, in_turn
from chaos.world import WAYS, by_request, by_stream, call, until
from hostile.servers import PATIENCE


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
            # A stalled connection is left after this, and another made where nothing had come yet that could stall; all
            # else has an answer, however long that takes.
            for patience in (0.3, 3.0, 30.0) if fault.kind is Kind.STALL else (10.0,):
                with (
                    Proxy(in_turn(fault), world.server.address) as proxy,
                    world.client(front, proxy.url, timeout=patience) as client,
                ):
                    # What is left over of the first must not be taken for the second's, nor for all of those to come.
                    for turn in range(8 if fault.kind is Kind.DUPLICATE else 2):
                        key = f"once-network-{front.name}-{number}-{patience}-{turn}-{fault.kind}"
                        call(client, key, world.ledger, way)
                if proxy.fired == {0: fault}:
                    break
            else:
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


def test_a_server_that_is_killed(world):
    """`kill -9` as soon as some work is done, and another on its store: all is done, once, or interrupted."""
    with world.crowd("killed", 18) as crowd:
        crowd.effects(6)
        world.kill()
        world.start()
    assert check(world, "killed")["done"] >= 12  # at most the six that were at work then are not


def test_a_server_that_stands_still(world):
    """SIGSTOP under load until every caller has left and come again, which is longer than the leases; then SIGCONT."""
    with world.crowd("still", 18, timeout=1.0) as crowd:
        crowd.effects(6)
        with standing_still(world):
            world.wait_for_calls()
    assert check(world, "still")["done"] == 18


def test_a_server_that_is_told_to_stop(world):
    """SIGTERM under load: what it has in hand is answered or given back, and the next one answers all else."""
    with world.crowd("stopped", 12, seconds=0.8) as crowd:
        crowd.effects(6)
        assert world.stop() == 0
        world.start()
    assert check(world, "stopped")["done"] >= 6  # at most the six that were at work when it ended are not


def test_a_full_disk(world, fronts):
    """Nothing is accepted that could not be kept; what was at work is answered once there is room again."""
    with world.crowd("full", 18) as crowd, world.client(fronts[0], retry=ONCE) as client:
        crowd.effects(6)
        with world.full_disk():
            until(lambda: is_refused(client))
    told = check(world, "full")
    # A server of its own ends by that, and is away for as long as it takes to start: longer than the leases of the six
    # that are at work then.
    assert told["done"] >= (18 if world.place.server is None else 12)


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


def test_a_store_that_is_away(world, fronts):
    """It stands still for longer than a timeout; then, where it has a server, that is killed, and started again."""
    with world.crowd("away", 18, timeout=1.0) as crowd:
        crowd.effects(6)
        with world.place.paused():
            world.wait_for_calls()
        if world.place.server is not None:
            crowd.effects(12)
            world.place.server.kill()
            with world.client(fronts[0], retry=ONCE) as client:
                until(lambda: is_refused(client))
            world.place.server.start()
    # Each time, at most the six that were at work then are interrupted.
    assert check(world, "away")["done"] >= (12 if world.place.server is None else 6)

"""Manifests that clients have found: in memory, bounded, and as records that survive."""

import attrs
import pytest

from asap_proto.errors import MalformedReply, OtherAgent
from asap_proto.rules.caching import Lifetime
from asap_proto.stores import KeptManifest, ManifestCounts, MemoryManifests
from asap_proto.stores.manifests import dump_manifest_record, load_manifest_record
from asap_proto.wire.json import dump, load
from asap_proto.wire.manifests import dump_manifest, load_manifest
from asap_testkit import echo_manifest

MANIFEST = echo_manifest()
BODY = dump_manifest(MANIFEST)
#: What an entry takes.
SIZE = len(BODY) + 2048


def entry(**fields):
    return KeptManifest(
        **{"manifest": MANIFEST, "body": BODY, "tag": '"t"', "lifetime": Lifetime(), "since": 0.0, **fields}
    )


def holding(*keys, **options):
    manifests = MemoryManifests(**options)
    for key in keys:
        manifests.keep(key, entry(), instead_of=(key,))
    return manifests


def test_a_fresh_one_is_a_hit_and_any_other_a_miss():
    """At the end of its time somebody has to be asked."""
    manifests = holding("a")
    assert manifests.look(("a",), 299.9) is MANIFEST
    assert manifests.look(("other", "a"), 299.9) is MANIFEST
    assert manifests.look(("a",), 300.0) is None
    assert manifests.look(("other",), 0.0) is None
    assert manifests.find(("other", "a")) == entry()
    assert manifests.find(("other",)) is None
    assert manifests.counts() == ManifestCounts(hits=2, misses=2, entries=1, bytes=SIZE)


def test_a_stale_one_serves_while_its_peer_is_left_in_peace():
    """Only for whoever may make do with it, and only if it is still the one that was asked about."""
    manifests = holding("a")
    held = manifests.find(("a",))
    manifests.rest(("b", "a"), held, 310.0)
    assert manifests.look(("a",), 309.9) is MANIFEST
    assert manifests.look(("a",), 309.9, stale=False) is None
    assert manifests.look(("a",), 310.0) is None
    manifests.rest(("a",), held, 400.0)
    assert manifests.look(("a",), 320.0) is None
    assert manifests.counts() == ManifestCounts(stale=3, misses=3, entries=1, bytes=SIZE)


def test_an_expired_one_never_serves():
    """Though its peer is left in peace."""
    manifests = MemoryManifests()
    manifests.keep("a", entry(rests_until=9999.0), instead_of=("a",))
    assert manifests.look(("a",), 3899.9) is MANIFEST
    assert manifests.look(("a",), 3900.0) is None


def test_the_one_that_was_not_looked_up_for_longest_makes_room():
    """By number."""
    manifests = holding("a", "b", most=2)
    manifests.look(("a",), 0.0)
    manifests.keep("c", entry(), instead_of=("c",))
    assert [manifests.find((key,)) is not None for key in "abc"] == [True, False, True]
    assert manifests.counts().evicted == 1


def test_the_documents_that_are_held_have_a_bound_too():
    """One that is larger than all of it is not held, and costs no other its room."""
    manifests = holding("a", "b", most_bytes=2 * SIZE)
    manifests.keep("c", entry(body=BODY + b" " * (SIZE + 1)), instead_of=("c",))
    assert manifests.counts() == ManifestCounts(entries=2, bytes=2 * SIZE)
    manifests.keep("c", entry(body=BODY + b" "), instead_of=("c",))
    assert manifests.counts() == ManifestCounts(entries=1, bytes=SIZE + 1, evicted=2)


def test_a_cache_without_room_holds_nothing():
    """For whoever wants to ask each time."""
    assert holding("a", most=0).counts() == ManifestCounts()


def test_what_comes_takes_the_place_of_what_was():
    """Under each of its keys; what is not to be kept leaves nothing."""
    manifests = holding("a", "b")
    manifests.keep("a", entry(tag=None), instead_of=("a", "b"))
    assert manifests.find(("a",)).tag is None
    assert manifests.find(("b",)) is None
    manifests.keep("a", entry(lifetime=Lifetime(is_kept=False)), instead_of=("a", "b"))
    assert manifests.counts() == ManifestCounts()


def test_what_is_dropped_is_gone():
    """And counted once."""
    manifests = holding("a", "b")
    assert manifests.drop(("a", "b", "c"))
    assert not manifests.drop(("a", "b", "c"))
    assert manifests.counts() == ManifestCounts(dropped=2)


def test_what_happens_is_counted():
    """Questions, answers that nothing has changed, and entries that survived."""
    manifests = MemoryManifests()
    manifests.fetching()
    manifests.revalidated()
    manifests.restored()
    assert manifests.counts() == ManifestCounts(fetches=1, revalidated=1, restored=1)


def test_each_step_is_taken_under_the_lock():
    """Whoever shares a cache between threads hands one in."""
    taken = []

    class Lock:
        def __enter__(self):
            taken.append("in")

        def __exit__(self, *_):
            taken.append("out")

    manifests = MemoryManifests(lock=Lock())
    for step in (
        lambda: manifests.keep("a", entry(), instead_of=("a",)),
        lambda: manifests.look(("a",), 0.0),
        lambda: manifests.find(("a",)),
        lambda: manifests.rest(("a",), entry(), 1.0),
        lambda: manifests.drop(("a",)),
        manifests.fetching,
        manifests.revalidated,
        manifests.restored,
        manifests.counts,
    ):
        taken.clear()
        step()
        assert taken == ["in", "out"]


def read(body):
    return load_manifest(body, depth=9)


def test_a_record_is_the_entry_later():
    """Its age is counted by the wall clock: no other outlives a process."""
    kept = entry(lifetime=Lifetime(60.0, 30.0, is_public=True), since=77.0)
    record = dump_manifest_record("name", kept, at=1000.0)
    assert load_manifest_record(record, "name", read, at=1000.0, now=5.0) == attrs.evolve(kept, since=5.0)
    assert load_manifest_record(record, "name", read, at=1012.5, now=5.0) == attrs.evolve(kept, since=-7.5)
    untagged = dump_manifest_record("name", attrs.evolve(kept, tag=None), at=1000.0)
    assert load_manifest_record(untagged, "name", read, at=1000.0, now=5.0).tag is None


def changed(**changes):
    head, _, body = dump_manifest_record("name", entry(), at=1000.0).partition(b"\n")
    fields = {**load(head, depth=3), **changes}
    return dump({name: value for name, value in fields.items() if value != "gone"}) + b"\n" + body


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"\n",
        b"{}\n" + BODY,
        b"[]\n" + BODY,
        b"[" * 99 + b"\n",
        b"\xff\xfe\n" + BODY,
        BODY,
        changed(asap_manifest=2),
        changed(asap_manifest="gone"),
        changed(name="other"),
        changed(at="gone"),
        changed(at="1000"),
        changed(at=True),
        changed(at=1000.1),
        changed(at=-1),
        changed(fresh=-1),
        changed(fresh=None),
        changed(stale="x"),
        changed().replace(b'{"id"', b'{"ID"'),
    ],
)
def test_what_is_no_record_of_this_name_is_refused(record):
    """Somebody else may have written it, or half of it."""
    with pytest.raises(MalformedReply):
        load_manifest_record(record, "name", read, at=1000.0, now=5.0)


def test_no_record_is_believed_for_longer_than_what_is_fetched():
    """Whatever it says of its time; and a tag that could not have come from a peer goes back to none."""
    found = load_manifest_record(changed(fresh=10**9, stale=10**9, tag='"a"\n'), "name", read, at=1000.0, now=5.0)
    assert found.lifetime == Lifetime(300, 3600)
    assert found.tag is None
    assert load_manifest_record(changed(tag=5), "name", read, at=1000.0, now=5.0).tag is None


def test_whoever_reads_it_has_the_last_word():
    """A document that is not what was asked for, or is not signed, is not believed for having been kept."""

    def refuse(body):
        raise OtherAgent("another")

    with pytest.raises(OtherAgent):
        load_manifest_record(changed(), "name", refuse, at=1000.0, now=5.0)

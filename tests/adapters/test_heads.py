"""Heads that came before: what is remembered of them, and what is not."""

import pytest

from asap_adapters._awaiting.heads import key_of, lines_of
from asap_adapters._shared.heads import KnownHeads
from asap_proto.roles import Admitted


def admitted():
    return Admitted("identity", 100, None, "192.0.2.1", {"content-type": "application/json"})


def scope(headers=(), **changes):
    said = {"method": "POST", "path": "/asap", "client": ("192.0.2.1", 1), "headers": headers}
    return {**said, **changes}


def find(known, said):
    return known.find(key_of(said))


def test_the_same_head_is_known_again_whichever_pairs_a_server_makes():
    """ASGI has headers as pairs, and some servers make lists of them, which no dict can look up."""
    known, one = KnownHeads(lines_of), admitted()
    known.add(key_of(scope([[b"host", b"localhost"], [b"x-idempotency-key", b"1"]])), one)
    assert find(known, scope([(b"host", b"localhost"), (b"x-idempotency-key", b"2")])) is one
    assert find(known, scope([[b"host", b"elsewhere"], [b"x-idempotency-key", b"1"]])) is None


CHANGES = [
    {"path": "/asap/stream"},
    {"method": "GET"},
    {"root_path": "/there"},
    {"client": ("192.0.2.2", 1)},
    {"client": None},
    {"headers": [(b"host", b"a"), (b"host", b"a")]},
    {"headers": [(b"x-idempotency-key", b"1"), (b"x-idempotency-key", b"1"), (b"host", b"a")]},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_another_head_is_not_known(changes):
    """Whatever an admission looks at."""
    known, head = KnownHeads(lines_of), [(b"host", b"a"), (b"x-idempotency-key", b"1")]
    known.add(key_of(scope(head)), admitted())
    assert find(known, scope(**{"headers": head, **changes})) is None


@pytest.mark.parametrize(
    "large",
    [
        {"headers": [(b"x", b"x" * 5000)]},
        {"path": "http://" + "x" * 5000 + "/asap"},
        {"root_path": "/" + "x" * 5000},
    ],
    ids=["a header", "a path", "where it is mounted"],
)
def test_a_large_head_is_not_remembered(large):
    """A caller may make each another: some hundred of them would be held at once."""
    known = KnownHeads(lines_of)
    said = scope(**large)
    known.add(key_of(said), admitted())
    assert find(known, said) is None


def test_heads_are_bounded():
    """Who makes up another with each request makes others be looked at again, and no more."""
    known = KnownHeads(lines_of)
    for number in range(1000):
        known.add(key_of(scope([(b"x", b"%d" % number)])), admitted())
    kept = [number for number in range(1000) if find(known, scope([(b"x", b"%d" % number)])) is not None]
    assert kept[-1] == 999
    assert len(kept) <= 256

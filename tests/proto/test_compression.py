"""Which coding a body is sent in, by what its receiver says it takes."""

import pytest

from asap_proto.limits import ACCEPT_LENGTH
from asap_proto.rules.compression import IDENTITY, Agreement, choose

OURS = ("zstd", "br", "gzip")


@pytest.mark.parametrize(
    ("accepts", "chosen"),
    [
        ("gzip", "gzip"),
        ("GZip", "gzip"),
        ("gzip, br", "br"),
        ("gzip, br;q=1", "br"),
        ("br;q=1, gzip", "br"),
        ("br,gzip,zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("*", "zstd"),
        ("gzip, *;q=0", "gzip"),
        ("zstd;q=0, *", "br"),
        ("gzip;q=1.0, br;q=0.5", "gzip"),
        ("gzip;q=0.5, *;q=0.9", "zstd"),
        ("br;q=0.001, identity;q=0", "br"),
        (" gzip ;\tq=0.8 , br ; Q=0.7 ", "gzip"),
        (",gzip,,", "gzip"),
        ("x-gzip", IDENTITY),
        ("compress, deflate", IDENTITY),
        ("identity, gzip;q=0.5", IDENTITY),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("gzip;q=0", IDENTITY),
        ("gzip;q=0.000", IDENTITY),
        ("*;q=0", IDENTITY),
        # Nothing acceptable is left: it is sent as it is, as RFC 9110 section 12.5.3 has it.
        ("identity;q=0, *;q=0", IDENTITY),
        ("identity;q=0", IDENTITY),
    ],
)
def test_what_is_liked_best_is_chosen(accepts, chosen):
    """By its weight, then by our own order; what is not named is not taken, unless all are."""
    assert choose(accepts, OURS) == chosen


@pytest.mark.parametrize(
    "accepts",
    [
        *(None, "", " ", ",", "gzip br", "gzip;q", "gzip;q=", "gzip;q=2", "gzip;q=1.001", "gzip;q=0.1234", "gzip;q=-1"),
        *(
            "gzip;q=.5",
            "gzip;level=1",
            "gzip;q=0.5;q=0.6",
            "gz\u00efp",
            "gzip\n",
            "gzip,\n",
            "gzip;q=0.5, (",
            "gzip;q=\u0661",
        ),
    ],
)
def test_what_can_not_be_read_is_answered_as_it_is(accepts):
    """All of it: a part that looks well may mean something else."""
    assert choose(accepts, OURS) == IDENTITY


def test_only_what_we_can_do_is_chosen():
    """Whatever is taken."""
    assert choose("zstd, br, gzip", ("gzip",)) == "gzip"
    assert choose("*", ()) == IDENTITY
    assert choose("X", ("x",)) == "x"


def test_what_is_too_long_is_not_read():
    """Whoever says more than any client would."""
    assert choose("gzip" + " " * (ACCEPT_LENGTH - 4), OURS) == "gzip"
    assert choose("gzip" + " " * (ACCEPT_LENGTH - 3), OURS) == IDENTITY


def test_a_peer_that_says_nothing_is_sent_bodies_as_they_are():
    """Whoever knows better begins with a coding."""
    assert Agreement(OURS).coding == IDENTITY
    assert Agreement(("gzip",), "gzip").coding == "gzip"


def test_a_peer_is_sent_what_it_takes_by_its_last_word():
    """A value, which stays the same where nothing is new."""
    agreed = Agreement(OURS).heard("gzip, br")
    assert agreed.coding == "br"
    assert agreed.heard("br, gzip") is agreed
    assert agreed.heard("gzip").coding == "gzip"
    assert agreed.heard("identity").coding == IDENTITY


def test_what_was_refused_is_not_tried_again():
    """Whatever the peer says later; another that it takes is."""
    agreed = Agreement(OURS).heard("zstd, br").refused("zstd", "br, gzip")
    assert agreed.coding == "br"
    assert agreed.heard("zstd").coding == IDENTITY
    assert agreed.refused("br", "gzip").coding == "gzip"
    assert agreed.refused("br", "br").coding == IDENTITY


def test_a_peer_that_refuses_and_does_not_say_what_it_takes_is_asked_for_none():
    """One of an old release knows none at all."""
    agreed = Agreement(OURS).heard("br").refused("br", None)
    assert agreed.heard("gzip, br") == Agreement(())

"""How long what a peer publishes may be believed, by its own headers and within our limits."""

import pytest

from asap_proto.errors import (
    Misdirected,
    MispairedReply,
    NoHandler,
    Overloaded,
    PeerRefused,
    Redirected,
    SkillNotFound,
    WrongRecipient,
)
from asap_proto.limits import MANIFEST_STALE, MANIFEST_TTL
from asap_proto.rules.caching import Lifetime, lifetime_of, tag_of, tells_of_change

OURS = Lifetime(MANIFEST_TTL, MANIFEST_STALE)


@pytest.mark.proves("client.cache-control")
@pytest.mark.parametrize(
    ("said", "fresh", "stale"),
    [
        ("max-age=60", 60, 3600),
        ("Public, MAX-AGE=60", 60, 3600),
        ('max-age="60"', 60, 3600),
        ("max-age=0", 0, 3600),
        ("max-age=301", 300, 3600),
        ("max-age=99999999999999999999999", 300, 3600),
        ("max-age=60, max-age=10", 10, 3600),
        ("max-age=10, max-age=60", 10, 3600),
        ("max-age=60, max-age=x", 60, 3600),
        ("max-age", 0, 3600),
        ("max-age=-1", 0, 3600),
        ("max-age=1.5", 0, 3600),
        ("max-age=\u0661", 0, 3600),
        ("s-maxage=5", 300, 3600),
        ('note="max-age=5, no-cache"', 300, 3600),
        ("stale-if-error=30", 300, 30),
        ("stale-if-error=9999", 300, 3600),
        ("stale-if-error", 300, 0),
        ("must-revalidate, stale-if-error=30", 300, 0),
        ("no-cache, max-age=60", 0, 0),
        (",;=\x00,,", 300, 3600),
        ("", 300, 3600),
    ],
)
def test_a_peer_may_shorten_its_time_and_never_lengthen_it(said, fresh, stale):
    """What it says in a form that is none makes nothing fresh."""
    assert lifetime_of({"cache-control": said}) == Lifetime(fresh, stale, is_public="Public" in said)


@pytest.mark.proves("client.cache-control")
def test_without_a_word_of_the_peer_our_own_limits_hold():
    """As releases before 2 say nothing."""
    assert lifetime_of({}) == OURS


@pytest.mark.proves("client.cache-control")
@pytest.mark.parametrize(("age", "fresh"), [("40", 20), ("60", 0), ("99", 0), ("x", 60)])
def test_what_a_cache_on_the_way_has_held_is_that_much_older(age, fresh):
    """By the Age that it says."""
    assert lifetime_of({"cache-control": "max-age=60", "age": age}).fresh == fresh


@pytest.mark.proves("client.cache-control")
def test_what_is_not_to_be_stored_is_not_kept():
    """However long it would be fresh."""
    assert not lifetime_of({"cache-control": "no-store, max-age=60"}).is_kept


@pytest.mark.proves("client.cache-control")
@pytest.mark.parametrize(
    ("headers", "is_public"),
    [
        ({"cache-control": "public"}, True),
        ({"cache-control": "public", "vary": "Accept-Encoding"}, True),
        ({"cache-control": "public", "vary": "Accept-Encoding, Authorization"}, False),
        ({"cache-control": "public", "vary": "Authorization,Accept"}, False),
        ({"cache-control": "public", "vary": "cookie"}, False),
        ({"cache-control": "public", "vary": "*"}, False),
        ({"cache-control": "public, private"}, False),
        ({"cache-control": 'public="x"'}, True),
        ({"cache-control": "max-age=60"}, False),
        ({}, False),
    ],
)
def test_only_what_is_said_to_be_public_is_the_same_for_all(headers, is_public):
    """Unless who asks makes a difference after all."""
    assert lifetime_of(headers).is_public is is_public


def test_standing():
    """Fresh, then of use while the peer can't be asked, then only to be asked about."""
    lifetime = Lifetime(10.0, 5.0)
    ages = (0.0, 9.9, 10.0, 14.9, 15.0)
    assert [lifetime.standing(age) for age in ages] == ["fresh", "fresh", "stale", "stale", "expired"]


@pytest.mark.proves("client.validators")
@pytest.mark.parametrize("tag", ['"abc"', 'W/"abc"', '""', '"!#~"', '"' + "x" * 254 + '"'])
def test_a_tag_is_sent_back_as_it_came(tag):
    """Weak or strong."""
    assert tag_of({"etag": tag}) == tag


@pytest.mark.proves("client.validators")
@pytest.mark.parametrize(
    "tag", ["", "abc", '"abc', '"a"b"', 'w/"abc"', '"a b"', '"a\r\nx: y"', '"a"\n', '"\xe9"', '"' + "x" * 255 + '"']
)
def test_what_is_no_tag_is_not_sent_back(tag):
    """A peer does not choose our headers."""
    assert tag_of({"etag": tag}) is None
    assert tag_of({}) is None


@pytest.mark.proves("client.manifest-dropped")
@pytest.mark.parametrize(
    ("error", "changed"),
    [
        (WrongRecipient(), True),
        (MispairedReply(), True),
        (SkillNotFound(), True),
        (Misdirected(), True),
        *((Redirected(facts={"status": status}), True) for status in (301, 302, 303, 307, 308)),
        *((PeerRefused(facts={"status": status}), True) for status in (404, 410)),
        *((PeerRefused(facts={"status": status}), False) for status in (304, 305, 401, 403, 500)),
        (PeerRefused(), False),
        (Overloaded(), False),
        (NoHandler(), False),
    ],
)
def test_which_failures_say_that_the_peer_has_changed(error, changed):
    """It does not know itself as its manifest has it; one that is busy, or refuses us, is what it was."""
    assert tells_of_change(error) is changed

"""The rules against arithmetic and tables written down here: what they say follows from the protocol, not from them."""

import math
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import ip_network

from hypothesis import assume, example, given
from hypothesis import strategies as st

from asap_adapters.testing import strategies as asap
from asap_proto.errors import (
    BadHead,
    ForbiddenTarget,
    ForeignOrigin,
    InvalidTimestamp,
    Misdirected,
    MispairedReply,
    NestedTooDeep,
    RateLimited,
    SenderMismatch,
)
from asap_proto.http import fold
from asap_proto.limits import MANIFEST_STALE, MANIFEST_TTL, NONCE_LENGTH, TASK_DEPTH, Limits
from asap_proto.model import agent_urn, is_ulid, make_ulid, ulid_time
from asap_proto.model.ulid import chance_text
from asap_proto.rules.caching import Lifetime, lifetime_of, tag_of
from asap_proto.rules.compression import IDENTITY, Agreement, choose
from asap_proto.rules.forwarding import Proxies, bucket_of, is_local, parse_proxies
from asap_proto.rules.freshness import check_fresh, nonce_of
from asap_proto.rules.identity import Identity, check_sender
from asap_proto.rules.nesting import child_depth, depth_of
from asap_proto.rules.origins import check_host, check_origin, is_json, names_of
from asap_proto.rules.pairing import check_pair
from asap_proto.rules.quota import Allowed, parse_quota
from asap_proto.rules.retry import RetryRule
from asap_proto.rules.slot import Busy, Kept, Reused, look
from asap_proto.rules.targets import parse_targets, targets_of
from asap_proto.stores import Slot
from asap_proto.stores.spent import Spent
from asap_proto.wire.manifests import etag
from asap_proto.wire.nouns import decode_envelope
from asap_proto.wire.stamps import read_stamp
from asap_testkit import NOW, error_of, letter, request_frame

# -- time ------------------------------------------------------------------------------------------------------------

MICROS = st.integers(-400_000_000, 400_000_000)


@given(MICROS)
@example(300_000_000)
@example(300_000_001)
@example(-30_000_000)
@example(-30_000_001)
def test_the_window_of_timestamps_ends_to_the_microsecond(micros):
    """Five minutes old and half a minute ahead still pass, a microsecond more does not, and the age is told."""
    error = error_of(check_fresh, NOW - timedelta(microseconds=micros), now=NOW, limits=Limits())
    assert (error is None) is (-30_000_000 <= micros <= 300_000_000)
    if error is not None:
        assert isinstance(error, InvalidTimestamp)
        assert error.facts["age_seconds" if micros > 0 else "future_offset_seconds"] == abs(micros) / 1e6


@given(MICROS, st.integers(-14 * 60, 14 * 60))
def test_a_window_does_not_depend_on_the_offset_that_a_time_is_written_in(micros, minutes):
    """A moment is the same in every zone."""
    stamp = NOW - timedelta(microseconds=micros)
    written = stamp.astimezone(timezone(timedelta(minutes=minutes))).isoformat()
    assert read_stamp(written) == stamp
    allowed = error_of(check_fresh, stamp, now=NOW, limits=Limits()) is None
    assert (error_of(check_fresh, read_stamp(written), now=NOW, limits=Limits()) is None) is allowed


@given(st.datetimes(), st.integers(0, 9))
@example(datetime(2026, 1, 2, 3, 4, 5, 123456), 7)  # noqa: DTZ001  (as it is written)
def test_a_time_without_an_offset_is_utc(at, digits):
    """Whatever its fraction: of more than six digits the first six count."""
    text = f"{at.isoformat(timespec='microseconds')}789"[: 19 + bool(digits) + digits]
    read = decode_envelope(request_frame(timestamp=text)["params"]["envelope"]).timestamp
    assert read == read_stamp(text)
    assert read.utcoffset() == timedelta(0)
    kept = f"{at.microsecond:06}"[:digits].ljust(6, "0")
    assert read.replace(tzinfo=None) == at.replace(microsecond=int(kept))


@given(st.integers(-(2**62), 2**63))
@example(20_000_000_000)
@example(20_000_000_001)
def test_a_number_is_seconds_or_milliseconds_by_its_size(number):
    """Up to the year 2603 it is seconds since 1970, beyond it milliseconds; what Python has no time for is none."""
    seconds = number if abs(number) <= 20_000_000_000 else number / 1000
    at = read_stamp(number)
    if at is None:
        assert not -62_135_596_800 <= seconds <= 253_402_300_799
    else:
        assert abs((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() - seconds) < 0.001
    assert read_stamp(str(number)) == at or len(str(abs(number))) > 20


@given(asap.json_objects(), st.text(max_size=NONCE_LENGTH + 2))
@example({}, "n" * NONCE_LENGTH)
@example({}, "n" * (NONCE_LENGTH + 1))
@example({}, " \t")
def test_a_nonce_is_a_text_that_says_something(others, nonce):
    """As long as it may be and no longer; whatever stands beside it."""
    extensions = {**others, "nonce": nonce}
    is_usable = 0 < len(nonce) <= NONCE_LENGTH and not nonce.isspace()
    assert (error_of(nonce_of, extensions) is None) is is_usable
    if is_usable:
        assert nonce_of(extensions) == nonce


# -- names and ids ---------------------------------------------------------------------------------------------------

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
TIMES = st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  (Hypothesis adds the zone)
CHANCE = st.integers(0, 2**80 - 1)


@given(TIMES, CHANCE, TIMES, CHANCE)
def test_ulids_sort_as_their_times_and_then_by_chance(at, chance, other, more):
    """So a list of ids is a list by age."""
    ours, theirs = (at.replace(microsecond=at.microsecond // 1000 * 1000), chance), (
        other.replace(microsecond=other.microsecond // 1000 * 1000), more)  # fmt: skip
    assert (make_ulid(*ours) < make_ulid(*theirs)) is (ours < theirs)


@given(TIMES, CHANCE)
def test_a_ulid_is_its_time_and_its_chance_in_base_32(at, chance):
    """By the definition: 48 bits and 80, five to a character."""
    ulid = make_ulid(at, chance)
    number = 0
    for character in ulid:
        number = number * 32 + ALPHABET.index(character)
    millis = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert number == millis << 80 | chance
    assert ulid_time(ulid) == at.replace(microsecond=at.microsecond // 1000 * 1000)


@given(st.text(ALPHABET, min_size=24, max_size=28) | st.text(min_size=24, max_size=27) | asap.ulids())
def test_what_is_a_ulid_is_26_characters_of_its_alphabet(text):
    """In upper case, and no larger than 128 bits."""
    assert is_ulid(text) is (len(text) == 26 and set(text) <= set(ALPHABET) and text[:1] in tuple("01234567"))


@given(st.binary(min_size=16, max_size=16))
def test_each_byte_of_chance_is_a_character_of_a_ulid(chance):
    """By its five lowest bits."""
    assert chance_text(chance) == "".join(ALPHABET[byte % 32] for byte in chance)


URN_PIECES = st.sampled_from(["urn:", "asap:", "agent:", "a", "z9-", ":", "A", "\n", "é", "_", "x" * 241])


@given(st.lists(URN_PIECES, max_size=7).map("".join) | asap.urns())
@example("urn:asap:agent:" + "x" * 241)
@example("urn:asap:agent:" + "x" * 242)
def test_an_agent_urn_has_one_or_two_names_of_its_alphabet(text):
    """Taken apart by hand: no pattern is asked."""
    head, names = text[:15], text[15:].split(":")
    letters = set("abcdefghijklmnopqrstuvwxyz0123456789-")
    is_one = head == "urn:asap:agent:" and len(names) in (1, 2) and all(name and set(name) <= letters for name in names)
    assert (error_of(agent_urn, text) is None) is (is_one and len(text) <= 256)


# -- nesting, pairing, identity ---------------------------------------------------------------------------------------


@given(st.integers(-2, 2**63), st.integers(0, TASK_DEPTH))
@example(10, 10)
@example(11, 10)
def test_a_depth_is_taken_up_to_the_limit(depth, most):
    """Of this deployment, which may be lower than the protocol's."""
    assert (error_of(depth_of, {"task_depth": depth}, most=most) is None) is (0 <= depth <= most)


@given(asap.json_values())
def test_a_depth_that_is_no_whole_number_is_refused(value):
    """True is none either."""
    is_whole = type(value) is int and 0 <= value <= TASK_DEPTH
    error = error_of(depth_of, {"task_depth": value})
    assert (error is None) is is_whole
    assert error is None or (isinstance(error, NestedTooDeep) and error.path == "$.extensions.task_depth")


@given(st.integers(0, TASK_DEPTH))
def test_a_chain_of_subtasks_ends(most):
    """Each is one deeper than its parent, and the first beyond the limit is refused."""
    depth = 0
    for _ in range(most):
        depth = child_depth(depth, most=most)
    assert depth == most
    assert isinstance(error_of(child_depth, depth, most=most), NestedTooDeep)


@given(asap.urns(), asap.urns(), st.booleans())
def test_a_caller_that_is_known_speaks_for_itself_alone(urn, other, same):
    """Whatever scopes it has; where nobody is known anybody may."""
    sender = urn if same else other
    error = error_of(check_sender, sender, caller=Identity(urn, frozenset({"*"})))
    assert (error is None) is (sender == urn)
    assert error is None or (isinstance(error, SenderMismatch) and urn not in error.message)
    check_sender(sender, caller=None)


FEW = st.sampled_from(["urn:asap:agent:coordinator", "urn:asap:agent:echo", "urn:asap:agent:other"])


@given(FEW, FEW, st.sampled_from(["letter-1", "letter-2", None]))
def test_a_reply_answers_if_it_comes_back_from_whom_was_asked(sender, recipient, correlation_id):
    """To who asked, and about that; without a word of what it is about the exchange pairs it."""
    request = letter()
    reply = letter({}, payload_type="x", sender=sender, recipient=recipient, correlation_id=correlation_id)
    fits = (sender, recipient) == (request.recipient, request.sender) and correlation_id in ("letter-1", None)
    error = error_of(check_pair, request, reply)
    assert (error is None) is fits
    assert error is None or isinstance(error, MispairedReply)


# -- trying again ----------------------------------------------------------------------------------------------------


@given(asap.errors(), st.integers(1, 2000), st.floats(0, 1, exclude_max=True), st.floats(0.001, 100), st.floats(1, 600))
def test_a_pause_is_bounded_and_grows(error, attempt, jitter, base, most):
    """Never longer than the longest and a tenth, never shorter than before; never after more tries than allowed."""
    rule = RetryRule(attempts=5, base_seconds=base, most_seconds=most)
    pause, longer = (rule.pause(error, attempt=number, jitter=jitter) for number in (attempt, attempt + 1))
    assert 0 < pause <= longer <= most * 1.1
    assert rule.again(error, attempt=attempt) is (error.retryable and attempt < 5)


@given(st.floats(0, allow_infinity=False, allow_nan=False) | st.integers(0, 2**64), st.floats(0, 1, exclude_max=True))
def test_a_pause_that_a_peer_asks_for_is_kept_within_ours(asked, jitter):
    """Exactly as long as it says, unless that is longer than we let anybody put us to sleep."""
    rule = RetryRule()
    pause = rule.pause(RateLimited("later", facts={"retry_after": asked}), attempt=1, jitter=jitter)
    assert pause == (min(asked, 60.0) if asked > 0 else 1 + jitter / 10)


RATES = st.lists(
    st.tuples(st.integers(1, 999), st.sampled_from(["second", "minute", "hour", "day"])), min_size=1, max_size=3
)
SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


@given(RATES, st.sampled_from(["", " "]), st.sampled_from(["", "s"]))
def test_a_quota_is_read_as_it_is_written(rates, blank, plural):
    """With blanks and plurals as people write them."""
    text = f"{blank};{blank}".join(f"{count}{blank}/{blank}{unit}{plural}" for count, unit in rates)
    quota = parse_quota(text)
    assert [(rate.count, rate.seconds) for rate in quota.rates] == [(count, SECONDS[unit]) for count, unit in rates]
    assert quota.text == text


@given(RATES, st.integers(1, 999), st.floats(0, 1e6))
def test_what_is_given_back_is_there_again(rates, cost, now):
    """And never more than the bucket holds."""
    quota = parse_quota(";".join(f"{count}/{unit}" for count, unit in rates))
    full = quota.full(now)
    answer, spent = quota.spend(full, now=now, cost=cost)
    assume(isinstance(answer, Allowed))
    _, back = quota.spend(spent, now=now, cost=-cost)
    assert all(math.isclose(level, most) for level, most in zip(back.levels, full.levels, strict=True))
    _, more = quota.spend(back, now=now, cost=-cost)
    assert more.levels == full.levels


@given(
    st.lists(st.tuples(st.sampled_from(["a", "ab", "b"]), st.sampled_from(["x", "bx", "y"])), max_size=30),
    st.integers(0, 6),
)
def test_spent_keys_are_remembered_in_the_order_they_came(pairs, most):
    """As many as there is room for, the newest; a key is its caller's."""
    spent = Spent(most)
    for number, (caller, key) in enumerate(pairs):
        spent.add(Slot(caller, key, b""), 100.0 + number, now=0.0)
        assert len(spent) <= most
    newest = pairs[-most:] if most else []
    assert all(spent.has(Slot(*pair, b""), now=99.0) for pair in newest)
    assert not any(spent.has(Slot(*pair, b""), now=100.0 + len(pairs)) for pair in pairs)
    others = {(caller, key) for caller in ("a", "ab", "b") for key in ("x", "bx", "y")} - set(pairs)
    assert not any(spent.has(Slot(*pair, b""), now=0.0) for pair in others)


@given(st.binary(max_size=3), st.binary(max_size=3), st.none() | st.binary())
def test_a_slot_answers_only_the_request_that_opened_it(known, digest, reply):
    """By its digest; then with its reply, or with the task that it still runs as."""
    found = look("task", reply, known=known, digest=digest)
    expected = Reused() if known != digest else Busy("task") if reply is None else Kept("task", reply)
    assert found == expected


# -- what proxies and pages say --------------------------------------------------------------------------------------

NEAR = st.sampled_from(["10.0.0.1", "10.1.2.3", "::ffff:10.0.0.9", "[10.0.0.1]", "10.0.0.1:80"])
FAR = st.sampled_from(["192.0.2.1", "198.51.100.7", "2001:db8::1"])
PROXIES = parse_proxies(["10.0.0.0/8"])


@given(
    st.lists(st.sampled_from(["x", "unknown", "_hidden", "192.0.2.9", "10.0.0.1"]), max_size=4),
    FAR,
    st.lists(NEAR, max_size=5),
)
def test_a_caller_is_at_the_last_address_that_is_no_proxy(before, far, proxies):
    """Read from our end: what stands before that was written by the caller itself, whatever it is."""
    headers = {"x-forwarded-for": ", ".join([*before, far, *proxies])}
    assert PROXIES.address_of("10.0.0.1", headers) == far


@given(FAR, st.text(max_size=40))
def test_who_is_no_proxy_is_where_it_connects_from(peer, said):
    """Whatever it says; and with no proxies named nobody is believed."""
    headers = {"x-forwarded-for": said, "forwarded": said}
    assert PROXIES.address_of(peer, headers) == peer
    assert Proxies().address_of("10.0.0.1", headers) == "10.0.0.1"


@given(FAR, st.lists(NEAR, max_size=3))
def test_both_spellings_of_a_way_come_to_the_same(far, proxies):
    """X-Forwarded-For and Forwarded (RFC 7239), alone or together."""
    hops = [far, *proxies]
    listed = ", ".join(hops)
    told = ", ".join(f'for="{f"[{hop}]" if hop.count(":") > 1 and hop[0] != "[" else hop}"' for hop in hops)
    found = [{"x-forwarded-for": listed}, {"forwarded": told}, {"x-forwarded-for": listed, "forwarded": told}]
    assert {PROXIES.address_of("10.0.0.1", headers) for headers in found} == {far}


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_an_ipv6_host_is_counted_once_for_all_its_addresses(address, host):
    """By the first 64 bits; another network is another bucket."""
    assume(address.ipv4_mapped is None)
    site = int(address) >> 64 << 64
    same, other = (type(address)(number) for number in (site | host, site ^ 1 << 64 | host))
    assume(same.ipv4_mapped is None and other.ipv4_mapped is None)
    assert bucket_of(str(same)) == bucket_of(str(address))
    assert bucket_of(str(other)) != bucket_of(str(address))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_its_own_bucket_however_it_is_written(address):
    """Mapped into IPv6 it is the same, and as local."""
    assert bucket_of(str(address)) == bucket_of(f"::ffff:{address}") == str(address)
    assert is_local(str(address)) is is_local(f"::ffff:{address}") is (address in ip_network("127.0.0.0/8"))


HOSTS = st.from_regex(r"[a-z0-9-]{1,8}(\.[a-z0-9-]{1,8}){0,2}", fullmatch=True)


@given(HOSTS, HOSTS, st.sampled_from(["", ":80", ":65535", "."]), st.booleans())
def test_a_host_is_asked_by_its_own_names(host, other, end, upper):
    """In any case, on any port, with the dot that ends it."""
    hosts = names_of([host])
    said = f"{host.upper() if upper else host}{end}"
    check_host(said, hosts=hosts)
    check_origin(f"https://{said}", hosts=hosts)
    if other != host:
        assert isinstance(error_of(check_host, other, hosts=hosts), Misdirected)
        assert isinstance(error_of(check_origin, f"https://{other}", hosts=hosts), ForeignOrigin)


@given(st.text(max_size=30), HOSTS)
def test_a_host_that_is_none_never_passes(said, host):
    """Nor one with anything before it or behind it; and a page without an origin is no page of ours."""
    hosts = names_of([host])
    for text in (f"{said}@{host}", f"{host}/{said}", f"{host} {said}", f"{host},{said}", f"{host}:65536"):
        assert isinstance(error_of(check_host, text, hosts=hosts), BadHead | Misdirected)
    assert isinstance(error_of(check_origin, f"null{said}", hosts=hosts), ForeignOrigin)


@given(
    st.sampled_from(["application/json", "application/problem+json", "text/x+json", "Application/JSON"]),
    st.text(max_size=9),
)
def test_a_body_is_json_by_its_type_alone(kind, parameter):
    """Whatever parameters come with it; what a form of a page can send is none."""
    assert is_json(kind)
    assert is_json(f" {kind} ;{parameter}")
    assert not any(
        map(is_json, ("text/plain", "multipart/form-data", "application/x-www-form-urlencoded", f"x{kind}/"))
    )


# -- what is believed, and in which coding it comes --------------------------------------------------------------------

DIRECTIVES = st.lists(
    st.tuples(
        st.sampled_from(
            ["max-age", "stale-if-error", "no-cache", "no-store", "must-revalidate", "public", "private", "x"]
        ),
        st.integers(0, 10_000),
    ),
    max_size=4,
)


@given(DIRECTIVES, st.none() | st.integers(0, 10_000), st.sampled_from([None, "accept", "authorization", "*"]))
def test_a_lifetime_is_the_strictest_of_what_was_said(said, age, vary):
    """Counted by hand (RFC 9111, RFC 5861): the lowest of each number, less the age, and never beyond ours."""
    timed = {"max-age", "stale-if-error"}
    headers = {"cache-control": ", ".join(f"{name}={number}" if name in timed else name for name, number in said)}
    headers |= {} if age is None else {"age": str(age)}
    headers |= {} if vary is None else {"vary": vary}
    names = {name for name, _ in said}
    fresh = min([number for name, number in said if name == "max-age"], default=MANIFEST_TTL + (age or 0)) - (age or 0)
    stale = min([number for name, number in said if name == "stale-if-error"], default=MANIFEST_STALE)
    found = lifetime_of(headers)
    assert found.fresh == (0 if "no-cache" in names else max(0, min(fresh, MANIFEST_TTL)))
    assert found.stale == (0 if names & {"no-cache", "must-revalidate"} else min(stale, MANIFEST_STALE))
    assert found.is_kept is ("no-store" not in names)
    assert found.is_public is ("public" in names and "private" not in names and vary in (None, "accept"))


@given(st.floats(0, 400), st.floats(0, 4000), st.floats(0, 5000))
def test_a_manifest_goes_from_fresh_to_stale_to_expired(fresh, stale, age):
    """And never back."""
    lifetime = Lifetime(fresh, stale)
    order = ["fresh", "stale", "expired"]
    assert order.index(lifetime.standing(age)) <= order.index(lifetime.standing(age + 1))
    assert lifetime.standing(fresh) != "fresh"
    assert lifetime.standing(fresh + stale) == "expired"


@given(st.binary(max_size=40), st.binary(max_size=40), st.text(max_size=10))
def test_a_tag_stands_for_one_document_and_can_be_sent_back(text, other, odd):
    """In a header of ours; one that could not is none."""
    assert tag_of({"etag": etag(text)}) == etag(text)
    assert (etag(text) == etag(other)) is (text == other)
    found = tag_of({"etag": f'"{odd}"'})
    assert found is None or not set(odd) - set(map(chr, range(0x21, 0x7F)))


CODINGS = ("zstd", "br", "gzip")
ACCEPTED = st.lists(
    st.tuples(st.sampled_from([*CODINGS, "GZIP", "identity", "*", "deflate"]), st.none() | st.integers(0, 1000)),
    max_size=5,
)


@given(ACCEPTED, st.sampled_from(["", " "]))
def test_a_coding_is_the_one_that_is_liked_best(accepted, blank):
    """By hand (RFC 9110 section 12.5.3): by weight, by our own order where two weigh alike, or none at all."""
    members = [(name, 1.0 if weight is None else weight / 1000, weight) for name, weight in accepted]
    text = ",".join(
        f"{name}{blank}" + ("" if of is None else f";{blank}q={weight:.3f}") for name, weight, of in members
    )
    weights = {name.lower(): weight for name, weight, _ in members}
    liked = {coding: weights.get(coding, weights.get("*", 0.0)) for coding in CODINGS}
    best = max(CODINGS, key=lambda coding: (liked[coding], -CODINGS.index(coding)))
    identity = weights.get("identity", 0.0)
    expected = IDENTITY if not liked[best] or identity > liked[best] else best
    assert choose(text, CODINGS) == expected


@given(st.text(max_size=30), st.lists(st.sampled_from(CODINGS), unique=True).map(tuple))
def test_no_coding_is_chosen_that_was_not_named(said, ours):
    """Whatever stands in the header, and whatever we can do."""
    found = choose(said, ours)
    assert found == IDENTITY or (found in ours and (found in said.lower() or "*" in said))


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([*CODINGS, "*", "", "identity;q=1"])), max_size=8))
def test_a_coding_that_a_peer_refused_is_not_sent_again(happenings):
    """Whatever it says of it afterwards; one that says nothing when it refuses is sent none at all."""
    agreement, refused = Agreement(CODINGS), set()
    for is_refusal, said in happenings:
        if is_refusal:
            refused.add(agreement.coding)
            agreement = agreement.refused(agreement.coding, said or None)
        else:
            agreement = agreement.heard(said)
        assert agreement.coding == IDENTITY or agreement.coding not in refused


NAMES = st.sampled_from([b"Accept", b"accept", b"HOST", b"host", b"Content-Length", b"X-One", b"x-one", b"Forwarded"])


@given(st.lists(st.tuples(NAMES, st.sampled_from([b"a", b"b", b"1"])), max_size=8))
def test_headers_that_are_lists_are_joined_and_of_others_the_first_counts(pairs):
    """In their order, by names in lower case; two hosts or lengths are joined too, and so are none."""
    folded = fold(pairs)
    assert folded.keys() == {name.lower().decode() for name, _ in pairs}
    for name, value in folded.items():
        given_values = [item.decode() for other, item in pairs if other.lower().decode() == name]
        joined = name in ("host", "content-length", "forwarded")
        assert value == (", ".join(given_values) if joined else given_values[0])


@given(st.ip_addresses() | st.just("localhost") | HOSTS, st.sampled_from(["", "."]))
def test_only_what_names_this_machine_stays_on_it(host, dot):
    """And leads nowhere else: any other name leads to what is public, and to nothing of this machine."""
    targets = targets_of(f"{host}{dot}")
    is_here = host == "localhost" or getattr(host, "is_loopback", False)
    assert targets.public is not is_here
    assert targets.allows("127.0.0.1") is targets.allows("::1") is is_here
    assert not targets.allows("10.0.0.1")


@given(st.lists(st.ip_addresses(), max_size=3), st.ip_addresses(v=4, network="10.0.0.0/8"))
def test_one_address_that_is_not_allowed_is_enough(addresses, inside):
    """Wherever it stands among those that a name leads to; and a name that leads nowhere is not connected to."""
    targets = parse_targets("public")
    for mixed in ([*addresses, inside], [inside, *addresses], []):
        assert isinstance(error_of(targets.check, "name", [str(each) for each in mixed]), ForbiddenTarget)
    allowed = [str(each) for each in addresses if targets.allows(str(each))]
    assert not allowed or error_of(targets.check, "name", allowed) is None

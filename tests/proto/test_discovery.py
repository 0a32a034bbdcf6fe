"""What a client believes of what its peer publishes: looked up, asked for, asked about again, and forgotten."""

import pytest
from attrs import evolve

from asap_proto.errors import (
    CircuitOpen,
    MalformedReply,
    OtherAgent,
    PeerRefused,
    PeerUnreachable,
    RemoteFault,
    SkillNotFound,
    TaskNotFound,
    UnverifiedManifest,
)
from asap_proto.http import HttpResponse, TransportFailure
from asap_proto.limits import MANIFEST_REST, MANIFEST_STALE, MANIFEST_TTL, SIGNED_BYTES
from asap_proto.roles import ClientRole, OpenStream, RecallManifest, SaveManifest, Shared, Transmit
from asap_proto.rules.breaker import Breaker
from asap_proto.stores import ManifestCounts, MemoryManifests
from asap_proto.wire.json import dump
from asap_proto.wire.manifests import dump_manifest
from asap_proto.wire.nouns import encode
from asap_testkit import ME, PEER, FixedClock, alone, asks, echo_manifest, finish, fixed_sources, letter, link

MANIFEST = echo_manifest()
BODY = dump_manifest(MANIFEST)
RENAMED = evolve(MANIFEST, name="Renamed")
REFUSED = TransportFailure("refused", "connection refused")
UNCHANGED = HttpResponse(304, {"etag": '"one"'})


def published(manifest=MANIFEST, tag='"one"', said="public, max-age=300", **headers):
    headers |= {"cache-control": said} if said else {}
    return HttpResponse(200, headers | ({"etag": tag} if tag else {}), dump_manifest(manifest))


class Asker:
    """A client role with a clock that stands still, and what it kept where it survives."""

    def __init__(self, manifests=None, clock=None, saved=None, **options):
        self.clock = clock or FixedClock()
        self.manifests = manifests or MemoryManifests()
        self.saved = saved
        options |= {"saved_as": "name"} if saved is not None else {}
        self.role = ClientRole(ME, fixed_sources(self.clock), manifests=self.manifests, place="here", **options)

    def asked(self, *answers, steps=None):
        """What a look-up ends with, and the headers of each question that it took, answered so in order."""
        steps, questions, given = alone(self.role.discover()) if steps is None else steps, [], None
        left = list(answers)
        while True:
            try:
                command = steps.send(given)
            except StopIteration as end:
                assert not left
                return end.value, questions
            except RemoteFault as error:
                assert not left
                return error, questions
            if isinstance(command, Transmit):
                questions.append(command.request.headers)
                given = left.pop(0)
            elif isinstance(command, RecallManifest):
                given = self.saved.get(command.name)
            elif isinstance(command, SaveManifest):
                self.saved[command.name], given = command.record, None
            else:
                self.clock.move(command.seconds)
                given = None

    def found(self, *answers):
        return self.asked(*answers)[0]

    def counts(self):
        counted = self.manifests.counts()
        return evolve(counted, bytes=0)


def signed_by_me(told):
    """What a pinned key does, without the arithmetic."""
    if told.signature != "me":
        raise UnverifiedManifest("not signed by me")


def signed_by_you(told):
    """Another key."""
    if told.signature != "you":
        raise UnverifiedManifest("not signed by you")


SIGNED = evolve(MANIFEST, signature="me")


@pytest.mark.proves("client.manifest")
def test_a_fresh_manifest_takes_no_command():
    """Nobody is asked, and nothing is waited for."""
    asker = Asker()
    assert asker.asked(published())[0] == MANIFEST
    assert finish(asker.role.discover()) == MANIFEST
    assert asker.counts() == ManifestCounts(hits=1, misses=1, fetches=1, entries=1)


@pytest.mark.proves("client.validators")
def test_a_manifest_that_is_no_longer_fresh_is_asked_about():
    """By its tag; where nothing has changed it is as good as new, and no document was sent."""
    asker = Asker()
    _, (headers,) = asker.asked(published())
    assert "if-none-match" not in headers
    asker.clock.move(MANIFEST_TTL)
    told, (headers,) = asker.asked(UNCHANGED)
    assert told == MANIFEST
    assert headers["if-none-match"] == '"one"'
    asker.clock.move(MANIFEST_TTL - 1)
    assert finish(asker.role.discover()) == MANIFEST
    assert asker.counts() == ManifestCounts(hits=1, misses=2, fetches=2, revalidated=1, entries=1)


@pytest.mark.proves("client.validators")
def test_a_new_manifest_takes_the_place_of_the_old_one():
    """With its own tag."""
    asker = Asker()
    asker.asked(published())
    asker.clock.move(MANIFEST_TTL)
    assert asker.found(published(RENAMED, tag='"two"')) == RENAMED
    asker.clock.move(MANIFEST_TTL)
    assert asker.asked(published(tag=None))[1][0]["if-none-match"] == '"two"'
    asker.clock.move(MANIFEST_TTL)
    assert "if-none-match" not in asker.asked(published())[1][0]


@pytest.mark.proves("client.validators")
def test_an_expired_manifest_is_still_asked_about():
    """However long nobody has asked: it need not be sent again."""
    asker = Asker()
    asker.asked(published())
    asker.clock.move(10 * MANIFEST_STALE)
    assert asker.found(UNCHANGED) == MANIFEST


@pytest.mark.proves("client.validators")
@pytest.mark.parametrize("headers", [{}, {"etag": 'W/"one"'}, {"etag": '"one-gzip"'}])
def test_an_answer_that_nothing_has_changed_is_of_what_was_asked_about(headers):
    """Proxies that compress make other tags of a document's; and what is asked about next is the same as before."""
    asker = Asker()
    asker.asked(published())
    for _ in range(2):
        asker.clock.move(MANIFEST_TTL)
        told, (question,) = asker.asked(HttpResponse(304, headers))
        assert told == MANIFEST
        assert question["if-none-match"] == '"one"'


@pytest.mark.proves("client.validators")
def test_whoever_was_not_asked_about_anything_can_not_say_that_nothing_has_changed():
    """There would be nothing to believe."""
    assert isinstance(Asker().found(UNCHANGED), PeerRefused)


@pytest.mark.proves("client.cache-control")
def test_a_peer_says_how_long_it_may_be_believed():
    """And says it anew with each answer that nothing has changed."""
    asker = Asker()
    asker.asked(published(said="max-age=60"))
    asker.clock.move(60)
    asker.asked(evolve(UNCHANGED, headers={"cache-control": "max-age=5"}))
    asker.clock.move(4)
    assert finish(asker.role.discover()) == MANIFEST
    asker.clock.move(1)
    asker.asked(UNCHANGED)
    asker.clock.move(4)
    assert finish(asker.role.discover()) == MANIFEST
    asker.clock.move(1)
    asker.asked(published(said="no-store"))
    assert asker.counts().entries == 0
    assert asker.found(published()) == MANIFEST


@pytest.mark.proves("client.stale")
def test_while_its_peer_can_not_be_asked_a_stale_manifest_serves():
    """After one try, and then without any for a moment: nobody waits in vain each time."""
    asker = Asker()
    asker.asked(published())
    asker.clock.move(MANIFEST_TTL)
    for failure in (REFUSED, HttpResponse(503), TransportFailure("timed_out", "slow"), HttpResponse(429)):
        assert asker.found(failure) == MANIFEST
        asker.clock.move(MANIFEST_REST - 1)
        assert finish(asker.role.discover()) == MANIFEST
        asker.clock.move(1)
    assert asker.found(UNCHANGED) == MANIFEST
    assert asker.counts() == ManifestCounts(misses=6, stale=8, fetches=6, revalidated=1, entries=1)


@pytest.mark.proves("client.stale")
def test_the_stale_serve_for_a_bounded_time():
    """Then the failure is told; who comes back is asked about what is held."""
    asker = Asker()
    asker.asked(published())
    asker.clock.move(MANIFEST_TTL + MANIFEST_STALE - 1)
    assert asker.found(REFUSED) == MANIFEST
    asker.clock.move(1)
    assert isinstance(asker.found(REFUSED, REFUSED, REFUSED), PeerUnreachable)
    assert asker.found(UNCHANGED) == MANIFEST


@pytest.mark.proves("client.stale")
def test_a_manifest_that_grows_old_while_its_peer_is_asked_does_not_serve():
    """What counts is when the try has failed."""
    asker = Asker()
    asker.asked(published())
    asker.clock.move(MANIFEST_TTL + MANIFEST_STALE - 1)
    steps = alone(asker.role.discover())
    asks(steps)
    asker.clock.move(1)
    with pytest.raises(PeerUnreachable):
        steps.send(REFUSED)


@pytest.mark.proves("client.stale")
def test_a_peer_may_ask_that_nothing_stale_serves():
    """As one does whose skills come and go."""
    asker = Asker()
    asker.asked(published(said="max-age=5, must-revalidate"))
    asker.clock.move(5)
    assert isinstance(asker.found(REFUSED, REFUSED, REFUSED), PeerUnreachable)


@pytest.mark.proves("client.stale")
def test_an_open_breaker_is_an_outage_too():
    """Nobody is asked, and the stale one serves."""
    asker = Asker(breaker=Breaker(threshold=1))
    asker.asked(published())
    asker.clock.move(MANIFEST_TTL)
    assert asker.found(REFUSED) == MANIFEST
    asker.clock.move(MANIFEST_REST)
    assert asker.asked() == (MANIFEST, [])
    asker.manifests.drop(asker.role._discovery._keys)
    assert isinstance(asker.found(), CircuitOpen)


@pytest.mark.proves("client.manifest-dropped")
@pytest.mark.parametrize(
    "answer",
    [
        HttpResponse(404),
        HttpResponse(410),
        HttpResponse(401),
        HttpResponse(301, {"location": "/elsewhere"}),
        HttpResponse(200, {}, b"{}"),
        HttpResponse(200, {}, b"no JSON"),
        HttpResponse(200, {}, BODY.replace(PEER.encode(), b"urn:asap:agent:other")),
        TransportFailure("forbidden", "leads inside"),
    ],
)
def test_what_is_gone_or_can_not_be_believed_is_forgotten(answer):
    """The old one does not serve in its stead, and is not asked about again."""
    asker = Asker(agent=PEER)
    asker.asked(published())
    asker.clock.move(MANIFEST_TTL)
    assert isinstance(asker.found(answer), RemoteFault)
    assert asker.counts().entries == 0
    assert "if-none-match" not in asker.asked(published())[1][0]


@pytest.mark.proves("client.manifest-dropped")
def test_a_failure_where_nothing_was_held_drops_nothing():
    """There is nothing to count."""
    asker = Asker()
    assert isinstance(asker.found(HttpResponse(200, {}, b"{}")), MalformedReply)
    assert asker.counts() == ManifestCounts(misses=1, fetches=1)


def failed(error, id="req-1"):
    """An answer that reports such an error."""
    told = {"code": -32602, "message": "m", "data": {"code": error.kind.code}}
    return HttpResponse(200, {}, dump({"jsonrpc": "2.0", "id": id, "error": told}))


UNKNOWN_SKILL = failed(SkillNotFound)


@pytest.mark.proves("client.manifest-dropped")
def test_a_peer_that_has_changed_is_asked_anew():
    """It does not know a skill that its manifest names; or its stream says so."""
    asker = Asker()
    asker.asked(published())
    assert isinstance(asker.asked(UNKNOWN_SKILL, steps=asker.role.send(letter()))[0], SkillNotFound)
    assert asker.counts().dropped == 1
    asker.asked(published())
    steps = asker.role.stream(letter())
    assert isinstance(asks(steps), OpenStream)
    with pytest.raises(RemoteFault):
        steps.send(HttpResponse(301, {"location": "/elsewhere"}))
    assert asker.counts().dropped == 2


@pytest.mark.proves("client.manifest-dropped")
def test_one_item_of_a_batch_is_enough_to_tell_of_a_change():
    """Whatever became of the others."""
    asker = Asker()
    asker.asked(published())
    errors = b"[" + UNKNOWN_SKILL.body + b"]"
    results, _ = asker.asked(HttpResponse(200, {}, errors), steps=asker.role.send_batch([letter(), letter()]))
    assert isinstance(results[0], SkillNotFound)
    assert asker.counts().dropped == 1


@pytest.mark.proves("client.manifest-dropped")
def test_a_peer_that_fails_otherwise_is_what_it_was():
    """Busy, or of another opinion."""
    asker = Asker()
    asker.asked(published())
    assert isinstance(asker.asked(HttpResponse(401), steps=asker.role.send(letter()))[0], PeerRefused)
    steps = asker.role.stream(letter())
    asks(steps)
    with pytest.raises(PeerRefused):
        steps.send(HttpResponse(400))
    errors = b"[" + failed(TaskNotFound, "req-3").body + b"]"
    results, _ = asker.asked(HttpResponse(200, {}, errors), steps=asker.role.send_batch([letter()]))
    assert isinstance(results[0], TaskNotFound)
    assert asker.counts().dropped == 0


@pytest.mark.proves("client.one-fetch")
def test_who_waits_for_another_is_told_what_that_one_was():
    """Each raises an error of its own: what is raised twice at once tells of neither."""
    asker = Asker()
    steps = asker.role.discover()
    assert isinstance(asks(steps), Shared)
    assert finish(steps, MANIFEST) is MANIFEST
    error = PeerUnreachable("gone", facts={"status": 5})
    steps = asker.role.discover()
    asks(steps)
    with pytest.raises(PeerUnreachable, match="gone") as caught:
        steps.send(error)
    assert caught.value is not error
    assert caught.value.facts == error.facts


@pytest.mark.proves("client.one-fetch")
def test_who_comes_second_finds_what_the_first_has_fetched():
    """Between the look-up and the fetch somebody else was faster."""
    asker = Asker()
    steps = asker.role.discover()
    second = asks(steps).story
    asker.asked(published())
    assert finish(second) == MANIFEST
    assert asker.counts().fetches == 1


def key_of(asker):
    return asks(asker.role.discover()).key


@pytest.mark.proves("client.one-fetch")
def test_only_those_who_would_ask_alike_wait_for_each_other():
    """The same place, agent and key, shown the same, by clients that are as patient, and have verified it, or not."""
    manifests, clock = MemoryManifests(), FixedClock()
    vetted = Asker(manifests, clock, check_manifest=signed_by_me)
    vetted.asked(published(SIGNED, said="no-store"))
    plain = key_of(Asker(manifests))
    assert key_of(Asker(manifests)) == plain
    pinned = key_of(Asker(manifests, check_manifest=signed_by_me))
    assert key_of(Asker(manifests, check_manifest=signed_by_me)) == pinned
    token = key_of(Asker(manifests, token="secret"))
    others = [
        key_of(Asker(manifests, **options))
        for options in ({"timeout": 1.0}, {"agent": PEER}, {"check_manifest": signed_by_you}, {"token": "secret"})
    ]
    assert len({plain, pinned, key_of(vetted), token, *others}) == 8
    assert "secret" not in repr(token)


@pytest.mark.proves("client.pinned")
def test_a_manifest_verified_by_one_key_never_serves_who_pins_another():
    """Nor does one that nobody verified; equal keys share, and a check that can't be hashed is shared with itself."""

    class Unhashable(list):
        def __call__(self, told):
            signed_by_me(told)

    manifests = MemoryManifests()
    assert Asker(manifests, check_manifest=signed_by_me).found(published(SIGNED)) == SIGNED
    assert finish(Asker(manifests, check_manifest=signed_by_me).role.discover()) == SIGNED
    assert isinstance(Asker(manifests, check_manifest=signed_by_you).found(published(SIGNED)), UnverifiedManifest)
    assert Asker(manifests).found(published()) == MANIFEST
    one, other = Unhashable(), Unhashable()
    assert Asker(manifests, check_manifest=one).found(published(SIGNED)) == SIGNED
    assert finish(Asker(manifests, check_manifest=one).role.discover()) == SIGNED
    assert Asker(manifests, check_manifest=other).found(published(SIGNED)) == SIGNED


@pytest.mark.proves("client.pinned")
def test_a_document_is_verified_once():
    """Not for each look-up, nor where nothing has changed."""
    verified = []
    asker = Asker(check_manifest=verified.append)
    asker.asked(published())
    asker.asked()
    asker.clock.move(MANIFEST_TTL)
    asker.asked(UNCHANGED)
    assert len(verified) == 1
    asker.clock.move(MANIFEST_TTL)
    asker.asked(published())
    assert len(verified) == 2


@pytest.mark.proves("client.pinned")
def test_who_finds_a_verified_manifest_may_send():
    """A client with the same key has seen to it; while none is fresh the peer is asked, and shown no credentials."""
    manifests, clock = MemoryManifests(), FixedClock()
    Asker(manifests, clock, check_manifest=signed_by_me).asked(published(SIGNED))
    second = Asker(manifests, clock, check_manifest=signed_by_me, token="secret")
    steps = alone(second.role.send(letter()))
    assert asks(steps).request.headers["authorization"] == "Bearer secret"
    clock.move(MANIFEST_TTL)
    third = Asker(manifests, clock, check_manifest=signed_by_me, token="secret")
    told, (headers,) = third.asked(UNCHANGED)
    assert told == SIGNED
    assert "authorization" not in headers
    assert headers["if-none-match"] == '"one"'


@pytest.mark.proves("client.pinned")
def test_a_stale_manifest_vets_nobody():
    """It serves whoever has verified it already, and has no other one."""
    manifests, clock = MemoryManifests(), FixedClock()
    first = Asker(manifests, clock, check_manifest=signed_by_me)
    first.asked(published(SIGNED))
    clock.move(MANIFEST_TTL)
    assert first.found(REFUSED) == SIGNED
    second = Asker(manifests, clock, check_manifest=signed_by_me)
    assert isinstance(second.found(REFUSED, REFUSED, REFUSED), PeerUnreachable)


@pytest.mark.proves("client.cache-control")
def test_what_a_caller_was_told_by_its_credentials_is_told_no_other():
    """Unless the peer says that it is public, and so the same for all."""
    manifests = MemoryManifests()
    known = Asker(manifests, token="secret")
    assert known.found(published(RENAMED, said="")) == RENAMED
    assert finish(known.role.discover()) == RENAMED
    assert Asker(manifests, token="secret").found(published(RENAMED, said="private")) == RENAMED
    assert Asker(manifests).found(published(said="")) == MANIFEST
    assert finish(Asker(manifests).role.discover()) == MANIFEST
    assert Asker(manifests, credentials=lambda request, now, nonce: {}).found(published(said="public")) == MANIFEST
    assert finish(Asker(manifests, token="other").role.discover()) == MANIFEST


@pytest.mark.proves("client.cache-control")
def test_what_was_public_and_is_no_longer_is_forgotten():
    """The next one who asks is told what is for it."""
    manifests, clock = MemoryManifests(), FixedClock()
    Asker(manifests, clock).asked(published())
    clock.move(MANIFEST_TTL)
    known = Asker(manifests, clock, token="secret")
    assert known.found(published(RENAMED, said="private")) == RENAMED
    assert Asker(manifests, clock).found(published()) == MANIFEST


@pytest.mark.proves("client.cache-control")
def test_an_answer_that_nothing_has_changed_makes_nothing_public():
    """It may leave out that the document differs by who asks, as that has not changed (RFC 9111 section 4.3.4)."""
    manifests, clock = MemoryManifests(), FixedClock()
    known = Asker(manifests, clock, token="secret")
    known.asked(published(RENAMED, vary="authorization"))
    clock.move(MANIFEST_TTL)
    assert known.found(HttpResponse(304, {"cache-control": "public, max-age=300"})) == RENAMED
    assert finish(known.role.discover()) == RENAMED
    assert Asker(manifests, clock).found(published()) == MANIFEST


def test_peers_at_other_places_are_apart():
    """One that was found here says nothing of another."""
    manifests = MemoryManifests()
    Asker(manifests).asked(published())
    other = ClientRole(ME, fixed_sources(), manifests=manifests, place="there")
    assert isinstance(asks(alone(other.discover())), Transmit)


def test_what_was_found_survives():
    """Its time goes on meanwhile, and its tag is as good as it was."""
    saved, clock = {}, FixedClock()
    Asker(saved=saved, clock=clock).asked(published())
    clock.move(MANIFEST_TTL - 1)
    asker = Asker(saved=saved, clock=clock)
    assert asker.asked() == (MANIFEST, [])
    assert asker.counts() == ManifestCounts(misses=1, restored=1, entries=1)
    clock.move(1)
    assert Asker(saved=saved, clock=clock).found(REFUSED) == MANIFEST
    told, (headers,) = Asker(saved=saved, clock=clock).asked(UNCHANGED)
    assert told == MANIFEST
    assert headers["if-none-match"] == '"one"'
    assert Asker(saved=saved, clock=clock).asked() == (MANIFEST, [])


@pytest.mark.proves("client.pinned")
def test_what_survived_is_verified_again():
    """By each client's own key, and for its own agent: whoever can write there gains nothing."""
    saved = {}
    Asker(saved=saved).asked(published(SIGNED))
    assert Asker(saved=saved, check_manifest=signed_by_me).asked() == (SIGNED, [])
    record = saved["name"]
    for options in ({"check_manifest": signed_by_you}, {"agent": "urn:asap:agent:other"}):
        asker = Asker(saved={"name": record}, **options)
        found, (headers,) = asker.asked(published(SIGNED))
        assert isinstance(found, UnverifiedManifest | OtherAgent)
        assert "if-none-match" not in headers
    assert Asker(saved={"name": record[:-9]}).found(published()) == MANIFEST
    assert Asker(saved={"name": b"\x00" * 99}).found(published()) == MANIFEST


def test_what_is_for_one_caller_alone_does_not_survive():
    """Nor does what is not to be stored; what nobody showed credentials for does, for those who show none."""
    for options, said in (({"token": "secret"}, ""), ({"token": "secret"}, "private"), ({}, "public, no-store")):
        saved = {"name": b"of before"}
        Asker(saved=saved, **options).asked(published(said=said))
        assert saved == {"name": None}
    saved = {}
    Asker(saved=saved).asked(published(said=""))
    assert Asker(saved=saved).asked() == (MANIFEST, [])
    assert Asker(saved=saved, token="secret").found(published(said="")) == MANIFEST
    Asker(saved=saved, token="secret").asked(published())
    assert Asker(saved=saved, token="other").asked() == (MANIFEST, [])


@pytest.mark.proves("client.manifest-dropped")
def test_what_is_forgotten_does_not_survive():
    """Neither after an answer that can't be believed, nor where a request tells of a change."""
    for answer in (HttpResponse(200, {}, b"{}"), HttpResponse(404)):
        asker = Asker(saved={})
        asker.asked(published())
        asker.clock.move(MANIFEST_TTL)
        asker.asked(answer)
        assert asker.saved == {"name": None}
    asker = Asker(saved={})
    asker.asked(published())
    asker.asked(UNKNOWN_SKILL, steps=asker.role.send(letter()))
    assert asker.saved == {"name": None}


@pytest.mark.proves("client.manifest-dropped")
def test_what_was_saved_before_a_restart_is_forgotten_too():
    """Though it was not looked up since; once it is gone nobody writes that again."""
    saved = {}
    Asker(saved=saved).asked(published())
    asker = Asker(saved=saved)
    asker.asked(UNKNOWN_SKILL, steps=asker.role.send(letter()))
    assert saved == {"name": None}
    saved.clear()
    asker.asked(UNKNOWN_SKILL, steps=asker.role.send(letter()))
    assert saved == {}


def test_over_a_link_a_second_question_is_answered_with_304():
    """Our server's answers are what our client expects."""
    wire = link(client={"saved_as": "echo"})
    assert wire.run(wire.client.discover()) == MANIFEST
    assert encode(MANIFEST)["name"].encode() in wire.saved["echo"]
    wire.clock.move(MANIFEST_TTL)
    assert wire.run(wire.client.discover()) == MANIFEST
    assert [request.headers.get("if-none-match") is not None for request in wire.sent] == [False, True]


@pytest.mark.proves("client.cache-control")
def test_what_was_public_stays_public_where_nothing_has_changed():
    """Whoever asks next, and shows credentials, finds it too."""
    manifests, clock = MemoryManifests(), FixedClock()
    asker = Asker(manifests, clock)
    asker.asked(published())
    clock.move(MANIFEST_TTL)
    asker.asked(HttpResponse(304, {"cache-control": "public"}))
    assert finish(Asker(manifests, clock, token="secret").role.discover()) == MANIFEST


@pytest.mark.proves("client.stale")
def test_a_rest_ends_with_an_answer():
    """Once somebody was told that nothing has changed, its peer can be asked: when that is stale too, it is."""
    manifests, clock = MemoryManifests(), FixedClock()
    vetted = Asker(manifests, clock, check_manifest=signed_by_me)
    vetted.asked(published(SIGNED))
    clock.move(MANIFEST_TTL)
    assert vetted.found(REFUSED) == SIGNED
    newcomer = Asker(manifests, clock, check_manifest=signed_by_me)
    assert newcomer.found(HttpResponse(304, {"cache-control": "public, max-age=1"})) == SIGNED
    clock.move(1)
    assert MANIFEST_REST > 1
    assert vetted.found(UNCHANGED) == SIGNED


@pytest.mark.proves("client.pinned")
def test_what_is_not_believed_is_told_in_words():
    """With the path of what is another agent's, and why a large one was not verified."""
    error = Asker(agent="urn:asap:agent:other").found(published())
    assert (type(error), error.path) == (OtherAgent, "$.id")
    large = HttpResponse(200, {}, BODY + b" " * SIGNED_BYTES)
    error = Asker(check_manifest=signed_by_me).found(large)
    assert isinstance(error, UnverifiedManifest)
    assert error.message


def test_what_was_restored_is_held_for_those_it_is_for():
    """A public one for all who ask there, another one for those alone who show no credentials."""
    for said, asked_again in (("public, max-age=300", 0), ("", 1)):
        manifests, clock, saved = MemoryManifests(), FixedClock(), {}
        Asker(saved=saved, clock=clock).asked(published(said=said))
        asker = Asker(manifests, clock, saved)
        assert asker.asked() == (MANIFEST, [])
        assert finish(asker.role.discover()) == MANIFEST
        known = Asker(manifests, clock, token="secret")
        assert len(known.asked(*[published(said=said)] * asked_again)[1]) == asked_again
    saved = {}
    Asker(saved=saved).asked(published())
    manifests = MemoryManifests()
    assert Asker(manifests, saved=saved, token="secret").asked() == (MANIFEST, [])
    assert finish(Asker(manifests).role.discover()) == MANIFEST


@pytest.mark.proves("client.manifest-dropped")
def test_what_was_saved_is_forgotten_though_memory_had_no_room_for_it():
    """What is not held may be saved all the same."""
    asker = Asker(MemoryManifests(most=0), saved={})
    asker.asked(published())
    assert asker.saved["name"] is not None
    asker.asked(UNKNOWN_SKILL, steps=asker.role.send(letter()))
    assert asker.saved == {"name": None}

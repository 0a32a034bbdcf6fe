"""A walker over what clients know of a peer that changes, comes and goes: what they are told was so lately enough."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from asap_proto.errors import AsapError
from asap_proto.http import HttpResponse, TransportFailure
from asap_proto.limits import MANIFEST_REST, MANIFEST_STALE, MANIFEST_TTL
from asap_proto.roles import ClientRole, Pause, Shared, Transmit
from asap_proto.rules.retry import RetryRule
from asap_proto.stores import MemoryManifests
from asap_proto.wire.manifests import dump_manifest
from asap_testkit import ME, FixedClock, echo_manifest, fixed_sources, letter

#: What a peer may say of how long it is to be believed, and what that comes to.
SAID = {
    "": (MANIFEST_TTL, MANIFEST_STALE, True),
    "max-age=60": (60, MANIFEST_STALE, True),
    "max-age=100000, public": (MANIFEST_TTL, MANIFEST_STALE, True),
    "max-age=60, stale-if-error=90": (60, 90, True),
    "max-age=60, must-revalidate": (60, 0, True),
    "no-cache": (0, 0, True),
    "no-store": (MANIFEST_TTL, MANIFEST_STALE, False),
}


SECONDS = st.sampled_from([0.0, 0.5, 9.0, 10.0, 59.0, 61.0, 300.0, 3600.0])
STATES = st.sampled_from(["up", "down", "busy", "gone", "broken", "up"])


class KnownManifestsMachine(RuleBasedStateMachine):
    """Two clients that share a cache, against one entry of three numbers: since when, until when, how long at most.

    A fresh one serves unasked. One that is not is asked about by its tag, and serves, for so long as it may, while the
    peer can't be asked; what it said is forgotten once it
    says that it is no longer there, asked for it or for work. Who asks while another does is told the same.
    """

    @initialize(tagged=st.booleans())
    def begin(self, tagged):
        self.clock = FixedClock()
        cache = MemoryManifests()
        sources = fixed_sources(self.clock)
        once = RetryRule(attempts=1)
        self.clients = [ClientRole(ME, sources, manifests=cache, place="peer", retry=once) for _ in range(2)]
        self.tagged = tagged
        self.version = 1
        self.said = ""
        self.state = "up"
        #: What the cache has to hold: version, since, fresh, stale.
        self.held = None
        self.rests_until = 0.0

    def now(self):
        return self.clock.elapsed()

    def age(self):
        return self.now() - self.held[1]

    # -- what happens to the peer -------------------------------------------------------------------------------------

    @rule(said=st.sampled_from(sorted(SAID)))
    def say(self, said):
        self.said = said

    @rule()
    def change(self):
        self.version += 1

    def pass_by(self, seconds, state):
        """So much time, after which the peer is like this."""
        self.clock.move(seconds)
        self.state = state

    # -- who asks -----------------------------------------------------------------------------------------------------

    @rule(who=st.integers(0, 1), seconds=SECONDS, state=STATES)
    def discover(self, who, seconds, state):
        self.pass_by(seconds, state)
        outcome, asked = self.told(self.clients[who].discover())
        self.check(outcome, asked)

    @rule(first=st.integers(0, 1), seconds=SECONDS, state=STATES)
    def discover_at_once(self, first, seconds, state):
        self.pass_by(seconds, state)
        stories = [self.clients[first].discover(), self.clients[1 - first].discover()]
        asks = []
        for story in stories:
            try:
                asks.append(next(story))
            except StopIteration as end:
                self.check(end.value, [])
        if not asks:
            return
        assert [type(each) for each in asks] == [Shared, Shared]
        assert asks[0].key == asks[1].key
        outcome, asked = self.told(asks[0].story)
        assert len(asked) <= 1
        self.check(outcome, asked)
        for story in stories:
            assert self.ended(story, outcome) in (outcome, (type(outcome), str(outcome)))

    @rule(who=st.integers(0, 1), status=st.sampled_from([301, 308, 404, 410, 429, 500, 503]))
    def ask_for_work(self, who, status):
        steps = self.clients[who].send(letter())
        assert isinstance(next(steps), Transmit)
        assert isinstance(self.ended(steps, HttpResponse(status))[0], type)
        if status in (301, 308, 404, 410):
            self.held = None

    # -- how it is told -----------------------------------------------------------------------------------------------

    def ended(self, story, answer):
        try:
            story.send(answer)
        except StopIteration as end:
            return end.value
        except AsapError as error:
            return (type(error), str(error))
        raise AssertionError("it asks more")

    def told(self, steps):
        """What a story comes to, and the requests that it sent."""
        asked, answer = [], None
        while True:
            try:
                command = steps.send(answer)
            except StopIteration as end:
                return end.value, asked
            except AsapError as error:
                return error, asked
            assert not isinstance(command, Pause)
            if isinstance(command, Shared):
                answer, more = self.told(command.story)
                asked += more
            else:
                assert isinstance(command, Transmit)
                asked.append(command.request)
                answer = self.answer(command.request)

    def answer(self, request):
        if self.state == "down":
            return TransportFailure("refused", "nobody listens")
        if self.state == "broken":
            return HttpResponse(200, {"content-type": "application/json"}, b"{}")
        if self.state != "up":
            return HttpResponse({"busy": 503, "gone": 404}[self.state])
        headers = {"cache-control": self.said} if self.said else {}
        if self.tagged:
            headers["etag"] = f'"{self.version}"'
            if request.headers.get("if-none-match") == headers["etag"]:
                return HttpResponse(304, headers)
        manifest = evolve(echo_manifest(), name=f"Echo {self.version}")
        return HttpResponse(200, {"content-type": "application/json", **headers}, dump_manifest(manifest))

    def check(self, outcome, asked):
        held, version = self.held, None if isinstance(outcome, AsapError) else int(outcome.name.split()[1])
        if held is not None and self.age() < held[2]:
            assert (version, asked) == (held[0], [])
            return
        serves = held is not None and self.age() < held[2] + held[3]
        if serves and self.now() < self.rests_until:
            assert (version, asked) == (held[0], [])
            return
        assert len(asked) == 1
        tag = f'"{held[0]}"' if held is not None and self.tagged else None
        assert asked[0].headers.get("if-none-match") == tag
        if self.state == "up":
            assert version == self.version
            fresh, stale, is_kept = SAID[self.said]
            if not self.said and tag == f'"{self.version}"':
                fresh, stale = held[2:]  # what it does not say anew is as it was
            self.held = (version, self.now(), fresh, stale) if is_kept else None
            self.rests_until = 0.0
        elif self.state in ("gone", "broken"):
            assert version is None
            self.held = None
        elif serves:
            assert version == held[0]
            self.rests_until = self.now() + MANIFEST_REST
        else:
            assert version is None

    @invariant()
    def one_is_held_at_most(self):
        if hasattr(self, "clients"):
            counts = self.clients[0]._discovery._manifests.counts()
            assert counts.entries == (self.held is not None)


KEPT = sorted(said for said in SAID if SAID[said][2])


@given(st.sampled_from(KEPT), st.lists(st.sampled_from(KEPT), max_size=2), st.sampled_from([-1.0, 0.0]))
def test_a_304_changes_only_what_it_says(first, later, margin):
    """Without Cache-Control a manifest is fresh for as long again as it was said to be (RFC 9111 section 4.3.4)."""
    clock = FixedClock()
    client = ClientRole(ME, fixed_sources(clock), retry=RetryRule(attempts=1))
    answer = HttpResponse(
        200,
        {"content-type": "application/json", "etag": '"1"', "cache-control": first},
        dump_manifest(echo_manifest()),
    )
    assert asks(client, answer)
    fresh = SAID[first][0]
    for said in later:
        clock.move(fresh)
        assert asks(client, HttpResponse(304, {"cache-control": said} if said else {}))
        fresh = SAID[said][0] if said else fresh
    clock.move(max(0.0, fresh + margin))
    assert asks(client, HttpResponse(304)) is (fresh == 0 or margin == 0.0)


def asks(client, answer):
    """Whether a look-up asks the peer, which answers so."""
    steps = client.discover()
    try:
        shared = next(steps)
    except StopIteration:
        return False
    assert isinstance(next(shared.story), Transmit)
    with pytest.raises(StopIteration) as end:
        shared.story.send(answer)
    with pytest.raises(StopIteration):
        steps.send(end.value.value)
    return True


TestKnownManifests = KnownManifestsMachine.TestCase

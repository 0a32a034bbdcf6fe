"""A head that is looked at once, and what is left to do for each request that has it."""

import pytest

from asap_proto.http import HttpResponse, RequestHead
from asap_proto.limits import Limits
from asap_proto.roles import Admitted, Authenticate, Observe, ServerRole, Spend
from asap_proto.rules.forwarding import parse_proxies
from asap_proto.rules.identity import Identity, SignedIdentity
from asap_proto.rules.quota import Allowed, Left, Rate, RetryAfter
from asap_testkit import CALLER, ME, NOW, FixedClock, asks, echo_manifest, finish, fixed_sources, told

LEFT = (Left(Rate(10, 1), 9, 0.1),)
PAID = Allowed(LEFT)
SIGNED = SignedIdentity(ME, frozenset({"a"}), nonce="n", key_id="k", created=NOW, digests={})


def role(clock=None, **options):
    return ServerRole(echo_manifest(), fixed_sources(clock or FixedClock()), **options)


def head(path="/asap", method="POST", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return RequestHead(method, path, {"content-type": "application/json"} | named, "192.0.2.1", len(named))


class Purse:
    """A quota that says what it was told to, and keeps who was charged."""

    def __init__(self, answer=PAID):
        self.answer = answer
        self.spent = []

    def spend(self, caller, cost):
        self.spent.append((caller, cost))
        return self.answer


def through(server, said, verdict, purse):
    """What the story of a head comes to, and who was charged for it."""
    spent, steps, answer = [], server.admit(said), None
    try:
        while True:
            command = steps.send(answer)
            if isinstance(command, Spend):
                spent.append((command.caller, command.cost))
                answer = purse.answer
            else:
                answer = verdict if isinstance(command, Authenticate) else None
    except StopIteration as finished:
        return finished.value, spent


def straight(server, said, verdict, purse):
    """The same past the story, where that can be done."""
    admission = server.admission
    looked = admission.look(said)
    if looked is None:
        return None, purse.spent
    if admission.asks and (not admission.may_guess(looked, purse.spend) or verdict is None):
        return None, purse.spent
    return admission.let_in(looked, verdict if admission.asks else None, purse.spend), purse.spent


OPTIONS = [
    {},
    {"quota": True},
    {"challenges": ["Bearer"]},
    {"challenges": ["Bearer"], "quota": True},
    {"compresses": ("zstd", "gzip")},
    {"compresses": ("zstd", "gzip"), "challenges": ["Bearer"]},
    {"proxies": parse_proxies(["192.0.2.1"]), "quota": True},
    {"hosts": ["a.example"]},
]
HEADS = [
    {},
    {"asap_version": "2.2, 2.1", "accept_encoding": "gzip"},
    {"asap_version": "9"},
    {"content_encoding": "GZIP"},
    {"content_encoding": "br"},
    {"content_length": "742", "host": "a.example"},
    {"content_length": "99999999999"},
    {"content_type": "text/plain"},
    {"x_forwarded_for": "198.51.100.7"},
    {"transfer_encoding": "chunked"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: " ".join(options))
@pytest.mark.parametrize("verdict", [CALLER, SIGNED, None], ids=["token", "signed", "nobody"])
@pytest.mark.parametrize("answer", [PAID, Allowed(), RetryAfter(1.0, "x", 1)], ids=["paid", "untold", "spent"])
def test_both_ways_in_come_to_the_same(options, verdict, answer):
    """Whoever is let in past the story is let in by it, as the same, at the same price; else nobody is."""
    found = set()
    for headers in HEADS:
        server, said = role(**options), head(**headers)
        wanted, charged = through(server, said, verdict, Purse(answer))
        admitted, spent = straight(server, said, verdict, Purse(answer))
        found.add(type(admitted))
        if admitted is None:
            assert isinstance(wanted, HttpResponse)
        else:
            assert (admitted, spent) == (wanted, charged)
    refused = "quota" in options and isinstance(answer, RetryAfter)
    nobody = "challenges" in options and verdict is None
    assert found == ({type(None)} if refused or nobody else {Admitted, type(None)})


@pytest.mark.parametrize(
    "said",
    [head("/asap/stream"), head("/health", "GET"), head("/nowhere"), head(method="GET"), head(content_encoding="br")],
    ids=["a stream", "a page", "nothing", "a read", "a coding"],
)
def test_what_is_not_simply_asked_is_looked_at_each_time(said):
    """Its story says what becomes of it."""
    assert role().admission.look(said) is None


def test_what_is_said_of_a_length():
    """A body may be as long as the limit says, and have no length where it comes in chunks."""
    admission = role(limits=Limits(request_bytes=500)).admission
    said = head(content_length="7")
    looked = admission.look(said)
    assert (looked.head, looked.address, looked.most_length) == (said, "192.0.2.1", 500)
    assert admission.look(head(transfer_encoding="chunked")).most_length < 0


def test_who_calls_is_not_asked_twice():
    """A front that knows it says so; who is nobody spends by its address, as ever."""
    admission = role(challenges=["Bearer"], quota=True).admission
    said = head(authorization="Bearer x")
    looked = admission.look(said)
    assert told(role(challenges=["Bearer"]).admission.enter(looked, said, CALLER)).caller == CALLER
    assert asks(admission.enter(looked, said, CALLER)).caller == ME
    steps = admission.enter(looked, said, None)
    assert asks(steps).caller == "guesses from 192.0.2.1"
    assert isinstance(asks(steps, Allowed()), Observe)
    assert finish(steps).status == 200


def test_what_is_kept_of_a_signer_is_who_it_is():
    """What is left to check goes with the request alone."""
    admitted, _ = straight(role(challenges=["Signature"]), head(), SIGNED, Purse())
    assert (admitted.caller, admitted.proof) == (Identity(ME, frozenset({"a"})), SIGNED)
    assert admitted.caller.__class__ is Identity


def test_credentials_are_looked_at_by_the_clock():
    """The agent's own."""
    assert role().admission.now() == NOW


def test_while_work_is_turned_away_each_story_is_told():
    """And nobody pays before it."""
    clock = FixedClock()
    server = role(clock, limits=Limits(late_seconds=0.25), quota=True)
    looked, purse = server.admission.look(head()), Purse()
    assert server.admission.let_in(looked, None, purse.spend) is not None
    for _ in range(20):
        server.felt(5.0)
        clock.move(0.5)
    assert server.admission.let_in(looked, None, purse.spend) is None
    assert len(purse.spent) == 1

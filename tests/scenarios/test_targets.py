"""Where a client connects to, whatever a name leads to: the same on every front, over real sockets.

The resolver is ours: what it answers first and what it answers then is what an attacker's would.
127.0.0.1 stands for where connections may go, 127.0.0.2 for where they may not.
"""

import importlib
import json
import socket

import httpx
import pytest

from asap_adapters._shared.tls import shared_tls
from asap_adapters.auth.jwks import FetchedKeys
from asap_adapters.auth.jwt import Jwt
from asap_proto import Limits, Misuse
from asap_proto.errors import ForbiddenTarget, InvalidValue, PeerRefused, PeerUnreachable, Unauthenticated
from asap_proto.rules.breaker import Breaker
from asap_proto.rules.retry import RetryRule
from asap_proto.rules.targets import parse_targets
from auth.tokens import ISSUER, published

from .ears import Ear, certified
from .fronts import ME, WORKER
from .test_auth import agent_of, token

ALLOWED, FORBIDDEN = "127.0.0.1", "127.0.0.2"
HERE = parse_targets([ALLOWED])
ONCE = RetryRule(attempts=1)


class Names:
    """A resolver that answers in turn what it was given, the last again and again; counts who asks."""

    def __init__(self, front, *answers):
        self._answers, self.asked = list(answers), []
        self.resolve = self._now if front.name == "sync" else self._later

    def _now(self, host, port):
        self.asked.append((host, port))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer is None:
            raise socket.gaierror("no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answer]

    async def _later(self, host, port):
        return self._now(host, port)


@pytest.fixture(params=["PooledTransport", "HttpxTransport"])
def reach(front, request):
    """Makes each transport in turn, with a resolver of ours."""
    made = getattr(importlib.import_module(f"asap_adapters.{front.name}"), request.param)

    def to(url, names, targets=HERE):
        return made(url, Limits(), targets=targets, resolve=names.resolve)

    return to


@pytest.fixture
def ears(stack):
    """The same port at the address that is allowed and at the one that is not."""
    allowed = stack.enter_context(Ear(ALLOWED).open())
    return allowed, stack.enter_context(Ear(FORBIDDEN, allowed.port).open())


def ask(front, reach, url, names, error, **options):
    """What a client is told that asks for a manifest, by a name."""
    made = reach(url, names)
    with front.client(url, transport=made, retry=ONCE, allow_http=True, **options) as client:
        with pytest.raises(error) as caught:
            client.manifest()
        return caught.value


def test_a_name_that_leads_elsewhere_later_was_asked_once(front, reach, ears):
    """The connection goes to the address that was looked at, with the name as its Host: rebinding comes too late."""
    allowed, forbidden = ears
    names = Names(front, [ALLOWED], [FORBIDDEN])
    error = ask(front, reach, f"http://agents.example:{allowed.port}", names, PeerRefused)
    assert error.facts["status"] == 404
    assert names.asked == [("agents.example", allowed.port)]
    ((_, path, headers),) = allowed.heard
    assert path == "/.well-known/asap/manifest.json"
    assert {name.lower(): value for name, value in headers.items()}["host"] == f"agents.example:{allowed.port}"
    assert not forbidden.heard


def test_each_new_connection_is_looked_at(front, reach, ears):
    """A name that was good yesterday may lead anywhere today."""
    allowed, forbidden = ears
    url = f"http://agents.example:{allowed.port}"
    names = Names(front, [ALLOWED], [FORBIDDEN])
    with front.client(url, transport=reach(url, names), retry=ONCE, allow_http=True) as client:
        with pytest.raises(PeerRefused):
            client.manifest()
        with pytest.raises(ForbiddenTarget):  # the server has closed the first: it is of HTTP/1.0
            client.manifest()
    assert (len(allowed.heard), len(forbidden.heard), len(names.asked)) == (1, 0, 2)


@pytest.mark.parametrize(
    "answer",
    [[FORBIDDEN], [ALLOWED, FORBIDDEN], [FORBIDDEN, ALLOWED], ["::ffff:127.0.0.2"], ["::1"], ["169.254.169.254"], []],
)
def test_one_address_that_is_forbidden_is_enough(front, reach, ears, answer):
    """Nothing is sent to any; it is not tried again, the breaker stays closed, and no word says what was found."""
    allowed, forbidden = ears
    names = Names(front, answer)
    url = f"http://agents.example:{allowed.port}"
    made = reach(url, names)
    options = {"retry": RetryRule(attempts=3), "breaker": Breaker(threshold=1), "allow_http": True, "token": "secret"}
    with front.client(url, transport=made, peer=WORKER, **options) as client:
        for call in (lambda: client.request("echo", {}), client.manifest):
            with pytest.raises(ForbiddenTarget) as caught:
                call()
            told = "agents.example leads to an address that may not be connected to (see targets)"
            assert caught.value.message == told
        with pytest.raises(ForbiddenTarget), client.stream("echo", {}) as payloads:
            list(payloads)
    assert len(names.asked) == 3
    assert not allowed.heard
    assert not forbidden.heard


def test_an_address_that_takes_no_connection_is_passed_over(front, reach, stack):
    """The next one was looked at too."""
    ear = stack.enter_context(Ear(ALLOWED).open())
    names = Names(front, ["127.0.0.3", ALLOWED])
    made = reach(f"http://agents.example:{ear.port}", names, parse_targets(["127.0.0.0/8"]))
    client = stack.enter_context(front.client(f"http://agents.example:{ear.port}", transport=made, allow_http=True))
    with pytest.raises(PeerRefused):
        client.manifest()
    assert len(ear.heard) == 1


def test_a_network_that_is_not_there_is_passed_over(front, reach, stack):
    """An address of IPv6, most often, on a machine without."""
    ear = stack.enter_context(Ear(ALLOWED).open())
    names = Names(front, ["100::1", ALLOWED])
    made = reach(f"http://agents.example:{ear.port}", names, parse_targets("any"))
    url = f"http://agents.example:{ear.port}"
    client = stack.enter_context(front.client(url, transport=made, allow_http=True, retry=ONCE))
    with pytest.raises(PeerRefused):
        client.manifest()
    assert len(ear.heard) == 1


def test_a_name_that_leads_nowhere(front, reach):
    """It is a peer that can't be reached, as without targets."""
    error = ask(front, reach, "http://agents.example:9", Names(front, None), PeerUnreachable)
    assert error.message == "http://agents.example:9 takes no connection"


@pytest.mark.parametrize("url", ["http://127.0.0.1:{}", "http://localhost:{}"])
def test_a_client_may_be_told_to_stay_outside(front, ears, url):
    """By the resolver of this machine; without targets a URL that names this machine leads to it."""
    allowed, _ = ears
    url = url.format(allowed.port)
    with front.client(url, targets="public", retry=ONCE) as client, pytest.raises(ForbiddenTarget):
        client.manifest()
    assert not allowed.heard
    for targets in (None, ["public", "127.0.0.1", "::1"]):
        with front.client(url, targets=targets, retry=ONCE) as client, pytest.raises(PeerRefused):
            client.manifest()
    assert len(allowed.heard) == 2


@pytest.mark.parametrize(
    "url", ["https://10.0.0.1", "https://169.254.169.254", "https://[fe80::1]", "https://[fd00:ec2::254]"]
)
def test_a_client_stays_outside_unless_it_may_go_inside(front, url):
    """Nobody has said so: an address that is not for everybody is refused before anything is sent."""
    with front.client(url, retry=ONCE) as client, pytest.raises(ForbiddenTarget):
        client.manifest()


def test_a_client_may_be_told_to_go_anywhere(front, ears):
    """To whatever address a name has, this machine's too."""
    allowed, _ = ears
    url = f"http://0.0.0.0:{allowed.port}"
    for targets, error in ((None, ForbiddenTarget), ("any", PeerRefused)):
        with front.client(url, targets=targets, retry=ONCE, allow_http=True) as client, pytest.raises(error):
            client.manifest()
    assert len(allowed.heard) == 1


@pytest.mark.parametrize("host", ["0x7f.1", "0177.0.0.1", "2130706433", "127.1", "[::ffff:127.0.0.1]", "0"])
def test_spellings_of_this_machine_lead_to_this_machine(front, ears, host):
    """It is the address that counts which the resolver makes of them; some are no URL for httpx, or no name."""
    allowed, _ = ears
    url = f"http://{host}:{allowed.port}"
    with (
        pytest.raises((ForbiddenTarget, PeerUnreachable, Misuse)),
        front.client(url, targets="public", retry=ONCE, allow_http=True) as client,
    ):
        client.manifest()
    assert not allowed.heard


def test_no_proxy_of_the_environment_is_asked(front, reach, ears, monkeypatch):
    """It would resolve the name by itself, and connect to wherever that leads."""
    allowed, proxy = ears
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://{FORBIDDEN}:{proxy.port}")
    monkeypatch.setenv("no_proxy", "")
    ask(front, reach, f"http://agents.example:{allowed.port}", Names(front, [ALLOWED]), PeerRefused)
    assert (len(allowed.heard), len(proxy.heard)) == (1, 0)


def test_the_certificate_has_to_be_that_of_the_name(front, reach, stack, tmp_path):
    """The address is for the connection alone: TLS asks for the name, and believes no other."""
    context, issuer = certified(tmp_path, "agents.example", ALLOWED)
    shared_tls().load_verify_locations(cadata=issuer)  # for this process, and an hour
    ear = stack.enter_context(Ear(ALLOWED, tls=context).open())
    ask(front, reach, f"https://agents.example:{ear.port}", Names(front, [ALLOWED]), PeerRefused)
    assert (len(ear.heard), ear.names) == (1, ["agents.example"])
    ask(front, reach, f"https://other.example:{ear.port}", Names(front, [ALLOWED]), PeerUnreachable)
    assert (len(ear.heard), ear.names) == (1, ["agents.example", "other.example"])


def test_targets_that_could_not_be_kept_are_refused(front, stack):
    """A transport, or an httpx client, that is handed in connects to wherever it likes."""
    module = importlib.import_module(f"asap_adapters.{front.name}")
    given = module.HttpxTransport("http://127.0.0.1", Limits())
    with pytest.raises(Misuse, match="targets of its own"):
        module.Client("http://127.0.0.1", me=ME, transport=given, targets="public")
    client = stack.enter_context(httpx.Client()) if front.name == "sync" else httpx.AsyncClient()
    with pytest.raises(Misuse, match="targets hold for connections of ours"):
        module.HttpxTransport("http://127.0.0.1", Limits(), client, targets=HERE)
    with pytest.raises(InvalidValue, match="is no target"):
        module.Client("http://127.0.0.1", me=ME, targets="private")
    with pytest.raises(InvalidValue, match="is no target"):
        module.Agent(WORKER, targets=["nowhere"])


@pytest.mark.parametrize("targets", [["public"], parse_targets("public")], ids=["names", "made"])
def test_an_agent_has_targets_for_its_peers(front, stack, targets):
    """What it delegates goes nowhere else."""
    ear = stack.enter_context(Ear(ALLOWED).open())
    other = "urn:asap:agent:other"
    agent = front.agent(peers={other: f"http://127.0.0.1:{ear.port}"}, targets=targets)

    @agent.skill("ask")
    def ask_other(task):
        try:
            yield task.delegate(other, "echo", {})
        except ForbiddenTarget as error:
            return {"code": error.code}

    url = stack.enter_context(front.serving(agent))
    client = stack.enter_context(front.client(url))
    assert client.request("ask", {}).result == {"code": "asap:transport/forbidden_target"}
    assert not ear.heard


def test_an_agent_has_targets_for_the_keys_of_issuers(front, stack):
    """A key set that its URL leads elsewhere for is not fetched, and nobody is let in."""
    keys = json.dumps(published("ed-1")).encode()
    ear = stack.enter_context(Ear(ALLOWED, status=200, body=keys).open())

    def asked(**options):
        jwt = Jwt(FetchedKeys(f"http://127.0.0.1:{ear.port}/keys"), issuer=ISSUER, audience=WORKER)
        url = stack.enter_context(front.serving(agent_of(front, auth=[jwt], **options)))
        return stack.enter_context(front.client(url, token=token(), peer=WORKER))

    with pytest.raises(Unauthenticated):
        asked(targets=["public"]).request("whoami", {})
    assert not ear.heard
    for options in ({"targets": ["public", ALLOWED]}, {}):
        assert asked(**options).request("whoami", {}).result == {"caller": ME}
    assert len(ear.heard) == 2

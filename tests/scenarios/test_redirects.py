"""A peer that says to ask elsewhere: nobody is asked there, on every front, over real sockets."""

import importlib
import json

import httpx
import pytest

from asap_adapters.auth.jwks import FetchedKeys
from asap_adapters.auth.jwt import Jwt
from asap_proto import Limits, TaskRequest
from asap_proto.errors import Redirected, Unauthenticated
from asap_proto.rules.retry import RetryRule
from auth.tokens import ISSUER, published

from .ears import Ear
from .fronts import WORKER
from .test_auth import agent_of, token


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("same_host", [True, False])
def test_no_redirect_is_followed(front, stack, status, same_host):
    """Neither to another host nor to the same: no verb, no header and no token comes there."""
    elsewhere = stack.enter_context(Ear("127.0.0.1").open())
    there = f"http://user:hunter2@127.0.0.1:{elsewhere.port}/asap?token=hunter2"
    location = "/elsewhere?token=hunter2" if same_host else there
    ear = stack.enter_context(Ear(status=status, headers={"Location": location}).open())
    client = stack.enter_context(
        front.client(f"http://127.0.0.1:{ear.port}", peer=WORKER, token="secret", retry=RetryRule(attempts=3))
    )
    calls = [lambda: client.request("echo", {}), client.manifest, lambda: client.state("task_1")]
    for call in calls:
        with pytest.raises(Redirected) as caught:
            call()
        assert "hunter2" not in str(caught.value)
        assert caught.value.facts == {"status": status, **({} if same_host else {"host": "127.0.0.1"})}
    with pytest.raises(Redirected), client.stream("echo", {}) as payloads:
        list(payloads)
    assert [path for _, path, _ in ear.heard] == [
        "/asap",
        "/.well-known/asap/manifest.json",
        "/asap",
        "/asap/stream",
    ]
    assert not elsewhere.heard


def test_a_batch_is_not_sent_elsewhere(front, stack):
    """Each of its items is told so."""
    elsewhere = stack.enter_context(Ear().open())
    location = {"Location": f"http://127.0.0.1:{elsewhere.port}/asap"}
    ear = stack.enter_context(Ear(status=307, headers=location).open())
    with front.client(f"http://127.0.0.1:{ear.port}", peer=WORKER) as client:
        envelopes = [client.role.compose(WORKER, TaskRequest("c", "echo", {})) for _ in range(2)]
        answers = client.send_batch(envelopes)
    assert [type(answer) for answer in answers] == [Redirected, Redirected]
    assert len(ear.heard) == 1
    assert not elsewhere.heard


def test_an_httpx_client_that_follows_redirects_follows_none_here(front, stack):
    """Whoever hands one in may have told it to: what it is sent with is meant for one URL all the same."""
    elsewhere = stack.enter_context(Ear().open())
    location = {"Location": f"http://127.0.0.1:{elsewhere.port}/asap"}
    ear = stack.enter_context(Ear(status=307, headers=location).open())
    url = f"http://127.0.0.1:{ear.port}"
    module = importlib.import_module(f"asap_adapters.{front.name}")
    made = httpx.Client if front.name == "sync" else httpx.AsyncClient
    given = made(follow_redirects=True, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
    transport = module.HttpxTransport(url, Limits(), given)
    with front.client(url, peer=WORKER, token="secret", transport=transport) as client, pytest.raises(Redirected):
        client.request("echo", {})
    assert len(ear.heard) == 1
    assert not elsewhere.heard


def test_the_keys_of_an_issuer_are_not_looked_for_elsewhere(front, stack):
    """A key set that has moved is none, until somebody says where it is."""
    elsewhere = stack.enter_context(Ear(status=200, body=json.dumps(published("ed-1")).encode()).open())
    location = {"Location": f"http://127.0.0.1:{elsewhere.port}/keys"}
    ear = stack.enter_context(Ear(status=302, headers=location).open())
    jwt = Jwt(FetchedKeys(f"http://127.0.0.1:{ear.port}/keys"), issuer=ISSUER, audience=WORKER)
    url = stack.enter_context(front.serving(agent_of(front, auth=[jwt])))
    client = stack.enter_context(front.client(url, token=token(), peer=WORKER))
    with pytest.raises(Unauthenticated):
        client.request("whoami", {})
    assert len(ear.heard) == 1
    assert not elsewhere.heard


def test_our_own_redirect_is_told(front, echo):
    """A client whose URL ends in the endpoint's path asks where nothing is, and hears it in words."""
    response = echo.http.post("/asap/")
    assert (response.status_code, response.headers["location"]) == (307, "../asap")

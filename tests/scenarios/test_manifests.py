"""Whose manifest is believed: the same on every front, over real sockets."""

import json

import httpx
import pytest

from asap_adapters.auth.manifests import PinnedKey, SigningKey
from asap_proto.errors import OtherAgent, UnverifiedManifest

from .ears import Ear
from .fronts import WORKER

KEY = SigningKey(bytes(range(32)))
PIN = PinnedKey(KEY.public)
OTHER = "urn:asap:agent:other"


def echoing(front, urn=WORKER, **options):
    agent = front.agent(urn, **options)

    @agent.skill("echo")
    def echo(task):
        return {"echoed": task.input}

    return agent


@pytest.fixture(scope="module")
def signing(front):
    """The URL of an agent that signs its manifest."""
    with front.serving(echoing(front, manifest_key=KEY)) as url:
        yield url


def test_a_signed_manifest_is_verified_before_anything_is_sent(front, signing):
    """With the right key all is as ever; a client that pins none passes the signature over."""
    for options in ({"pinned": PIN}, {"pinned": PIN, "peer": WORKER}, {}):
        with front.client(signing, **options) as client:
            assert client.request("echo", {"n": 1}).result == {"echoed": {"n": 1}}
            assert client.manifest().signature is not None


@pytest.mark.parametrize("signed_with", [None, SigningKey.new()])
def test_nothing_is_sent_to_an_agent_that_can_not_sign(front, stack, signed_with):
    """Without a signature, or with that of another key: the task, and the token, stay here."""
    agent = echoing(front, manifest_key=signed_with)
    ran = []
    agent.skill("note")(lambda task: ran.append(task.id))
    url = stack.enter_context(front.serving(agent))
    client = stack.enter_context(front.client(url, pinned=PIN, peer=WORKER))
    for call in (lambda: client.request("note", {}), lambda: client.submit("note", {}), client.manifest):
        with pytest.raises(UnverifiedManifest):
            call()
    with pytest.raises(UnverifiedManifest), client.stream("note", {}) as payloads:
        list(payloads)
    assert not ran


def test_a_manifest_of_another_agent_is_refused(front, signing):
    """Asked for by its URN, it is not there; though signed with the pinned key."""
    for options in ({"peer": OTHER}, {"peer": OTHER, "pinned": PIN}):
        with front.client(signing, **options) as client, pytest.raises(OtherAgent):
            client.manifest()
    with front.client(signing, peer=OTHER, pinned=PIN) as client, pytest.raises(OtherAgent):
        client.request("echo", {})
    with front.client(signing, peer=WORKER) as client:
        assert client.manifest().id == WORKER


def test_the_enclosed_form_is_read_and_verified(front, stack, signing):
    """As agents of the reference may be hosted; its signature is another than that of the plain form."""
    with httpx.Client(base_url=signing, trust_env=False) as http:
        response = http.get("/.well-known/asap/manifest.signed.json")
        plain = http.get("/.well-known/asap/manifest.json").json()
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    document = response.json()
    assert document["signature"]["signature"] != plain["signature"]
    for body, error in ((document, None), ({**document, "manifest": {**document["manifest"], "name": "x"}}, 1)):
        ear = stack.enter_context(Ear(status=200, body=json.dumps(body).encode()).open())
        url = f"http://127.0.0.1:{ear.port}"
        with front.client(url) as client:
            assert client.manifest().id == WORKER
        with front.client(url, pinned=PIN) as client:
            if error is None:
                assert client.manifest().id == WORKER
            else:
                with pytest.raises(UnverifiedManifest):
                    client.manifest()


def test_an_agent_pins_the_keys_of_its_peers(front, stack, signing):
    """What it delegates goes to the agent that has the key, or nowhere."""
    agent = echoing(
        front,
        OTHER,
        peers={WORKER: signing, "urn:asap:agent:unsigned": stack.enter_context(front.serving(echoing(front)))},
        pins={WORKER: PIN, "urn:asap:agent:unsigned": PIN},
    )

    @agent.skill("ask")
    def ask(task):
        told = []
        for peer in (WORKER, "urn:asap:agent:unsigned"):
            try:
                reply = yield task.delegate(peer, "echo", {})
                told.append(reply.result)
            except UnverifiedManifest as error:
                told.append(error.code)
        return {"told": told}

    url = stack.enter_context(front.serving(agent))
    client = stack.enter_context(front.client(url))
    assert client.request("ask", {}).result == {"told": [{"echoed": {}}, "asap:auth/unverified_manifest"]}

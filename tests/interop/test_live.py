"""Released clients against our servers, and our clients against released servers, over real sockets on each front."""

import json
from typing import Any

import pytest

from asap_adapters.auth.manifests import SigningKey
from asap_proto.wire.manifests import dump_manifest
from asap_proto.wire.paths import SIGNED_MANIFEST_PATH
from interop.ours import AGENT, KEY, REFERENCE, agent, play
from interop.scenarios import CALLER, ECHOES, REFUSALS, TOKEN, Scenario, task
from scenarios.ears import Ear

BEARER = {"token": TOKEN, "sender": CALLER}

# What a release does not do.
NO_FRESHNESS = {"0.1.0", "0.3.0"}
NO_RETRY_ON_429 = {"0.1.0", "0.3.0"}
NO_MANIFEST_LOOKUP = {"0.1.0", "0.3.0", "0.5.0"}
NO_QUOTA = {"0.1.0"}

#: Numbers that 2.2 replaced; the codes beside them stayed.
NUMBERS_OF_2 = {
    "asap:transport/handler_not_found": -32012,
    "asap:protocol/invalid_timestamp": -32002,
    "asap:protocol/invalid_nonce": -32003,
}


def echoed(outcome: dict[str, Any], scenario: Scenario) -> None:
    """The reply repeats what was said, and answers that very envelope."""
    assert outcome.get("ok"), outcome
    reply = outcome["envelope"]
    assert reply["payload"]["result"] == {"echoed": scenario.envelope["payload"]["input"]}
    assert reply["payload"]["status"] == "completed"
    assert reply["payload_type"] == "task.response"
    assert reply["recipient"] == CALLER
    if "trace_id" in scenario.envelope:
        assert reply["trace_id"] == scenario.envelope["trace_id"]


# -- their clients, our servers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", ECHOES, ids=lambda scenario: scenario.name)
def test_their_client_is_answered(references, ours, release, front, scenario) -> None:
    """A released client gets its echo from our server."""
    outcome = references.client(release).ask(op="send", url=ours.serve(front), envelope=scenario.envelope)
    echoed(outcome, scenario)
    assert outcome["envelope"]["sender"] == AGENT


@pytest.mark.parametrize("scenario", REFUSALS, ids=lambda scenario: scenario.name)
def test_their_client_is_refused(references, ours, release, front, scenario) -> None:
    """A released client learns why our server refuses: the number, and the stable code."""
    outcome = references.client(release).ask(op="send", url=ours.serve(front), envelope=scenario.envelope)
    assert not outcome["ok"], outcome
    number, code = scenario.outcome.split()
    assert (outcome["number"], outcome["code"]) == (int(number), code)


@pytest.mark.parametrize("scenario", ECHOES, ids=lambda scenario: scenario.name)
def test_their_client_is_answered_compressed(references, ours, release, front, scenario) -> None:
    """A released client reads an answer in the coding that it asked for."""
    url = ours.serve(front, compress=True)
    echoed(references.client(release).ask(op="send", url=url, envelope=scenario.envelope), scenario)


def test_their_client_reads_our_manifest(references, ours, release, front) -> None:
    """A released client takes our manifest, which says nothing that 1.0.0 does not know."""
    outcome = references.client(release).ask(op="manifest", url=ours.serve(front))
    if release in NO_MANIFEST_LOOKUP:
        assert "unsupported" in outcome
        return
    assert outcome.get("ok"), outcome
    assert outcome["manifest"]["id"] == AGENT
    assert [skill["id"] for skill in outcome["manifest"]["capabilities"]["skills"]] == [
        "echo",
        "steps",
        "boom",
        "count",
    ]


def test_their_client_reads_our_signed_manifest(references, ours, release, front) -> None:
    """A released client takes it as any other: the signature stands in a field that 1.0.0 knows."""
    outcome = references.client(release).ask(op="manifest", url=ours.serve(front, signs=True))
    if release in NO_MANIFEST_LOOKUP:
        assert "unsupported" in outcome
        return
    assert outcome.get("ok"), outcome
    assert outcome["manifest"]["id"] == AGENT
    assert outcome["manifest"]["signature"]


def test_their_client_verifies_our_enclosed_manifest(references, ours, front) -> None:
    """Since 1.2 by a key that it was told to trust; not by another."""
    url = ours.serve(front, signs=True)
    client, at = references.client("newest"), f"{url}{SIGNED_MANIFEST_PATH}"
    outcome = client.ask(op="manifest", url=url, at=at, pin=KEY.public)
    assert outcome.get("ok"), outcome
    assert outcome["manifest"]["id"] == AGENT
    outcome = client.ask(op="manifest", url=url, at=at, pin=SigningKey.new().public)
    assert (outcome["ok"], outcome["error"]) == (False, "SignatureVerificationError"), outcome


def test_their_client_looks_after_our_health(references, ours, release, front) -> None:
    """A released client that asks how we are understands the answer."""
    outcome = references.client(release).ask(op="health", url=ours.serve(front))
    if "unsupported" in outcome:
        assert release != "newest"
        return
    assert outcome.get("ok"), outcome
    assert (outcome["health"]["status"], outcome["health"]["agent_id"]) == ("healthy", AGENT)


@pytest.mark.parametrize("way", ["batch", "array"])
def test_their_client_sends_many(references, ours, release, front, way) -> None:
    """A released client that can send many at once gets every reply, in order."""
    letters = [task({"n": number}) for number in range(5)]
    outcome = references.client(release).ask(op=way, url=ours.serve(front), envelopes=letters)
    if "unsupported" in outcome:
        assert release != "newest"
        return
    assert outcome.get("ok"), outcome
    assert [reply["payload"]["result"]["echoed"]["n"] for reply in outcome["envelopes"]] == [0, 1, 2, 3, 4]


def test_their_client_follows_a_stream(references, ours, release, front) -> None:
    """A client of a release that streams is told all that our handler tells, and its end."""
    letter = {"payload": {"conversation_id": "conversation", "skill_id": "steps", "input": {"n": 1}}}
    outcome = references.client(release).ask(op="stream", url=ours.serve(front), envelope=letter)
    if "unsupported" in outcome:
        assert release != "newest"
        return
    assert outcome.get("ok"), outcome
    kinds = [told["payload_type"] for told in outcome["envelopes"]]
    assert kinds == [*["task.update"] * 3, "artifact.notify", "task.response"]
    assert [told["payload"]["status"] for told in outcome["envelopes"][:2]] == ["submitted", "working"]
    assert outcome["envelopes"][2]["payload"]["progress"] == {"percent": 50, "message": "half of it"}
    assert outcome["envelopes"][4]["payload"]["result"] == {"echoed": {"n": 1}}


def test_their_client_hears_that_a_stream_failed(references, ours, release, front) -> None:
    """The last thing that it is told says that the task has failed."""
    letter = {"payload": {"conversation_id": "conversation", "skill_id": "boom", "input": {}}}
    outcome = references.client(release).ask(op="stream", url=ours.serve(front), envelope=letter)
    if "unsupported" in outcome:
        assert release != "newest"
        return
    assert outcome.get("ok"), outcome
    assert outcome["envelopes"][-1]["payload"]["status"] == "failed"


def test_their_nonce_counts_once(references, ours, release, front) -> None:
    """The first use of a nonce is answered, the second refused."""
    letter = task({}, extensions={"nonce": f"nonce-of-{release}-on-{front}"})
    first, second = (
        references.client(release).ask(op="send", url=ours.serve(front), envelope=letter) for _ in range(2)
    )
    assert first.get("ok"), first
    assert (second["number"], second["code"]) == (-32602, "asap:protocol/invalid_nonce")


def test_their_client_hears_of_a_failed_handler(references, ours, release, front) -> None:
    """A handler that raises is told as an internal error, without its text."""
    letter = {"payload": {"conversation_id": "conversation", "skill_id": "boom", "input": {}}}
    outcome = references.client(release).ask(op="send", url=ours.serve(front), envelope=letter)
    assert outcome["number"] == -32603
    assert "as it was asked to" not in str(outcome)


@pytest.mark.parametrize(("token", "right"), [(TOKEN, True), ("wrong", False), (None, False)])
def test_their_client_shows_a_token(references, ours, release, front, token, right) -> None:
    """The right bearer token is let in; another, or none, is told 401 in the releases' own way."""
    url = ours.serve(front, **BEARER)
    outcome = references.client(release).ask(op="send", url=url, envelope=task({}), token=token)
    assert outcome["ok"] is right
    if not right:
        assert outcome["number"] == -32600
        assert outcome["data"]["status_code"] == 401


def test_their_client_is_slowed(references, ours, release, front) -> None:
    """Beyond its quota a released client is told 429."""
    url = ours.serve_anew(front, rate_limit="3/minute")
    client = references.client(release)
    outcomes = [client.ask(op="send", url=url, envelope=task({})) for _ in range(4)]
    assert [outcome["ok"] for outcome in outcomes] == [True, True, True, False]
    assert "429" in outcomes[3]["text"]


def test_their_client_waits_as_told(references, ours, release, front) -> None:
    """A released client that retries is let in after the pause that our server asks for; before 0.5 none does."""
    url = ours.serve_anew(front, rate_limit="1/second")
    client = references.client(release)
    outcomes = [client.ask(op="send", url=url, envelope=task({}), attempts=3) for _ in range(2)]
    assert [outcome["ok"] for outcome in outcomes] == [True, release not in NO_RETRY_ON_429], outcomes


# -- our clients, their servers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", ECHOES, ids=lambda scenario: scenario.name)
def test_our_client_is_answered(references, release, front, scenario) -> None:
    """Our client gets its echo from a released server."""
    outcome = play(front, op="send", url=references.serve(release), envelope=scenario.envelope)
    echoed(outcome, scenario)
    assert outcome["envelope"]["sender"] == REFERENCE


@pytest.mark.parametrize("scenario", REFUSALS, ids=lambda scenario: scenario.name)
def test_our_client_is_refused(references, release, front, scenario) -> None:
    """Our client understands why a released server refuses, by number and, where it sends one, by code."""
    outcome = play(front, op="send", url=references.serve(release), envelope=scenario.envelope)
    number, code = scenario.outcome.split()
    if release in NO_FRESHNESS and code == "asap:protocol/invalid_timestamp":
        assert outcome["ok"]
        return
    assert not outcome["ok"], outcome
    assert outcome["number"] == (NUMBERS_OF_2[code] if release == "newest" else int(number))
    if "code" in outcome["data"]:
        assert outcome["code"] == code


def test_our_client_reads_their_manifest(references, release, front) -> None:
    """Our client takes every release's manifest, whatever newer ones add."""
    outcome = play(front, op="manifest", url=references.serve(release))
    assert outcome.get("ok"), outcome
    assert outcome["manifest"]["id"] == REFERENCE


def test_our_client_asks_a_skill(references, release, front) -> None:
    """The short way: a skill, an input, a response; the peer's name is looked up."""
    outcome = play(front, op="request", url=references.serve(release), input={"message": "hi"})
    assert outcome.get("ok"), outcome
    assert outcome["response"]["result"] == {"echoed": {"message": "hi"}}


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", True])
def test_our_client_compresses(references, release, front, coding) -> None:
    """For a release that takes it; one before 1.0, or without that coding, is sent the request again as it is."""
    text = "sixteen letters " * 1000
    outcome = play(front, op="request", url=references.serve(release), input={"text": text}, compress=coding)
    assert outcome.get("ok"), outcome
    assert outcome["response"]["result"] == {"echoed": {"text": text}}


def test_our_client_sends_many(references, release, front) -> None:
    """A batch comes back whole and in order, its failure in its place, from peers with arrays and without."""
    letters = [task({"n": number}) for number in range(5)]
    letters[2] = {"payload_type": "Nope", "payload": {}}
    outcome = play(front, op="batch", url=references.serve(release), envelopes=letters)
    assert outcome.get("ok"), outcome
    replies = outcome["envelopes"]
    assert [reply.get("ok", reply.get("correlation_id") is not None) for reply in replies] == [
        True,
        True,
        False,
        True,
        True,
    ]
    echoes = [reply["payload"]["result"]["echoed"]["n"] for index, reply in enumerate(replies) if index != 2]
    assert echoes == [0, 1, 3, 4]


@pytest.mark.parametrize("ending", ["marked", "unended"])
def test_our_client_follows_their_stream(references, release, front, ending) -> None:
    """Our client is told each piece; of a release that has no streams it gets the answer as a whole."""
    url = references.serve(release, streams=ending)
    outcome = play(front, op="stream", url=url, input={"text": "three short words"})
    assert outcome.get("ok"), outcome
    if release != "newest":
        assert [told["result"] for told in outcome["payloads"]] == [{"echoed": {"text": "three short words"}}]
        return
    assert [told["chunk"] for told in outcome["payloads"]] == ["three", "short", "words"]
    assert outcome["payloads"][-1]["final"] is (ending == "marked")


def test_our_client_asks_an_agent_that_has_no_stream_for_it(references, release, front) -> None:
    """A release that can stream, though not this request, answers it as a whole."""
    outcome = play(front, op="stream", url=references.serve(release), input={"message": "hi"})
    assert outcome.get("ok"), outcome
    assert [told["result"] for told in outcome["payloads"]] == [{"echoed": {"message": "hi"}}]


def test_our_nonce_counts_once(references, release, front) -> None:
    """A nonce that is sent twice is refused by the releases that look at it."""
    url = references.serve(release, require_nonce=True)
    letter = task({}, extensions={"nonce": f"nonce-from-{front}-to-{release}"})
    first, second = (play(front, op="send", url=url, envelope=letter, nonces=False) for _ in range(2))
    assert first.get("ok"), first
    if release in NO_FRESHNESS:
        assert second["ok"]
    else:
        assert second["code"] == "asap:protocol/invalid_nonce"


def test_our_own_nonces_are_new_each_time(references, release, front) -> None:
    """What our client sends by itself passes a server that watches nonces, again and again."""
    url = references.serve(release, require_nonce=True)
    assert all(play(front, op="send", url=url, envelope=task({}))["ok"] for _ in range(3))


def test_our_client_hears_of_a_failed_handler(references, release, front) -> None:
    """A released server whose handler raises is understood as an error of theirs."""
    url = references.serve(release, raises=["Boom"])
    outcome = play(front, op="send", url=url, envelope={"payload_type": "Boom", "payload": {}})
    assert outcome["number"] == -32603


@pytest.mark.parametrize(("token", "right"), [(TOKEN, True), ("wrong", False), (None, False)])
def test_our_client_shows_a_token(references, release, front, token, right) -> None:
    """Our bearer token is taken; without the right one our client is told so."""
    outcome = play(front, op="send", url=references.serve(release, **BEARER), envelope=task({}), token=token)
    assert outcome["ok"] is right
    if not right:
        assert outcome["number"] == -32600
        assert outcome["data"]["status_code"] == 401


def test_our_client_is_slowed(references, release, front) -> None:
    """A quota that is used up is told as such, with the time to wait."""
    # All fronts spend the same quota: starting a server costs more than the rest of the test.
    url = references.serve(release, rate_limit="3/minute")
    outcomes = [play(front, op="send", url=url, envelope=task({})) for _ in range(8)]
    refused = [outcome for outcome in outcomes if not outcome["ok"]]
    assert bool(refused) is (release not in NO_QUOTA)
    for outcome in refused:
        assert outcome["error"] == "RateLimited"
        assert 0 < outcome["facts"]["retry_after"] <= 60


def test_our_client_verifies_what_they_have_signed(references, front) -> None:
    """The document of a release, hosted as it is; with another key pinned it is refused."""
    document = json.loads(dump_manifest(agent(front, {}).manifest()))
    outcome = references.client("newest").ask(op="sign", manifest=document)
    assert outcome.get("ok"), outcome
    with Ear(status=200, body=json.dumps(outcome["document"], indent=2).encode()).open() as ear:
        url = f"http://127.0.0.1:{ear.port}"
        read = play(front, op="manifest", url=url, pin=outcome["pin"])
        assert read.get("ok"), read
        assert read["manifest"]["id"] == AGENT
        refused = play(front, op="manifest", url=url, pin=KEY.public)
        assert (refused["ok"], refused["error"]) == (False, "UnverifiedManifest"), refused

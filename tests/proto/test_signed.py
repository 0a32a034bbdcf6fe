"""Requests that are signed, callers that say who they are in several ways, and refusals by HTTP's own statuses."""

import json
from datetime import timedelta

import attrs
import pytest

from asap_proto.errors import BodyTooLarge, InvalidNonce, MalformedJson, StateUnavailable, Unauthenticated
from asap_proto.http import RequestHead
from asap_proto.limits import Limits
from asap_proto.model import AuthScheme, TaskRequest
from asap_proto.roles import Accept, Admitted, Authenticate, Observe
from asap_proto.rules.identity import Identity, SignedIdentity
from asap_proto.rules.slot import Fresh
from asap_proto.stores import NonceClaim, Refused
from asap_testkit import ME, NOW, PEER, asks, echo_manifest, finish, link, request_frame
from asap_testkit.receiving import admitted, answer_of, role

DIGESTS = {"sha-256": bytes(32)}
SIGNED = SignedIdentity(ME, frozenset({"read"}), nonce="n-1", key_id="k", created=NOW, digests=DIGESTS)
SIGNED_REQUEST = attrs.evolve(admitted(Identity(ME)), proof=SIGNED)
SIGNED_STREAM = attrs.evolve(SIGNED_REQUEST, streams=True)
REQUEST = TaskRequest("c", "echo", {})
BODY = json.dumps(request_frame()).encode()


def head(path="/asap", coding="identity"):
    headers = {"content-type": "application/json", "signature-input": "x", "content-encoding": coding}
    return RequestHead("POST", path, headers, "192.0.2.1")


def wire_to(**options):
    """A wire to an agent that asks for a token."""
    return link(manifest=echo_manifest(auth=AuthScheme(("bearer",))), callers={"bearer mine": Identity(ME)}, **options)


@pytest.mark.parametrize("path", ["/asap", "/asap/stream"])
def test_who_has_signed_is_a_caller_like_any_other(path):
    """What is kept of it is who it is; what is left to check goes on with the request."""
    steps = role(challenges=["Signature"]).admit(head(path))
    assert isinstance(asks(steps), Authenticate)
    let_in = finish(steps, SIGNED)
    assert let_in.caller == Identity(ME, frozenset({"read"}))
    assert type(let_in.caller) is Identity
    assert (let_in.proof, let_in.digests, let_in.quota_key) == (SIGNED, DIGESTS, ME)


def test_who_has_not_signed_leaves_nothing_to_check():
    """A token is good for any body."""
    steps = role(challenges=["Bearer"]).admit(head())
    asks(steps)
    let_in = finish(steps, Identity(ME))
    assert (let_in.caller, let_in.proof, let_in.digests) == (Identity(ME), None, None)


@pytest.mark.parametrize(
    ("caller", "coding", "plain"),
    [
        (Identity(ME), "identity", True),
        (Identity(ME), "gzip", False),
        (SIGNED, "identity", False),
    ],
)
def test_a_plain_body_is_what_it_says_as_it_comes(caller, coding, plain):
    """One that is signed has to be compared, and one with a coding has to be inflated."""
    steps = role(challenges=["Bearer"]).admit(head(coding=coding))
    asks(steps)
    assert finish(steps, caller).is_plain == plain


def test_all_challenges_are_named_once_each():
    """In the order that they are given in, whatever the manifest names."""
    steps = role(challenges=["Signature", "Bearer", "Basic", "Bearer"]).admit(head())
    asks(steps)
    assert isinstance(asks(steps), Observe)
    assert finish(steps).headers["www-authenticate"] == "Signature, Bearer, Basic"


def test_without_challenges_nobody_is_asked():
    """Not even where a signature came."""
    steps = role(challenges=[]).admit(head())
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert isinstance(end.value.value, Admitted)


@pytest.mark.parametrize("tell", ["receive", "stream"])
def test_a_signature_is_let_in_once(tell):
    """Its nonce is claimed by its key, before anything of the body is looked at."""
    steps = getattr(role(), tell)(SIGNED_REQUEST, BODY)
    command = asks(steps)
    assert command == Accept(None, NonceClaim(ME, "signature:k:n-1", NOW.timestamp() + 600.0), (), NOW.timestamp())
    assert isinstance(asks(steps, Fresh()), Accept)


@pytest.mark.parametrize("tell", ["receive", "stream"])
@pytest.mark.parametrize(
    ("why", "code"),
    [
        ("repeated", "asap:auth/unauthenticated"),
        ("nonces full", "asap:transport/thread_pool_exhausted"),
    ],
)
def test_a_signature_that_is_not_let_in(tell, why, code):
    """Nothing of the body is done; a replay is told apart from a lack of room, and noted."""
    steps = getattr(role(challenges=["Signature"]), tell)(SIGNED_REQUEST, BODY)
    asks(steps)
    command = asks(steps, Refused(why))
    assert isinstance(command, Observe)
    assert command.event.code == code
    response = finish(steps)
    data = answer_of(response)["error"]["data"]
    assert data["code"] == code
    if why == "nonces full":
        assert (response.headers["retry-after"], data["details"]) == ("1", {"retry_after": 1})
        assert "nonces" in data["error"]
    if why == "repeated":
        assert command.event.note == f"this signature was used before (caller={ME})"
        assert response.headers["www-authenticate"] == "Signature"


def test_a_store_that_can_not_be_asked():
    """Nobody is let in on trust."""
    steps = role().receive(SIGNED_REQUEST, BODY)
    asks(steps)
    assert isinstance(steps.throw(StateUnavailable("down")), Observe)
    assert finish(steps).status == 503


def test_a_batch_claims_its_signature_once():
    """However many items it has."""
    wire = link()
    body = json.dumps([request_frame(id="1"), request_frame(id="2")]).encode()
    claims = []
    steps = wire.server.receive(SIGNED_REQUEST, body)
    command = asks(steps)
    while isinstance(command, Accept):
        claims.append(command.nonce)
        command = asks(steps, wire.perform(command))
    assert claims == [NonceClaim(ME, "signature:k:n-1", NOW.timestamp() + 600.0)]
    assert len(answer_of(wire.run(steps, wire.perform(command)))) == 2
    assert wire.run(wire.server.receive(SIGNED_REQUEST, body)).status == 200
    assert len(wire.ran) == 2


def test_a_stream_that_has_a_whole_answer_claims_once():
    """What can't be followed is answered as at the endpoint, and its signature is good for that."""
    wire = link()
    cancel = request_frame(payload_type="task.cancel", payload={"task_id": "nowhere"})
    response = wire.run(wire.server.stream(SIGNED_STREAM, json.dumps(cancel).encode()))
    assert answer_of(response)["error"]["data"]["code"] == "asap:task/not_found"


def test_keys_of_one_agent_have_nonces_of_their_own():
    """Two that sign with the same nonce are two."""
    wire = link()
    other = attrs.evolve(SIGNED_REQUEST, proof=attrs.evolve(SIGNED, key_id="l"))
    for request in (SIGNED_REQUEST, other):
        assert "result" in answer_of(wire.run(wire.server.receive(request, BODY)))
    assert len(wire.ran) == 2


@pytest.mark.parametrize(("seconds", "passes"), [(300.0, True), (300.1, False)])
def test_a_body_that_came_too_late(seconds, passes):
    """Else whoever lets it drip could outwait the memory of the nonce."""
    proof = attrs.evolve(SIGNED, created=NOW - timedelta(seconds=seconds))
    steps = role().receive(attrs.evolve(SIGNED_REQUEST, proof=proof), BODY)
    command = asks(steps)
    if passes:
        assert isinstance(command, Accept)
    else:
        assert command.event.note == f"the signature is too old by now (caller={ME})"
        assert answer_of(finish(steps))["error"]["data"]["code"] == "asap:auth/unauthenticated"


def test_nonces_of_signatures_are_claimed_whatever_the_policy_for_envelopes():
    """An agent that passes over the nonces of envelopes lets no signature in twice."""
    steps = role(nonces="ignore").receive(SIGNED_REQUEST, BODY)
    assert asks(steps).nonce.nonce == "signature:k:n-1"
    command = asks(steps, Fresh())
    assert isinstance(command, Accept)
    assert command.nonce is None


STRICT = {"strict_http": True}


def test_strict_refusals_of_callers():
    """401 with its challenge, and 403; the body is the same."""
    for server, statuses in ((STRICT, (401, 403)), ({}, (200, 200))):
        wire = wire_to(server=server)
        nobody = wire.post(request_frame())
        impostor = wire.post(request_frame(sender=PEER), authorization="Bearer mine")
        assert (nobody.status, impostor.status) == statuses
        assert nobody.headers["www-authenticate"] == "Bearer"
        assert answer_of(nobody)["error"]["data"]["status_code"] == 401
        assert answer_of(impostor)["error"]["data"]["status_code"] == 403


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        ({"jsonrpc": "2.0"}, 400),
        (request_frame(recipient="nobody"), 400),
        (request_frame(timestamp="2020-01-01T00:00:00Z"), 400),
        (request_frame(extensions={"nonce": ""}), 400),
        (request_frame(), 200),
        (request_frame(payload={"conversation_id": "c", "skill_id": "sing", "input": {}}), 200),
    ],
    ids=repr,
)
def test_strict_refusals_of_requests(body, status):
    """What is no request is 400; what a task comes to, or that there is no such skill, is told in an answer."""
    response = link(server=STRICT).post(body)
    assert response.status == status
    assert link().post(body).body == response.body
    assert link().post(body).status == 200


def test_strict_refusals_of_streams():
    """Before anything is emitted an answer has its status too."""
    wire = link(server=STRICT)
    assert wire.post(request_frame(timestamp="2020-01-01T00:00:00Z"), path="/asap/stream").status == 400
    missing = request_frame(payload={"conversation_id": "c", "skill_id": "sing", "input": {}})
    assert wire.post(missing, path="/asap/stream").status == 200


def test_items_of_a_batch_share_one_status():
    """Each item has its error in the array; a batch that is refused as a whole has the status of that."""
    wire = link(server=STRICT, limits=Limits(batch_items=2))
    response = wire.post([request_frame(recipient="nobody"), request_frame()])
    assert response.status == 200
    assert ["error" in answer for answer in answer_of(response)] == [True, False]
    assert wire.post([1, 2, 3]).status == 400


def test_what_a_handler_comes_to_is_no_refusal():
    """Not even where it was refused itself; nor is that when it is asked for again."""
    wire = link(server=STRICT, skills={"echo": refuse})
    first, again = (wire.post(request_frame(key="k")) for _ in range(2))
    assert answer_of(first)["error"]["data"]["code"] == "asap:execution/handler_failed"
    assert (first.status, first.body) == (again.status, again.body) == (200, first.body)


def refuse(job):
    raise Unauthenticated("the peer that it was handed to does not know us")


@pytest.mark.parametrize("row", [Unauthenticated, InvalidNonce, MalformedJson])
def test_a_strict_status_is_a_refusal(row):
    """Only what is 200 for old peers has one."""
    assert row.kind.http_status == 200
    assert 400 <= row.kind.strict_status < 500


def test_clients_hear_why_whatever_the_status():
    """Our own read the error, not the status alone."""
    wire = wire_to(server=STRICT)
    letter = wire.client.compose(PEER, REQUEST)
    with pytest.raises(Unauthenticated) as caught:
        wire.run(wire.client.send(letter))
    assert caught.value.facts["status"] == 401


def test_credentials_are_made_anew_for_each_try():
    """By the time, and with a nonce of their own; the request's headers stay."""
    shown = []

    def show(request, now, nonce):
        shown.append((request.target, now, nonce))
        return {"authorization": "Bearer mine"}

    wire = wire_to(client={"credentials": show}, weather=["request lost"])
    wire.run(wire.client.send(wire.client.compose(PEER, REQUEST)))
    wire.run(wire.client.stream(wire.client.compose(PEER, REQUEST)))
    wire.run(wire.client.discover())
    targets, times, nonces = zip(*shown, strict=True)
    assert targets == ("/asap", "/asap", "/asap/stream", "/.well-known/asap/manifest.json")
    assert times[1] > times[0]
    assert len(set(nonces)) == 4
    assert all(sent.headers["authorization"] == "Bearer mine" for sent in wire.sent)
    assert wire.sent[0].headers["asap-version"]


def test_a_body_that_is_not_the_one_that_was_signed():
    """Is answered as no credentials are, and noted with whose they were; what is merely too large is not."""
    server = role(challenges=["Signature"])
    steps = server.unread(SIGNED_REQUEST, Unauthenticated("the body is not the one that was signed"))
    assert asks(steps).event.note == f"the body is not the one that was signed (caller={ME})"
    assert finish(steps).headers["www-authenticate"] == "Signature"
    steps = server.unread(SIGNED_REQUEST, BodyTooLarge("too large"))
    assert asks(steps).event.note == ""
    assert finish(steps).status == 413

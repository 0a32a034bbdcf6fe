"""The server's story where a request comes again: nonces, slots, and the replies kept in them."""

import pytest

from asap_proto.errors import HandlerFailed, InvalidInput, Kind
from asap_proto.roles import ClaimNonce, Invoke, KeepReply, OpenSlot, Raised, Returned, Saturated, TimedOut
from asap_proto.rules.slot import Busy, Fresh, Kept, Reused
from asap_proto.wire import jsonrpc
from asap_testkit import CALLER, ME, PEER, asks, request_frame
from asap_testkit.receiving import NONCE, answer_of, end, error_of, receive, role


@pytest.mark.proves("nonce.policy")
def test_nonces_are_claimed_required_or_passed_over():
    """As the agent is told; claimed for as long as the limit says."""
    frame = request_frame(extensions=NONCE)
    assert asks(receive(frame)) == ClaimNonce(ME, "n", 1000.0, 1600.0)
    assert isinstance(asks(receive(frame, server=role(nonces="ignore"))), Invoke)
    assert isinstance(asks(receive(frame, server=role(nonces="require"))), ClaimNonce)
    error = error_of(receive(request_frame(), server=role(nonces="require")))
    assert (error["data"]["code"], error["data"]["path"]) == (
        "asap:protocol/invalid_nonce",
        "$.params.envelope.extensions.nonce",
    )


@pytest.mark.proves("nonce.repeated")
@pytest.mark.parametrize(
    ("claim", "code", "status"),
    [("repeated", "asap:protocol/invalid_nonce", 200), ("full", "asap:transport/thread_pool_exhausted", 503)],
)
def test_a_nonce_that_can_not_be_claimed(claim, code, status):
    """A repeated one is refused; where no more fit, the peer is asked to come back."""
    steps = receive(request_frame(extensions=NONCE))
    asks(steps)
    response, event = end(steps, claim)
    assert (response.status, event.code) == (status, code)
    assert answer_of(response)["id"] == "req-1"


@pytest.mark.proves("nonce.burned")
def test_a_request_that_is_refused_keeps_its_nonce():
    """Skill, handler, time and depth are looked at before the nonce is claimed."""
    for change in (
        {"payload_type": "custom"},
        {"timestamp": "2020-01-01"},
        {"extensions": {**NONCE, "task_depth": 11}},
    ):
        error_of(receive(request_frame(**{"extensions": NONCE, **change})))


@pytest.mark.proves("idempotency.slot")
def test_a_key_opens_a_slot_and_keeps_the_reply():
    """Before the nonce is judged: clients of the reference repeat their nonce when they retry."""
    steps = receive(request_frame(key="k", extensions=NONCE))
    opened = asks(steps)
    assert isinstance(opened, OpenSlot)
    assert (opened.key, opened.now, opened.until) == ((ME, "k"), 1000.0, 2200.0)
    assert isinstance(asks(steps, Fresh()), ClaimNonce)
    assert isinstance(asks(steps, "claimed"), Invoke)
    kept = asks(steps, Returned({}))
    assert isinstance(kept, KeepReply)
    assert (kept.key, kept.until) == ((ME, "k"), 1600.0)
    response, _ = end(steps)
    assert kept.reply in response.body


@pytest.mark.proves("idempotency.slot")
def test_a_kept_reply_is_sent_under_the_id_of_whoever_asks():
    """Without running anything."""
    steps = receive(request_frame(key="k", id=7))
    asks(steps)
    response, _ = end(steps, Kept(b'"result":{"kept":true}'))
    assert answer_of(response) == {"jsonrpc": "2.0", "result": {"kept": True}, "id": 7}


@pytest.mark.proves("idempotency.slot")
@pytest.mark.parametrize(
    ("found", "status", "code"),
    [(Busy(), 503, "asap:task/still_running"), (Reused(), 200, "asap:protocol/idempotency_key_reused")],
)
def test_a_slot_that_is_taken(found, status, code):
    """Running work is waited for; another request's key is refused."""
    steps = receive(request_frame(key="k"))
    asks(steps)
    response, event = end(steps, found)
    assert (response.status, event.code) == (status, code)


@pytest.mark.proves("idempotency.slot")
def test_slots_belong_to_the_caller():
    """To whom the credentials name, where they name one."""
    steps = receive(request_frame(key="k"), caller=CALLER)
    assert asks(steps).key == (ME, "k")


def test_a_digest_tells_requests_apart():
    """All that makes a request what it is counts; what a retry renews does not."""

    def digest(**changes):
        return asks(receive(request_frame(key="k", **changes))).digest

    payload = {"conversation_id": "c", "skill_id": "echo", "input": {}}
    assert digest() == digest(timestamp="2026-01-02T03:04:06Z", extensions={"nonce": "other"}, trace_id="t")
    assert (
        len(
            {
                digest(),
                digest(payload=payload),
                digest(sender=PEER),
                digest(recipient=ME),
                digest(payload_type="TaskRequest"),
            }
        )
        == 5
    )


def test_a_nonce_refused_frees_its_slot():
    """Or a later try would wait for work that never ran."""
    steps = receive(request_frame(key="k", extensions=NONCE))
    asks(steps)
    asks(steps, Fresh())
    assert asks(steps, "repeated") == KeepReply((ME, "k"), None, 1600.0)
    assert error_of(steps)["data"]["code"] == "asap:protocol/invalid_nonce"


@pytest.mark.proves("idempotency.slot")
@pytest.mark.parametrize(("outcome", "kept"), [(Saturated(), False), (TimedOut(), True), (Raised(ValueError()), True)])
def test_a_failure_is_kept_unless_another_try_may_mend_it(outcome, kept):
    """What never ran is freed; what failed has failed."""
    steps = receive(request_frame(key="k"))
    asks(steps)
    asks(steps, Fresh())
    command = asks(steps, outcome)
    assert isinstance(command, KeepReply)
    assert (command.reply is not None) == kept
    assert "error" in answer_of(end(steps)[0])


class CutOff(BaseException):
    """What a front throws into a story that is cancelled."""


@pytest.mark.proves("idempotency.slot")
def test_a_handler_that_is_cut_off_frees_its_slot():
    """A retry is to run; without a slot there is nothing to free."""
    steps = receive(request_frame(key="k"))
    asks(steps)
    asks(steps, Fresh())
    assert steps.throw(CutOff()) == KeepReply((ME, "k"), None, 1600.0)
    with pytest.raises(CutOff):
        steps.send(None)
    steps = receive(request_frame())
    asks(steps)
    with pytest.raises(CutOff):
        steps.throw(CutOff())


def test_a_story_that_is_closed_asks_nothing_more():
    """Nobody is left to answer; the slot ends at its time."""
    steps = receive(request_frame(key="k"))
    asks(steps)
    asks(steps, Fresh())
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)


def test_a_kept_failure_of_a_kind_of_the_users_own():
    """Is sent as it is; what is not in our catalogue is counted as the handler's failure."""

    class OutOfStock(InvalidInput):
        kind = Kind("shop:out_of_stock", -32602, 200, False, "Order something else.")

    member = jsonrpc.failure(OutOfStock("none left"))
    steps = receive(request_frame(key="k"))
    asks(steps)
    response, event = end(steps, Kept(member))
    assert event.code == "asap:execution/handler_failed"
    assert answer_of(response)["error"]["data"]["code"] == "shop:out_of_stock"


def test_a_kept_failure_is_counted_as_a_failure():
    """The retry that is answered with it fares no better than the first."""
    member = jsonrpc.failure(HandlerFailed("no"))
    steps = receive(request_frame(key="k"))
    asks(steps)
    response, event = end(steps, Kept(member))
    assert event.code == "asap:execution/handler_failed"
    assert member in response.body

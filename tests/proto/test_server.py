"""The server's story, told by hand: what it asks, in which order, and what it answers."""

import json

import attrs
import pytest

from asap_proto.errors import MalformedJson
from asap_proto.http import HttpResponse
from asap_proto.model import TaskCancel
from asap_proto.roles import Handled, Raised, Returned, Spend, Together
from asap_proto.rules.quota import Allowed, RetryAfter
from asap_proto.stores import Refused
from asap_testkit import CALLER, ME, PEER, asks, finish, link, request_frame
from asap_testkit.receiving import (
    NONCE,
    accepts,
    admitted,
    answer_of,
    end,
    error_of,
    invokes,
    receive,
    role,
    run,
    writes,
)


@pytest.mark.proves("reply.envelope")
def test_a_request_is_run_and_answered():
    """The handler is asked for by its skill's id; the reply is addressed back, correlated and traced."""
    steps = receive(request_frame(trace_id="trace", extensions={"task_depth": 3}))
    command = invokes(steps)
    assert (command.name, command.timeout) == ("echo", 600.0)
    assert (command.job.depth, command.job.caller, command.job.task_id[:5]) == (3, None, "task_")
    writes(steps, Returned({"ok": True}))
    response, event = end(steps, True)
    assert event == Handled("task.request", None, 0.0)
    answer = answer_of(response)
    assert answer["id"] == "req-1"
    envelope = answer["result"]["envelope"]
    assert (envelope["sender"], envelope["recipient"]) == (PEER, ME)
    assert (envelope["correlation_id"], envelope["trace_id"], envelope["payload_type"]) == (
        "letter-1",
        "trace",
        "task.response",
    )
    assert envelope["payload"]["task_id"] == command.job.task_id
    assert (envelope["payload"]["status"], envelope["payload"]["result"]) == ("completed", {"ok": True})


@pytest.mark.proves("payload.answer-spelling")
def test_a_class_name_is_answered_with_a_class_name():
    """The reply is spelt like the request."""
    response, _ = run(Returned(None), payload_type="TaskRequest")
    assert answer_of(response)["result"]["envelope"]["payload_type"] == "TaskResponse"


@pytest.mark.proves("reply.envelope")
def test_a_reply_to_a_request_without_an_id_is_still_correlated():
    """With its own id: it has to answer something."""
    frame = request_frame()
    del frame["params"]["envelope"]["id"]
    steps = receive(frame)
    invokes(steps)
    writes(steps, Returned(None))
    envelope = answer_of(end(steps, True)[0])["result"]["envelope"]
    assert envelope["correlation_id"] == envelope["id"]


@pytest.mark.proves("rpc.parse-error")
def test_what_is_no_json():
    """-32700, id null, counted."""
    response, event = end(receive(b"{"))
    assert event == Handled("other", "asap:protocol/malformed_json", 0.0)
    assert (answer_of(response)["error"]["code"], answer_of(response)["id"]) == (-32700, None)


def test_a_body_that_could_not_be_read():
    """The front says why, and the answer has the same shape."""
    response = role().refuse(admitted(), MalformedJson("no"))
    assert answer_of(response)["error"]["code"] == -32700


@pytest.mark.proves("rpc.notification")
def test_a_notification_is_run_and_not_answered():
    """Nor is its error."""
    frame = request_frame()
    del frame["id"]
    steps = receive(frame)
    invokes(steps)
    writes(steps, Returned({}))
    response = end(steps, True)[0]
    assert (response.status, response.body) == (204, b"")
    assert "content-type" not in response.headers
    let_in = attrs.evolve(admitted(), headers={"content-type": "application/json", "asap-version": "2.2"})
    steps = role().receive(let_in, json.dumps({**frame, "method": "x"}).encode())
    assert end(steps)[0] == HttpResponse(204, {"asap-version": "2.2"})
    assert end(receive({**frame, "params": {"envelope": {}}}))[0].status == 204


@pytest.mark.proves("rpc.notification")
def test_what_is_no_request_is_answered_even_without_an_id():
    """What is no request can't be a notification; it is counted as of no type."""
    response, event = end(receive({"method": 5}))
    assert answer_of(response)["error"]["code"] == -32600
    assert event == Handled("other", answer_of(response)["error"]["data"]["code"], 0.0)


@pytest.mark.proves("rpc.batch")
def test_a_batch_is_told_side_by_side():
    """Each item is a story of its own; its paths begin with its place."""
    steps = receive([request_frame(id="a"), 5, request_frame(id="b")])
    command = asks(steps)
    assert isinstance(command, Together)
    assert (len(command.stories), command.most) == (3, 10)
    first, second, third = command.stories
    invokes(first)
    writes(first, Returned({}))
    invokes(third)
    writes(third, Raised(ValueError("secret")))
    items = [end(first, True)[0], end(second)[0], end(third, True)[0]]
    answers = answer_of(finish(steps, tuple(items)))
    assert [answer["id"] for answer in answers] == ["a", None, "b"]
    assert answers[1]["error"]["data"]["path"] == "$[1]"
    assert "secret" not in json.dumps(answers)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"extensions": NONCE}, ".extensions.nonce"),
        ({"timestamp": "2020-01-01"}, ".timestamp"),
        ({"sender": "x"}, ".sender"),
    ],
)
def test_an_item_is_told_where_in_the_batch_it_failed(changes, path):
    """Whether it was refused when it was read, when it was judged, or by the store."""
    steps = role().item(request_frame(**changes), "$[1]", admitted(), 500, 1000)
    if "extensions" in changes:
        assert accepts(steps).record.job.size == 1000
        command = asks(steps, Refused("repeated"))
    else:
        command = asks(steps)
    item = finish(steps)
    assert command.event.code == item.error.code
    assert json.loads(item.whole())["error"]["data"]["path"] == f"$[1].params.envelope{path}"


def test_items_of_a_batch_are_held_to_take_as_much_each():
    """Of what its text took in memory; none is taken to hold nothing."""
    for held, each in ((300, 101), (2, 1)):
        steps = role().open_batch([1, 2, 3], admitted(), held)
        assert finish(steps) == (admitted(), each)


def test_what_a_request_took_is_counted():
    """From when it was read to its answer, well or badly."""
    for refused, code in ((Refused("repeated"), "asap:protocol/invalid_nonce"), (None, None)):
        wire = link()
        steps = receive(request_frame(extensions=NONCE), server=wire.server)
        accept = accepts(steps)
        wire.clock.move(2.0)
        if refused:
            assert end(steps, refused)[1].seconds == 2.0
        else:
            wire.run(steps, wire.perform(accept))
            assert wire.events == [Handled("task.request", code, 2.0)]


@pytest.mark.proves("rpc.batch")
def test_a_batch_of_notifications_is_not_answered():
    """No empty array: nothing at all."""
    frame = request_frame()
    del frame["id"]
    steps = receive([frame])
    [story] = asks(steps).stories
    invokes(story)
    writes(story, Returned({}))
    assert finish(steps, (end(story, True)[0],)) == HttpResponse(204, {})


@pytest.mark.proves("quota.batch")
def test_each_further_item_of_a_batch_is_paid_for():
    """The first was paid for at the door."""
    steps = receive([1, 2, 3], server=role(quota=True))
    assert asks(steps) == Spend("192.0.2.1", 2, 1000.0)
    assert isinstance(asks(steps, Allowed()), Together)
    steps = receive([1, 2, 3], server=role(quota=True))
    asks(steps)
    response, event = end(steps, RetryAfter(2.0, "3/second", 3))
    assert (response.status, event.code) == (429, "asap:transport/rate_limited")
    assert answer_of(response)["error"]["data"]["retry_after"] == 2
    steps = receive([1, 2, 3], server=role(quota=True))
    asks(steps)
    error = error_of(steps, RetryAfter(2.0, "2/second", 2))
    assert (error["data"]["code"], error["data"]["details"]["most"]) == ("asap:protocol/batch_too_large", 2)
    assert isinstance(asks(receive([1], server=role(quota=True))), Together)


@pytest.mark.proves("payload.unknown-type", "payload.no-handler")
@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("custom", {}),
        ("p" * 4096, {}),
        ("mcp.tool_result", {"request_id": "r", "success": True, "result": {}}),
        ("mcp.resource_data", {"resource_uri": "x", "content": {}}),
    ],
)
def test_a_payload_without_a_handler(name, payload):
    """-32601 with its name, cut when long; an agent that calls no tools has no answer to their results either."""
    error = error_of(receive(request_frame(payload_type=name, payload=payload)))
    assert (error["code"], error["data"]["path"]) == (-32601, "$.params.envelope.payload_type")
    assert error["data"]["details"] == {"payload_type": name[:64]}


def test_other_payloads_are_asked_for_by_their_dotted_name():
    """Whatever spelling they came in; the agent's own handler goes before the built-in answer."""
    steps = receive(
        request_frame(payload_type="TaskCancel", payload={"task_id": "t"}), server=role(handles=[TaskCancel])
    )
    assert invokes(steps).name == "task.cancel"


@pytest.mark.proves("skill.known")
def test_a_skill_that_is_not_in_the_manifest():
    """Is told, cut when long."""
    payload = {"conversation_id": "c", "skill_id": "s" * 100, "input": {}}
    error = error_of(receive(request_frame(payload=payload)))
    assert (error["code"], error["data"]["code"]) == (-32602, "asap:capability/skill_not_found")
    assert error["data"]["details"] == {"skill_id": "s" * 64}
    assert error["data"]["path"] == "$.params.envelope.payload.skill_id"


@pytest.mark.proves("auth.sender")
def test_an_impostor_is_refused():
    """-32602 with status_code 403, before anything else is looked at."""
    error = error_of(receive(request_frame(sender=PEER, timestamp="1999-01-01"), caller=CALLER))
    assert (error["code"], error["data"]["status_code"], error["data"]["path"]) == (
        -32602,
        403,
        "$.params.envelope.sender",
    )


@pytest.mark.proves("json.unique-keys")
def test_two_senders_are_refused_where_callers_are_known():
    """And read as the last where they are not."""
    body = json.dumps(request_frame()).replace('"sender":', '"sender": "x", "sender":').encode()
    assert error_of(receive(body, caller=CALLER))["code"] == -32700
    accepts(receive(body))


@pytest.mark.proves("envelope.recipient")
def test_the_recipient_is_compared_on_request_alone():
    """Public harnesses post to a fixed name."""
    frame = request_frame(recipient="urn:asap:agent:under-test")
    accepts(receive(frame))
    error = error_of(receive(frame, server=role(check_recipient=True)))
    assert (error["data"]["code"], error["data"]["path"]) == (
        "asap:protocol/wrong_recipient",
        "$.params.envelope.recipient",
    )
    accepts(receive(request_frame(), server=role(check_recipient=True)))


@pytest.mark.proves("freshness.window", "freshness.absent")
def test_stale_envelopes_are_refused_and_unstamped_ones_pass():
    """Unless nonces are required: without a time a nonce could be forgotten and replayed."""
    assert error_of(receive(request_frame(timestamp="2020-01-01")))["data"]["code"] == "asap:protocol/invalid_timestamp"
    frame = request_frame(extensions=NONCE)
    del frame["params"]["envelope"]["timestamp"]
    assert accepts(receive(frame)).nonce.nonce == "n"
    error = error_of(receive(frame, server=role(nonces="require")))
    assert error["data"]["path"] == "$.params.envelope.timestamp"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sender": PEER}, "asap:auth/sender_mismatch"),
        ({}, "asap:protocol/invalid_timestamp"),
        ({"timestamp": None}, "asap:protocol/invalid_nonce"),
        ({"timestamp": None, "extensions": None}, "asap:transport/handler_not_found"),
    ],
)
def test_what_is_wrong_first_is_told_first(changes, code):
    """Sender, time, nonce, handler."""
    wrong = {"timestamp": "2001-01-01T00:00:00Z", "extensions": {"nonce": 5}, "payload_type": "x", "payload": {}}
    steps = receive(request_frame(**(wrong | changes)), caller=CALLER)
    assert error_of(steps)["data"]["code"] == code


def test_who_speaks_for_another_is_noted():
    """For the log: who it is, and for whom it spoke; an error of another kind, and one without an envelope, is not."""
    _, event = end(receive(request_frame(sender=PEER), caller=CALLER))
    words = "the sender is not the agent that the credentials name"
    assert event.note == f"{words} (caller={ME}, envelope=letter-1, sender={PEER})"
    assert end(receive(request_frame(payload_type="x", payload={})))[1].note == ""
    assert end(receive({"method": 5}))[1].note == ""

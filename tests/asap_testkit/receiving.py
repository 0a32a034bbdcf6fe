"""A server's story told by hand, from a request that was let in to its answer."""

import json

from asap_proto.limits import Limits
from asap_proto.roles import Admitted, Failed, Invoke, Observe, Returned, ServerRole
from asap_testkit import asks, echo_manifest, finish, fixed_sources, request_frame

NONCE = {"nonce": "n"}


def role(**options):
    return ServerRole(echo_manifest(), fixed_sources(), **options)


def admitted(caller=None):
    return Admitted("identity", Limits().request_bytes, caller, "192.0.2.1", {"content-type": "application/json"})


def receive(frame, *, server=None, caller=None):
    body = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
    return (server or role()).receive(admitted(caller), body)


def end(steps, answer=None):
    """The response, after the last answer and the count; and what was counted."""
    command = asks(steps, answer)
    assert isinstance(command, Observe)
    return finish(steps), command.event


def answer_of(response):
    return json.loads(response.body)


def error_of(steps, answer=None):
    response, event = end(steps, answer)
    error = answer_of(response)["error"]
    assert event.code == error["data"]["code"]
    return error


def run(outcome, **changes):
    """The answer to a request whose handler came to this."""
    steps = receive(request_frame(**changes))
    assert isinstance(asks(steps), Invoke)
    return end(steps, outcome)


def unsendable(steps, value):
    """The answer where what a handler returned can't be sent, and what its operator is told."""
    assert isinstance(asks(steps), Invoke)
    failed = asks(steps, Returned(value))
    assert isinstance(failed, Observe)
    assert isinstance(failed.event, Failed)
    response, _ = end(steps)
    return answer_of(response)["error"], failed.event

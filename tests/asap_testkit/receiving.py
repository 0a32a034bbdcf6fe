"""A server's story told by hand, from a request that was let in to its answer."""

import json

from asap_proto.limits import Limits
from asap_proto.roles import Accept, Admitted, Failed, Invoke, Observe, Returned, ServerRole, Write
from asap_proto.rules.slot import Fresh
from asap_testkit import asks, echo_manifest, finish, fixed_sources, request_frame

NONCE = {"nonce": "n"}


def role(**options):
    return ServerRole(echo_manifest(), fixed_sources(), **options)


def admitted(caller=None):
    return Admitted("identity", Limits().request_bytes, caller, "192.0.2.1", {"content-type": "application/json"})


def receive(frame, *, server=None, caller=None):
    body = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
    return (server or role()).receive(admitted(caller), body)


def accepts(steps, answer=None):
    """What the story asks to accept, once it was told `answer`."""
    command = asks(steps, answer)
    assert isinstance(command, Accept)
    return command


def invokes(steps):
    """The handler that the story asks for, once its request is accepted."""
    accepts(steps)
    command = asks(steps, Fresh())
    assert isinstance(command, Invoke)
    return command


def writes(steps, answer=None):
    """The change that the story asks to write, once it was told `answer`."""
    command = asks(steps, answer)
    assert isinstance(command, Write)
    return command.change


def end(steps, answer=None):
    """The response, after the last answer and the count; and what was counted."""
    command = asks(steps, answer)
    assert isinstance(command, Observe)
    return finish(steps), command.event


def answer_of(response):
    return json.loads(response.body)


def payload_of(response):
    """What a whole answer's envelope carries."""
    return answer_of(response)["result"]["envelope"]["payload"]


def hold(wire, frame, **options):
    """A request whose handler runs, and ends once the wire runs the story with an outcome."""
    steps = receive(frame, server=wire.server, **options)
    wire.reach(steps, Invoke)
    return steps


def error_of(steps, answer=None):
    response, event = end(steps, answer)
    error = answer_of(response)["error"]
    assert event.code == error["data"]["code"]
    assert error["data"]["error"]  # whatever it says: a sentence for people is there
    return error


def run(outcome, **changes):
    """The answer to a request whose handler came to this."""
    steps = receive(request_frame(**changes))
    invokes(steps)
    writes(steps, outcome)
    return end(steps, True)


def unsendable(steps, value):
    """The answer where what a handler returned can't be sent, and what its operator is told."""
    invokes(steps)
    failed = asks(steps, Returned(value))
    assert isinstance(failed, Observe)
    assert isinstance(failed.event, Failed)
    writes(steps)
    response, _ = end(steps, True)
    return answer_of(response)["error"], failed.event


def ask(wire, name, payload, **changes):
    """What a payload of this type is answered with: an envelope, or the error."""
    answer = answer_of(wire.post(request_frame(payload_type=name, payload=payload, **changes)))
    if "result" in answer:
        return answer["result"]["envelope"]
    assert answer["error"]["data"]["error"]  # whatever it says: a sentence for people is there
    return answer["error"]


def refused(wire, name, payload, **changes):
    """The code and the path of the error that it is answered with, and what a program is told."""
    data = ask(wire, name, payload, **changes)["data"]
    return data["code"], data["path"], data.get("details")


def record_at(wire, task_id):
    """The task as the store has it."""
    return wire.state.read(task_id, now=wire.clock.now().timestamp())

"""A server that goes straight on where it may, as the async fronts do over a store in memory."""

import json
from typing import Any

from asap_proto.errors import AsapError
from asap_proto.http import HttpResponse, RequestHead
from asap_proto.roles import Admitted, Returned

from .link import Link

__all__ = ["post_straight"]


def post_straight(wire: Link, frame: Any, **headers: str) -> HttpResponse:
    """The whole answer to one request."""
    body = json.dumps(frame).encode()
    head = RequestHead("POST", "/asap", {"content-type": "application/json", **headers}, "192.0.2.1")
    admitted = wire.run(wire.server.admit(head))
    assert isinstance(admitted, Admitted)
    straight = wire.server.straight(wire.state, wire.events.append)
    size = len(body)
    try:
        frame, held = wire.server.load(admitted, body)
    except AsapError as error:
        return wire.run(wire.server.unread(admitted, error))
    begun = straight.begin(frame, admitted, size, held)
    if begun is None:
        return wire.server.answer(wire.run(wire.server.item(frame, "$", admitted, size, held)), admitted)
    outcome = wire.perform(begun[0])
    item = straight.end(begun, frame, outcome.value) if isinstance(outcome, Returned) else None
    if item is None:
        steps = wire.server.go_on(begun, frame, "$", admitted)
        assert steps.send(None) == begun[0]
        item = wire.run(steps, outcome)
    return wire.server.answer(item, admitted)

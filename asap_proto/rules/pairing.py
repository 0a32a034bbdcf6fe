"""Whether a reply answers the request it came for."""

from __future__ import annotations

from ..errors import MispairedReply
from ..model.envelope import Envelope

__all__ = ["check_pair"]


def check_pair(request: Envelope, reply: Envelope) -> Envelope:
    """`reply`, if it answers `request`; raises `MispairedReply`.

    A reply without a correlation id passes: releases before 1.4 let handlers leave it out, and the HTTP
    exchange pairs it. One with another request's id never does.
    """
    if reply.correlation_id is not None and reply.correlation_id != request.id:
        raise MispairedReply(
            f"the reply answers {reply.correlation_id[:64]!r}, not {request.id!r}", path="$.correlation_id"
        )
    if reply.sender != request.recipient:
        raise MispairedReply(f"{reply.sender} answered what was sent to {request.recipient}", path="$.sender")
    if reply.recipient != request.sender:
        raise MispairedReply(f"the reply is addressed to {reply.recipient}", path="$.recipient")
    return reply

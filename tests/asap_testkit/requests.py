"""Requests to draw, for what has to hold of all of them."""

from typing import Any

from hypothesis import strategies as st

from asap_adapters.testing import strategies as asap
from asap_proto.model import Envelope, payload_name
from asap_proto.wire.json import dump, load
from asap_proto.wire.nouns import encode

from .nouns import CALLER, NOW, PEER, request_frame

__all__ = ["requests"]


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """Valid requests of every payload, from a sender whose clock is right."""
    payload = draw(asap.payloads())
    envelope = Envelope(
        id=draw(st.none() | asap.texts()),
        timestamp=NOW,
        sender=CALLER.urn,
        recipient=PEER,
        payload_type=payload_name(type(payload)),
        payload=payload,
        trace_id=draw(st.none() | asap.texts()),
        extensions=draw(
            st.none() | st.fixed_dictionaries({"nonce": asap.texts(least=1), "task_depth": st.integers(0, 12)})
        ),
    )
    frame = request_frame(key=draw(st.none() | asap.texts(least=1)), envelope=load(dump(encode(envelope)), depth=99))
    return {**frame, "id": draw(asap.texts() | st.integers(-(2**63), 2**64 - 1))}

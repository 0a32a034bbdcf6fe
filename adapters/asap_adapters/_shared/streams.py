"""An answer that comes in parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from attrs import frozen

from asap_proto.http import HttpResponse

__all__ = ["OpenedStream", "is_stream"]

P = TypeVar("P")


@frozen
class OpenedStream(Generic[P]):
    """The head of an answer and, where its body comes in parts, the iterator of those."""

    head: HttpResponse
    pieces: P | None


def is_stream(headers: Mapping[str, str]) -> bool:
    """Whether a body is worth reading before it is whole: server-sent events, as we asked for, uncompressed."""
    return headers.get("content-type", "").startswith("text/event-stream")

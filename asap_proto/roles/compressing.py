"""Bodies on their way out, compressed where the other end takes that and it is worth it."""

from __future__ import annotations

from ..http import HttpRequest, HttpResponse
from ..limits import INFLATE_FREE, INFLATE_RATIO, Limits
from ..rules.compression import IDENTITY
from .commands import Compress
from .steps import Steps, ask

__all__ = ["compressed_request", "compressed_response"]


def compressed_request(request: HttpRequest, coding: str, limits: Limits) -> Steps[HttpRequest]:
    """The request in this coding, unless that is not worth it."""
    packed = yield from _packed(request.body, coding, limits)
    if packed is None:
        return request
    headers = {**request.headers, "content-encoding": coding}
    return HttpRequest(request.method, request.target, headers, packed)


def compressed_response(response: HttpResponse, coding: str, limits: Limits) -> Steps[HttpResponse]:
    """The response in this coding, unless it is small, or that is not worth it.

    One that is large enough says that another caller may be answered in another coding, also where it is in none.
    """
    if len(response.body) <= limits.compress_bytes:
        return response
    headers = {**response.headers, "vary": "accept-encoding"}
    if coding != IDENTITY:
        packed = yield from _packed(response.body, coding, limits)
        if packed is not None:
            return HttpResponse(response.status, {**headers, "content-encoding": coding}, packed)
    return HttpResponse(response.status, headers, response.body)


def _packed(body: bytes, coding: str, limits: Limits) -> Steps[bytes | None]:
    """The body in this coding; None where it is no smaller, or so much that its receiver would take it for a bomb."""
    packed = yield from ask(Compress(body, coding, len(body) > limits.compress_inline_bytes))
    if len(packed) >= len(body) or len(body) > max(INFLATE_FREE, len(packed) * INFLATE_RATIO):
        return None
    return packed

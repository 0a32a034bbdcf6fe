"""What a peer has answered, as far as HTTP says it: a document to read, or why there is none."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from ..errors import (
    AsapError,
    BodyTooLarge,
    ForbiddenTarget,
    MalformedJson,
    MalformedReply,
    Overloaded,
    PeerRefused,
    PeerTimedOut,
    PeerUnreachable,
    RateLimited,
    Redirected,
)
from ..http import HttpResponse, TransportFailure
from ..limits import Limits
from ..rules.targets import redirect_host
from ..sources import Sources
from ..wire.json import load
from ..wire.replies import read_error

__all__ = ["ResponseReader", "unanswered"]

_http_date = re.compile(
    r"[A-Z][a-z]{2}, ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
).fullmatch
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

#: HTTP statuses that say where else to ask.
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class ResponseReader:
    """Reads what peers answer, within bounds."""

    def __init__(self, sources: Sources, limits: Limits) -> None:
        self._sources = sources
        self._limits = limits

    def document(self, body: bytes) -> Any:
        """The JSON value of a reply; raises `MalformedReply`."""
        try:
            return load(body, depth=self._limits.json_depth, values=self._limits.json_values)
        except MalformedJson as error:
            raise MalformedReply(f"the peer's reply is {error.message}") from None

    def whole(self, answer: HttpResponse | TransportFailure, *, conditional: bool = False) -> HttpResponse:
        """An answer worth reading; raises why there is none. To a `conditional` request 304 is one."""
        if isinstance(answer, TransportFailure):
            raise unanswered(answer)
        if len(answer.body) > self._limits.reply_bytes:
            raise BodyTooLarge(f"the reply has more than {self._limits.reply_bytes} bytes")
        if 200 <= answer.status < 300 or (conditional and answer.status == 304):
            return answer
        if answer.status in _REDIRECTS:
            raise _redirected(answer)
        error = self._refusal(answer)
        error.facts["status"] = answer.status
        wait = self._retry_after(answer.headers.get("retry-after"))
        if wait is not None:
            error.facts["retry_after"] = wait
        raise error

    def _refusal(self, answer: HttpResponse) -> AsapError:
        """What a peer says by an HTTP status, or better, by the JSON-RPC error that comes with it."""
        with suppress(MalformedJson):
            document = load(answer.body, depth=self._limits.json_depth, values=self._limits.json_values)
            if document.__class__ is dict and document.get("error").__class__ is dict:
                error = read_error(document["error"])
                if error.facts["data"].get("code") == error.code:
                    return error
        words = f"the peer answered with HTTP status {answer.status}"
        if answer.status == 429:
            return RateLimited(words)
        return Overloaded(words) if answer.status >= 500 else PeerRefused(words)

    def _retry_after(self, value: str | None) -> float | None:
        """Seconds (RFC 9110 section 10.2.3: a number, or a date); nothing for what is neither."""
        if value is None:
            return None
        if value.isascii() and value.isdecimal():
            return float(value[:9])
        if (match := _http_date(value)) is None or match[2] not in _MONTHS:
            return None
        day, _, year, *time = match.groups()
        try:
            at = datetime(int(year), _MONTHS.index(match[2]) + 1, int(day), tzinfo=UTC)
            at += timedelta(hours=int(time[0]), minutes=int(time[1]), seconds=int(time[2]))
        except (ValueError, OverflowError):
            return None
        return max(0.0, (at - self._sources.clock.now()).total_seconds())


def unanswered(failure: TransportFailure) -> AsapError:
    """Why there is no answer, as an error."""
    if failure.kind == "forbidden":
        return ForbiddenTarget(failure.detail)
    return (PeerTimedOut if failure.kind == "timed_out" else PeerUnreachable)(failure.detail)


def _redirected(answer: HttpResponse) -> Redirected:
    """Where the peer would have us ask, and we do not: what we show of ourselves is meant for the peer alone."""
    host = redirect_host(answer.headers.get("location", ""))
    facts = {"status": answer.status, **({"host": host} if host else {})}
    return Redirected(f"the peer says, by HTTP status {answer.status}, to ask {host or 'elsewhere'}", facts=facts)

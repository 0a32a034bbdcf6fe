"""The first half of the server's story: what can be said of a request before its body is read."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

from ..errors import (
    AsapError,
    BatchTooLarge,
    MethodNotAllowed,
    NoRoute,
    RateLimited,
    Unauthenticated,
    UnsupportedEncoding,
    VersionMismatch,
)
from ..http import Headers, HttpResponse, RequestHead
from ..limits import ASAP_VERSION, SUPPORTED_VERSIONS, Limits
from ..model import Manifest
from ..plain import plain
from ..rules.identity import Identity
from ..rules.quota import RetryAfter
from ..sources import Sources
from ..wire import jsonrpc
from ..wire.body import BodyGauge
from ..wire.json import dump
from ..wire.manifests import MANIFEST_PATH, dump_manifest, etag
from .commands import Authenticate, Handled, Observe, ReadMetrics, ReadState, Spend
from .steps import Steps, ask

__all__ = ["ASAP_PATH", "STREAM_PATH", "Admission", "Admitted", "NoncePolicy", "json_response", "refusal"]

ASAP_PATH = "/asap"
STREAM_PATH = "/asap/stream"
HEALTH_PATH = "/.well-known/asap/health"
METRICS_PATH = "/asap/metrics"
_POSTED = frozenset({ASAP_PATH, STREAM_PATH})
_READABLE = frozenset({MANIFEST_PATH, HEALTH_PATH, METRICS_PATH, "/health", "/ready"})

#: What to do with nonces: claim those that come, insist on them, or pass them over as 0.1 and 0.3 do.
NoncePolicy = Literal["accept", "require", "ignore"]

_JSON = {"content-type": "application/json"}


@plain
class Admitted:
    """A request whose body is worth reading: at most `most_bytes`, before and after undoing `encoding`."""

    encoding: str
    most_bytes: int
    caller: Identity | None
    quota_key: str
    headers: Headers
    #: Whether the answer is to come in parts, and the number of the last event that the caller has seen.
    streams: bool = False
    seen: int = 0


def json_response(status: int, body: bytes, headers: Headers = _JSON) -> HttpResponse:
    """A response that carries JSON."""
    return HttpResponse(status, headers, body)


def refusal(error: AsapError, headers: Headers = _JSON, *, id: jsonrpc.RpcId = None) -> HttpResponse:
    """The whole answer to a request that failed before, or instead of, any of its items."""
    extra: dict[str, str] = {}
    if error.kind.http_status in (429, 503):
        extra["retry-after"] = str(max(1, math.ceil(error.retry_after or 1)))
    if isinstance(error, Unauthenticated):
        extra["www-authenticate"] = error.facts.get("challenge", "Bearer")
    body = jsonrpc.answer(jsonrpc.failure(error), id)
    return HttpResponse(error.kind.http_status, {**headers, **extra}, body)


class Admission:
    """Routes, sizes, versions, callers and quotas: all that needs headers alone."""

    def __init__(
        self,
        manifest: Manifest,
        sources: Sources,
        *,
        limits: Limits,
        encodings: tuple[str, ...],
        quota: bool,
    ) -> None:
        self._sources = sources
        self._limits = limits
        self._gauge = BodyGauge(limits.request_bytes, what="request")
        self._encodings = ("identity", *encodings)
        self._quota = quota
        self._manifest = manifest
        self._document = dump_manifest(manifest)
        self._etag = etag(self._document)
        self._schemes = frozenset(scheme.lower() for scheme in manifest.auth.schemes) if manifest.auth else None

    def admit(self, head: RequestHead) -> Steps[Admitted | HttpResponse]:
        """What to do next: read the body, or answer at once.

        The order is that of ASAP: order of checks, but a caller is known before anything it wrote is parsed.
        """
        headers: Headers = _JSON
        try:
            self._gauge.announce(head.headers.get("content-length"))
            if head.path not in _POSTED:
                return (yield from self._other(head))
            if head.method != "POST":
                raise MethodNotAllowed("post to this path")
            if offered := head.headers.get("asap-version"):
                headers = _agreed(offered[:256])
            caller = None if self._schemes is None else (yield from self._caller(head, self._schemes))
            quota_key = caller.urn if caller else head.peer
            if self._quota:
                yield from self.spend(quota_key, 1)
            encoding = head.headers.get("content-encoding", "").strip().lower() or "identity"
            if encoding not in self._encodings:
                raise UnsupportedEncoding(f"expected one of {', '.join(self._encodings)}")
        except AsapError as error:
            note = f"{error.message} (from {head.peer})" if isinstance(error, Unauthenticated) else ""
            yield from ask(Observe(Handled("other", error.code, 0.0, note)))
            return _as_asked(head, _refused(head, error, headers))
        if head.path == STREAM_PATH:
            seen = head.headers.get("last-event-id", "")
            number = int(seen[:18]) if seen.isascii() and seen.isdecimal() else 0
            return Admitted(encoding, self._limits.request_bytes, caller, quota_key, headers, True, number)
        return Admitted(encoding, self._limits.request_bytes, caller, quota_key, headers)

    def spend(self, caller: str, cost: int) -> Steps[None]:
        """Charges a caller, or with a cost of 0 looks whether it has anything left; raises `RateLimited`."""
        if not self._quota:
            return
        answer = yield from ask(Spend(caller, cost, self._sources.clock.elapsed()))
        if isinstance(answer, RetryAfter):
            raise _limited(answer)

    def spend_batch(self, caller: str, items: int) -> Steps[None]:
        """Charges a caller for a batch whose first item was paid; raises `RateLimited` or `BatchTooLarge`."""
        if not self._quota or items < 2:
            return
        answer = yield from ask(Spend(caller, items - 1, self._sources.clock.elapsed()))
        if isinstance(answer, RetryAfter):
            if items > answer.most:
                raise BatchTooLarge(
                    f"a batch of {items}; the quota {answer.limit} allows {answer.most} at once",
                    facts={"items": items, "most": answer.most},
                )
            raise _limited(answer)

    def _caller(self, head: RequestHead, schemes: frozenset[str]) -> Steps[Identity]:
        challenge = ", ".join(sorted(scheme.capitalize() for scheme in schemes))
        scheme, _, secret = head.headers.get("authorization", "").strip().partition(" ")
        words = "authentication is required"
        # Whoever guesses at tokens spends, by its address, and with nothing left is not even listened to.
        guesses = f"guesses from {head.peer}"
        yield from self.spend(guesses, 0)
        if scheme.lower() in schemes and secret.strip():
            caller = yield from ask(Authenticate(f"{scheme.lower()} {secret.strip()}"))
            if caller is not None:
                return caller
            words = "these credentials are not valid"
        yield from self.spend(guesses, 1)
        raise Unauthenticated(words, facts={"challenge": challenge})

    def _other(self, head: RequestHead) -> Steps[HttpResponse]:
        if head.path == ASAP_PATH + "/":
            # Relative to where we were asked: we do not know what we are mounted under.
            return HttpResponse(307, {"location": ".." + ASAP_PATH})
        if head.path not in _READABLE:
            raise NoRoute("no such path")
        if head.method not in ("GET", "HEAD"):
            raise MethodNotAllowed("this path is for reading")
        return _as_asked(head, (yield from self._read(head)))

    def _read(self, head: RequestHead) -> Steps[HttpResponse]:
        if head.path == MANIFEST_PATH:
            return self._published(head)
        if head.path == METRICS_PATH:
            return (yield from ask(ReadMetrics()))
        if head.path == "/health":
            return json_response(200, b'{"status":"ok"}')
        state = yield from ask(ReadState())
        if head.path == "/ready":
            return (
                json_response(200, b'{"status":"ok"}') if state.ready else json_response(503, b'{"status":"unready"}')
            )
        health = {
            "status": "healthy" if state.ready else "unhealthy",
            "agent_id": self._manifest.id,
            "version": self._manifest.version,
            "asap_version": ASAP_VERSION,
            "uptime_seconds": max(0.0, self._sources.clock.elapsed() - state.started),
            "load": {"active_tasks": state.active, "queue_depth": 0},
        }
        return json_response(200 if state.ready else 503, dump(health))

    def _published(self, head: RequestHead) -> HttpResponse:
        headers = {**_JSON, "etag": self._etag, "cache-control": "public, max-age=300"}
        held = [tag.strip().removeprefix("W/") for tag in head.headers.get("if-none-match", "").split(",")]
        if self._etag in held or "*" in held:
            return HttpResponse(304, {name: headers[name] for name in ("etag", "cache-control")})
        return json_response(200, self._document, headers)


def _as_asked(head: RequestHead, response: HttpResponse) -> HttpResponse:
    """The response; to HEAD without its body, which not every server leaves out by itself."""
    if head.method != "HEAD" or response.status == 304:
        return response
    return HttpResponse(response.status, {**response.headers, "content-length": str(len(response.body))})


def _refused(head: RequestHead, error: AsapError, headers: Headers) -> HttpResponse:
    if head.path in _POSTED and not isinstance(error, MethodNotAllowed):
        return refusal(error, headers)
    allow = {"allow": "POST" if head.path in _POSTED else "GET, HEAD"} if error.kind.http_status == 405 else {}
    # Outside the protocol's endpoint a JSON-RPC body would be odd: what every release answers here.
    words = {404: "Not Found", 405: "Method Not Allowed"}.get(error.kind.http_status, error.message)
    return json_response(error.kind.http_status, dump({"detail": words}), {**headers, **allow})


@lru_cache(maxsize=64)  # a peer offers the same with each request
def _limited(answer: RetryAfter) -> RateLimited:
    seconds = max(1, math.ceil(answer.seconds))
    return RateLimited("too many requests", facts={"retry_after": seconds, "limit": answer.limit})


def _agreed(offered: str) -> Headers:
    """Headers that name the newest version that both speak (ASAP: versions); raises `VersionMismatch`."""
    theirs = {version.strip() for version in offered.split(",")}
    for version in SUPPORTED_VERSIONS:
        if version in theirs:
            return {**_JSON, "asap-version": version}
    raise VersionMismatch("no version in common", facts={"supported": list(SUPPORTED_VERSIONS)})

"""The first half of the server's story: what can be said of a request before its body is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from types import EllipsisType
from typing import Any, Literal

from attrs import evolve

from ..errors import (
    AsapError,
    BadHead,
    BatchTooLarge,
    HeadTooLarge,
    LoadShed,
    MethodNotAllowed,
    NoRoute,
    RateLimited,
    Unauthenticated,
    UnsupportedEncoding,
    UnsupportedMediaType,
    VersionMismatch,
)
from ..http import Headers, HttpResponse, RequestHead
from ..limits import ASAP_VERSION, MANIFEST_TTL, SUPPORTED_VERSIONS, Limits
from ..model import Manifest
from ..plain import plain
from ..rules.compression import IDENTITY, choose
from ..rules.forwarding import Proxies, bucket_of, is_local
from ..rules.identity import Identity, SignedIdentity
from ..rules.origins import check_host, check_origin, is_json, names_of
from ..rules.quota import Allowed, Left, RetryAfter
from ..rules.shedding import Shedding
from ..sources import Sources
from ..wire import jsonrpc
from ..wire.body import BodyGauge
from ..wire.json import dump
from ..wire.manifests import dump_manifest, etag
from ..wire.paths import (
    ASAP_PATH,
    HEALTH_PATH,
    LIVE_PATH,
    MANIFEST_PATH,
    METRICS_PATH,
    READY_PATH,
    SIGNED_MANIFEST_PATH,
    STREAM_PATH,
)
from .commands import Authenticate, Handled, Observe, ReadMetrics, ReadState, Spend
from .compressing import compressed_response
from .steps import Steps, ask

__all__ = ["ASAP_PATH", "STREAM_PATH", "Admission", "Admitted", "Looked", "NoncePolicy", "json_response", "refusal"]

_POSTED = frozenset({ASAP_PATH, STREAM_PATH})
_READABLE = frozenset({HEALTH_PATH, METRICS_PATH, LIVE_PATH, READY_PATH})

#: What to do with nonces: claim those that come, insist on them, or pass them over as 0.1 and 0.3 do.
NoncePolicy = Literal["accept", "require", "ignore"]

_JSON = {"content-type": "application/json"}


#: Charges whoever it names so much at once, for a quota that does not have to be waited for: `Allowed` or `RetryAfter`.
Spending = Callable[[str, int], Any]


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
    #: Where the request is signed, what is left to check of that: its nonce, and its body.
    proof: SignedIdentity | None = None
    #: The coding that a large answer is sent in, if it may be compressed at all.
    coding: str | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the body is what it says as it comes: nothing is undone, and nothing compared."""
        return self.encoding == IDENTITY and self.proof is None

    @property
    def digests(self) -> Mapping[str, bytes] | None:
        """What the body, as it was sent, has to fit: for a `BodyDigest`."""
        return None if self.proof is None else self.proof.digests


@plain
class Looked:
    """What a head comes to, but for who calls and has paid: the same for each request that has it.

    So it does whatever the request says of credentials, and of a length that is not more than `most_length`.
    """

    head: RequestHead
    #: Where the caller is, by its connection or by what a proxy says.
    address: str
    #: What is admitted of a caller who was not asked.
    admitted: Admitted
    #: How long a body may be announced to be; less than nothing where no length may be told.
    most_length: int


def json_response(status: int, body: bytes, headers: Headers = _JSON) -> HttpResponse:
    """A response that carries JSON."""
    return HttpResponse(status, headers, body)


def refusal(
    error: AsapError,
    headers: Headers = _JSON,
    *,
    id: jsonrpc.RpcId = None,
    challenge: str = "",
    strict: bool = False,
    body: bytes | None = None,
) -> HttpResponse:
    """The whole answer to a request that failed before, or instead of, any of its items.

    `strict` gives what the caller did wrong the status that HTTP has for it, which old peers do not understand.
    """
    extra: dict[str, str] = {}
    if error.kind.http_status in (429, 503):
        extra["retry-after"] = str(max(1, math.ceil(error.retry_after or 1)))
    if isinstance(error, Unauthenticated):
        extra["www-authenticate"] = challenge or "Bearer"
    status = error.kind.strict_status if strict and error.kind.strict_status else error.kind.http_status
    if body is None:
        body = jsonrpc.answer(jsonrpc.failure(error), id)
    return HttpResponse(status, {**headers, **extra}, body)


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
        hosts: Collection[str] | None,
        challenges: Sequence[str] | None,
        strict_http: bool,
        proxies: Proxies,
        enclosed: bytes | None,
        compresses: tuple[str, ...],
        compresses_locally: bool,
    ) -> None:
        self._sources = sources
        self._limits = limits
        self._gauge = BodyGauge(limits.request_bytes, what="request")
        self._encodings = (IDENTITY, *encodings)
        self._compresses = compresses
        self._compresses_locally = compresses_locally
        #: What is said of ourselves to whoever may send compressed bodies (RFC 7694).
        self._accepts = ", ".join(encodings) or IDENTITY
        self._open = {**_JSON, "accept-encoding": self._accepts}
        #: What is published, in each coding that it was asked for in: it is compressed once.
        self._packed: dict[tuple[str, str], HttpResponse] = {}
        self._quota = quota
        self._proxies = proxies
        self._has_proxies = proxies != Proxies()
        self._shedding = Shedding(limits.late_seconds)
        self._hosts = None if hosts is None else names_of(hosts)
        self._manifest = manifest
        texts = {MANIFEST_PATH: dump_manifest(manifest), SIGNED_MANIFEST_PATH: enclosed}
        self._published = {path: (text, etag(text)) for path, text in texts.items() if text is not None}
        if challenges is None:
            challenges = sorted(scheme.capitalize() for scheme in manifest.auth.schemes) if manifest.auth else ()
        self._challenge = ", ".join(dict.fromkeys(challenges))
        #: Whether callers are asked who they are.
        self.asks = bool(self._challenge)
        self._strict = strict_http

    def admit(self, head: RequestHead) -> Steps[Admitted | HttpResponse]:
        """What to do next: read the body, or answer at once.

        The order is that of ASAP: order of checks, but a caller is known before anything it wrote is parsed.
        """
        address, coding = self._place_of(head)
        try:
            self._check_head(head)
            if head.path not in _POSTED:
                return (yield from self._other(head, coding))
            looked = self._looked(head, address, coding)
        except AsapError as error:
            return (yield from self._turned_down(head, error, self._open if coding is not None else _JSON, address))
        return (yield from self.enter(looked, head))

    def look(self, head: RequestHead) -> Looked | None:
        """What a head comes to, for whoever remembers it; nothing where each such request is to be looked at."""
        address, coding = self._place_of(head)
        if head.path != ASAP_PATH:
            return None
        try:
            self._check_head(head)
            looked = self._looked(head, address, coding)
        except AsapError:
            return None
        return looked if looked.admitted.encoding in self._encodings else None

    def enter(
        self, looked: Looked, head: RequestHead, verdict: Identity | EllipsisType | None = ...
    ) -> Steps[Admitted | HttpResponse]:
        """The rest of `admit`, of a request whose head was looked at; `verdict` is who calls, if that was asked."""
        given, address = looked.admitted, looked.address
        headers = given.headers
        try:
            caller, proof = None, None
            if self.asks:
                caller, proof = yield from self._caller(head, given.quota_key, verdict)
            quota_key = caller.urn if caller else given.quota_key
            paid: Allowed | RetryAfter | None = None
            if self._quota:
                paid = yield from self._paid(quota_key, 1)
                if isinstance(paid, RetryAfter):
                    headers = {**headers, **_standing(paid.left)}
                    raise _limited(paid)
            if self._shedding.share < 1.0:
                yield from self._shed(quota_key)
            if paid is not None:
                headers = {**headers, **_standing(paid.left)}
            if given.encoding not in self._encodings:
                headers = {**headers, "accept-encoding": self._accepts}
                raise UnsupportedEncoding(f"expected one of {', '.join(self._encodings)}")
        except AsapError as error:
            return (yield from self._turned_down(head, error, headers, address))
        most, streams, seen = given.most_bytes, given.streams, given.seen
        return Admitted(given.encoding, most, caller, quota_key, headers, streams, seen, proof, given.coding)

    def now(self) -> datetime:
        """The time by which credentials are looked at."""
        return self._sources.clock.now()

    def may_guess(self, looked: Looked, spend: Spending) -> bool:
        """Whether whoever calls from there is listened to: who guesses at tokens spends by it."""
        return not self._quota or spend(_guesses(looked.admitted.quota_key), 0).__class__ is Allowed

    def let_in(self, looked: Looked, caller: Identity | None, spend: Spending) -> Admitted | None:
        """Lets in whom `enter` would let in, past its story; nothing where that has to be told."""
        if self._shedding.share < 1.0:
            return None
        given = looked.admitted
        if caller is None and not self._quota:
            return given
        headers, key, proof = given.headers, given.quota_key, None
        if caller is not None:
            key = caller.urn
            if caller.__class__ is not Identity:
                caller, proof = _proof_of(caller)
        if self._quota:
            paid = spend(key, 1)
            if paid.__class__ is not Allowed:
                return None
            headers = {**headers, **_standing(paid.left)}
        return Admitted(given.encoding, given.most_bytes, caller, key, headers, proof=proof, coding=given.coding)

    def _place_of(self, head: RequestHead) -> tuple[str, str | None]:
        """Where the caller is, and the coding that it may be answered in."""
        said = head.headers
        address = self._proxies.address_of(head.peer, said) if self._has_proxies else head.peer
        coding: str | None = None
        if self._compresses and (self._compresses_locally or not is_local(address)):
            coding = choose(said.get("accept-encoding"), self._compresses)
        return address, coding

    def _looked(self, head: RequestHead, address: str, coding: str | None) -> Looked:
        """What is posted; raises what is wrong with its head, but for a coding that nobody undoes."""
        said = head.headers
        if head.method != "POST":
            raise MethodNotAllowed("Method Not Allowed")
        if (kind := said.get("content-type", "")) != "application/json" and not is_json(kind):
            raise UnsupportedMediaType("expected application/json")
        headers: Headers = _JSON if coding is None else self._open
        if offered := said.get("asap-version"):
            headers = _agreed(offered[:256], None if coding is None else self._accepts)
        encoding = IDENTITY
        if coded := said.get("content-encoding"):
            encoding = coded.strip().lower() or encoding
        most, bucket = self._limits.request_bytes, bucket_of(address)
        length = -1 if "transfer-encoding" in said else most
        if head.path == STREAM_PATH:
            seen = said.get("last-event-id", "")
            number = int(seen[:18]) if seen.isascii() and seen.isdecimal() else 0
            return Looked(head, address, Admitted(encoding, most, None, bucket, headers, True, number), length)
        return Looked(head, address, Admitted(encoding, most, None, bucket, headers, coding=coding), length)

    def _turned_down(self, head: RequestHead, error: AsapError, headers: Headers, address: str) -> Steps[HttpResponse]:
        note = f"{error.message} (from {address})" if isinstance(error, Unauthenticated) else ""
        yield from ask(Observe(Handled("other", error.code, 0.0, note)))
        return _as_asked(head, self._refused(head, error, headers))

    def refusal(
        self, error: AsapError, headers: Headers, *, id: jsonrpc.RpcId = None, body: bytes | None = None
    ) -> HttpResponse:
        """The whole answer to a request that failed; `body` is what it says, where that is written already."""
        return refusal(error, headers, id=id, challenge=self._challenge, strict=self._strict, body=body)

    def is_refusal(self, error: AsapError) -> bool:
        """Whether an answer that tells this alone has a status or a header of its own."""
        kind = error.kind
        return (
            kind.http_status != 200 or isinstance(error, Unauthenticated) or (self._strict and bool(kind.strict_status))
        )

    def _check_head(self, head: RequestHead) -> None:
        """Where the body ends, how large it says to be, and whether it is we who are asked, by whom we may be."""
        headers = head.headers
        if head.lines > self._limits.header_count:
            raise HeadTooLarge(f"more than {self._limits.header_count} headers")
        if self._hosts is not None:
            check_host(headers.get("host"), hosts=self._hosts)
            if (origin := headers.get("origin")) is not None:
                check_origin(origin, hosts=self._hosts)
        length, coding = headers.get("content-length"), headers.get("transfer-encoding")
        if coding is not None and (length is not None or coding.strip(" \t").lower() != "chunked"):
            # Who reads another end out of it than we do could hide a request behind this one (RFC 9112 section 6.1).
            raise BadHead("expected chunked as the only transfer coding, and no Content-Length beside it")
        if length is not None:
            if not (length.isascii() and length.isdecimal()):
                raise BadHead("expected one Content-Length, in digits")
            if int(length[:20]) > self._limits.request_bytes:
                self._gauge.announce(length)

    def _refused(self, head: RequestHead, error: AsapError, headers: Headers) -> HttpResponse:
        if isinstance(error, BadHead):
            headers = {**headers, "connection": "close"}  # nobody knows where the next request begins
        if head.path in _POSTED and not isinstance(error, MethodNotAllowed):
            return self.refusal(error, headers)
        return _other_refused(head, error, headers)

    def felt(self, delay: float) -> None:
        """What was due just now came so late."""
        # Threads that come together may lose a word to each other; the next one is said soon.
        self._shedding = self._shedding.felt(delay, now=self._sources.clock.elapsed())

    def _shed(self, payer: str) -> Steps[None]:
        """Turns away the share that is too much; raises `LoadShed`. What was paid for it is given back."""
        wait, self._shedding = self._shedding.admit()
        if wait is not None:
            if self._quota:
                yield from self._paid(payer, -1)
            raise LoadShed("more is asked than can be done in time", facts={"retry_after": math.ceil(wait)})

    def _paid(self, caller: str, cost: int, skill: str = "") -> Steps[Allowed | RetryAfter]:
        return (yield from ask(Spend(caller, cost, self._sources.clock.elapsed(), skill)))

    def spend(self, caller: str, cost: int, skill: str = "") -> Steps[None]:
        """Charges a caller for a run of a skill, or gives back; raises `RateLimited`."""
        answer = yield from self._paid(caller, cost, skill)
        if isinstance(answer, RetryAfter):
            raise _limited(answer)

    def spend_batch(self, admitted: Admitted, items: int) -> Steps[Admitted]:
        """Charges a caller for a batch whose first item was paid; raises `RateLimited` or `BatchTooLarge`."""
        if not self._quota or items < 2:
            return admitted
        answer = yield from self._paid(admitted.quota_key, items - 1)
        if isinstance(answer, RetryAfter):
            if items > answer.most:
                raise BatchTooLarge(
                    f"a batch of {items}; the quota {answer.limit} allows {answer.most} at once",
                    facts={"items": items, "most": answer.most},
                )
            raise _limited(answer)
        return evolve(admitted, headers={**admitted.headers, **_standing(answer.left)})

    def _caller(
        self, head: RequestHead, bucket: str, verdict: Identity | EllipsisType | None
    ) -> Steps[tuple[Identity, SignedIdentity | None]]:
        """Who calls, and where the request is signed, what is left to check of that."""
        # Whoever guesses at tokens spends, by its address, and with nothing left is not even listened to.
        guesses = _guesses(bucket)
        if verdict is ...:
            if self._quota:
                yield from self.spend(guesses, 0)
            verdict = yield from ask(Authenticate(head, self._sources.clock.now()))
        if verdict is not None:
            return _proof_of(verdict)
        if self._quota:
            yield from self.spend(guesses, 1)
        shown = any(head.headers.get(name) for name in ("authorization", "signature-input"))
        words = "these credentials are not valid" if shown else "authentication is required"
        raise Unauthenticated(words, facts={"challenge": self._challenge})

    def _other(self, head: RequestHead, coding: str | None) -> Steps[HttpResponse]:
        if head.path == ASAP_PATH + "/":
            # Relative to where we were asked: we do not know what we are mounted under.
            return HttpResponse(307, {"location": ".." + ASAP_PATH})
        if head.path not in _READABLE and head.path not in self._published:
            raise NoRoute("Not Found")
        if head.method not in ("GET", "HEAD"):
            raise MethodNotAllowed("Method Not Allowed")
        response = yield from self._read(head, coding)
        if coding is not None:
            response = yield from self._compressed(head, response, coding)
        return _as_asked(head, response)

    def _compressed(self, head: RequestHead, response: HttpResponse, coding: str) -> Steps[HttpResponse]:
        if head.path not in self._published or response.status == 304:
            return (yield from compressed_response(response, coding, self._limits))
        packed = self._packed.get((head.path, coding))
        if packed is None:
            packed = yield from compressed_response(response, coding, self._limits)
            self._packed[head.path, coding] = packed
        return packed

    def _read(self, head: RequestHead, coding: str | None) -> Steps[HttpResponse]:
        if head.path in self._published:
            text, tag = self._published[head.path]
            if coding is None:
                return _document(head, text, tag)
            if len(text) <= self._limits.compress_bytes:
                return _document(head, text, tag, self._open)
            # The tag stands for each of its codings, whose bytes differ: so it is a weak one (RFC 9110 section 8.8.1).
            return _document(head, text, f"W/{tag}", {**self._open, "vary": "accept-encoding"})
        if head.path == METRICS_PATH:
            return (yield from ask(ReadMetrics()))
        if head.path == LIVE_PATH:
            return json_response(200, b'{"status":"ok"}')
        state = yield from ask(ReadState())
        if head.path == READY_PATH:
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


def _guesses(bucket: str) -> str:
    """Whom it is counted for that credentials from there were not valid."""
    return f"guesses from {bucket}"


def _proof_of(verdict: Identity) -> tuple[Identity, SignedIdentity | None]:
    if isinstance(verdict, SignedIdentity):
        # What is kept of a caller is who it is.
        return Identity(verdict.urn, verdict.scopes), verdict
    return verdict, None


def _document(head: RequestHead, text: bytes, tag: str, headers: Headers = _JSON) -> HttpResponse:
    """What is published, unless the caller has just this already."""
    headers = {**headers, "etag": tag, "cache-control": f"public, max-age={MANIFEST_TTL}"}
    held = [one.strip().removeprefix("W/") for one in head.headers.get("if-none-match", "").split(",")]
    if tag.removeprefix("W/") in held or "*" in held:
        return HttpResponse(304, {name: headers[name] for name in ("etag", "cache-control", "vary") if name in headers})
    return json_response(200, text, headers)


def _as_asked(head: RequestHead, response: HttpResponse) -> HttpResponse:
    """The response; to HEAD without its body, which not every server leaves out by itself."""
    if head.method != "HEAD" or response.status == 304:
        return response
    return HttpResponse(response.status, {**response.headers, "content-length": str(len(response.body))})


def _other_refused(head: RequestHead, error: AsapError, headers: Headers) -> HttpResponse:
    allow = {"allow": "POST" if head.path in _POSTED else "GET, HEAD"} if error.kind.http_status == 405 else {}
    # Outside the protocol's endpoint a JSON-RPC body would be odd: what every release answers here.
    return json_response(error.kind.http_status, dump({"detail": error.message}), {**headers, **allow})


def _limited(answer: RetryAfter) -> RateLimited:
    seconds = max(1, math.ceil(answer.seconds))
    facts: dict[str, object] = {"retry_after": seconds, "limit": answer.limit}
    if answer.left:
        facts["remaining"] = min(left.requests for left in answer.left)
    return RateLimited("too many requests", facts=facts)


def _standing(left: tuple[Left, ...]) -> Headers:
    """What is left of a quota, in the fields of draft-ietf-httpapi-ratelimit-headers."""
    policies, standings = [], []
    for one in left:
        name, policy = _policy(one.rate.count, one.rate.seconds)
        policies.append(policy)
        standings.append(f"{name};r={one.requests};t={math.ceil(one.seconds)}")
    return {"ratelimit-policy": ", ".join(policies), "ratelimit": ", ".join(standings)} if left else {}


@lru_cache(maxsize=64)  # each answer says the same of it
def _policy(count: int, seconds: int) -> tuple[str, str]:
    """What a rate is called, and what it is."""
    name = f'"{count}/{seconds}s"'
    return name, f"{name};q={count};w={seconds}"


@lru_cache(maxsize=64)  # a release says the same each time
def _agreed(offered: str, accepts: str | None) -> Headers:
    """Headers that name the newest version that both speak (ASAP: versions); raises `VersionMismatch`."""
    theirs = {version.strip() for version in offered.split(",")}
    for version in SUPPORTED_VERSIONS:
        if version in theirs:
            return {**_JSON, "asap-version": version, **({} if accepts is None else {"accept-encoding": accepts})}
    raise VersionMismatch("no version in common", facts={"supported": list(SUPPORTED_VERSIONS)})

"""Where a peer is, and a request to it as bytes."""

from __future__ import annotations

import re
from base64 import b64encode
from ipaddress import ip_address
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from asap_proto.errors import Misuse
from asap_proto.http import HttpRequest, TransportFailure

from ..addresses import Forbidden, Refused
from ..inflate import ENCODINGS
from ..urls import shown
from .parsing import AnswerBroken

__all__ = ["Place", "PoolExhausted"]

_is_host = re.compile(r"[a-z0-9._~!$&'()*+,;=-]+").fullmatch
_is_token = re.compile(r"[a-zA-Z0-9!#$%&'*+.^_`|~-]+").fullmatch
_are_lines = re.compile(r"(?:[a-z0-9!#$%&'*+.^_`|~-]+: [^\x00-\x08\x0a-\x1f\x7f]*\r\n)*").fullmatch

#: What each request says unless it says otherwise itself, whoever is asked.
_USUAL: Final = {"accept-encoding": ", ".join(ENCODINGS), "user-agent": "asap-proto"}
#: What says where a request ends, and what a connection is: the bytes themselves do.
_FRAMING: Final = frozenset({"connection", "content-length", "host", "transfer-encoding"})
#: Paths of which the first lines of a request are kept; a client of ours asks for three.
_PATHS: Final = 64


class PoolExhausted(TimeoutError):
    """No connection became free in time."""


class Place:
    """A peer's base URL, read once; its user and password become a header. Raises `Misuse` for what is none."""

    def __init__(self, base_url: str) -> None:
        try:
            parts = urlsplit(base_url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise _no_url(base_url) from None
        # What can't be printed, urlsplit leaves out of what it finds.
        if parts.scheme not in ("http", "https") or not host or not base_url.isprintable():
            raise _no_url(base_url)
        self.is_encrypted = parts.scheme == "https"
        usual = 443 if self.is_encrypted else 80
        self.port = usual if port is None else port
        #: As a resolver, and a certificate, know it.
        self.host = _ascii(host.replace("%25", "%"), base_url)  # as a zone is spelt in a URL (RFC 6874)
        self.is_address = _is_address(self.host)
        #: What its certificate has to be for.
        self.name = self.host.partition("%")[0].removesuffix(".")
        self._authority = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        if self.port != usual:
            self._authority += f":{self.port}"
        self._path = quote(parts.path.rstrip("/"), safe=_SAFE)
        self._shown = f"{parts.scheme}://{self._authority}{self._path}"
        # What each request says unless it says otherwise itself, and what it has to look out for.
        self._usual = dict(_USUAL)
        if "@" in parts.netloc:
            user, password = unquote(parts.username or ""), unquote(parts.password or "")
            self._usual["authorization"] = f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"
        self._usual_lines = "".join(f"{name}: {value}\r\n" for name, value in self._usual.items())
        self._settled = _FRAMING | self._usual.keys()
        self._first_lines: dict[tuple[str, str], str] = {}

    def head_of(self, request: HttpRequest) -> bytes:
        """The request's head; raises `Misuse` for one that could be taken for another."""
        first = self._first_lines.get((request.method, request.target)) or self._begin(request.method, request.target)
        headers, usual = request.headers, self._usual_lines
        if not self._settled.isdisjoint(headers):
            closes = headers.get("connection") == "close"  # that it is the last of its connection, it may say
            headers = {name: value for name, value in headers.items() if name not in _FRAMING}
            if closes:
                headers["connection"] = "close"
            usual = "".join([f"{name}: {value}\r\n" for name, value in self._usual.items() if name not in headers])
        told = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        if _are_lines(told) is None or told.count("\n") != len(headers):
            raise Misuse("a header can't be sent: it holds what none may hold")
        if request.body or request.method not in ("GET", "HEAD"):
            told += f"content-length: {len(request.body)}\r\n"
        try:
            return f"{first}{usual}{told}\r\n".encode("latin-1")
        except UnicodeEncodeError:
            raise Misuse("a header can't be sent: it holds what is not latin-1") from None

    def _begin(self, method: str, target: str) -> str:
        if _is_token(method) is None:
            raise Misuse(f"{method[:64]!r} is no method of HTTP")
        path = self._path + quote(target, safe=_SAFE) or "/"
        text = f"{method} {path} HTTP/1.1\r\nhost: {self._authority}\r\n"
        if len(self._first_lines) < _PATHS:
            self._first_lines[method, target] = text
        return text

    def failure(self, error: Exception) -> TransportFailure:
        """Why no answer came."""
        match error:
            case Forbidden():
                return TransportFailure("forbidden", str(error))
            case Refused():
                why = f": {error}" if str(error) else ""
                return TransportFailure("refused", f"{self._shown} takes no connection{why}")
            case PoolExhausted():
                return TransportFailure("timed_out", f"no connection to {self._shown} became free (see pool_maxsize)")
            case TimeoutError():
                return TransportFailure("timed_out", f"{self._shown} did not answer in time")
            case AnswerBroken():
                return TransportFailure("broken", f"{self._shown} broke off: {error}")
            case _:
                return TransportFailure("broken", f"{self._shown} broke off: {type(error).__name__}")


#: What may stand in a target besides letters and digits (RFC 3986); what was quoted stays so.
_SAFE: Final = "/?:@!$&'()*+,;=-._~%[]"


def _no_url(url: str) -> Misuse:
    return Misuse(f"{shown(url)!r} is no http or https URL")


def _ascii(host: str, url: str) -> str:
    """The host as the network has it: in lower case, and a name of other letters as IDNA has it."""
    if _is_address(host):
        return host
    if not host.isascii():
        import idna  # few names need it

        try:
            host = idna.encode(host.lower()).decode()
        except idna.IDNAError:
            raise _no_url(url) from None
    if _is_host(host) is None:
        raise _no_url(url)
    return host


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True

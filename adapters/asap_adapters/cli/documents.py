"""What a JSON document is meant to be, and every fault that keeps it from being so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from attrs import frozen

from asap_proto.errors import AsapError, Fault, MalformedJson
from asap_proto.limits import Limits
from asap_proto.model import Envelope, Manifest, payload_class
from asap_proto.wire import jsonrpc
from asap_proto.wire.faults import every_fault
from asap_proto.wire.json import load
from asap_proto.wire.schema import SCHEMAS

from .outcome import USAGE, Stop

__all__ = ["Verdict", "judge"]

#: Members that give away what a document is meant to be; the first sort with most of them wins.
_SIGNS = {
    "request": frozenset({"jsonrpc", "method", "params"}),
    "envelope": frozenset({"sender", "recipient", "payload_type", "payload"}),
    "manifest": frozenset({"name", "version", "capabilities", "endpoints"}),
}


@frozen
class Verdict:
    """What a document was taken for, and what is wrong with it."""

    sort: str
    faults: tuple[Fault, ...]

    @property
    def valid(self) -> bool:
        return not self.faults


def judge(text: bytes, sort: str | None, *, lenient: bool) -> Verdict:
    """Every fault of a document as `sort`, or as what it looks like; raises `Stop` where that can't be told."""
    named = _named(sort) if sort else None
    try:
        document = load(text, depth=Limits().json_depth, unique=True)
    except MalformedJson as error:
        return Verdict(sort or "JSON text", (Fault(error.path, "json_invalid", error.message),))
    name, faults_of = named or _looks_like(document)
    return Verdict(name, tuple(faults_of(document, lenient)))


_Judge = Callable[[Any, bool], Iterator[Fault]]


def _named(sort: str) -> tuple[str, _Judge]:
    if sort.lower() in _JUDGES:
        return sort.lower(), _JUDGES[sort.lower()]
    kind = payload_class(sort) or next((noun for name, noun in SCHEMAS.items() if name.lower() == sort.lower()), None)
    if kind is None:
        known = ", ".join(_JUDGES)
        raise Stop(USAGE, f"--as {sort}: no such sort", remedy=f"Use {known}, or a name that `asap schema` lists.")
    return kind.__name__, _noun(kind)


def _looks_like(document: Any) -> tuple[str, _Judge]:
    if isinstance(document, list):
        return "batch", _batch
    keys = document.keys() if isinstance(document, dict) else frozenset()
    name = max(_SIGNS, key=lambda sort: len(_SIGNS[sort] & keys))
    if not _SIGNS[name] & keys:
        raise Stop(
            USAGE,
            "this looks like no envelope, no request and no manifest",
            remedy="Say what it should be: --as envelope, --as request, --as manifest.",
        )
    return name, _JUDGES[name]


def _envelope(document: Any, lenient: bool) -> Iterator[Fault]:
    yield from every_fault(Envelope, document, lenient=lenient)
    if not isinstance(document, dict) or not isinstance(document.get("payload"), dict):
        return
    name = document.get("payload_type")
    kind = payload_class(name) if isinstance(name, str) else None
    if kind is not None:
        for fault in every_fault(kind, document["payload"], lenient=lenient):
            yield fault.under("$.payload")


def _request(document: Any, lenient: bool) -> Iterator[Fault]:
    try:
        jsonrpc.check_call(document)
    except AsapError as error:
        yield from error.faults or (Fault(error.path, error.code, error.message),)
    params = document.get("params") if isinstance(document, dict) else None
    envelope = params.get("envelope") if isinstance(params, dict) else None
    if isinstance(envelope, dict):
        for fault in _envelope(envelope, lenient):
            yield fault.under("$.params.envelope")


def _batch(document: Any, lenient: bool) -> Iterator[Fault]:
    try:
        jsonrpc.check_batch(document, most=Limits().batch_items)
    except AsapError as error:
        yield Fault(error.path, error.code, error.message)
    for index, item in enumerate(document):
        for fault in _request(item, lenient):
            yield fault.under(f"$[{index}]")


def _request_or_batch(document: Any, lenient: bool) -> Iterator[Fault]:
    return (_batch if isinstance(document, list) else _request)(document, lenient)


def _noun(kind: type[Any]) -> _Judge:
    return lambda document, lenient: every_fault(kind, document, lenient=lenient)


_JUDGES: dict[str, _Judge] = {"envelope": _envelope, "request": _request_or_batch, "manifest": _noun(Manifest)}

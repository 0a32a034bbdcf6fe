"""HTTP as roles are given it, and as they give it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from hypothesis import strategies as st

from asap_proto.http import HttpRequest, HttpResponse, RequestHead
from asap_proto.wire.json import dump

from ._values import Strategy, as_strategy, check_names, json_values

N = TypeVar("N")

_tokens = st.from_regex(r"[a-z][a-z0-9-]{0,15}", fullmatch=True)
_values = st.from_regex(r"([!-~]([ -~]{0,18}[!-~])?)?", fullmatch=True)
_paths = st.from_regex(r"(/[a-zA-Z0-9._~-]{0,8}){1,3}", fullmatch=True)
_methods = st.sampled_from(("GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE"))
_bodies = st.binary(max_size=64) | json_values().map(dump)


def headers() -> Strategy[dict[str, str]]:
    """Headers as roles are given them: names in lower case, values of visible characters and blanks between."""
    return st.dictionaries(_tokens, _values, max_size=4)


def request_heads(**fields: Any) -> Strategy[RequestHead]:
    """Requests whose body was not read yet; fields as for a noun."""
    drawn = {"method": _methods, "path": _paths, "headers": headers(), "peer": st.ip_addresses().map(str)}
    return _value(RequestHead, drawn, fields)


def http_requests(**fields: Any) -> Strategy[HttpRequest]:
    """Requests to be sent; fields as for a noun."""
    return _value(HttpRequest, {"method": _methods, "target": _paths, "headers": headers(), "body": _bodies}, fields)


def http_responses(**fields: Any) -> Strategy[HttpResponse]:
    """Answers, whole, of any status but an interim one; fields as for a noun."""
    return _value(HttpResponse, {"status": st.integers(200, 599), "headers": headers(), "body": _bodies}, fields)


def _value(kind: type[N], drawn: dict[str, Strategy[Any]], given: Mapping[str, Any]) -> Strategy[N]:
    check_names(kind, given)
    return st.builds(kind, **(drawn | {name: as_strategy(one) for name, one in given.items()}))

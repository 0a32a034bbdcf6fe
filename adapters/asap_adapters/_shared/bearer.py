"""Bearer tokens (RFC 6750): whoever holds one is who it stands for."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import datetime
from typing import Any

from attrs import field, frozen

from asap_proto.errors import InvalidValue
from asap_proto.http import Headers, HttpRequest, RequestHead

from .schemes import Verdict, credentials, vouched

__all__ = ["Bearer", "BearerToken"]


class Bearer:
    """Asks `validator` whom a token stands for: a URN, an `Identity`, or None; it may be ``async def``."""

    scheme = "bearer"
    challenge = "Bearer"

    def __init__(self, validator: Callable[[str], Any]) -> None:
        self._validator = validator
        self.waits = inspect.iscoroutinefunction(validator)

    def verify(self, head: RequestHead, now: datetime) -> Verdict:
        token = credentials(head, self.scheme)
        return None if token is None else vouched(self._validator(token))


@frozen
class BearerToken:
    """Shows a token; raises `InvalidValue` for one that no header can carry."""

    token: str = field(repr=False)

    def __attrs_post_init__(self) -> None:
        token = self.token
        if not (token.isascii() and token.isprintable() and token.strip() == token != ""):
            raise InvalidValue("a token is visible ASCII text, without spaces or line ends around it")

    def headers(self, request: HttpRequest, base_url: str, *, now: datetime, nonce: str) -> Headers:
        return {"authorization": f"Bearer {self.token}"}

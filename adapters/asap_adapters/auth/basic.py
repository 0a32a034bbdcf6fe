"""User and password (RFC 7617)."""

from __future__ import annotations

import base64
import inspect
from collections.abc import Callable
from datetime import datetime
from typing import Any

from attrs import field, frozen

from asap_proto.errors import InvalidValue
from asap_proto.http import Headers, HttpRequest, RequestHead

from .._shared.schemes import Verdict, credentials, vouched

__all__ = ["Basic", "BasicLogin"]


class Basic:
    """Asks `validator`, with user and password, whom they stand for: a URN, an `Identity`, or None.

    It may be ``async def``. One that looks the password up in a list of its own should compare in constant time, as
    `known_logins` does.
    """

    scheme = "basic"
    challenge = 'Basic realm="asap", charset="UTF-8"'

    def __init__(self, validator: Callable[[str, str], Any]) -> None:
        self._validator = validator
        self.waits = inspect.iscoroutinefunction(validator)

    def verify(self, head: RequestHead, now: datetime) -> Verdict:
        encoded = credentials(head, self.scheme)
        login = None if encoded is None else _login(encoded)
        return None if login is None else vouched(self._validator(*login))


@frozen
class BasicLogin:
    """Shows user and password; raises `InvalidValue` for what the scheme can't carry."""

    user: str
    password: str = field(repr=False)

    def __attrs_post_init__(self) -> None:
        try:
            login = _login(self._encoded())
        except UnicodeEncodeError:
            login = None
        if login != (self.user, self.password):
            raise InvalidValue("a user has no colon, and neither user nor password has control characters")

    def headers(self, request: HttpRequest, base_url: str, *, now: datetime, nonce: str) -> Headers:
        return {"authorization": f"Basic {self._encoded()}"}

    def _encoded(self) -> str:
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def _login(encoded: str) -> tuple[str, str] | None:
    """User and password; None for what is not well-formed."""
    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        return None
    user, colon, password = text.partition(":")
    return (user, password) if colon and not any(_is_control(character) for character in text) else None


def _is_control(character: str) -> bool:
    return ord(character) < 0x20 or ord(character) == 0x7F

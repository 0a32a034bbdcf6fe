"""As little of HTTP/1.1 as it takes to measure others: messages whose length is told, one at a time."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["end_of"]

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def end_of(data: bytes) -> tuple[int, int]:
    """Where the body of a message begins, and where it ends; 0 and 0 for a head that is not whole.

    A message without a length has no body.
    """
    begin = data.find(b"\r\n\r\n") + 4
    if begin == 3:
        return 0, 0
    found = _LENGTH.search(data, 0, begin)
    return begin, begin + (int(found[1]) if found else 0)

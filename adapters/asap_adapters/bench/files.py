"""How many files a measuring process may have open, connections among them."""

from __future__ import annotations

import resource
from contextlib import suppress

__all__ = ["open_many"]


def open_many() -> None:
    """As many as the system allows, from now on."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # it says more than it means
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

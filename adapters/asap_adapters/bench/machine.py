"""What a run was made with, so that its figures can be judged later."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

__all__ = ["machine"]

_PACKAGES: Final = ("asap-proto", "granian", "httptools", "httpx", "httpx2", "hypercorn", "orjson", "uvicorn", "uvloop")


def machine() -> dict[str, Any]:
    """The interpreter, the system, what else ran on it, and the packages that are measured or compared to."""
    packages = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            packages[name] = version(name)
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(cores),
        "load": round(os.getloadavg()[0], 2),
        "packages": packages,
    }

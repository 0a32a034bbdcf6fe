"""Where an agent is asked what (ASAP: endpoints): for whoever serves, asks or describes it."""

from __future__ import annotations

from typing import Final

__all__ = [
    "ASAP_PATH",
    "HEALTH_PATH",
    "LIVE_PATH",
    "MANIFEST_PATH",
    "METRICS_PATH",
    "READY_PATH",
    "SIGNED_MANIFEST_PATH",
    "STREAM_PATH",
]

#: The protocol.
ASAP_PATH: Final = "/asap"
#: The same, answered in parts.
STREAM_PATH: Final = "/asap/stream"
#: Who this is, and what it can do.
MANIFEST_PATH: Final = "/.well-known/asap/manifest.json"
#: The same in the enclosed form, of an agent that signs it.
SIGNED_MANIFEST_PATH: Final = "/.well-known/asap/manifest.signed.json"
#: How it is.
HEALTH_PATH: Final = "/.well-known/asap/health"
#: What it has counted.
METRICS_PATH: Final = "/asap/metrics"
#: Whether it is there at all, for who starts it again.
LIVE_PATH: Final = "/health"
#: Whether it takes work, for who sends it any.
READY_PATH: Final = "/ready"

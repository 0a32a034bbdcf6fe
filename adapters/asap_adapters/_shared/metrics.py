"""What a server counted, under the names that every release publishes (ASAP: metrics)."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from asap_proto.http import HttpResponse
from asap_proto.roles import Handled

__all__ = ["Metrics"]

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

#: Our codes by the word that dashboards made for the reference know; other codes count as what they are.
_ERROR_TYPES = {
    "asap:protocol/malformed_json": "parse_error",
    "asap:protocol/invalid_request": "invalid_request",
    "asap:protocol/batch_too_large": "invalid_request",
    "asap:protocol/unknown_method": "invalid_request",
    "asap:auth/unauthenticated": "auth_failed",
    "asap:protocol/malformed_envelope": "invalid_envelope",
    "asap:protocol/malformed_payload": "invalid_params",
    "asap:auth/sender_mismatch": "sender_mismatch",
    "asap:protocol/invalid_timestamp": "invalid_timestamp",
    "asap:protocol/invalid_nonce": "invalid_nonce",
    "asap:transport/handler_not_found": "handler_not_found",
    "asap:transport/thread_pool_exhausted": "thread_pool_exhausted",
    "asap:execution/handler_failed": "internal_error",
    "asap:execution/timed_out": "internal_error",
}


class Metrics:
    """One agent's counters; nothing is shared within the process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        own = self._registry
        kind = "payload_type"
        self._requests = Counter("asap_requests", "Requests received", (kind, "status"), registry=own)
        self._good = Counter("asap_requests_success", "Requests answered with a result", (kind,), registry=own)
        self._bad = Counter(
            "asap_requests_error", "Requests answered with an error", (kind, "error_type"), registry=own
        )
        self._seconds = Histogram(
            "asap_request_duration_seconds",
            "Time to answer",
            (kind, "status"),
            buckets=_BUCKETS,
            registry=own,
        )
        started = time.monotonic()
        uptime = Gauge("asap_process_uptime_seconds", "Time since the agent was made", registry=own)
        uptime.set_function(lambda: time.monotonic() - started)
        # Looking up a labelled child costs more than counting; there are few, for labels come from us.
        self._children: dict[tuple[str, str | None], tuple[Counter, Counter, Histogram]] = {}

    def count(self, event: Handled) -> None:
        """One request was dealt with."""
        key = (event.payload_type, event.code)
        children = self._children.get(key) or self._children.setdefault(key, self._labelled(*key))
        requests, outcome, seconds = children
        requests.inc()
        outcome.inc()
        seconds.observe(event.seconds)

    def _labelled(self, payload_type: str, code: str | None) -> tuple[Counter, Counter, Histogram]:
        status = "success" if code is None else "error"
        if code is None:
            outcome = self._good.labels(payload_type)
        else:
            outcome = self._bad.labels(payload_type, _ERROR_TYPES.get(code, code))
        return (
            self._requests.labels(payload_type, status),
            outcome,
            self._seconds.labels(payload_type, status),
        )

    def response(self) -> HttpResponse:
        """All of it, in the Prometheus text format."""
        body = generate_latest(self._registry)
        return HttpResponse(200, {"content-type": "text/plain; version=0.0.4; charset=utf-8"}, body)

"""What a server counted, under the names that every release publishes (ASAP: metrics)."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric

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

#: Codes that have a counter of their own besides: its name without ``_total``, and what it is for.
_SPECIAL = {
    "asap:protocol/malformed_json": ("asap_parse_errors", "Bodies that are no JSON"),
    "asap:auth/unauthenticated": ("asap_auth_failures", "Requests without credentials that are good"),
    "asap:protocol/invalid_timestamp": ("asap_invalid_timestamp", "Envelopes too old, or from the future"),
    "asap:protocol/invalid_nonce": ("asap_invalid_nonce", "Envelopes with a nonce that was used, or none"),
    "asap:auth/sender_mismatch": ("asap_sender_mismatch", "Envelopes sent for another agent"),
}

#: Codes by their reason in ``asap_validation_errors_total``.
_REASONS = {
    "asap:protocol/malformed_envelope": "invalid_envelope",
    "asap:protocol/malformed_payload": "invalid_payload",
    "asap:capability/input_validation": "invalid_input",
}


class _Registry(CollectorRegistry):
    """A registry without the ``_created`` series: the library's own way to leave them out is for the whole process."""

    def collect(self) -> Iterator[Metric]:
        for family in super().collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


class Metrics:
    """One agent's counters; nothing is shared within the process."""

    def __init__(self) -> None:
        self._registry = _Registry()
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
        runs = Counter("asap_handler_executions", "Handlers that ran", (kind,), registry=own)
        failures = Counter("asap_handler_errors", "Handlers that failed, or were cut off", (kind,), registry=own)
        took = Histogram(
            "asap_handler_duration_seconds", "Time in the handler", (kind, "status"), buckets=_BUCKETS, registry=own
        )
        self._handlers = (runs, failures, took)
        self._saturated = Counter("asap_thread_pool_exhausted", "Requests that found no thread free", registry=own)
        self._invalid = Counter("asap_validation_errors", "What did not fit its shape", ("reason",), registry=own)
        self._special = {code: Counter(name, words, registry=own) for code, (name, words) in _SPECIAL.items()}
        # Looking up a labelled child costs more than counting; there are few, for labels come from us.
        self._children: dict[tuple[str, str | None], tuple[tuple[Counter, ...], Histogram]] = {}
        self._runs: dict[tuple[str, bool], tuple[tuple[Counter, ...], Histogram]] = {}

    def count(self, event: Handled) -> None:
        """One request was dealt with."""
        key = (event.payload_type, event.code)
        children = self._children.get(key) or self._children.setdefault(key, self._labelled(*key))
        _add(children, event.seconds)

    def count_handler(self, payload_type: str, seconds: float, *, good: bool) -> None:
        """One handler ran to its end, or to ours."""
        key = (payload_type, good)
        _add(self._runs.get(key) or self._runs.setdefault(key, self._run(*key)), seconds)

    def count_saturated(self) -> None:
        """One handler was not run: every thread was taken."""
        self._saturated.inc()

    def _run(self, payload_type: str, good: bool) -> tuple[tuple[Counter, ...], Histogram]:
        runs, failures, took = self._handlers
        status = "success" if good else "error"
        counters = (runs.labels(payload_type), *(() if good else (failures.labels(payload_type),)))
        return counters, took.labels(payload_type, status)

    def _labelled(self, payload_type: str, code: str | None) -> tuple[tuple[Counter, ...], Histogram]:
        status = "success" if code is None else "error"
        if code is None:
            outcome = self._good.labels(payload_type)
        else:
            outcome = self._bad.labels(payload_type, _ERROR_TYPES.get(code, code))
        counters = [self._requests.labels(payload_type, status), outcome]
        if code in self._special:
            counters.append(self._special[code])
        if code in _REASONS:
            counters.append(self._invalid.labels(_REASONS[code]))
        return tuple(counters), self._seconds.labels(payload_type, status)

    def response(self) -> HttpResponse:
        """All of it, in the Prometheus text format."""
        body = generate_latest(self._registry)
        return HttpResponse(200, {"content-type": "text/plain; version=0.0.4; charset=utf-8"}, body)


def _add(children: tuple[tuple[Counter, ...], Histogram], seconds: float) -> None:
    counters, histogram = children
    for counter in counters:
        counter.inc()
    histogram.observe(seconds)

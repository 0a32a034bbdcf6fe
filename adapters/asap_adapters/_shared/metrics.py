"""What a server counted, under the names that every release publishes (ASAP: metrics)."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from asap_proto.http import HttpResponse
from asap_proto.roles import Handled
from asap_proto.stores import ManifestCounts

from .manifests import ManifestCache

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


_BOUNDS = (*map(str, _BUCKETS), "+Inf")


class _Timed:
    """How often something happened, and how long it took."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * len(_BOUNDS)
        self.seconds = 0.0

    def count(self) -> int:
        return sum(self.buckets)


class Metrics(Collector):
    """One agent's counters; nothing is shared within the process.

    Counted is what requests and runs come to; the families that are published are made of that when they are asked
    for. The library's own counters would lock each of theirs for every request.
    """

    def __init__(self, manifests: ManifestCache | None = None) -> None:
        self._manifests = manifests
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._requests: defaultdict[tuple[str, str | None], _Timed] = defaultdict(_Timed)
        self._runs: defaultdict[tuple[str, bool], _Timed] = defaultdict(_Timed)
        self._saturated = 0

    def count(self, event: Handled) -> None:
        """One request was dealt with."""
        seconds = event.seconds
        with self._lock:
            timed = self._requests[event.payload_type, event.code]
            timed.seconds += seconds
            timed.buckets[bisect_left(_BUCKETS, seconds)] += 1

    def count_handler(self, payload_type: str, seconds: float, good: bool) -> None:
        """One handler ran to its end, or to ours."""
        with self._lock:
            timed = self._runs[payload_type, good]
            timed.seconds += seconds
            timed.buckets[bisect_left(_BUCKETS, seconds)] += 1

    def count_saturated(self) -> None:
        """One handler was not run: every thread was taken."""
        with self._lock:
            self._saturated += 1

    def response(self) -> HttpResponse:
        """All of it, in the Prometheus text format."""
        body = generate_latest(self._registry)
        return HttpResponse(200, {"content-type": "text/plain; version=0.0.4; charset=utf-8"}, body)

    def collect(self) -> Iterable[Metric]:
        """The families, as of now."""
        with self._lock:
            families = [*self._of_requests(), *self._of_runs()]
        if self._manifests is not None:
            families += _of_manifests(self._manifests.counts())
        uptime = time.monotonic() - self._started
        return [*families, GaugeMetricFamily("asap_process_uptime_seconds", "Time since the agent was made", uptime)]

    def _of_requests(self) -> Iterator[Metric]:
        every: Counter[tuple[str, ...]] = Counter()
        good: Counter[tuple[str, ...]] = Counter()
        bad: Counter[tuple[str, ...]] = Counter()
        invalid: Counter[tuple[str, ...]] = Counter()
        special = dict.fromkeys(_SPECIAL, 0)
        for (kind, code), timed in self._requests.items():
            number = timed.count()
            every[kind, _status(code is None)] += number
            if code is None:
                good[kind,] += number
                continue
            bad[kind, _ERROR_TYPES.get(code, code)] += number
            if code in special:
                special[code] += number
            if code in _REASONS:
                invalid[_REASONS[code],] += number
        yield _counted("asap_requests", "Requests received", ("payload_type", "status"), every)
        yield _counted("asap_requests_success", "Requests answered with a result", ("payload_type",), good)
        yield _counted("asap_requests_error", "Requests answered with an error", ("payload_type", "error_type"), bad)
        timed_by = _by_status((kind, code is None, timed) for (kind, code), timed in self._requests.items())
        yield _durations("asap_request_duration_seconds", "Time to answer", timed_by)
        yield _counted("asap_validation_errors", "What did not fit its shape", ("reason",), invalid)
        for code, (name, words) in _SPECIAL.items():
            yield CounterMetricFamily(name, words, special[code])

    def _of_runs(self) -> Iterator[Metric]:
        runs: Counter[tuple[str, ...]] = Counter()
        failures: Counter[tuple[str, ...]] = Counter()
        for (kind, good), timed in self._runs.items():
            runs[kind,] += timed.count()
            if not good:
                failures[kind,] += timed.count()
        by = ("payload_type",)
        yield _counted("asap_handler_executions", "Handlers that ran", by, runs)
        yield _counted("asap_handler_errors", "Handlers that failed, or were cut off", by, failures)
        timed_by = _by_status((kind, good, timed) for (kind, good), timed in self._runs.items())
        yield _durations("asap_handler_duration_seconds", "Time in the handler", timed_by)
        yield CounterMetricFamily("asap_thread_pool_exhausted", "Requests that found no thread free", self._saturated)


def _of_manifests(counts: ManifestCounts) -> Iterator[Metric]:
    lookups = CounterMetricFamily("asap_manifest_cache_lookups", "Manifests of peers looked up", labels=("result",))
    for result, number in (("hit", counts.hits), ("stale", counts.stale), ("miss", counts.misses)):
        lookups.add_metric((result,), number)
    yield lookups
    for name, words, number in (
        ("asap_manifest_cache_fetches", "Times that a peer was asked for its manifest", counts.fetches),
        ("asap_manifest_cache_revalidated", "Of these, how often nothing had changed", counts.revalidated),
        ("asap_manifest_cache_restored", "Manifests that survived a restart", counts.restored),
        ("asap_manifest_cache_evicted", "Manifests that went for want of room", counts.evicted),
        ("asap_manifest_cache_dropped", "Manifests that were no longer to be believed", counts.dropped),
    ):
        yield CounterMetricFamily(name, words, number)
    yield GaugeMetricFamily("asap_manifest_cache_entries", "Manifests held", counts.entries)
    yield GaugeMetricFamily("asap_manifest_cache_bytes", "What they take, about", counts.bytes)


def _status(good: bool) -> str:
    return "success" if good else "error"


def _by_status(found: Iterable[tuple[str, bool, _Timed]]) -> dict[tuple[str, str], _Timed]:
    """What took how long by payload type and status, whichever the codes were."""
    summed: dict[tuple[str, str], _Timed] = {}
    for kind, good, timed in found:
        total = summed.setdefault((kind, _status(good)), _Timed())
        total.buckets = [a + b for a, b in zip(total.buckets, timed.buckets, strict=True)]
        total.seconds += timed.seconds
    return summed


def _counted(name: str, words: str, labels: tuple[str, ...], counts: Mapping[tuple[str, ...], int]) -> Metric:
    family = CounterMetricFamily(name, words, labels=labels)
    for values, number in counts.items():
        family.add_metric(values, number)
    return family


def _durations(name: str, words: str, found: Mapping[tuple[str, str], _Timed]) -> Metric:
    family = HistogramMetricFamily(name, words, labels=("payload_type", "status"))
    for values, timed in found.items():
        family.add_metric(values, list(zip(_BOUNDS, accumulate(timed.buckets), strict=True)), timed.seconds)
    return family

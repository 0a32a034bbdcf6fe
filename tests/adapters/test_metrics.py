"""What is counted, and how it is told: as the library that dashboards know would count and tell it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.openmetrics.exposition import generate_latest as open_metrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open_metrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from asap_adapters._shared.metrics import Metrics
from asap_proto.roles import Handled

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: On each bound, beside it, before the first and beyond the last.
SECONDS = (0.0, *(bound + step for bound in BOUNDS for step in (-1e-9, 0.0, 1e-9)), 11.0, 1e9)
ODD = 'a "b"\\c\nd'


def samples(metrics):
    """Every sample by its name and labels, as whoever scrapes it reads it."""
    families = read_text(metrics.response().body.decode())
    return {(one.name, *sorted(one.labels.values())): one.value for family in families for one in family.samples}


@pytest.mark.parametrize("name", ["asap_request_duration_seconds", "asap_handler_duration_seconds"])
def test_durations_fall_into_the_buckets_that_the_library_puts_them_in(name):
    """A bucket has all that took no longer than its bound, the bound itself too."""
    metrics, registry = Metrics(), CollectorRegistry()
    library = Histogram(name, "", ("payload_type", "status"), buckets=BOUNDS, registry=registry)
    for seconds in SECONDS:
        metrics.count(Handled("task.request", None, seconds))
        metrics.count_handler("task.request", seconds, good=True)
        library.labels("task.request", "success").observe(seconds)
    told = samples(metrics)
    expected = [one for family in registry.collect() for one in family.samples if not one.name.endswith("_created")]
    assert len(expected) == len(BOUNDS) + 3
    for one in expected:
        assert told[one.name, *sorted(one.labels.values())] == one.value


def test_every_code_is_counted_under_the_words_that_dashboards_know():
    """What took place under several codes stands in one duration, and in a counter for each code."""
    metrics = Metrics()
    for code in (None, "asap:auth/unauthenticated", "asap:protocol/malformed_payload", "asap:new/code"):
        metrics.count(Handled("task.request", code, 0.25))
    metrics.count_handler("task.request", 0.5, good=False)
    metrics.count_saturated()
    told = samples(metrics)
    assert told["asap_requests_total", "error", "task.request"] == 3
    assert told["asap_requests_total", "success", "task.request"] == 1
    assert told["asap_requests_error_total", "auth_failed", "task.request"] == 1
    assert told["asap_requests_error_total", "asap:new/code", "task.request"] == 1
    assert told["asap_validation_errors_total", "invalid_payload"] == 1
    assert told["asap_request_duration_seconds_count", "error", "task.request"] == 3
    assert told["asap_request_duration_seconds_sum", "error", "task.request"] == 0.75
    assert (told["asap_auth_failures_total",], told["asap_parse_errors_total",]) == (1, 0)
    assert told["asap_handler_errors_total", "task.request"] == told["asap_thread_pool_exhausted_total",] == 1


def test_what_is_told_can_be_read_whatever_a_label_says():
    """In the text format, and in the stricter OpenMetrics that the same families are told in."""
    metrics = Metrics()
    metrics.count(Handled(ODD, ODD, 0.1))
    assert samples(metrics)["asap_requests_error_total", ODD, ODD] == 1
    families = list(read_open_metrics(open_metrics(metrics).decode()))
    assert {family.name for family in families} >= {"asap_requests", "asap_request_duration_seconds"}


def test_nothing_is_lost_where_many_threads_count():
    """However many count at once, and are told meanwhile."""
    metrics = Metrics()

    def count(number):
        metrics.count(Handled("task.request", None, 0.001))
        metrics.count_handler("task.request", 0.001, good=True)
        if number % 500 == 0:
            samples(metrics)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count, range(5000)))
    told = samples(metrics)
    assert told["asap_requests_total", "success", "task.request"] == 5000
    assert told["asap_handler_duration_seconds_count", "success", "task.request"] == 5000

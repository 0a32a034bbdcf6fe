"""What peers publish is fetched once, asked about, and survives: the same on every front, over real sockets."""

import importlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from asap_adapters.stores.manifests import ManifestDirectory
from asap_proto.errors import PeerRefused, PeerUnreachable
from asap_proto.limits import MANIFEST_REST, MANIFEST_TTL
from asap_proto.rules.retry import RetryRule
from asap_proto.wire.manifests import dump_manifest, etag
from asap_testkit import FixedClock, echo_manifest, fixed_sources

from .ears import Ear
from .fronts import WORKER, holds

MANIFEST = echo_manifest()
BODY = dump_manifest(MANIFEST)
HEADERS = {"etag": etag(BODY), "cache-control": "public, max-age=300"}


def as_published(headers):
    """What an agent answers who asks for its manifest."""
    if headers.get("if-none-match") == HEADERS["etag"]:
        return 304, HEADERS, b""
    return 200, HEADERS, BODY


def cache_of(front, *given, **options):
    return importlib.import_module(f"asap_adapters.{front.name}").ManifestCache(*given, **options)


@contextmanager
def publishing(respond=as_published):
    """A peer that publishes, and its URL."""
    with Ear(respond=respond).open() as ear:
        yield ear, f"http://127.0.0.1:{ear.port}"


@pytest.mark.proves("client.one-fetch")
def test_of_a_hundred_who_ask_at_the_same_time_one_fetches(front, stack):
    """Through one client or several: the peer answers once all of them have asked, and hears one question."""
    manifests = cache_of(front)

    def respond(headers):
        holds(lambda: manifests.counts().misses == 100)
        return as_published(headers)

    ear, url = stack.enter_context(publishing(respond))
    clients = [stack.enter_context(front.client(url, manifests=manifests)) for _ in range(4)]
    with ThreadPoolExecutor(100) as threads:
        found = list(threads.map(lambda turn: clients[turn % 4].manifest(), range(100)))
    assert found == [MANIFEST] * 100
    assert len(ear.heard) == manifests.counts().fetches == 1


@pytest.mark.proves("client.one-fetch")
def test_all_who_wait_are_told_the_same_failure(front, stack):
    """None of them asks again by itself."""
    manifests = cache_of(front)

    def respond(headers):
        holds(lambda: manifests.counts().misses == 20)
        return 410, {}, b""

    ear, url = stack.enter_context(publishing(respond))
    client = stack.enter_context(front.client(url, manifests=manifests))

    def ask(_):
        with pytest.raises(PeerRefused) as caught:
            client.manifest()
        return caught.value

    with ThreadPoolExecutor(20) as threads:
        errors = list(threads.map(ask, range(20)))
    assert len(set(map(id, errors))) == 20
    assert len(ear.heard) == 1


@pytest.mark.proves("client.manifest")
def test_a_thousand_look_ups_of_ten_agents_ask_each_once(front, stack):
    """At least 99 of 100 are answered without asking anybody."""
    manifests = cache_of(front)
    ear, url = stack.enter_context(publishing())
    clients = [stack.enter_context(front.client(f"{url}/{n}", manifests=manifests)) for n in range(10)]
    for turn in range(1000):
        assert clients[turn % 10].manifest() == MANIFEST
    counts = manifests.counts()
    assert len(ear.heard) == counts.fetches == counts.entries == 10
    assert counts.hits == 990


@pytest.mark.proves("client.validators", "client.stale")
def test_a_peer_is_asked_whether_anything_has_changed(front, stack):
    """By the tag of what is held. When it is down that serves, and when it is back it is asked again."""
    clock, manifests = FixedClock(), cache_of(front)
    ear = stack.enter_context(publishing())[0]
    options = {"manifests": manifests, "sources": fixed_sources(clock), "retry": RetryRule(base_seconds=0.0)}
    url = f"http://127.0.0.1:{ear.port}"
    client = stack.enter_context(front.client(url, **options))
    assert client.manifest() == MANIFEST
    clock.move(MANIFEST_TTL)
    assert client.manifest() == MANIFEST
    assert [headers.get("If-None-Match") or headers.get("if-none-match") for _, _, headers in ear.heard] == [
        None,
        HEADERS["etag"],
    ]
    assert manifests.counts().revalidated == 1


def test_our_agents_say_that_nothing_has_changed(front, stack):
    """In no more than a head."""
    url = stack.enter_context(front.serving(front.agent()))
    clock, manifests = FixedClock(), cache_of(front)
    client = stack.enter_context(front.client(url, manifests=manifests, sources=fixed_sources(clock)))
    for _ in range(2):
        assert client.manifest().id == WORKER
        clock.move(MANIFEST_TTL)
    assert (manifests.counts().fetches, manifests.counts().revalidated) == (2, 1)


@pytest.mark.proves("client.stale")
def test_a_stale_manifest_serves_while_the_peer_is_down(front, stack):
    """When it is back it is asked; when it stays away for too long the failure is told."""
    clock = FixedClock()
    with Ear(respond=as_published).open() as ear:
        options = {"sources": fixed_sources(clock), "retry": RetryRule(attempts=1)}
        client = stack.enter_context(front.client(f"http://127.0.0.1:{ear.port}", **options))
        assert client.manifest() == MANIFEST
    clock.move(MANIFEST_TTL)
    assert client.manifest() == MANIFEST
    with Ear(port=ear.port, respond=as_published).open() as back:
        assert client.manifest() == MANIFEST
        assert not back.heard
        clock.move(MANIFEST_REST)
        assert client.manifest() == MANIFEST
        assert len(back.heard) == 1
    clock.move(4000)
    with pytest.raises(PeerUnreachable):
        client.manifest()


def test_what_was_found_survives_a_restart(front, stack, tmp_path):
    """In a directory: another process asks nobody, and where its time is over asks whether anything has changed."""
    ear, url = stack.enter_context(publishing())
    clock = FixedClock()
    for seconds, asked in ((0, 1), (MANIFEST_TTL - 1, 1), (1, 2)):
        clock.move(seconds)
        manifests = cache_of(front, ManifestDirectory(tmp_path / "manifests"))
        with front.client(url, manifests=manifests, sources=fixed_sources(clock)) as client:
            assert client.manifest() == MANIFEST
        assert len(ear.heard) == asked
    assert manifests.counts().revalidated == 1


def test_what_is_shown_or_reached_in_another_way_does_not_survive(front, stack, tmp_path):
    """What came for the password in a URL is for whoever has it; nor does that password lie on the disk."""
    _, url = stack.enter_context(publishing())
    manifests = cache_of(front, ManifestDirectory(tmp_path / "manifests"))
    with front.client(url.replace("//", "//user:hunter2@"), manifests=manifests) as client:
        assert client.manifest() == MANIFEST
    assert list((tmp_path / "manifests").iterdir()) == []


def test_where_a_url_may_lead_is_a_part_of_what_is_shared(front, stack):
    """A client that may go nowhere inside is not told what is published there by one that may."""
    _, url = stack.enter_context(publishing())
    manifests = cache_of(front)
    for targets, held in ((None, 1), ("any", 2)):
        with front.client(url, manifests=manifests, targets=targets) as client:
            assert client.manifest() == MANIFEST
        assert manifests.counts().entries == held


def test_a_request_looks_nothing_up(front, stack):
    """A client learns once whom it speaks to."""
    agent = front.agent()
    agent.skill("echo")(lambda task: task.input)
    url = stack.enter_context(front.serving(agent))
    manifests = cache_of(front)
    client = stack.enter_context(front.client(url, manifests=manifests))
    for _ in range(3):
        client.request("echo", {})
    assert (manifests.counts().misses, manifests.counts().hits) == (1, 0)


def test_an_agent_counts_the_manifests_of_its_peers(front, stack):
    """All of them in one cache, told with its other metrics; an agent without peers tells nothing of it."""
    worker = front.agent()
    url = stack.enter_context(front.serving(worker))
    agent = front.agent("urn:asap:agent:desk", peers={WORKER: url})

    @agent.skill("look")
    def look(task):
        for _ in range(3):
            manifest = yield agent.real.peer(WORKER).manifest()
        return {"name": manifest.name}

    desk = stack.enter_context(front.serving(agent))
    with front.client(desk) as client:
        assert client.request("look", {}).result == {"name": "worker"}
    with httpx.Client(trust_env=False) as http:
        told = http.get(f"{desk}/asap/metrics").text
        assert "asap_manifest_cache" not in http.get(f"{url}/asap/metrics").text
    assert 'asap_manifest_cache_lookups_total{result="hit"} 2.0' in told
    assert 'asap_manifest_cache_lookups_total{result="miss"} 1.0' in told
    assert "asap_manifest_cache_fetches_total 1.0" in told
    assert "asap_manifest_cache_entries 1.0" in told

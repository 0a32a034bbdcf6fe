"""A scenario takes `front` and runs on asyncio, trio and sync, over real sockets."""

from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace

import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from .fronts import FRONTS, JSON, Front


@pytest.fixture(scope="session", params=FRONTS)
def front(request: pytest.FixtureRequest) -> Iterator[Front]:
    """Each front in turn; the async ones in an event loop of their own thread."""
    if request.param == "sync":
        yield Front("sync", None)
    else:
        with start_blocking_portal(request.param) as portal:
            yield Front(request.param, portal)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What a scenario opens, closed at its end."""
    with ExitStack() as opened:
        yield opened


@pytest.fixture(scope="module")
def echo(front: Front) -> Iterator[SimpleNamespace]:
    """A served echo agent: its `url`, an HTTP client `http`, and a `client` of the front."""
    agent = front.agent(name="Worker", version="1.2.3", description="Repeats")

    @agent.skill("echo", description="Repeat the input")
    def echo(task):
        return {"echoed": task.input}

    with (
        front.serving(agent) as url,
        # On a busy machine a server closes a connection for being idle just as the next request goes out.
        httpx.Client(
            base_url=url, headers=JSON, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        ) as http,
        front.client(url) as client,
    ):
        yield SimpleNamespace(front=front, agent=agent, url=url, http=http, client=client)

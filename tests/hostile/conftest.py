"""Real servers to be hostile to: `asap serve` on each runtime, once for all groups of inputs."""

from collections.abc import Iterator

import pytest

from hostile.servers import RUNTIMES, Served, served


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    """Each runtime."""
    return request.param


@pytest.fixture(scope="module")
def server(runtime: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An agent that lets everybody in, with the limits that an agent has when nobody turns them."""
    with served(tmp_path_factory.mktemp("open"), runtime, "open") as running:
        yield running


@pytest.fixture(scope="module")
def guarded(runtime: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An agent that insists on a token, a nonce and its own name, and has a little quota for guesses."""
    with served(tmp_path_factory.mktemp("guarded"), runtime, "guarded") as running:
        yield running


@pytest.fixture(scope="module")
def crew(runtime: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two processes of one agent, which remember in one file."""
    folder = tmp_path_factory.mktemp("crew")
    with served(folder, runtime, "open", "--workers", "2", "--state", str(folder / "tasks.db")) as running:
        yield running


@pytest.fixture(scope="module")
def impatient(runtime: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An agent with limits so low that they are reached within a second."""
    with served(tmp_path_factory.mktemp("impatient"), runtime, "impatient") as running:
        yield running

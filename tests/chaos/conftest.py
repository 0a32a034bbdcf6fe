"""Callers of the three fronts, for all tests, and the worlds of the table."""

from collections.abc import Iterator

import pytest

from chaos.pairs import Pair, cells
from chaos.places import Database, on_disk
from chaos.world import World, three_fronts
from scenarios.fronts import Front
from stores.servers import postgres_server, redis_server

__all__ = ["fronts", "postgres_server", "redis_server"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much of the table is played is an option, and only of runs that name this folder."""
    parser.addoption("--whole", action="store_true", help="chaos: each test with each store on each front")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Whoever asks for a world is played with the cells of its row."""
    if "world" in metafunc.fixturenames:
        pairs = cells(metafunc.function.__name__, whole=metafunc.config.getoption("whole", default=False))
        metafunc.parametrize("world", pairs, indirect=True, ids=str, scope="module")


@pytest.fixture(scope="session")
def fronts() -> Iterator[tuple[Front, ...]]:
    """One of each."""
    with three_fronts() as made:
        yield made


@pytest.fixture(scope="module")
def world(
    request: pytest.FixtureRequest, fronts: tuple[Front, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A server of one front on one store, for all tests that are played with these: each leaves one that runs."""
    pair: Pair = request.param
    folder = tmp_path_factory.mktemp(str(pair))
    words = ("--grace", "0.2")
    if pair.store == "sqlite":
        with on_disk(folder) as file, World(folder, pair.front, file, words, fronts=fronts) as made:
            yield made
    else:
        server = request.getfixturevalue(f"{pair.store}_server")
        with World(folder, pair.front, Database(server, server.database()), words, fronts=fronts) as made:
            yield made

"""Callers of the three fronts, for all tests, and servers to keep state in."""

from collections.abc import Iterator

import pytest

from chaos.world import three_fronts
from scenarios.fronts import Front
from stores.servers import postgres_server, redis_server

__all__ = ["fronts", "postgres_server", "redis_server"]


@pytest.fixture(scope="session")
def fronts() -> Iterator[tuple[Front, ...]]:
    """One of each."""
    with three_fronts() as made:
        yield made

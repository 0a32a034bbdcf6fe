"""Fixtures of the stores' tests."""

from .servers import postgres_server, redis_server

__all__ = ["postgres_server", "redis_server"]

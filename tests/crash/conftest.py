"""Servers to keep state in, of this machine."""

from stores.servers import postgres_server, redis_server

__all__ = ["postgres_server", "redis_server"]

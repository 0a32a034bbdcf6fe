"""What a connection takes that waits for its next request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Final

from .. import servers
from ..calling import connected
from ..clients import calling
from ..figures import Figure, Measured, Rounds, Void
from ..options import Options
from ..processes import CLIENT_CORE, Child, module

__all__ = ["measure"]

#: Enough that the memory of all is more than that of anything else that happens meanwhile.
CONNECTIONS = 2000
#: Clients that have as many connections together, each as many as it keeps.
CLIENTS, EACH = 20, 100
#: Before anything is counted, what is made once has to be made.
_WARM: Final = 50
_SERVER_MOST, _CLIENT_MOST = 10, 8


def measure(options: Options) -> Iterator[Figure]:
    """Resident memory of servers and clients that are new each time."""
    rounds = Rounds(options.rounds, options.progress)
    turns = {}
    for runtime in options.runtimes:
        turns[f"server, {runtime}"] = partial(_server, runtime)
        turns[f"client, {runtime}"] = partial(_client, runtime)
    rounds.measure(turns)
    for runtime in options.runtimes:
        for side, most in (("server", _SERVER_MOST), ("client", _CLIENT_MOST)):
            name = f"{side}, {runtime}"
            yield rounds.figure(f"an idle connection, {name}", (name, "bytes"), "kB", most=most, scale=1e-3)


def _server(runtime: str) -> Measured:
    with ExitStack() as stack:
        load = stack.enter_context(Child(module("load"), core=CLIENT_CORE))
        server = stack.enter_context(servers.ours(f"{runtime}:agent"))
        with connected(load, server.port, _WARM):
            load.ask(do="run", seconds=0.2)
            first = server.process.resident_bytes()
            load.ask(do="pace", rate=CONNECTIONS, seconds=1.0)
        before = server.process.resident_bytes()
        # An agent keeps the tasks that it was given, whatever connection they come by.
        kept = before - first
        with connected(load, server.port, CONNECTIONS):
            return {"bytes": (server.process.resident_bytes() - before - kept) / CONNECTIONS}


def _client(runtime: str) -> Measured:
    with servers.raw() as server, calling(server.url, runtime) as client:
        server.process.ask(hold=EACH)
        client.ask(do="open", clients=1, in_flight=EACH)
        first = server.process.ask()["connections"]
        before = client.resident_bytes()
        client.ask(do="open", clients=CLIENTS, in_flight=EACH)
        opened = server.process.ask()["connections"] - first
        if not opened:
            raise Void("a client keeps no connection open")
        return {"bytes": (client.resident_bytes() - before) / opened}

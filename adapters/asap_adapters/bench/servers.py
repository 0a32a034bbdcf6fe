"""The servers that are measured, each a process on the core of servers."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from attrs import frozen

from .processes import SERVER_CORE, Child, module, wait_for_port

__all__ = ["Server", "granian", "has_granian", "has_hypercorn", "hypercorn", "ours", "peer", "raw", "reference"]

_AGENTS = f"{__package__}.agents"


@frozen
class Server:
    """What serves, and where."""

    process: Child
    port: int

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def ours(agent: str) -> Iterator[Server]:
    """An agent of `agents`, such as ``asyncio:agent``, served as anybody would serve it."""
    words = ["serve", f"{_AGENTS}.{agent}", "--port=0", "--json", "--log-level=error"]
    with Child([sys.executable, "-m", "asap_adapters.cli", *words], core=SERVER_CORE) as process:
        yield _listening(process)


@contextmanager
def granian(app: str) -> Iterator[Server]:
    """A WSGI app of `agents`, such as ``sync:app``, under granian, with one thread: there is one core."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = [sys.executable, "-m", "granian", "--interface=wsgi", f"--port={port}", "--workers=1"]
    command += ["--blocking-threads=1", "--no-ws", "--log-level=error", f"{_AGENTS}.{app}"]
    with Child(command, core=SERVER_CORE) as process:
        wait_for_port(port)
        yield Server(process, port)


def has_granian() -> bool:
    """Whether it is installed."""
    return find_spec("granian") is not None


@contextmanager
def hypercorn() -> Iterator[Server]:
    """A bare app under hypercorn's trio worker."""
    with Child(module("hypercorn_server"), core=SERVER_CORE) as process:
        yield _listening(process)


def has_hypercorn() -> bool:
    """Whether it is installed."""
    return find_spec("hypercorn") is not None


@contextmanager
def reference(python: str) -> Iterator[Server]:
    """An echo agent of the reference, served as its documentation says."""
    with Child(peer(python, "reference_server.py"), core=SERVER_CORE, knows_us=False) as process:
        yield _listening(process)


@contextmanager
def raw() -> Iterator[Server]:
    """Answers as fast as Python can: for measuring who asks."""
    with Child(module("raw_server"), core=SERVER_CORE) as process:
        yield _listening(process)


def peer(python: str, script: str) -> list[str]:
    """The command that runs a script of this folder by another interpreter, which knows nothing of ours."""
    return [python, str(Path(__file__).with_name(script))]


def _listening(process: Child) -> Server:
    return Server(process, urlsplit(process.hear()["url"]).port or 0)

"""Redis and PostgreSQL for tests: the machine's own binaries, each on a Unix socket in a directory of its own."""

import itertools
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

_START_SECONDS = 30.0


class LossyLine:
    """A socket that leads to a server's, and loses the answer to what begins with `to`, once, when told to."""

    def __init__(self, server: Path, path: Path, to: bytes) -> None:
        self._server = server
        self._to = to
        self.loses = False
        self._sockets: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server))
                self._sockets += [client, server]
                threading.Thread(target=self._forward, args=(client, server), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        # A socket that was closed meanwhile is no file any more, which `select` calls a wrong value.
        with suppress(OSError, ValueError), client, server:
            while True:
                readable, _, _ = select.select([client, server], [], [])
                if server in readable:
                    if not (data := server.recv(65536)):
                        return
                    client.sendall(data)
                if client in readable:
                    if not (data := client.recv(65536)):
                        return
                    server.sendall(data)
                    if self.loses and self._to in data:
                        self.loses = False
                        server.recv(65536)
                        return


class RedisServer:
    """A server whose data outlive it, so that it can be started again."""

    def __init__(self, binary: str, folder: Path) -> None:
        self._binary = binary
        self._folder = folder
        self._socket = folder / "redis"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._socket}"

    def start(self) -> None:
        with Path(self._folder, "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._binary,
                    *("--port", "0", "--unixsocket", str(self._socket), "--dir", str(self._folder)),
                    *("--save", "", "--appendonly", "yes", "--appendfsync", "always"),
                ],
                stdout=log,
                stderr=log,
                restore_signals=False,  # a write beyond a limit is to fail, as on a full disk, and not to end it
            )
        _wait_until(self._answers, self._folder / "log")

    @contextmanager
    def lossy(self) -> Iterator[tuple[str, LossyLine]]:
        """A URL that leads here by a line that can lose the answer to a script."""
        path = self._folder / "lossy"
        line = LossyLine(self._socket, path, b"EVALSHA")
        try:
            yield f"unix://{path}", line
        finally:
            line.close()
            path.unlink()

    def kill(self) -> None:
        """As a crash would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
        self._socket.unlink(missing_ok=True)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It stands still, with its connections open."""
        assert self._process is not None
        with _standing_still([self._process.pid]):
            yield

    @contextmanager
    def full(self) -> Iterator[None]:
        """It can write nothing any more, by which it ends; it is started again when the block is over."""
        assert self._process is not None
        try:
            with no_file_may_grow([self._process.pid]):
                yield
        finally:
            self.kill()
            self.start()

    def database(self) -> str:
        """Its URL, when it holds nothing."""
        assert self._asked(b"FLUSHALL").startswith(b"+OK")
        return self.url

    def _answers(self) -> bool:
        try:
            return self._asked(b"PING").startswith(b"+PONG")
        except OSError:
            return False

    def _asked(self, command: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            client.connect(str(self._socket))
            client.sendall(command + b"\r\n")
            return client.recv(64)


class PostgresServer:
    """A cluster of its own, with the database `postgres`."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries = binaries
        self._folder = folder
        self._numbers = itertools.count()
        # initdb and postgres refuse to run as root.
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self.url = f"postgresql:///postgres?host={folder}&user=asap"

    def make(self) -> None:
        if self._as:
            shutil.chown(self._folder, "postgres")
        self._run("initdb", "--username=asap", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")

    def start(self) -> None:
        log = self._folder / "log"
        options = f"-k {self._folder} -c listen_addresses= -c fsync=off"
        self._run("pg_ctl", "start", "--wait", f"--log={log}", f"--options={options}")

    def database(self) -> str:
        """The URL of an empty database."""
        name = f"asap_{next(self._numbers)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url.replace("/postgres?", f"/{name}?")

    @contextmanager
    def lossy(self) -> Iterator[tuple[str, LossyLine]]:
        """A URL that leads here by a line that can lose the answer to a commit."""
        folder = self._folder / "lossy"
        folder.mkdir()
        line = LossyLine(self._folder / ".s.PGSQL.5432", folder / ".s.PGSQL.5432", b"COMMIT")
        try:
            yield self.url.replace(str(self._folder), str(folder)), line
        finally:
            line.close()
            shutil.rmtree(folder)

    def kill(self) -> None:
        """As a crash would: connections are cut, and the next start recovers."""
        if self._pid_file.exists():
            try:
                self._run("pg_ctl", "stop", "--wait", "--mode=immediate")
            except RuntimeError:
                if self._pid_file.exists():  # it has not ended by itself just now
                    raise

    @contextmanager
    def paused(self) -> Iterator[None]:
        """All its processes stand still, with their connections open."""
        postmaster = self._postmaster()
        # The first stands still before the others are looked for: it starts no more.
        with _standing_still([postmaster]), _standing_still(_children(postmaster)):
            yield

    @contextmanager
    def full(self) -> Iterator[None]:
        """It can write nothing any more, by which it ends; it is started again when the block is over."""
        postmaster = self._postmaster()
        try:
            # The first starts none that may write before the others are looked for.
            with no_file_may_grow([postmaster], self._as), no_file_may_grow(_children(postmaster), self._as):
                yield
        finally:
            self.kill()
            self.start()

    @property
    def _pid_file(self) -> Path:
        return self._folder / "data" / "postmaster.pid"

    def _postmaster(self) -> int:
        return int(self._pid_file.read_text().split()[0])

    def _run(self, name: str, *options: str) -> None:
        command = [*self._as, str(self._binaries / name), f"--pgdata={self._folder / 'data'}", *options]
        # Not into a pipe: the server that pg_ctl starts would hold it open.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False
            )
            if done.returncode:
                output.seek(0)
                raise RuntimeError(f"{name} failed: {output.read().decode()}")


@contextmanager
def running_redis(binary: str) -> Iterator[RedisServer]:
    """A Redis that is gone when the block is over."""
    with _folder() as folder:
        server = RedisServer(binary, folder)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def running_postgres(binaries: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL that is gone when the block is over."""
    with _folder() as folder:
        server = PostgresServer(binaries, folder)
        server.make()
        try:
            server.start()
            yield server
        finally:
            server.kill()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A running Redis."""
    with running_redis(redis_binary() or _missing("redis-server")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running PostgreSQL."""
    with running_postgres(postgres_binaries() or Path(_missing("postgresql"))) as server:
        yield server


@contextmanager
def no_file_may_grow(pids: list[int], as_user: Sequence[str] = ()) -> Iterator[None]:
    """Whatever these processes write to a file fails; they may end by that. Their user is who may say so."""

    def limit(most: str) -> None:
        for pid in pids:
            # One that has ended meanwhile is no matter.
            command = [*as_user, "prlimit", f"--pid={pid}", f"--fsize={most}:"]
            subprocess.run(command, capture_output=True, check=False)

    limit("0")
    try:
        yield
    finally:
        limit("unlimited")


@contextmanager
def _standing_still(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _children(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for file in threads for child in file.read_text().split()]


def redis_binary() -> str | None:
    """What this machine has of Redis or Valkey."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


def postgres_binaries() -> Path | None:
    """The folder of what this machine has of PostgreSQL."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    # Debian keeps them off the path, a folder for each version.
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in versions), key=lambda path: int(path.parent.name), default=None)


def _missing(package: str) -> str:
    """Skips, but not in CI: there it would hide that nothing was tested."""
    reason = f"{package} is not installed"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def _folder() -> Iterator[Path]:
    # Of a short name, as a socket's is bounded; not pytest's, which no other user may enter.
    path = Path(tempfile.mkdtemp(prefix="asap-", dir="/tmp"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _wait_until(answers: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not answers():
        if time.monotonic() > deadline:
            raise RuntimeError(f"the server does not answer: {log.read_text()}")
        time.sleep(0.02)

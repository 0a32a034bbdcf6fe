"""What `asap serve` listens on: an address or a unix socket, and the certificate that it shows."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import ssl
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from attrs import frozen

from .._shared.sockets import listen
from .outcome import FAILED, USAGE, Stop

__all__ = ["Certificate", "SocketFile", "listen_at", "listen_in", "tls_context"]

#: Callers whose connection is made and not taken yet; the system may have fewer.
_BACKLOG = 2048
#: How long a server waits for others that start in its directory. Whoever may read that can lock it, and never let go.
_ALONE_SECONDS = 5.0


@frozen
class Certificate:
    """The files of a certificate with its chain, and of its private key; both PEM."""

    chain: str
    key: str


@frozen
class SocketFile:
    """The file of a unix socket, which goes with the process that made it."""

    path: str
    device: int
    inode: int
    #: When it was made, in nanoseconds: a file that comes later may be given the number of one that is gone.
    moment: int
    owner: int

    def remove(self) -> None:
        """Takes it away, unless another has come in its place, or this is a process of a worker's."""
        with suppress(OSError):
            found = os.lstat(self.path)
            is_same = (found.st_dev, found.st_ino, found.st_mtime_ns) == (self.device, self.inode, self.moment)
            if is_same and os.getpid() == self.owner:
                os.unlink(self.path)


def listen_at(host: str, port: int) -> socket.socket:
    """A socket that listens at an address; raises `Stop`."""
    try:
        return listen(host, port)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while")[0]
        remedy = "Give --host an address of this machine: 127.0.0.1, ::1, or 0.0.0.0 for every one."
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            remedy = "Another --port may be free; --port 0 takes any that is."
        raise Stop(FAILED, f"can't listen on {host} port {port}: {reason}", remedy=remedy) from None


def listen_in(path: str, mode: int) -> tuple[socket.socket, SocketFile]:
    """A unix socket that listens, with its file; raises `Stop`. What a server that was killed has left there goes."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        with _alone_in(os.path.dirname(path) or "."):
            _clear(path)
            listener.bind(path)
            os.chmod(path, mode)  # before it listens, nobody is let in
            listener.listen(_BACKLOG)
            made = os.lstat(path)
    except OSError as error:
        listener.close()
        remedy = "Another process has it: stop that, or name another file."
        if error.errno == errno.EWOULDBLOCK:
            remedy = "Another process holds a lock on its directory: use one that no stranger may read."
        elif error.errno != errno.EADDRINUSE:
            remedy = "Name a file in a directory that is there and may be written, in at most 100 letters."
        raise Stop(FAILED, f"can't listen in {path}: {error.strerror or error}", remedy=remedy) from None
    return listener, SocketFile(os.path.abspath(path), made.st_dev, made.st_ino, made.st_mtime_ns, os.getpid())


@contextmanager
def _alone_in(directory: str) -> Iterator[None]:
    """One server at a time looks whether a file is left over, and makes its own: else it may take another's away."""
    opened = os.open(directory, os.O_RDONLY)
    try:
        until = time.monotonic() + _ALONE_SECONDS
        while True:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise
                time.sleep(0.02)
        yield
    finally:
        os.close(opened)


def _clear(path: str) -> None:
    """Takes a socket away that nobody listens to any more; raises `OSError` for whatever else is there."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(errno.EEXIST, "it is a file already, and no socket")
    with socket.socket(socket.AF_UNIX) as caller:
        caller.setblocking(False)  # a server with a long queue is one
        try:
            caller.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def tls_context(certificate: Certificate) -> ssl.SSLContext:
    """TLS 1.2 and 1.3 with that certificate, for HTTP/1.1; raises `Stop`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # whoever asks for it again and again has us work, and does little
    context.set_alpn_protocols(["http/1.1"])
    for option, file in (("--tls-cert", certificate.chain), ("--tls-key", certificate.key)):
        try:
            with open(file, "rb"):
                pass
        except OSError as error:
            raise _no_tls(f"{option}: can't read {file}: {error.strerror}", "Name a PEM file.") from None
    try:
        context.load_cert_chain(certificate.chain, certificate.key, password=_no_password)
    except _Encrypted:
        remedy = "Decrypt it to a file that this user alone may read: openssl pkey -in KEY -out FILE."
        raise _no_tls(f"--tls-key: {certificate.key} is encrypted", remedy) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            words = f"--tls-key: {certificate.key} is not the key of the certificate in {certificate.chain}"
            raise _no_tls(words, "The certificate comes first in its file, then those that signed it.") from None
        words = f"--tls-cert, --tls-key: {certificate.chain} and {certificate.key} are no certificate and key in PEM"
        raise _no_tls(
            f"{words} ({error.reason or error})", "Both begin with a line such as -----BEGIN …-----."
        ) from None
    return context


class _Encrypted(Exception):
    """A password is asked for, which OpenSSL would ask the terminal for."""


def _no_password(*_: Any) -> str:
    raise _Encrypted


def _no_tls(words: str, remedy: str) -> Stop:
    return Stop(USAGE, words, remedy=remedy)

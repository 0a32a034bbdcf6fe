"""What can befall bytes on their way: a peer that answers anything at all, and a proxy that loses answers."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

#: What a fake peer does with a connection once it has heard a request.
Answer = bytes | Callable[[socket.socket], None]


class Peer:
    """Answers each request in turn; the last answer holds for all that follow. Each has its own connection."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.heard: list[bytes] = []
        self.over = threading.Event()

    def serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(10)
            request = read_request(connection)
            if not request:
                return
            self.heard.append(request)
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            if callable(answer):
                answer(connection)
            else:
                connection.sendall(answer)

    def drip(self, *pieces: bytes, every: float = 0.05) -> Callable[[socket.socket], None]:
        """An answer that says its pieces, and then the last of them again and again."""

        def answer(connection: socket.socket) -> None:
            for piece in pieces[:-1]:
                connection.sendall(piece)
            while not self.over.wait(every):
                connection.sendall(pieces[-1])

        return answer


class LossyProxy:
    """Hands requests on, and loses the answers to the first `losses`: it hangs up instead."""

    def __init__(self, url: str, *, losses: int) -> None:
        self._place = (urlsplit(url).hostname, urlsplit(url).port)
        self._losses = losses
        self._lock = threading.Lock()
        self.heard: list[bytes] = []

    def serve(self, connection: socket.socket) -> None:
        with connection, socket.create_connection(self._place, timeout=10) as beyond:
            request = read_request(connection)
            self.heard.append(request)
            beyond.sendall(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            answer = b""
            while chunk := beyond.recv(65536):
                answer += chunk
            with self._lock:
                self._losses -= 1
                lost = self._losses >= 0
            if not lost:
                connection.sendall(answer)


class CuttingProxy:
    """Hands requests on, and of the answers to streams so many bytes, in turn; what comes after is whole."""

    def __init__(self, url: str, *cuts: int) -> None:
        self._place = (urlsplit(url).hostname, urlsplit(url).port)
        self._cuts = list(cuts)
        self._lock = threading.Lock()
        self.heard: list[bytes] = []

    def serve(self, connection: socket.socket) -> None:
        with connection, socket.create_connection(self._place, timeout=10) as beyond:
            request = read_request(connection)
            is_stream = b"/asap/stream " in request
            with self._lock:
                left = self._cuts.pop(0) if self._cuts and is_stream else 1 << 62
                if is_stream:
                    self.heard.append(request)
            beyond.sendall(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            while left and (chunk := beyond.recv(min(left, 65536))):
                connection.sendall(chunk)
                left -= len(chunk)


class Scripted:
    """Each connection in turn has its own answers, one for each request that comes over it; then it is closed."""

    def __init__(self, *scripts: Sequence[Answer]) -> None:
        self._scripts = list(scripts)
        self._lock = threading.Lock()
        self.over = threading.Event()
        #: The requests, by connection.
        self.heard: list[list[bytes]] = []

    def serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(10)
            with self._lock:
                script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
                heard: list[bytes] = []
                self.heard.append(heard)
            for answer in script:
                if not (request := read_request(connection)):
                    return
                heard.append(request)
                if callable(answer):
                    answer(connection)
                else:
                    connection.sendall(answer)


def read_request(connection: socket.socket) -> bytes:
    """One whole request with a Content-Length, or nothing."""
    request = b""
    while b"\r\n\r\n" not in request:
        if not (chunk := connection.recv(65536)):
            return b""
        request += chunk
    head, _, body = request.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        chunk = connection.recv(65536)
        request, body = request + chunk, body + chunk
    return request


@contextmanager
def listening(peer: Peer | LossyProxy | CuttingProxy | Scripted) -> Iterator[str]:
    """Lets a peer listen; gives its base URL."""
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with suppress(OSError):
            peer.serve(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            if isinstance(peer, Peer | Scripted):
                peer.over.set()
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in threads:
                thread.join()


def http_answer(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """A whole HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

"""What stands between the two ends of a pair and hears all that they say."""

import contextlib
import socket
import socketserver
import threading
from urllib.parse import urlsplit


class Relay:
    """Hands bytes on, in both directions; with `loses` the first answer is dropped with its connection."""

    def __init__(self, url: str, *, loses: bool = False) -> None:
        self.connections = 0
        self.asked, self.answered = bytearray(), bytearray()
        self._loses = loses
        there = urlsplit(url)
        relay = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                relay.connections += 1
                with socket.create_connection((there.hostname, there.port)) as peer:
                    back = threading.Thread(target=relay._hand_back, args=(peer, self.request))
                    back.start()
                    relay._hand_on(self.request, peer)
                    back.join()

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> "Relay":
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _hand_on(self, client: socket.socket, peer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                self.asked += data
                peer.sendall(data)
        with contextlib.suppress(OSError):
            peer.shutdown(socket.SHUT_RDWR)

    def _hand_back(self, peer: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := peer.recv(65536):
                if self._loses:
                    self._loses = False
                    break
                self.answered += data
                client.sendall(data)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

"""Servers that hear what is asked of them, and answer as they are told: whom no request may reach hears of none."""

import datetime
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Ear:
    """One server on an address of this machine; `heard` are its requests, as (method, path, headers).

    It answers each the same, or what `respond` makes of the request's headers.
    """

    def __init__(self, address="127.0.0.1", port=0, *, status=404, headers=None, body=b"", respond=None, tls=None):
        self.heard, self.names = [], []
        ear = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                ear.heard.append((self.command, self.path, dict(self.headers)))
                self.rfile.read(int(self.headers.get("content-length", 0)))
                said = respond(self.headers) if respond else (status, headers or {}, body)
                self.send_response(said[0])
                for name, value in said[1].items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(said[2])))
                self.end_headers()
                self.wfile.write(said[2])

            def do_GET(self):
                self.answer()

            def do_POST(self):
                self.answer()

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_):
                pass  # a handshake that a client breaks off

        self._server = Server((address, port), Handler)
        if tls is not None:
            tls.sni_callback = lambda _, name, __: self.names.append(name)
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_port

    @contextmanager
    def open(self) -> Iterator["Ear"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


def certified(folder, *names):
    """A context for a server with a certificate for these names, and the text of who has issued it."""
    key = ec.generate_private_key(ec.SECP256R1())
    number = x509.random_serial_number()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"scenario {number}")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(number)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_named(one) for one in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    text = certificate.public_bytes(serialization.Encoding.PEM)
    pem = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "server.pem").write_bytes(text + key.private_bytes(serialization.Encoding.PEM, *pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context, text.decode()


def _named(name):
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)

"""`asap serve` in a unix socket, behind a gateway; and at a port, with TLS and no gateway."""

import os
import signal
import socket
import ssl
import stat
from pathlib import Path

import httpx
import pytest

from asap_testkit.certificates import make_certificate

RUNTIMES = ["asyncio", "trio", "sync"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_unix_socket(serving, agent_module, tmp_path, runtime):
    """All workers listen in it, whatever name they are asked by; whoever it is made for is believed by its word."""
    words = ["--uds", "a.sock", "--uds-mode", "660", "--workers", "2", "--rate-limit", "1/hour", "--proxy", "unix"]
    path = tmp_path / "a.sock"
    with serving(agent_module(runtime), *words) as running:
        assert running.url == f"unix:{path}"
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://any.example") as http:
            told = [
                http.post("/asap", json={}, headers={"x-forwarded-for": address}).status_code
                for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1")
            ]
            assert told == [200, 200, 429]
        assert running.stop().exit_code == 0
    assert not path.exists()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.mark.parametrize("runtime", ["asyncio", "trio", "sync"])
def test_tls(serving, agent_module, certificate, runtime):
    """It is told by its URL, to callers and in the manifest; in clear text nobody is answered."""
    words = ["--tls-cert", certificate.chain, "--tls-key", certificate.key, "--workers", "2"]
    with serving(agent_module(runtime), *words) as running:
        assert running.url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=certificate.chain)
        with httpx.Client(base_url=running.url, verify=trusting, trust_env=False) as http:
            manifest = http.get("/.well-known/asap/manifest.json").json()
            assert manifest["endpoints"]["asap"] == f"{running.url}/asap"
        with socket.create_connection(("127.0.0.1", http.base_url.port), timeout=30) as caller:
            caller.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"HTTP" not in caller.recv(1000)
        ended = running.stop()
    assert (ended.exit_code, ended.err) == (0, "")


def test_a_certificate_that_is_no_good_for_a_moment(serving, agent_module, certificate, tmp_path):
    """A worker that dies while its files are exchanged is replaced a little later; the others serve on."""
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(certificate.chain.read_bytes())
    key.write_bytes(certificate.key.read_bytes())
    with serving(agent_module("asyncio"), "--tls-cert", chain, "--tls-key", key, "--workers", "2") as running:
        chain.rename(tmp_path / "old.pem")
        worker = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()[-1]
        os.kill(int(worker), signal.SIGKILL)
        lines = [running.process.stderr.readline()]
        while "code 2" not in lines[-1]:
            lines.append(running.process.stderr.readline())
            assert lines[-1]
        (tmp_path / "old.pem").rename(chain)
        trusting = ssl.create_default_context(cafile=chain)
        assert httpx.get(f"{running.url}/health", verify=trusting, trust_env=False).status_code == 200
        assert running.stop().exit_code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tls-cert", "a.pem"], "--tls-cert and --tls-key go together"),
        (["--tls-cert", "a.pem", "--tls-key", "b.pem"], "can't read"),
        (["--uds", "a.sock", "--uds-mode", "rw"], "--uds-mode: rw is no mode"),
    ],
)
def test_what_can_not_be_meant(asap, agent_module, tmp_path, words, said):
    """It is told before anything is served, and leaves nothing behind."""
    ended = asap("serve", agent_module("sync"), *words)
    assert ended.exit_code == 2
    assert said in ended.err
    assert not (tmp_path / "a.sock").exists()

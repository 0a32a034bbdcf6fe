"""What befalls a client on its way: lost replies, peers that are busy, down, slow, or up to no good."""

import gzip
import json
import time

import brotli
import pytest

from asap_proto import AsapError, Limits, TaskRequest
from asap_proto.errors import (
    CircuitOpen,
    MalformedReply,
    Misuse,
    Overloaded,
    PeerRefused,
    PeerTimedOut,
    PeerUnreachable,
    RateLimited,
)
from asap_proto.rules.breaker import Breaker
from asap_proto.rules.retry import RetryRule

from .fronts import WORKER
from .wires import LossyProxy, Peer, http_answer, listening

ONCE = RetryRule(attempts=1)
SOON = RetryRule(attempts=3, base_seconds=0.01)
GOOD = {"peer": WORKER}


@pytest.mark.parametrize("losses", [1, 2])
def test_lost_reply_runs_once(front, losses):
    """A reply that was lost is fetched by a retry; the handler ran once."""
    ran = []
    agent = front.agent()

    @agent.skill("count")
    def count(task):
        ran.append(task.id)
        return {"n": len(ran)}

    with (
        front.serving(agent) as url,
        listening(LossyProxy(url, losses=losses)) as lossy,
        front.client(lossy, retry=SOON, **GOOD) as client,
    ):
        assert client.request("count", {}).result == {"n": 1}
    assert len(ran) == 1


def test_lost_replies_of_a_batch_run_once(front):
    """So it is with the items of a batch."""
    ran = []
    agent = front.agent()

    @agent.skill("count")
    def count(task):
        ran.append(task.input["n"])
        return task.input

    with (
        front.serving(agent) as url,
        listening(LossyProxy(url, losses=1)) as lossy,
        front.client(lossy, retry=SOON, **GOOD) as client,
    ):
        letters = [client.role.compose(WORKER, TaskRequest("c", "count", {"n": n})) for n in range(5)]
        results = client.send_batch(letters)
    assert [result.payload.result for result in results] == [{"n": n} for n in range(5)]
    assert sorted(ran) == list(range(5))


def test_all_replies_lost(front):
    """When every reply is lost the client gives up, and says that the peer is out of reach."""
    agent = front.agent()
    with (
        front.serving(agent) as url,
        listening(LossyProxy(url, losses=99)) as lossy,
        front.client(lossy, retry=SOON, **GOOD) as client,
        pytest.raises(PeerUnreachable),
    ):
        client.request("count", {})


def pass_for(peer_heard):
    """What an echo agent would have answered to this request."""
    call = json.loads(peer_heard.partition(b"\r\n\r\n")[2])
    asked = call["params"]["envelope"]
    envelope = {
        "id": "reply",
        "asap_version": "0.1",
        "timestamp": asked["timestamp"],
        "sender": asked["recipient"],
        "recipient": asked["sender"],
        "payload_type": "task.response",
        "payload": {"task_id": "t", "status": "completed", "result": asked["payload"]["input"]},
        "correlation_id": asked["id"],
    }
    return json.dumps({"jsonrpc": "2.0", "result": {"envelope": envelope}, "id": call["id"]}).encode()


class EchoPeer(Peer):
    """A peer that, once its script is through, answers rightly."""

    def __init__(self, *answers, **headers):
        def right(connection):
            connection.sendall(http_answer(self.pack(pass_for(self.heard[-1])), **headers))

        super().__init__(*answers, right)
        self.pack = {"gzip": gzip.compress, "br": brotli.compress}.get(headers.get("Content_Encoding"), bytes)


@pytest.mark.parametrize("status", ["503 Service Unavailable", "429 Too Many Requests", "502 Bad Gateway", "500 x"])
def test_busy_peer_is_asked_again(front, status):
    """A peer that is busy is asked again, as many times as the rule says."""
    peer = EchoPeer(http_answer(b"later", status), http_answer(b"", status))
    with listening(peer) as url, front.client(url, retry=SOON, **GOOD) as client:
        assert client.request("echo", {"a": 1}).result == {"a": 1}
    assert len(peer.heard) == 3


def test_retry_after_is_obeyed(front):
    """The peer says how long to wait, but no longer than the rule allows."""
    peer = EchoPeer(http_answer(b"", "503 x", Retry_After="1"))
    with listening(peer) as url, front.client(url, retry=SOON, **GOOD) as client:
        begin = time.monotonic()
        client.request("echo", {})
        assert time.monotonic() - begin > 0.9
    peer = EchoPeer(http_answer(b"", "429 x", Retry_After="99999"))
    capped = RetryRule(attempts=2, most_seconds=0.05)
    with listening(peer) as url, front.client(url, retry=capped, **GOOD) as client:
        begin = time.monotonic()
        client.request("echo", {})
        assert time.monotonic() - begin < 1


@pytest.mark.parametrize(("status", "error"), [("503 x", Overloaded), ("429 x", RateLimited)])
def test_peer_that_stays_busy(front, status, error):
    """In the end the client says what the peer said."""
    busy = listening(Peer(http_answer(b"", status)))
    with busy as url, front.client(url, retry=SOON, **GOOD) as client, pytest.raises(error):
        client.request("echo", {})


def test_breaker(front):
    """A peer that keeps failing is left alone for a while, then tried once."""
    peer = EchoPeer(*[http_answer(b"", "503 x")] * 2)
    breaker = Breaker(threshold=2, rest_seconds=0.3)
    with listening(peer) as url, front.client(url, retry=ONCE, breaker=breaker, **GOOD) as client:
        for _ in range(2):
            with pytest.raises(Overloaded):
                client.request("echo", {})
        for _ in range(3):
            with pytest.raises(CircuitOpen):
                client.request("echo", {})
        assert len(peer.heard) == 2
        time.sleep(0.35)
        assert client.request("echo", {}).result == {}
        assert client.request("echo", {}).result == {}


def test_nobody_there(front):
    """A port where nobody listens is told as such, with all tries used."""
    with listening(Peer(b"")) as url:
        pass
    with front.client(url, retry=SOON, **GOOD) as client, pytest.raises(PeerUnreachable, match="no connection"):
        client.request("echo", {})


@pytest.mark.parametrize("coding", ["gzip", "br"])
def test_packed_reply(front, coding):
    """A reply may be compressed."""
    with listening(EchoPeer(Content_Encoding=coding)) as url, front.client(url, **GOOD) as client:
        assert client.request("echo", {"x": "y" * 5000}).result == {"x": "y" * 5000}


MANY = Limits(reply_bytes=10_000)

GARBAGE = {
    "nothing": b"",
    "no HTTP": b"hello\r\n\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
    "broken chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
    "status 999": b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n",
    "status 000": b"HTTP/1.1 000 What\r\nContent-Length: 0\r\n\r\n",
    "switching": b"HTTP/1.1 101 Switching\r\n\r\n",
    "no JSON": http_answer(b"<html>"),
    "empty": http_answer(b""),
    "a number": http_answer(b"5"),
    "an array": http_answer(b"[]"),
    "deep": http_answer(b"[" * 5000),
    "no result": http_answer(b'{"jsonrpc":"2.0","id":"req-1"}'),
    "null result": http_answer(b'{"jsonrpc":"2.0","id":"req-1","result":null}'),
    "odd error": http_answer(b'{"jsonrpc":"2.0","id":"req-1","error":[]}'),
    "error of nobody": http_answer(
        b'{"jsonrpc":"2.0","id":"req-1","error":{"code":"x","message":5,"data":{"code":[]}}}'
    ),
    "our own error": http_answer(b'{"jsonrpc":"2.0","id":"req-1","error":{"data":{"code":"asap:local/misuse"}}}'),
    "other id": http_answer(b'{"jsonrpc":"2.0","id":"req-9","result":{"envelope":{}}}'),
    "bad envelope": http_answer(b'{"jsonrpc":"2.0","id":"req-1","result":{"envelope":{"sender":5}}}'),
    "bad UTF-8": http_answer(b'"\xff"'),
    "surrogates": http_answer(b'{"error":{"message":"\\ud800"}}'),
    "redirect": http_answer(b"", "302 Found", Location="http://127.0.0.1:1/asap"),
    "moved": http_answer(b"", "307 Temporary", Location="/asap"),
    "refused": http_answer(b'{"detail":"go away"}', "403 Forbidden"),
    "huge": http_answer(b" " * 10_001),
    "huge head": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000 + b"\r\n\r\n",
    "bomb": http_answer(gzip.compress(bytes(30_000_000)), Content_Encoding="gzip"),
    "brotli bomb": http_answer(brotli.compress(bytes(30_000_000), quality=1), Content_Encoding="br"),
    "no gzip": http_answer(b"{}", Content_Encoding="gzip"),
    "half gzip": http_answer(gzip.compress(b"{}" * 100)[:-9], Content_Encoding="gzip"),
    "unknown coding": http_answer(b"{}", Content_Encoding="zstd"),
    "odd Retry-After": http_answer(b"", "503 x", Retry_After="\xb2"),
}


@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE)
def test_garbage(front, answer):
    """Whatever a peer answers, the client raises an `AsapError`: from a request, a batch, a manifest."""
    quick = {"retry": ONCE, "timeout": 3, "limits": MANY}
    with listening(Peer(answer)) as url:
        with front.client(url, **quick, **GOOD) as client:
            with pytest.raises(AsapError) as caught:
                client.request("echo", {})
            assert not isinstance(caught.value, Misuse)
            letters = [client.role.compose(WORKER, TaskRequest("c", "echo", {})) for _ in range(3)]
            results = client.send_batch(letters)
            assert len(results) == 3
            assert all(isinstance(result, AsapError) for result in results)
            with pytest.raises(AsapError):
                client.manifest()
        with front.client(url, **quick) as client, pytest.raises(AsapError):
            client.request("echo", {})


def test_garbage_is_not_asked_again(front):
    """A peer that answers nonsense is asked once; a redirect is not followed."""
    for answer, error in ((http_answer(b"[]"), MalformedReply), (GARBAGE["redirect"], PeerRefused)):
        peer = Peer(answer)
        with listening(peer) as url, front.client(url, retry=SOON, **GOOD) as client, pytest.raises(error):
            client.request("echo", {})
        assert len(peer.heard) == 1


DRIPS = {
    "before the head": (b"HTTP/1.1 ", b"2"),
    "in the head": (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "header by header": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "in the body": (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"["),
    "in chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "early hints": (b"HTTP/1.1 103 Early Hints\r\n\r\n",),
}


@pytest.mark.parametrize("pieces", DRIPS.values(), ids=DRIPS)
def test_dripping_peer(front, pieces):
    """The timeout holds for the whole exchange, however steadily a peer drips."""
    peer = Peer(b"")
    peer._answers = [peer.drip(*pieces)]
    with listening(peer) as url, front.client(url, retry=ONCE, timeout=0.3, **GOOD) as client:
        begin = time.monotonic()
        with pytest.raises(PeerTimedOut):
            client.request("echo", {})
        assert time.monotonic() - begin < 2


def test_silent_peer(front):
    """A peer that says nothing is given up in time."""
    peer = Peer(b"")
    peer._answers = [lambda connection: peer.over.wait(5)]
    quick = {"retry": ONCE, "timeout": 0.2}
    with listening(peer) as url, front.client(url, **quick, **GOOD) as client, pytest.raises(PeerTimedOut):
        client.request("echo", {})


SECRETS = "http://user:hunter2@127.0.0.1:{port}/base"


@pytest.mark.parametrize("answer", ["nothing", "half a body", "no JSON", "refused", "odd Retry-After"])
def test_credentials_in_the_url_stay_secret(front, answer, caplog):
    """What a URL says of user and password is sent as Basic credentials, and stands in no message and no log."""
    caplog.set_level("DEBUG")
    peer = Peer(GARBAGE[answer])
    with listening(peer) as url:
        secret = SECRETS.format(port=url.rpartition(":")[2])
        with front.client(secret, retry=ONCE, **GOOD) as client, pytest.raises(AsapError) as caught:
            client.request("echo", {})
    assert b"POST /base/asap " in peer.heard[0]
    assert b"authorization: basic dxnlcjpodw50zxiy" in peer.heard[0].lower()
    with front.client(secret, retry=ONCE, **GOOD) as client, pytest.raises(PeerUnreachable) as refused:
        client.request("echo", {})
    for error in (caught.value, refused.value):
        assert "hunter2" not in f"{error} {error!r} {error.facts}"
    assert "hunter2" not in caplog.text


def test_a_token_goes_before_the_urls_credentials(front):
    """Where both are given, the token counts."""
    peer = EchoPeer()
    with listening(peer) as url:
        secret = url.replace("http://", "http://user:hunter2@")
        with front.client(secret, token="t0ken", **GOOD) as client:
            client.request("echo", {})
    assert b"authorization: Bearer t0ken" in peer.heard[0]


def test_cookies_are_not_kept(front):
    """What a peer sets, the next request does not carry."""
    peer = EchoPeer(Set_Cookie="a=b")
    with listening(peer) as url, front.client(url, **GOOD) as client:
        client.request("echo", {})
        client.request("echo", {})
    assert b"cookie" not in peer.heard[1].lower()


ODD_URLS = [
    "", "x", "ftp://localhost", "http://", "http://[::1", "http://localhost:99999", "http://example.org",
    "http://localhost/?token=hunter2", "http://localhost/#hunter2", "http://local\nhost", "http://user:hunter2@/",
    "http://user:hunter2@localhost:x", "https://\u2764 .org", "http://user:hunter2@example.org",
]  # fmt: skip


@pytest.mark.parametrize("url", ODD_URLS, ids=range(len(ODD_URLS)))
def test_odd_urls(front, url):
    """A URL that can't be used is our misuse, told without its secrets."""
    with pytest.raises(Misuse) as caught, front.client(url, **GOOD):
        pass
    assert "hunter2" not in str(caught.value)


def test_impossible_host(front):
    """A host name that no resolver takes is out of reach."""
    url = f"https://{'a' * 70}.invalid"
    with front.client(url, retry=ONCE, timeout=5, **GOOD) as client, pytest.raises(AsapError):
        client.request("echo", {})


def test_closed_client(front):
    """A client that was closed says so."""
    with front.client("http://127.0.0.1:1", **GOOD) as client:
        pass
    with pytest.raises(Misuse, match="closed"):
        client.request("echo", {})

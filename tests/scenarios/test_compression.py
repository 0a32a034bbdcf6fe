"""Large bodies compressed on their way, on every front, over real sockets."""

import gzip
import json
import socket
import zlib

import brotli
import httpx
import pytest

from asap_adapters._shared.deflate import CODINGS
from asap_proto import Limits, TaskRequest, TaskResponse
from asap_proto.errors import PeerRefused

from .fronts import JSON, ME, WORKER, post
from .test_auth import SIGNATURES, SIGNER
from .wires import LossyProxy, Peer, http_answer, listening

zstd = pytest.importorskip("backports.zstd", reason="the extra zstd is not installed")

UNDO = {"gzip": gzip.decompress, "br": brotli.decompress, "zstd": zstd.decompress}
MANIFEST = "/.well-known/asap/manifest.json"
TEXT = "".join(f"{number}, " for number in range(1000))


def frame(text=TEXT):
    envelope = {
        "asap_version": "0.1",
        "sender": ME,
        "recipient": WORKER,
        "payload_type": "task.request",
        "payload": {"conversation_id": "c", "skill_id": "echo", "input": {"text": text}},
    }
    return {"jsonrpc": "2.0", "method": "asap.send", "params": {"envelope": envelope}, "id": 1}


def agent_of(front, **options):
    agent = front.agent(**options)

    @agent.skill("echo", description="Repeats what it hears, " * 200)
    def echo(task):
        return {"text": task.input["text"]}

    return agent


@pytest.fixture(scope="module")
def compressing(front):
    """The URL of an agent that compresses, whoever asks."""
    with front.serving(agent_of(front, compress=True)) as url:
        yield url


def codings_of(requests):
    """In which coding each request with a body was sent."""
    heads = [request.partition(b"\r\n\r\n")[0].lower() for request in requests if request.startswith(b"POST")]
    lines = [[line.split(b": ") for line in head.split(b"\r\n")[1:]] for head in heads]
    return [dict(each).get(b"content-encoding", b"identity").decode() for each in lines]


@pytest.mark.parametrize("coding", UNDO)
@pytest.mark.parametrize("text", [TEXT, TEXT * 20], ids=["on the spot", "in a thread"])
def test_an_answer_is_what_it_was(compressing, coding, text):
    """Whichever coding its caller takes, and however large it is."""
    with httpx.Client(base_url=compressing, headers=JSON, trust_env=False) as http:
        body = json.dumps(frame(text)).encode()
        with http.stream("POST", "/asap", content=body, headers={"accept-encoding": coding}) as response:
            raw = b"".join(response.iter_raw())
    assert (response.headers["content-encoding"], response.headers["vary"]) == (coding, "accept-encoding")
    assert int(response.headers["content-length"]) == len(raw) < len(body) / 2
    assert json.loads(UNDO[coding](raw))["result"]["envelope"]["payload"]["result"] == {"text": text}


def test_an_answer_for_whoever_takes_none(compressing):
    """It is sent as it is; a small one in any case."""
    with httpx.Client(base_url=compressing, trust_env=False) as http:
        plain = post(http, frame(), headers={"accept-encoding": "identity"})
        small = post(http, frame("x"))
    assert ("content-encoding" in plain.headers, plain.headers["vary"]) == (False, "accept-encoding")
    assert ("content-encoding" in small.headers, "vary" in small.headers) == (False, False)
    assert small.headers["accept-encoding"] == "gzip, br, zstd"


def test_off_on_this_machine(front, stack):
    """Unless it is said to be on: the time costs more than the bytes."""
    url = stack.enter_context(front.serving(agent_of(front)))
    http = stack.enter_context(httpx.Client(base_url=url, trust_env=False))
    for answer in (post(http, frame()), http.get(MANIFEST)):
        assert not {"content-encoding", "vary", "accept-encoding"} & answer.headers.keys()


def test_a_manifest_in_each_coding(compressing):
    """It has one tag, and by HEAD the size that it has by GET."""
    with httpx.Client(base_url=compressing, trust_env=False) as http:
        plain = http.get(MANIFEST, headers={"accept-encoding": "identity"})
        for coding, undo in UNDO.items():
            accepts = {"accept-encoding": coding}
            with http.stream("GET", MANIFEST, headers=accepts) as response:
                raw = b"".join(response.iter_raw())
            assert undo(raw) == plain.content
            told = http.head(MANIFEST, headers=accepts).headers
            assert [told[name] for name in ("content-encoding", "content-length")] == [coding, str(len(raw))]
            assert {told["etag"], response.headers["etag"]} == {plain.headers["etag"]}
            same = http.get(MANIFEST, headers={**accepts, "if-none-match": plain.headers["etag"]})
            assert (same.status_code, same.headers["etag"]) == (304, plain.headers["etag"])
            assert same.headers["vary"] == "accept-encoding"


@pytest.mark.parametrize("text", [TEXT, TEXT * 20], ids=["on the spot", "in a thread"])
def test_two_of_ours_agree(front, stack, compressing, text):
    """From its peer's first answer on, a client compresses what is large, and reads what comes back."""
    proxy = LossyProxy(compressing, losses=0)
    client = stack.enter_context(front.client(stack.enter_context(listening(proxy)), peer=WORKER, compress=True))
    for _ in range(2):
        assert client.request("echo", {"text": text}).result == {"text": text}
    assert client.request("echo", {"text": "x"}).result == {"text": "x"}
    assert codings_of(proxy.heard) == ["identity", CODINGS[0], "identity"]


def test_what_is_signed_is_what_is_sent(front, stack):
    """The signature holds for the body in its coding."""
    proxy = LossyProxy(stack.enter_context(front.serving(agent_of(front, auth=[SIGNATURES]))), losses=0)
    url = stack.enter_context(listening(proxy))
    for coding in CODINGS:
        client = stack.enter_context(front.client(url, peer=WORKER, auth=SIGNER, compress=coding))
        assert client.request("echo", {"text": TEXT}).result == {"text": TEXT}
    assert codings_of(proxy.heard) == list(CODINGS)
    assert all(b'"content-encoding"' in request for request in proxy.heard)


def test_what_shrinks_most_is_no_bomb(front, stack, compressing):
    """Two of ours never send each other what the other would refuse for its ratio."""
    proxy = LossyProxy(compressing, losses=0)
    client = stack.enter_context(front.client(stack.enter_context(listening(proxy)), peer=WORKER, compress="gzip"))
    text = "hello " * 500_000
    assert client.request("echo", {"text": text}).result == {"text": text}
    assert codings_of(proxy.heard) == ["identity"]


def test_batches_and_streams(front, stack, compressing):
    """The request is compressed; a stream's answer is not."""
    proxy = LossyProxy(compressing, losses=0)
    client = stack.enter_context(front.client(stack.enter_context(listening(proxy)), peer=WORKER, compress="br"))
    envelopes = [client.role.compose(WORKER, TaskRequest("c", "echo", {"text": str(n)})) for n in range(10)]
    assert [reply.payload.result["text"] for reply in client.send_batch(envelopes)] == [str(n) for n in range(10)]
    with client.stream("echo", {"text": TEXT}) as payloads:
        *_, last = payloads
    assert isinstance(last, TaskResponse)
    assert last.result == {"text": TEXT}
    assert codings_of(proxy.heard) == ["br", "br"]


def test_nothing_is_compressed_by_whoever_has_secrets(front, stack, compressing):
    """With ``compress=False`` a client asks for no coding either: no length tells of what stands beside what."""
    proxy = LossyProxy(compressing, losses=0)
    client = stack.enter_context(front.client(stack.enter_context(listening(proxy)), peer=WORKER, compress=False))
    for _ in range(2):
        assert client.request("echo", {"text": TEXT}).result == {"text": TEXT}
    assert codings_of(proxy.heard) == ["identity", "identity"]
    assert all(b"accept-encoding: identity\r\n" in request.lower() for request in proxy.heard)


def answered(peer):
    """Answers the request that was heard last, if it is no coded one."""

    def answer(connection: socket.socket) -> None:
        head, _, body = peer.heard[-1].partition(b"\r\n\r\n")
        assert b"content-encoding" not in head.lower()
        asked = json.loads(body)
        envelope = asked["params"]["envelope"]
        reply = {
            **envelope,
            "id": "reply-1",
            "sender": WORKER,
            "recipient": ME,
            "payload_type": "task.response",
            "payload": {"task_id": "task_1", "status": "completed", "result": {"length": len(body)}},
            "correlation_id": envelope["id"],
        }
        document = {"jsonrpc": "2.0", "result": {"envelope": reply}, "id": asked["id"]}
        connection.sendall(http_answer(json.dumps(document).encode(), content_type="application/json"))

    return answer


OLD = {
    # 1.0 without brotli, by its own words; and what a release before it says to a body that it can't decode.
    "415": http_answer(b'{"detail":"Unsupported Content-Encoding: br. Supported: gzip"}', "415 Unsupported Media Type"),
    "-32700": http_answer(
        b'{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error",'
        b'"data":{"error":"Invalid UTF-8 encoding"}},"id":null}'
    ),
}


@pytest.mark.parametrize("refusal", OLD.values(), ids=OLD.keys())
@pytest.mark.parametrize("coding", CODINGS)
def test_an_old_peer_is_sent_it_as_it_is(front, stack, refusal, coding):
    """At once and from then on, with the key and another nonce: it may have claimed what came with the first."""
    peer = Peer(refusal)
    peer._answers.append(answered(peer))
    client = stack.enter_context(front.client(stack.enter_context(listening(peer)), peer=WORKER, compress=coding))
    for _ in range(2):
        assert client.request("echo", {"text": TEXT}).result["length"] > len(TEXT)
    assert codings_of(peer.heard) == [coding, "identity", "identity"]
    first, second = [request.partition(b"\r\n\r\n")[0].lower() for request in peer.heard[:2]]
    (key,) = [line for line in first.split(b"\r\n") if line.startswith(b"x-idempotency-key")]
    assert key in second


def test_a_peer_that_refuses_everything_is_refused(front, stack):
    """The second refusal is not of the coding."""
    peer = Peer(OLD["415"])
    client = stack.enter_context(front.client(stack.enter_context(listening(peer)), peer=WORKER, compress="gzip"))
    with pytest.raises(PeerRefused):
        client.request("echo", {"text": TEXT})
    assert codings_of(peer.heard) == ["gzip", "identity"]


def test_a_peer_that_names_another_coding(front, stack):
    """It is sent that at once: 1.0 names none in a header, workers of ours that lack one do."""
    peer = Peer(
        http_answer(b"{}", "400 Bad Request", accept_encoding="br"),
        http_answer(b"{}", "415 Unsupported Media Type", accept_encoding="gzip"),
        http_answer(b"{}", "400 Bad Request"),
    )
    client = stack.enter_context(front.client(stack.enter_context(listening(peer)), peer=WORKER, compress=True))
    for _ in range(2):
        with pytest.raises(PeerRefused):
            client.request("echo", {"text": TEXT})
    assert codings_of(peer.heard) == ["identity", "br", "gzip"]


@pytest.mark.parametrize(("over", "coding"), [(0, "identity"), (1, "gzip")], ids=["at the limit", "one over"])
def test_the_smallest_body_that_is_compressed(front, stack, over, coding):
    """One byte more than `Limits.compress_bytes`."""
    peer = Peer(http_answer(b"{}", "400 Bad Request"))
    url = stack.enter_context(listening(peer))
    with front.client(url, peer=WORKER, compress="gzip") as client, pytest.raises(PeerRefused):
        client.request("echo", {"text": ""})
    size = len(peer.heard[0].partition(b"\r\n\r\n")[2])
    limits = Limits(compress_bytes=size + 1000 - over)
    with front.client(url, peer=WORKER, compress="gzip", limits=limits) as client, pytest.raises(PeerRefused):
        client.request("echo", {"text": "x" * 1000})
    assert codings_of(peer.heard) == ["identity", coding]
    if over:
        assert len(zlib.decompress(peer.heard[1].partition(b"\r\n\r\n")[2], wbits=31)) == size + 1000

"""Large bodies compressed, on both sides, told by hand and over a link."""

import gzip
import json
import math

import pytest

from asap_proto.errors import MalformedJson, MalformedReply, PeerRefused
from asap_proto.http import HttpResponse, RequestHead, TransportFailure
from asap_proto.limits import INFLATE_FREE, INFLATE_RATIO, Limits
from asap_proto.roles import ClientRole, Compress, OpenStream, Pause, ReadStream, ServerRole, Transmit
from asap_proto.roles.compressing import compressed_response
from asap_proto.rules.breaker import Breaker
from asap_proto.rules.compression import Agreement
from asap_proto.rules.forwarding import parse_proxies
from asap_proto.wire.json import dump
from asap_proto.wire.manifests import dump_manifest
from asap_testkit import ME, asks, echo_manifest, finish, fixed_sources, letter, link, request_frame, told

LARGE = {"conversation_id": "c", "skill_id": "echo", "input": {"message": "hello there " * 300}}
MANIFEST = "/.well-known/asap/manifest.json"
CODINGS = ("zstd", "br", "gzip")
SERVER = {"compresses": ("gzip",), "encodings": ("gzip",)}


def large(**fields):
    return letter(LARGE, payload_type="task.request", **fields)


def client(agreement=Agreement(CODINGS), **options):  # noqa: B008  (frozen)
    return ClientRole(ME, fixed_sources(), agreement=agreement, **options)


def head(path="/asap", method="POST", peer="192.0.2.1", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return RequestHead(method, path, {"content-type": "application/json"} | named, peer)


def admitted(server=None, **options):
    return told((server or ServerRole(echo_manifest(), fixed_sources(), **SERVER)).admit(head(**options)))


def unparsed(**headers):
    """What a release before 1.0 says to a body that it can't read."""
    return HttpResponse(200, headers, dump({"jsonrpc": "2.0", "error": {"code": -32700, "message": "x"}, "id": None}))


# -- answers ---------------------------------------------------------------------------------------------------------


def test_a_large_answer_is_compressed_for_whoever_takes_that():
    """And says of itself that another caller may be answered otherwise; what goes in is what comes out."""
    wire = link(server=SERVER)
    frame = request_frame(payload=LARGE, id="a")
    packed = wire.post(frame, accept_encoding="br, gzip;q=0.5")
    assert (packed.headers["content-encoding"], packed.headers["vary"]) == ("gzip", "accept-encoding")
    answer = json.loads(gzip.decompress(packed.body))
    assert answer["result"]["envelope"]["payload"]["result"]["echoed"] == LARGE["input"]
    assert len(packed.body) < len(frame["params"]["envelope"]["payload"]["input"]["message"])


@pytest.mark.parametrize("accepts", [{}, {"accept_encoding": "br"}, {"accept_encoding": "gzip;q=0"}])
def test_a_large_answer_for_whoever_does_not_take_that(accepts):
    """It is sent as it is, and says that it might have been otherwise."""
    plain = link(server=SERVER).post(request_frame(payload=LARGE), **accepts)
    assert ("content-encoding" in plain.headers, plain.headers["vary"]) == (False, "accept-encoding")
    assert json.loads(plain.body)["result"]


def test_a_small_answer_is_sent_as_it_is():
    """And varies with nothing; it says what may be sent to us."""
    small = link(server=SERVER).post(request_frame(), accept_encoding="gzip")
    assert small.headers == {"content-type": "application/json", "accept-encoding": "gzip"}
    both = link(server=SERVER | {"encodings": ("gzip", "br")}).post(request_frame(), accept_encoding="gzip")
    assert both.headers["accept-encoding"] == "gzip, br"


def test_where_it_is_off_nothing_is_said_of_it():
    """No header, no command: the answer is what it always was."""
    plain = link().post(request_frame(payload=LARGE), accept_encoding="gzip")
    assert plain.headers == {"content-type": "application/json"}


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", ""])
def test_callers_on_this_machine_are_answered_as_it_is(peer):
    """Behind a Unix socket too; unless it is said that they are not."""
    assert admitted(peer=peer, accept_encoding="gzip").coding is None
    forced = ServerRole(echo_manifest(), fixed_sources(), **SERVER, compresses_locally=True)
    assert admitted(forced, peer=peer, accept_encoding="gzip").coding == "gzip"
    assert admitted(peer="192.0.2.1", accept_encoding="gzip").coding == "gzip"


@pytest.mark.parametrize(("told_of", "coding"), [("192.0.2.7", "gzip"), ("127.0.0.1", None)])
def test_callers_behind_a_proxy_on_this_machine(told_of, coding):
    """Where it is named, it is the caller's own address that counts."""
    server = ServerRole(echo_manifest(), fixed_sources(), **SERVER, proxies=parse_proxies(["127.0.0.1"]))
    assert admitted(server, peer="127.0.0.1", x_forwarded_for=told_of, accept_encoding="gzip").coding == coding


def test_a_stream_is_never_compressed():
    """Its events are read as they come."""
    assert admitted(path="/asap/stream", accept_encoding="gzip").coding is None


def test_versions_are_agreed_beside_it():
    """Both stand in the headers of the answer."""
    assert admitted(asap_version="2.2").headers == {
        "content-type": "application/json",
        "asap-version": "2.2",
        "accept-encoding": "gzip",
    }


def test_an_unknown_coding_is_refused_with_what_is_known():
    """As RFC 9110 section 15.5.16 has it, wherever the caller is."""
    for peer in ("192.0.2.1", "127.0.0.1"):
        steps = ServerRole(echo_manifest(), fixed_sources(), **SERVER).admit(head(content_encoding="br", peer=peer))
        asks(steps)
        response = finish(steps)
        assert (response.status, response.headers["accept-encoding"]) == (415, "gzip")


def test_what_does_not_shrink_is_sent_as_it_is():
    """The time is lost, the bytes are not."""
    server = ServerRole(echo_manifest(), fixed_sources(), **SERVER, limits=Limits(compress_bytes=100))
    wire = link()
    story = server.receive(admitted(server, accept_encoding="gzip"), json.dumps(request_frame()).encode())
    command = wire.reach(story, Compress)
    size = len(command.body)
    assert (command.coding, command.apart) == ("gzip", False)
    response = finish(story, bytes(size))
    assert (response.body, "content-encoding" in response.headers) == (command.body, False)


@pytest.mark.parametrize(("fewer", "coded"), [(0, True), (1, False)])
def test_what_shrinks_too_much_is_sent_as_it_is(fewer, coded):
    """Whoever inflates it would take it for a bomb, as we do."""
    server = ServerRole(echo_manifest(), fixed_sources(), **SERVER)
    payload = {**LARGE, "input": {"message": "x" * INFLATE_FREE}}
    body = json.dumps(request_frame(payload=payload)).encode()
    story = server.receive(admitted(server, accept_encoding="gzip"), body)
    size = len(link().reach(story, Compress).body)
    assert ("content-encoding" in finish(story, bytes(math.ceil(size / INFLATE_RATIO) - fewer)).headers) is coded


def test_a_small_body_never_shrinks_too_much():
    """However little is left of it, it is no bomb."""
    server = ServerRole(echo_manifest(), fixed_sources(), **SERVER)
    body = json.dumps(request_frame(payload=LARGE)).encode()
    story = server.receive(admitted(server, accept_encoding="gzip"), body)
    link().reach(story, Compress)
    assert finish(story, b"p").body == b"p"


def test_a_body_that_may_shrink_to_anything():
    """Up to the size that whoever inflates it looks at no ratio for; whatever its status."""
    steps = compressed_response(HttpResponse(201, {"x": "y"}, bytes(INFLATE_FREE)), "gzip", Limits())
    asks(steps)
    headers = {"x": "y", "vary": "accept-encoding", "content-encoding": "gzip"}
    assert finish(steps, b"p") == HttpResponse(201, headers, b"p")


# -- what is published -----------------------------------------------------------------------------------------------


def published(**options):
    return link(manifest=echo_manifest(skills=tuple(f"skill_{n}" for n in range(100))), server={**SERVER, **options})


def test_a_manifest_is_compressed_once():
    """Whoever asks again is answered from what is kept."""
    wire = published()
    first = wire.get(MANIFEST, accept_encoding="gzip")
    count = wire.commands
    assert wire.get(MANIFEST, accept_encoding="gzip") is first
    assert wire.commands == count
    plain = wire.get(MANIFEST)
    assert gzip.decompress(first.body) == plain.body
    assert [one.headers.get("content-encoding") for one in (first, plain)] == ["gzip", None]
    assert {one.headers["vary"] for one in (first, plain)} == {"accept-encoding"}


def test_one_weak_tag_stands_for_a_manifest_in_each_coding():
    """Whoever has it in one is told that it has it, and by which header another may differ."""
    wire = published()
    tag = wire.get(MANIFEST, accept_encoding="gzip").headers["etag"]
    assert tag == wire.get(MANIFEST).headers["etag"]
    assert tag.startswith('W/"')
    for accepts in ({"accept_encoding": "gzip"}, {}):
        for held in (tag, tag.removeprefix("W/")):
            answer = wire.get(MANIFEST, if_none_match=held, **accepts)
            assert (answer.status, answer.headers["etag"], answer.body) == (304, tag, b"")
            assert answer.headers["vary"] == "accept-encoding"


def test_a_head_request_is_told_the_size_that_it_would_get():
    """Compressed or not."""
    wire = published()
    whole = wire.get(MANIFEST, accept_encoding="gzip")
    told_of = wire.get(MANIFEST, method="HEAD", accept_encoding="gzip")
    assert told_of.headers == {**whole.headers, "content-length": str(len(whole.body))}
    assert told_of.body == b""


def test_a_small_manifest_keeps_its_strong_tag():
    """It has one form alone."""
    size = len(dump_manifest(echo_manifest()))
    for limits in (Limits(), Limits(compress_bytes=size)):
        answer = link(server=SERVER, limits=limits).get(MANIFEST, accept_encoding="gzip")
        assert answer.headers["etag"].startswith('"')
        assert "vary" not in answer.headers
        assert answer.headers["accept-encoding"] == "gzip"
    answer = link(server=SERVER, limits=Limits(compress_bytes=size - 1)).get(MANIFEST, accept_encoding="gzip")
    assert answer.headers["etag"].startswith('W/"')


def test_other_pages_are_compressed_too():
    """Each time anew, as they are new each time."""
    server = ServerRole(echo_manifest(), fixed_sources(), **SERVER)
    for counted in (b"asap_up 1\n" * 1000, b"asap_up 2\n" * 1000):
        steps = server.admit(head("/asap/metrics", "GET", accept_encoding="gzip"))
        asks(steps)
        command = asks(steps, HttpResponse(200, {}, counted))
        assert command == Compress(counted, "gzip", False)
        assert finish(steps, b"packed").body == b"packed"


# -- requests --------------------------------------------------------------------------------------------------------


def sent(wire):
    return [request.headers.get("content-encoding") for request in wire.sent]


def test_a_peer_that_says_what_it_takes_is_sent_that_from_then_on():
    """The first request is sent as it is; the manifest says it as well, and the head of a stream."""
    wire = link(server=SERVER, client={"agreement": Agreement(CODINGS)})
    for number in range(2):
        wire.run(wire.client.send(large(id=f"letter-{number}")))
    assert sent(wire) == [None, "gzip"]
    wire = link(server=SERVER, client={"agreement": Agreement(CODINGS)})
    wire.run(wire.client.discover())
    wire.run(wire.client.send(large()))
    assert sent(wire) == [None, "gzip"]
    assert len(wire.ran) == 1
    wire = link(server=SERVER, client={"agreement": Agreement(CODINGS)})
    for number in range(2):
        wire.run(wire.client.stream(large(id=f"letter-{number}")))
    assert sent(wire) == [None, "gzip"]


def test_a_peer_that_says_nothing_is_never_sent_any():
    """One of ours that is told not to compress, as one of an old release."""
    wire = link(client={"agreement": Agreement(CODINGS)})
    for number in range(2):
        wire.run(wire.client.send(large(id=f"letter-{number}")))
    assert sent(wire) == [None, None]


def test_a_client_without_an_agreement_compresses_nothing():
    """Whatever its peer takes, and whatever it refuses."""
    wire = link(server=SERVER)
    for number in range(2):
        wire.run(wire.client.send(large(id=f"letter-{number}")))
    assert sent(wire) == [None, None]


@pytest.mark.parametrize(("fewer", "kind"), [(0, Transmit), (1, Compress)])
def test_small_requests_are_sent_as_they_are(fewer, kind):
    """Whatever was agreed: up to the limit, and to the byte."""
    size = len(asks(client().send(large())).request.body)
    role = client(Agreement(("gzip",), "gzip"), limits=Limits(compress_bytes=size - fewer))
    assert isinstance(asks(role.send(large())), kind)


def test_a_request_that_does_not_shrink_is_sent_as_it_is():
    """The time is lost, the bytes are not."""
    steps = client(Agreement(("gzip",), "gzip")).send(large())
    command = asks(steps)
    assert isinstance(command, Compress)
    request = asks(steps, command.body).request
    assert ("content-encoding" in request.headers, request.body) == (False, command.body)


def test_what_is_signed_is_what_is_sent():
    """The signature covers the body in its coding, and says so."""
    seen = []

    def sign(request, now, nonce):
        seen.append(request)
        return {"signature": "s"}

    steps = client(Agreement(("gzip",), "gzip"), credentials=sign).send(large())
    asks(steps)
    request = asks(steps, b"packed").request
    assert (request.body, request.headers["content-encoding"], request.headers["signature"]) == (b"packed", "gzip", "s")
    assert (seen[0].body, seen[0].headers["content-encoding"]) == (b"packed", "gzip")


REFUSALS = {
    "415": HttpResponse(415, {}, b'{"detail": "Unsupported Content-Encoding: gzip"}'),
    "-32700": unparsed(),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_peer_that_can_not_undo_it_is_asked_again_at_once(refusal):
    """As the same try: with another nonce, the same key, and for good without a coding."""
    role = client(Agreement(("gzip",), "gzip"), breaker=Breaker(threshold=1))
    steps = role.send(large(), idempotency_key="k")
    asks(steps)
    first = asks(steps, b"packed").request
    again = asks(steps, refusal)
    assert isinstance(again, Transmit)
    assert "content-encoding" not in again.request.headers
    frame = json.loads(again.request.body)
    assert frame["params"]["idempotency_key"] == first.headers["x-idempotency-key"] == "k"
    assert frame["params"]["envelope"]["extensions"]["nonce"] == "nonce-2"
    steps.close()
    assert isinstance(asks(role.send(large())), Transmit)


def test_a_refusal_is_not_counted_as_a_try():
    """All tries are left for what may pass."""
    steps = client(Agreement(("gzip",), "gzip")).send(large())
    asks(steps)
    asks(steps, b"packed")
    asks(steps, REFUSALS["415"])
    refused = TransportFailure("refused", "connection refused")
    for _ in range(2):
        assert isinstance(asks(steps, refused), Pause)
        assert isinstance(asks(steps), Transmit)


def test_a_peer_that_names_others_is_sent_another():
    """Each once: it is not believed for ever."""
    steps = client(Agreement(CODINGS, "zstd")).send(large())
    assert asks(steps).coding == "zstd"
    asks(steps, b"packed")
    assert asks(steps, HttpResponse(415, {"accept-encoding": "br, gzip"})).coding == "br"
    asks(steps, b"packed")
    assert asks(steps, HttpResponse(415, {"accept-encoding": "zstd, gzip"})).coding == "gzip"
    asks(steps, b"packed")
    last = asks(steps, HttpResponse(415, {"accept-encoding": "zstd, br"}))
    assert "content-encoding" not in last.request.headers


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (HttpResponse(415, {"accept-encoding": "gzip"}), PeerRefused),
        (unparsed(**{"accept-encoding": "*"}), MalformedJson),
    ],
)
def test_a_peer_that_says_it_can_undo_it_means_something_else(answer, error):
    """What it refuses is not asked again in another form."""
    steps = client(Agreement(("gzip",), "gzip")).send(large())
    asks(steps)
    asks(steps, b"packed")
    with pytest.raises(error):
        steps.send(answer)


@pytest.mark.parametrize("answer", [HttpResponse(400, {}), HttpResponse(401, {})])
def test_any_other_refusal_is_one(answer):
    """It says nothing of the coding."""
    steps = client(Agreement(("gzip",), "gzip")).send(large())
    asks(steps)
    asks(steps, b"packed")
    with pytest.raises(PeerRefused):
        steps.send(answer)


def test_what_was_sent_as_it_is_and_refused_is_refused():
    """There is no other form to send it in."""
    steps = client().send(large())
    asks(steps)
    with pytest.raises(PeerRefused):
        steps.send(REFUSALS["415"])


def test_a_batch_is_compressed_as_a_whole():
    """Its frames are much alike."""
    wire = link(server=SERVER, client={"agreement": Agreement(("gzip",), "gzip")})
    replies = wire.run(wire.client.send_batch([letter(id=f"letter-{n}") for n in range(20)]))
    assert [reply.correlation_id for reply in replies] == [f"letter-{n}" for n in range(20)]
    assert sent(wire) == ["gzip"]


def test_the_request_of_a_stream_is_compressed():
    """Its answer is not."""
    wire = link(server=SERVER, client={"agreement": Agreement(("gzip",), "gzip")})
    wire.run(wire.client.stream(large()))
    assert sent(wire) == ["gzip"]
    assert wire.delivered[-1].payload.result == {"echoed": LARGE["input"]}


@pytest.mark.parametrize(("coding", "taken"), [("gzip", False), ("identity", True)])
def test_a_stream_that_comes_compressed_is_refused(coding, taken):
    """It was asked for as it is, and nobody inflates it."""
    steps = client().stream(large())
    asks(steps)
    head_of_it = HttpResponse(200, {"content-type": "text/event-stream", "content-encoding": coding})
    if taken:
        assert isinstance(asks(steps, head_of_it), ReadStream)
    else:
        with pytest.raises(MalformedReply, match="compressed"):
            steps.send(head_of_it)


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_the_request_of_a_stream_is_sent_again_as_it_is(refusal):
    """To a peer that can't undo it."""
    steps = client(Agreement(("gzip",), "gzip")).stream(large())
    asks(steps)
    assert asks(steps, b"packed").request.headers["content-encoding"] == "gzip"
    again = asks(steps, refusal)
    assert isinstance(again, OpenStream)
    assert "content-encoding" not in again.request.headers


def test_a_client_says_what_its_answers_may_be():
    """Unless its front does that for it; events are always to come as they are."""
    assert asks(client(encodings=("gzip", "br")).send(letter())).request.headers["accept-encoding"] == "gzip, br"
    assert "accept-encoding" not in asks(client().send(letter())).request.headers
    stream = asks(client(encodings=("gzip",)).stream(letter()))
    assert stream.request.headers["accept-encoding"] == "identity"


def test_what_is_compressed_in_a_thread():
    """More than `Limits.compress_inline_bytes`, on both sides."""
    for size, apart in ((10_000, False), (70_000, True)):
        payload = {**LARGE, "input": {"message": "x" * size}}
        steps = client(Agreement(("gzip",), "gzip")).send(letter(payload, payload_type="task.request"))
        assert asks(steps).apart is apart


def test_a_server_that_undoes_nothing_says_so():
    """Rather than naming nothing."""
    steps = ServerRole(echo_manifest(), fixed_sources(), encodings=()).admit(head(content_encoding="gzip"))
    asks(steps)
    assert finish(steps).headers["accept-encoding"] == "identity"

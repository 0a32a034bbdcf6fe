"""Who calls, by each way there is to say so: the same on every front, over real sockets."""

import base64
import gzip
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from asap_adapters.auth import Basic, BasicLogin, Bearer, BearerToken, known_logins, known_tokens
from asap_adapters.auth.jwks import FetchedKeys
from asap_adapters.auth.jwt import Jwt
from asap_adapters.auth.signatures import SharedKey, Signatures, Signer
from asap_proto import Limits, Misuse, TaskRequest
from asap_proto.errors import SenderMismatch, Unauthenticated, UnsupportedScheme
from asap_proto.http import HttpRequest
from asap_proto.rules.retry import RetryRule
from auth.tokens import ISSUER, made, published

from .fronts import ME, WORKER, post
from .test_bodies import frame

SECRET = bytes(range(32))
SIGNER = Signer("me-1", SECRET)
SIGNATURES = Signatures({"me-1": SharedKey(SECRET, ME)})
BEARER = Bearer(known_tokens({"open sesame": ME}))
BASIC = Basic(known_logins({("me", "open sesame"): ME}))
ONCE = RetryRule(attempts=1)


def agent_of(front, **options):
    """An agent that says who asks."""
    agent = front.agent(**options)

    @agent.skill("whoami")
    def whoami(task):
        return {"caller": task.caller}

    @agent.skill("echo")
    def echo(task):
        return {"length": len(task.input["pad"])}

    return agent


def signed(url, body=None, *, signer=SIGNER, nonce="n", path="/asap", **headers):
    """The headers of a signed request, JSON as all are."""
    named = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    request = HttpRequest("POST", path, named, frame() if body is None else body)
    return {**named, **signer.headers(request, url, now=datetime.now(UTC), nonce=nonce)}


def refused(response):
    """Whether it is the refusal of a caller."""
    return response.json().get("error", {}).get("data", {}).get("status_code") == 401


class Issuer:
    """Publishes keys on this machine, and counts who asks."""

    def __init__(self, *names):
        self.document, self.asked, self.status, self.seconds = published(*names), 0, 200, 0.0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked += 1
                time.sleep(issuer.seconds)
                body = json.dumps(issuer.document).encode()
                self.send_response(issuer.status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                with suppress(ConnectionError):  # whoever asked has waited for long enough
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys?tenant=a"

    @contextmanager
    def serving(self) -> Iterator["Issuer"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer("ed-1").serving() as serving:
        yield serving


def token(name="ed-1", **changes):
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": WORKER, "sub": ME, "exp": now + 60, "iat": now} | changes
    return made(claims, name, "Ed25519")


def jwt(issuer):
    return Jwt(FetchedKeys(issuer.url), issuer=ISSUER, audience=WORKER)


@pytest.fixture(scope="module")
def guarded(front):
    """The URL of an agent that takes what each scheme takes, but JWTs."""
    with front.serving(agent_of(front, auth=[SIGNATURES, BEARER, BASIC])) as url:
        yield url


@pytest.fixture(scope="module")
def http(guarded):
    with httpx.Client(base_url=guarded, trust_env=False) as client:
        yield client


@pytest.mark.parametrize("auth", [SIGNER, BearerToken("open sesame"), BasicLogin("me", "open sesame")], ids=repr)
def test_each_scheme_lets_in_whom_it_knows(front, guarded, auth):
    """What our client shows, our agent takes: for requests, batches, streams and what is asked of a task."""
    with front.client(guarded, auth=auth) as client:
        assert client.request("whoami", {}).result == {"caller": ME}
        letters = [client.role.compose(WORKER, TaskRequest("c", "whoami", {})) for _ in range(3)]
        assert [reply.payload.result for reply in client.send_batch(letters)] == [{"caller": ME}] * 3
        with client.stream("whoami", {}) as payloads:
            *_, last = payloads
        assert last.result == {"caller": ME}
        task = client.submit("whoami", {})
        assert client.wait(task.task_id, every=0.01).result == {"caller": ME}


@pytest.mark.parametrize(
    "auth",
    [
        None,
        Signer("me-1", bytes(32)),
        Signer("me-2", SECRET),
        BearerToken("open barley"),
        BasicLogin("me", "open barley"),
        BasicLogin("you", "open sesame"),
    ],
    ids=repr,
)
def test_nobody_else_is_let_in(front, guarded, auth):
    """Whatever is shown."""
    with front.client(guarded, auth=auth) as client, pytest.raises(Unauthenticated):
        client.request("whoami", {})


def test_who_has_signed_speaks_for_itself_alone(front, guarded):
    """As whoever else is known."""
    with front.client(guarded, me="urn:asap:agent:thief", auth=SIGNER) as client, pytest.raises(SenderMismatch):
        client.request("whoami", {})


def test_all_challenges_are_named(http):
    """Once each, in the order of the schemes; the manifest names those alone that old peers know."""
    response = post(http, frame())
    assert refused(response)
    assert response.headers["www-authenticate"] == f"{SIGNATURES.challenge}, Bearer, {BASIC.challenge}"
    manifest = http.get("/.well-known/asap/manifest.json").json()
    assert manifest["auth"]["schemes"] == ["bearer", "basic"]


def test_a_signed_request_counts_once(guarded, http):
    """The same bytes again are a replay, whichever path they come by."""
    headers = signed(guarded, nonce="once")
    assert "result" in post(http, frame(), headers=headers).json()
    for _ in range(2):
        response = post(http, frame(), headers=headers)
        assert refused(response)
        assert response.json()["error"]["data"]["error"] == "this signature was used before"
        assert "www-authenticate" in response.headers
    stream = signed(guarded, nonce="once", path="/asap/stream")
    assert refused(http.post("/asap/stream", content=frame(), headers=stream))


def test_one_of_many_replays_wins(guarded, http):
    """However close together they come."""
    headers = signed(guarded, nonce="many")

    def send(_):
        return "result" in post(http, frame(), headers=headers).json()

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(send, range(16))) == 1


def test_another_body_than_was_signed(guarded, http, caplog):
    """Is not let in, nor does it use up the nonce of the right one; the log says whose signature it came with."""
    headers = signed(guarded, nonce="body")
    for body in (frame(400), b"", frame()[:-1], b"{"):
        assert refused(post(http, body, headers=headers))
    assert caplog.text.count(f"the body is not the one that was signed (caller={ME})") == 4
    assert "result" in post(http, frame(), headers=headers).json()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_signed_body_may_be_packed(guarded, http, chunked):
    """Its digest is that of the body as sent, however it comes in pieces."""
    packed = gzip.compress(frame(5000))
    headers = signed(guarded, packed, nonce=f"packed {chunked}", content_encoding="gzip")
    body = (packed[start : start + 7] for start in range(0, len(packed), 7)) if chunked else packed
    response = http.post("/asap", content=body, headers=headers)
    assert response.json()["result"]["envelope"]["payload"]["result"]["length"] > 0
    again = signed(guarded, frame(5000), nonce=f"unpacked {chunked}", content_encoding="gzip")
    assert refused(post(http, packed, headers=again))


def test_headers_of_a_signature_that_come_twice(guarded, http):
    """They are joined, as lists are: what a gateway has added does no harm, and two signatures of ours are none."""
    headers = list(signed(guarded, nonce="twice").items())
    more = [("signature-input", 'gateway=("@method");created=1;tag="gateway"'), ("signature", "gateway=:AAAA:")]
    assert "result" in post(http, frame(), headers=[*headers, *more]).json()
    both = [*headers, *((f"{name}", value.replace("asap=", "b=", 1)) for name, value in headers if "signature" in name)]
    assert refused(post(http, frame(), headers=both))


def test_a_retry_signs_anew(front):
    """A try again is no replay, and its work is done once."""
    ran, agent = [], front.agent(auth=[SIGNATURES], limits=Limits(request_bytes=100_000))

    @agent.skill("slow")
    def slow(task):
        ran.append(task.input)
        yield front.pause(0.5)
        return {"ran": len(ran)}

    with front.serving(agent) as url, front.client(url, auth=SIGNER, timeout=0.25) as client:
        assert client.request("slow", {}).result == {"ran": 1}


def test_an_agent_that_takes_signatures_alone(front):
    """It asks for one, and its manifest names no scheme: old peers refuse one that names another than theirs."""
    with front.serving(agent_of(front, auth=[SIGNATURES])) as url:
        with front.client(url) as nobody:
            assert nobody.manifest().auth is None
            with pytest.raises(Unauthenticated):
                nobody.request("whoami", {})
        with front.client(url, auth=SIGNER) as client:
            assert client.request("whoami", {}).result == {"caller": ME}


def test_the_keys_of_an_issuer_are_fetched_once(front, issuer):
    """However many ask at the same time, and though some ask with keys that nobody knows."""
    issuer.seconds = 0.1
    with front.serving(agent_of(front, auth=[jwt(issuer)])) as url, httpx.Client(base_url=url) as http:

        def send(bearer):
            return post(http, frame(), headers={"authorization": f"Bearer {bearer}"})

        tokens = [token(), token("ed-2")] * 4
        with ThreadPoolExecutor(8) as threads:
            assert [refused(answer) for answer in threads.map(send, tokens)] == [False, True] * 4
        assert refused(send("no token"))
        assert refused(send(token(exp=1)))
        assert refused(send(token(aud="urn:asap:agent:other")))
    assert issuer.asked == 1


@pytest.mark.parametrize(
    ("status", "document"), [(500, {}), (301, {}), (200, []), (200, {"keys": []})], ids=["500", "301", "list", "none"]
)
def test_keys_that_can_not_be_had(front, issuer, status, document):
    """Let nobody in by a JWT; a scheme after it is asked all the same, and the agent goes on."""
    issuer.status, issuer.document = status, document
    agent = agent_of(front, auth=[jwt(issuer), BEARER])
    with front.serving(agent) as url:
        with front.client(url, token=token()) as client, pytest.raises(Unauthenticated):
            client.request("whoami", {})
        with front.client(url, token="open sesame") as client:
            assert client.request("whoami", {}).result == {"caller": ME}
    assert issuer.asked == 1


def test_an_issuer_that_does_not_answer(front, issuer):
    """Holds nobody for longer than `Limits.auth_seconds`."""
    issuer.seconds = 1.0
    agent = agent_of(front, auth=[jwt(issuer)], limits=Limits(auth_seconds=0.1))
    with front.serving(agent) as url, front.client(url, token=token(), retry=ONCE) as client:
        client.manifest()
        began = time.monotonic()
        with pytest.raises(Unauthenticated):
            client.request("whoami", {})
        assert time.monotonic() - began < 0.9


def test_a_scheme_that_fails_is_passed_over(front, caplog):
    """It lets nobody in, the log has why, and another is asked."""

    def fail(secret):
        raise OSError(f"no directory for {secret}")

    agent = agent_of(front, auth=[Bearer(fail), BEARER, Basic(lambda user, password: fail(password))])
    with front.serving(agent) as url:
        with front.client(url, token="open sesame") as client:
            assert client.request("whoami", {}).result == {"caller": ME}
        with front.client(url, auth=BasicLogin("me", "hunter2hunter2")) as client, pytest.raises(Unauthenticated):
            client.request("whoami", {})
    assert "the validator failed (bearer)" in caplog.text
    assert "the validator failed (basic)" in caplog.text
    assert "open sesame" not in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("strict", [False, True])
def test_strict_http(front, strict):
    """Refusals have the status that HTTP has for them; our client hears the same either way."""
    with front.serving(agent_of(front, auth=[BEARER], strict_http=strict)) as url, httpx.Client(base_url=url) as http:
        mine = {"authorization": "Bearer open sesame"}
        nobody = post(http, frame())
        assert nobody.headers["www-authenticate"] == "Bearer"
        impostor = post(http, frame().replace(b"urn:asap:agent:me", b"urn:asap:agent:it"), headers=mine)
        malformed = post(http, b"{", headers=mine)
        found = [response.status_code for response in (nobody, impostor, malformed, post(http, frame(), headers=mine))]
        assert found == ([401, 403, 400, 200] if strict else [200] * 4)
        assert post(http, b"[" + frame().replace(b"asap.send", b"other") + b"]", headers=mine).status_code == 200
        with front.client(url) as client, pytest.raises(Unauthenticated):
            client.request("whoami", {})


def test_a_peer_that_asks_for_a_signature(front):
    """An agent shows its peers what they ask for."""
    with front.serving(agent_of(front, auth=[SIGNATURES])) as url:
        middle = front.agent(ME, peers={WORKER: url}, credentials={WORKER: SIGNER})

        @middle.skill("ask")
        def ask(task):
            reply = yield task.delegate(WORKER, "whoami", {})
            return reply.result

        with front.serving(middle) as door, front.client(door, me="urn:asap:agent:guest") as client:
            assert client.request("ask", {}).result == {"caller": ME}
        front.close(middle)


class Odd:
    """An authenticator of one's own."""

    challenge = "Negotiate"

    def __init__(self, scheme):
        self.scheme = scheme

    def verify(self, head, now):
        return {"yes": ME, "odd": 5}.get(head.headers.get("x-known"))


def test_schemes_are_compared_in_any_case(front):
    """One of one's own may be written as it likes; what it answers is checked as a validator's answer is."""
    with front.serving(agent_of(front, auth=[Odd("BEARER")])) as url, httpx.Client(base_url=url) as http:
        assert http.get("/.well-known/asap/manifest.json").json()["auth"]["schemes"] == ["bearer"]
        assert "result" in post(http, frame(), headers={"x-known": "yes"}).json()
        assert refused(post(http, frame(), headers={"x-known": "odd"}))
        assert refused(post(http, frame()))


def test_what_can_not_be_served_is_refused_when_the_agent_is_built(front):
    """A scheme that nobody serves, a nonce that is forgotten too soon, two ways to speak to one peer."""
    with pytest.raises(UnsupportedScheme, match="negotiate"):
        front.agent(auth=[Odd("negotiate")])
    with pytest.raises(Misuse, match="nonce_seconds"):
        front.agent(auth=[SIGNATURES], nonces="ignore", limits=Limits(nonce_seconds=330))
    with pytest.raises(Misuse, match="nonce_seconds"):
        front.agent(limits=Limits(nonce_seconds=330))
    front.agent(nonces="ignore", limits=Limits(nonce_seconds=330))
    front.agent(limits=Limits(nonce_seconds=331))
    with pytest.raises(Misuse, match="give one of them"):
        front.agent(tokens={WORKER: "t"}, credentials={WORKER: SIGNER})
    with pytest.raises(Misuse, match="give one of them"), front.client("http://127.0.0.1:1", token="t", auth=SIGNER):
        pass

    async def wait(token):
        return ME

    for options in ({"auth": [Bearer(wait)]}, {"token_validator": wait}):
        if front.name == "sync":
            with pytest.raises(Misuse, match="async"):
                front.agent(**options)
        else:
            with front.serving(agent_of(front, **options)) as url, front.client(url, token="t") as client:
                assert client.request("whoami", {}).result == {"caller": ME}


def test_guesses_cost_quota(front):
    """Whichever scheme they are for; who has spent all is not even listened to."""
    agent = agent_of(front, auth=[SIGNATURES, BASIC], quota="3/hour")
    with front.serving(agent) as url, httpx.Client(base_url=url) as http:
        guess = {"authorization": f"Basic {base64.b64encode(b'me:guess').decode()}"}
        assert refused(post(http, frame(), headers=guess))
        assert refused(post(http, frame(), headers=signed(url, signer=Signer("me-1", bytes(32)))))
        assert refused(post(http, frame()))
        assert post(http, frame(), headers=signed(url)).status_code == 429

"""What is said of a request before its body is read."""

import json
from urllib.parse import urljoin

import pytest

from asap_proto.errors import CATALOGUE, MalformedJson, Overloaded, TaskNotFound, Unauthenticated
from asap_proto.http import HttpResponse, RequestHead
from asap_proto.limits import Limits
from asap_proto.model import AuthScheme
from asap_proto.roles import (
    Admitted,
    Authenticate,
    Handled,
    Observe,
    ReadMetrics,
    ReadState,
    ServerRole,
    ServerState,
    Spend,
    Together,
)
from asap_proto.roles.admission import refusal
from asap_proto.rules.identity import Identity
from asap_proto.rules.quota import Allowed, RetryAfter
from asap_testkit import CALLER, ME, NOW, PEER, asks, echo_manifest, finish, fixed_sources, told

MANIFEST = "/.well-known/asap/manifest.json"


def role(*, auth=None, **options):
    return ServerRole(echo_manifest(auth=auth and AuthScheme(auth)), fixed_sources(), **options)


def head(path="/asap", method="POST", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return RequestHead(method, path, {"content-type": "application/json"} | named, "192.0.2.1", len(named))


def refused(steps, *answers):
    """The answer to a request that is refused, and that it was counted."""
    command = asks(steps)
    for answer in answers:
        command = asks(steps, answer)
    assert isinstance(command, Observe)
    response = finish(steps)
    assert command.event == Handled("other", command.event.code, 0.0, command.event.note)
    assert CATALOGUE[command.event.code].kind.http_status == response.status
    if response.body:  # whatever it says: a sentence for people is there
        document = json.loads(response.body)
        assert document.get("detail") or document["error"]["data"]["error"]
    return response


def data_of(response):
    data = json.loads(response.body)["error"]["data"]
    assert data["error"]  # whatever it says: a sentence for people is there
    return data


@pytest.mark.proves("http.endpoint")
def test_a_plain_request_is_admitted():
    """Its body is worth reading, up to the limit."""
    assert told(role().admit(head())) == Admitted(
        "identity", 10 * 1024 * 1024, None, "192.0.2.1", {"content-type": "application/json"}
    )


@pytest.mark.proves("http.content-type")
@pytest.mark.parametrize("value", ["text/plain", "", "application/x-www-form-urlencoded"])
def test_a_body_that_is_not_said_to_be_json(value):
    """It is not read: a page can send it from a form, and its browser asks nobody."""
    response = refused(role().admit(head(content_type=value)))
    assert (response.status, data_of(response)["code"]) == (415, "asap:transport/unsupported_media_type")


def test_what_the_caller_would_take_is_not_looked_at():
    """The answer is JSON, whatever Accept says."""
    assert isinstance(told(role().admit(head(accept="text/html"))), Admitted)


@pytest.mark.proves("http.framing")
@pytest.mark.parametrize(
    "headers",
    [
        {"transfer_encoding": "gzip, chunked"},
        {"transfer_encoding": "chunked, chunked"},
        {"transfer_encoding": "\x0bchunked"},
        {"transfer_encoding": "Xchunked"},
        {"transfer_encoding": ""},
        {"transfer_encoding": "chunked", "content_length": "5"},
        {"content_length": "5, 5"},
        {"content_length": "+5"},
        {"content_length": "\xb2"},
        {"content_length": ""},
    ],
)
def test_a_body_whose_end_is_in_doubt(headers):
    """It is refused on every path, and the connection is not used again."""
    for path in ("/asap", "/asap/stream", "/nope"):
        response = refused(role().admit(head(path, **headers)))
        assert (response.status, response.headers["connection"]) == (400, "close")


@pytest.mark.parametrize("coding", ["chunked", "CHUNKED", "\tchunked "])
def test_a_body_in_chunks(coding):
    """It is let in."""
    assert isinstance(told(role().admit(head(transfer_encoding=coding))), Admitted)


@pytest.mark.proves("http.host")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"host": "localhost:8000"}, None),
        ({"host": "evil.example"}, 421),
        ({"host": "localhost", "origin": "http://localhost"}, None),
        ({"host": "localhost", "origin": "http://evil.example"}, 403),
    ],
)
def test_the_names_of_the_agent(headers, status):
    """An agent with names is asked by these, and by pages of these, on every path; one without by any."""
    assert isinstance(told(role().admit(head(**headers))), Admitted)
    named = role(hosts=["localhost"])
    if status is None:
        assert isinstance(told(named.admit(head(**headers))), Admitted)
        assert told(named.admit(head("/health", "GET", **headers))).status == 200
        return
    assert refused(named.admit(head(**headers))).status == status
    response = refused(named.admit(head("/health", "GET", **headers)))
    assert (response.status, json.loads(response.body).keys()) == (status, {"detail"})


@pytest.mark.proves("http.routes")
@pytest.mark.parametrize(
    ("path", "method", "status", "allow"),
    [
        ("/asap", "GET", 405, "POST"),
        ("/asap", "HEAD", 405, "POST"),
        ("/health", "POST", 405, "GET, HEAD"),
        (MANIFEST, "PUT", 405, "GET, HEAD"),
        ("/nope", "GET", 404, None),
        ("/nope", "HEAD", 404, None),
        ("", "POST", 404, None),
        ("/ASAP", "POST", 404, None),
        ("/asap/x", "POST", 404, None),
    ],
)
def test_other_paths_and_methods(path, method, status, allow):
    """404 and 405 as plain JSON, with the methods that there are; HEAD has no body, whatever is wrong."""
    response = refused(role().admit(head(path, method)))
    assert response.status == status
    assert response.headers.get("allow") == allow
    words = {404: "Not Found", 405: "Method Not Allowed"}[status]
    assert response.body == (b"" if method == "HEAD" else json.dumps({"detail": words}, separators=(",", ":")).encode())


@pytest.mark.proves("manifest.signed")
def test_an_agent_that_signs_has_a_second_document():
    """At a path of its own, with a tag of its own; without one there is no such path."""
    path = "/.well-known/asap/manifest.signed.json"
    assert refused(role().admit(head(path, "GET"))).status == 404
    signing = role(enclosed=b'{"signed":true}')
    response = told(signing.admit(head(path, "GET")))
    assert (response.status, response.body) == (200, b'{"signed":true}')
    tag = response.headers["etag"]
    assert told(signing.admit(head(path, "GET", if_none_match=tag))).status == 304
    assert told(signing.admit(head(MANIFEST, "GET", if_none_match=tag))).status == 200


@pytest.mark.proves("http.trailing-slash")
def test_a_trailing_slash_is_sent_on():
    """To the endpoint, wherever that is mounted; method and body are kept."""
    response = told(role().admit(head("/asap/")))
    assert response == HttpResponse(307, {"location": "../asap"})
    assert (
        urljoin("https://example.org/mounted/asap/", response.headers["location"]) == "https://example.org/mounted/asap"
    )


@pytest.mark.proves("http.body-limit")
def test_a_body_known_to_be_too_large_is_never_read():
    """On every path; at the endpoint as JSON-RPC."""
    response = refused(role(limits=Limits(request_bytes=5)).admit(head(content_length="6")))
    assert (response.status, data_of(response)["code"]) == (413, "asap:transport/too_large")
    response = refused(role(limits=Limits(request_bytes=5)).admit(head("/nope", content_length="6")))
    assert (response.status, json.loads(response.body)) == (413, {"detail": "the request has more than 5 bytes"})


@pytest.mark.proves("http.encoding")
@pytest.mark.parametrize(
    ("value", "encoding"),
    [
        ("gzip", "gzip"),
        (" GZIP ", "gzip"),
        ("identity", "identity"),
        ("", "identity"),
        ("br", None),
        ("gzip, br", None),
        ("x-gzip", None),
    ],
)
def test_encodings(value, encoding):
    """One token, in any case, of those that the front can undo."""
    steps = role().admit(head(content_encoding=value))
    if encoding is None:
        response = refused(steps)
        assert (response.status, data_of(response)["code"]) == (415, "asap:transport/unsupported_encoding")
    else:
        assert told(steps).encoding == encoding


@pytest.mark.proves("http.version-header")
@pytest.mark.parametrize(
    ("offered", "agreed"),
    [("2.2", "2.2"), ("2.1", "2.1"), ("2.1, 2.2", "2.2"), ("9.9,2.1", "2.1"), (" " * 252 + ",2.2", "2.2")],
)
def test_versions_are_agreed_on(offered, agreed):
    """The newest that both speak stands in the answer."""
    assert told(role().admit(head(asap_version=offered))).headers["asap-version"] == agreed


@pytest.mark.proves("http.version-header")
@pytest.mark.parametrize("offered", ["9.9", ",", "2.2x", "x" * 100_000, " " * 253 + ",2.2", "\udcff"])
def test_no_version_in_common(offered):
    """The answer names ours, and repeats nothing of theirs."""
    response = refused(role().admit(head(asap_version=offered)))
    assert json.loads(response.body)["error"]["code"] == -32000
    assert data_of(response)["details"] == {"supported": ["2.2", "2.1"]}


@pytest.mark.proves("http.version-header")
def test_who_offers_no_version_gets_none():
    """Old peers send no header and are sent none."""
    assert "asap-version" not in told(role().admit(head())).headers


@pytest.mark.proves("auth.required", "auth.shape")
@pytest.mark.parametrize("value", [None, "", "Bearer", "Bearer ", "Basic abc", "abc", "Bearerabc"])
def test_callers_say_who_they_are(value):
    """Without usable credentials the answer says so as every release does, and with a challenge."""
    steps = role(auth=("bearer",)).admit(head(**({} if value is None else {"authorization": value})))
    response = refused(steps, None)
    assert response.status == 200
    assert response.headers["www-authenticate"] == "Bearer"
    error = json.loads(response.body)["error"]
    assert (error["code"], error["data"]["status_code"]) == (-32600, 401)


def test_who_is_not_let_in_is_noted():
    """For the log: from where, and not with which credentials; other refusals are not."""
    for headers, words in (
        ({"authorization": "Bearer secret"}, "these credentials are not valid"),
        ({"signature_input": "secret"}, "these credentials are not valid"),
        ({}, "authentication is required"),
    ):
        steps = role(auth=("bearer",)).admit(head(**headers))
        assert isinstance(asks(steps), Authenticate)
        assert asks(steps).event.note == f"{words} (from 192.0.2.1)"
    assert asks(role().admit(head("/nowhere"))).event.note == ""


@pytest.mark.proves("auth.bearer")
@pytest.mark.parametrize("value", ["Bearer secret", "bearer secret", " BEARER   secret "])
def test_credentials_are_judged_by_whoever_holds_them(value):
    """They are handed on as they came, with the time."""
    request = head(authorization=value)
    steps = role(auth=("Bearer",)).admit(request)
    assert asks(steps) == Authenticate(request, NOW)
    admitted = finish(steps, CALLER)
    assert (admitted.caller, admitted.quota_key) == (Identity(ME), ME)


@pytest.mark.proves("auth.shape")
def test_credentials_that_are_not_valid():
    """The same shape as none at all; every scheme there is stands in the challenge."""
    response = refused(role(auth=("bearer", "basic")).admit(head(authorization="Basic x")), None)
    assert response.headers["www-authenticate"] == "Basic, Bearer"
    assert data_of(response)["code"] == "asap:auth/unauthenticated"
    assert data_of(response)["details"] == {"challenge": "Basic, Bearer"}


@pytest.mark.proves("quota.answer")
def test_quotas():
    """A caller pays for each request; who has nothing left is told when to come back."""
    steps = role(quota=True).admit(head())
    assert asks(steps) == Spend("192.0.2.1", 1, 1000.0)
    assert isinstance(finish(steps, Allowed()), Admitted)
    response = refused(role(quota=True).admit(head()), RetryAfter(1.2, "10/second", 10))
    assert (response.status, response.headers["retry-after"]) == (429, "2")
    assert json.loads(response.body)["error"]["code"] == 429
    assert data_of(response)["details"] == {"retry_after": 2, "limit": "10/second"}
    assert refused(role(quota=True).admit(head()), RetryAfter(0.0, "x", 1)).headers["retry-after"] == "1"


def batch_of(items, *answers):
    """The story of a batch that was let in, told what the quota says."""
    body = b"[" + b",".join([b"5"] * items) + b"]"
    steps = role(quota=True).receive(Admitted("identity", 99, None, "192.0.2.1", {}), body)
    command = asks(steps)
    for answer in answers:
        command = asks(steps, answer)
    return steps, command


@pytest.mark.proves("quota.batch")
def test_each_item_of_a_batch_is_paid():
    """The first was paid with the request; a batch of one costs nothing more."""
    steps, command = batch_of(3)
    assert command == Spend("192.0.2.1", 2, 1000.0)
    assert isinstance(asks(steps, Allowed()), Together)
    assert batch_of(2)[1] == Spend("192.0.2.1", 1, 1000.0)
    assert isinstance(batch_of(1)[1], Together)


@pytest.mark.proves("quota.batch")
def test_a_batch_that_can_not_be_paid_now():
    """Is told when to come back; one that never can be, that it is too large."""
    steps, command = batch_of(3, RetryAfter(1.5, "3/minute", 3))
    assert command.event.code == "asap:transport/rate_limited"
    response = finish(steps)
    assert (response.status, response.headers["retry-after"]) == (429, "2")
    steps, command = batch_of(4, RetryAfter(1.5, "3/minute", 3))
    assert command.event.code == "asap:protocol/batch_too_large"
    assert data_of(finish(steps))["details"] == {"items": 4, "most": 3}


def test_a_head_of_too_many_lines():
    """Is told how many there may be."""
    response = refused(role().admit(RequestHead("POST", "/asap", {}, "192.0.2.1", 101)))
    assert response.status == 431
    assert data_of(response)["error"] == "more than 100 headers"


@pytest.mark.proves("http.routes")
def test_streams_have_a_path_of_their_own():
    """It is posted to, and guarded like the endpoint."""
    admitted = told(role().admit(head("/asap/stream")))
    assert admitted == Admitted(
        "identity", 10 * 1024 * 1024, None, "192.0.2.1", {"content-type": "application/json"}, True, 0
    )
    assert told(role().admit(head())).streams is False
    response = refused(role().admit(head("/asap/stream", "GET")))
    assert (response.status, response.headers["allow"]) == (405, "POST")
    steps = role(auth=("bearer",)).admit(head("/asap/stream"))
    asks(steps)
    assert asks(steps).event.note == "authentication is required (from 192.0.2.1)"
    assert data_of(finish(steps))["code"] == "asap:auth/unauthenticated"


@pytest.mark.parametrize(("compresses", "told_of"), [(("gzip",), "identity"), ((), None)])
def test_a_refusal_says_which_codings_we_take(compresses, told_of):
    """Where ours may be compressed itself (RFC 7694)."""
    server = role(compresses=compresses, encodings=())
    response = refused(server.admit(head(content_type="text/plain", accept_encoding="gzip")))
    assert response.headers.get("accept-encoding") == told_of


@pytest.mark.parametrize(
    ("value", "seen"),
    [("0", 0), ("17", 17), ("9" * 18, 10**18 - 1), ("9" * 500, 10**18 - 1)]
    + [(odd, 0) for odd in ("", "-1", "1e3", "²", "٣")],
)
def test_the_event_that_was_seen_last(value, seen):
    """A number, as every event of ours has one; what is none counts for nothing, and none is too long to be read."""
    assert told(role().admit(head("/asap/stream", last_event_id=value))).seen == seen
    assert told(role().admit(head("/asap", last_event_id=value))).seen == 0


@pytest.mark.proves("auth.open-paths", "manifest.document", "manifest.caching")
def test_the_manifest_is_open():
    """To all, with what caches need."""
    response = told(role(auth=("bearer",)).admit(head(MANIFEST, "GET")))
    assert response.status == 200
    assert json.loads(response.body)["id"] == PEER
    assert response.headers["cache-control"] == "public, max-age=300"


@pytest.mark.proves("manifest.caching")
@pytest.mark.parametrize("form", ["{}", "W/{}", '"x", {}', '{},"x"', "*"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_manifest_that_is_held_is_not_sent_again(form, method):
    """304, with its tag, for how long it may be kept, and no body."""
    tag = told(role().admit(head(MANIFEST, "GET"))).headers["etag"]
    response = told(role().admit(head(MANIFEST, method, if_none_match=form.format(tag))))
    assert response == HttpResponse(304, {"etag": tag, "cache-control": "public, max-age=300"})
    assert told(role().admit(head(MANIFEST, "GET", if_none_match='"other"'))).status == 200


@pytest.mark.proves("http.head")
@pytest.mark.parametrize("path", [MANIFEST, "/health"])
def test_head_is_answered_wherever_get_is(path):
    """The same head, with the length of the body that is not there."""
    full = told(role().admit(head(path, "GET")))
    response = told(role().admit(head(path, "HEAD")))
    assert (response.status, response.body) == (200, b"")
    assert response.headers == {**full.headers, "content-length": str(len(full.body))}


@pytest.mark.proves("http.metrics")
def test_metrics_are_the_fronts():
    """The front counts; the core says where."""
    steps = role().admit(head("/asap/metrics", "GET"))
    assert asks(steps) == ReadMetrics()
    assert finish(steps, HttpResponse(200, {}, b"x")) == HttpResponse(200, {}, b"x")


@pytest.mark.proves("http.health")
def test_health_and_readiness():
    """Alive is alive; ready is asked of the front, and told with 503 when it is not."""
    assert told(role().admit(head("/health", "GET"))).body == b'{"status":"ok"}'
    for ready, status, body in ((True, 200, b'{"status":"ok"}'), (False, 503, b'{"status":"unready"}')):
        steps = role().admit(head("/ready", "GET"))
        assert asks(steps) == ReadState()
        response = finish(steps, ServerState(ready, 1000.0, 0))
        assert (response.status, response.body) == (status, body)


@pytest.mark.proves("http.health")
@pytest.mark.parametrize(("ready", "status", "word"), [(True, 200, "healthy"), (False, 503, "unhealthy")])
def test_the_health_that_newer_peers_read(ready, status, word):
    """Who, which version, since when, how busy."""
    response = told(role().admit(head("/.well-known/asap/health", "GET")), ServerState(ready, 990.0, 3))
    assert response.status == status
    assert json.loads(response.body) == {
        "status": word, "agent_id": PEER, "version": "1.0.0", "asap_version": "0.1", "uptime_seconds": 10.0,
        "load": {"active_tasks": 3, "queue_depth": 0},
    }  # fmt: skip


def test_the_health_of_an_agent_that_has_just_begun():
    """By no clock has it run for less than no time."""
    for started in (1000.0, 1000.5):
        response = told(role().admit(head("/.well-known/asap/health", "GET")), ServerState(True, started, 0))
        assert json.loads(response.body)["uptime_seconds"] == 0.0


def test_a_refusal_without_a_challenge_names_bearer():
    """Whoever refuses a caller elsewhere need not know the schemes; and has the status that old peers understand."""
    for response in (
        refusal(Unauthenticated("no")),
        role().admission.refusal(Unauthenticated("no"), {"content-type": "application/json"}),
    ):
        assert (response.status, response.headers["www-authenticate"]) == (200, "Bearer")
    assert refusal(MalformedJson("no")).status == 200


def test_what_has_a_status_or_a_header_of_its_own_is_a_refusal():
    """Whatever is not 200 is, and who is nobody; under strict HTTP also what that has a status for."""
    plain, strict = role().admission, role(strict_http=True).admission
    for error, found in (
        (Overloaded("no"), (True, True)),
        (Unauthenticated("no"), (True, True)),
        (MalformedJson("no"), (False, True)),
        (TaskNotFound("no"), (False, False)),
    ):
        assert (plain.is_refusal(error), strict.is_refusal(error)) == found


@pytest.mark.parametrize("secret", ["", "Bearer guess"])
def test_who_guesses_at_tokens_spends_too(secret):
    """By its address, for there is no name to go by."""
    steps = role(auth=("bearer",), quota=True).admit(head(authorization=secret))
    look = asks(steps)
    assert look == Spend("guesses from 192.0.2.1", 0, look.now)
    assert isinstance(asks(steps, Allowed()), Authenticate)
    command = asks(steps, None)
    assert command == Spend("guesses from 192.0.2.1", 1, command.now)
    assert isinstance(asks(steps, Allowed()), Observe)
    assert data_of(finish(steps))["status_code"] == 401


def test_who_has_guessed_too_often_is_not_listened_to():
    """Not even with the right token: else the answer would tell which one is right."""
    steps = role(auth=("bearer",), quota=True).admit(head(authorization="Bearer right"))
    asks(steps)
    assert isinstance(asks(steps, RetryAfter(3.0, "1/minute", 1)), Observe)
    assert finish(steps).status == 429


def test_a_right_token_is_charged_to_its_agent():
    """The address pays for guesses alone."""
    steps = role(auth=("bearer",), quota=True).admit(head(authorization="Bearer right"))
    asks(steps)
    asks(steps, Allowed())
    command = asks(steps, CALLER)
    assert command == Spend(ME, 1, command.now)

"""Heads that came before: what is remembered of them, and what is not."""

import asyncio
import io
import json

import pytest

from asap_adapters._awaiting.heads import key_of, lines_of
from asap_adapters._shared.heads import KnownHeads
from asap_adapters.asyncio import Agent as AsyncAgent
from asap_adapters.sync import Agent as SyncAgent
from asap_adapters.sync.heads import lines_of as wsgi_lines_of
from asap_proto.http import RequestHead
from asap_proto.limits import Limits
from asap_proto.roles import Admitted, Looked
from asap_proto.rules.identity import Identity
from asap_testkit import ME, request_frame

BODY = json.dumps(request_frame(timestamp=None)).encode()


def looked(**headers):
    admitted = Admitted("identity", 100, None, "192.0.2.1", {"content-type": "application/json"})
    return Looked(RequestHead("POST", "/asap", headers), "192.0.2.1", admitted, 100)


def scope(headers=(), **changes):
    said = {"method": "POST", "path": "/asap", "client": ("192.0.2.1", 1), "headers": headers}
    return {**said, **changes}


def find(known, said):
    key, changing = key_of(said)
    return known.find(key, changing.get(b"content-length"))


def add(known, said, one=None):
    return known.add(key_of(said)[0], one or looked())


def test_the_same_head_is_known_again_whichever_pairs_a_server_makes():
    """ASGI has headers as pairs, and some servers make lists of them, which no dict can look up."""
    known = KnownHeads()
    add(known, scope([[b"host", b"localhost"], [b"x-idempotency-key", b"1"]]))
    assert find(known, scope([(b"host", b"localhost"), (b"x-idempotency-key", b"2")])) == looked()
    assert find(known, scope([[b"host", b"elsewhere"], [b"x-idempotency-key", b"1"]])) is None


CHANGES = [
    {"path": "/asap/stream"},
    {"method": "GET"},
    {"root_path": "/there"},
    {"client": ("192.0.2.2", 1)},
    {"client": None},
    {"headers": [(b"host", b"a"), (b"host", b"a")]},
    {"headers": [(b"x-idempotency-key", b"1"), (b"x-idempotency-key", b"1"), (b"host", b"a")]},
    {"headers": [(b"host", b"a")]},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_another_head_is_not_known(changes):
    """Whatever an admission looks at."""
    known, head = KnownHeads(), [(b"host", b"a"), (b"x-idempotency-key", b"1")]
    add(known, scope(head))
    assert find(known, scope(**{"headers": head, **changes})) is None


WRONG = [b"101", b"-1", b"+1", b"", b"\xb2", b"1_0", b"0" * 20, "\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT THREE}"]


@pytest.mark.parametrize(("length", "fits"), [(b"0", True), (b"100", True), *((one, False) for one in WRONG)], ids=repr)
def test_a_length_is_looked_at_each_time(length, fits):
    """It is not part of what is remembered, for bodies differ; only one that may come is let through."""
    known = KnownHeads()
    known.add(("a",), looked())
    assert (known.find(("a",), length) is not None) == fits


@pytest.mark.parametrize(
    "large",
    [
        {"headers": [(b"x", b"x" * 5000)]},
        {"path": "http://" + "x" * 5000 + "/asap"},
        {"root_path": "/" + "x" * 5000},
    ],
    ids=["a header", "a path", "where it is mounted"],
)
def test_a_large_head_is_not_remembered(large):
    """A caller may make each another: some hundred of them would be held at once."""
    known = KnownHeads()
    said = scope(**large)
    add(known, said)
    assert find(known, said) is None


def test_heads_are_bounded():
    """Who makes up another with each request makes others be looked at again, and no more."""
    known = KnownHeads()
    for number in range(1000):
        add(known, scope([(b"x", b"%d" % number)]))
    kept = [number for number in range(1000) if find(known, scope([(b"x", b"%d" % number)])) is not None]
    assert kept[-1] == 999
    assert len(kept) <= 256


def test_a_secret_elsewhere_is_not_remembered():
    """Where it is not looked for, it would be kept for as long as the head."""
    known, said = KnownHeads(), scope([(b"x-auth-token", b"s3cret")])
    assert not add(known, said, looked(**{"x-auth-token": "s3cret"}))
    assert find(known, said) is None


def test_lines_are_what_a_server_takes():
    """Those of WSGI say nothing of the connection, which is the server's own."""
    headers = {"content-type": "text/plain", "connection": "close"}
    assert lines_of(headers) == [(b"content-type", b"text/plain"), (b"connection", b"close")]
    assert wsgi_lines_of(headers) == [("content-type", "text/plain")]


# -- apps ------------------------------------------------------------------------------------------------------------


class Asgi:
    """An app on asyncio, asked one request after the other."""

    def __init__(self, **options):
        agent = AsyncAgent("urn:asap:agent:echo", **options)

        @agent.skill("echo")
        async def echo(task):
            return task.input

        self.app = agent.app()
        self.known = self.app._known

    def post(self, *lines, body=BODY):
        said = [(name.encode(), value.encode("latin-1")) for name, value in lines]
        sent = []

        async def receive():
            return {"type": "http.request", "body": body}

        async def send(message):
            sent.append(message)

        asyncio.run(self.app({"type": "http", **scope(said)}, receive, send))
        return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}, sent[1]["body"]

    def close(self):
        """There is nothing to close."""


class Wsgi:
    """An app of threads, asked the same."""

    def __init__(self, **options):
        agent = SyncAgent("urn:asap:agent:echo", **options)

        @agent.skill("echo")
        def echo(task):
            return task.input

        self.app = agent.app()
        self.known = self.app._known

    def post(self, *lines, body=BODY):
        environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/asap", "REMOTE_ADDR": "192.0.2.1"}
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        for name, value in lines:
            name = name.upper().replace("-", "_")
            key = name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"
            joined = [environ[key]] if key.startswith("HTTP_") and key in environ else []
            environ[key] = ", ".join([*joined, value])
        started = []
        text = b"".join(self.app(environ, lambda *given: started.append(given)))
        return int(started[0][0][:3]), dict(started[0][1]), text

    def close(self):
        self.app.close()


@pytest.fixture(params=[Asgi, Wsgi], ids=["asgi", "wsgi"])
def serve(request):
    """An app of this kind, which is closed at the end."""
    made = []

    def make(**options):
        made.append(request.param(**options))
        return made[-1]

    yield make
    for each in made:
        each.close()


JSON = ("content-type", "application/json")


def code(answer):
    document = json.loads(answer[2])
    return "result" if "result" in document else document["error"]["data"]["code"]


def test_credentials_are_asked_for_each_request(serve):
    """A token may be revoked, and the next one be somebody else's: of a head that is known no less."""
    good, heard = {"one": ME, "two": "urn:asap:agent:other"}, []

    def validate(token):
        heard.append(token)
        return good.get(token)

    app = serve(token_validator=validate)
    asked = [("one",), ("one",), ("two",), ("wrong",), (), ("one", "one"), ("one",)]
    codes = []
    for number, tokens in enumerate(asked):
        if number == 6:
            del good["one"]
        codes.append(code(app.post(JSON, *[("authorization", f"Bearer {token}") for token in tokens])))
    mismatch, nobody = "asap:auth/sender_mismatch", "asap:auth/unauthenticated"
    assert codes == ["result", "result", mismatch, nobody, nobody, nobody, nobody]
    assert heard == ["one", "one", "two", "wrong", "one, Bearer one", "one"]


def test_whoever_looks_at_credentials_sees_the_whole_head(serve):
    """Also of a head that is known: a scheme of one's own may go by any header."""
    heads = []

    class Scheme:
        scheme, challenge, waits = "bearer", "Bearer", False

        def verify(self, head, now):
            heads.append(head)
            return Identity(ME)

    app = serve(auth=[Scheme()])
    lines = [JSON, ("traceparent", "00-1"), ("x-request-id", "7"), ("authorization", "Bearer a"), ("accept", "*/*")]
    for number in range(3):
        assert code(app.post(*lines, ("x-idempotency-key", str(number)), ("content-length", str(len(BODY))))) != "error"
    assert [head.headers["x-idempotency-key"] for head in heads] == ["0", "1", "2"]
    wanted = {**dict(lines), "content-length": str(len(BODY))}
    for number, head in enumerate(heads):
        assert dict(head.headers) == {**wanted, "x-idempotency-key": str(number)}
        assert (head.method, head.path, head.peer) == ("POST", "/asap", "192.0.2.1")
    assert heads[0].lines == heads[2].lines


def test_no_credentials_are_remembered(serve):
    """They are read anew of each request, and let go with it."""
    app = serve(token_validator=lambda token: ME)
    for _ in range(2):
        assert code(app.post(JSON, ("authorization", "Bearer s3cr3t"), ("cookie", "sid=s3cr3t"))) == "result"
    assert app.known._looked
    assert "s3cr3t" not in repr(app.known._looked)


def test_each_request_is_counted(serve):
    """What is left stands in its answer, and who has nothing left is told so, whichever way the request went."""
    app = serve(quota="3/hour")
    answers = [app.post(JSON) for _ in range(5)]
    assert [code(answer) for answer in answers] == ["result"] * 3 + ["asap:transport/rate_limited"] * 2
    assert [answer[1]["ratelimit"].partition(";t")[0] for answer in answers] == [
        f'"3/3600s";r={left}' for left in (2, 1, 0, 0, 0)
    ]


def test_who_guesses_is_not_listened_to_for_long(serve):
    """Also with a head that is known, and then not even with the right token."""
    app = serve(token_validator={"one": ME}.get, quota="3/hour")
    tokens = ["one", "a", "b", "c", "one"]
    codes = [code(app.post(JSON, ("authorization", f"Bearer {token}"))) for token in tokens]
    nobody, limited = "asap:auth/unauthenticated", "asap:transport/rate_limited"
    assert codes == ["result", nobody, nobody, nobody, limited]


def test_a_body_that_is_too_large_is_refused_by_its_length(serve):
    """Of a head that is known as of any other."""
    app = serve(limits=Limits(request_bytes=len(BODY) + 10))
    length = [("content-length", str(len(BODY)))]
    assert code(app.post(JSON, *length)) == "result"
    assert app.post(JSON, ("content-length", str(len(BODY) + 11)))[0] == 413
    assert app.post(JSON, ("content-length", "x"))[0] == 400
    assert code(app.post(JSON, *length)) == "result"


def test_a_validator_that_fails_lets_nobody_in(serve):
    """Of a head that is known no more than of another."""
    found = [ME, RuntimeError("down"), 7, ME]

    def validate(token):
        answer = found.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    app = serve(token_validator=validate)
    codes = [code(app.post(JSON, ("authorization", "Bearer a"))) for _ in range(4)]
    assert codes == ["result", "asap:auth/unauthenticated", "asap:auth/unauthenticated", "result"]


def test_a_validator_that_waits_is_waited_for():
    """Each time; what comes of it is as of one that does not."""
    good = {"one": ME}

    async def validate(token):
        await asyncio.sleep(0)
        return good.get(token)

    app = Asgi(token_validator=validate, quota="9/hour")
    answers = [app.post(JSON, ("authorization", f"Bearer {token}")) for token in ("one", "one", "two", "one")]
    assert [code(answer) for answer in answers] == ["result", "result", "asap:auth/unauthenticated", "result"]
    assert answers[-1][1]["ratelimit"].startswith('"9/3600s";r=6;')


def test_names_in_other_cases_are_not_taken_for_others():
    """A server that hands on what a client wrote may give a header twice, in two cases: then it is joined."""
    app = Asgi(token_validator={"one": ME}.get)
    twice = [JSON, ("Authorization", "Bearer one"), ("authorization", "Bearer one")]
    assert [code(app.post(*twice)) for _ in range(2)] == ["asap:auth/unauthenticated"] * 2
    assert not app.known._looked


def test_headers_of_one_name_are_not_remembered_of_wsgi():
    """What stands under two names in an environ is one header, and which of the two counts is not for the hurried."""
    app = Wsgi()
    app.app({"REQUEST_METHOD": "POST", "PATH_INFO": "/asap", "HTTP_X_A": "1", "HTTP_X-A": "2", "CONTENT_TYPE": JSON[1],
             "wsgi.input": io.BytesIO()}, lambda *given: None)  # fmt: skip
    assert not app.known._looked
    app.close()


def wsgi_codes(app, environs):
    """What comes of requests with such headers alone; of an error its code."""
    codes = []
    for said in environs:
        environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/asap", "CONTENT_TYPE": JSON[1], **said}
        text = b"".join(app.app({**environ, "wsgi.input": io.BytesIO(BODY)}, lambda *given: None))
        codes.append(json.loads(text)["error"]["data"]["code"])
    return codes


def test_a_length_under_another_name_is_looked_at_each_time():
    """Some WSGI servers hand on so what a client spells with an underscore; no body is read by it."""
    app = Wsgi()
    codes = wsgi_codes(app, [{"HTTP_CONTENT_LENGTH": length} for length in ("7", "7", "x", "9" * 12)])
    malformed = "asap:protocol/malformed_json"
    assert codes == [malformed, malformed, "asap:http/bad_head", "asap:transport/too_large"]
    app.close()


def test_headers_are_counted_of_a_head_that_is_known():
    """WSGI says of a length that it is no header: a head with one has fewer lines than with a cookie in its place."""
    lines = []

    class Scheme:
        scheme, challenge, waits = "bearer", "Bearer", False

        def verify(self, head, now):
            lines.append(head.lines)

    app = Wsgi(auth=[Scheme()])
    wsgi_codes(app, [{"CONTENT_LENGTH": "1"}, {"HTTP_COOKIE": "a=b"}] * 2)
    assert lines == [0, 1] * 2
    app.close()


def test_sets_of_names_are_bounded():
    """Of those that a WSGI server hands on."""
    app = Wsgi()
    for number in range(200):
        app.post(JSON, (f"x-{number}", "1"))
    assert 0 < len(app.app._readings) <= 64
    app.close()


def test_a_length_that_a_wsgi_server_leaves_empty_is_none():
    """As PEP 3333 has it; nobody who looks at the head sees one, of one that is known no more than of another."""
    heads = []

    class Scheme:
        scheme, challenge, waits = "bearer", "Bearer", False

        def verify(self, head, now):
            heads.append(head.headers)
            return Identity(ME)

    app = Wsgi(auth=[Scheme()])
    for _ in range(2):
        app.post(JSON, ("content-length", ""))
    assert heads == [{"content-type": "application/json"}] * 2
    app.close()

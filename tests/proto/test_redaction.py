"""What may be shown of what is logged, told or printed."""

import copy

import pytest

from asap_proto.rules.redaction import CUT, HIDDEN, is_secret, printable, redact, redact_text


@pytest.mark.parametrize(
    "name",
    [
        *("token", "access_token", "accessToken", "ACCESS-TOKEN", "refresh.token", "id token", "csrfToken", "X-CSRF"),
        *("password", "Passwd", "db_password", "passphrase", "pwd", "pass", "PIN", "otp", "PASSCODE"),
        *("authorization", "Proxy-Authorization", "HTTP_AUTHORIZATION", "bearer", "jwt", "credentials"),
        *("cookie", "Set-Cookie", "cookies", "sessionid", "JSESSIONID", "PHPSESSID", "session_key", "sid"),
        *("apiKey", "api_key", "X-API-Key", "apikey", "client_secret", "SECRET", "secretAccessKey", "signing-key"),
        *("privateKey", "PRIVATE_KEY", "encryption_key", "X-Amz-Signature", "connectionString"),
    ],
)
def test_names_of_secrets(name):
    """What goes by these names is hidden, however they are written."""
    assert is_secret(name)
    assert redact({name: "x1"}) == {name: HIDDEN}


@pytest.mark.parametrize(
    "name",
    [
        *("correlation_id", "trace_id", "task_id", "traceparent", "idempotency_key", "message_id", "X-Request-ID"),
        *(
            "sender",
            "skill_id",
            "author",
            "authentic",
            "auth",
            "passed",
            "compass",
            "secretary",
            "tokenizer",
            "keyboard",
        ),
        *("token_type", "tokenUrl", "authorization_endpoint", "password_policy", "cookie_name", "access_key_id"),
        *("public_key", "signature", "key", "", "-", "Schlüssel"),
    ],
)
def test_names_that_give_nothing_away(name):
    """Ids stay readable, and so does what is only about a secret."""
    assert not is_secret(name)
    assert redact({name: "x1"}) == {name: "x1"}


def test_values_are_looked_at_wherever_they_are():
    """Objects in lists in objects; what goes by the name of a secret is hidden whole, whatever is in it."""
    value = {
        "task_id": "task_1",
        "items": [1, 2.5, {"deep": ({"password": "x1"}, "Bearer x1")}],
        "credentials": {"user": "me", "x1": ["x1"]},
        "secrets": ["x1", 5],
        "otp": 123456,
    }
    before = copy.deepcopy(value)
    assert redact(value) == {
        "task_id": "task_1",
        "items": [1, 2.5, {"deep": [{"password": HIDDEN}, f"Bearer {HIDDEN}"]}],
        "credentials": HIDDEN,
        "secrets": HIDDEN,
        "otp": HIDDEN,
    }
    assert value == before


@pytest.mark.parametrize("value", ["hello", "", 5, None, True, [], {}])
def test_what_is_no_secret_is_shown_as_it_is(value):
    """Whatever sort of value it is."""
    assert redact(value) == value
    assert redact({"value": value, 5: value}) == {"value": value, 5: value}


def test_nothing_and_truth_values_are_no_secret():
    """It is often what one looks for: whether there was a password at all."""
    value = {"password": None, "token": False, "nonce": None}
    assert redact(value) == value


def test_tokens_that_are_counted_are_shown():
    """As language models count them."""
    value = {"max_tokens": 4096, "usage": {"prompt_tokens": 12, "tokens": 3.5}, "token_count": 7}
    assert redact(value) == value
    assert redact({"tokens": ["a", "b"]}) == {"tokens": HIDDEN}
    assert redact_text("max_tokens=4096 tokens: many") == "max_tokens=4096 tokens: ***"


def test_headers_are_hidden_however_they_are_kept():
    """As an object, as a list of pairs, or as a list of objects."""
    assert redact({"headers": [("Cookie", "x1"), ["host", "me"]]}) == {"headers": [["Cookie", HIDDEN], ["host", "me"]]}
    assert redact([{"name": "cookie", "value": "x1"}, {"key": "Host", "value": "me"}]) == [
        {"name": "cookie", "value": HIDDEN},
        {"key": "Host", "value": "me"},
    ]
    assert redact({"key": "X-API-Key", "value": "x1"}) == {"key": "X-API-Key", "value": HIDDEN}
    assert redact([{"name": 5, "value": "x1"}, [5, "x1"]]) == [{"name": 5, "value": "x1"}, [5, "x1"]]
    names = {"required": ["password", "user"]}
    assert redact(names) == names


def test_names_are_texts_too():
    """A URL may be a name."""
    assert redact({"https://me:x1@host": 1}) == {f"https://{HIDDEN}@host": 1}


def test_the_schema_of_a_secret_is_shown():
    """What a skill wants is published; what it would be filled with is not."""
    password = {"type": "string", "minLength": 8}
    schema = {
        "type": "object",
        "properties": {"password": password, "n": {"default": 1}},
        "required": ["password", "n"],
    }
    assert redact(schema) == schema
    filled = {"properties": {"password": {**password, "default": "x1", "enum": ["x1"]}}}
    assert redact(filled) == {"properties": {"password": {**password, "default": HIDDEN, "enum": HIDDEN}}}
    words = "$ref allOf anyOf const default description enum examples format items maxLength minLength oneOf pattern"
    every = dict.fromkeys((*words.split(), "title", "type", "writeOnly"), "x1")
    assert redact({"properties": {"password": every}})["properties"]["password"].keys() == every.keys()
    assert redact({"properties": {"password": {"type": "string", "hint": "x1"}}}) == {
        "properties": {"password": HIDDEN}
    }
    assert redact({"properties": {"password": "x1"}}) == {"properties": {"password": HIDDEN}}
    assert redact({"password": password}) == {"password": HIDDEN}


@pytest.mark.parametrize(
    ("nonce", "shown"),
    [
        ("Zm9vYmFyYmF6cXV4eA", "Zm9vYmFy…"),
        ("abcdef", "abc…"),
        ("a", "…"),
        ("", "…"),
        ("Zm9vYmFy…", "Zm9vYmFy…"),
        ("Zm9vYmFyY…", "Zm9vY…"),
        ("\n\n\n\n\n", HIDDEN),
        (5, HIDDEN),
        (["x1"], HIDDEN),
    ],
)
def test_nonces_are_shortened(nonce, shown):
    """Enough is left to find it again, and less than half of it."""
    assert redact({"extensions": {"nonce": nonce}}) == {"extensions": {"nonce": shown}}


def test_nonces_are_shortened_in_texts():
    """So they are where they are printed."""
    assert redact_text("nonce=Zm9vYmFyYmF6cXV4eA, x") == "nonce=Zm9vYmFy…, x"
    assert redact_text("{'nonce': 'Zm9vYmFyYmF6cXV4eA'}") == "{'nonce': 'Zm9vYmFy…'}"


@pytest.mark.parametrize("mark", ['"', "'", '\\"', "\\'"])
def test_nonces_are_shortened_in_any_quotes(mark):
    """Escaped ones too; of an empty one nothing is left to show."""
    assert redact_text(f"{mark}nonce{mark}: {mark}Zm9vYmFyYmF6cXV4eA{mark}") == (
        f"{mark}nonce{mark}: {mark}Zm9vYmFy…{mark}"
    )
    assert redact_text(f"nonce={mark}{mark}") == f"nonce={mark}…{mark}"


def test_the_look_has_an_end():
    """What is too deep and what is too much is cut, not shown."""
    assert redact({"a": {"b": {"c": 1}}}, depth=2) == {"a": {"b": CUT}}
    assert redact([[]], depth=0) == CUT
    assert redact({"properties": {"a": 1}}, depth=1) == {"properties": CUT}
    schema = {"properties": {"password": {"type": "string"}}}
    assert redact(schema, depth=2) == {"properties": {"password": CUT}}
    assert redact(schema, depth=3) == schema
    assert redact([1, 2, 3], most=2) == [1, 2, CUT]
    assert redact({"a": 1, "b": 2, "c": 3}, most=2) == {"a": 1, "b": 2, CUT: CUT}
    assert redact([[1, 2], [3]], most=2) == [[1, CUT], CUT]


def test_the_deepest_json_is_looked_at():
    """Deeper than any limit allows, without an error of Python's."""
    value = "Bearer x1"
    for _ in range(5000):
        value = [{"a": value}]
    shown = redact(value)
    for _ in range(120):
        shown = shown[0]["a"]
    assert shown == CUT


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        # in URLs
        ("no route to redis://me:x1@db:6379/0", "no route to redis://***@db:6379/0"),
        ("https://x1@host/a?b=c", "https://***@host/a?b=c"),
        ("postgres://me:x1@x1@db", "postgres://***@db"),
        ("postgres://me:x1/x1@db/a", "postgres://***@db/a"),
        ("postgres://:x1@db", "postgres://***@db"),
        ("https://h/a?access_token=x1&page=2#b", "https://h/a?access_token=***&page=2#b"),
        # behind a scheme
        ("Bearer x1", "Bearer ***"),
        ("got 'bearer x1!x1' from", "got 'bearer ***' from"),
        ("Basic bWU6eDE=, no", "Basic ***, no"),
        # that look like what they are
        ("got eyJhbGciOi.eyJzdWIi.x1-_x1 here", "got *** here"),
        ("a.eyJhbGciOi.eyJzdWIi. here", "a.*** here"),
        ("key sk-aaaabbbbccccddddeeee", "key ***"),
        ("push to ghp_aaaabbbbccccddddeeee!", "push to ***!"),
        ("-----BEGIN PRIVATE KEY-----\nx1\n-----END PRIVATE KEY-----\nrest", "***\nrest"),
        ("-----BEGIN EC PRIVATE KEY-----\\nx1 and no end", "***"),
        # behind a name
        ("password=x1", "password=***"),
        ("password = x1 and so on", "password = *** and so on"),
        ("API-Key: x1, trace_id: 01K", "API-Key: ***, trace_id: 01K"),
        ("api_key=x1,x2;y, b=1", "api_key=***, b=1"),
        ("a=1&token=x1&b=2", "a=1&token=***&b=2"),
        ("token=x1;b=2", "token=***;b=2"),
        ("token=x\\x1", "token=***"),
        ("token=x'1", "token=***"),
        ("token=Token x1", "token=***"),
        ("if token == 'x1':", "if token == '***':"),
        ("{'token': 'x\\'1', 'b': 2}", "{'token': '***', 'b': 2}"),
        ('{"token":"x\\"1","b":2}', '{"token":"***","b":2}'),
        ('"{\\"token\\":\\"x1\\",\\"b\\":2}"', '"{\\"token\\":\\"***\\",\\"b\\":2}"'),
        ("{\\'token\\': \\'x1\\'}", "{\\'token\\': \\'***\\'}"),
        ("(b'cookie', b'x1')", "(b'cookie', b'***')"),
        ("token='x1 without an end", "token='***'"),
        ("token=Secret('x1', ['x)1']) rest", "token=*** rest"),
        ("token=Secret['x1', 'x1'] rest", "token=*** rest"),
        ("(a) token=Secret('x1') rest", "(a) token=*** rest"),
        ("cookies={'a': ('x1', \"}\")}, b", "cookies=***, b"),
        ("token=(x1", "token=***"),
        ("ValueError('password=x1', 'b')", "ValueError('password=***', 'b')"),
        ("login(password=x1)", "login(password=***)"),
        ("Authorization: Digest u=x1, r=x1\nHost: me", "Authorization: ***\nHost: me"),
        ("Host: me\nAuthorization: Digest u=x1, r=x1\nA: b", "Host: me\nAuthorization: ***\nA: b"),
        ("Cookie: a=x1; b=x1", "Cookie: ***"),
        ("cookie=[x1, x1], b", "cookie=***"),
        ("password=a password=b", "password=*** password=***"),
        ("password=token=x1", "password=***"),
        ("password=token=x1 secret=x1, a=b", "password=*** secret=***, a=b"),
    ],
)
def test_secrets_in_texts(text, shown):
    """They are hidden where they stand, and what stands around them stays."""
    assert redact_text(text) == shown
    assert redact_text(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        *("a plain line", "", "task task_01K of urn:asap:agent:me", "12:30:45 GET http://host:8000/a@b?c=d"),
        *("a bearer token is required", "Bearer authentication", "the basic example", "basic credentials"),
        *("version 1.2.3 of asap.proto.rules", "-----BEGIN CERTIFICATE-----", "PRIVATE KEY", "a task-force", "sk-no"),
        *("password=None, token: null", "token=", "KeyError: 'password'", "jwt.InvalidTokenError: it is over"),
        *("eyJ is how it begins", "a.b.c eyJ", "the token, 'password'", "correlation_id=abc, trace_id: def"),
    ],
)
def test_other_texts_stay(text):
    """What only speaks of secrets shows none."""
    assert redact_text(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, with ünïcödé 漢字 and 🙂", "plain, with ünïcödé 漢字 and 🙂"),
        ("a\nb\r\nc\td", "a\\nb\\r\\nc\\td"),
        ("\x1b[31mred\x00\x7f\x9b", "\\u001b[31mred\\u0000\\u007f\\u009b"),
        ("a\u2028b\u2029c\u0085d", "a\\u2028b\\u2029c\\u0085d"),
        ("\u202egnp.exe\u2066", "\\u202egnp.exe\\u2066"),
        ("\ud800 \U000e0041", "\\ud800 \\U000e0041"),
        ("\\n stays", "\\n stays"),
    ],
)
def test_lines_stay_one_line(text, shown):
    """No text can begin a line of its own in a log, nor speak to a terminal."""
    assert printable(text) == shown

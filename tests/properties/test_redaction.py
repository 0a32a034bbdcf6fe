"""Whatever is shown holds no secret that has a name or a shape, in time that grows as it does."""

import copy
import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asap_adapters.testing import strategies as asap
from asap_proto.rules import redaction
from asap_proto.rules.redaction import HIDDEN, is_secret, printable, redact, redact_text

from .counting import Counted

SECRET = "h4nter2Zq"
NAMES = ("password", "api_key", "apiKey", "X-API-Key", "client.secret", "Set-Cookie", "refresh token", "AUTHORIZATION")
PLAIN_NAMES = ("correlation_id", "trace_id", "task_id", "idempotency_key", "traceparent", "message", "percent")

names = st.sampled_from(NAMES)
#: Texts of what patterns look at, so that they meet each other in every order.
marks = st.lists(
    st.sampled_from(
        [*"\"'\\=:,;& \t\n@/?#()[]{}<>.-_aZ0é\u2028", "://", "token", "nonce", "Bearer ", "basic ", "eyJ", "sk-", "b'"]
    )
).map("".join)


@st.composite
def planted(draw):
    """A JSON value with a secret somewhere in it, behind a name or in a shape."""
    value = draw(st.sampled_from([SECRET, [SECRET], {"inner": SECRET}, [{"a": [SECRET]}]]))
    name = draw(names)
    shaped = st.sampled_from([f"Bearer {SECRET}", f"https://me:{SECRET}@host/path", f"password={SECRET}"])
    document = draw(
        st.one_of(
            st.just({name: value}),
            st.just({"name": name, "value": value}),
            st.just([[name, value]]),
            shaped,
            shaped.map(lambda text: {text: 1}),
        )
    )
    for _ in range(draw(st.integers(0, 5))):
        beside = draw(asap.json_values(leaves=2))
        inside = draw(st.sampled_from(["payload", "items", "properties", "value", "name"]))
        document = draw(st.sampled_from([[beside, document], {inside: document, "beside": beside}]))
    return document


@given(planted())
def test_no_planted_secret_is_shown(value):
    """A secret is hidden however deep it is, in objects and lists, by its name or by its shape."""
    assert SECRET not in json.dumps(redact(value))


@given(planted())
def test_a_new_value_is_made(value):
    """What is redacted stays as it was, and what is shown is shown as it is when looked at again."""
    before = copy.deepcopy(value)
    shown = redact(value)
    assert value == before
    assert redact(shown) == shown


@given(asap.json_values(), st.integers(0, 6), st.integers(0, 20))
def test_the_look_is_bounded(value, depth, most):
    """No more levels and values are shown than were asked for, and one mark for the rest of each list or object."""
    shown = redact(value, depth=depth, most=most)
    assert levels(shown) <= depth
    assert values(shown) <= 1 + most + containers(shown)


def levels(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(levels, inner), default=0)


def values(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(values, inner))


def containers(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + sum(map(containers, inner))


ids = st.from_regex(r"[a-z]{2,5}_[0-9A-HJKMNP-TV-Z]{26}", fullmatch=True)
hexes = st.from_regex(r"[0-9a-f]{32}|00-[0-9a-f]{32}-[0-9a-f]{16}-01|urn:asap:agent:[a-z]{1,9}", fullmatch=True)


@given(st.dictionaries(st.sampled_from(PLAIN_NAMES), st.one_of(ids, hexes, st.integers(), st.none())))
def test_ids_stay_readable(document):
    """Correlation and trace ids, tasks and agents are shown as they are."""
    assert redact(document) == document
    line = " ".join(f"{name}={value}" for name, value in document.items())
    assert redact_text(line) == line


@given(
    name=names.filter(lambda name: " " not in name),
    form=st.sampled_from(
        ["{}={}", "{}: {}", '"{}": "{}"', "'{}': '{}'", "('{}', '{}')", '\\"{}\\":\\"{}\\"', "{}=[{}]"]
    ),
    before=marks,
    after=marks,
)
def test_a_named_secret_is_hidden_in_any_text(name, form, before, after):
    """Whatever stands before and after it, as long as it does not change what the name is."""
    text = f"{before}\n{form.format(name, SECRET)} {after}"
    assert SECRET not in redact_text(text)


@given(
    shape=st.sampled_from(
        [
            f"Bearer {SECRET}",
            f"Basic {SECRET}==",
            f"amqp://me:{SECRET}@host/x",
            f"redis://:{SECRET}/{SECRET}@host",
            f"eyJ{SECRET}.{SECRET}.{SECRET}",
            f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----",
            f"ghp_{SECRET}{SECRET}",
        ]
    ),
    before=marks,
    after=marks,
)
@example(shape=f"Bearer {SECRET}", before="Bearer ", after="")
def test_a_shaped_secret_is_hidden_in_any_text(shape, before, after):
    """Whatever stands before and after it."""
    assert SECRET not in redact_text(f"{before} {shape}\n{after}")


@given(marks)
@example("token=token=")
@example("nonce=nonce…")
def test_a_redacted_text_is_left_alone(text):
    """What was redacted may be redacted again: by a library, and then by the handler that writes the line."""
    shown = redact_text(text)
    assert redact_text(shown) == shown


@given(st.text(st.characters()))
def test_what_is_printed_is_one_line(text):
    """Nothing is left that a terminal would not show as it is; and that is left alone."""
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown


@given(st.text())
def test_any_name_is_looked_at(name):
    """No name is too odd; separators and case make no difference."""
    assert is_secret(name.upper()) == is_secret("-".join(name.lower().replace("-", "")) or name)


PIECES = [
    *("a", "-", " ", ".", ":", "@", "/", "\\", '"', "'", "=", "(", "[a", "({[", ",", "a,", "a.", "a=", "=a", "é", "\n"),
    *("://", "://a:", "://a@", "a://b:c", "eyJ", "eyJa.", ".eyJ", "Bearer ", "bearer a", "basic ", "basic aaaaaaa"),
    *(
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "sk-",
        "sk-aaaaaaaaaaaaaaa ",
        "token=",
        "token=(",
        "token='",
        'token="\\',
    ),
    *(
        'token=\\"',
        "token,",
        "'token',",
        "token=a,",
        "token=a&b",
        "cookie: ",
        "token = ",
        "'token' ",
        "token=digest ",
        "nonce=a",
    ),
]
#: Steps for each character, at most, of all patterns together. The dearest is a URL that looks as if it had a password.
STEPS_MOST = 250


@pytest.fixture
def steps(monkeypatch):
    """Has every pattern count its steps; gives the count."""
    count = [0]

    def counted(value):
        if isinstance(value, re.Pattern):
            return Counted(value, count)
        owner = getattr(value, "__self__", None)
        return getattr(Counted(owner, count), value.__name__) if isinstance(owner, re.Pattern) else value

    for name, value in list(vars(redaction).items()):
        if isinstance(value, re.Pattern) or isinstance(getattr(value, "__self__", None), re.Pattern):
            monkeypatch.setattr(redaction, name, counted(value))
    shapes = tuple((hint, counted(pattern), instead) for hint, pattern, instead in redaction._SHAPES)
    monkeypatch.setattr(redaction, "_SHAPES", shapes)
    return count


@pytest.mark.parametrize("piece", PIECES)
def test_the_work_grows_as_the_text_does(steps, piece):
    """Twice the text is twice the steps, however often and whatever a pattern looks for comes again."""
    taken = []
    for length in (600, 1200):
        steps[0] = 0
        redact_text((piece * length)[:length])
        taken.append(steps[0])
        assert steps[0] <= STEPS_MOST * length
    assert taken[1] <= 2.2 * taken[0] + 2000


@given(st.lists(st.sampled_from(PIECES), max_size=4), st.lists(st.sampled_from(PIECES), max_size=2))
def test_the_work_is_bounded_for_any_mix(piece, end):
    """So it is for what is made of several of them."""
    count = [0]
    text = ("".join(piece) * 60 + "".join(end))[:300]
    for _, pattern, _ in redaction._SHAPES:
        list(Counted(pattern, count).finditer(text))
    assert count[0] <= STEPS_MOST * max(1, len(text))


def test_the_mark_of_a_secret_is_none():
    """What stands where a secret stood is no secret of its own, whatever its name."""
    assert redact(dict.fromkeys(NAMES, HIDDEN)) == dict.fromkeys(NAMES, HIDDEN)

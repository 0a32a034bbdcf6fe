"""What is logged is safe to show, by whichever handler it is written."""

import io
import json
import logging

import orjson
import pytest

from asap_adapters._shared import logs
from asap_adapters._shared.deflate import CODINGS, deflate
from asap_adapters._shared.logs import (
    Exchange,
    Redacting,
    SafeFormatter,
    exchanges,
    log_ours,
    safe_logger,
    safe_trace,
)
from asap_adapters._shared.sources import SYSTEM
from asap_proto.http import HttpResponse, RequestHead


@pytest.fixture
def written():
    """A logger of some library's, and what a formatter of ours writes of it."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(SafeFormatter("%(levelname)s %(message)s"))
    log = logging.getLogger("tests.some_library")
    log.addHandler(handler)
    log.propagate = False
    yield log, out
    log.removeHandler(handler)


def raised(error, cause=None):
    """The error as it is once it was raised, with what led to it."""
    try:
        raise error from cause
    except type(error) as found:
        return found


def test_a_message_is_one_line_without_secrets(written):
    """Whatever was filled into it."""
    log, out = written
    log.error("no answer from %s\n%r", "redis://:x1@host", {"password": "x1", "b": "\x1b"})
    assert out.getvalue() == "ERROR no answer from redis://***@host\\n{'password': '***', 'b': '\\x1b'}\n"


def test_a_message_that_can_not_be_filled_in():
    """Is told of as far as it is known: logging itself would print what was to be filled in."""
    record = logging.LogRecord("a", logging.ERROR, "here", 1, "one %s two %s", ("token=x1",), None)
    assert SafeFormatter().format(record) == "one %s two %s (what was to be filled in does not fit)"


def test_a_long_message_is_cut(written):
    """So that one line can't fill a disk."""
    log, out = written
    log.error("%s", "a" * 1_000_000)
    log.error("it failed", exc_info=raised(ValueError("a" * 1_000_000)))
    assert len(out.getvalue()) < 100_000


def test_a_long_message_costs_little(written, monkeypatch):
    """Secrets are looked for in what is written, and nowhere else: what a caller makes long holds up nobody."""
    log, out = written
    looked_at = []
    look = logs.redact_text
    monkeypatch.setattr(logs, "redact_text", lambda text: looked_at.append(len(text)) or look(text))
    long = "token=x1, a=b " * 50_000
    log.error("it failed: %s", long)
    log.error("it failed", exc_info=raised(ValueError(long)))
    record = logging.LogRecord("a", logging.ERROR, "here", 1, "it failed", (), None)
    record.exc_text = record.stack_info = long
    SafeFormatter().format(record)
    assert sum(looked_at) < len(long)
    assert "x1" not in out.getvalue()


@pytest.mark.parametrize("secret", ["eyJ" + "x1" * 4000 + ".a.b", "https://me:" + "x1" * 4000 + "@host"])
@pytest.mark.parametrize("before", [9_000, 12_000, 16 * 1024 - 8])
def test_no_secret_is_cut_in_two(written, secret, before):
    """Half of one would not be known for what it is."""
    log, out = written
    text = "a " * (before // 2) + secret + " b" * 9_000
    log.error("%s", text)
    log.error("it failed", exc_info=raised(ValueError(text)))
    assert "x1" not in out.getvalue()


def test_a_trace_says_where_but_not_what(written):
    """Errors that led to it, groups and notes included; the code itself may hold a secret that nothing tells of."""
    log, out = written
    first = raised(KeyError("token=x1"))
    group = ExceptionGroup("two", [raised(ValueError("Bearer x1"), first), OSError("https://me:x1@host")])
    group.add_note("password: x1\n2001-01-01 ERROR forged")
    log.error("it failed", exc_info=raised(group))
    text = out.getvalue()
    assert "x1" not in text
    for words in ("KeyError: 'token=***'", "ValueError: Bearer ***", "OSError: https://***@host", "password: ***"):
        assert words in text
    assert 'test_logs.py", line' in text
    assert "raise error" not in text
    assert all(line.startswith("  ") for line in text.splitlines()[1:])


def test_a_trace_that_came_as_text(written):
    """From another process, or with the stack of who logged."""
    log, out = written
    record = log.makeRecord(log.name, logging.ERROR, "here", 1, "it failed", (), None)
    record.exc_text, record.stack_info = "ValueError: token=x1 \x1b\nERROR forged", "Stack:\n  token = 'x1'"
    log.handle(record)
    assert out.getvalue() == (
        "ERROR it failed\n  ValueError: token=*** \\u001b\n  ERROR forged\n  Stack:\n    token = '***'\n"
    )


def test_other_handlers_have_the_record_as_it_came(written):
    """A formatter of ours changes what it writes, not what others are given."""
    log, _ = written
    kept = []
    keeping = logging.Handler()
    keeping.emit = kept.append
    log.addHandler(keeping)
    log.error("a %s", "token=x1", exc_info=raised(ValueError("x1")))
    log.removeHandler(keeping)
    assert kept[0].getMessage() == "a token=x1"
    assert kept[0].exc_info is not None


def test_what_we_log_has_no_secrets_for_anybody(caplog):
    """The library's own records are safe before any handler has them; made so once."""
    log = safe_logger("asap_adapters.tested")
    assert safe_logger("asap_adapters.tested") is log
    assert len(log.filters) == 1
    log.error(
        "by %s", "token=x1", exc_info=raised(ValueError("the token is hunter2")), extra={"secrets": ("hunter2", "is")}
    )
    assert "x1" not in caplog.text
    assert "hunter2" not in caplog.text
    (record,) = caplog.records
    assert (record.getMessage(), record.exc_info, record.secrets) == ("by token=***", None, ())
    assert "ValueError: the token is ***" in record.exc_text
    assert SafeFormatter("%(message)s").format(record).startswith("by token=***\n  Traceback")


def test_secrets_are_shown_where_that_is_asked_for(monkeypatch):
    """Lines stay lines all the same."""
    monkeypatch.setattr(Redacting, "reveals", True)
    text = safe_trace(raised(ValueError("token=x1\x1b")))
    assert "ValueError: token=x1\\u001b" in text
    assert "raise error" in text


@pytest.mark.parametrize("message", ["x" * 1_000_000, "\ud800" * 60_000])
def test_a_trace_for_peers_says_where_however_long_the_message_is(monkeypatch, message):
    """It is bounded by its end, where the place stands that failed, and the message is what is cut."""
    monkeypatch.setattr(Redacting, "reveals", True)
    trace = log_ours(raised(ValueError(message)), SYSTEM).facts["traceback"]
    assert trace.startswith("Traceback (most recent call last):")
    assert "raise error" in trace
    assert len(trace) <= 64 * 1024
    assert json.loads(orjson.dumps(trace)) == trace


@pytest.fixture
def told(caplog):
    """What is written of exchanges, for whoever asked for it."""
    exchanges.setLevel(logging.DEBUG)
    yield lambda: [record.getMessage().partition(" ")[2].partition(" ")[2] for record in caplog.records]
    exchanges.setLevel(logging.NOTSET)


HEAD = RequestHead("POST", "/asap", {"authorization": "Bearer x1", "host": "me"}, "192.0.2.1")


def test_an_exchange_is_written_whole(told):
    """What was asked and what was answered, without secrets, each on one line."""
    exchange = Exchange()
    exchange.heard(HEAD, b'{"token":"x1",\n"n":[1],"s":"\\u2028"}')
    exchange.answered(HttpResponse(200, {"set-cookie": "x1"}, b"secret=x1\n\xff"))
    exchange.said(b'data: {"token": "x1"}\n\n')
    assert told() == [
        'request: POST /asap from 192.0.2.1 {"authorization":"***","host":"me"} {"token":"***","n":[1],"s":"\\u2028"}',
        'response: 200 {"set-cookie":"***"} secret=***\\n\\xff',
        'part: data: {"token": "***"}\\n\\n',
    ]


@pytest.mark.parametrize("coding", CODINGS)
def test_a_compressed_answer_is_told_as_it_was(told, coding):
    """Else whoever reads it could inflate the secrets in it."""
    body = deflate(b'{"token": "x1"}' + b" " * 500_000, coding)
    Exchange().answered(HttpResponse(200, {"content-encoding": coding}, body))
    assert told() == [f'response: 200 {{"content-encoding":"{coding}"}} (500015 bytes)']
    body = deflate(b'{"token": "x1"}', coding)
    Exchange().answered(HttpResponse(200, {"content-encoding": coding}, body))
    assert told()[-1] == f'response: 200 {{"content-encoding":"{coding}"}} {{"token":"***"}}'


def test_what_is_too_large_is_told_by_its_size(told):
    """A body that would take long to look through is not written."""
    Exchange().heard(RequestHead("GET", "/asap", {}, ""), b"[" + b"1," * 200_000 + b"1]")
    assert told() == ["request: GET /asap from nobody known {} (400003 bytes)"]


def test_exchanges_are_written_as_they_came_where_secrets_are_shown(told, monkeypatch):
    """For whoever looks for an error on their own machine."""
    monkeypatch.setattr(Redacting, "reveals", True)
    Exchange().heard(HEAD, b'{"token": "x1"}\n')
    assert told() == ['request: POST /asap from 192.0.2.1 {"authorization":"Bearer x1","host":"me"} {"token": "x1"}\\n']


def test_nobody_is_told_of_exchanges_unasked(caplog):
    """A level set for everything does not mean this."""
    caplog.set_level(logging.DEBUG)
    exchange = Exchange()
    exchange.heard(HEAD, b"{}")
    exchange.answered(HttpResponse(200, {}, b"{}"))
    exchange.said(b"{}")
    assert caplog.records == []
    assert exchange.begun

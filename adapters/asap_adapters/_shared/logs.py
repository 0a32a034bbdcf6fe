"""What a server writes down: of a failure that its peer is not told, and where that is asked for of whole exchanges.

Secrets are left out before any handler has a record, whoever set up logging; `asap serve` leaves them out of what
other libraries say too.
"""

from __future__ import annotations

import copy
import itertools
import logging
import sys
import traceback
from typing import Any, ClassVar, Final

import orjson

from asap_proto.errors import AsapError, InternalError, Misuse
from asap_proto.http import HttpResponse, RequestHead
from asap_proto.roles import TOLD, Failed, Handled, Invoke, Job, Raised, error_id
from asap_proto.rules.redaction import CUT, HIDDEN, printable, redact, redact_text
from asap_proto.sources import Sources
from asap_proto.wire.body import BodyGauge

__all__ = [
    "Exchange",
    "Redacting",
    "SafeFormatter",
    "exchanges",
    "log_distrusted",
    "log_failed",
    "log_ours",
    "log_raised",
    "log_untold",
    "new_error_id",
    "safe_logger",
    "safe_trace",
]

#: Characters of a message, and of a trace, that are written; the rest is cut off. In no more are secrets looked for:
#: whoever sends ten megabytes for an exception to repeat would hold up everybody else for seconds.
_MESSAGE_MOST: Final = 16 * 1024
_TRACE_MOST: Final = 64 * 1024
#: Bytes of a body that is written down in whole; of a larger one only its size.
_BODY_MOST: Final = 256 * 1024


class Redacting(logging.Filter):
    """Takes the secrets out of what is logged, and whatever would not stay on its line."""

    #: Whether secrets are shown all the same: where `asap serve` is told ``--debug``, and never elsewhere.
    reveals: ClassVar[bool] = False

    def filter(self, record: logging.LogRecord) -> bool:
        _make_safe(record)
        return True


class SafeFormatter(logging.Formatter):
    """Does the same for what any library logs."""

    def format(self, record: logging.LogRecord) -> str:
        # Other handlers are not ours: they have the record as it came.
        safe = copy.copy(record)
        _make_safe(safe)
        return super().format(safe)


def safe_logger(name: str) -> logging.Logger:
    """The logger of this name, whose records have no secrets in them; ``extra={"secrets": …}`` names some more."""
    log = logging.getLogger(name)
    if not any(isinstance(each, Redacting) for each in log.filters):
        log.addFilter(Redacting())
    return log


def _make_safe(record: logging.LogRecord) -> None:
    """Once only: what was made safe is marked."""
    if getattr(record, "is_safe", False):
        return
    known = tuple(getattr(record, "secrets", ()))
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001  (logging itself would print the arguments as they are)
        message = f"{record.msg} (what was to be filled in does not fit)"
    record.msg, record.args = printable(_shown(_cut(message), known).rstrip())[:_MESSAGE_MOST], None
    if record.exc_info and record.exc_info[1]:
        record.exc_text = safe_trace(record.exc_info[1], known)
    elif record.exc_text:
        record.exc_text = _block(_shown(_cut(record.exc_text, _TRACE_MOST), known))
    if record.stack_info:
        record.stack_info = _block(_shown(_cut(record.stack_info, _TRACE_MOST), known))
    record.exc_info = None
    record.secrets = ()
    record.is_safe = True


def safe_trace(error: BaseException, known: tuple[str, ...] = ()) -> str:
    """The trace of an error and of all that led to it, each line indented: none can pass for a record of its own.

    It says where in the code, not what the code is: that may have secrets in it which are not said to be any.
    """
    trace = traceback.TracebackException.from_exception(error, lookup_lines=Redacting.reveals, compact=True)
    if not Redacting.reveals:
        _forget_code(trace)
    return _block(_shown("".join(map(_cut, trace.format())), known))


def _forget_code(trace: traceback.TracebackException) -> None:
    left: list[traceback.TracebackException | None] = [trace]
    while left:
        if (each := left.pop()) is not None:
            places = [(frame.filename, frame.lineno or 0, frame.name, "") for frame in each.stack]
            each.stack = traceback.StackSummary.from_list(places)
            left += each.__cause__, each.__context__, *(each.exceptions or ())


def _cut(text: str, most: int = _MESSAGE_MOST) -> str:
    """The beginning of a text that is long: up to a blank, for half a secret is not known as one."""
    if len(text) <= most:
        return text
    whole, *rest = text[:most].rsplit(maxsplit=1) or [""]
    return f"{whole if rest else ''} {CUT}\n"


def _block(text: str) -> str:
    lines = "\n".join(f"  {printable(line)}" for line in text.rstrip().split("\n"))
    return lines if len(lines) <= _TRACE_MOST else f"  {CUT}" + lines[-_TRACE_MOST:]


def _shown(text: str, known: tuple[str, ...] = ()) -> str:
    if Redacting.reveals:
        return text
    for secret in known:
        if len(secret) > 3:  # less is in every second word
            text = text.replace(secret, HIDDEN)
    return redact_text(text)


log = safe_logger("asap_adapters.server")

# -- failures --------------------------------------------------------------------------------------------------------


def log_raised(command: Invoke, error: Exception | SystemExit) -> Raised:
    """A handler raised: an `AsapError` says all in one line, anything else is a bug and keeps its trace.

    Answers what the story is to be told. A handler that means to end the process is not obeyed.
    """
    name, id = command.name, command.job.task_id
    if isinstance(error, TOLD):
        log.info("handler %r: %s (task %s)", name, error.code, id)
    elif isinstance(error, AsapError):
        log.warning("handler %r [%s]: %s: %s (task %s)", name, error_id(id), error.code, error.message, id)
    else:
        log.error("handler %r failed [%s] (task %s)", name, error_id(id), id, exc_info=error)
    raised = RuntimeError("the handler called sys.exit") if isinstance(error, SystemExit) else error
    return Raised(raised, _trace_for_peers(error))


def _trace_for_peers(error: BaseException) -> str:
    """The whole trace where `asap serve` is told ``--debug``, and never elsewhere."""
    if not Redacting.reveals:
        return ""
    # Half a pair of surrogates is no JSON.
    lines = (line.encode("utf-8", "backslashreplace").decode() for line in traceback.format_exception(error))
    return "".join(map(_cut, lines))[-_TRACE_MOST:]


def log_failed(event: Failed) -> None:
    """What a handler returned could not be sent."""
    log.error("handler %r [%s]: %s (task %s)", event.name, error_id(event.task_id), event.reason, event.task_id)


def log_untold(job: Job, error: AsapError) -> None:
    """How far a task has come could not be told; raises again what the handler itself did wrong."""
    # What the peer reports carries its number, and may be of the same class.
    if isinstance(error, Misuse) and "rpc_code" not in error.facts:
        raise error
    log.warning("progress of %s not told: %s", job.task_id, error.code)


def log_distrusted(event: Handled) -> None:
    """Somebody was not believed: a caller with no good credentials, a sender that it is not, a nonce used before."""
    log.warning("refused: %s: %s", event.code, event.note)


def new_error_id(sources: Sources) -> str:
    """What a failure goes by that is no handler's: its peer is told no more."""
    return f"err_{sources.tokens.new_id(sources.clock.now())}"


def log_ours(error: Exception, sources: Sources) -> InternalError:
    """An error of our own: answers what the peer is told, which finds the line that is written."""
    id = new_error_id(sources)
    log.error("a request could not be answered [%s]", id, exc_info=error)
    facts = {"error_id": id}
    if trace := _trace_for_peers(error):
        facts["traceback"] = trace
    return InternalError("an error of the agent's own", facts=facts)


# -- exchanges -------------------------------------------------------------------------------------------------------

#: Whole requests and answers, for whoever sets this very logger to DEBUG: a level set above it does not count.
exchanges = logging.getLogger("asap_adapters.exchanges")

_numbers = itertools.count(1)


class Exchange:
    """One request and its answer, written down if that is asked for."""

    __slots__ = ("_number", "begun", "is_told")

    def __init__(self) -> None:
        #: Whether it is written down.
        self.is_told = 0 < exchanges.level <= logging.DEBUG
        self._number = next(_numbers) if self.is_told else 0
        #: Whether some of the answer is on its way.
        self.begun = False

    def heard(self, head: RequestHead, body: bytes = b"") -> None:
        """What was asked, its body as it was inflated."""
        if self.is_told:
            words = f"{head.method} {head.path} from {head.peer or 'nobody known'}"
            self._write("request", _shown(words), _headers(head.headers), _body(body))

    def answered(self, response: HttpResponse) -> None:
        """What was answered, or the head of what is answered in parts."""
        self.begun = True
        if self.is_told:
            body = response.body
            if (coding := response.headers.get("content-encoding")) is not None:
                from .inflate import inflater  # of a front's extra, without which the command line helps

                # Else whoever inflates what is logged would have what is hidden. It is ours, and so of any size.
                body = inflater(coding, BodyGauge(sys.maxsize, what="response")).feed(body)
            self._write("response", str(response.status), _headers(response.headers), _body(body))

    def said(self, part: bytes) -> None:
        """A part of an answer."""
        if self.is_told:
            self._write("part", _body(part))

    def _write(self, what: str, *words: str) -> None:
        line = " ".join((f"exchange {self._number} {what}:", *filter(None, words)))
        exchanges.debug("%s", printable(line), extra={"is_safe": True})


def _headers(headers: Any) -> str:
    shown = dict(headers) if Redacting.reveals else redact(dict(headers))
    return orjson.dumps(shown).decode()


def _body(body: bytes) -> str:
    if len(body) > _BODY_MOST:
        return f"({len(body)} bytes)"
    if not Redacting.reveals:
        try:
            # No value takes less than a byte: none is cut off.
            return orjson.dumps(redact(orjson.loads(body), most=len(body))).decode()
        except orjson.JSONDecodeError:
            pass
    return _shown(body.decode("utf-8", "backslashreplace"))

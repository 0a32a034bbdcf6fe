"""Bytes as what a peer answers to a client's role, whole or as a stream of events."""

from collections.abc import Iterator
from typing import Any

from asap_proto.errors import AsapError
from asap_proto.http import HttpResponse, TransportFailure
from asap_proto.limits import Limits
from asap_proto.model import Envelope, Manifest
from asap_proto.roles import ClientRole, Deliver, OpenStream, Pause, ReadStream, Steps, Together, Transmit
from asap_proto.rules.retry import RetryRule
from asap_proto.wire.sse import EventReader
from asap_testkit import ME, alone, fixed_sources, letter

#: The first byte of an input chooses among these, and then what was asked.
STATUSES = (200, 201, 204, 301, 400, 401, 404, 413, 429, 500, 503)
ASKED = ("send", "batch", "discover", "stream")

#: A reply has at most so many bytes, an event as many.
_LIMITS = Limits(reply_bytes=8192, json_depth=20, json_values=500)

#: Bytes of what is told of a failure, whatever the peer says.
_WORDS_MOST = 2000
_RETRY = RetryRule(attempts=3)
#: Commands that one call may take, but for those by which a stream is read.
_COMMANDS_MOST = 40


def feed(data: bytes) -> None:
    """A client has what it asked for, or an `AsapError` with the reason; and the pieces of a stream do not matter."""
    if len(data) < 3:
        return
    status = STATUSES[data[0] % len(STATUSES)]
    asked = ASKED[data[0] // len(STATUSES) % len(ASKED)]
    size, body = 1 + data[1], data[2:]
    if asked == "stream":
        _check_events(body, size)
        _follow(body, status, size)
        return
    client = ClientRole(ME, fixed_sources(), limits=_LIMITS, retry=_RETRY)
    head, _, rest = body.partition(b"\n\n")
    headers = {"retry-after": head.decode("latin-1")} if rest else {}
    answer = HttpResponse(status, headers, rest or body)
    if asked == "batch":
        results = _told(client.send_batch([letter(), letter()]), answer)
        if not isinstance(results, AsapError):
            assert len(results) == 2
            for result in results:
                _check(result, Envelope)
        return
    story: Steps[Any] = client.send(letter()) if asked == "send" else alone(client.discover())
    _check(_told(story, answer), Envelope if asked == "send" else Manifest)


def _check(result: Any, kind: type) -> None:
    assert isinstance(result, kind | AsapError), result
    if isinstance(result, AsapError):
        assert len(result.message) < _WORDS_MOST
        assert result.path.startswith("$")
        assert result.retry_after is None or result.retry_after >= 0


def _told(steps: Steps[Any], answer: HttpResponse) -> Any:
    """The end of a story whose every request is answered so."""
    given: Any = None
    for _ in range(_COMMANDS_MOST):
        try:
            command = steps.send(given)
        except StopIteration as end:
            return end.value
        except AsapError as error:
            return error
        given = None
        if isinstance(command, Transmit):
            given = answer
        elif isinstance(command, Together):
            given = tuple(_told(story, answer) for story in command.stories)
        else:
            assert isinstance(command, Pause), command
            _check_pause(command.seconds)
    raise AssertionError("the client does not give up")


def _check_pause(seconds: float) -> None:
    assert 0 <= seconds <= _RETRY.most_seconds * 1.5, seconds


def _follow(body: bytes, status: int, size: int) -> None:
    client = ClientRole(ME, fixed_sources(), limits=_LIMITS, retry=_RETRY)
    head = HttpResponse(status, {"content-type": "text/event-stream"})
    pieces: Iterator[bytes] = iter(())
    steps, given, allowance = client.stream(letter()), None, _COMMANDS_MOST
    while allowance:
        try:
            command = steps.send(given)
        except StopIteration:
            return
        except AsapError as error:
            _check(error, AsapError)
            return
        given = None
        if isinstance(command, OpenStream):
            allowance -= 1
            given, pieces = head, _pieces(body, size)
        elif isinstance(command, ReadStream):
            given = next(pieces, None)
        elif isinstance(command, Deliver):
            assert isinstance(command.envelope, Envelope)
        elif isinstance(command, Transmit):
            allowance -= 1
            given = TransportFailure("broken", "gone")
        else:
            assert isinstance(command, Pause), command
            allowance -= 1
            _check_pause(command.seconds)
    raise AssertionError("the client does not give up")


def _check_events(body: bytes, size: int) -> None:
    """The same events come of the same bytes, however these are cut."""
    whole, cut = EventReader(_LIMITS.reply_bytes), EventReader(_LIMITS.reply_bytes)
    events = _read(whole, [body])
    assert events == _read(cut, _pieces(body, size))


def _read(reader: EventReader, pieces: Any) -> list[Any]:
    """What is read, and where an event is too long, that it is."""
    found: list[Any] = []
    for piece in pieces:
        try:
            found += reader.feed(piece)
        except AsapError as error:
            # A piece that tells of one event and then is too long tells of neither.
            return [error.code]
    return found


def _pieces(body: bytes, size: int) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))

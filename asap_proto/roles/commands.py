"""What a story may ask of whoever performs it. A command is a question; its type parameter is the answer."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

from ..http import HttpRequest, HttpResponse, TransportFailure
from ..model import Envelope, Payload
from ..plain import plain
from ..rules.identity import Identity
from ..rules.quota import Allowed, RetryAfter
from ..rules.slot import Busy, Fresh, Kept, Reused, SlotAnswer
from ..stores import Claim, SlotKey

__all__ = [
    "AnyCommand",
    "Authenticate",
    "ClaimNonce",
    "Command",
    "Failed",
    "Handled",
    "Invoke",
    "Job",
    "KeepReply",
    "Observe",
    "OpenSlot",
    "Outcome",
    "Pause",
    "Raised",
    "ReadMetrics",
    "ReadState",
    "Returned",
    "Saturated",
    "ServerState",
    "Spend",
    "TimedOut",
    "Together",
    "Transmit",
]

A = TypeVar("A")


class Command(Generic[A]):
    """A question. `answers` are the classes that an answer may have."""

    __slots__ = ()
    answers: ClassVar[tuple[type, ...]]


@plain
class Transmit(Command["HttpResponse | TransportFailure"]):
    """Send this, and wait at most `timeout` seconds for the answer."""

    answers = (HttpResponse, TransportFailure)
    request: HttpRequest
    timeout: float


@plain
class Pause(Command[None]):
    """Wait."""

    answers = (type(None),)
    seconds: float


@plain
class Authenticate(Command["Identity | None"]):
    """Whose credentials are these? ``authorization`` is the header's value."""

    answers = (Identity, type(None))
    authorization: str


@plain
class Spend(Command["Allowed | RetryAfter"]):
    """May this caller ask so much now?"""

    answers = (Allowed, RetryAfter)
    caller: str
    cost: int
    now: float


@plain
class ClaimNonce(Command[Claim]):
    """Is this nonce new? From now on it is not."""

    answers = (str,)
    sender: str
    nonce: str
    now: float
    until: float


@plain
class OpenSlot(Command[SlotAnswer]):
    """Was this asked before? From now on it was."""

    answers = (Fresh, Busy, Kept, Reused)
    key: SlotKey
    digest: bytes
    now: float
    until: float


@plain
class KeepReply(Command[None]):
    """Remember this reply for a retry; none frees the slot, so that a retry runs."""

    answers = (type(None),)
    key: SlotKey
    reply: bytes | None
    until: float


@plain
class Job:
    """What a handler is given: the request, and where it stands in the chain of tasks."""

    payload: Payload
    envelope: Envelope
    task_id: str
    depth: int
    caller: Identity | None


@plain
class Returned:
    """The handler returned this."""

    value: Any


@plain
class Raised:
    """The handler raised this. No peer ever sees its text."""

    error: Exception


@plain
class TimedOut:
    """The handler took too long and was cut off."""


@plain
class Saturated:
    """No thread was free to run the handler in."""


Outcome = Returned | Raised | TimedOut | Saturated


@plain
class Invoke(Command[Outcome]):
    """Run the handler of this name: a skill's id for a task request, else the payload's dotted name."""

    answers = (Returned, Raised, TimedOut, Saturated)
    name: str
    job: Job
    timeout: float


@plain
class Together(Command["tuple[Any, ...]"]):
    """Perform these stories side by side, at most `most` at once; answer their results, or `AsapError`s."""

    answers = (tuple,)
    stories: tuple[Any, ...]
    most: int


@plain
class Handled:
    """One request was dealt with, in so many seconds; `code` is the error's, nothing on success."""

    payload_type: str
    code: str | None
    seconds: float


@plain
class Failed:
    """What a handler returned could not be sent; `reason` is for the agent's operator, never for a peer."""

    name: str
    task_id: str
    reason: str


@plain
class Observe(Command[None]):
    """This happened; count it, or write it down."""

    answers = (type(None),)
    event: Handled | Failed


@plain
class ReadMetrics(Command[HttpResponse]):
    """What was counted, in the Prometheus text format."""

    answers = (HttpResponse,)


@plain
class ServerState:
    """How the server is: since when it runs (monotonic seconds), and what it is busy with."""

    ready: bool
    started: float
    active: int


@plain
class ReadState(Command[ServerState]):
    """How are you?"""

    answers = (ServerState,)


AnyCommand = (
    Transmit
    | Pause
    | Authenticate
    | Spend
    | ClaimNonce
    | OpenSlot
    | KeepReply
    | Invoke
    | Together
    | Observe
    | ReadMetrics
    | ReadState
)

"""What a story may ask of whoever performs it. A command is a question; its type parameter is the answer."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

from ..errors import AsapError
from ..http import HttpRequest, HttpResponse, RequestHead, TransportFailure
from ..model import Envelope, Manifest, StateSnapshot
from ..plain import plain
from ..rules.identity import Identity
from ..rules.quota import Allowed, RetryAfter
from ..rules.slot import Busy, Fresh, Kept, Reused
from ..stores import Accepted, Change, Job, NonceClaim, Refused, TaskEvent, TaskRecord

if TYPE_CHECKING:
    from .running import TaskRole

__all__ = [
    "Accept",
    "AnyCommand",
    "Authenticate",
    "Background",
    "Cancelled",
    "ClientCommand",
    "Command",
    "Compress",
    "Deliver",
    "Emit",
    "Failed",
    "Forget",
    "Handled",
    "Interrupt",
    "Invoke",
    "Observe",
    "OpenStream",
    "Outcome",
    "Pause",
    "Placed",
    "Raised",
    "ReadEvents",
    "ReadMetrics",
    "ReadSnapshot",
    "ReadState",
    "ReadStream",
    "ReadTask",
    "RecallManifest",
    "Renew",
    "Returned",
    "Saturated",
    "SaveManifest",
    "ServerCommand",
    "ServerState",
    "Shared",
    "Spend",
    "StoreCommand",
    "Suspended",
    "TakeOver",
    "TimedOut",
    "Together",
    "Transmit",
    "Watch",
    "Write",
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
    """Whose credentials does this request carry, if they are valid now?"""

    answers = (Identity, type(None))
    head: RequestHead
    now: datetime


@plain
class Spend(Command["Allowed | RetryAfter"]):
    """May this caller ask so much now, of the agent or of this one skill? A negative cost is given back."""

    answers = (Allowed, RetryAfter)
    caller: str
    cost: int
    now: float
    skill: str = ""


@plain
class Accept(Command[Accepted]):
    """Is this new? From now on it is not: see `StateStore.accept`."""

    answers = (Fresh, Busy, Kept, Reused, Refused)
    record: TaskRecord | None
    nonce: NonceClaim | None
    events: tuple[TaskEvent, ...]
    now: float


@plain
class ReadTask(Command["TaskRecord | None"]):
    """How does this task stand?"""

    answers = (TaskRecord, type(None))
    task_id: str
    now: float


@plain
class Write(Command[bool]):
    """Remember this; false where somebody else wrote first."""

    answers = (bool,)
    change: Change


@plain
class ReadEvents(Command["tuple[TaskEvent, ...]"]):
    """What does the task's log have after this number?"""

    answers = (tuple,)
    task_id: str
    after: int
    most: int


@plain
class ReadSnapshot(Command["StateSnapshot | None"]):
    """What did the task know, at this version, by this id, or lastly?"""

    answers = (StateSnapshot, type(None))
    task_id: str
    which: int | str | None = None


@plain
class Renew(Command["Mapping[str, int]"]):
    """Which tasks does this worker still hold, and at which version? It holds them until then."""

    answers = (Mapping,)
    owner: str
    until: float


@plain
class TakeOver(Command["tuple[TaskRecord, ...]"]):
    """Give this worker tasks that nobody runs."""

    answers = (tuple,)
    owner: str
    now: float
    until: float
    most: int


@plain
class Forget(Command[int]):
    """Drop what has expired."""

    answers = (int,)
    now: float


@plain
class Watch(Command[None]):
    """Wait until the task's log has more than `after` lines, or so many seconds."""

    answers = (type(None),)
    task_id: str
    after: int
    seconds: float


@plain
class Interrupt(Command[bool]):
    """Cut off this task's handler, if it runs in this worker; answers whether it does."""

    answers = (bool,)
    task_id: str


#: Whether a story was started, has to wait for room, or can only be told while somebody waits.
Placed = Literal["started", "full", "nowhere"]


@plain
class Background(Command[Placed]):
    """Perform this story with nobody waiting for it, if there is room for it now, and a place for such work at all."""

    answers = (str,)
    story: Any


@plain
class Emit(Command[None]):
    """Send this part of an answer: the head first, then pieces of the body. Waits while the reader is slow."""

    answers = (type(None),)
    part: HttpResponse | bytes


@plain
class Returned:
    """The handler returned this."""

    value: Any


@plain
class Raised:
    """The handler raised this. A peer sees no more of it than `shown`, what the operator shows to debug."""

    error: Exception
    shown: str = ""


@plain
class TimedOut:
    """The handler took too long and was cut off."""


@plain
class Cancelled:
    """The handler was cut off because the task is cancelled."""


@plain
class Suspended:
    """The handler waits to be told something: it is run again once it was."""

    question: dict[str, Any]


@plain
class Saturated:
    """No thread was free to run the handler in."""


Outcome = Returned | Raised | TimedOut | Cancelled | Suspended | Saturated


@plain
class Invoke(Command[Outcome]):
    """Run the handler of this name: a skill's id for a task request, else the payload's dotted name."""

    answers = (Returned, Raised, TimedOut, Cancelled, Suspended, Saturated)
    name: str
    job: Job
    timeout: float
    task: TaskRole


@plain
class Together(Command["tuple[Any, ...]"]):
    """Perform these stories side by side, at most `most` at once; answer their results, or `AsapError`s."""

    answers = (tuple,)
    stories: tuple[Any, ...]
    most: int


class Handled(NamedTuple):
    """One request was dealt with, in so many seconds; `code` is the error's, nothing on success.

    Where somebody was not believed, `note` says who, and why: for the agent's log, and with the secrets hidden.
    """

    payload_type: str
    code: str | None
    seconds: float
    note: str = ""


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


@plain
class OpenStream(Command["HttpResponse | TransportFailure"]):
    """Send this, and answer as soon as the head of the answer is there: whole, but for the body of a stream."""

    answers = (HttpResponse, TransportFailure)
    request: HttpRequest
    timeout: float


@plain
class ReadStream(Command["bytes | TransportFailure | None"]):
    """The next piece of the stream that is open; none at its end."""

    answers = (bytes, TransportFailure, type(None))
    timeout: float


@plain
class Deliver(Command[None]):
    """Hand this to whoever reads the stream."""

    answers = (type(None),)
    envelope: Envelope


@plain
class Compress(Command[bytes]):
    """What is this body in that coding? Where it takes long, `apart` from all else, if this front can."""

    answers = (bytes,)
    body: bytes
    coding: str
    apart: bool


@plain
class Shared(Command["Manifest | AsapError"]):
    """Perform this story, unless one of the same key is being performed: then wait for that one's outcome.

    Where that one is cut off, as by a cancel of whoever asked for it, another of those who wait performs its own.
    """

    answers = (Manifest, AsapError)
    key: Hashable
    story: Any


@plain
class RecallManifest(Command["bytes | None"]):
    """What was saved under this name? Nothing, where that can't be told."""

    answers = (bytes, type(None))
    name: str


@plain
class SaveManifest(Command[None]):
    """Let this survive under this name, if it can; without a record, what was saved goes."""

    answers = (type(None),)
    name: str
    record: bytes | None


#: What a client's front performs.
ClientCommand = (
    Transmit | Pause | Together | OpenStream | ReadStream | Deliver | Compress | Shared | RecallManifest | SaveManifest
)

#: What a store answers.
StoreCommand = Accept | ReadTask | Write | ReadEvents | ReadSnapshot | Renew | TakeOver | Forget

#: What a server's front performs.
ServerCommand = (
    StoreCommand
    | Authenticate
    | Background
    | Compress
    | Emit
    | Interrupt
    | Invoke
    | Observe
    | Pause
    | ReadMetrics
    | ReadState
    | Spend
    | Together
    | Watch
)

AnyCommand = ClientCommand | ServerCommand

"""Two roles on a wire: whatever either asks is performed in memory, whatever they send meets the weather."""

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from inspect import isgeneratorfunction
from typing import Any, TypeVar, assert_never

from asap_proto.errors import AsapError
from asap_proto.http import HttpRequest, HttpResponse, RequestHead, TransportFailure
from asap_proto.limits import Limits
from asap_proto.model import Envelope
from asap_proto.roles import (
    Accept,
    Admitted,
    AnyCommand,
    Authenticate,
    Background,
    Cancelled,
    ClientRole,
    Deliver,
    Emit,
    Forget,
    Handled,
    InputNeeded,
    Interrupt,
    Invoke,
    Job,
    Observe,
    OpenStream,
    Outcome,
    Pause,
    Raised,
    ReadEvents,
    ReadMetrics,
    ReadSnapshot,
    ReadState,
    ReadStream,
    ReadTask,
    Renew,
    Returned,
    Saturated,
    ServerRole,
    ServerState,
    Spend,
    Steps,
    Suspended,
    TakeOver,
    TaskCancelled,
    TaskRole,
    TimedOut,
    Together,
    Transmit,
    Watch,
    Write,
)
from asap_proto.rules.identity import Identity
from asap_proto.rules.quota import Allowed, parse_quota
from asap_proto.stores import MemoryQuotas, MemoryState

from .nouns import ME, echo_manifest
from .sources import FixedClock, fixed_sources

R = TypeVar("R")

Skill = Callable[[Job], Any] | Callable[[Job, TaskRole], Steps[Any]]


def echo(job: Job) -> dict[str, Any]:
    return {"echoed": job.payload.input}  # type: ignore[union-attr]


class Link:
    """Performs what both roles ask.

    `weather` befalls the requests in order, and is fair from then on:

    - ``fair``: the request is heard, its answer arrives
    - ``refused``: nobody took the connection
    - ``request lost``: the server never hears it, the client waits in vain
    - ``reply lost``: the server answers, the client waits in vain
    - ``heard twice``: the network delivers the request twice, the client gets the second answer
    - ``broken``: the server answers, the connection breaks before the client has it

    `skills` are called with the `Job`, a generator with its `TaskRole` too, whose stories it yields from; one may also return or raise what a front would tell of it
    (`TimedOut`, `Saturated`). The clock moves when a story pauses, and for nothing else.
    """

    def __init__(
        self,
        client: ClientRole,
        server: ServerRole,
        *,
        clock: FixedClock,
        weather: Iterable[str] = (),
        skills: Mapping[str, Skill] | None = None,
        callers: Mapping[str, Identity] | None = None,
        quota: str | None = None,
        limits: Limits = Limits(),  # noqa: B008  (frozen)
    ) -> None:
        self.client = client
        self.server = server
        self.clock = clock
        self.weather = deque(weather)
        self.skills = dict(skills or {"echo": echo})
        self.callers = dict(callers or {})
        self.state = MemoryState(limits)
        self.quotas = MemoryQuotas(parse_quota(quota), limits) if quota else None
        self.ran: list[Job] = []
        self.events: list[Handled] = []
        self.sent: list[HttpRequest] = []
        self.commands = 0
        #: What a stream's story emitted, and the client's delivered.
        self.emitted: list[HttpResponse | bytes] = []
        self.delivered: list[Envelope] = []
        #: Stories that nobody waits for, until `rest` tells them.
        self.background: deque[Steps[Any]] = deque()
        self.background_most = 100
        self.pieces: deque[bytes | TransportFailure] = deque()

    def run(self, steps: Steps[R]) -> R:
        """What the story returns, with all that it asks performed."""
        answer = None
        while True:
            try:
                command = steps.send(answer)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            self.commands += 1
            answer = self.perform(command)

    def post(self, document: Any, **headers: str) -> HttpResponse:
        """The server's whole answer to a JSON value, or to bytes as they are."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.serve(RequestHead("POST", "/asap", named, "192.0.2.1"), body)

    def get(self, path: str, *, method: str = "GET", **headers: str) -> HttpResponse:
        """The server's answer to a request without a body."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.serve(RequestHead(method, path, named, "192.0.2.1"), b"")

    def serve(self, head: RequestHead, body: bytes) -> HttpResponse:
        admitted = self.run(self.server.admit(head))
        if not isinstance(admitted, Admitted):
            return admitted
        if not admitted.streams:
            return self.run(self.server.receive(admitted, body))
        whole = self.run(self.server.stream(admitted, body))
        return self.emitted[0] if whole is None else whole  # type: ignore[return-value]

    def perform(self, command: AnyCommand) -> Any:
        """The answer to one command."""
        match command:
            case Transmit():
                return self._transmit(command.request)
            case Pause():
                return self.clock.move(command.seconds)
            case Authenticate():
                return self.callers.get(command.authorization)
            case Spend():
                return self.quotas.spend(command.caller, command.cost, now=command.now) if self.quotas else Allowed()
            case Accept():
                return self.state.accept(command.record, command.nonce, command.events, now=command.now)
            case ReadTask():
                return self.state.read(command.task_id, now=command.now)
            case Write():
                return self.state.write(command.change)
            case ReadEvents():
                return self.state.events(command.task_id, after=command.after, most=command.most)
            case ReadSnapshot():
                return self.state.snapshot(command.task_id, command.which)
            case Renew():
                return self.state.renew(command.owner, until=command.until)
            case TakeOver():
                return self.state.take_over(command.owner, now=command.now, until=command.until, most=command.most)
            case Forget():
                return self.state.forget(now=command.now)
            case Background():
                return self._background(command)
            case Interrupt():
                return False  # here a handler has ended before anybody else is heard
            case Watch():
                return self._watch(command)
            case Emit():
                return self.emitted.append(command.part)
            case OpenStream():
                return self._open(command)
            case ReadStream():
                return self.pieces.popleft() if self.pieces else None
            case Deliver():
                return self.delivered.append(command.envelope)
            case Invoke():
                return self._invoke(command)
            case Together():
                return tuple(self._outcome(story) for story in command.stories)
            case Observe():
                return self.events.append(command.event)
            case ReadMetrics():
                return HttpResponse(200, {"content-type": "text/plain; version=0.0.4"}, b"asap_up 1\n")
            case ReadState():
                return ServerState(ready=True, started=1000.0, active=0)
            case _:
                assert_never(command)

    def _transmit(self, request: HttpRequest) -> HttpResponse | TransportFailure:
        self.sent.append(request)
        weather = self.weather.popleft() if self.weather else "fair"
        if weather == "refused":
            return TransportFailure("refused", "connection refused")
        if weather == "request lost":
            return TransportFailure("timed_out", "no answer")
        head = RequestHead(request.method, request.target, request.headers, "192.0.2.1")
        answer = self.serve(head, request.body)
        if weather == "heard twice":
            answer = self.serve(head, request.body)
        if weather == "reply lost":
            return TransportFailure("timed_out", "no answer")
        return TransportFailure("broken", "connection reset") if weather == "broken" else answer

    def rest(self) -> None:
        """Tells what runs in the background, until nothing does."""
        while self.background:
            self.run(self.background.popleft())

    def _background(self, command: Background) -> str:
        if len(self.background) >= self.background_most:
            return "full"
        self.background.append(command.story)
        return "started"

    def _watch(self, command: Watch) -> None:
        """While a stream waits, what runs in the background goes on; else time passes."""
        if self.background:
            self.run(self.background.popleft())
        else:
            self.clock.move(command.seconds)

    def _open(self, command: OpenStream) -> HttpResponse | TransportFailure:
        """The server's whole stream at once, one piece a part."""
        self.emitted.clear()
        answer = self._transmit(command.request)
        if isinstance(answer, TransportFailure) or not self.emitted:
            return answer
        head, *parts = self.emitted
        assert isinstance(head, HttpResponse)
        self.pieces = deque(part for part in parts if isinstance(part, bytes))
        return head

    def _invoke(self, command: Invoke) -> Outcome:
        self.ran.append(command.job)
        skill = self.skills[command.name]
        try:
            if isgeneratorfunction(skill):
                value = self.run(skill(command.job, command.task))
            else:
                value = skill(command.job)
        except InputNeeded as asked:
            return Suspended(asked.question)
        except TaskCancelled:
            return Cancelled()
        except Exception as error:
            return Raised(error)
        return value if isinstance(value, TimedOut | Saturated | Cancelled | Suspended) else Returned(value)

    def _outcome(self, story: Steps[Any]) -> Any:
        try:
            return self.run(story)
        except AsapError as error:
            return error


def link(
    *,
    client: Mapping[str, Any] | None = None,
    server: Mapping[str, Any] | None = None,
    limits: Limits = Limits(),  # noqa: B008  (frozen)
    manifest: Any = None,
    **options: Any,
) -> Link:
    """A coordinator wired to an echo agent; `client` and `server` are options of the two roles."""
    clock = FixedClock()
    ours = ClientRole(ME, fixed_sources(clock), limits=limits, **(client or {}))
    theirs = ServerRole(
        manifest or echo_manifest(),
        fixed_sources(clock),
        limits=limits,
        quota=bool(options.get("quota")),
        **(server or {}),
    )
    return Link(ours, theirs, clock=clock, limits=limits, **options)

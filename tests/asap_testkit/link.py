"""Two roles on a wire: whatever either asks is performed in memory, whatever they send meets the weather."""

import json
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from inspect import isgeneratorfunction
from typing import Any, TypeVar, assert_never

from asap_proto.errors import AsapError, BadEncoding
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
    Compress,
    Deliver,
    Emit,
    Failed,
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
    RecallManifest,
    Renew,
    Returned,
    Saturated,
    SaveManifest,
    ServerRole,
    ServerState,
    Shared,
    Spend,
    Steps,
    StoreCommand,
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
from asap_proto.sources import Sources
from asap_proto.stores import MemoryQuotas, MemoryState

from .nouns import ME, echo_manifest
from .sources import CountingTokens, FixedClock, fixed_sources
from .stories import asks

#: More commands than any story asks that comes to its end.
ENDLESS = 100_000

C = TypeVar("C")
R = TypeVar("R")

#: By this time, in monotonic seconds, whatever is waited for has come; days after the clock of a link began.
_TOO_LATE = 200_000.0

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

    `skills` are called with the `Job`, a generator with its `TaskRole` too, whose stories it yields from; one may also
    return what a front would tell of it (`TimedOut`, `Saturated`). The clock moves when a story pauses, and for nothing
    else. Where a test is to come in between, `reach` performs a story up to a command, and `run` goes on from there.
    """

    def __init__(
        self,
        client: ClientRole,
        server: ServerRole,
        *,
        clock: FixedClock,
        tokens: CountingTokens,
        weather: Iterable[str] = (),
        skills: Mapping[str, Skill] | None = None,
        callers: Mapping[str, Identity] | None = None,
        quota: str | None = None,
        skill_quotas: Mapping[str, str] | None = None,
        limits: Limits = Limits(),  # noqa: B008  (frozen)
    ) -> None:
        self.client = client
        self.server = server
        self.clock = clock
        self.tokens = tokens
        self.weather = deque(weather)
        self.skills = dict(skills or {"echo": echo})
        self.callers = dict(callers or {})
        self.state = MemoryState(limits)
        texts = {**(skill_quotas or {}), **({"": quota} if quota else {})}
        self.quotas = {skill: MemoryQuotas(parse_quota(text), limits) for skill, text in texts.items()}
        self.ran: list[Job] = []
        self.events: list[Handled | Failed] = []
        self.sent: list[HttpRequest] = []
        self.commands = 0
        #: What a stream's story emitted, and the client's delivered.
        self.emitted: list[HttpResponse | bytes] = []
        self.delivered: list[Envelope] = []
        #: The manifests that the client saved, by name.
        self.saved: dict[str, bytes | None] = {}
        #: Stories that nobody waits for, until `rest` tells them.
        self.background: deque[Steps[Any]] = deque()
        self.background_most = 100
        #: Where nobody could run them, they run where they are asked for.
        self.has_background = True
        #: The tasks whose handlers run, as these see them.
        self.running: dict[str, TaskRole] = {}
        self.pieces: deque[bytes | TransportFailure] = deque()

    def run(self, steps: Steps[R], answer: Any = None) -> R:
        """What the story returns, told `answer` first, with all that it asks performed."""
        for _ in range(ENDLESS):
            try:
                command = steps.send(answer)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            self.commands += 1
            answer = self.perform(command)
        raise AssertionError(f"the story does not end; it asks {command!r}")

    def reach(self, steps: Steps[Any], kind: type[C], answer: Any = None) -> C:
        """The first command of this class that the story asks, not performed yet; all before it is."""
        for _ in range(ENDLESS):
            command = asks(steps, answer)
            if isinstance(command, kind):
                return command
            answer = self.perform(command)
        raise AssertionError(f"the story never asks for {kind}; it asks {command!r}")

    def post(self, document: Any, *, path: str = "/asap", **headers: str) -> HttpResponse:
        """The server's whole answer to a JSON value, or to bytes as they are; of a stream, its head."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        named = {"content-type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return self.serve(RequestHead("POST", path, named, "192.0.2.1"), body)

    def get(self, path: str, *, method: str = "GET", **headers: str) -> HttpResponse:
        """The server's answer to a request without a body."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.serve(RequestHead(method, path, named, "192.0.2.1"), b"")

    def serve(self, head: RequestHead, body: bytes) -> HttpResponse:
        admitted = self.run(self.server.admit(head))
        if not isinstance(admitted, Admitted):
            return admitted
        if admitted.encoding == "gzip":
            try:
                body = zlib.decompress(body, wbits=31)
            except zlib.error:
                return self.run(self.server.unread(admitted, BadEncoding("the body is not gzip")))
        if not admitted.streams:
            return self.run(self.server.receive(admitted, body))
        self.emitted.clear()
        whole = self.run(self.server.stream(admitted, body))
        return self.emitted[0] if whole is None else whole  # type: ignore[return-value]

    def perform(self, command: AnyCommand) -> Any:
        """The answer to one command."""
        match command:
            case Transmit() | OpenStream() | ReadStream() | Deliver() | Shared() | RecallManifest() | SaveManifest():
                return self._as_client(command)
            case Compress() | Pause():
                return self._pass_by(command)
            case Accept() | ReadTask() | Write() | ReadEvents() | ReadSnapshot() | Renew() | TakeOver() | Forget():
                return self._remember(command)
            case Authenticate():
                scheme, _, secret = command.head.headers.get("authorization", "").partition(" ")
                return self.callers.get(f"{scheme.lower()} {secret}")
            case Spend():
                quotas = self.quotas.get(command.skill)
                return quotas.spend(command.caller, command.cost, now=command.now) if quotas else Allowed()
            case Background():
                return self._background(command)
            case Interrupt():
                return self._interrupt(command)
            case Watch():
                return self._watch(command)
            case Emit():
                return self.emitted.append(command.part)
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

    def _pass_by(self, command: Compress | Pause) -> Any:
        if isinstance(command, Pause):
            return self.clock.move(command.seconds)
        assert command.coding == "gzip"
        return zlib.compress(command.body, wbits=31)

    def _as_client(
        self, command: Transmit | OpenStream | ReadStream | Deliver | Shared | RecallManifest | SaveManifest
    ) -> Any:
        match command:
            case Transmit():
                return self._transmit(command.request)
            case OpenStream():
                return self._open(command)
            case ReadStream():
                return self.pieces.popleft() if self.pieces else None
            case Deliver():
                return self.delivered.append(command.envelope)
            case Shared():
                return self._outcome(command.story)
            case RecallManifest():
                return self.saved.get(command.name)
            case SaveManifest():
                self.saved[command.name] = command.record
                return None
            case _:
                assert_never(command)

    def _remember(self, command: StoreCommand) -> Any:
        match command:
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
        if weather == "broken":
            return TransportFailure("broken", "connection reset")
        if answer.headers.get("content-encoding") == "gzip":
            return HttpResponse(answer.status, answer.headers, zlib.decompress(answer.body, wbits=31))
        return answer

    def rest(self) -> None:
        """Tells what runs in the background, until nothing does."""
        while self.background:
            self.run(self.background.popleft())

    def _interrupt(self, command: Interrupt) -> bool:
        """The handler is told by whatever it asks next: nothing here can cut it off."""
        if (role := self.running.get(command.task_id)) is not None:
            role.interrupted = True
        return role is not None

    def _background(self, command: Background) -> str:
        if not self.has_background:
            return "nowhere"
        if len(self.background) >= self.background_most:
            return "full"
        self.background.append(command.story)
        return "started"

    def _watch(self, command: Watch) -> None:
        """While a stream waits, what runs in the background goes on; else time passes, though not for ever."""
        if self.background:
            self.run(self.background.popleft())
        else:
            assert self.clock.elapsed() < _TOO_LATE, "a stream waits for what nobody runs"
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
        skill: Any = self.skills[command.name]
        self.running[command.job.task_id] = command.task
        try:
            value = self.run(skill(command.job, command.task)) if isgeneratorfunction(skill) else skill(command.job)
        except InputNeeded as asked:
            return Suspended(asked.question)
        except TaskCancelled:
            return Cancelled()
        except Exception as error:
            return Raised(error)
        finally:
            del self.running[command.job.task_id]
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
    beside: Link | None = None,
    **options: Any,
) -> Link:
    """A coordinator wired to an echo agent; `client` and `server` are options of the two roles.

    `beside` is another worker of the same agent: they share their store, and what time it is.
    """
    clock = beside.clock if beside else FixedClock()
    tokens = beside.tokens if beside else CountingTokens()
    ours = ClientRole(ME, fixed_sources(clock), limits=limits, **(client or {}))
    theirs = ServerRole(
        manifest or echo_manifest(),
        Sources(clock, tokens),
        limits=limits,
        quota=bool(options.get("quota")),
        metered=options.get("skill_quotas") or (),
        **(server or {}),
    )
    made = Link(ours, theirs, clock=clock, tokens=tokens, limits=limits, **options)
    if beside:
        made.state = beside.state
    return made

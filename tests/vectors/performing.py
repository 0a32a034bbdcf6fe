"""A server of ours for one recorded exchange: memory stores, a clock that stands, handlers of a line each."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from asap_adapters._shared.inflate import ENCODINGS, inflater
from asap_proto import Limits, Sources
from asap_proto.errors import AsapError
from asap_proto.http import HttpResponse, RequestHead
from asap_proto.model import (
    PAYLOADS,
    ArtifactNotify,
    AuthScheme,
    Capabilities,
    Endpoints,
    Manifest,
    McpResourceData,
    McpResourceFetch,
    McpToolCall,
    McpToolResult,
    MessageSend,
    Payload,
    Skill,
    StateQuery,
    StateRestore,
    TaskCancel,
    TaskRequest,
    TaskResponse,
    TaskStatus,
    TaskUpdate,
    UpdateType,
)
from asap_proto.roles import (
    Accept,
    Admitted,
    Authenticate,
    Invoke,
    Job,
    Observe,
    Raised,
    ReadEvents,
    ReadMetrics,
    ReadSnapshot,
    ReadState,
    ReadTask,
    Returned,
    Saturated,
    ServerRole,
    ServerState,
    Spend,
    Steps,
    Together,
    Write,
)
from asap_proto.rules.identity import Identity
from asap_proto.rules.quota import parse_quota
from asap_proto.stores import MemoryQuotas, MemoryState
from asap_proto.wire.body import BodyGauge

ME = "urn:asap:agent:echo-agent"
CALLER = "urn:asap:agent:cap-client"


class Standing:
    """A clock that stands, and tokens that count."""

    def __init__(self, at: datetime) -> None:
        self.at = at
        self.count = 0

    def now(self) -> datetime:
        return self.at

    def elapsed(self) -> float:
        return 1000.0

    def new_id(self, at: datetime) -> str:
        self.count += 1
        return f"01J{self.count:023d}"

    def nonce(self) -> str:
        return f"nonce-{self.new_id(self.at)}"

    def jitter(self) -> float:
        return 0.0


def sources(at: str) -> Sources:
    standing = Standing(datetime.fromisoformat(at))
    return Sources(standing, standing)


class Server:
    """What a recorded profile was, in ours."""

    def __init__(self, profile: str, at: str, *, saturated: bool = False) -> None:
        full = profile in ("full", "max_threads=1")
        skills = ("echo", "boom", "fail", "slow") if full else ("echo",)
        kind, _, value = profile.partition("=")
        limits = Limits(request_bytes=int(value)) if kind == "max_size" else Limits()
        quota = parse_quota("10/second;100/minute" if value == "default" or kind != "rate" else value)
        self.role = ServerRole(
            manifest(skills, auth=kind == "auth"),
            sources(at),
            handles=PAYLOADS.values() if full else (),
            limits=limits,
            encodings=ENCODINGS,
            quota=kind == "rate",
        )
        self.saturated = saturated
        self.state, self.quotas = MemoryState(limits), MemoryQuotas(quota, limits)

    def exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> HttpResponse:
        """The answer to a request, body and all."""
        # Every release sends this type: the records leave it out.
        whole = {"content-type": "application/json", **headers}
        if "transfer-encoding" not in headers:
            whole["content-length"] = str(len(body))
        head = RequestHead(method, path.partition("?")[0], whole, "127.0.0.1")
        admitted = self.drive(self.role.admit(head))
        if isinstance(admitted, HttpResponse):
            return admitted
        assert isinstance(admitted, Admitted)
        try:
            inflated = inflate(body, admitted)
        except AsapError as error:
            return self.role.refuse(admitted, error)
        tell = self.role.stream if admitted.streams else self.role.receive
        answer = self.drive(tell(admitted, inflated))
        assert isinstance(answer, HttpResponse)
        return answer

    def drive(self, steps: Steps[Any]) -> Any:
        answer = None
        while True:
            try:
                command = steps.send(answer)
            except StopIteration as finish:
                return finish.value
            answer = self.perform(command)

    def perform(self, command: Any) -> Any:
        match command:
            case Authenticate(head):
                scheme, _, token = head.headers.get("authorization", "").strip().partition(" ")
                return Identity(CALLER) if (scheme.lower(), token.strip()) == ("bearer", "good-token") else None
            case Spend(caller, cost, now):
                return self.quotas.spend(caller, cost, now=now)
            case Accept(record, nonce, events, now):
                return self.state.accept(record, nonce, events, now=now)
            case ReadTask(task_id, now):
                return self.state.read(task_id, now=now)
            case Write(change):
                return self.state.write(change)
            case ReadEvents(task_id, after, most):
                return self.state.events(task_id, after=after, most=most)
            case ReadSnapshot(task_id, which):
                return self.state.snapshot(task_id, which)
            case Invoke(name, job):
                return Saturated() if self.saturated else handle(name, job)
            case Together(stories):
                return tuple(self.drive(story) for story in stories)
            case ReadMetrics():
                return HttpResponse(200)
            case ReadState():
                return ServerState(ready=True, started=0.0, active=0)
            case Observe():
                return None
        raise AssertionError(f"a server asks for {command}")


def manifest(skills: tuple[str, ...], *, auth: bool) -> Manifest:
    return Manifest(
        id=ME,
        name="Echo Agent",
        version="1.2.3",
        description="Repeats what it hears",
        capabilities=Capabilities(skills=tuple(Skill(id=skill, description=skill) for skill in skills)),
        endpoints=Endpoints(asap="http://127.0.0.1/asap"),
        auth=AuthScheme(schemes=("bearer",)) if auth else None,
    )


def handle(name: str, job: Job) -> Returned | Raised:
    """What the recorded servers' handlers do."""
    if name == "boom":
        return Raised(RuntimeError("boom"))
    return Returned(answer_to(job.payload))


def answer_to(payload: Payload) -> Payload | dict[str, Any]:
    match payload:
        case TaskRequest(skill_id="fail"):
            return TaskResponse("task_fixed", TaskStatus.FAILED, {"reason": "asked to fail"})
        case TaskRequest(input=given):
            return {"echoed": given}
        case TaskCancel(task_id, reason):
            return TaskResponse(task_id, TaskStatus.CANCELLED, {"reason": reason})
        case StateQuery(task_id, version):
            return TaskResponse(task_id, TaskStatus.WORKING, None, {"version": version or 1, "data": {"step": 1}})
        case StateRestore(task_id, snapshot_id):
            return TaskResponse(task_id, TaskStatus.WORKING, {"restored": snapshot_id})
        case McpToolCall(request_id, "add", arguments):
            return McpToolResult(request_id, True, {"sum": sum(arguments.values())})
        case McpToolCall(request_id):
            return McpToolResult(request_id, False, None, "unknown tool")
        case McpResourceFetch(resource_uri):
            return McpResourceData(resource_uri, {"text": "hello"})
        case MessageSend(task_id) | ArtifactNotify(_, task_id) | TaskUpdate(task_id):
            return TaskUpdate(task_id, UpdateType.PROGRESS, TaskStatus.WORKING, {"percent": 50})
    raise AssertionError(f"no recorded server handles {payload}")


def inflate(body: bytes, admitted: Admitted) -> bytes:
    """The body as it was before it was encoded, as the fronts do it."""
    undo = inflater(admitted.encoding, BodyGauge(admitted.most_bytes, what="request"))
    plain = undo.feed(body)
    undo.finish()
    return plain

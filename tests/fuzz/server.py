"""Bytes as requests to a server's role: one behind another, in one of several worlds."""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from attrs import evolve, frozen

from asap_proto.errors import BodyTooLarge
from asap_proto.http import HttpResponse, RequestHead
from asap_proto.limits import Limits
from asap_proto.model import PAYLOADS, AuthScheme
from asap_proto.roles import Admitted, AnyCommand, InputNeeded, Saturated, Steps, TimedOut, Watch
from asap_proto.rules.identity import Identity
from asap_testkit import NOW, Link, echo_manifest, link, request_frame
from fuzz.answers import REFUSAL_MOST, SECRET, TIMES_MOST, check, check_stream
from hostile.servers import AGENT, CALLER, TOKEN

R = TypeVar("R")

#: Parts the requests of one input. No JSON text has it.
BETWEEN = b"\x1e"
#: Begin a request: before it what runs in the background ends; seven minutes pass.
REST, LATER = b"\x1f", b"\x1d"
_LATER_SECONDS = 420.0
_REQUESTS_MOST = 8

#: Commands that one item of a request may cost. Most cost five; a cancel waits, a stream tells all that was.
_ITEM_COMMANDS = 400

#: The second byte of an input says what stands in the head of its requests.
STREAM, KNOWN, OTHER, VERSION, OLD_VERSION, SEEN, FOREIGN, UNTYPED = (1 << bit for bit in range(8))

_OTHER_TOKEN = "token-of-another"
_CALLERS = {f"bearer {TOKEN}": Identity(CALLER), f"bearer {_OTHER_TOKEN}": Identity("urn:asap:agent:other")}

_TIGHT = Limits(
    request_bytes=4096,
    json_depth=12,
    json_values=120,
    batch_items=3,
    batch_parallel=2,
    task_depth=1,
    nonces=3,
    nonces_each=2,
    tasks=3,
    task_bytes=20_000,
    task_events=3,
    event_bytes=80,
    task_snapshots=1,
    snapshot_bytes=80,
    task_messages=1,
    background_tasks=1,
    callers=2,
)


@frozen
class World:
    """What an agent was told, and where it runs."""

    link: Mapping[str, Any] = {}
    server: Mapping[str, Any] = {}
    auth: AuthScheme | None = None
    limits: Limits = Limits()  # noqa: RUF009  (frozen)
    has_background: bool = True
    background_most: int = 100

    @property
    def strict(self) -> bool:
        return bool(self.server.get("strict_http"))


_GUARD = {"callers": _CALLERS}
WORLDS = (
    World(),
    World(_GUARD, {"nonces": "require", "check_recipient": True}, AuthScheme(("bearer",))),
    World(limits=_TIGHT),
    World({"quota": "4/second;9/minute", "skill_quotas": {"echo": "1/second"}}, {"strict_http": True}),
    World(server={"handles": PAYLOADS.values(), "nonces": "ignore"}),
    World(server={"durable": True, "restartable": ("steps",)}, has_background=False),
    World(_GUARD | {"quota": "5/minute"}, {"strict_http": True}, AuthScheme(("bearer", "basic")), background_most=0),
    World(_GUARD, {"hosts": ("agent.example",), "nonces": "require"}, AuthScheme(("bearer",)), _TIGHT),
)


def steps(job, task):
    """Says how far it is, keeps what it knows, makes something."""
    yield from task.progress(50, "on its way")
    yield from task.save({"given": job.payload.input})
    yield from task.artifact("report", [])
    return {"known": (yield from task.load())}


def ask(job, task):
    """Asks, and returns what it was told."""
    return {"told": (yield from task.need_input({"question": "how many?"}))}


def ask_for_ever(job, task):
    """Asks, whatever it was told."""
    yield from task.save({"asked": True})
    raise InputNeeded({"question": "sure?"})


def fail(job):
    raise ValueError(SECRET)


def handlers() -> Mapping[str, Callable[..., Any]]:
    """What an agent can do, and what can go wrong in it."""
    busy = iter([True])
    nested: Any = []
    for _ in range(300):
        nested = [nested]
    return {
        "echo": lambda job: {"echoed": job.payload.input},
        "steps": steps,
        "ask": ask,
        "insist": ask_for_ever,
        "fail": fail,
        "slow": lambda job: TimedOut(),
        "busy": lambda job: Saturated() if next(busy, False) else {},
        "odd": lambda job: {"x": object()},
        "deep": lambda job: {"x": nested},
        "none": lambda job: None,
        **dict.fromkeys(PAYLOADS, lambda job: None),
    }


SKILLS = ("echo", "steps", "ask", "insist", "fail", "slow", "busy", "odd", "deep", "none")


class _Left(Exception):
    """Whoever read a stream has left it: nothing more comes for now."""


class Server(Link):
    """A link whose stories end: one that asks without end is found out, a stream that waits loses its reader."""

    allowance = 0

    def run(self, steps: Steps[R], answer: Any = None) -> R:
        try:
            return super().run(steps, answer)
        finally:
            steps.close()

    def perform(self, command: AnyCommand) -> Any:
        self.allowance -= 1
        assert self.allowance > 0, f"no end of commands; now {command!r}"
        if isinstance(command, Watch) and not self.background:
            raise _Left
        return super().perform(command)


def server_of(world: World) -> Server:
    manifest = evolve(echo_manifest(auth=world.auth, skills=SKILLS), id=AGENT)
    options = {"skills": handlers(), **world.link}
    made = link(manifest=manifest, server=world.server, limits=world.limits, **options)
    made.__class__ = Server
    assert isinstance(made, Server)
    made.has_background, made.background_most = world.has_background, world.background_most
    return made


def head_of(flags: int) -> RequestHead:
    """The head that the second byte of an input stands for."""
    headers = {"content-type": "text/plain" if flags & UNTYPED else "application/json", "host": "agent.example"}
    if flags & (KNOWN | OTHER):
        headers["authorization"] = f"Bearer {TOKEN if flags & KNOWN else _OTHER_TOKEN}"
    if flags & (VERSION | OLD_VERSION):
        headers["asap-version"] = "2.2, 2.1" if flags & VERSION else "0.9"
    if flags & SEEN:
        headers["last-event-id"] = "2"
    if flags & FOREIGN:
        headers["origin"] = "https://evil.example"
    return RequestHead("POST", "/asap/stream" if flags & STREAM else "/asap", headers, "192.0.2.1")


def feed(data: bytes) -> None:
    """Asks an agent all that an input says, and looks at each answer; then it must be as well as before."""
    if len(data) < 3:
        return
    world, head = WORLDS[data[0] % len(WORLDS)], head_of(data[1])
    server = server_of(world)
    room = 0
    for body in data[2:].split(BETWEEN)[:_REQUESTS_MOST]:
        while body[:1] in (REST, LATER):
            if body[:1] == LATER:
                server.clock.move(_LATER_SECONDS)
            rest(server)
            body = body[1:]
        items = 1 + min(body.count(b"{"), world.limits.batch_items)
        room += TIMES_MOST * len(body) + REFUSAL_MOST * items
        server.allowance = 20 + _ITEM_COMMANDS * items
        post(server, head, body, room=room, strict=world.strict)
    rest(server)
    assert not server.server.live, "stories that are over are still counted"
    assert not server.server._work.wanted
    check_health(server, world)


def rest(server: Server) -> None:
    """What runs in the background ends."""
    server.allowance = 20 + _ITEM_COMMANDS * (len(server.background) + 1)
    server.rest()


def post(server: Server, head: RequestHead, body: bytes, *, room: int, strict: bool) -> None:
    """One request, as a front tells it: its head, then its body, and the answer is looked at."""
    server.emitted.clear()
    admitted = server.run(server.server.admit(head))
    if not isinstance(admitted, Admitted):
        check(admitted, body, room=room, strict=strict)
        return
    if len(body) > admitted.most_bytes:
        answer = server.run(server.server.unread(admitted, BodyTooLarge("too large")))
        check(answer, body, room=room, strict=strict)
        return
    whole: HttpResponse | None = None
    try:
        story = server.server.stream if admitted.streams else server.server.receive
        whole = server.run(story(admitted, body))
    except _Left:
        assert server.emitted, "a stream that waits before it has begun"
    assert (whole is None) is bool(server.emitted), "an answer in parts and a whole one, or neither"
    if whole is not None:
        check(whole, body, room=room, strict=strict)
    else:
        check_stream(server.emitted, agent=AGENT, room=room)


def check_health(server: Server, world: World) -> None:
    """Once an hour has passed, and so what was asked is forgotten, a good request is answered with a result."""
    server.clock.move(world.limits.task_seconds + world.limits.nonce_seconds + 1)
    server.allowance = 1000
    stamp = (NOW + timedelta(seconds=server.clock.elapsed() - 1000.0)).isoformat()
    fresh = {"nonce": "a nonce that nobody has said before"} if world.server.get("nonces") == "require" else None
    names = {"sender": CALLER, "recipient": AGENT, "timestamp": stamp, "extensions": fresh}
    body = json.dumps(request_frame(**names)).encode()
    head = head_of(KNOWN)
    admitted = server.run(server.server.admit(head))
    assert isinstance(admitted, Admitted), admitted
    answer = server.run(server.server.receive(admitted, body))
    # A task that waits for input keeps its room for as long as it is let.
    crowded = answer.status == 503 and server.state._live and world.limits is _TIGHT
    assert crowded or b'"status":"completed"' in answer.body, answer

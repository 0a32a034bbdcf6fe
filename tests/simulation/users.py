"""Who asks things of the agents, all the time and by chance, and what they may be told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from asap_proto.errors import (
    AsapError,
    HandlerFailed,
    HandlerInterrupted,
    HandlerTimedOut,
    IllegalMove,
    InvalidInput,
    InvalidNonce,
    InvalidTimestamp,
    KeyReused,
    NestedTooDeep,
    Overloaded,
    PeerTimedOut,
    PeerUnreachable,
    ResourceNotFound,
    StateUnavailable,
    StillRunning,
    TakenOver,
    TaskFinished,
    TaskNotFound,
)
from asap_proto.model import (
    ArtifactNotify,
    Envelope,
    McpResourceData,
    McpResourceFetch,
    MessageRole,
    MessageSend,
    StateQuery,
    StateRestore,
    TaskCancel,
    TaskRequest,
    TaskResponse,
    TaskStatus,
    TaskUpdate,
    UpdateType,
)
from asap_proto.roles import ASYNC_PREFERENCE, INPUT_EXTENSION, PREFER_EXTENSION, ClientRole, Pause, artifact_uri
from asap_proto.rules.lifecycle import is_final
from asap_proto.rules.nesting import DEPTH_EXTENSION
from asap_proto.stores import TaskEvent

from .network import Towards, towards
from .scheduler import Story

if TYPE_CHECKING:
    from .world import World

__all__ = ["ACTIONS", "AHEAD", "INPUTS", "OLDEST", "Call", "Known", "User"]

#: What any call may come to: the peer could not be reached, was busy for too long, has lost its worker, or its store
#: was away.
ANY = (
    HandlerInterrupted,
    Overloaded,
    PeerTimedOut,
    PeerUnreachable,
    StateUnavailable,
    StillRunning,
    TakenOver,
)

#: What a request for a skill may come to besides.
FAILURES: Mapping[str, tuple[type[AsapError], ...]] = {
    "fail": (HandlerFailed, InvalidInput),
    "hand on": (HandlerFailed, NestedTooDeep),
    "hand on for certain": (HandlerFailed, NestedTooDeep),
}

_UNFINISHED = [status for status in TaskStatus if not is_final(status)]

#: Of which tasks a restore is asked for: of those that wait, of those that run, of those that are over.
_RESTORED = (
    (["ask"], [TaskStatus.INPUT_REQUIRED]),
    (["ask", "steps", "steps on"], _UNFINISHED),
    (["steps", "steps on"], [TaskStatus.COMPLETED]),
)

#: How long an envelope may be on its way, in seconds, and how far ahead its sender's clock.
OLDEST = 60.0
AHEAD = 5.0


@frozen
class Call:
    """Something that was asked, to be asked again."""

    peer: str
    envelope: Envelope
    key: str
    at: float


@frozen
class Known:
    """A task that somebody was told of."""

    peer: str
    owner: str
    task_id: str
    skill: str
    n: int


class User:
    """Asks something, waits for what comes of it, and asks something else."""

    def __init__(self, world: World, urn: str) -> None:
        self.world = world
        self.urn = urn
        self._clock = world.new_clock()
        self._clients: dict[str, ClientRole] = {}

    def client(self, peer: str) -> ClientRole:
        if peer not in self._clients:
            self._clients[peer] = self.world.client(self.urn, peer, self._clock)
        return self._clients[peer]

    def story(self) -> Story:
        world = self.world
        while not world.closing:
            yield Pause(world.scheduler.chance.expovariate(world.haste))
            # All else is about what was asked before.
            yield from self.request() if world.chances(0.4) else ACTIONS[world.some_of(world.actions)](self)

    # -- what may be asked ---------------------------------------------------------------------------------------------

    def request(self) -> Story:
        """A task, its end waited for or not."""
        peer, envelope = self._some_request(at_once=self.world.chances(0.5))
        yield from self._ask_for(peer, envelope)

    def batch(self) -> Story:
        """Several tasks at once."""
        peer = self.world.some_of([*self.world.agents])
        envelopes = [self._some_request(peer=peer)[1] for _ in range(self.world.some(2, 4))]
        since = self.world.now
        try:
            replies = yield from towards(self.urn, peer, self.client(peer).send_batch(envelopes))
        except AsapError as error:
            replies = [error] * len(envelopes)
        assert len(replies) == len(envelopes), f"{len(envelopes)} were asked, {len(replies)} answered"
        for envelope, reply in zip(envelopes, replies, strict=True):
            self._learn(peer, envelope, self._checked("batch", peer, envelope, reply, since=since))

    def repeat(self) -> Story:
        """What was asked before, with the same key."""
        if self.world.calls:
            call = self.world.some_of(self.world.calls)
            if call.envelope.sender == self.urn and self.world.now - call.at < OLDEST - 20:
                yield from self._ask_for(call.peer, call.envelope, key=call.key)

    def reuse(self) -> Story:
        """Something else with the key of what was asked before."""
        mine = [call for call in self.world.calls if call.envelope.sender == self.urn]
        if mine:
            call = self.world.some_of(mine)
            _, envelope = self._some_request(peer=call.peer)
            self.world.reused.add(call.key)
            yield from self._call(call.peer, envelope, "reuse", *_failures(envelope), key=call.key)

    def query(self) -> Story:
        """How a task stands."""
        if (known := self._some_task()) is not None:
            payload = StateQuery(known.task_id)
            yield from self._call(known.peer, self.client(known.peer).compose(known.peer, payload), "query")

    def cancel(self) -> Story:
        if (known := self._some_task(rather=_UNFINISHED)) is not None:
            payload = TaskCancel(known.task_id, "enough")
            envelope = self.client(known.peer).compose(known.peer, payload)
            yield from self._call(known.peer, envelope, "cancel", TaskFinished)

    def tell(self) -> Story:
        """What a task has asked, or would not know."""
        if (known := self._some_task(["ask"], rather=[TaskStatus.INPUT_REQUIRED])) is not None:
            yield from self.answer(known.peer, known.task_id)

    def answer(self, peer: str, task_id: str) -> Story:
        """A message to a task. That it was heard is said if, and only if, it was."""
        message_id = f"msg_{self.world.scheduler.time.nonce()}"
        payload = MessageSend(task_id, message_id, self.urn, MessageRole.USER, ())
        extensions = {INPUT_EXTENSION: {"m": message_id}}
        envelope = self.client(peer).compose(peer, payload, extensions=extensions)
        reply = yield from self._call(peer, envelope, "tell", TaskFinished, IllegalMove)
        was_told = self.world.ledger.told_message(peer, message_id)
        if self.world.ledger.is_undone(peer, task_id):
            return
        if isinstance(reply, Envelope):
            assert was_told, f"{task_id} was told {message_id}, and has not heard it"
        elif isinstance(reply, TaskFinished | IllegalMove):
            assert not was_told, f"{task_id} was not to be told {message_id}, and has heard it"

    def restore(self) -> Story:
        """Has a task go on from what it knew, by its agent or by another one."""
        skills, rather = self.world.some_of(_RESTORED)
        if (known := self._some_task(skills, rather=rather)) is None:
            return
        entry = self.world.ledger.find(known.peer, known.task_id)
        newest = entry.record.snapshots if entry else 0
        version = self.world.some(1, newest) if newest else None
        query = self.client(known.peer).compose(known.peer, StateQuery(known.task_id, version))
        state = yield from self._call(known.peer, query, "query")
        if not isinstance(state, Envelope) or "snapshot" not in (state.extensions or {}):
            return
        assert state.extensions is not None
        snapshot, request = state.extensions["snapshot"], state.extensions["request"]
        peer = self.world.some_of([*self.world.agents]) if self.world.chances(0.3) else known.peer
        brought = {"snapshot": snapshot, "request": request} if peer != known.peer else None
        payload = StateRestore(known.task_id, snapshot["id"])
        envelope = self.client(peer).compose(peer, payload, extensions=brought)
        reply = yield from self._call(peer, envelope, "restore" if peer == known.peer else "adopt", IllegalMove)
        if isinstance(reply, Envelope) and isinstance(reply.payload, TaskResponse):
            self.world.know(evolve(known, peer=peer, owner=self.urn, task_id=reply.payload.task_id))

    def fetch(self) -> Story:
        """What a task has made."""
        find = self.world.ledger.find
        made = [
            (known, event.data["artifact"]["id"])
            for known in self.world.known
            if known.owner == self.urn and (entry := find(known.peer, known.task_id)) is not None
            for event in entry.log
            if event.kind == "artifact" and event.data is not None
        ]
        if made:
            known, artifact_id = self.world.some_of(made)
            payload = McpResourceFetch(artifact_uri(known.task_id, artifact_id))
            envelope = self.client(known.peer).compose(known.peer, payload)
            reply = yield from self._call(known.peer, envelope, "fetch")
            if isinstance(reply, Envelope):
                assert isinstance(reply.payload, McpResourceData), reply.payload

    def look_at_others(self) -> Story:
        """At a task of somebody else, where callers are known for certain."""
        others = [one for one in self.world.known if one.owner != self.urn and self.world.agents[one.peer].needs_token]
        if others:
            known = self.world.some_of(others)
            envelope = self.client(known.peer).compose(known.peer, StateQuery(known.task_id))
            reply = yield from self._call(known.peer, envelope, "look at others", TaskNotFound)
            assert not isinstance(reply, Envelope), f"{self.urn} has seen {known}"

    def go_too_deep(self) -> Story:
        """A task that says it is at depth 11."""
        peer, envelope = self._some_request()
        envelope = evolve(envelope, extensions={DEPTH_EXTENSION: 11})
        reply = yield from self._call(peer, envelope, "go too deep", NestedTooDeep)
        assert not isinstance(reply, Envelope), f"a task at depth 11 was accepted: {reply}"

    def stream(self) -> Story:
        """A task, and all that it tells."""
        peer, envelope = self._some_request(calm=True)
        yield from self._listen(peer, envelope, "stream", *_failures(envelope))

    def follow(self) -> Story:
        """All that a task has told since it began."""
        if (known := self._some_task(rather=_UNFINISHED)) is not None:
            envelope = self.client(known.peer).compose(known.peer, StateQuery(known.task_id))
            failures = FAILURES.get(known.skill, ())
            yield from self._listen(known.peer, envelope, "follow", HandlerTimedOut, *failures, task_id=known.task_id)

    # -- how it is asked -----------------------------------------------------------------------------------------------

    def _ask_for(self, peer: str, envelope: Envelope, *, key: str | None = None) -> Story:
        key = key or self.client(peer).new_id()
        self.world.calls.append(Call(peer, envelope, key, self.world.now))
        reply = yield from self._call(peer, envelope, "request", *_failures(envelope), key=key)
        self._learn(peer, envelope, reply)

    def _call(
        self, peer: str, envelope: Envelope, what: str, *allowed: type[AsapError], key: str | None = None
    ) -> Story:
        """The reply, or why there is none: the one or the other, and of errors only what is allowed."""
        since = self.world.now
        try:
            reply = yield from towards(self.urn, peer, self.client(peer).send(envelope, idempotency_key=key))
        except AsapError as error:
            reply = error
        if key in self.world.reused:
            allowed = (KeyReused, *allowed)
        return self._checked(what, peer, envelope, reply, *allowed, since=since)

    def _checked(
        self,
        what: str,
        peer: str,
        envelope: Envelope,
        reply: Envelope | AsapError,
        *allowed: type[AsapError],
        since: float,
    ) -> Envelope | AsapError:
        if isinstance(reply, AsapError):
            self.world.counts[f"{what}: {reply.code}"] += 1
            allowed = (*ANY, *(allowed or _failures(envelope)))
            if envelope.id in self.world.heard_twice:
                allowed = (InvalidNonce, *allowed)
            away = self.world.agents[peer].last_away
            assert away >= since or not isinstance(reply, StateUnavailable), (
                f"the store of {peer} was last away until {away:.3f}, this was asked at {since:.3f}: {reply!r}"
            )
            if self.world.agents[peer].has_lost:
                allowed = (ResourceNotFound, TaskNotFound, *allowed)
            assert envelope.timestamp is not None, f"{envelope.id} says no time"
            age, unsure = self.world.now - envelope.timestamp.timestamp(), self.world.apart
            is_odd = age + unsure > OLDEST or unsure - age > AHEAD
            assert isinstance(reply, allowed) or (isinstance(reply, InvalidTimestamp) and is_odd), (
                f"{self.urn} was told {reply!r} to {what} {envelope.payload}"
            )
        else:
            self.world.ledger.heard(peer, reply)
            status = getattr(reply.payload, "status", "answered")
            self.world.counts[f"{what}: {status}"] += 1
        return reply

    def _listen(
        self, peer: str, envelope: Envelope, what: str, *allowed: type[AsapError], task_id: str | None = None
    ) -> Story:
        heard: list[Envelope] = []
        key = self.client(peer).new_id()
        since = self.world.now
        failure: AsapError | None = None
        try:
            yield from towards(self.urn, peer, self.client(peer).stream(envelope, idempotency_key=key), heard)
        except AsapError as error:
            failure = error
        yield Towards(self.urn, peer, None)
        last = heard[-1] if failure is None else failure
        self._checked(what, peer, envelope, last, *allowed, since=since)
        for told in heard:
            task_id = task_id or getattr(told.payload, "task_id", None)
        if task_id is not None and (entry := self.world.ledger.find(peer, task_id)) is not None:
            news = [told.payload for told in (heard[:-1] if failure is None else heard)]
            log = entry.log
            expected = [payload for event in log if (payload := _news_of(task_id, event)) is not None]
            if isinstance(failure, (*ANY, InvalidNonce, InvalidTimestamp)):
                expected = expected[: len(news)]
            is_undone = self.world.ledger.is_undone(peer, task_id)
            assert is_undone or news == expected, f"{task_id} has {log}, and told {news}"
        if isinstance(last, Envelope):
            self._learn(peer, envelope, last)

    def _learn(self, peer: str, envelope: Envelope, reply: Envelope | AsapError) -> None:
        request = envelope.payload
        if not isinstance(reply, Envelope) or not isinstance(request, TaskRequest):
            return
        payload = reply.payload
        assert isinstance(payload, TaskResponse), f"a request was answered with {payload}"
        n = request.input["n"]
        if payload.status is TaskStatus.COMPLETED:
            assert payload.result is not None, f"{n} was answered with {payload}"
            assert payload.result["n"] == n, f"{n} was answered with {payload}"
        self.world.know(Known(peer, self.urn, payload.task_id, request.skill_id, n))

    # -- what it is about ----------------------------------------------------------------------------------------------

    def _some_task(self, skills: list[str] | None = None, *, rather: Collection[TaskStatus] = ()) -> Known | None:
        """A task of ours; rather one that stands as it would take a stroke of luck to find it."""
        known = [one for one in self.world.known if one.owner == self.urn and (skills is None or one.skill in skills)]
        find = self.world.ledger.find
        lucky = [one for one in known if (at := find(one.peer, one.task_id)) and at.record.status in rather]
        if lucky and self.world.chances(0.7):
            known = lucky
        return self.world.some_of(known) if known else None

    def _some_request(
        self, *, peer: str | None = None, at_once: bool = False, calm: bool = False
    ) -> tuple[str, Envelope]:
        """A request of some skill; a `calm` one asks for nothing, so that it comes to its end by itself."""
        world = self.world
        peer = peer or world.some_of([*world.agents])
        skills = [name for name in world.skills if name != "ask"] if calm else world.skills
        skill = world.some_of(skills) if skills else "steps"
        n = world.new_number()
        config = {"timeout_seconds": 1.0} if skill in ("work", "work again") and world.chances(0.2) else None
        request = TaskRequest("conversation", skill, {"n": n, **INPUTS[skill](world)}, config=config)
        extensions = {PREFER_EXTENSION: ASYNC_PREFERENCE} if at_once else None
        return peer, self.client(peer).compose(peer, request, extensions=extensions)


def _failures(envelope: Envelope) -> tuple[type[AsapError], ...]:
    request = envelope.payload
    if not isinstance(request, TaskRequest):
        return ()
    return (HandlerTimedOut, *FAILURES.get(request.skill_id, ()))


def _way(world: World) -> dict[str, Any]:
    """Through agents that ask each other; one deeper than 10 can't come to its end."""
    length = world.some_of([0, 1, 1, 2, 2, 3, 9, 10, 11, 12])
    return {"way": [world.some_of([*world.agents]) for _ in range(length)]}


def _pace(world: World) -> dict[str, Any]:
    return {"seconds": world.some_of([0.0, 0.05, 0.3, 1.0]), "count": world.some(1, 5)}


#: What a user may do besides.
ACTIONS: Mapping[str, Callable[[User], Story]] = {
    "stream": User.stream,
    "repeat": User.repeat,
    "query": User.query,
    "cancel": User.cancel,
    "tell": User.tell,
    "restore": User.restore,
    "batch": User.batch,
    "follow": User.follow,
    "fetch": User.fetch,
    "reuse": User.reuse,
    "look at others": User.look_at_others,
    "go too deep": User.go_too_deep,
}

#: What each skill is given beside its number.
INPUTS: Mapping[str, Any] = {
    "echo": lambda world: {},
    "steps": lambda world: {**_pace(world), "artifact": world.chances(0.7)},
    "ask": lambda world: {**_pace(world), "count": world.some(1, 2), "save": world.chances(0.7)},
    "hand on": _way,
    "hand on for certain": _way,
    "fail": lambda world: {**_pace(world), "told": world.chances(0.5)},
    "work": _pace,
    "work again": _pace,
    "work on": _pace,
    "steps on": _pace,
}


def _news_of(task_id: str, event: TaskEvent) -> Any:
    """What a stream tells of a line of the log; nothing of its end, which its response tells, nor of snapshots."""
    data = event.data or {}
    if event.kind == "status_change" and is_final(event.status):
        return None
    if event.kind == "progress":
        return TaskUpdate(task_id, UpdateType.PROGRESS, event.status, data)
    if event.kind == "artifact":
        return ArtifactNotify(data["artifact"]["id"], task_id, data["artifact"]["name"])
    if event.kind == "input_required":
        return TaskUpdate(task_id, UpdateType.INPUT_REQUIRED, event.status, input_request=data)
    if event.kind in ("status_change", "message"):
        return TaskUpdate(task_id, UpdateType.STATUS_CHANGE, event.status)
    if event.kind == "subtask" and data["payload_type"] == "task.update":
        return TaskUpdate(task_id, UpdateType.PROGRESS, event.status, {"subtask": data["payload"]})
    return None

"""Payloads: each of the twelve, each field by each wrong kind; and right ones that ask for what is not theirs."""

from collections.abc import Iterator
from typing import Any

from hostile.cases import Case, Expect, Place, call, envelope, good, posted, refused, request
from hostile.frames import kinds

_ROOT = "$.params.envelope"
_PAYLOAD = f"{_ROOT}.payload"
_MALFORMED = "asap:protocol/malformed_payload"

_TEXTS = ("an empty text", "a text", "NUL")
_LONG = (*_TEXTS, "5,000 characters")
_OBJECTS = ("an empty object", "an object")
_NULL = ("null",)

#: One of each payload, and the kinds that are right for its fields.
_PAYLOADS: dict[str, tuple[dict[str, Any], dict[str, tuple[str, ...]]]] = {
    "task.request": (
        {"conversation_id": "c", "skill_id": "echo", "input": {}},
        {
            "conversation_id": _TEXTS,
            "skill_id": _TEXTS,
            "input": _OBJECTS,
            "parent_task_id": _NULL + _TEXTS,
            "config": _NULL + _OBJECTS,
        },
    ),
    "task.response": (
        {"task_id": "t", "status": "completed"},
        {
            "task_id": _TEXTS,
            "status": (),
            "result": _NULL + _OBJECTS,
            "final_state": _NULL + _OBJECTS,
            "metrics": _NULL + _OBJECTS,
        },
    ),
    "task.update": (
        {"task_id": "t", "update_type": "progress", "status": "working"},
        {
            "task_id": _TEXTS,
            "update_type": (),
            "status": (),
            "progress": _NULL + _OBJECTS,
            "input_request": _NULL + _OBJECTS,
        },
    ),
    "task.cancel": ({"task_id": "t"}, {"task_id": _TEXTS, "reason": _NULL + _LONG}),
    "message.send": (
        {"task_id": "t", "message_id": "m", "sender": "s", "role": "user", "parts": []},
        {"task_id": _TEXTS, "message_id": _TEXTS, "sender": _LONG, "role": (), "parts": ("an empty array", "an array")},
    ),
    "state.query": ({"task_id": "t"}, {"task_id": _TEXTS, "version": ("null", "0", "-1")}),
    "state.restore": ({"task_id": "t", "snapshot_id": "s"}, {"task_id": _TEXTS, "snapshot_id": _TEXTS}),
    "artifact.notify": (
        {"artifact_id": "a", "task_id": "t"},
        {"artifact_id": _TEXTS, "task_id": _TEXTS, "name": _NULL + _LONG},
    ),
    "mcp.tool_call": (
        {"request_id": "r", "tool_name": "echo", "arguments": {}},
        {"request_id": _TEXTS, "tool_name": _TEXTS, "arguments": _OBJECTS, "mcp_context": _NULL + _OBJECTS},
    ),
    "mcp.tool_result": (
        {"request_id": "r", "success": True, "result": {}},
        {"request_id": _TEXTS, "success": ("true",), "result": _OBJECTS, "error": _NULL},
    ),
    "mcp.resource_fetch": ({"resource_uri": "asap:artifact:t/a"}, {"resource_uri": _LONG}),
    "mcp.resource_data": ({"resource_uri": "u", "content": {}}, {"resource_uri": _LONG, "content": _OBJECTS}),
}


def payloads(at: Place) -> Iterator[Case]:
    """Each field of each payload by each wrong kind."""
    for kind, (right, fields) in _PAYLOADS.items():
        for field, allowed in fields.items():
            for name, value in kinds(*allowed, without=("2**70",) if field == "version" else ()).items():
                expect = refused(_MALFORMED, f"{_PAYLOAD}.{field}")
                if kind == "mcp.tool_result" and field in ("success", "result", "error"):
                    expect = refused(_MALFORMED)  # what is wrong with one is told of either
                yield _case(at, f"{kind}: {field} is {name}", kind, right | {field: value}, expect)
        for field in right:
            less = {name: value for name, value in right.items() if name != field}
            yield _case(at, f"{kind}: no {field}", kind, less, refused(_MALFORMED))
        if len(right) > 1:
            yield _case(at, f"{kind}: empty", kind, {}, refused(_MALFORMED))
        yield _case(at, f"{kind}: a field too many", kind, right | {"extra": 1}, refused(_MALFORMED))
    yield from _nearly_right(at)


def _nearly_right(at: Place) -> Iterator[Case]:
    def update(name: str, progress: dict[str, Any]) -> Case:
        payload = _PAYLOADS["task.update"][0] | {"progress": progress}
        return _case(at, name, "task.update", payload, refused(_MALFORMED, f"{_PAYLOAD}.progress.percent"))

    for value in (-1, 101, 1e308, "50", None, True, [50]):
        yield update(f"percent is {value!r}", {"percent": value})
    message = _PAYLOADS["message.send"][0]
    for value in ("User", "root", " user"):
        expect = refused(_MALFORMED, f"{_PAYLOAD}.role")
        yield _case(at, f"role is {value!r}", "message.send", message | {"role": value}, expect)
    parts: list[Any] = [1, None, {}, [], True]
    for value in parts:
        expect = refused(_MALFORMED, f"{_PAYLOAD}.parts[1]")
        yield _case(at, f"a part is {value!r}", "message.send", message | {"parts": ["a", value]}, expect)
    for value in ("Completed", "done", "cancelled "):
        expect = refused(_MALFORMED, f"{_PAYLOAD}.status")
        payload = {"task_id": "t", "status": value}
        yield _case(at, f"status is {value!r}", "task.response", payload, expect)


#: Ids that lead elsewhere, for whoever makes paths, queries or patterns of them.
_IDS = {
    "nothing": "",
    "a blank": " ",
    "a way up": "../../../../etc/passwd",
    "an absolute path": "/etc/passwd",
    "a NUL": "task_\0",
    "SQL": "' OR '1'='1",
    "SQL that drops": "'; DROP TABLE tasks; --",
    "a wildcard": "*",
    "a LIKE": "task_%",
    "a pattern": ".*",
    "a glob": "task_[0-9]*",
    "a key of Redis": "task_x\r\nFLUSHALL\r\n",
    "a template": "{task.__class__.__init__.__globals__}",
    "4,096 characters": "x" * 4096,
    "a line break": "task_\n",
    "emoji": "\U0001f4a3" * 1000,
    "an id that is nobody's": "task_01ARZ3NDEKTSV4RRFFQ69G5FAV",
}


def seekers(at: Place) -> Iterator[Case]:
    """Right payloads that name tasks, tools and resources that there are not, or that nobody may have."""
    unknown = refused("asap:task/not_found", f"{_PAYLOAD}.task_id")
    for name, value in _IDS.items():
        for kind in ("state.query", "task.cancel", "state.restore", "message.send"):
            payload = _PAYLOADS[kind][0] | {"task_id": value}
            yield _case(at, f"{kind} of {name}", kind, payload, unknown)
        notify = {"artifact_id": "a", "task_id": value}
        yield _case(at, f"news for {name}", "artifact.notify", notify, refused("asap:task/not_found"), value)
        skill = refused("asap:capability/skill_not_found", f"{_PAYLOAD}.skill_id")
        yield _case(at, f"skill {name}", "task.request", request(skill_id=value), skill)
        tool = {"request_id": "r", "tool_name": value, "arguments": {}}
        yield _case(at, f"tool {name}", "mcp.tool_call", tool, good())
    gone = refused("asap:resource/not_found", f"{_PAYLOAD}.resource_uri")
    for uri in (
        *("file:///etc/passwd", "FILE:///etc/passwd", "http://169.254.169.254/", "http://127.0.0.1:1/", "data:,x"),
        *("asap:artifact:", "asap:artifact:/", "asap:artifact:../x", "asap:artifact:t/a/b", "asap:artifact:\0/\0"),
        *("", "//", "asap:artifact:" + "x/" * 50_000, "gopher://x", "javascript:1", "x" * 1_000_000),
    ):
        yield _case(at, f"resource {uri[:25]!r} {len(uri)}", "mcp.resource_fetch", {"resource_uri": uri}, gone)
    for kind in ("task.update", "task.response", "artifact.notify"):
        expect = refused("asap:protocol/unsolicited")
        yield _case(at, f"{kind} unasked", kind, _PAYLOADS[kind][0], expect)
    for kind in ("mcp.tool_result", "mcp.resource_data"):
        expect = refused("asap:transport/handler_not_found")
        yield _case(at, f"{kind} unasked", kind, _PAYLOADS[kind][0], expect)
    yield from _tasks(at)


def _tasks(at: Place) -> Iterator[Case]:
    """Requests of tasks that are right, and that a handler or a limit has to bear."""

    def task(name: str, expect: Expect, **changes: Any) -> Case:
        return _case(at, name, "task.request", request(**changes), expect)

    failed = refused("asap:execution/handler_failed")
    yield task("a handler that fails", failed, skill_id="fail")
    wrong = refused("asap:capability/input_validation")
    for name, value in kinds("0", "-1", without=("2**70",)).items():
        yield task(f"n is {name}", wrong, skill_id="typed", input={"n": value})
    yield task("no n", wrong, skill_id="typed", input={})
    yield task("a second n", wrong, skill_id="typed", input={"n": 1, "m": 1})
    yield task("n is 2**70", wrong, skill_id="typed", input={"n": 2**70})
    for name, value in kinds("an object").items():
        yield task(f"timeout is {name}", good(), config={"timeout": value, "timeout_seconds": value})
    adopt = {"snapshot": {"id": "s", "task_id": "t", "version": 1, "data": {}, "created_at": at.stamp()}}
    restore = _PAYLOADS["state.restore"][0]
    for name, value in kinds().items():
        extensions = {"snapshot": value, "request": request()}
        expect = Expect(frozenset({200}))
        yield _case(at, f"a restore whose snapshot is {name}", "state.restore", restore, expect, more=extensions)
        extensions = {**adopt, "request": value}
        yield _case(at, f"a restore whose request is {name}", "state.restore", restore, expect, more=extensions)
    big = {**adopt, "request": request()}
    big["snapshot"] = {**adopt["snapshot"], "data": {"a": "x" * 2_000_000}}
    large = refused("asap:capability/input_validation", f"{_ROOT}.extensions.snapshot.data")
    yield _case(at, "a restore of 2 MB", "state.restore", restore, large, more=big)
    other = {**adopt, "request": request(skill_id="x")}
    skill = refused("asap:capability/skill_not_found")
    yield _case(at, "a restore of an unknown skill", "state.restore", restore, skill, more=other)
    another = {"snapshot": {**adopt["snapshot"], "id": "other"}, "request": request()}
    snapshot = refused("asap:task/snapshot_not_found")
    yield _case(at, "a restore of another snapshot", "state.restore", restore, snapshot, more=another)


def _case(
    at: Place,
    name: str,
    kind: str,
    payload: dict[str, Any],
    expect: Expect,
    parent: str | None = None,
    more: dict[str, Any] | None = None,
) -> Case:
    extensions = ({"parent_task_id": parent} if parent is not None else {}) | (more or {})
    sealed = envelope(at, payload_type=kind, payload=payload, extensions=extensions)
    return Case(name, (posted(at, call(sealed)),), expect)

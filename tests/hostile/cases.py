"""A hostile input, what must come of it, and the blocks that inputs are made of."""

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import frozen

from hostile.servers import AGENT, CALLER, TOKEN
from hostile.sockets import Pieces

#: The answer that stands for none: the server hung up without a word.
SILENCE = 0

#: What a server itself may answer to what is no HTTP; 501 and 505 are the answers of RFC 9110 to what is unknown.
REFUSALS = frozenset({SILENCE, 400, 405, 408, 411, 413, 414, 415, 417, 421, 431, 501, 505})


@frozen
class Expect:
    """What must come of an input: one answer, with one of these statuses."""

    statuses: frozenset[int]
    #: The code of the error, and the JSON path it names, for an answer that has one.
    code: str | None = None
    path: str | None = None
    #: Whether the server hangs up, so that nothing that follows is taken for a request.
    closes: bool = False
    #: Whether the body is a result.
    succeeds: bool = False


@frozen
class Case:
    """One input; with `ends` our side of the connection is closed after it."""

    name: str
    sends: Pieces
    expect: Expect
    ends: bool = False
    head: bool = False


@frozen
class Place:
    """Where a group of inputs goes: what is fresh has to be made there and then."""

    host: str
    token: str | None = None

    @staticmethod
    def fresh() -> str:
        """What nobody has said before."""
        return f"fresh_{secrets.token_hex(8)}_"

    def stamp(self) -> str:
        return datetime.now(UTC).isoformat()


def good() -> Expect:
    """An answer to what is odd, and nevertheless right."""
    return Expect(frozenset({200}), succeeds=True)


def refused(code: str, path: str | None = None, status: int = 200) -> Expect:
    """An answer of ours that says what is wrong."""
    return Expect(frozenset({status}), code=code, path=path)


def status(*numbers: int) -> Expect:
    """An answer by its status alone."""
    return Expect(frozenset(numbers))


def lenient() -> Expect:
    """What RFC 9112 lets a server either read or refuse, if it is certain where the request ends."""
    return Expect(REFUSALS | {200})


def no_http() -> Expect:
    """A refusal by the server, which then hangs up: nobody knows where the next request would begin."""
    return Expect(REFUSALS, closes=True)


def head(
    at: Place,
    *,
    method: str = "POST",
    target: str = "/asap",
    length: int | str | None = None,
    host: str | None = None,
    type: str | None = "application/json",
    more: Mapping[str, str] | tuple[tuple[str, str], ...] = (),
) -> bytes:
    """The head of a request, as it is sent."""
    pairs = [("Host", at.host if host is None else host)]
    if type is not None:
        pairs.append(("Content-Type", type))
    if at.token:
        pairs.append(("Authorization", f"Bearer {at.token}"))
    if length is not None:
        pairs.append(("Content-Length", str(length)))
    pairs += more.items() if isinstance(more, Mapping) else more
    lines = "".join(f"{name}: {value}\r\n" for name, value in pairs)
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1", "replace")


def posted(at: Place, body: bytes | Any, **how: Any) -> bytes:
    """A whole request with a body, which is JSON unless it is bytes."""
    content = body if isinstance(body, bytes) else text(body)
    return head(at, length=len(content), **how) + content


def chunked(at: Place, chunks: bytes, **how: Any) -> bytes:
    """A request whose body is sent in chunks, which are given as they go over the wire."""
    more = (*how.pop("more", ()), ("Transfer-Encoding", "chunked"))
    return head(at, more=more, **how) + chunks


def in_chunks(content: bytes, size: int = 1000) -> bytes:
    """A body in sound chunks."""
    pieces = (content[start : start + size] for start in range(0, len(content), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def text(document: Any) -> bytes:
    """JSON, with lone surrogates as they are."""
    return json.dumps(document).encode()


def envelope(at: Place, **changes: Any) -> dict[str, Any]:
    """An envelope that is right, but for the changes; one that is `...` is left out."""
    whole: dict[str, Any] = {
        "id": at.fresh(),
        "asap_version": "0.1",
        "timestamp": at.stamp(),
        "sender": CALLER,
        "recipient": AGENT,
        "payload_type": "task.request",
        "payload": request(),
        "extensions": {"nonce": at.fresh()} if at.token else None,
    }
    return without(whole | changes)


def request(**changes: Any) -> dict[str, Any]:
    """The payload of a task request that is right, but for the changes."""
    return without({"conversation_id": "c", "skill_id": "echo", "input": {"a": [1]}} | changes)


def call(envelope: Any, **changes: Any) -> dict[str, Any]:
    """The JSON-RPC frame around it."""
    return without(
        {"jsonrpc": "2.0", "method": "asap.send", "params": {"envelope": envelope}, "id": Place.fresh()} | changes
    )


def without(document: dict[str, Any]) -> dict[str, Any]:
    """The document, without the members that are `...`."""
    return {name: value for name, value in document.items() if value is not ...}


def open_place(port: int) -> Place:
    return Place(f"127.0.0.1:{port}")


def guarded_place(port: int) -> Place:
    return Place(f"127.0.0.1:{port}", TOKEN)

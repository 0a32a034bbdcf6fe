"""Every number of the protocol and of a deployment, each once, with the reason for it.

Constants are the protocol's and hold for all; `Limits` is what a deployment may turn.
"""

from __future__ import annotations

import math
from typing import Final

from attrs import asdict, frozen

__all__ = [
    "ACCEPT_LENGTH",
    "ASAP_VERSION",
    "BODY_PIECES",
    "ETAG_LENGTH",
    "FILE_BYTES",
    "FILE_SCHEMES",
    "GZIP_MEMBERS",
    "ID_LENGTH",
    "INFLATE_FREE",
    "INFLATE_RATIO",
    "JSON_DEPTH_MOST",
    "KEY_LENGTH",
    "MANIFESTS",
    "MANIFEST_BYTES",
    "MANIFEST_REST",
    "MANIFEST_STALE",
    "MANIFEST_TTL",
    "NONCE_LENGTH",
    "PIECE_BYTES",
    "SIGNED_BYTES",
    "SUPPORTED_VERSIONS",
    "TASK_DEPTH",
    "URI_LENGTH",
    "URN_LENGTH",
    "Limits",
]

#: What every release writes into envelopes and manifests (ASAP: envelope, versions).
ASAP_VERSION: Final = "0.1"
#: Transport versions spoken, newest first; negotiated by the ASAP-Version header (since 2.2).
SUPPORTED_VERSIONS: Final = ("2.2", "2.1")
#: Characters of an agent URN (ASAP: agent URN).
URN_LENGTH: Final = 256
#: How many tasks a chain of subtasks may nest (ASAP: limits).
TASK_DEPTH: Final = 10
#: Characters of any id; the reference has no bound, its own tests go to 4,000.
ID_LENGTH: Final = 4096
#: Characters of an idempotency key: it is held as long as the reply it stands for.
KEY_LENGTH: Final = 256
#: Characters of a nonce: it is held in memory for `Limits.nonce_seconds`.
NONCE_LENGTH: Final = 256
#: What `Limits.json_depth` may be at most: the encoder writes 254 levels, and an answer adds a few.
JSON_DEPTH_MOST: Final = 240
#: Members of one gzip body: many tiny ones would make inflating slow out of all proportion to its size.
GZIP_MEMBERS: Final = 100
#: Pieces in which a body of any size may come: each costs as much as a request.
BODY_PIECES: Final = 1000
#: A larger body may come in more of them, one for each so many bytes.
PIECE_BYTES: Final = 64
#: How many times its size a body may inflate to: JSON comes to some dozens, a bomb to thousands.
INFLATE_RATIO: Final = 100
#: Bytes that any body may inflate to, however small it is.
INFLATE_FREE: Final = 1024 * 1024
#: Characters of an Accept-Encoding that is read; whoever says more is sent bodies as they are.
ACCEPT_LENGTH: Final = 256
#: Bytes of a file that stands in a message itself, inline or as a data URI; what is larger is fetched.
FILE_BYTES: Final = 4 * 1024 * 1024
#: Characters of a URI that holds no data.
URI_LENGTH: Final = 8192
#: Schemes of the files that a peer may name; a file that we name may be of any other but ``file``.
FILE_SCHEMES: Final = ("asap", "https", "data")
#: Seconds for which a manifest may be believed (ASAP: manifest).
MANIFEST_TTL: Final = 300
#: Seconds for which one that is no longer fresh still serves while its peer can't be asked: an outage is survived, and
#: what has changed since is missed for no longer.
MANIFEST_STALE: Final = 3600
#: Seconds for which a peer that could not be asked for its manifest is not asked again, while a stale one serves: else
#: each look-up would wait for it in vain.
MANIFEST_REST: Final = 10
#: Manifests that one cache holds; beyond them whichever was not looked up for longest goes.
MANIFESTS: Final = 1000
#: Bytes of the documents that one cache holds, each with 2 KiB for what is kept beside it; in memory a manifest takes
#: some times its document.
MANIFEST_BYTES: Final = 16 * 1024 * 1024
#: Characters of an entity tag that is sent back to the peer it came from.
ETAG_LENGTH: Final = 256
#: Bytes of a manifest that is signed: before anybody knows by whom, its canonical form has to be made, and nothing else
#: runs on asyncio and trio meanwhile.
SIGNED_BYTES: Final = 256 * 1024


@frozen
class Limits:
    """What a deployment may turn. Sizes in bytes, times in seconds."""

    #: A request body, both as sent and inflated; the reference's default since 0.3 (ASAP: limits).
    request_bytes: int = 10 * 1024 * 1024
    #: A reply body that a client reads.
    reply_bytes: int = 10 * 1024 * 1024
    #: Lines of one request's head, where a server may bound them itself, and earlier; and of an answer's.
    header_count: int = 100
    #: Bytes of one request's line and headers, or its trailers, under `asap serve` and `serving`. For a client those of
    #: an answer, with all that came before it.
    header_bytes: int = 64 * 1024
    #: Values of one JSON text, counted before it is parsed (an empty array or object may count twice): in memory each
    #: takes up to a hundred times its bytes.
    json_values: int = 100_000
    #: Levels of objects and arrays in one JSON text: well under the 254 that the encoder can write back.
    json_depth: int = 100
    #: Items of one JSON-RPC batch (ASAP: versions: 50 since 2.2).
    batch_items: int = 50
    #: Items of one batch that run at the same time.
    batch_parallel: int = 10
    #: Depth of a task that is accepted; lower it to keep chains short.
    task_depth: int = TASK_DEPTH
    #: How old an envelope may be; exactly this age still passes (ASAP: limits).
    oldest_seconds: float = 300.0
    #: How far ahead of our clock an envelope may be; exactly this still passes (ASAP: limits).
    ahead_seconds: float = 30.0
    #: How long a nonce is remembered: longer than any envelope that carries it stays fresh.
    nonce_seconds: float = 600.0
    #: Nonces remembered at once; when full, envelopes with a nonce are refused, to be tried later.
    nonces: int = 100_000
    #: Of these, how many one sender may have: so no single one, known by its credentials, locks out all others.
    nonces_each: int = 20_000
    #: How long a finished task is kept, with its reply for a retry and its state for a query.
    task_seconds: float = 3600.0
    #: Tasks remembered at once in memory; when full, the oldest finished one goes first, running work never. Half of
    #: them, and of their bytes, may wait to be told what they asked, so that callers who walk away leave some room.
    tasks: int = 10_000
    #: How long a task waits to be told what it asked; then it is forgotten.
    question_seconds: float = 86_400.0
    #: Bytes of requests, replies and snapshots held at once in memory; the oldest finished tasks go first.
    task_bytes: int = 64 * 1024 * 1024
    #: Idempotency keys remembered of finished tasks that went before their time: a retry is told so, and runs nothing.
    keys: int = 100_000
    #: Lines of one task's log; the oldest go first, a follower that is so far behind misses them.
    task_events: int = 1000
    #: Bytes of one line: of what a handler says of its progress, asks, or names an artifact.
    event_bytes: int = 16 * 1024
    #: Snapshots of one task; the oldest go first.
    task_snapshots: int = 100
    #: Bytes of one snapshot.
    snapshot_bytes: int = 1024 * 1024
    #: Messages that one task may be told.
    task_messages: int = 100
    #: How often a task is begun whose worker is lost each time; then it is what kills them, and has failed.
    task_runs: int = 5
    #: How long a worker that is not heard of keeps its tasks, where a store outlives it; then another takes over.
    lease_seconds: float = 15.0
    #: How often a worker renews its leases, and looks for tasks to take over or to cancel.
    beat_seconds: float = 1.0
    #: How long a server that is told to stop lets running tasks end; what then still runs is given back to the store.
    grace_seconds: float = 10.0
    #: How long a cancel waits for the running handler to end before it answers with the status reached.
    cancel_seconds: float = 5.0
    #: Tasks that run without anybody waiting for them, in one worker; more wait their turn in the store.
    background_tasks: int = 1000
    #: Events by which a stream's reader may be behind; then its task's handler waits for it, and nothing else does.
    stream_events: int = 100
    #: How often a stream without events says that it is alive.
    stream_beat_seconds: float = 15.0
    #: Agents whose quota is remembered at once, and as many addresses; when full, whoever is unseen for longest goes.
    callers: int = 10_000
    #: How long the head of a request may take to come: from its first byte on, and from when the connection is made.
    header_seconds: float = 10.0
    #: How long a connection may lie idle between an answer and the next request.
    idle_seconds: float = 15.0
    #: How long the whole body of a request may take to come, however steadily it drips.
    body_seconds: float = 30.0
    #: How long a caller may take for each 64 KiB of an answer: one that does not read them is hung up on.
    send_seconds: float = 30.0
    #: How long the work of a caller that hung up goes on, for it to come back with the same idempotency key.
    return_seconds: float = 2.0
    #: Connections of one worker; beyond them one goes that waits for no answer.
    connections: int = 10_000
    #: Requests answered at once by one worker, streams among them; more are answered 503, to be tried later.
    requests: int = 1000
    #: The largest body that is sent as it is, though both ends could compress it: for a smaller one that seldom saves a
    #: packet, and takes longer than to decode it.
    compress_bytes: int = 2048
    #: The largest body that is compressed on the spot; on asyncio and trio a larger one goes to a thread. To hand one
    #: over costs a third of what it takes to compress as much as this.
    compress_inline_bytes: int = 64 * 1024
    #: Bodies that are compressed in threads at the same time, by one worker or client; more wait their turn.
    compress_threads: int = 4
    #: Bytes of requests at hand in one worker, and of their answers; beyond them what still comes is answered 503.
    held_bytes: int = 256 * 1024 * 1024
    #: How late a worker may be with what is due; one that stays later turns some requests away. Unbounded: none.
    late_seconds: float = math.inf
    #: Connections to one peer that a client keeps open while nobody uses them.
    pool_connections: int = 100
    #: Connections to one peer that are open at once; who needs another waits, first come, first served.
    pool_maxsize: int = 100
    #: How long a request waits for a connection, before it has failed.
    pool_timeout: float = 5.0
    #: How long a connection that nobody uses is believed to be open: most servers keep it for 5 seconds.
    pool_idle_seconds: float = 4.5
    #: How long a handler may run, the protocol's default task timeout; sync can't cut one off, and does not try.
    handler_seconds: float = 600.0
    #: How long a validator that waits may take, or an issuer's keys to come: nobody unknown holds a request for long.
    auth_seconds: float = 10.0
    #: How long a handler's word of its progress may take to be told: the task itself waits for it.
    progress_seconds: float = 5.0
    #: Plain functions that run at once, and on sync as many streams; when all are busy a request is answered 503.
    handler_threads: int = 40

    def __attrs_post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value >= 0:
                raise ValueError(f"Limits.{name} is {value}; expected 0 or more")
        # What was read has to be written back, one level deeper: the encoder ends at 254.
        if self.json_depth > JSON_DEPTH_MOST:
            raise ValueError(f"Limits.json_depth is {self.json_depth}; at most {JSON_DEPTH_MOST} can be written back")
        # Else a worker that lives and is a moment late would lose its tasks to another.
        if self.lease_seconds < 2 * self.beat_seconds:
            raise ValueError(
                f"Limits.lease_seconds is {self.lease_seconds}; expected two beats, {2 * self.beat_seconds}"
            )

"""Each rule of the wire, with its source. Tests cite these names: `@pytest.mark.proves("urn.shape")`.

Sources: JSON-RPC is JSON-RPC 2.0 (2013); ASAP is the protocol as its releases speak it (0.1 to 2.5), by its
topic; where we answer otherwise than a release does, on purpose, the source says ours.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Clause(NamedTuple):
    """What the rule says, and where it comes from."""

    rule: str
    source: str


CLAUSES: Mapping[str, Clause] = {
    # JSON text
    "json.text": Clause(
        "A body is one JSON text in UTF-8: no byte-order mark, NaN or lone surrogate.", "RFC 8259 sections 4-8"
    ),
    "json.integers": Clause("Integers beyond 64 bits are read as floats.", "RFC 8259 section 6; ours"),
    "json.depth": Clause("Objects and arrays nest 100 deep at most.", "RFC 8259 section 9; ours"),
    "json.unique-keys": Clause(
        "Where callers are known, two values for what names the sender are refused.", "RFC 8259 section 4; ours"
    ),
    "json.output": Clause("Output is compact and non-ASCII unescaped.", "ASAP endpoints"),
    # JSON-RPC
    "rpc.request": Clause("A call has a method, params and an id, a string or an integer.", "JSON-RPC 4"),
    "rpc.version-optional": Clause("jsonrpc is '2.0', and may be left out.", "JSON-RPC 4; ASAP JSON-RPC layer"),
    "rpc.id": Clause(
        "The answer carries the request's id, or null where it has none that can be answered to.", "JSON-RPC 5"
    ),
    "rpc.notification": Clause("A request without an id is run and not answered.", "JSON-RPC 4.1"),
    "rpc.answer": Clause("An answer has a result or an error, never both.", "JSON-RPC 5"),
    "rpc.parse-error": Clause("What is no JSON is answered with -32700 and id null.", "JSON-RPC 5.1"),
    "rpc.invalid-request": Clause(
        "What is no request object is answered with -32600; further members are refused.", "JSON-RPC 5.1"
    ),
    "rpc.method": Clause(
        "The one method is asap.send, exactly; others are answered with -32601.", "JSON-RPC 5.1; ASAP JSON-RPC layer"
    ),
    "rpc.params": Clause(
        "Params that are no object are answered with -32602.", "JSON-RPC 4.2, 5.1; ASAP JSON-RPC layer"
    ),
    "rpc.params-extra": Clause(
        "Members of params beside envelope and idempotency_key are passed over.", "ASAP JSON-RPC layer"
    ),
    "rpc.envelope-required": Clause("params.envelope is an object; else -32602.", "ASAP errors"),
    "rpc.check-order": Clause(
        "Shape is checked before params, params before method, method before envelope.", "ASAP order of checks"
    ),
    "rpc.batch": Clause(
        "An array of 1 to 50 requests is answered by an array, notifications left out.", "JSON-RPC 6; ASAP 2.2"
    ),
    "rpc.batch-empty": Clause("An empty array is answered with one -32600.", "JSON-RPC 6"),
    # HTTP
    "http.endpoint": Clause(
        "POST /asap is the one endpoint of the protocol; a query string is no part of the path.", "ASAP endpoints"
    ),
    "http.status": Clause("Every JSON-RPC outcome has status 200, but for 429 and 503.", "ASAP endpoints"),
    "http.routes": Clause('Unknown paths are 404, other methods 405, as {"detail": ...}.', "ASAP endpoints"),
    "http.trailing-slash": Clause("/asap/ redirects with 307 to /asap.", "ASAP endpoints"),
    "http.head": Clause("HEAD is answered wherever GET is.", "RFC 9110 section 9.3.2; ours"),
    "http.content-type": Clause(
        "A request says application/json or +json, else 415; Accept is not looked at; answers are application/json.",
        "ASAP endpoints; ours",
    ),
    "http.host": Clause("Of the names listed as hosts, Host is one and Origin's is one.", "RFC 9110 section 7.2; ours"),
    "http.framing": Clause("chunked stands alone and without Content-Length.", "RFC 9112 section 6.1; ours"),
    "http.encoding": Clause("Content-Encoding is one token in any case; unknown ones are 415.", "ASAP compression"),
    "http.body-limit": Clause("A body has at most 10 MiB; more is 413, by Content-Length and by count.", "ASAP limits"),
    "http.version-header": Clause(
        "ASAP-Version names what both speak; no overlap is -32000; without it nothing changes.", "ASAP 2.2"
    ),
    "http.health": Clause("/health, /ready and /.well-known/asap/health tell how the agent is.", "ASAP 1.0, 1.1"),
    "http.metrics": Clause("GET /asap/metrics is Prometheus text.", "ASAP health, metrics"),
    # Envelope
    "envelope.required": Clause(
        "asap_version, sender, recipient, payload_type and payload are required.", "ASAP envelope"
    ),
    "envelope.optional": Clause(
        "id, timestamp, correlation_id, trace_id and extensions may be absent or null.", "ASAP envelope"
    ),
    "envelope.urns": Clause("Sender, recipient, manifest id and agent id are agent URNs.", "ASAP URN"),
    "envelope.recipient": Clause(
        "The recipient is not compared with the agent's own id, unless asked.", "ASAP envelope; compliance harnesses"
    ),
    "envelope.correlation": Clause(
        "TaskResponse, McpToolResult and McpResourceData, so spelt, need a correlation_id.", "ASAP envelope"
    ),
    "envelope.timestamp-forms": Clause(
        "Times are RFC 3339 and looser; naive is UTC; numbers are Unix times.", "ASAP envelope"
    ),
    "envelope.requires-ack": Clause("requires_ack is accepted and never sent.", "ASAP 1.1"),
    "wire.unknown-fields": Clause(
        "Unknown fields are refused in requests, passed over in answers.", "ASAP envelope; 2.x peers"
    ),
    "wire.no-coercion": Clause("Nothing is coerced: 5 is no string, '5' no number, 0 no boolean.", "ours"),
    "urn.shape": Clause("urn:asap:agent:NAME[:PART] of a-z, 0-9 and -, at most 256 characters.", "ASAP URN"),
    "urn.no-newline": Clause("A trailing newline is refused.", "ASAP URN; ours"),
    # Payloads, parts, entities
    "payload.names": Clause(
        "Twelve payloads, each under a dotted, a class and a snake name, case-sensitive.", "ASAP payload types"
    ),
    "payload.answer-spelling": Clause("A peer is answered in the spelling of its request.", "ASAP payload types; ours"),
    "payload.fields": Clause("A known payload is checked by its fields; faults are -32602.", "ASAP payload types; 2.x"),
    "payload.unknown-type": Clause("A payload of unknown type is any object.", "ASAP envelope"),
    "payload.no-handler": Clause("A payload type without a handler is -32601.", "ASAP errors"),
    "payload.update-percent": Clause("progress.percent is a number from 0 to 100.", "ASAP payload types"),
    "payload.tool-result": Clause("A tool result has a result or an error, as success says.", "ASAP payload types"),
    "parts.tags": Clause("Five parts, told apart by type.", "ASAP parts"),
    "parts.file-uri": Clause(
        "A file's URI has a scheme that is listed, is no local file, and holds no '..', escaped or not.",
        "ASAP parts; ours",
    ),
    "parts.file-data": Clause("A data URI and inline data are one file, and bounded.", "RFC 2397; ours"),
    "parts.file-mime": Clause("A MIME type has no parameters.", "ASAP parts"),
    "parts.file-base64": Clause("Inline data is strict standard base64.", "ASAP parts; RFC 4648 section 4"),
    "entities.words": Clause("Statuses, roles and update types are closed, case-sensitive sets.", "ASAP entities"),
    "entities.not-empty": Clause("A conversation has participants, an agent capabilities.", "ASAP entities"),
    "entities.snapshot-version": Clause("Snapshots count from 1.", "ASAP entities"),
    "task.depth": Clause("Tasks nest 0 to 10 deep; depth travels in extensions.task_depth.", "ASAP limits; ours"),
    "skill.known": Clause("A skill that is not in the manifest is -32602.", "ours"),
    # Tasks
    "task.submit": Clause(
        "With extensions.prefer 'respond-async' a request is answered before it runs, with its task's id.",
        "RFC 7240 section 4.1; ours",
    ),
    "task.timeout": Clause(
        "config.timeout, or timeout_seconds, is how long the handler may run, within the agent's limit.",
        "ASAP payload types, 1.4; ours",
    ),
    "task.visible": Clause(
        "A task is its authenticated caller's; to any other it is not there. Else who knows its id is believed.", "ours"
    ),
    "task.cancel": Clause(
        "A cancel reaches the handler wherever it runs, and is answered with the status reached; "
        "what nobody runs is cancelled at once, what is over is asap:task/already_completed.",
        "ASAP payload types, task state machine; ours",
    ),
    "task.question": Clause(
        "A handler that asks leaves its task input_required; it is run again, its n-th question has the n-th answer.",
        "ASAP task state machine; ours",
    ),
    "task.message": Clause(
        "A message answers a task that waits, once; to any other it is asap:protocol/invalid_state.",
        "ASAP payload types; ours",
    ),
    "task.news": Clause(
        "Updates, notices and responses of a subtask reach the log of extensions.parent_task_id; else -32602.",
        "ASAP payload types; ours",
    ),
    "task.progress": Clause("Progress is a line of the task's log, and how the task stands.", "ASAP entities; ours"),
    "task.artifact": Clause("An artifact is a line of the log, with its parts.", "ASAP entities; ours"),
    "state.save": Clause(
        "A snapshot is a copy, with the next version and an id; what is loaded is the newest, or what was restored.",
        "ASAP task state machine; ours",
    ),
    "state.query": Clause(
        "A query tells the status, the result once there is one, and the newest snapshot, or that of a version.",
        "ASAP payload types; ours",
    ),
    "state.restore": Clause(
        "A task that waits goes on from a snapshot; of one that is over a new task does; any other is invalid_state.",
        "ASAP payload types, task state machine; ours",
    ),
    "state.adopt": Clause(
        "A restore that brings snapshot and request in its extensions goes on with another agent's task.", "ours"
    ),
    "mcp.tool": Clause(
        "A tool call runs the skill of its name; failures and unknown names are results with success false.",
        "ASAP MCP, payload types; ours",
    ),
    "mcp.resource": Clause("asap:artifact:TASK/ARTIFACT is fetched with its parts.", "ASAP MCP, payload types; ours"),
    # Streams
    "stream.request": Clause(
        "POST /asap/stream accepts a task request, which runs whoever listens; again it is the same task.",
        "ASAP 2.2; ours",
    ),
    "stream.query": Clause("A state query follows the task that it names, and starts nothing.", "ours"),
    "stream.events": Clause(
        "Each event is one bare envelope in one line, numbered by the task's log; the last is the response.",
        "ASAP 2.2; WHATWG HTML section 9.2; ours",
    ),
    "stream.resume": Clause("With Last-Event-ID only later events are told.", "WHATWG HTML section 9.2.4; ours"),
    "stream.refusal": Clause("What can't be followed has a whole answer, refusals included.", "ASAP 2.2; ours"),
    "stream.poll": Clause("A task that another worker may run is looked at once a beat.", "ours"),
    # Workers
    "store.compare-and-set": Clause(
        "Each write is made against the version before; one that was overtaken is judged anew.", "ours"
    ),
    "recovery.lease": Clause("A worker holds a task by a lease, which no write shortens.", "ours"),
    "recovery.beat": Clause("Once a beat a worker finds what others ask of its tasks.", "ours"),
    "recovery.fencing": Clause("A run that has lost its task writes nothing more.", "ours"),
    "recovery.takeover": Clause(
        "A task whose worker is lost is run again where it never began, has a snapshot, or its skill is restartable; "
        "else it is asap:execution/interrupted.",
        "ours",
    ),
    "recovery.released": Clause("A task that is cut off is given back; a run that never began does not count.", "ours"),
    "recovery.slot": Clause("A key outlives its worker: a retry waits, then is told what came of the first.", "ours"),
    "recovery.idle": Clause("What a worker holds and does not run is recovered as if it were another's.", "ours"),
    "recovery.store": Clause("A store that is away for a while costs no run.", "ours"),
    # Lifecycle
    "lifecycle.table": Clause("Tasks move along the table, and nowhere else.", "ASAP task state machine"),
    "lifecycle.no-self-moves": Clause("No state leads to itself.", "ASAP task state machine"),
    "lifecycle.final": Clause("completed, failed and cancelled are final.", "ASAP task state machine"),
    "lifecycle.cancel": Clause("What is not final can be cancelled.", "ASAP task state machine; ours"),
    # Limits, replay, idempotency
    "limits.bounds": Clause("Each number holds at its limit and not beyond.", "ASAP limits; ours"),
    "freshness.window": Clause("300 s old and 30 s ahead still pass; beyond is -32602.", "ASAP limits"),
    "freshness.absent": Clause("Without a timestamp an envelope is taken as made now.", "ASAP envelope"),
    "nonce.shape": Clause("A nonce is a text, not blank, of at most 256 characters.", "ASAP limits; ours"),
    "nonce.repeated": Clause(
        "A sender's nonce is accepted once; another sender's same nonce is another.", "ASAP limits; ours"
    ),
    "nonce.policy": Clause("Nonces may be required; then a timestamp is too.", "ASAP limits; ours"),
    "nonce.burned": Clause("A request refused for another reason keeps its nonce.", "ASAP order of checks; ours"),
    "idempotency.key": Clause("params.idempotency_key is a text of 1 to 256 characters.", "ASAP idempotency; ours"),
    "idempotency.slot": Clause(
        "A repeated key is answered with the kept reply; the work runs once.", "ASAP idempotency; ours"
    ),
    # Authentication, quotas
    "auth.required": Clause("An agent whose manifest has auth wants credentials at /asap.", "ASAP authentication"),
    "auth.bearer": Clause(
        "Authorization: Bearer TOKEN, the scheme in any case, spaces trimmed.",
        "ASAP authentication; RFC 6750 section 2.1",
    ),
    "auth.shape": Clause(
        "Refused callers get 200, -32600, status_code 401, and a challenge.",
        "ASAP authentication; RFC 9110 section 11.6.1",
    ),
    "auth.sender": Clause("A caller sends as itself: else -32602 with status_code 403.", "ASAP authentication"),
    "auth.open-paths": Clause("Manifest, health and metrics stay open.", "ASAP authentication"),
    "quota.grammar": Clause("N/unit joined by semicolons.", "ASAP rate limiting"),
    "quota.answer": Clause("429 with Retry-After, and JSON-RPC code 429.", "ASAP rate limiting"),
    "quota.batch": Clause("Each item of a batch counts.", "ASAP 2.2"),
    "quota.forwarded": Clause("Forwarded addresses count if a proxy that was named adds them.", "RFC 7239; ours"),
    "quota.left": Clause(
        "Answers to callers with a quota say what is left of it.", "draft-ietf-httpapi-ratelimit-headers; ours"
    ),
    "quota.skill": Clause("A skill may have a quota of its own, for what would run.", "ours"),
    # Errors, replies
    "error.shape": Clause(
        "data has the stable code, the reason, the path, and each fault's type, loc and msg.", "ASAP errors; ours"
    ),
    "error.messages": Clause("Messages are fixed by number.", "JSON-RPC 5.1; ASAP errors"),
    "error.bounded": Clause("An error does not grow with what was refused.", "ours"),
    "handler.failed": Clause("A handler's exception is -32603, without its text.", "ASAP errors; ours"),
    "handler.told": Clause(
        "Errors of the catalogue that a handler raises are told by their code.", "ASAP errors; ours"
    ),
    "reply.envelope": Clause(
        "A reply goes back to the sender, correlated by the request's id, in the same trace.", "ASAP envelope"
    ),
    "reply.shape": Clause("An answer is an object with a result that holds an envelope.", "ASAP client behaviour"),
    "reply.id": Clause("An answer with another id is not believed.", "JSON-RPC 5; ours"),
    "reply.error-wins": Clause("The mere presence of error is a failure.", "ASAP JSON-RPC layer"),
    "reply.error-code": Clause("Errors are told by data.code first, by number where there is none.", "ASAP errors"),
    "reply.pairing": Clause(
        "A reply comes from whom we asked, to us, and correlates or says nothing of it.", "ASAP client behaviour, 2.x"
    ),
    # Manifest
    "manifest.signed": Clause(
        "A signature is of the manifest without it, in canonical JSON, in its field or beside it.",
        "RFC 8785; ASAP manifest",
    ),
    "manifest.document": Clause(
        "/.well-known/asap/manifest.json is the manifest, with every field of 1.0.", "ASAP manifest"
    ),
    "manifest.version": Clause("A version is one of PEP 440.", "ASAP manifest"),
    "manifest.auth-schemes": Clause("Schemes are bearer and basic.", "ASAP authentication, 0.5"),
    "manifest.additions": Clause("Fields of newer releases are read over and never sent.", "ASAP manifest, 2.x"),
    "manifest.caching": Clause(
        "The manifest has an ETag, Cache-Control, and 304.", "ASAP 2.x; RFC 9110 section 13.1.2"
    ),
    # Client
    "client.request": Clause(
        "POST with Content-Type, X-Idempotency-Key and ASAP-Version; id req-N.", "ASAP client behaviour"
    ),
    "client.compose": Clause("What we send holds no field that an old peer refuses.", "ASAP version differences"),
    "client.retry": Clause(
        "5xx, 429, timeouts and connect errors are tried three times, with one key.", "ASAP client behaviour"
    ),
    "client.retry-after": Clause("Retry-After is seconds or a date, capped.", "RFC 9110 section 10.2.3; ours"),
    "client.reply-limit": Clause("A reply beyond the limit is not read.", "ours"),
    "client.breaker": Clause(
        "After failures in a row a peer rests; then one probe decides.", "ASAP client behaviour; ours"
    ),
    "client.manifest": Clause("A manifest is believed for 300 s.", "ASAP manifest"),
    "client.cache-control": Clause(
        "A peer may shorten that time, and never lengthen it; what is public is so for all.", "RFC 9111 section 5.2"
    ),
    "client.validators": Clause(
        "Then it is asked about by its ETag; 304 makes it as good as new.", "RFC 9110 section 13.1.2; RFC 9111 4.3"
    ),
    "client.stale": Clause("While its peer can't be asked it serves for a while longer.", "RFC 5861 section 4"),
    "client.manifest-dropped": Clause(
        "What can't be believed, or is no longer so, is forgotten at once.", "ASAP client behaviour, 2.x; ours"
    ),
    "client.one-fetch": Clause("Of those who ask at the same time one fetches.", "ours"),
    "client.peer": Clause("A manifest that names another agent than the one asked for is refused.", "ours"),
    "client.pinned": Clause(
        "With a key pinned, nothing is sent to a peer whose manifest is not signed with it.", "ASAP manifest; ours"
    ),
    "client.redirects": Clause("No redirect is followed.", "ASAP client behaviour; ours"),
    "client.targets": Clause(
        "With targets, no connection goes to another address, whatever a name leads to.", "IANA registries; ours"
    ),
    "client.batch": Clause("A batch falls back to single requests for peers that take none.", "ASAP JSON-RPC layer"),
}

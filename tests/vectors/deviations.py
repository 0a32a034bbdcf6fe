"""Where we differ from the released peers on purpose: a row each, with the reason.

A row names cases by patterns and says our verdict for all of them, those that nobody recorded too.
The tests fail for a case that differs without a row, for a row one of whose cases agrees with the reference,
and for a pattern that covers no case.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple


class Row(NamedTuple):
    """Cases that one of these shell patterns matches, what we answer, and why that is better."""

    pattern: str
    verdict: str
    reason: str

    @property
    def patterns(self) -> list[str]:
        return self.pattern.split("|")

    def covers(self, case: str) -> bool:
        return any(fnmatchcase(case, pattern) for pattern in self.patterns)

    def idle(self, cases: Iterable[str]) -> list[str]:
        """Its patterns that cover none of these."""
        known = list(cases)
        return [each for each in self.patterns if not any(fnmatchcase(case, each) for case in known)]


def kinds(field: str, *names: str) -> str:
    """Patterns for a field that holds a value of one of these kinds."""
    return "|".join(f"{field}={name}" for name in names)


def row_for(table: tuple[Row, ...], case: str) -> Row | None:
    """The one row that covers the case, if any; two would hide each other."""
    found = [row for row in table if row.covers(case)]
    assert len(found) <= 1, f"{case} is covered by several rows: {[row.pattern for row in found]}"
    return found[0] if found else None


_NO_COERCION = "nothing is coerced: what is written is what is meant"
_RPC_ID = "an id is a string or an integer; the reference answers `true` and `1.0` under the id 1"

_NEWLINE = "what is matched as a whole does not end in a newline; the reference's patterns let one pass"
_LONG_ID = "an id is held in memory and echoed: 4,096 characters are enough"
_NOTIFICATION = "no id: a notification (JSON-RPC 2.0 section 4.1)"

_NO_INT = ("true", "float_integral", "one_float", "numeric_string", "one_string", "spaced_string")
_NO_BOOL = ("one", "one_float", "one_string", "true_string", "yes_string")

MODELS: tuple[Row, ...] = (
    Row(f"{kinds('state_snapshot/version', *_NO_INT)}|state_snapshot/version_[0-9]*", "$.version", _NO_COERCION),
    Row(kinds("state_query/version", "false", *_NO_INT), "$.version", _NO_COERCION),
    Row(kinds("task/depth", "false", *_NO_INT), "$.depth", _NO_COERCION),
    Row(kinds("state_snapshot/checkpoint", "zero", "false_string", *_NO_BOOL), "$.checkpoint", _NO_COERCION),
    Row(kinds("mcp_tool_result/success", *_NO_BOOL), "$.success", _NO_COERCION),
    Row(
        kinds("manifest/capabilities.streaming", "zero", "false_string", *_NO_BOOL),
        "$.capabilities.streaming",
        _NO_COERCION,
    ),
    Row(
        kinds("manifest/capabilities.state_persistence", "zero", "false_string", *_NO_BOOL),
        "$.capabilities.state_persistence",
        _NO_COERCION,
    ),
    Row("task_update/percent_5|task_update/percent=*", "$.progress.percent", "true and false are no numbers"),
    Row("envelope/sender_5|envelope/sender=trailing_newline", "$.sender", _NEWLINE),
    Row("envelope/recipient=trailing_newline", "$.recipient", _NEWLINE),
    Row("agent/id=trailing_newline|manifest/id=trailing_newline", "$.id", _NEWLINE),
    Row("file_part/mime_type=trailing_newline", "$.mime_type", _NEWLINE),
    Row(
        "file_part/uri=string|file_part/uri=false_string|file_part/uri_8|file_part/uri_12",
        "$.uri",
        "a file is named by a URI that the peer can fetch: asap, https or data, and no path of whoever reads it",
    ),
    Row("file_part/uri_10", "$.uri", "'..' climbs when it is escaped, too: somebody on the way undoes that"),
    Row("file_part/uri_5", "$.mime_type", "a data URI and the rest of the part say the same of the file"),
    Row("envelope/id=long", "$.id", _LONG_ID),
    Row("envelope/correlation_id=long", "$.correlation_id", _LONG_ID),
    Row("envelope/trace_id=long", "$.trace_id", _LONG_ID),
    Row("envelope/requires_ack", "ok", "a field that 2.x sends is passed over: so one server hears 0.x, 1.0 and 2.x"),
    Row("jsonrpc_request/empty_object", "$.method $.params", _NOTIFICATION),
    Row("jsonrpc_request/drop_id|jsonrpc_request/no_id_*", "ok", _NOTIFICATION),
    Row(
        f"{kinds('jsonrpc_request/id', 'false', 'true', 'float_integral', 'one_float')}|jsonrpc_request/id_[24]",
        "$.id",
        _RPC_ID,
    ),
)

_ENVELOPE = "200 -32602 asap:protocol/malformed_envelope"
_PAYLOAD = "200 -32602 asap:protocol/malformed_payload"
_CALLERS_FAULT = "the caller's mistake is told as one, with the path (as 2.x); -32603 would blame us"
_HEADERS_FIRST = "a caller is known, or not, before its body is read: so no id to echo, and no hint whether it would do"
_NOT_JSON = "what RFC 8259 does not allow is refused; the reference takes it in, and alters it or chokes on it"
_DEPTH = "depth is bounded, and going beyond is the caller's mistake"
_JSON_REFUSED = "200 -32700 asap:protocol/malformed_json id=null"

SERVER: tuple[Row, ...] = (
    # HTTP
    Row(
        "health_head|manifest_head|metrics_head|ready_head",
        "200",
        "HEAD is answered wherever GET is (RFC 9110 section 9.3.2)",
    ),
    Row(
        "full_stream_no_handler",
        "200 ok",
        "streams as 2.2+, where the handlers of the agent answer what is no task to follow; releases before have none",
    ),
    Row(
        "content_type_form|content_type_text_plain",
        "415 -32600 asap:transport/unsupported_media_type",
        "a form of a web page can't post to an agent: its browser asks nobody's leave for that",
    ),
    Row(
        "content_type_octets",
        "415 -32600 asap:transport/unsupported_media_type",
        "JSON is labelled as such; every client of the releases does that",
    ),
    Row(
        "encoding_gzip_bad_block",
        "400 -32700 asap:transport/bad_encoding",
        "what can't be inflated is the caller's mistake, whichever part of it is broken",
    ),
    Row(
        "encoding_gzip_reserved_flags",
        "400 -32700 asap:transport/bad_encoding",
        "a reserved flag is an error (RFC 1952 section 2.3.1.2)",
    ),
    Row("capability_list", "404", "the capability routes of 2.x are not part of this protocol"),
    Row(
        "asap_version_header_9_9|asap_version_header_1_0|asap_version_header_2_0|asap_version_header_2_2_0"
        "|asap_version_header_garbage",
        "200 -32000 asap:protocol/version_mismatch id=null",
        "version negotiation as 2.2+; releases before ignore the header, and their clients never send it",
    ),
    # JSON
    Row("json_infinity|json_nan|json_negative_infinity|json_huge_float|json_lone_surrogate*", _JSON_REFUSED, _NOT_JSON),
    Row("json_deep_nesting", "200 -32700 asap:protocol/malformed_json", _DEPTH),
    Row("json_deep_object|json_deep_input*", _JSON_REFUSED, _DEPTH),
    Row("json_nested_*", _JSON_REFUSED, _DEPTH),
    # JSON-RPC
    Row(
        "rpc_id_big_int",
        "200 -32600 asap:protocol/invalid_request id=null",
        "an integer beyond 64 bits would not be echoed as it came",
    ),
    Row(
        "rpc_id_bool|rpc_id_false|rpc_id_*float|rpc_id_list|rpc_id_object",
        "200 -32600 asap:protocol/invalid_request id=null",
        _RPC_ID,
    ),
    Row(
        "rpc_id_missing|notification_ok|notification_unknown_*|notification_empty_*|notification_params_*",
        "204",
        "a notification is performed and not answered (JSON-RPC 2.0 section 4.1)",
    ),
    Row(
        "batch_mixed",
        "200 [ok, -32600 asap:protocol/invalid_request, -32601 asap:protocol/unknown_method]",
        "JSON-RPC arrays as 2.2+, and the notification in it is not answered; before, arrays are refused",
    ),
    Row("batch_one", "200 [ok]", "JSON-RPC arrays as 2.2+"),
    Row(
        "batch_nested", "200 [-32600 asap:protocol/invalid_request]", "JSON-RPC arrays as 2.2+, and an item is no array"
    ),
    Row("batch_gzip", "200 [ok, ok]", "an array may be compressed like any other body; 2.x refuses that"),
    Row("batch_all_notifications", "204", "notifications are never answered (JSON-RPC 2.0 section 6)"),
    # callers
    Row(
        "auth_missing|auth_missing_[bw]*",
        "200 -32600 asap:auth/unauthenticated id=null",
        _HEADERS_FIRST,
    ),
    Row("auth_missing_malformed_json", "200 -32600 asap:auth/unauthenticated", _HEADERS_FIRST),
    Row("auth_wrong_token", "200 -32600 asap:auth/unauthenticated id=null", _HEADERS_FIRST),
    Row("auth_no_space", "200 -32600 asap:auth/unauthenticated id=null", _HEADERS_FIRST),
    Row(
        "idempotency_key_number|idempotency_key_empty|idempotency_key_object|idempotency_key_257",
        _ENVELOPE,
        "what names a retry is kept and looked up: a text of 1 to 256 characters; releases pass it over",
    ),
    # envelopes
    Row("envelope_string|envelope_list|envelope_number|envelope_true", _ENVELOPE, _CALLERS_FAULT),
    Row(
        "urn_sender_empty|urn_sender_plain|urn_sender_un*|urn_sender_upper*|urn_sender_dot|urn_sender_t*_segments"
        "|urn_sender_len_257|urn_recipient_[bept]*",
        _ENVELOPE,
        _CALLERS_FAULT,
    ),
    Row("urn_*_newline", _ENVELOPE, "a URN does not end in a newline"),
    Row("envelope_*id_long", _ENVELOPE, _LONG_ID),
    Row("response_no_correlation_*", _ENVELOPE, _CALLERS_FAULT),
    Row(
        "response_with_correlation_TaskResponse",
        "200 -32602 asap:protocol/unsolicited",
        "a response is heard as news of a subtask, so what is wrong is that it names no parent; releases hear none",
    ),
    Row("timestamp_min_offset", "200 -32602 asap:protocol/invalid_timestamp", _CALLERS_FAULT),
    Row(
        "nonce_burned_by_unknown_payload_retry",
        "200 ok",
        "a request that is refused before its handler leaves its nonce unspent",
    ),
    Row(
        "nonce_burned_by_bad_payload_retry",
        "200 ok",
        "a request that is refused before its handler leaves its nonce unspent",
    ),
    Row("nonce_duplicate_other_sender", "200 ok", "a nonce is its sender's: no agent can burn those of another"),
    Row(
        "nonce_null_without_store|nonce_number_without_store",
        "200 -32602 asap:protocol/invalid_nonce",
        "nonces are always looked at; releases do that when told to",
    ),
    Row(
        "extensions_task_depth_*",
        "200 -32602 asap:task/too_deep",
        "how deep a task is travels in an extension of ours; to the releases it is one like any other",
    ),
    Row("envelope_requires_ack_text", "200 ok", "a field that 2.x sends is passed over, whatever it holds"),
    Row("nonce_whitespace|nonce_blank", "200 -32602 asap:protocol/invalid_nonce", "a blank text is no nonce"),
    Row(
        "nonce_long|nonce_257",
        "200 -32602 asap:protocol/invalid_nonce",
        "a nonce is held in memory: 256 characters are enough",
    ),
    # payloads
    Row(
        "task_request_pascal_name|task_request_snake_name",
        "200 ok",
        "a payload goes by each of its names; releases look for a handler by the very spelling",
    ),
    Row(
        "payload_task_unknown_skill|payload_task_empty_skill",
        "200 -32602 asap:capability/skill_not_found",
        "a skill that the agent has not is told as such; the releases' own handler looks at no skill",
    ),
    Row("envelope_payload_empty", _PAYLOAD, _CALLERS_FAULT),
    Row(
        "payload_task_missing_*|payload_task_skill_*|payload_task_input_*|payload_task_extra", _PAYLOAD, _CALLERS_FAULT
    ),
    Row("full_*_extra", _PAYLOAD, _CALLERS_FAULT),
    Row("full_*_invalid", _PAYLOAD, _CALLERS_FAULT),
    Row("full_TaskUpdate_percent_string", _PAYLOAD, _CALLERS_FAULT),
    Row("full_TaskUpdate_percent_bool", _PAYLOAD, "true is no number"),
    Row("full_StateQuery_version_float", _PAYLOAD, _NO_COERCION),
    Row("full_StateQuery_version_numeric_string", _PAYLOAD, _NO_COERCION),
)

_MISPAIRED = "refused asap:protocol/mispaired_reply"
_OTHERS_REPLY = "a reply that names another request or other agents answers someone else; releases before 2 believe it"
_NEWER_PEER = "fields that a newer peer adds are passed over: so one client speaks with 0.x, 1.0 and 2.x"

CLIENT: tuple[Row, ...] = (
    Row("manifest_resp_v2_fields", "accepted", _NEWER_PEER),
    Row("resp_envelope_extra_field", "accepted", _NEWER_PEER),
    Row("resp_envelope_requires_ack", "accepted", _NEWER_PEER),
    Row("resp_chunked", _MISPAIRED, _OTHERS_REPLY),
    Row("resp_correlation_mismatch", _MISPAIRED, _OTHERS_REPLY),
    Row("resp_recipient_other", _MISPAIRED, _OTHERS_REPLY),
    Row("resp_sender_other", _MISPAIRED, _OTHERS_REPLY),
    Row("resp_rpc_id_mismatch", _MISPAIRED, _OTHERS_REPLY),
    Row("resp_rpc_id_missing", _MISPAIRED, "an answer bears its request's id (JSON-RPC 2.0 section 5)"),
    Row(
        "resp_status_304_valid_body",
        "refused asap:transport/refused",
        "only 2xx carries an answer; the reference reads the missing body of a 304 as the peer's parse error",
    ),
)

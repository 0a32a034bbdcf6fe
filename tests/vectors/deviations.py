"""Where we differ from the released peers on purpose: a row each, with the reason.

A row names cases by a pattern and says our verdict for all of them.
The tests fail for a case that differs without a row, and for a row whose cases agree with the reference.
"""

from fnmatch import fnmatchcase
from typing import NamedTuple


class Row(NamedTuple):
    """Cases that a shell pattern matches, what we answer, and why that is better."""

    pattern: str
    verdict: str
    reason: str

    def covers(self, case: str) -> bool:
        return fnmatchcase(case, self.pattern)


def row_for(table: tuple[Row, ...], case: str) -> Row | None:
    """The one row that covers the case, if any; two would hide each other."""
    found = [row for row in table if row.covers(case)]
    assert len(found) <= 1, f"{case} is covered by several rows: {[row.pattern for row in found]}"
    return found[0] if found else None


_NO_COERCION = "nothing is coerced: what is written is what is meant"
_RPC_ID = "an id is a string or an integer; the reference answers `true` and `1.0` under the id 1"

MODELS: tuple[Row, ...] = (
    Row("state_snapshot/version=numeric_string", "$.version", _NO_COERCION),
    Row("state_snapshot/version_3", "$.version", _NO_COERCION),
    Row("state_snapshot/version_1.0", "$.version", _NO_COERCION),
    Row("state_snapshot/checkpoint=zero", "$.checkpoint", _NO_COERCION),
    Row("state_snapshot/checkpoint=false_string", "$.checkpoint", _NO_COERCION),
    Row("state_query/version=float_integral", "$.version", _NO_COERCION),
    Row("state_query/version=true", "$.version", _NO_COERCION),
    Row("task_update/percent_5", "$.progress.percent", "true is no number"),
    Row(
        "envelope/sender_5",
        "$.sender",
        "a URN does not end in a newline; the reference's pattern lets one pass",
    ),
    Row(
        "jsonrpc_request/empty_object",
        "$.method $.params",
        "no id: a notification (JSON-RPC 2.0 section 4.1)",
    ),
    Row("jsonrpc_request/drop_id", "ok", "no id: a notification (JSON-RPC 2.0 section 4.1)"),
    Row("jsonrpc_request/id=float_integral", "$.id", _RPC_ID),
    Row("jsonrpc_request/id=true", "$.id", _RPC_ID),
    Row("jsonrpc_request/id_2", "$.id", _RPC_ID),
    Row("jsonrpc_request/id_4", "$.id", _RPC_ID),
)

_ENVELOPE = "200 -32602 asap:protocol/malformed_envelope"
_PAYLOAD = "200 -32602 asap:protocol/malformed_payload"
_CALLERS_FAULT = "the caller's mistake is told as one, with the path (as 2.x); -32603 would blame us"
_HEADERS_FIRST = "a caller is known, or not, before its body is read: so no id to echo, and no hint whether it would do"
_NOT_JSON = "what RFC 8259 does not allow is refused; the reference takes it in, and alters it or chokes on it"
_JSON_REFUSED = "200 -32700 asap:protocol/malformed_json id=null"

SERVER: tuple[Row, ...] = (
    # HTTP
    Row("health_head", "200", "HEAD is answered wherever GET is (RFC 9110 section 9.3.2)"),
    Row("capability_list", "404", "the capability routes of 2.x are not part of this protocol"),
    Row(
        "asap_version_header_9_9",
        "200 -32000 asap:protocol/version_mismatch id=null",
        "version negotiation as 2.2+; releases before ignore the header, and their clients never send it",
    ),
    # JSON
    Row("json_infinity", _JSON_REFUSED, _NOT_JSON),
    Row("json_lone_surrogate", _JSON_REFUSED, _NOT_JSON),
    Row(
        "json_deep_*",
        "200 -32700 asap:protocol/malformed_json",
        "depth is bounded, and going beyond is the caller's mistake",
    ),
    # JSON-RPC
    Row(
        "rpc_id_big_int",
        "200 -32600 asap:protocol/invalid_request id=null",
        "an integer beyond 64 bits would not be echoed as it came",
    ),
    Row("rpc_id_bool", "200 -32600 asap:protocol/invalid_request id=null", _RPC_ID),
    Row("rpc_id_float", "200 -32600 asap:protocol/invalid_request id=null", _RPC_ID),
    Row("rpc_id_list", "200 -32600 asap:protocol/invalid_request id=null", _RPC_ID),
    Row("rpc_id_object", "200 -32600 asap:protocol/invalid_request id=null", _RPC_ID),
    Row("rpc_id_missing", "204", "a notification is performed and not answered (JSON-RPC 2.0 section 4.1)"),
    Row(
        "batch_mixed",
        "200 [ok, -32600 asap:protocol/invalid_request, -32601 asap:protocol/unknown_method]",
        "JSON-RPC arrays as 2.2+, and the notification in it is not answered; before, arrays are refused",
    ),
    Row("batch_all_notifications", "204", "notifications are never answered (JSON-RPC 2.0 section 6)"),
    # callers
    Row("auth_missing*", "200 -32600 asap:auth/unauthenticated id=null", _HEADERS_FIRST),
    Row("auth_wrong_token", "200 -32600 asap:auth/unauthenticated id=null", _HEADERS_FIRST),
    Row("auth_no_space", "200 -32600 asap:auth/unauthenticated id=null", _HEADERS_FIRST),
    # envelopes
    Row("envelope_string", _ENVELOPE, _CALLERS_FAULT),
    Row("urn_sender_empty", _ENVELOPE, _CALLERS_FAULT),
    Row("urn_sender_plain", _ENVELOPE, _CALLERS_FAULT),
    Row("urn_sender_underscore", _ENVELOPE, _CALLERS_FAULT),
    Row("urn_sender_three_segments", _ENVELOPE, _CALLERS_FAULT),
    Row("urn_recipient_bad", _ENVELOPE, _CALLERS_FAULT),
    Row("urn_sender_trailing_newline", _ENVELOPE, "a URN does not end in a newline"),
    Row("response_no_correlation_*", _ENVELOPE, _CALLERS_FAULT),
    Row("timestamp_min_offset", "200 -32602 asap:protocol/invalid_timestamp", _CALLERS_FAULT),
    Row(
        "nonce_burned_by_unknown_payload_retry",
        "200 ok",
        "a request that is refused before its handler leaves its nonce unspent",
    ),
    Row("nonce_whitespace", "200 -32602 asap:protocol/invalid_nonce", "a blank text is no nonce"),
    Row(
        "nonce_long",
        "200 -32602 asap:protocol/invalid_nonce",
        "a nonce is held in memory: 256 characters are enough",
    ),
    # payloads
    Row("envelope_payload_empty", _PAYLOAD, _CALLERS_FAULT),
    Row("payload_task_missing_skill", _PAYLOAD, _CALLERS_FAULT),
    Row("payload_task_input_list", _PAYLOAD, _CALLERS_FAULT),
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

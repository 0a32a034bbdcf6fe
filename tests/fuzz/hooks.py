"""What schemathesis is told of ASAP: what time it is, and when an answer is wrong though its form is right."""

import itertools
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema_rs
import schemathesis
from hypothesis import strategies as st

from asap_proto.limits import KEY_LENGTH, NONCE_LENGTH, SUPPORTED_VERSIONS
from hostile.servers import SECRET
from properties.test_schema import BEYOND_SCHEMA

_DESCRIPTION = json.loads(Path(os.environ["FUZZ_DESCRIPTION"]).read_text())
_CALL = jsonschema_rs.Draft202012Validator(
    {"$ref": "#/components/schemas/Call", "components": _DESCRIPTION["components"]}
)

#: What is said of requests that are not of the form described.
_OF_FORM = {
    "asap:protocol/invalid_request",
    "asap:protocol/malformed_envelope",
    "asap:protocol/malformed_payload",
    "asap:protocol/unknown_method",
}
#: What is said of those that ask for what this agent has not: its description has the skills, and what they take.
_OF_AGENT = {
    "asap:capability/input_validation",
    "asap:capability/skill_not_found",
    "asap:protocol/version_mismatch",
    "asap:transport/handler_not_found",
}
#: What is said of a key or a nonce that was used before, by one of the few requests that keep theirs: what a skill
#: takes is looked at when it is run, which such a request is not.
_OF_REPEATS = {
    "asap:protocol/idempotency_key_reused",
    "asap:protocol/invalid_nonce",
    "asap:task/reply_forgotten",
}
#: Beside what no schema of a noun can say: an id that is 1.0 is an integer to a schema, and a text may be a blank.
_BEYOND = BEYOND_SCHEMA.keys() | {"rpc_id", "nonce"}

_INSIDE = ("Traceback", 'File "', "site-packages", "asap_adapters", "target.py", SECRET)

# What is sent was made just now: else nothing would get past the check of its time.
_NEARLY_NOW = st.integers(-5, 5).map(lambda seconds: (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat())
schemathesis.openapi.format("date-time", _NEARLY_NOW)


#: Every so manieth request keeps the key, the nonce and the version that it was given.
_KEPT = 8
_numbers = itertools.count(1)


@schemathesis.hook
def before_call(ctx: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Most requests get a key and a nonce of their own, and a version that we speak: else few would be looked at."""
    number = next(_numbers)
    if number % _KEPT == 0 or case.method != "POST":
        return
    case.headers = case.headers or {}
    case.headers["ASAP-Version"] = SUPPORTED_VERSIONS[0]
    params = case.body.get("params") if isinstance(case.body, dict) else None
    if not isinstance(params, dict):
        return
    if isinstance(key := params.get("idempotency_key"), str) and 0 < len(key) <= KEY_LENGTH:
        params["idempotency_key"] = f"{number}.{key}"[:KEY_LENGTH]
    extensions = params["envelope"].get("extensions") if isinstance(params.get("envelope"), dict) else None
    if isinstance(extensions, dict) and isinstance(nonce := extensions.get("nonce"), str) and nonce.strip():
        extensions["nonce"] = f"{number}.{nonce}"[:NONCE_LENGTH]


@schemathesis.check
def tells_nothing_of_its_inside(ctx: Any, response: Any, case: Any) -> None:
    """No answer has a traceback, a path or a secret in it."""
    text = response.content.decode("utf-8", "replace") + str(response.headers)
    for word in _INSIDE:
        assert word not in text, f"the answer tells {word!r}"


@schemathesis.check
def agrees_with_its_description(ctx: Any, response: Any, case: Any) -> None:
    """What the description calls a request is not refused for its form, and what it does not is refused for that."""
    asked = _asked(response)
    if response.status_code == 204:
        assert isinstance(asked, dict | list), "no answer to what is no request"
        assert not response.content
        assert "content-type" not in response.headers, "nothing, of some type"
        return
    if not isinstance(asked, dict) or not response.headers.get("content-type", [""])[0].startswith("application/json"):
        return
    answer = json.loads(response.content)
    error = answer.get("error")
    if _CALL.is_valid(asked):
        wrong = error is not None and error["data"]["code"] in _OF_FORM
        assert not wrong or set(_faults(error)) & _BEYOND, f"refused, though it fits its description: {error}"
    elif not _CALL.is_valid(_strictly_judged(asked)):
        told = error is not None and error["data"]["code"] in _OF_FORM | _OF_AGENT | _OF_REPEATS
        assert told, f"looked at, though it does not fit its description: {answer}"


def _asked(response: Any) -> Any:
    """The JSON that a POST to the protocol has sent, as it went over the wire."""
    request = response.request
    if request.method != "POST" or request.headers.get("content-type") != "application/json":
        return None
    try:
        return json.loads(request.body or b"")
    except ValueError:
        return None


def _strictly_judged(call: dict[str, Any]) -> Any:
    """Without what is read more loosely than it is written, or passed over: times, and most of what is added."""
    params = call.get("params")
    envelope = params.get("envelope") if isinstance(params, dict) else None
    if not isinstance(envelope, dict):
        return call
    free = {name: value for name, value in envelope.items() if name not in ("timestamp", "extensions")}
    return {**call, "params": {**params, "envelope": free}}


def _faults(error: dict[str, Any]) -> Iterator[str]:
    yield from (fault["type"] for fault in error["data"].get("validation_errors", ()))

"""What carries nouns: JSON-RPC requests, batches, answers and errors."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from asap_proto.errors import CATALOGUE, AsapError, Fault
from asap_proto.limits import KEY_LENGTH
from asap_proto.wire.json import dump, load
from asap_proto.wire.jsonrpc import METHOD, error_member

from ._nouns import envelopes, plain
from ._values import Strategy, as_strategy, ids, texts


def rpc_ids() -> Strategy[str | int]:
    """Ids of requests: texts, and integers of 64 bits."""
    return ids() | st.integers(-(2**63), 2**64 - 1)


def rpc_requests(*, envelope: Any = None, id: Any = None, key: Any = None) -> Strategy[dict[str, Any]]:
    """Requests as the JSON objects that arrive; each argument is a value or a strategy.

    `envelope` is of nouns, `id` one of a request, `key` an idempotency key, which some requests have if none is given.
    """
    parameters: dict[str, Any] = {"envelope": plain(envelopes() if envelope is None else as_strategy(envelope))}
    keys: dict[str, Any] = {"idempotency_key": ids(least=1, most=KEY_LENGTH) if key is None else as_strategy(key)}
    params = (
        st.fixed_dictionaries(parameters, optional=keys) if key is None else st.fixed_dictionaries(parameters | keys)
    )
    return st.fixed_dictionaries(
        {
            "jsonrpc": st.just("2.0"),
            "method": st.just(METHOD),
            "params": params,
            "id": rpc_ids() if id is None else as_strategy(id),
        }
    )


def rpc_notifications(**given: Any) -> Strategy[dict[str, Any]]:
    """Requests that want no answer, and so have no id; narrowed as `rpc_requests` are."""
    return rpc_requests(**given).map(lambda frame: {name: item for name, item in frame.items() if name != "id"})


def rpc_batches(frames: Strategy[Any] | None = None, *, least: int = 1, most: int = 4) -> Strategy[list[Any]]:
    """Arrays of requests and notifications, or of what `frames` draws; each request has an id of its own."""
    if frames is not None:
        return st.lists(frames, min_size=least, max_size=most)
    mixed = st.lists(st.tuples(rpc_requests(), st.booleans()), min_size=least, max_size=most)
    return mixed.map(
        lambda drawn: [
            {**frame, "id": number} if wants else {name: frame[name] for name in ("jsonrpc", "method", "params")}
            for number, (frame, wants) in enumerate(drawn)
        ]
    )


def rpc_answers(*, envelope: Any = None, id: Any = None) -> Strategy[dict[str, Any]]:
    """Answers with a result; `envelope` and `id` as for `rpc_requests`."""
    result = st.fixed_dictionaries({"envelope": plain(envelopes() if envelope is None else as_strategy(envelope))})
    return st.fixed_dictionaries(
        {"jsonrpc": st.just("2.0"), "result": result, "id": rpc_ids() if id is None else as_strategy(id)}
    )


def rpc_errors(*, error: Any = None, id: Any = None) -> Strategy[dict[str, Any]]:
    """Answers with an error, as this library writes them; `error` is of those that `errors` draws."""
    members = (errors() if error is None else as_strategy(error)).map(
        lambda one: load(dump(error_member(one)), depth=9)
    )
    return st.fixed_dictionaries(
        {"jsonrpc": st.just("2.0"), "error": members, "id": rpc_ids() if id is None else as_strategy(id)}
    )


def errors() -> Strategy[AsapError]:
    """Errors of every row of the catalogue, with and without faults."""
    paths = st.sampled_from(["$", "$.sender", "$.payload.parts[0]", "$['a b']"])
    faults = st.lists(st.builds(Fault, paths, st.sampled_from(["missing", "urn"]), texts()), max_size=3)
    return st.builds(
        lambda row, message, found: row(message, faults=found),
        st.sampled_from([CATALOGUE[code] for code in sorted(CATALOGUE)]),
        texts(),
        faults,
    )

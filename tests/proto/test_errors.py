"""The catalogue, and what an error carries."""

import copy
import pickle

import pytest

from asap_proto.errors import CATALOGUE, AsapError, Fault, InvalidValue, Misuse, NestedTooDeep, RateLimited, RemoteFault

ROWS = sorted(CATALOGUE.items())


def subclasses(base):
    for child in base.__subclasses__():
        yield child
        yield from subclasses(child)


def test_every_row_has_its_own_code():
    """Two rows with one code would hide each other."""
    rows = [row for row in subclasses(AsapError) if row.__module__ == "asap_proto.errors"]
    assert len({row.kind.code for row in rows}) == len(rows) == len(CATALOGUE)


@pytest.mark.parametrize(("code", "row"), ROWS)
def test_every_row_is_complete(code, row):
    """A row says a code of ours, a number that JSON-RPC leaves us, an HTTP status and a remedy."""
    kind = row.kind
    assert code == kind.code
    assert code.startswith("asap:")
    assert kind.rpc_code in {-32700, -32600, -32601, -32602, -32603, 429} or -32099 <= kind.rpc_code <= -32000
    assert kind.http_status == 200 or 400 <= kind.http_status < 600
    assert kind.remedy.endswith(".")
    assert issubclass(row, Misuse) or issubclass(row, RemoteFault)


def test_only_what_may_pass_is_retryable():
    """Whatever may succeed later was refused by a limit, or by a peer, or a part of it, that was away."""
    assert {row.__name__ for row in CATALOGUE.values() if row.kind.retryable} == {
        "BodyTooSlow",
        "CircuitOpen",
        "LoadShed",
        "Overloaded",
        "PeerTimedOut",
        "PeerUnreachable",
        "RateLimited",
        "StateUnavailable",
        "StillRunning",
        "TakenOver",
    }


def test_an_error_takes_its_path_from_its_first_fault():
    """Who looks at one path sees the first fault."""
    error = InvalidValue("no", faults=[Fault("$.a", "x", "is odd"), Fault("$.b", "x", "is odd")])
    assert (error.path, error.message, error.code) == ("$.a", "no", "asap:local/invalid_value")
    assert str(error) == "no"


def test_under_moves_every_path():
    """An error found in a part is told from the whole's root."""
    error = NestedTooDeep("no", faults=[Fault("$", "x", "is odd"), Fault("$[1].b", "x", "is odd")]).under("$.params")
    assert error.path == "$.params"
    assert [fault.path for fault in error.faults] == ["$.params", "$.params[1].b"]


@pytest.mark.parametrize(
    ("facts", "seconds"),
    [({}, None), ({"retry_after": 3}, 3.0), ({"retry_after": 0.5}, 0.5), ({"retry_after": "soon"}, None), (None, None)],
)
def test_retry_after_is_a_number_or_nothing(facts, seconds):
    """A fact that is no number asks for no wait."""
    assert RateLimited("no", facts=facts).retry_after == seconds


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_errors_can_be_copied_and_pickled(again):
    """An error that crosses a process loses nothing."""
    error = RateLimited("no", faults=[Fault("$.a", "x", "is odd")], facts={"retry_after": 1})
    other = again(error)
    assert type(other) is RateLimited
    assert (other.message, other.path, other.faults, other.facts) == ("no", "$.a", error.faults, error.facts)
    assert other.retryable


def test_facts_are_the_errors_own():
    """A caller that changes its dict later does not change the error."""
    facts = {"a": 1}
    error = RateLimited("no", facts=facts)
    facts["a"] = 2
    assert error.facts == {"a": 1}

"""What `asap bench` measures."""

import orjson
import pytest

from asap_adapters._shared.deflate import CODINGS
from asap_adapters.bench import Figure, compression, fixtures, run
from asap_proto.wire.nouns import decode_envelope


def test_every_promised_figure_is_measured(monkeypatch):
    """One short round: its times mean nothing, but each promise is there with its floor."""
    monkeypatch.setattr("asap_adapters.bench._ITEMS", 5)
    said = []
    figures = run(1, said.append)
    assert all(isinstance(figure, Figure) and (figure.holds is None) == (figure.floor is None) for figure in figures)
    assert [figure.floor for figure in figures] == [2.5, 3.5, 2.5, 3.5, 15, 30, 15, 30, 60.0, None, None]
    assert said


def test_the_common_request_is_as_long_as_it_says():
    """The same length for each shape, and each request another."""
    for shape in fixtures.SHAPES:
        bodies = fixtures.requests(20, shape=shape)
        assert {len(body) for body in bodies} == {742}
        assert len(set(bodies)) == 20


def test_the_echo_agent_answers():
    """So that no error is measured in place of an exchange."""
    for full in (False, True):
        response = fixtures.EchoServer().exchange(fixtures.requests(1, full=full)[0])
        assert response.status == 200
        assert b'"status":"completed"' in response.body


def test_each_coding_is_measured():
    """On bodies of about the size that is asked for, the same in each run; what Python says of itself may change."""
    found = compression.measure((10_000, 100_000), rounds=1)
    assert [(each.coding, each.size) for each in found] == [(one, n) for n in (10_000, 100_000) for one in CODINGS]
    assert all(each.seconds > 0 for each in found)
    smaller = {(each.coding, each.size): each.smaller for each in found}
    assert smaller[CODINGS[0], 10_000] > 0.58
    assert smaller[CODINGS[0], 100_000] > 0.68


def test_other_coders_are_measured_beside_ours():
    """For whoever thinks of another level."""
    (found,) = compression.measure((1_000,), rounds=1, coders={"half": lambda body: body[::2]})
    assert (found.coding, found.size, round(found.smaller, 2)) == ("half", 1_000, 0.5)


@pytest.mark.parametrize("size", [1_000, 10_000, 5_000_000])
def test_bodies_to_be_compressed(size):
    """No two alike, and each a document that a client reads."""
    one, other = compression.envelopes(2, size=size)
    assert one != other
    assert compression.envelopes(1, size=size) == [one]
    assert size <= len(one) < size + 1_200
    document = orjson.loads(one)
    assert decode_envelope(document["result"]["envelope"]).payload.status == "completed"

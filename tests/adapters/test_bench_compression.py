"""What is measured of each coding, and on which bodies."""

import orjson
import pytest

from asap_adapters._shared.deflate import CODINGS
from asap_adapters.bench import compression
from asap_proto.wire.nouns import decode_envelope


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

"""How long each address of a name is tried before the next."""

from math import inf

import pytest

from asap_adapters._shared.addresses import addresses_of, turns
from asap_proto.rules.targets import parse_targets


@pytest.mark.parametrize(
    ("addresses", "seconds", "expected"),
    [
        # one that answers nothing, as a broken way to IPv6, does not hold up the other for half of the time
        (["::1", "127.0.0.1"], 60.0, [("::1", 2.0), ("127.0.0.1", 58.0)]),
        (["127.0.0.1"], 60.0, [("127.0.0.1", 60.0)]),
        (["a", "b", "c"], 3.0, [("a", 1.0), ("b", 1.0), ("c", 1.0)]),
        (["a", "b"], inf, [("a", 2.0), ("b", inf)]),
        # whoever waits was cut off already
        (["a"], -inf, [("a", 0.0)]),
        (["a", "b"], -1.0, [("a", 0.0), ("b", 0.0)]),
    ],
)
def test_each_address_has_its_turn_and_the_last_what_is_left(addresses, seconds, expected):
    """All together they have no more than there is."""
    assert turns(addresses, seconds) == expected


def test_a_link_local_address_keeps_its_zone():
    """Without it there is no way there; it is judged as any other."""
    found = [
        (0, 0, 0, "", place)
        for place in (("fe80::1", 80, 0, 2), ("fe80::1%2", 80, 0, 2), ("::1", 80, 0, 0), ("127.0.0.1", 80))
    ]
    assert addresses_of(found, "agents.example", parse_targets("any")) == ["fe80::1%2", "::1", "127.0.0.1"]

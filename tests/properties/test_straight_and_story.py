"""Whatever is asked, a server that goes straight on where it may answers as one that tells stories of all."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from asap_adapters.testing import strategies as asap
from asap_proto.model import PAYLOADS
from asap_proto.roles import Returned, TimedOut
from asap_testkit import link, request_frame
from asap_testkit.requests import requests
from asap_testkit.straight import post_straight

_ids = re.compile(rb"[0-7][0-9A-HJKMNP-TV-Z]{25}")

#: What handlers may come to.
OUTCOMES = st.sampled_from([Returned({"ok": [1]}), Returned(None), Returned({"no": {1}}), TimedOut()])


def server(outcome):
    skills = dict.fromkeys(["echo", *PAYLOADS], lambda job: outcome)
    return link(server={"handles": PAYLOADS.values()}, skills=skills)


@given(st.lists(requests() | asap.disturbed(requests()) | asap.json_values(), min_size=1, max_size=3), OUTCOMES)
@example([request_frame(key="k"), request_frame(key="k")], Returned({}))
@example([request_frame(extensions={"nonce": "n"}), request_frame(extensions={"nonce": "n"})], Returned({}))
def test_both_ways_come_to_the_same(frames, outcome):
    """The same answers, but for the ids that are drawn, the same counts, and as many tasks."""
    told, straight = server(outcome), server(outcome)
    for frame in frames:
        if isinstance(frame, list):
            continue  # a batch is taken apart before
        expected, found = told.post(frame), post_straight(straight, frame)
        assert (found.status, found.headers) == (expected.status, expected.headers)
        assert _ids.sub(b"ID", found.body) == _ids.sub(b"ID", expected.body)
    assert straight.events == told.events
    assert len(straight.state.tasks()) == len(told.state.tasks())

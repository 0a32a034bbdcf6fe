"""Whatever is asked, a server that goes straight on where it may answers as one that tells stories of all."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from asap_adapters.testing import strategies as asap
from asap_proto.model import PAYLOADS, TaskRequest
from asap_proto.roles import TimedOut
from asap_testkit import link, request_frame
from asap_testkit.requests import requests
from asap_testkit.straight import post_straight

_ids = re.compile(rb"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_names = re.compile(_ids.pattern.decode())

#: What handlers may come to.
OUTCOMES = st.sampled_from([{"ok": [1]}, None, {"no": {1}}, TimedOut()])


#: What they may leave in the input that they were given, if anything: JSON, none, and more than is kept as a text.
LEFT = st.sampled_from([None, "here", {1}, "x" * 20_000])

#: A handler may not answer it with an object: the failure that is told of then has an id that was drawn, of which a
#: retry draws more where it is judged straight on and by its story.
CANCEL = request_frame(payload_type="task.cancel", payload={"task_id": ""}, key="k")


def server(outcome, left):
    def run(job):
        if left is not None and isinstance(job.payload, TaskRequest):
            job.payload.input["left"] = left
        return outcome

    return link(server={"handles": PAYLOADS.values()}, skills=dict.fromkeys(["echo", *PAYLOADS], run))


def kept_of(wire):
    """All that is known of its tasks, but for the ids that are drawn, and what it takes."""
    state = wire.state
    tasks = [(task, state.events(task.id, after=0, most=9)) for task in state.tasks()]
    return sorted(_names.sub("ID", repr(task)) for task in tasks), state._bytes, state._done_bytes


@given(st.lists(requests() | asap.disturbed(requests()) | asap.json_values(), min_size=1, max_size=3), OUTCOMES, LEFT)
@example([request_frame(key="k"), request_frame(key="k")], {}, None)
@example([request_frame(key="k"), request_frame(key="k")], {}, {1})
@example([request_frame(extensions={"nonce": "n"}), request_frame(extensions={"nonce": "n"})], {}, "here")
@example([CANCEL, CANCEL, CANCEL | {"params": {"envelope": CANCEL["params"]["envelope"]}}], {}, None)
def test_both_ways_come_to_the_same(frames, outcome, left):
    """The same answers, but for the ids that are drawn, the same counts, and the same tasks in as much room."""
    told, straight = server(outcome, left), server(outcome, left)
    for frame in frames:
        if isinstance(frame, list):
            continue  # a batch is taken apart before
        expected, found = told.post(frame), post_straight(straight, frame)
        assert (found.status, found.headers) == (expected.status, expected.headers)
        assert _ids.sub(b"ID", found.body) == _ids.sub(b"ID", expected.body)
    assert _names.sub("ID", repr(straight.events)) == _names.sub("ID", repr(told.events))
    assert kept_of(straight) == kept_of(told)

"""A peer that says to ask elsewhere: nobody is asked there, on every front, over real sockets."""

import pytest

from asap_proto import TaskRequest
from asap_proto.errors import Redirected
from asap_proto.rules.retry import RetryRule

from .ears import Ear
from .fronts import WORKER


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("same_host", [True, False])
def test_no_redirect_is_followed(front, stack, status, same_host):
    """Neither to another host nor to the same: no verb, no header and no token comes there."""
    elsewhere = stack.enter_context(Ear("127.0.0.1").open())
    there = f"http://user:hunter2@127.0.0.1:{elsewhere.port}/asap?token=hunter2"
    location = "/elsewhere?token=hunter2" if same_host else there
    ear = stack.enter_context(Ear(status=status, headers={"Location": location}).open())
    client = stack.enter_context(
        front.client(f"http://127.0.0.1:{ear.port}", peer=WORKER, token="secret", retry=RetryRule(attempts=3))
    )
    calls = [lambda: client.request("echo", {}), client.manifest, lambda: client.state("task_1")]
    for call in calls:
        with pytest.raises(Redirected) as caught:
            call()
        assert "hunter2" not in str(caught.value)
        assert caught.value.facts == {"status": status, **({} if same_host else {"host": "127.0.0.1"})}
    with pytest.raises(Redirected), client.stream("echo", {}) as payloads:
        list(payloads)
    assert [path for _, path, _ in ear.heard] == [
        "/asap",
        "/.well-known/asap/manifest.json",
        "/asap",
        "/asap/stream",
    ]
    assert not elsewhere.heard


def test_a_batch_is_not_sent_elsewhere(front, stack):
    """Each of its items is told so."""
    elsewhere = stack.enter_context(Ear().open())
    location = {"Location": f"http://127.0.0.1:{elsewhere.port}/asap"}
    ear = stack.enter_context(Ear(status=307, headers=location).open())
    with front.client(f"http://127.0.0.1:{ear.port}", peer=WORKER) as client:
        envelopes = [client.role.compose(WORKER, TaskRequest("c", "echo", {})) for _ in range(2)]
        answers = client.send_batch(envelopes)
    assert [type(answer) for answer in answers] == [Redirected, Redirected]
    assert len(ear.heard) == 1
    assert not elsewhere.heard


def test_our_own_redirect_is_told(front, echo):
    """A client whose URL ends in the endpoint's path asks where nothing is, and hears it in words."""
    response = echo.http.post("/asap/")
    assert (response.status_code, response.headers["location"]) == (307, "../asap")

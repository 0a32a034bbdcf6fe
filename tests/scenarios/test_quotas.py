"""Who may ask how much of a served agent: of one skill, from behind a proxy, and while it has too much to do."""

import time

import httpx
import pytest

from asap_proto import Limits
from asap_proto.errors import LoadShed, RateLimited
from asap_proto.rules.retry import RetryRule
from asap_proto.stores import MemoryState

from .fronts import holds, post

ONCE = RetryRule(attempts=1)


def test_a_skill_with_a_quota_of_its_own(front):
    """Beyond it nothing runs; other skills go on."""
    agent = front.agent(quota="100/minute")
    runs = []

    @agent.skill("costly", quota="1/minute")
    def costly(task):
        runs.append(task.id)
        return {"run": len(runs)}

    @agent.skill("cheap")
    def cheap(task):
        return {}

    with front.serving(agent) as url, front.client(url, retry=ONCE) as client:
        assert client.request("costly", {}).result == {"run": 1}
        with pytest.raises(RateLimited) as caught:
            client.request("costly", {})
        details = caught.value.facts["data"]["details"]
        assert (details["limit"], details["remaining"]) == ("1/minute", 0)
        assert 50 <= caught.value.retry_after <= 60
        client.request("cheap", {})
    assert len(runs) == 1


def test_what_is_left_is_told(front):
    """In every answer to a caller that has a quota; to a refusal with it, and nothing where there is none."""
    agent = front.agent(quota="3/hour")
    with front.serving(agent) as url, httpx.Client(base_url=url) as http:
        answers = [post(http, {}) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert [answer.headers["ratelimit"].partition(";t=")[0] for answer in answers] == [
            '"3/3600s";r=2', '"3/3600s";r=1', '"3/3600s";r=0', '"3/3600s";r=0',
        ]  # fmt: skip
        assert answers[0].headers["ratelimit-policy"] == '"3/3600s";q=3;w=3600'
        assert "ratelimit" not in http.get("/health").headers


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded"])
def test_callers_behind_a_proxy(front, name):
    """Where it is named each of them has a quota; what they write themselves before it does not count."""
    agent = front.agent(quota="1/hour", proxies=["127.0.0.0/8", "::1"])
    word = "for=" if name == "Forwarded" else ""

    def ask(http, *addresses):
        lines = [(name, word + address) for address in addresses]
        return post(http, {}, headers=lines).status_code

    with front.serving(agent) as url, httpx.Client(base_url=url) as http:
        assert [ask(http, "192.0.2.1"), ask(http, "192.0.2.2"), ask(http, "192.0.2.1")] == [200, 200, 429]
        assert [ask(http, made_up, "192.0.2.1") for made_up in ("192.0.2.8", "192.0.2.9", "127.0.0.1")] == [429] * 3


def test_nobody_is_believed_who_was_not_named(front):
    """Least of all whoever connects from this machine."""
    agent = front.agent(quota="1/hour")
    with front.serving(agent) as url, httpx.Client(base_url=url) as http:
        for number, status in enumerate([200, 429, 429]):
            headers = {"X-Forwarded-For": f"192.0.2.{number}", "Forwarded": f"for=192.0.2.{number}"}
            assert post(http, {}, headers=headers).status_code == status


class Sluggish(MemoryState):
    """A store that takes its time to look, while it is told to."""

    seconds = 0.0

    def read(self, task_id, *, now):
        time.sleep(self.seconds)
        return super().read(task_id, now=now)


def test_an_agent_that_is_late_turns_work_away(front):
    """With a code that tells why, and when to come back; whoever only looks is answered."""
    store = Sluggish()
    agent = front.agent(store=store, limits=Limits(late_seconds=0.25))

    @agent.skill("echo")
    def echo(task):
        return {}

    with front.serving(agent) as url, front.client(url, retry=ONCE) as client, httpx.Client(base_url=url) as http:
        client.request("echo", {})
        store.seconds = 0.5

        refused = []

        def is_shed():
            try:
                client.request("echo", {})
            except LoadShed as error:
                refused.append(error.retry_after)
            return refused

        holds(is_shed)
        assert refused[0] >= 1
        assert http.get("/health").status_code == 200

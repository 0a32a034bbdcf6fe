"""What a caller may ask at all, of which skill, from where, and when the agent has too much to do."""

import json

import pytest

from asap_proto.errors import StateUnavailable
from asap_proto.http import HttpResponse, RequestHead
from asap_proto.limits import Limits
from asap_proto.model import AuthScheme
from asap_proto.roles import Accept, Admitted, Observe, Saturated, ServerRole, Spend, Together
from asap_proto.rules.forwarding import parse_proxies
from asap_proto.rules.quota import Allowed, Left, Rate, RetryAfter
from asap_proto.rules.slot import Kept
from asap_proto.stores import Refused
from asap_testkit import NOW, FixedClock, asks, echo_manifest, finish, fixed_sources, link, request_frame
from asap_testkit.receiving import NONCE, admitted, answer_of, payload_of, receive, role

ASYNC = {"prefer": "respond-async"}
LEFT = (Left(Rate(10, 1), 9, 0.1), Left(Rate(100, 60), 42, 34.8))
STANDING = {
    "ratelimit-policy": '"10/1s";q=10;w=1, "100/60s";q=100;w=60',
    "ratelimit": '"10/1s";r=9;t=1, "100/60s";r=42;t=35',
}


def head(peer="192.0.2.1", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return RequestHead("POST", "/asap", {"content-type": "application/json"} | named, peer)


def standing(response):
    return {name: value for name, value in response.headers.items() if name.startswith("ratelimit")}


def data_of(response):
    data = answer_of(response)["error"]["data"]
    assert data["error"]  # whatever it says: a sentence for people is there
    return data


# -- what is left ----------------------------------------------------------------------------------------------------


@pytest.mark.proves("quota.left")
def test_what_is_left_stands_in_the_answer():
    """Of each rate, and when its whole bucket is there again; where no quota is told, nothing is."""
    steps = role(quota=True).admit(head())
    assert asks(steps) == Spend("192.0.2.1", 1, 1000.0)
    assert standing(finish(steps, Allowed(LEFT))) == STANDING
    steps = role(quota=True).admit(head())
    asks(steps)
    assert standing(finish(steps, Allowed())) == {}


@pytest.mark.proves("quota.left", "quota.answer")
def test_a_refusal_says_so_too():
    """And how many requests the caller could still make at once: fewer than it has asked for."""
    steps = role(quota=True).admit(head())
    asks(steps)
    assert isinstance(asks(steps, RetryAfter(1.2, "10/second;100/minute", 10, LEFT)), Observe)
    response = finish(steps)
    assert (response.status, response.headers["retry-after"], standing(response)) == (429, "2", STANDING)
    assert data_of(response)["details"] == {"retry_after": 2, "limit": "10/second;100/minute", "remaining": 9}


@pytest.mark.proves("quota.left", "quota.batch")
def test_a_batch_is_told_what_is_left_after_all_of_it():
    """Its items were paid after its head."""
    wire = link(quota="5/minute")
    response = wire.post([1, 2, 3])
    assert standing(response) == {"ratelimit-policy": '"5/60s";q=5;w=60', "ratelimit": '"5/60s";r=2;t=36'}
    refused = wire.post([1, 2, 3])
    assert (refused.status, refused.headers["retry-after"]) == (429, "12")
    assert refused.headers["ratelimit"] == '"5/60s";r=1;t=48'
    assert data_of(refused)["details"]["remaining"] == 1
    wire.clock.move(12)
    assert wire.post([1, 2]).status == 200


# -- from where ------------------------------------------------------------------------------------------------------


@pytest.mark.proves("quota.forwarded")
def test_a_caller_behind_a_proxy_has_its_own_quota():
    """Where the proxy was named; where not, all callers behind it are one."""
    server = role(quota=True, proxies=parse_proxies(["10.0.0.0/8"]))
    assert asks(server.admit(head("10.0.0.1", x_forwarded_for="192.0.2.7"))).caller == "192.0.2.7"
    assert asks(role(quota=True).admit(head("10.0.0.1", x_forwarded_for="192.0.2.7"))).caller == "10.0.0.1"


@pytest.mark.proves("quota.forwarded")
def test_an_ipv6_host_is_one_caller():
    """With whichever of its addresses it asks."""
    found = {asks(role(quota=True).admit(head(f"2001:db8::{last}"))).caller for last in (1, 2, 3)}
    assert found == {"2001:db8::/64"}


@pytest.mark.proves("quota.forwarded")
def test_who_guesses_behind_a_proxy_spends_by_its_own_address():
    """And by that address the log tells it."""
    server = ServerRole(
        echo_manifest(auth=AuthScheme(("bearer",))),
        fixed_sources(),
        quota=True,
        proxies=parse_proxies(["10.0.0.1"]),
    )
    steps = server.admit(head("10.0.0.1", forwarded='for="[2001:db8::7]:4711"'))
    assert asks(steps).caller == "guesses from 2001:db8::/64"
    asks(steps, Allowed())
    asks(steps, None)
    assert asks(steps, Allowed()).event.note == "authentication is required (from 2001:db8::7)"


# -- of which skill --------------------------------------------------------------------------------------------------


def posts(wire, **changes):
    return wire.post(request_frame(**changes))


@pytest.mark.proves("quota.skill")
def test_a_skill_has_a_quota_of_its_own():
    """For each caller; a refused request has claimed no nonce and no key, and the other skills go on."""
    wire = link(
        skill_quotas={"echo": "1/minute"},
        manifest=echo_manifest(skills=("echo", "other")),
        skills={"echo": lambda job: {}, "other": lambda job: {}},
    )
    assert posts(wire).status == 200
    response = posts(wire, key="k", extensions=NONCE)
    assert (response.status, response.headers["retry-after"]) == (429, "60")
    assert data_of(response)["details"] == {"retry_after": 60, "limit": "1/minute", "remaining": 0}
    assert data_of(response)["code"] == "asap:transport/rate_limited"
    other = {"conversation_id": "c", "skill_id": "other", "input": {}}
    assert payload_of(posts(wire, payload=other))["status"] == "completed"
    wire.clock.move(60)
    assert posts(wire, key="k", extensions=NONCE).status == 200


@pytest.mark.proves("quota.skill")
def test_a_skills_quota_is_each_callers_own():
    """By the same name as the agent's: its URN, or its address."""
    wire = link(skill_quotas={"echo": "1/minute"})
    body = json.dumps(request_frame()).encode()
    statuses = [wire.serve(head(peer), body).status for peer in ("192.0.2.1", "192.0.2.2", "192.0.2.1")]
    assert statuses == [200, 200, 429]


@pytest.mark.proves("quota.skill")
def test_what_does_not_run_costs_nothing():
    """A retry that has its answer already, a nonce that was used, a request that is refused before."""
    wire = link(skill_quotas={"echo": "2/minute"})
    first = posts(wire, key="k", extensions=NONCE)
    for _ in range(3):
        assert posts(wire, key="k").body == first.body
        assert data_of(posts(wire, extensions=NONCE))["code"] == "asap:protocol/invalid_nonce"
        assert data_of(posts(wire, sender="urn:asap:agent:"))["code"] == "asap:protocol/malformed_envelope"
    assert (posts(wire).status, posts(wire).status) == (200, 429)


@pytest.mark.proves("quota.skill")
@pytest.mark.parametrize(
    "answer", [Kept("task_1", b'"result":{}'), Refused("tasks full"), StateUnavailable("the store is away")]
)
def test_what_was_paid_in_vain_is_given_back(answer):
    """Whatever came of it, the token is there again before the caller hears of it."""
    steps = receive(request_frame(key="k", extensions=NONCE), server=role(metered=["echo"]))
    assert asks(steps) == Spend("192.0.2.1", 1, 1000.0, "echo")
    accept = asks(steps, Allowed())
    assert isinstance(accept, Accept)
    assert (accept.nonce.nonce, accept.now, len(accept.events)) == ("n", NOW.timestamp(), 1)
    back = steps.throw(answer) if isinstance(answer, Exception) else asks(steps, answer)
    assert back == Spend("192.0.2.1", -1, 1000.0, "echo")
    assert isinstance(asks(steps, Allowed()), Observe)


def test_a_store_that_is_away_costs_nothing_where_no_quota_is():
    """Nothing was paid."""
    steps = role().stream(admitted(), json.dumps(request_frame()).encode())
    assert isinstance(asks(steps), Accept)
    assert isinstance(steps.throw(StateUnavailable("the store is away")), Observe)


@pytest.mark.proves("quota.skill")
def test_what_finds_no_thread_costs_nothing():
    """It is refused to be asked again, and then it is to run."""
    busy = [Saturated(), Saturated()]
    wire = link(skill_quotas={"echo": "1/minute"}, skills={"echo": lambda job: busy.pop() if busy else {}})
    assert [posts(wire, key="k").status for _ in range(3)] == [503, 503, 200]
    assert posts(wire).status == 429


@pytest.mark.proves("quota.skill")
@pytest.mark.parametrize("path", ["/asap", "/asap/stream"])
def test_submitted_and_streamed_runs_count(path):
    """By whichever way a skill is asked for."""
    wire = link(skill_quotas={"echo": "1/minute"})
    assert wire.post(request_frame(extensions=ASYNC), path=path).status == 200
    assert wire.post(request_frame(extensions=ASYNC), path=path).status == 429


@pytest.mark.proves("quota.skill")
def test_tool_calls_count():
    """A tool is the skill of that name."""
    wire = link(skill_quotas={"echo": "1/minute"})
    call = {"request_id": "r", "tool_name": "echo", "arguments": {}}
    assert posts(wire, payload_type="mcp.tool_call", payload=call).status == 200
    assert posts(wire, payload_type="mcp.tool_call", payload=call).status == 429


@pytest.mark.proves("quota.skill")
def test_work_that_goes_on_as_a_new_task_counts():
    """Else whoever has a snapshot could have the skill run as often as it likes."""

    def saving(job, task):
        yield from task.save({"step": 1})
        return {}

    wire = link(skill_quotas={"echo": "2/minute"}, skills={"echo": saving})
    task_id = payload_of(posts(wire))["task_id"]
    again = {"task_id": task_id, "snapshot_id": wire.state.snapshot(task_id).id}
    assert posts(wire, payload_type="state.restore", payload=again).status == 200
    assert posts(wire, payload_type="state.restore", payload=again).status == 429


@pytest.mark.proves("quota.skill", "quota.batch")
def test_items_of_a_batch_are_paid_each_by_its_skill():
    """An item that is too much is refused alone."""
    wire = link(skill_quotas={"echo": "2/minute"})
    answers = answer_of(wire.post([request_frame(id=number) for number in range(3)]))
    assert ["result" in answer for answer in answers] == [True, True, False]
    assert answers[2]["error"]["code"] == 429


# -- too much to do --------------------------------------------------------------------------------------------------


def late(server, clock, *, windows=20):
    """The server, after its work was late for so many windows."""
    for _ in range(windows):
        server.felt(1.0)
        clock.move(0.5)
    return server


def sluggish(clock, **options):
    manifest = echo_manifest(auth=options.pop("auth", None))
    return ServerRole(manifest, fixed_sources(clock), limits=Limits(late_seconds=0.25), **options)


def test_work_is_turned_away_while_the_agent_is_late():
    """Before the body is read, with when to come back; some is let in, and reading is free."""
    clock = FixedClock()
    server = late(sluggish(clock), clock)
    answers = []
    for _ in range(40):
        steps = server.admit(head())
        found = next(steps, None)
        answers.append(None if found is None else finish(steps))
    turned_away = [answer for answer in answers if answer is not None]
    assert len(turned_away) == 38
    assert (turned_away[0].status, turned_away[0].headers["retry-after"]) == (503, "10")
    assert data_of(turned_away[0])["code"] == "asap:transport/load_shed"
    assert finish(server.admit(RequestHead("GET", "/health", {}, "192.0.2.1"))).status == 200


def test_who_is_turned_away_comes_back_when_all_is_well_again():
    """In whole seconds: one, where half of one would do."""
    clock = FixedClock()
    server = late(sluggish(clock), clock, windows=2)
    for _ in range(9):
        server.felt(0.0)
        clock.move(0.5)
    answers = [response for _ in range(40) if isinstance(response := told_of(server), HttpResponse)]
    assert {response.headers["retry-after"] for response in answers} == {"1"}
    assert {data_of(response)["details"]["retry_after"] for response in answers} == {1}


def told_of(server):
    """What a request comes to, once its refusal was counted."""
    steps = server.admit(head())
    try:
        next(steps)
    except StopIteration as end:
        return end.value
    return finish(steps)


def test_it_takes_all_again_once_it_is_in_time():
    """After as long as it has said."""
    clock = FixedClock()
    server = late(sluggish(clock), clock)
    for _ in range(20):
        server.felt(0.0)
        clock.move(0.5)
    assert all(isinstance(finish(server.admit(head())), Admitted) for _ in range(100))


def test_without_a_target_nothing_is_late():
    """However late it is."""
    clock = FixedClock()
    server = late(ServerRole(echo_manifest(), fixed_sources(clock)), clock)
    assert all(isinstance(finish(server.admit(head())), Admitted) for _ in range(100))


def test_who_is_turned_away_pays_nothing():
    """And who is nobody, or has spent all it had, takes no place of those that are let in."""
    clock = FixedClock()
    server = late(sluggish(clock, quota=True), clock)
    for _ in range(100):
        steps = server.admit(head())
        assert asks(steps).cost == 1
        assert isinstance(asks(steps, RetryAfter(1.0, "1/second", 1)), Observe)
        assert finish(steps).status == 429
    steps = server.admit(head())
    asks(steps)
    assert asks(steps, Allowed(LEFT)) == Spend("192.0.2.1", -1, clock.elapsed())
    asks(steps, Allowed(LEFT))
    response = finish(steps)
    assert (response.status, standing(response)) == (503, {})


def test_a_batch_without_a_quota_is_free():
    """Nobody counts."""
    assert isinstance(asks(role().receive(admitted(), b"[1, 2]")), Together)

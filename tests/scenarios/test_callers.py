"""Who may ask, how much, and how many at once."""

import attrs
import httpx
import pytest

from asap_proto import AsapError, Misuse, TaskRequest, agent_urn
from asap_proto.errors import RateLimited, SenderMismatch, SkillNotFound, Unauthenticated
from asap_proto.rules.retry import RetryRule

from .fronts import ME, WORKER, post
from .test_bodies import GOOD, frame

ONCE = RetryRule(attempts=1)


@pytest.fixture(scope="module")
def guarded(front):
    """The URL of an agent that asks for a token."""

    def validate(token):
        if token == "bad":
            raise ValueError("the validator is broken")
        return {"good": ME, "another": agent_urn("urn:asap:agent:another"), "odd": 5}.get(token)

    agent = front.agent(token_validator=validate)

    @agent.skill("echo")
    def echo(task):
        return {"caller": task.caller}

    with front.serving(agent) as url:
        yield url


def test_right_token(front, guarded):
    """A caller with a token may ask as the agent that it stands for."""
    with front.client(guarded, token="good") as client:
        assert client.request("echo", {}).result == {"caller": ME}
        assert client.manifest().auth.schemes == ("bearer",)


@pytest.mark.parametrize("token", [None, "wrong", "bad", "odd", "good2", "x" * 5000])
def test_no_right_token(front, guarded, token):
    """Without a token, or with one that nobody vouches for, nothing is done."""
    with front.client(guarded, token=token) as client, pytest.raises(Unauthenticated):
        client.request("echo", {})


def test_another_agents_token(front, guarded):
    """A token does not let its holder speak for another agent."""
    with front.client(guarded, token="another") as client, pytest.raises(SenderMismatch):
        client.request("echo", {})


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Basic Z29vZDpnb29k", "good", "bearer bad", "Bearer good extra", b"Bearer \xff", "Bearer good,x"],
    ids=str,
)
def test_odd_credentials(guarded, value):
    """Whatever stands in Authorization, the refusal is that of the protocol, with a challenge."""
    with httpx.Client(base_url=guarded) as http:
        response = post(http, GOOD, headers={"authorization": value})
    assert response.status_code == 200
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["error"]["code"] == -32600
    assert response.json()["error"]["data"]["status_code"] == 401


@pytest.mark.parametrize("value", ["Bearer good", "bearer good", "BEARER   good"])
def test_scheme_in_any_case(guarded, value):
    """The scheme's case and the spaces around the token do not matter."""
    with httpx.Client(base_url=guarded) as http:
        assert "result" in post(http, GOOD, headers={"authorization": value}).json()


@pytest.mark.parametrize("token", ["", " ", "a\n", "a\r\nX-Header: b", "čau", "a b\0"])
def test_a_token_that_is_none(front, guarded, token):
    """A token that no header can carry is refused before anything is sent, and not shown."""
    with pytest.raises(Misuse) as caught, front.client(guarded, token=token) as client:
        client.request("echo", {})
    assert not token.strip() or token not in str(caught.value)


def test_quota(front):
    """A caller that asked too often is told when to come back."""
    agent = front.agent(quota="2/minute")

    @agent.skill("echo")
    def echo(task):
        return {}

    with front.serving(agent) as url, front.client(url, retry=ONCE) as client, httpx.Client(base_url=url) as http:
        client.request("echo", {})
        client.request("echo", {})
        with pytest.raises(RateLimited) as caught:
            client.request("echo", {})
        assert 1 <= caught.value.retry_after <= 30
        response = post(http, b"not even JSON")
        assert response.status_code == 429
        assert response.headers["retry-after"] == str(response.json()["error"]["data"]["details"]["retry_after"])
        assert response.json()["error"]["code"] == 429
        assert response.json()["id"] is None
        assert http.get("/health").status_code == 200
        assert http.get("/.well-known/asap/manifest.json").status_code == 200


def test_quota_counts_batch_items(front):
    """Each item of a batch counts."""
    agent = front.agent(quota="5/minute")

    @agent.skill("echo")
    def echo(task):
        return {}

    with front.serving(agent) as url, httpx.Client(base_url=url) as http:
        batch = b"[" + b",".join([GOOD] * 4) + b"]"
        assert len(post(http, batch).json()) == 4
        assert post(http, batch).status_code == 429
        post(http, GOOD)


def letters(client, *skills):
    return [client.role.compose(WORKER, TaskRequest("c", skill, {"n": n})) for n, skill in enumerate(skills)]


def test_batch(echo):
    """Replies come in order, each with its own fate."""
    results = echo.client.send_batch(letters(echo.client, "echo", "sing", "echo"))
    assert [type(result).__name__ for result in results] == ["Envelope", "SkillNotFound", "Envelope"]
    assert [result.payload.result for result in (results[0], results[2])] == [
        {"echoed": {"n": 0}},
        {"echoed": {"n": 2}},
    ]


@pytest.mark.parametrize("count", [0, 1, 50, 51, 120])
def test_batches_of_any_size(echo, count):
    """A long batch is cut to what the peer takes."""
    results = echo.client.send_batch(letters(echo.client, *["echo"] * count))
    assert [result.payload.result["echoed"]["n"] for result in results] == list(range(count))


@pytest.mark.parametrize("fan_out", [False, True])
def test_batch_to_a_peer_that_takes_none(front, fan_out):
    """A peer that refuses arrays is sent single requests side by side; errors stay in their places."""
    agent = front.agent()

    @agent.skill("echo")
    def echo(task):
        return task.input

    with front.serving(agent) as url, front.client(url) as client:
        client.role._takes_batches = not fan_out
        results = client.send_batch(letters(client, "echo", "sing", "echo", "sing"))
    kinds = [type(result) for result in results]
    assert kinds[1] is kinds[3]
    assert kinds[1] is SkillNotFound
    assert [results[0].payload.result, results[2].payload.result] == [{"n": 0}, {"n": 2}]


def test_raw_batches(echo):
    """JSON-RPC 2.0 section 6: mixed, empty, too many, of nonsense, of notifications."""
    note = {key: value for key, value in httpx.Response(200, content=GOOD).json().items() if key != "id"}
    good = httpx.Response(200, content=GOOD).json()
    mixed = post(echo.http, [good, note, {"jsonrpc": "2.0"}, 5, good | {"method": "other"}]).json()
    assert [answer.get("error", {}).get("code") for answer in mixed] == [None, -32600, -32600, -32601]
    assert post(echo.http, []).json()["error"]["code"] == -32600
    assert post(echo.http, [1] * 51).json()["error"]["data"]["code"] == "asap:protocol/batch_too_large"
    assert [answer["error"]["code"] for answer in post(echo.http, [[], None]).json()] == [-32600, -32600]
    for silent in (note, [note, note]):
        response = post(echo.http, silent)
        assert (response.status_code, response.content) == (204, b"")
    assert echo.http.get("/health").status_code == 200


def test_notification_runs(front):
    """A notification is answered by silence, yet its handler runs."""
    ran = []
    agent = front.agent()

    @agent.skill("echo")
    def echo(task):
        ran.append(task.input)

    note = {key: value for key, value in httpx.Response(200, content=frame()).json().items() if key != "id"}
    with front.serving(agent) as url, httpx.Client(base_url=url) as http:
        assert post(http, note).status_code == 204
    assert ran == [{"pad": ""}]


def test_an_error_comes_out_bare(front):
    """An `AsapError` leaves `serving` as it was raised, in no group."""
    with pytest.raises(AsapError) as caught, front.serving(front.agent()) as url, front.client(url) as client:
        client.request("nothing", {})
    assert type(caught.value) is SkillNotFound


def test_same_letter_many_times(echo):
    """One envelope may be sent again and again in a batch: each item has its own key and nonce."""
    [letter] = letters(echo.client, "echo")
    results = echo.client.send_batch([letter, letter, attrs.evolve(letter, id="another")])
    assert all(result.payload.result == {"echoed": {"n": 0}} for result in results)

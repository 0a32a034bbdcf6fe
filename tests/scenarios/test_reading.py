"""What is there to read: the manifest, health, metrics; and what HTTP itself refuses."""

import gzip
import re
from datetime import timedelta

import attrs
import httpx
import pytest

from asap_proto import TaskRequest, TaskStatus
from asap_proto.errors import HandlerFailed, InvalidNonce, InvalidTimestamp, SenderMismatch

from .fronts import JSON, ME, WORKER, post


def test_manifest_says_what_the_agent_is(echo):
    """The manifest is published, and the client reads it back."""
    manifest = echo.client.manifest()
    assert (manifest.id, manifest.name, manifest.version) == (WORKER, "Worker", "1.2.3")
    assert [skill.id for skill in manifest.capabilities.skills] == ["echo"]
    response = echo.http.get("/.well-known/asap/manifest.json")
    assert response.headers["content-type"] == "application/json"
    assert response.json()["capabilities"]["skills"][0]["description"] == "Repeat the input"


def test_manifest_is_sent_once(echo):
    """Who holds the manifest is told that it still holds."""
    path = "/.well-known/asap/manifest.json"
    first = echo.http.get(path)
    again = echo.http.get(path, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert echo.http.get(path, headers={"if-none-match": '"another"'}).status_code == 200


@pytest.mark.parametrize("path", ["/.well-known/asap/manifest.json", "/health", "/ready", "/asap/metrics"])
def test_head_is_answered(echo, path):
    """HEAD says what GET would, without the body, and the connection goes on."""
    response = echo.http.head(path)
    assert (response.status_code, response.content) == (200, b"")
    if path != "/asap/metrics":
        assert int(response.headers["content-length"]) == len(echo.http.get(path).content)


def test_health(echo):
    """The two words for machines, and the record that newer peers read."""
    assert echo.http.get("/health").json() == {"status": "ok"}
    assert echo.http.get("/ready").json() == {"status": "ok"}
    record = echo.http.get("/.well-known/asap/health").json()
    assert (record["status"], record["agent_id"], record["version"]) == ("healthy", WORKER, "1.2.3")
    assert record["load"] == {"active_tasks": 0, "queue_depth": 0}
    assert 0 <= record["uptime_seconds"] < 60


def test_metrics_count(front):
    """What was asked stands in the metrics: good and bad, by payload and by error."""
    agent = front.agent()

    @agent.skill("nod")
    def nod(task):
        return None

    with front.serving(agent) as url, front.client(url) as client, httpx.Client(base_url=url, headers=JSON) as http:
        for _ in range(3):
            assert client.request("nod", {}).status is TaskStatus.COMPLETED
        http.post("/asap", content=b"{")
        text = http.get("/asap/metrics").text
    counted = dict(re.findall(r"^(asap_[^ ]+) ([0-9.e+-]+)$", text, re.MULTILINE))
    assert counted['asap_requests_total{payload_type="task.request",status="success"}'] == "3.0"
    assert counted['asap_requests_success_total{payload_type="task.request"}'] == "3.0"
    assert counted['asap_requests_error_total{error_type="parse_error",payload_type="other"}'] == "1.0"
    assert counted['asap_request_duration_seconds_count{payload_type="task.request",status="success"}'] == "3.0"
    assert float(counted["asap_process_uptime_seconds"]) >= 0


def counted(http):
    """Every sample of the metrics."""
    return dict(re.findall(r"^(asap_[^ ]+) ([0-9.e+-]+)$", http.get("/asap/metrics").text, re.MULTILINE))


def test_metrics_count_handlers_and_refusals(front):
    """What handlers did, and why requests were refused, stand under the names that dashboards know."""
    agent = front.agent(token_validator={"good": ME}.get)

    @agent.skill("nod")
    def nod(task):
        return None

    @agent.skill("fail")
    def fail(task):
        raise ValueError

    with front.serving(agent) as url, httpx.Client(base_url=url, headers=JSON) as http:
        with front.client(url, token="good") as client:
            client.request("nod", {})
            with pytest.raises(HandlerFailed):
                client.request("fail", {})
            letter = client.role.compose(WORKER, TaskRequest("c", "nod", {}), extensions={"nonce": "n"})
            client.send(letter)
            stale = attrs.evolve(letter, timestamp=letter.timestamp - timedelta(hours=1))
            for wrong in (letter, stale, attrs.evolve(letter, sender="urn:asap:agent:other")):
                with pytest.raises((InvalidNonce, InvalidTimestamp, SenderMismatch)):
                    client.send(wrong)
        headers = {"authorization": "Bearer good"}
        post(http, b"{", headers=headers)
        post(http, b"{}")
        post(http, {"method": "asap.send", "params": {"envelope": {}}, "id": 1}, headers=headers)
        found = counted(http)
    kind = 'payload_type="task.request"'
    assert found[f"asap_handler_executions_total{{{kind}}}"] == "3.0"
    assert found[f"asap_handler_errors_total{{{kind}}}"] == "1.0"
    assert found[f'asap_handler_duration_seconds_count{{{kind},status="success"}}'] == "2.0"
    assert found[f'asap_handler_duration_seconds_count{{{kind},status="error"}}'] == "1.0"
    for name in ("parse_errors", "auth_failures", "invalid_timestamp", "invalid_nonce", "sender_mismatch"):
        assert found[f"asap_{name}_total"] == "1.0", name
    assert found['asap_validation_errors_total{reason="invalid_envelope"}'] == "1.0"
    assert found["asap_thread_pool_exhausted_total"] == "0.0"
    assert not [name for name in found if "_created" in name]


def test_metrics_are_not_shared(front, echo):
    """Two agents in one process count apart."""
    echo.client.request("echo", {})
    assert "task.request" in echo.http.get("/asap/metrics").text
    with front.serving(front.agent("urn:asap:agent:other")) as url:
        assert "task.request" not in echo.http.get(f"{url}/asap/metrics").text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/asap", 405),
        ("PUT", "/asap", 405),
        ("OPTIONS", "/asap", 405),
        ("POST", "/health", 405),
        ("DELETE", "/.well-known/asap/manifest.json", 405),
        ("POST", "/elsewhere", 404),
        ("GET", "/asap/metrics/", 404),
        ("HEAD", "/elsewhere", 404),
        ("HEAD", "/asap", 405),
    ],
)
def test_what_is_not_there(echo, method, path, status):
    """Other paths and methods are refused in HTTP's own words, and 405 says what is allowed."""
    response = echo.http.request(method, path)
    assert response.status_code == status
    if method != "HEAD":
        assert response.json().keys() == {"detail"}
    assert ("allow" in response.headers) == (status == 405)
    assert echo.http.get("/health").status_code == 200


def test_slash_too_many_redirects(echo):
    """`/asap/` sends to `/asap`, with method and body kept."""
    response = echo.http.post("/asap/?x=1", content=b"{}")
    assert response.status_code == 307
    assert response.next_request.url == f"{echo.url}/asap"
    followed = echo.http.post("/asap/", content=b"{", follow_redirects=True)
    assert followed.json()["error"]["code"] == -32700


def test_query_is_ignored(echo):
    """A query string changes nothing."""
    assert echo.http.get("/health?a=b").status_code == 200
    assert echo.http.post("/asap?x", content=b"{").json()["error"]["code"] == -32700


def test_ready_until_it_was_closed(front):
    """An agent that was closed takes no more work, and says so; an app made later does again."""
    agent = front.agent()
    with front.serving(agent) as url, httpx.Client(base_url=url, headers=JSON) as http:
        assert http.get("/ready").status_code == 200
        front.close(agent)
        assert (http.get("/ready").status_code, http.get("/ready").json()) == (503, {"status": "unready"})
        record = http.get("/.well-known/asap/health")
        assert (record.status_code, record.json()["status"]) == (503, "unhealthy")
        assert http.get("/health").status_code == 200
        with front.serving(agent) as again:
            assert http.get(f"{again}/ready").status_code == 200


@pytest.mark.parametrize(
    ("values", "status"), [(["gzip", "identity"], 200), (["gzip", "br"], 415), (["gzip, identity"], 200)]
)
def test_codings_in_several_headers(echo, values, status):
    """What is one coding is undone, and two are refused, however many headers say so, on every front."""
    headers = [("content-encoding", value) for value in values]
    response = echo.http.post("/asap", content=gzip.compress(b"{"), headers=headers)
    assert response.status_code == status


def test_lists_in_several_headers(echo):
    """Versions and tags may come in several headers, on every front."""
    headers = [("asap-version", "9.9"), ("asap-version", "2.1")]
    assert echo.http.post("/asap", content=b"{", headers=headers).headers["asap-version"] == "2.1"
    path = "/.well-known/asap/manifest.json"
    tag = echo.http.get(path).headers["etag"]
    assert echo.http.get(path, headers=[("if-none-match", '"x"'), ("if-none-match", tag)]).status_code == 304

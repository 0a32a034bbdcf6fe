"""`asap send` and `asap manifest`, against real servers of each front."""

import json
import socket
import threading
from contextlib import asynccontextmanager, contextmanager

import anyio
import anyio.from_thread
import pytest

from asap_adapters import asyncio as on_asyncio
from asap_adapters import sync as on_sync
from asap_adapters import trio as on_trio
from asap_proto.model import TaskResponse, TaskStatus

FRONTS = {"asyncio": on_asyncio, "trio": on_trio, "sync": on_sync}
SERVED = "urn:asap:agent:served"


def make(front, **options):
    """An agent that can repeat, fail, and end badly."""
    agent = front.Agent(SERVED, name="Served", version="1.2.3", description="Is served", **options)

    def echo(task):
        return {"echoed": task.input, "from": task.caller, "config": task.config, "to": task.envelope.recipient}

    def fail(task):
        raise ValueError("a secret")

    def ended(task):
        return TaskResponse(task.id, TaskStatus(task.input["status"]), {"so": "it is"})

    def steps(task):
        task.progress(50, "half way")
        return {"so": "it is"}

    for function in (echo, fail, ended, steps):
        agent.skill(function.__name__, description=f"To {function.__name__}")(function)
    return agent


@contextmanager
def served(runtime, **options):
    """The URL of a server that runs beside the test."""
    front = FRONTS[runtime]
    app = make(front, **options).app()
    if runtime == "sync":
        with on_sync.serving(app) as url:
            yield url
        return

    @asynccontextmanager
    async def serve():
        async with front.serving(app) as url:
            yield url

    with anyio.from_thread.start_blocking_portal(runtime) as portal, portal.wrap_async_context_manager(serve()) as url:
        yield url


@pytest.fixture(scope="module", params=FRONTS)
def url(request):
    with served(request.param) as url:
        yield url


@pytest.fixture(scope="module")
def sync_url():
    with served("sync") as url:
        yield url


@pytest.fixture(scope="module")
def guarded_url():
    with served("sync", token_validator={"good": "urn:asap:agent:cli"}.get) as url:
        yield url


def test_prints_the_result(asap_process, url):
    """The result is printed; nothing else."""
    ended = asap_process("send", url, "--skill", "echo", "--input", '{"message": "grüß dich"}')
    assert ended.exit_code == 0, ended.err
    assert ended.document == {
        "echoed": {"message": "grüß dich"},
        "from": "urn:asap:agent:cli",
        "config": {},
        "to": SERVED,
    }
    assert ended.err == ""


def test_prints_the_whole_reply(asap, url):
    """With --json it is the reply's envelope."""
    reply = asap("send", url, "--skill", "echo", "--json").document
    assert reply["sender"] == SERVED
    assert reply["recipient"] == "urn:asap:agent:cli"
    assert reply["payload_type"] == "task.response"
    assert reply["payload"]["status"] == "completed"


def test_input_from_a_file(asap, sync_url, tmp_path):
    """@file gives what the file holds; --config, --sender and --recipient arrive."""
    (tmp_path / "input.json").write_text('{"n": 1}')
    words = ["--input", "@input.json", "--config", '{"fast": true}', "--sender", "urn:asap:agent:me"]
    result = asap("send", sync_url, "--skill", "echo", *words, "--recipient", SERVED).document
    assert result == {"echoed": {"n": 1}, "from": "urn:asap:agent:me", "config": {"fast": True}, "to": SERVED}


def test_answer_of_another(asap, sync_url):
    """An agent that answers for another than was asked is not believed."""
    ended = asap("send", sync_url, "--skill", "echo", "--recipient", "urn:asap:agent:other", "--json")
    assert ended.exit_code == 1
    assert ended.document["error"]["code"] == "asap:protocol/mispaired_reply"


def test_input_from_stdin(asap_process, sync_url):
    """- is stdin."""
    assert asap_process("send", sync_url, "--skill", "echo", "--input", "-", stdin='{"n": 2}').document["echoed"] == {
        "n": 2
    }


@pytest.mark.parametrize("status", ["failed", "cancelled", "input_required"])
def test_task_that_did_not_complete(asap, sync_url, status):
    """A task that ended badly is exit code 1; its result is printed all the same."""
    words = ["send", sync_url, "--skill", "ended", "--input", json.dumps({"status": status})]
    ended = asap(*words)
    assert ended.exit_code == 1
    assert ended.document == {"so": "it is"}
    assert f"is {status}" in ended.err
    assert ("a client's `tell`" in ended.err) is (status == "input_required")
    ended = asap(*words, "--json")
    assert ended.exit_code == 1
    assert ended.document["payload"]["status"] == status


def test_task_that_goes_on(asap, sync_url):
    """A task that is still at work has not failed."""
    assert asap("send", sync_url, "--skill", "ended", "--input", '{"status": "working"}').exit_code == 0


@pytest.mark.parametrize(
    ("skill", "code", "remedy"),
    [
        ("nope", "asap:capability/skill_not_found", "Ask for a skill listed in the manifest."),
        ("fail", "asap:execution/handler_failed", "It is err_"),
    ],
)
def test_remote_failure(asap, sync_url, skill, code, remedy):
    """What the peer reports is exit code 1, with the code and what to do."""
    ended = asap("send", sync_url, "--skill", skill, "--json")
    assert ended.exit_code == 1
    assert ended.document["error"]["code"] == code
    assert f"[{code}]" in ended.err
    assert remedy in ended.err
    assert "secret" not in ended.err + ended.out


def test_peer_that_is_not_there(asap):
    """A peer that can't be reached is exit code 3, at once."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # held, and not listening
        ended = asap("manifest", f"http://127.0.0.1:{nobody.getsockname()[1]}", "--json")
    assert ended.exit_code == 3
    assert ended.document["error"]["code"] == "asap:transport/unreachable"
    assert "Check the URL" in ended.err


def test_peer_that_does_not_answer(asap):
    """--timeout ends the wait, with exit code 3."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ended = asap("manifest", f"http://127.0.0.1:{silent.getsockname()[1]}", "--timeout", "0.2", "--json")
    assert ended.exit_code == 3
    assert ended.document["error"]["code"] == "asap:transport/timed_out"


def test_token(asap, guarded_url, tmp_path):
    """A right token is let in, from the command line, a file or stdin."""
    (tmp_path / "token").write_text("good\n")
    words = ["send", guarded_url, "--skill", "echo", "--token"]
    assert asap(*words, "good").exit_code == 0
    assert asap(*words, "@token").exit_code == 0
    assert asap(*words, "-", stdin="good\n").exit_code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], "asap:auth/unauthenticated"),
        (["--token", "bad"], "asap:auth/unauthenticated"),
        (["--token", "good", "--sender", "urn:asap:agent:impostor"], "asap:auth/sender_mismatch"),
    ],
)
def test_caller_that_is_refused(asap_process, guarded_url, words, code):
    """A caller that the peer will not hear is exit code 3."""
    ended = asap_process("send", guarded_url, "--skill", "echo", *words, "--json")
    assert ended.exit_code == 3
    assert ended.document["error"]["code"] == code
    assert "bad" not in ended.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--input", "{bad"], "Quote it for the shell"),
        (["--input", "[1]"], "Give an object"),
        (["--input", "@nowhere.json"], "can't read nowhere.json"),
        (["--sender", "me"], "expected urn:asap:agent:NAME"),
        (["--timeout", "0"], "Must be > 0"),
        (["--tries", "0"], "Must be >= 1"),
    ],
)
def test_usage(asap, sync_url, words, says):
    """What can't be sent is exit code 2, with what to do instead."""
    ended = asap("send", sync_url, "--skill", "echo", *words)
    assert ended.exit_code == 2
    assert says in ended.err
    assert ended.out == ""


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://agents.example", "--allow-http"),
        ("agents.example", "no http or https URL"),
        ("ftp://x", "no http or https"),
    ],
)
def test_addresses(asap, url, says):
    """Clear text beyond this machine, and what is no URL, are refused with what to do."""
    ended = asap("manifest", url)
    assert ended.exit_code == 2
    assert says in ended.err


def test_manifest_for_machines(asap, url):
    """With --json the manifest is printed as it is published."""
    document = asap("manifest", url, "--json").document
    assert document["id"] == SERVED
    assert [skill["id"] for skill in document["capabilities"]["skills"]] == ["echo", "fail", "ended", "steps"]


def test_manifest_for_people(asap, guarded_url):
    """Without --json it is a page: who, where, how to be let in, what it can do."""
    ended = asap("manifest", guarded_url)
    assert ended.exit_code == 0
    assert f"Served 1.2.3  {SERVED}" in ended.out
    assert "auth      bearer" in ended.out
    assert "To echo" in ended.out


@pytest.mark.parametrize(
    ("answer", "exit_code", "code"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", 1, "asap:protocol/malformed_reply"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", 1, "asap:protocol/malformed_reply"),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", 3, "asap:transport/refused"),
        (b"HTTP/1.1 503 Gone\r\ncontent-length: 0\r\n\r\n", 3, "asap:transport/thread_pool_exhausted"),
        (b"", 3, "asap:transport/unreachable"),
    ],
)
def test_peer_that_is_no_agent(asap, answer, exit_code, code):
    """Whatever else answers there, it is told in words, with the faults' paths."""
    with socket.create_server(("127.0.0.1", 0)) as peer:

        def reply():
            caller, _ = peer.accept()
            with caller:
                caller.recv(65536)
                caller.sendall(answer)

        replying = threading.Thread(target=reply)
        replying.start()
        ended = asap("manifest", f"http://127.0.0.1:{peer.getsockname()[1]}", "--json")
        replying.join()
    assert ended.exit_code == exit_code
    error = ended.document["error"]
    assert error["code"] == code
    if answer.endswith(b"{}"):
        assert {"path": "$.id", "type": "missing", "problem": "is required"} in error["faults"]
        assert "  $.id  is required" in ended.err


def test_submit(asap, url):
    """--submit prints the task's id; the same key is the same task, from whatever process."""
    words = ["send", url, "--skill", "echo", "--input", '{"n": 1}', "--submit", "--idempotency-key", "k1"]
    ended = asap(*words)
    assert ended.exit_code == 0, ended.err
    task_id = ended.out.strip()
    assert task_id.startswith("task_")
    assert asap(*words).out.strip() == task_id
    assert asap(*words, "--json").document["payload"]["task_id"] == task_id
    ended = asap("send", url, "--skill", "echo", "--input", '{"n": 2}', "--idempotency-key", "k1", "--json")
    assert ended.exit_code == 1
    assert ended.document["error"]["code"] == "asap:protocol/idempotency_key_reused"


def test_stream(asap, url):
    """--stream prints updates as they come, and the result; with --json each as one line."""
    ended = asap("send", url, "--skill", "steps", "--stream")
    assert ended.exit_code == 0, ended.err
    assert "working     50 %  half way\n" in ended.out
    assert ended.out.endswith('{\n  "so": "it is"\n}\n')
    lines = [json.loads(line) for line in asap("send", url, "--skill", "steps", "--stream", "--json").out.splitlines()]
    assert lines[-1]["payload_type"] == "task.response"
    assert lines[-1]["payload"]["result"] == {"so": "it is"}
    assert [line["payload"]["progress"]["percent"] for line in lines if line["payload"].get("progress")] == [50]


def test_stream_of_what_fails(asap, url):
    """A task that fails is exit code 1, streamed or not."""
    ended = asap("send", url, "--skill", "fail", "--stream")
    assert ended.exit_code == 1
    assert "asap:execution/handler_failed" in ended.err


def test_stream_and_submit(asap, sync_url):
    """One of them."""
    ended = asap("send", sync_url, "--skill", "echo", "--stream", "--submit")
    assert ended.exit_code == 2
    assert "Give one of them" in ended.err

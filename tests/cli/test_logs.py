"""What a real server writes down: enough to find a failure, and no secret."""

import json
import re
from datetime import UTC, datetime

import httpx
import pytest

RUNTIMES = ["asyncio", "trio", "sync"]
JSON = {"content-type": "application/json"}
#: Each in a place of its own, so that one that is shown says where from.
SECRETS = [
    "hunter2-bearer",
    "hunter2-guess",
    "hunter2-url",
    "hunter2-cause",
    "hunter2-raised",
    "hunter2-told",
    "hunter2-key",
]

AGENT = """
import threading
from asap_adapters.{runtime} import Agent
from asap_proto.errors import InvalidInput

CALLER = "urn:asap:agent:caller"
FAR = "urn:asap:agent:far"


def vouch(token):
    if token.startswith("odd"):
        raise ValueError("no agent is known by " + token)
    return CALLER if token == "hunter2-bearer" else None


agent = Agent(
    "urn:asap:agent:careful", token_validator=vouch, nonces="accept", peers={{FAR: "http://me:hunter2-url@127.0.0.1:9"}}
)


@agent.skill("hand-on")
{colour}def hand_on(task):
    return {{"far": {wait}task.delegate(FAR, "any", {{}})}}


def connect(url):
    raise OSError("no answer from " + url)


@agent.skill("fail")
{colour}def fail(task):
    try:
        connect("postgres://me:" + "hunter2-cause" + "@db/tasks")
    except OSError as error:
        said = "password=" + "hunter2-raised" + "\\n2001-01-01 INFO forged \\x1b[31m \\u202e trace_id="
        raise RuntimeError(said + task.envelope.trace_id) from error


@agent.skill("refuse")
{colour}def refuse(task):
    facts = {{"api_key": "hunter2-key", "task_id": "task_x"}}
    raise InvalidInput("Bearer " + "hunter2-told" + " is no input", facts=facts)


@agent.skill("fail-in-a-thread")
{colour}def fail_in_a_thread(task):
    thread = threading.Thread(target=connect, args=("https://me:" + "hunter2-cause" + "@host",))
    thread.start()
    thread.join()
"""


@pytest.fixture
def careful(tmp_path):
    """Writes a module with an agent that handles secrets, and none too well; answers what to call it by."""

    def write(runtime):
        words = {"colour": "", "wait": ""} if runtime == "sync" else {"colour": "async ", "wait": "await "}
        (tmp_path / f"careful_{runtime}.py").write_text(AGENT.format(runtime=runtime, **words))
        return f"careful_{runtime}:agent"

    return write


def post(url, skill, *, token="hunter2-bearer", id="letter-1", nonce=None):
    """What a request is answered with."""
    envelope = {
        "id": id,
        "asap_version": "0.1",
        "timestamp": datetime.now(UTC).isoformat(),
        "sender": "urn:asap:agent:caller",
        "recipient": "urn:asap:agent:careful",
        "payload_type": "task.request",
        "payload": {"conversation_id": "c", "skill_id": skill, "input": {"password": "hunter2-input"}},
        "trace_id": "trace-01K",
        "extensions": {"nonce": nonce} if nonce else {},
    }
    frame = {"jsonrpc": "2.0", "method": "asap.send", "params": {"envelope": envelope}, "id": "req-1"}
    headers = {"authorization": f"Bearer {token}"}
    return httpx.post(f"{url}/asap", json=frame, headers=headers, trust_env=False, timeout=60).json()


def lines_with(words, text):
    return [line for line in text.splitlines() if words in line]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_no_secret_is_written(serving, careful, runtime):
    """Not of failed authentication, replays, unreachable peers or handlers; each is found again all the same."""
    with serving(careful(runtime)) as running:
        url = running.url
        assert post(url, "fail", token="hunter2-guess")["error"]["data"]["status_code"] == 401
        assert post(url, "fail", token="odd:hunter2-guess")["error"]["data"]["status_code"] == 401
        nonce = "Zm9vYmFyYmF6cXV4eA"
        failed = post(url, "fail", nonce=nonce)["error"]
        replayed = post(url, "fail", nonce=nonce, id="letter-2")["error"]
        unreachable = post(url, "hand-on")["error"]
        refused = post(url, "refuse")["error"]
        post(url, "fail-in-a-thread")
        ended = running.stop()
    log = ended.err
    for secret in [*SECRETS, nonce]:
        assert secret not in log
        assert secret not in json.dumps([failed, replayed, unreachable, refused])
    # Failed authentication.
    assert len(lines_with("refused: asap:auth/unauthenticated", log)) == 2
    assert "these credentials are not valid (from 127.0.0.1)" in log
    assert "ValueError: no agent is known by ***" in log
    # A replay.
    (line,) = lines_with("refused: asap:protocol/invalid_nonce", log)
    assert "envelope=letter-2" in line
    assert "nonce=Zm9vYmFy…" in line
    assert replayed["data"]["code"] == "asap:protocol/invalid_nonce"
    # A peer that can't be reached.
    (line,) = lines_with("asap:transport/unreachable", log)
    assert "127.0.0.1:9" in line
    assert unreachable["data"]["details"]["error_id"] in line
    # A handler that fails, and what led to it.
    (line,) = lines_with("handler 'fail' failed", log)
    assert f"[{failed['data']['details']['error_id']}]" in line
    assert failed["data"]["error"] == "the handler failed"
    assert "OSError: no answer from postgres://***@db/tasks" in log
    assert "trace_id=trace-01K" in log
    # What a handler means its caller to know is told without the secrets in it.
    assert refused["data"]["error"] == "Bearer *** is no input"
    assert refused["data"]["details"] == {"api_key": "***", "task_id": "task_x"}
    # A thread that nobody waits for.
    assert lines_with("a thread failed", log)
    assert "OSError: no answer from https://***@host" in log
    check_lines(log)


def check_lines(log):
    """Each line is a record of the log or belongs to the trace of one, and can be shown as it is."""
    for line in log.splitlines():
        assert re.match(r"  |2\d{3}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING|ERROR) [\w.]+: ", line), line
        assert line.isprintable(), line
    assert "\\u001b[31m \\u202e" in log


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_debug_log_shows_whole_exchanges(serving, careful, runtime):
    """Requests and answers, each with its number, still without secrets; the larger ones by their size."""
    with serving(careful(runtime), env={"ASAP_DEBUG_LOG": "true"}) as running:
        httpx.get(f"{running.url}/.well-known/asap/manifest.json", trust_env=False)
        post(running.url, "refuse", nonce="Zm9vYmFyYmF6cXV4eA")
        httpx.post(f"{running.url}/asap", content=b"token=hunter2-guess\n\x1b", headers=JSON, trust_env=False)
        log = running.stop().err
    for secret in [*SECRETS, "hunter2-input", "Zm9vYmFyYmF6cXV4eA"]:
        assert secret not in log
    (line,) = lines_with('"skill_id":"refuse"', log)
    number = re.search(r"DEBUG asap_adapters.exchanges: exchange (\d+) request: POST /asap from 127.0.0.1 ", line)[1]
    assert '"authorization":"***"' in line
    assert '"password":"***"' in line
    assert '"nonce":"Zm9vYmFy…"' in line
    (line,) = lines_with(f"exchange {number} response: 200 ", log)
    assert '"error":"Bearer *** is no input"' in line
    # What can't be read is shown as far as it is text.
    assert len(lines_with("GET /.well-known/asap/manifest.json from 127.0.0.1", log)) == 1
    assert all(line.isprintable() for line in log.splitlines())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_debug_shows_all(serving, careful, runtime):
    """With --debug secrets are in the log, and the caller is told the trace; --debug-log logs as it came."""
    with serving(careful(runtime), "--debug", "--debug-log") as running:
        failed = post(running.url, "fail")
        log = running.stop().err
    assert "password=hunter2-raised" in log
    assert "postgres://me:hunter2-cause@db" in log
    assert "Bearer hunter2-bearer" in log
    assert '"hunter2-input"' in log
    told = failed["error"]["data"]["details"]
    assert told.keys() == {"error_id", "traceback"}
    assert told["traceback"].startswith("Traceback (most recent call last):")
    assert "in fail\n" in told["traceback"]
    assert "RuntimeError: password=hunter2-raised" in told["traceback"]
    assert f"[{told['error_id']}]" in log
    assert all(line.isprintable() for line in log.splitlines())


def test_debugging_where_others_can_reach_it_is_warned_of(serving, agent_module):
    """On an address that is not this machine's alone, the log says who is told what."""
    for host, many in (("0.0.0.0", 1), ("127.0.0.1", 0)):
        with serving(agent_module("asyncio"), "--host", host, env={"ASAP_DEBUG": "true"}) as running:
            assert len(lines_with("is told the traces of what fails", running.stop().err)) == many


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_streams_are_logged_in_parts(asap, serving, agent_module, runtime):
    """The head of the answer, and each part as it was said."""
    with serving(agent_module(runtime), "--debug-log") as running:
        words = ("--skill", "echo", "--input", '{"token": "hunter2-key", "n": 5}', "--stream")
        assert '"token": "hunter2-key"' in asap("send", running.url, *words).out
        log = running.stop().err
    assert "hunter2-key" not in log
    number = re.search(r"exchange (\d+) request: POST /asap/stream", log)[1]
    assert len(lines_with(f"exchange {number} response: 200 ", log)) == 1
    assert any('"n":5' in line for line in lines_with(f"exchange {number} part: ", log))


def test_outputs_for_machines_have_no_secrets(asap, asap_process, serving, agent_module, tmp_path):
    """--json hides them, in answers and in errors; what is asked for itself is whole."""
    given = '{"token": "hunter2-key", "n": 5}'
    with serving(agent_module("sync"), "--state", "tasks.db") as running:
        words = ("send", running.url, "--skill", "echo", "--input", given)
        whole = asap(*words, "--json")
        assert whole.exit_code == 0, whole.err
        assert whole.document["payload"]["result"] == {"echoed": {"token": "***", "n": 5}}
        assert asap(*words).document == {"echoed": {"token": "hunter2-key", "n": 5}}
        task_id = whole.document["payload"]["task_id"]
    shown = asap("task", "show", task_id, "--state", "tasks.db", "--json")
    assert shown.document["result"] == {"echoed": {"token": "***", "n": 5}}
    assert "hunter2" not in shown.out + asap("task", "show", task_id, "--state", "tasks.db").out
    assert "hunter2-key" in asap("task", "export", task_id, "--state", "tasks.db").out
    ended = asap_process("send", "http://me:hunter2-url@127.0.0.1:9", "--skill", "echo", "--json")
    assert ended.exit_code == 3
    assert "hunter2" not in ended.out + ended.err
    ended = asap_process("task", "list", "--state", "redis://me:hunter2-url@127.0.0.1:9/0", "--json")
    assert ended.exit_code != 0
    assert "hunter2" not in ended.out + ended.err


def test_messages_can_not_speak_to_the_terminal(asap_process):
    """What a message quotes is shown as it is written, not as what it would do."""
    ended = asap_process("serve", "no\x1b[31mwhere:agent")
    assert ended.exit_code == 2
    assert "\x1b" not in ended.err
    assert "no\\u001b[31mwhere" in ended.err

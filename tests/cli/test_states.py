"""`--state` with database servers: `asap serve`, `asap task` and `asap state` on Redis and PostgreSQL."""

import subprocess
import sys
import time

import pytest

from asap_adapters.cli.outcome import Stop
from asap_adapters.cli.states import Place, parse_state
from stores.servers import postgres_server, redis_server

__all__ = ["postgres_server", "redis_server"]

SOURCE = """
from {sleep} import sleep
from asap_adapters.{runtime} import Agent
from asap_proto.limits import Limits

agent = Agent("urn:asap:agent:{name}", limits=Limits(lease_seconds=1.0, beat_seconds=0.1))


@agent.skill("count")
{colour}def count(task):
    {wait}task.save({{"so": "far"}})
    {wait}sleep(task.input.get("seconds", 0))
    return {{"runs": task.runs}}
"""


@pytest.mark.parametrize(
    ("server", "runtime", "workers"),
    [
        ("redis_server", "asyncio", "2"),
        ("redis_server", "trio", "1"),
        ("redis_server", "sync", "2"),
        ("postgres_server", "asyncio", "1"),
        ("postgres_server", "trio", "2"),
        ("postgres_server", "sync", "1"),
    ],
)
def test_every_command(asap, serving, tmp_path, server, runtime, workers, request):
    """The whole way: served, submitted, listed, shown, cancelled, exported; the store outlives the server."""
    name = f"{server.partition('_')[0]}-{runtime}-{workers}"
    words = {"colour": "", "wait": "", "sleep": "time"} if runtime == "sync" else {"colour": "async ", "wait": "await "}
    source = SOURCE.format(**{"sleep": runtime, "runtime": runtime, "name": name, **words})
    (tmp_path / "counting.py").write_text(source)
    url = request.getfixturevalue(server).url
    store = ["--state", url, "--agent", f"urn:asap:agent:{name}"]
    with serving("counting:agent", "--state", url, "--workers", workers, "--grace", "0.2") as running:
        submit = ["send", running.url, "--skill", "count", "--submit", "--input"]
        short, long = (asap(*submit, f'{{"seconds": {seconds}}}').out.strip() for seconds in (0, 60))
        while asap("task", "show", short, *store, "--json").document["status"] != "completed":
            time.sleep(0.1)
        assert asap("state", long, *store).document == {"so": "far"}
        assert running.stop().exit_code == 0
    rows = asap("task", "list", *store, "--json").document
    assert [(row["id"], row["status"]) for row in rows] == [(short, "completed"), (long, "working")]
    # Given back, so that it is nobody's by now.
    assert asap("task", "resume", long, *store).exit_code == 0
    ended = asap("task", "cancel", long, *store)
    assert ended.out == f"{long} is cancelled\n", ended.err
    assert asap("task", "export", short, *store).document["result"] == {"runs": 1}
    ended = asap("task", "show", "task_none", *store)
    assert ended.exit_code == 1
    assert "has no task task_none" in ended.err


@pytest.mark.parametrize("url", ["redis://me:secret@127.0.0.1:1/0", "postgresql://me:secret@127.0.0.1:1/none"])
def test_server_that_is_not_there(asap_process, tmp_path, url):
    """A server that can't be reached is exit code 1, for `serve` too; neither user nor password is told."""
    (tmp_path / "counting.py").write_text(
        SOURCE.format(sleep="trio", runtime="trio", name="x", colour="async ", wait="await ")
    )
    for words in (["task", "list"], ["serve", "counting:agent", "--port", "0"]):
        ended = asap_process(*words, "--state", url)
        assert (ended.exit_code, ended.out) == (1, "")
        assert "://***@127.0.0.1:1" in ended.err
        assert "secret" not in ended.err


@pytest.mark.parametrize(
    ("package", "url", "extra"), [("coredis", "redis://x", "redis"), ("psycopg", "postgresql://x", "postgres")]
)
def test_without_the_extra_of_a_store(package, url, extra):
    """Without a store's extra the commands say which to install."""
    code = f"""
import sys
sys.modules[{package!r}] = None
from asap_adapters.cli import main
sys.exit(main(["task", "list", "--state", {url!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert f"pip install 'asap-proto[{extra}]'" in done.stderr


@pytest.mark.parametrize(
    ("text", "sort", "where", "shown"),
    [
        ("memory", "memory", "memory", "memory"),
        ("/var/tasks.db", "sqlite", "/var/tasks.db", "/var/tasks.db"),
        ("sqlite:////var/tasks.db", "sqlite", "/var/tasks.db", "/var/tasks.db"),
        ("redis://me:secret@host:1/0", "redis", "redis://me:secret@host:1/0", "redis://me@host:1/0"),
        ("valkeys://host", "redis", "rediss://host", "rediss://host"),
        ("unix:///run/redis", "redis", "unix:///run/redis", "unix:///run/redis"),
        ("postgres://host/db", "postgres", "postgres://host/db", "postgres://host/db"),
        ("postgresql://me:a@b@host/db", "postgres", "postgresql://me:a@b@host/db", "postgresql://me@host/db"),
    ],
)
def test_forms(text, sort, where, shown):
    """What --state may say; a password is never shown."""
    assert parse_state(text) == Place(sort, where)
    assert parse_state(text).shown == shown


@pytest.mark.parametrize("text", ["", "sqlite://", "mysql://x", "http://x"])
def test_what_is_no_form(text):
    """What names no store is refused, with what would."""
    with pytest.raises(Stop) as caught:
        parse_state(text)
    assert "redis://HOST" in caught.value.remedy

"""What all commands have in common: help, exit codes, words on stderr, and no tracebacks."""

import json
import signal
import socket
import subprocess
import sys

import pytest

from asap_adapters.cli import main

ASAP = [sys.executable, "-m", "asap_adapters.cli"]
COMMANDS = ["bench", "demo", "key", "manifest", "openapi", "schema", "send", "serve", "state", "task", "validate"]

#: Runs the command line on a machine that lacks some packages.
WITHOUT = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
from asap_adapters.cli import main
sys.exit(main({words!r}))
"""


def without(blocked: set[str], *words: str) -> "subprocess.CompletedProcess[str]":
    code = WITHOUT.format(blocked=blocked, words=list(words))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_help_lists_every_command(asap_process):
    """`asap --help` names the commands and the exit codes."""
    ended = asap_process("--help")
    assert ended.exit_code == 0
    assert all(f"│ {name} " in ended.out for name in COMMANDS)
    assert "Exit codes:" in ended.out


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_examples(command, capsys):
    """`asap COMMAND --help` shows examples and exit codes."""
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Examples:\n  asap {command}" in shown
    assert "Exit codes:\n  0 " in shown


@pytest.mark.parametrize("command", ["list", "show", "cancel", "resume", "export"])
def test_each_task_command_has_examples(command, capsys):
    """`asap task COMMAND --help` shows examples and exit codes too, and its slips point there."""
    assert main(["task", command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Examples:\n  asap task {command}" in shown
    assert "Exit codes:\n  0 " in shown
    assert main(["task", command, "--jsn"]) == 2
    assert f"See `asap task {command} --help`." in capsys.readouterr().err


def test_no_arguments_show_the_help(capsys):
    """`asap` alone says what it can do."""
    assert main([]) == 0
    assert "Usage: asap COMMAND" in capsys.readouterr().out


def test_help_loads_nothing_it_does_not_need():
    """Help is quick: no front, no event loop, not even the core is imported for it."""
    heavy = ("anyio", "asap_proto", "asyncio", "httpx", "ssl", "trio", "uvicorn")
    code = f"""
import sys
from asap_adapters.cli import main
main(["--help"])
print([name for name in {heavy} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_version(capsys):
    """`asap --version` names the distribution."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("asap-proto ")


def test_unknown_command(capsys):
    """A slip of the pen is answered with what was probably meant."""
    assert main(["validat"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert 'Did you mean "validate"?' in said.err
    assert "asap --help" in said.err


def test_unknown_option(capsys):
    """A wrong option is a usage error that points to the command's own help."""
    assert main(["demo", "--jsn"]) == 2
    assert "See `asap demo --help`." in capsys.readouterr().err


def test_wrong_choice(capsys):
    """A choice that is none names the choices."""
    assert main(["demo", "--runtime", "curio"]) == 2
    assert "asyncio" in capsys.readouterr().err


def test_usage_error_as_json(capsys):
    """With --json a failure is one JSON document too; its words still stand on stderr."""
    assert main(["schema", "Evelope", "--json"]) == 2
    said = capsys.readouterr()
    error = json.loads(said.out)["error"]
    assert error["exit_code"] == 2
    assert "Envelope" in error["remedy"]
    assert error["message"] in said.err


@pytest.mark.parametrize("package", ["cyclopts", "rich"])
def test_without_the_extra_cli(package):
    """Without the extra `cli` the command says which extra to install."""
    done = without({package}, "--help")
    assert done.returncode == 2
    assert "pip install 'asap-proto[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("package", "words", "extra"),
    [
        ("brotli", ["demo"], "asap-proto[asyncio,"),
        ("uvicorn", ["demo"], "asap-proto[asyncio,"),
        ("trio", ["demo", "--runtime", "trio"], "asap-proto[trio,"),
        ("brotli", ["send", "http://127.0.0.1:1", "--skill", "x"], "asap-proto[sync,"),
    ],
)
def test_without_the_extra_of_a_front(package, words, extra):
    """Without a front's extra its commands say which to install."""
    done = without({package}, *words)
    assert done.returncode == 2
    assert extra in done.stderr
    assert "Traceback" not in done.stderr


def test_help_works_without_the_fronts():
    """Help, validate and schema need the extra `cli` alone."""
    missing = {"anyio", "brotli", "httptools", "httpx", "prometheus_client", "trio", "uvicorn", "waitress"}
    assert without(missing, "--help").returncode == 0
    assert without(missing, "serve", "--help").returncode == 0
    assert without(missing, "schema", "Envelope").returncode == 0


def test_no_colour_into_a_pipe(asap_process):
    """What is piped carries no escape codes, and is not folded at 80 columns."""
    ended = asap_process("schema")
    assert "\x1b" not in ended.out
    assert max(map(len, ended.out.splitlines())) > 80


def test_output_under_an_ascii_locale(asap_process):
    """JSON is UTF-8 whatever the locale; text that can't be shown is escaped, and nothing breaks."""
    ended = asap_process("--help", env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert ended.exit_code == 0
    assert "validate" in ended.out


def test_reader_goes_away():
    """Whoever stops reading our output gets no traceback."""
    with subprocess.Popen([*ASAP, "schema", "--all"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(60) == 141
    assert said == b""


def test_error_of_our_own(capsys, monkeypatch):
    """A bug of ours is called one, without a traceback."""

    def broken(words: list[str]) -> int:
        raise RuntimeError("broken")

    monkeypatch.setattr("asap_adapters.cli.commands.run", broken)
    assert main(["schema"]) == 70
    said = capsys.readouterr().err
    assert "RuntimeError: broken" in said
    assert "Traceback" not in said


def test_traceback_on_demand(capsys, monkeypatch):
    """`asap --traceback COMMAND` shows where a bug of ours is."""

    def broken(words: list[str]) -> int:
        raise RuntimeError(f"broken by {words}")

    monkeypatch.setattr("asap_adapters.cli.commands.run", broken)
    assert main(["--traceback", "schema"]) == 70
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "broken by ['schema']" in said


def test_first_of_a_group_is_told(capsys, monkeypatch):
    """What a task group raised is told as what it is: Ctrl-C before all else."""

    def broken(words: list[str]) -> int:
        raise BaseExceptionGroup("many", [RuntimeError("other"), BaseExceptionGroup("inner", [KeyboardInterrupt()])])

    monkeypatch.setattr("asap_adapters.cli.commands.run", broken)
    assert main(["schema"]) == 130
    assert capsys.readouterr().err == "asap: interrupted\n"


def test_ctrl_c():
    """Ctrl-C while a peer keeps us waiting ends with exit code 130 and one line."""
    with socket.create_server(("127.0.0.1", 0)) as peer:
        url = f"http://127.0.0.1:{peer.getsockname()[1]}"
        with subprocess.Popen([*ASAP, "manifest", url], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            peer.settimeout(60)
            caller, _ = peer.accept()
            with caller:
                caller.recv(1)  # it has asked, and waits
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (out, err) == (b"", b"asap: interrupted\n")

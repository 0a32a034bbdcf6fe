"""Which commands there are, and what their help says; each is imported when it is called."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any, Final, NamedTuple

from cyclopts import App, CycloptsError, Parameter

from .outcome import OK, USAGE, Stop

__all__ = ["EXIT_CODES", "Json", "build", "run"]

Json = Annotated[
    bool, Parameter("--json", negative="", show_default=False, help="One JSON document on stdout and nothing else.")
]

EXIT_CODES: Final = """\
Exit codes:
  0    it is as asked
  1    what was asked about failed: an invalid document, a task not completed
  2    the command can't be carried out as given; see the message
  3    the peer can't be reached, or will not hear us (token, limits, ...)
  70   an error of asap's own; asap --traceback COMMAND ... shows where
  130  interrupted (Ctrl-C)"""


class _Command(NamedTuple):
    name: str
    summary: str
    about: str
    examples: tuple[str, ...]


_COMMANDS: Final = (
    _Command(
        "demo",
        "Let a coordinator and two agents work together on this machine, and show what happened.",
        "The coordinator hands a text to the editor; the editor delegates the counting to the counter, "
        "reports progress, and answers. Each step is written down where it arrives and checked against "
        "what was sent: exit code 0 only if every one was seen, whole and in order.",
        ("asap demo", "asap demo --runtime trio", "asap demo --runtime sync --json"),
    ),
    _Command(
        "serve",
        "Serve an agent of yours over HTTP.",
        'Says its URL once it listens; with --json as one line, {"url": ..., "pid": ...}. Ctrl-C or '
        "SIGTERM lets running requests end; exit code 0. Options left out are taken from the "
        "environment. With --state tasks, replies and nonces are kept where that says, for all workers: a crash "
        "loses no accepted task, and what runs when the grace is over is given back, for the next worker. "
        "Without, each worker remembers them for itself alone, as it does quotas.",
        (
            "asap serve weather:agent",
            "asap serve weather:agent --host 0.0.0.0 --port 8080 --workers 4",
            "asap serve weather:agent --port 0 --json",
            "asap serve weather:agent --state tasks.db --grace 30",
            "ASAP_RATE_LIMIT='10/second;100/minute' asap serve weather:agent",
            "asap serve weather:agent --sign key.pem",
            "asap serve weather:agent --uds /run/weather.sock --proxy unix",
            "asap serve weather:agent --port 443 --tls-cert chain.pem --tls-key tls.pem",
        ),
    ),
    _Command(
        "send",
        "Hand a task to an agent, and print what came of it.",
        "Prints the task's result, with --json the whole reply envelope. Exit code 1 if the task failed, "
        "was cancelled or waits for input. With --submit the task's id, at once; with --stream its updates "
        "as they come, with --json each as one line.",
        (
            'asap send http://127.0.0.1:8000 --skill echo --input \'{"message": "hi"}\'',
            "asap send https://agents.example --skill sum --input @numbers.json --token @token.txt",
            "jq -n '{n: 1}' | asap send http://127.0.0.1:8000 --skill echo --input - --json",
            "asap send http://127.0.0.1:8000 --skill report --submit --idempotency-key march",
            "asap send http://127.0.0.1:8000 --skill report --stream --json",
        ),
    ),
    _Command(
        "state",
        "Show what a task knows: the data of its newest snapshot, or of another.",
        "Looks into the store itself, whether the agent runs or not, or with --url asks a running agent. With "
        "--json the whole snapshot.",
        (
            "asap state task_01K --state tasks.db",
            "asap state task_01K --state redis://127.0.0.1/0 --version 2 --json",
            "asap state task_01K --url http://127.0.0.1:8000",
        ),
    ),
    _Command(
        "manifest",
        "Show what an agent says of itself.",
        "Unknown fields of newer peers are passed over. With --agent or --pin a manifest of another agent, or one "
        "that is not signed with that key, is not shown; exit code 1.",
        (
            "asap manifest http://127.0.0.1:8000",
            "asap manifest https://agents.example --json | jq .capabilities",
            "asap manifest https://agents.example --agent urn:asap:agent:weather --pin @weather.pub --targets public",
        ),
    ),
    _Command(
        "key",
        "Print the public key that belongs to a private one, for others to pin; with --new make both.",
        "The file holds an Ed25519 key in PEM; `asap serve --sign FILE` signs the agent's manifest with it.",
        ("asap key key.pem --new", "asap key key.pem > weather.pub"),
    ),
    _Command(
        "validate",
        "Check envelopes, JSON-RPC requests and manifests: every fault, with its JSON path.",
        "Where no sort is given, each document is taken for what it looks like. Neither clocks nor peers "
        "are asked: an old timestamp is no fault.",
        (
            "asap validate request.json manifest.json",
            "asap validate --as envelope - < envelope.json",
            "asap validate --as TaskRequest payload.json --json",
        ),
    ),
    _Command(
        "schema",
        "Show the JSON Schema of a noun of the protocol, or list them.",
        "JSON Schema, draft 2020-12: a schema is JSON with or without --json.",
        ("asap schema", "asap schema Envelope", "asap schema task.request", "asap schema --all --out schemas/"),
    ),
    _Command(
        "openapi",
        "Describe an agent's HTTP surface as an OpenAPI 3.1 document.",
        "For tools that read such documents: clients in other languages, gateways, fuzzers. A running agent does not "
        "publish it; of one that is asked by URL, limits and strict_http are taken to be the usual ones.",
        ("asap openapi weather:agent > openapi.json", "asap openapi https://agents.example | jq .paths"),
    ),
    _Command(
        "bench",
        "Measure this machine, as ratios to something known in the same run.",
        "The suites: core, the work of one exchange in this process, beside bare JSON work; server, CPU and requests/s "
        "beside a bare app on the same server; client, requests/s beside httpx; end-to-end, our client against our "
        "server, beside the reference; batch, arrays beside one request after another; pace, how late answers are at "
        "1,000 requests/s; idle, memory of waiting connections; compression; discovery; and all of them. Each but "
        "core starts processes of its own, two cores are of use, and nothing else should run. A figure has a bound "
        "where the project promises one; exit code 1 if one is not held, or void: an error came in place of an "
        "answer. What can't be compared to here is left out, and said.",
        (
            "asap bench",
            "asap bench --rounds 20 --json",
            "asap bench server client --runtime trio --seconds 0.5",
            "asap bench end-to-end --reference ~/reference/bin/python",
            "asap bench all --peers --reference ~/reference/bin/python --json > figures.json",
        ),
    ),
)

_TASK: Final = _Command(
    "task",
    "List, show, cancel, resume and export the tasks of an agent.",
    "They look into the agent's store, --state FILE or URL, whether the agent runs or not; `show` and `cancel` also "
    "ask a running agent, --url URL.",
    ("asap task list --state tasks.db", "asap task show task_01K --url http://127.0.0.1:8000"),
)

_TASK_COMMANDS: Final = (
    _Command(
        "list",
        "List the tasks of a store, oldest first.",
        "",
        (
            "asap task list --state tasks.db",
            "asap task list --state tasks.db --status working --json",
            "ASAP_STATE=redis://127.0.0.1/0 asap task list --agent urn:asap:agent:weather",
        ),
    ),
    _Command(
        "show",
        "Show one task: how it stands, its log, its snapshots, and what it was answered.",
        "",
        ("asap task show task_01K --state tasks.db", "asap task show task_01K --url http://127.0.0.1:8000 --json"),
    ),
    _Command(
        "cancel",
        "Cancel a task.",
        "What nobody runs is cancelled at once. A worker that runs it is asked to stop it, and hears of that at its "
        "next beat; exit code 0 also where it has not stopped within --wait.",
        (
            "asap task cancel task_01K --state tasks.db --reason 'no longer needed'",
            "asap task cancel task_01K --url http://127.0.0.1:8000",
        ),
    ),
    _Command(
        "resume",
        "Give back a task whose worker is lost, so that the next live worker takes it over.",
        "Workers do so by themselves once the lease of the lost one is over. A task that is over can't be resumed; "
        "a snapshot of it can be restored, as a new task.",
        ("asap task resume task_01K --state tasks.db", "asap task resume task_01K --state tasks.db --force"),
    ),
    _Command(
        "export",
        "Write all that is known of a task as one JSON document, to hand to another agent.",
        "Its members: task, request, snapshots, log, and result or error.",
        (
            "asap task export task_01K --state tasks.db --output task.json",
            "asap task export task_01K --state tasks.db | jq .snapshots[-1]",
        ),
    ),
)


def build() -> App:
    """The whole command line."""
    app = App(
        name="asap",
        help="ASAP, the Async Simple Agent Protocol, on the command line.",
        help_epilogue=f"{EXIT_CODES}\n\nasap COMMAND --help shows examples.",
        help_format="plaintext",
        version=_version,
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )
    for command in _COMMANDS:
        app.command(f"{__package__}.{command.name}:{command.name}", **_described(command))
    task = App(**_described(_TASK), help_format="plaintext", result_action="return_value")
    for command in _TASK_COMMANDS:
        task.command(f"{__package__}.task:{command.name}_task", **_described(command))
    app.command(task)
    return app


def _described(command: _Command) -> dict[str, Any]:
    name, summary, about, examples = command
    shown = "\n".join(("Examples:", *(f"  {line}" for line in examples)))
    words = "\n\n".join(filter(None, (summary, about)))
    return {"name": name, "help": words, "help_epilogue": f"{shown}\n\n{EXIT_CODES}"}


def run(words: list[str]) -> int:
    """Runs what the words say; raises `Stop` for words that say nothing."""
    app = build()
    if words[:1] in _SETTABLE:
        _forget_empty_settings()
    try:
        answer = app(words)
    except CycloptsError as error:
        known = words[:1] if words and words[0] in app else []
        if known == ["task"] and words[1:2] and words[1] in {command.name for command in _TASK_COMMANDS}:
            known = words[:2]
        wanted = " ".join(("asap", *known, "--help"))
        raise Stop(USAGE, str(error).strip(), remedy=f"See `{wanted}`.") from None
    return answer if isinstance(answer, int) else OK


#: Commands that take options from the environment.
_SETTABLE: Final = (["serve"], ["state"], ["task"])


def _forget_empty_settings() -> None:
    """A setting left empty in the environment is none: that is how compose files leave one out."""
    for name in [name for name, value in os.environ.items() if name.startswith("ASAP_") and not value]:
        del os.environ[name]


def _version() -> str:
    from importlib import metadata

    try:
        number = metadata.version("asap-proto")
    except metadata.PackageNotFoundError:
        number = "(not installed)"
    return f"asap-proto {number}, Python {sys.version.split()[0]}"

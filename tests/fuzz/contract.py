"""Holds `asap serve`, on each runtime, to the OpenAPI description of the agent it serves (schemathesis).

python tests/fuzz/contract.py                        60 seconds, shared out among the runtimes
python tests/fuzz/contract.py trio --seconds 300     one of them, for longer
python tests/fuzz/contract.py --seed 7               the same again
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parents[1]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("ASAP_")}

#: Its handlers come to an end: a stream whose task waits for input does not, and whoever follows it waits with it.
SOURCE = """
import attrs
from asap_adapters.{runtime} import Agent

OPTIONS = {{"open": {{}}, "strict": {{"strict_http": True}}}}
agent = Agent({agent!r}, name="Target", description="Is held to its description", **OPTIONS[{kind!r}])


@attrs.frozen
class Text:
    text: str
    most: int | None = None
    words: list[str] = attrs.field(factory=list)


@agent.skill("echo")
{colour}def echo(task):
    return {{"echoed": task.input}}


@agent.skill("count")
{colour}def count(task, input: Text):
    {wait}task.progress(50, "half")
    {wait}task.save({{"text": input.text}})
    return {{"words": len(input.text.split()) + len(input.words)}}


@agent.skill("fail")
{colour}def fail(task):
    raise ValueError({secret!r})
"""

#: What an agent is told beyond its skills; each turn of a run takes the next.
KINDS = ("open", "strict")

#: Those of schemathesis that hold here. What is wrong with data is told in JSON-RPC, mostly with status 200: whether it
#: is told, a check of `hooks` sees.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "agrees_with_its_description",
    "tells_nothing_of_its_inside",
)

#: What is right and what is wrong have the same time.
MODES = ("positive", "negative")
#: What schemathesis says of a run that had no time for a single request, and then ends well.
_NOTHING = "No test cases were generated"
#: Seconds that a run gets which had no time for a single request in its own.
_PATIENCE = 30
#: Requests of one operation before it is the next one's turn.
_EXAMPLES = 25


def main() -> int:
    sys.path.insert(0, str(TESTS))
    from hostile.servers import RUNTIMES

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runtimes", nargs="*", help=f"of {', '.join(RUNTIMES)}; all of them, if none is named")
    parser.add_argument("--kind", choices=KINDS, help="what the agent is told; each in turn, if not given")
    parser.add_argument("--seconds", type=int, default=60, help="for all of them together")
    parser.add_argument("--seed", type=int, default=0, help="of chance, to run the same again")
    words = parser.parse_args()
    seed = words.seed or random.randrange(1, 2**31)
    runtimes = words.runtimes or RUNTIMES
    turns = [(each, words.kind or KINDS[(seed + turn) % len(KINDS)]) for turn, each in enumerate(runtimes)]
    broken = [each for each, kind in turns if not _holds(each, kind, max(1, words.seconds // len(turns)), seed)]
    told = f"{', '.join(broken)} did not hold" if broken else "all held"
    print(f"held to the description with seed {seed}: {told}")
    return 1 if broken else 0


def _holds(runtime: str, kind: str, seconds: int, seed: int) -> bool:
    """Whether a server does as the description of its agent says, and says nothing of what it did not see coming."""
    from hostile.servers import SECRET, served

    print(f"\n--- {runtime}, {kind}, {seconds} s, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with served(folder, runtime, kind, source=SOURCE) as server:
            description = folder / "openapi.json"
            command = [sys.executable, "-m", "asap_adapters.cli", "openapi", "target:agent"]
            made = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, check=True)
            description.write_bytes(made.stdout)
            url = f"http://127.0.0.1:{server.port}"
            held = [_run(description, url, mode, max(1, seconds // len(MODES)), seed) for mode in MODES]
        said = server.said()
    # What a handler raises is told to whoever runs the agent, and nothing else ever is.
    if said.count("Traceback") != said.count(f"ValueError: {SECRET}"):
        print(f"the server on {runtime} wrote:\n{said}")
        return False
    return all(held)


def _run(description: Path, url: str, mode: str, seconds: int, seed: int) -> bool:
    options = {
        "url": url,
        "seed": seed,
        "mode": mode,
        "max-time": seconds,
        "max-examples": _EXAMPLES,
        "phases": "coverage,fuzzing",
        "checks": ",".join(CHECKS),
        "request-timeout": 10,
        "suppress-health-check": "all",
        "generation-database": "none",
        "output-sanitize": "false",
    }
    words = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "schemathesis.cli", "run", description.name, "--no-color", *words]
    paths = os.pathsep.join([str(TESTS), ENVIRONMENT.get("PYTHONPATH", "")])
    environment = ENVIRONMENT | {"SCHEMATHESIS_HOOKS": "fuzz.hooks", "PYTHONPATH": paths}
    environment["FUZZ_DESCRIPTION"] = str(description)
    done = subprocess.run(
        command, cwd=description.parent, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    print(done.stdout, flush=True)
    if _NOTHING in done.stdout:  # a machine that is too busy to ask anything in time has shown nothing
        return seconds < _PATIENCE and _run(description, url, mode, _PATIENCE, seed)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())

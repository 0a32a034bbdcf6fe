"""What importing the core brings in: nothing that waits, opens or asks for the time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import asap_adapters
import asap_proto

IO = {
    "anyio",
    "asyncio",
    "brotli",
    "concurrent",
    "h11",
    "httpcore",
    "httptools",
    "httpx",
    "logging",
    "multiprocessing",
    "requests",
    "select",
    "selectors",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "trio",
    "urllib3",
    "uvicorn",
}

ALONE = "import asap_proto"
WHOLE = """
import importlib, pkgutil, asap_proto
for module in pkgutil.walk_packages(asap_proto.__path__, "asap_proto."):
    importlib.import_module(module.name)
"""


def loaded(code):
    """The top-level modules that running `code` in a fresh interpreter loads beyond a bare one.

    The interpreter starts without `site`, so that what installed hooks load is not taken for loaded before;
    an editable install is itself such a hook, hence our own directories.
    """
    path = [*sys.path, *(str(Path(ours.__file__).parents[1]) for ours in (asap_proto, asap_adapters))]
    script = (
        "import sys, json; sys.path[:] = json.loads(sys.argv[1]); before = set(sys.modules)\n"
        f"{code}\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in set(sys.modules) - before})))"
    )
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, json.dumps(path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return set(json.loads(run.stdout))


@pytest.mark.parametrize("code", [ALONE, WHOLE], ids=["alone", "whole"])
def test_the_core_loads_nothing_that_waits(code):
    """No event loop, no socket, no HTTP library, by whatever road."""
    assert loaded(code) & IO == set()


def test_the_core_needs_attrs_cattrs_and_orjson():
    """And nothing else that is not Python's own, but for what these need themselves."""
    third_party = loaded(WHOLE) - sys.stdlib_module_names - {"asap_proto"}
    assert third_party - {"typing_extensions"} == {"attr", "attrs", "cattrs", "orjson"}


def test_cattrs_is_loaded_by_who_asks_for_it():
    """Its import costs more than all of ours."""
    assert "cattrs" not in loaded(ALONE)


def test_a_server_on_threads_loads_no_runtime_and_no_connections():
    """They come with the first client: to start a process would else take half as long again."""
    assert loaded("import asap_adapters.sync") & {"trio", "anyio", "httpcore", "h2"} == set()


def test_a_front_brings_no_httpx():
    """It takes as long to import as the rest of a front; whoever names its transport has it."""
    fronts = "import asap_adapters.asyncio, asap_adapters.sync, asap_adapters.trio"
    assert not {"httpcore", "httpx"} & set(loaded(fronts))
    assert "httpx" in loaded("from asap_adapters.sync import HttpxTransport")

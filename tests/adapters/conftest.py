"""What a colour adds: `runtime` is each of the two that await."""

import functools
import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import anyio
import pytest


@pytest.fixture(params=["asyncio", "trio"])
def runtime(request: pytest.FixtureRequest) -> SimpleNamespace:
    """`run` an async function there; `front` is its module, `name` its name."""

    def run(function: Callable[..., Any], *given: Any) -> Any:
        return anyio.run(functools.partial(function, *given), backend=request.param)

    front = importlib.import_module(f"asap_adapters.{request.param}")
    return SimpleNamespace(run=run, front=front, name=request.param)

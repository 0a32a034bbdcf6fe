"""How fast this machine is, as ratios within one run: they mean the same on another machine.

A suite is imported when it is run, so that the processes that one starts begin fast.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from typing import Final

from attrs import evolve

from .figures import Figure, Void
from .machine import machine
from .options import RUNTIMES, Options

__all__ = ["RUNTIMES", "SUITES", "Figure", "Options", "machine", "run"]

#: What can be measured, by the name that `asap bench` has for it.
SUITES: Final = {
    "core": "codec, exchange and import, in this process",
    "server": "CPU and requests/s of our servers, beside a bare app of equal bytes on the same one",
    "client": "requests/s of the default transport and of a whole client, beside httpx",
    "end-to-end": "our client against our server, beside the reference",
    "batch": "an array of requests, beside one after another",
    "pace": "how late answers are at a steady 1,000 requests/s",
    "sustained": "the same, kept up for a minute",
    "steps": "the load at which a server breaks, and how it does",
    "crowd": "1,000 and 5,000 connections, beside few",
    "soak": "what stays behind of each request: memory, descriptors, threads, tasks",
    "idle": "memory of connections that wait",
    "compression": "how much smaller envelopes become, and how fast",
    "discovery": "how often a manifest is fetched",
}


def run(options: Options, suites: Iterable[str] = ("core",)) -> Iterator[Figure]:
    """Each figure of these suites, as soon as it is known."""
    for suite in suites:
        module = importlib.import_module(f".suites.{suite.replace('-', '_')}", __package__)
        try:
            for figure in module.measure(options):
                yield evolve(figure, suite=suite)
        except Void as error:
            yield Figure(f"all of {suite}", None, "", None, None, None, False, note=f"void: {error}", suite=suite)

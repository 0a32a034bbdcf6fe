"""What our agents cost a server, beside a bare app that answers as many bytes there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Final

from attrs import frozen

from .. import servers
from ..calling import rates
from ..figures import Figure, Measured, Rounds, Void
from ..options import Options
from ..processes import CLIENT_CORE, Child, module
from ..reference import RELEASE, find_reference

__all__ = ["measure"]

#: Connections, each with one request at a time.
FEW, SOME, MANY = 1, 32, 1000


@frozen
class _Subject:
    """What is served how, and what it is asked."""

    name: str
    serve: Callable[[], AbstractContextManager[servers.Server]]
    connections: tuple[int, ...]
    is_full: bool = False
    is_bare: bool = False
    #: Why it can't be served here.
    missing: str = ""


@frozen
class _Runtime:
    """Our agent, with all that is on for strangers, and the bare app beside them."""

    name: str
    bare: _Subject
    plain: _Subject
    full: _Subject
    #: Whether a bound is promised for what it costs beside the bare app.
    is_bound: bool


_REFERENCE: Final = f"the reference, {RELEASE}"
_HYPERCORN: Final = "a bare app on hypercorn-trio"
#: The most of the bare app's CPU: with memory stores, and with bearer auth, nonce, key and quota on.
_PLAIN_MOST, _FULL_MOST = 1.5, 1.9


def measure(options: Options) -> Iterator[Figure]:
    """CPU, requests/s and how late answers are."""
    runtimes = list(_runtimes(options))
    python, missing = find_reference(options.reference)
    subjects = [each for runtime in runtimes for each in (runtime.bare, runtime.plain, runtime.full)]
    subjects.append(_Subject(_REFERENCE, partial(servers.reference, python), (SOME,), missing=missing))
    if "trio" in options.runtimes:
        missing = "" if servers.has_hypercorn() else "hypercorn is not installed"
        subjects.append(_Subject(_HYPERCORN, servers.hypercorn, (SOME,), is_bare=True, missing=missing))
    rounds = Rounds(options.rounds, options.progress)
    _measure(subjects, rounds, options)
    for runtime in runtimes:
        yield from _figures(runtime, rounds)


def _runtimes(options: Options) -> Iterator[_Runtime]:
    for name, where, bare in (
        ("asyncio", "ASGI on uvicorn", "asyncio:bare"),
        ("trio", "our server on trio", "trio:bare"),
        ("sync", "threads", "threaded:bare"),
    ):
        if name in options.runtimes:
            ours, is_bound = partial(partial, servers.ours), name == "asyncio"
            yield _runtime(where, ours(bare), ours(f"{name}:agent"), ours(f"{name}:full"), is_bound)
    if "sync" in options.runtimes:
        wsgi = partial(partial, servers.granian)
        missing = "" if servers.has_granian() else "granian is not installed"
        yield _runtime("WSGI on granian", wsgi("sync:bare_app"), wsgi("sync:app"), wsgi("sync:full_app"), True, missing)


def _runtime(
    name: str,
    bare: Callable[[], AbstractContextManager[servers.Server]],
    plain: Callable[[], AbstractContextManager[servers.Server]],
    full: Callable[[], AbstractContextManager[servers.Server]],
    is_bound: bool,
    missing: str = "",
) -> _Runtime:
    return _Runtime(
        name,
        _Subject(f"a bare app, {name}", bare, (FEW, SOME, MANY), is_bare=True, missing=missing),
        _Subject(name, plain, (FEW, SOME, MANY), missing=missing),
        _Subject(f"{name}, full", full, (SOME,), is_full=True, missing=missing),
        is_bound,
    )


def _measure(subjects: list[_Subject], rounds: Rounds, options: Options) -> None:
    turns: dict[str, Callable[[], Measured]] = {}
    with ExitStack() as stack:
        load = stack.enter_context(Child(module("load"), core=CLIENT_CORE))
        for subject in subjects:
            names = {_at(subject, connections): connections for connections in subject.connections}
            if subject.missing:
                for name in names:
                    rounds.leave_out(name, subject.missing)
                continue
            options.progress(f"starting {subject.name}")
            try:
                server = stack.enter_context(subject.serve())
                ask = partial(
                    rates,
                    load,
                    server,
                    seconds=options.seconds,
                    full=subject.is_full,
                    repeats_mark=not subject.is_bare,
                )
                ask(SOME)  # the first requests cost more than all that follow
            except Void as error:
                for name in names:
                    rounds.spoil(name, str(error))
            else:
                turns |= {name: partial(ask, connections) for name, connections in names.items()}
        rounds.measure(turns)


def _figures(runtime: _Runtime, rounds: Rounds) -> Iterator[Figure]:
    name = runtime.name
    bare, plain, full = (_at(each, SOME) for each in (runtime.bare, runtime.plain, runtime.full))
    for what, subject, most in (("memory stores", plain, _PLAIN_MOST), ("auth, nonce, key, quota", full, _FULL_MOST)):
        yield rounds.figure(
            f"server CPU a request, {name}, {what}",
            (subject, "cpu"),
            "us",
            to=(bare, "cpu"),
            baseline="a bare app on the same server",
            most=most if runtime.is_bound else None,
            scale=1e6,
        )
    for connections in runtime.plain.connections:
        yield rounds.figure(
            f"requests/s at {connections}, {name}",
            (_at(runtime.plain, connections), "rate"),
            "/s",
            to=(_at(runtime.bare, connections), "rate"),
            baseline="a bare app on the same server",
        )
    if name == "ASGI on uvicorn":
        yield _beside(rounds, name, plain, _REFERENCE, 12)
    if name == "our server on trio":
        yield _beside(rounds, name, plain, _HYPERCORN, 5)
        # Of that the server's own part: what remains is what an agent does.
        yield _beside(rounds, f"a bare app, {name}", bare, _HYPERCORN, None)
    many = _at(runtime.plain, MANY)
    yield rounds.figure(
        f"requests/s at {MANY}, {name}", (many, "rate"), "/s", to=(plain, "rate"), baseline=f"at {SOME}", least=0.6
    )
    yield rounds.figure(f"p95 at {MANY}, {name}", (many, "p95"), "ms", to=(many, "p50"), baseline="the median", most=5)


def _beside(rounds: Rounds, name: str, subject: str, other: str, least: float | None) -> Figure:
    return rounds.figure(
        f"requests/s at {SOME}, {name}",
        (subject, "rate"),
        "/s",
        to=(f"{other} at {SOME}", "rate"),
        baseline=other,
        least=least,
    )


def _at(subject: _Subject, connections: int) -> str:
    return f"{subject.name} at {connections}"

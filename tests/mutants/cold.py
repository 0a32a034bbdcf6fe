"""A pytest plugin for the runs under mutants: what was made by the unmutated core is made anew.

A mutant runs in a fork of a process that has run all tests before. So decoders that are generated when first needed,
answers in a `functools.cache`, and what test modules have made while they were imported, would be the original's.
While it is seen which test calls what, each test forgets too: what it calls is known only if no earlier test has called
it already; and what a module calls while it is imported, each of its tests is held to call.
"""

import functools
import gc
import json
import os
import sys
from pathlib import Path

import pytest

# Between a call and the function that it is meant for, mutmut puts two calls of its own.
sys.setrecursionlimit(4 * sys.getrecursionlimit())

#: What each test module has called while it was imported.
called: dict[str, list[str]] = {}
#: Where that is kept for a run that goes on from another.
CALLED = "called.json"


@functools.cache
def caches():
    """The caches of the core, all of which it has made when it is imported."""
    made = [each for each in gc.get_objects() if isinstance(each, functools._lru_cache_wrapper)]
    return [each for each in made if (each.__module__ or "").startswith("asap_proto")]


def forget():
    """Empty each cache of the core, and have made when it is needed what was made while it was imported."""
    from asap_proto.wire import converter, nouns

    for each in caches():
        each.cache_clear()
    converter.converter._structure_func.clear_cache()  # cattrs asks its hooks once for each class
    converter.converter._unstructure_func.clear_cache()
    nouns._ENCODERS.clear()
    nouns._STRICT.clear()
    nouns._OPENED.clear()
    nouns._read_brief = lambda value: nouns.decoder(nouns.Envelope, nouns._Manner(opened=True, brief=True))(value)


def pytest_sessionstart(session):
    """Under a mutant import those test modules again that have called what it changes."""
    function, is_mutant, _ = os.environ.get("MUTANT_UNDER_TEST", "").partition("__mutmut_")
    if not is_mutant:
        return
    if not called:
        called.update(json.loads((session.config.rootpath / CALLED).read_text()))
    for name, module in list(sys.modules.items()):
        file = Path(getattr(module, "__file__", None) or "/")
        if file.name == "conftest.py" or not file.is_relative_to(session.config.rootpath / "tests"):
            continue
        if function in called.get(str(file), ()) or "asap_testkit" in file.parts:
            del sys.modules[name]


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """See what a module calls while it is imported."""
    from mutmut.state import state

    state()._stats.clear()
    report = yield
    if os.environ.get("MUTANT_UNDER_TEST") == "stats" and isinstance(collector, pytest.Module):
        called[str(collector.path)] = sorted(state()._stats)
    return report


def pytest_collection_finish(session):
    """Hold the tests to what their modules have called, and begin."""
    from mutmut.state import state

    phase = os.environ.get("MUTANT_UNDER_TEST")
    if phase == "stats":
        for item in session.items:
            for function in called.get(str(item.path), ()):
                state().tests_by_mangled_function_name[function].add(item.nodeid)
        kept = session.config.rootpath / CALLED
        if kept.exists():  # and some tests alone are new
            called.update(json.loads(kept.read_text()) | called)
        kept.write_text(json.dumps(called))
    if phase != "fail":
        forget()
    state()._stats.clear()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Forget what tests before this one have made."""
    if os.environ.get("MUTANT_UNDER_TEST") == "stats":
        forget()

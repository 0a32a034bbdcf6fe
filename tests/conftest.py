"""How hard Hypothesis tries, by profile, and which new worlds are simulated.

`pytest --hypothesis-profile=NAME` or HYPOTHESIS_PROFILE chooses a profile:

- ``few``: for runs of one test after the other, by the thousand; `nox -s mutants`
- ``fast``, unless another is named: a first look while one works
- ``ci``: what decides; the same examples each time, so that a change is judged by what it did
- ``thorough``: other examples each time, thousands for each property; `nox -s thorough`
"""

import os
import signal

from hypothesis import HealthCheck, settings

from simulation.seeds import first_of_run

_QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}

settings.register_profile("few", max_examples=5, derandomize=True, database=None, **_QUIET)
settings.register_profile("fast", max_examples=10, derandomize=True, database=None, **_QUIET)
settings.register_profile("ci", max_examples=25, derandomize=True, database=None, **_QUIET)
settings.register_profile("thorough", max_examples=2000, **_QUIET)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


# What a shell runs in the background ignores Ctrl-C, and so would every program that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    return f"simulation: new seeds from {first_of_run()} on"

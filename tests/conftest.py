"""What every test has: how hard Hypothesis tries. `fast` unless HYPOTHESIS_PROFILE names another."""

import os

from hypothesis import HealthCheck, settings

_QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}

settings.register_profile("few", max_examples=5, derandomize=True, database=None, **_QUIET)
settings.register_profile("fast", max_examples=20, derandomize=True, database=None, **_QUIET)
settings.register_profile("ci", max_examples=100, derandomize=True, database=None, **_QUIET)
settings.register_profile("thorough", max_examples=2000, **_QUIET)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

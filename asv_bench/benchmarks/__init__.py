"""Benchmarks for asv; fixtures and ways of measuring are those of `asap bench`."""

import os

#: Somebody wants to see that each benchmark runs, and nothing of its figures: few rounds and small sizes do then.
QUICK = os.environ.get("ASAP_BENCH_QUICK") == "1"

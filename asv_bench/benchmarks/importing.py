"""What it costs to start."""

import subprocess
import sys

from asap_adapters.bench.measure import import_cost

from . import QUICK

ROUNDS, PEAKS = (1, 1) if QUICK else (7, 3)

# Linux's own figure for this process: that of `resource` starts with what the parent took.
PEAK = "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0])"


def peak(statement):
    """Kilobytes that an interpreter takes at its peak after this statement."""
    done = subprocess.run([sys.executable, "-c", f"{statement}; {PEAK}"], check=True, capture_output=True)
    return int(done.stdout)


class Import:
    """Over a bare interpreter, compiled."""

    params = (
        "import asap_proto",
        "from asap_proto import *",
        "import asap_proto.roles",
        "import asap_adapters.sync",
        "import asap_adapters.asyncio",
    )
    param_names = ("statement",)

    def track_time(self, statement):
        return import_cost({statement: statement}, ROUNDS)[statement]

    def track_memory(self, statement):
        return min(peak(statement) for _ in range(PEAKS)) - min(peak("pass") for _ in range(PEAKS))

    track_time.unit = "ms"
    track_memory.unit = "kB"


class Start:
    """The same with the interpreter: for runs in turn with another commit, which see no more than 10 %."""

    params = Import.params[:1] + Import.params[-1:]
    param_names = Import.param_names

    def time_import(self, statement):
        subprocess.run([sys.executable, "-c", statement], check=True)

"""The threat model names what there is: every limit it counts on exists, and none is forgotten."""

import re
from pathlib import Path

import attrs

from asap_adapters._shared.agents import AgentOptions
from asap_proto import limits

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")

FIELDS = {field.name for field in attrs.fields(limits.Limits)}

#: Numbers that bound nobody who means harm: how a worker cares for its tasks and its callers, a client for connections.
OTHERS = {
    "beat_seconds",
    "cancel_seconds",
    "grace_seconds",
    "lease_seconds",
    "pool_connections",
    "pool_idle_seconds",
    "pool_maxsize",
    "pool_timeout",
    "progress_seconds",
    "return_seconds",
    "stream_beat_seconds",
}


def named():
    """What stands in the last column of the table of what strangers may try."""
    table = PAGE.partition("## What a stranger may try")[2].partition("\n## ")[0]
    for line in table.splitlines():
        if line.startswith("| ") and not line.startswith("| They"):
            yield from re.findall(r"`(\w+)`", line.rsplit("|", 2)[1])


def test_what_the_threat_model_counts_on_is_there():
    """A limit, a number of the protocol, or an option of agents."""
    names = set(named())
    assert names <= FIELDS | set(limits.__all__) | AgentOptions.__annotations__.keys()
    assert len(names) > 30


def test_no_limit_is_forgotten():
    """A limit that is added says against whom, or that it is against nobody."""
    assert FIELDS - set(named()) == OTHERS

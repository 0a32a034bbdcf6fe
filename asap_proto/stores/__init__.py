"""What an agent remembers between exchanges: the protocols, and stores that remember in memory, bounded."""

from .manifests import KeptManifest, ManifestCounts, ManifestStore, MemoryManifests
from .memory import MemoryQuotas, MemoryState
from .protocols import Accepted, NonceClaim, PromptStore, QuotaStore, Refused, StateStore
from .records import NEVER, Change, Job, Slot, Started, TaskEvent, TaskRecord

__all__ = [
    "NEVER",
    "Accepted",
    "Change",
    "Job",
    "KeptManifest",
    "ManifestCounts",
    "ManifestStore",
    "MemoryManifests",
    "MemoryQuotas",
    "MemoryState",
    "NonceClaim",
    "PromptStore",
    "QuotaStore",
    "Refused",
    "Slot",
    "Started",
    "StateStore",
    "TaskEvent",
    "TaskRecord",
]

"""What a server writes down of a failure that its peer is not told."""

from __future__ import annotations

import logging

from asap_proto.errors import AsapError, Misuse
from asap_proto.roles import TOLD, Failed, Invoke, Job

__all__ = ["log_failed", "log_raised", "log_untold"]

log = logging.getLogger("asap_adapters.server")


def log_raised(command: Invoke, error: Exception | SystemExit) -> Exception:
    """A handler raised: an `AsapError` says all in one line, anything else is a bug and keeps its trace.

    Answers what the story is to be told. A handler that means to end the process is not obeyed.
    """
    if isinstance(error, TOLD):
        log.info("handler %r: %s (task %s)", command.name, error.code, command.job.task_id)
    elif isinstance(error, AsapError):
        log.warning("handler %r: %s: %s (task %s)", command.name, error.code, error.message, command.job.task_id)
    else:
        log.error("handler %r failed (task %s)", command.name, command.job.task_id, exc_info=error)
    return RuntimeError("the handler called sys.exit") if isinstance(error, SystemExit) else error


def log_failed(event: Failed) -> None:
    """What a handler returned could not be sent."""
    log.error("handler %r: %s (task %s)", event.name, event.reason, event.task_id)


def log_untold(job: Job, error: AsapError) -> None:
    """How far a task has come could not be told; raises again what the handler itself did wrong."""
    # What the peer reports carries its number, and may be of the same class.
    if isinstance(error, Misuse) and "rpc_code" not in error.facts:
        raise error
    log.warning("progress of %s not told: %s", job.task_id, error.code)

"""How a command ends: exit codes, and what is said of a failure."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

__all__ = ["FAILED", "INTERRUPTED", "OK", "PEER", "USAGE", "Stop", "bare", "guarded", "stop_for", "tell"]

OK: Final = 0
#: The thing asked about failed: an invalid document, a task that did not complete, a step not seen.
FAILED: Final = 1
#: The command can't be carried out as it was given.
USAGE: Final = 2
#: The peer can't be reached, or will not hear us.
PEER: Final = 3
#: An error of ours (EX_SOFTWARE of sysexits.h).
BUG: Final = 70
#: Ctrl-C, as shells count it: 128 + SIGINT.
INTERRUPTED: Final = 130
#: Whoever read our output went away: 128 + SIGPIPE.
CUT_OFF: Final = 141

#: Codes of failures that are about reaching the peer rather than about what was asked of it.
_NOT_HEARD = frozenset(
    {
        "asap:auth/sender_mismatch",
        "asap:auth/unauthenticated",
        "asap:state/unavailable",
        "asap:transport/circuit_open",
        "asap:transport/forbidden_target",
        "asap:transport/rate_limited",
        "asap:transport/redirected",
        "asap:transport/refused",
        "asap:transport/thread_pool_exhausted",
        "asap:transport/timed_out",
        "asap:transport/too_large",
        "asap:transport/unreachable",
    }
)


class Stop(Exception):
    """The command ends here: with which exit code, why, and what to do next."""

    def __init__(
        self,
        exit_code: int,
        message: str,
        *,
        remedy: str = "",
        code: str = "",
        faults: Sequence[Mapping[str, str]] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.message = message
        self.remedy = remedy
        self.code = code
        self.faults = faults
        self.facts = dict(facts or {})

    def document(self) -> dict[str, Any]:
        """The failure for machines."""
        error = {
            "code": self.code or None,
            "message": self.message,
            "remedy": self.remedy or None,
            "faults": list(self.faults),
            "facts": self.facts,
            "exit_code": self.exit_code,
        }
        return {"error": error}


def tell(stop: Stop, *, as_json: bool) -> int:
    """Says why on stderr, for machines on stdout too; answers the exit code."""
    from asap_proto.rules.redaction import printable, redact_text

    code = f" [{stop.code}]" if stop.code else ""
    lines = [f"asap: {stop.message}{code}"]
    lines += [f"  {fault['path']}  {fault['problem']}" for fault in stop.faults]
    lines += [f"  {stop.remedy}"] if stop.remedy else []
    print("\n".join("\n".join(map(printable, redact_text(line).split("\n"))) for line in lines), file=sys.stderr)
    if as_json:
        from .output import print_json

        print_json(stop.document())
    return stop.exit_code


def guarded(run: Callable[[list[str]], int], words: list[str], *, as_json: bool) -> int:
    """Runs a command so that whatever happens ends in words and an exit code.

    Nobody is shown a traceback who did not ask for it, with ``--traceback`` before the command.
    """
    wants_traceback = words[:1] == ["--traceback"]
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        exit_code = run(words[1:] if wants_traceback else words)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered would raise again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CUT_OFF
    except BaseException as error:  # noqa: BLE001  (this is where everything ends)
        if wants_traceback:
            from .._shared.logs import safe_trace

            print(safe_trace(error), file=sys.stderr)
        return _ended(error, as_json=as_json)
    return exit_code


def _ended(error: BaseException, *, as_json: bool) -> int:
    error = bare(error)
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else BUG if error.code else OK
    if isinstance(error, KeyboardInterrupt):
        print("asap: interrupted", file=sys.stderr)
        return INTERRUPTED
    return tell(error if isinstance(error, Stop) else stop_for(error), as_json=as_json)


def bare(error: BaseException) -> BaseException:
    """What a group was raised for: Ctrl-C before all else, then its first error."""
    while isinstance(error, BaseExceptionGroup):
        interrupts = error.subgroup(KeyboardInterrupt)
        error = (interrupts or error).exceptions[0]
    return error


def stop_for(error: BaseException) -> Stop:
    """An exception as the end of a command: the catalogue's rows speak for themselves."""
    from asap_proto.errors import AsapError, Misuse

    if not isinstance(error, AsapError):
        words = f"{type(error).__name__}: {error}".rstrip(": ")
        return Stop(
            BUG,
            f"an error of asap's own, not of yours: {words}",
            remedy="Please report it with its traceback: say `asap --traceback …` to see that.",
        )
    exit_code = USAGE if isinstance(error, Misuse) else PEER if error.code in _NOT_HEARD else FAILED
    faults = [{"path": fault.path, "type": fault.type, "problem": fault.problem} for fault in error.faults]
    remedy = error.kind.remedy
    if error.retry_after:
        remedy += f" The peer says: {error.retry_after:g} s."
    details = error.facts.get("data", {}).get("details")
    if isinstance(details, dict) and "error_id" in details:
        remedy += f" It is {details['error_id']}."
    return Stop(exit_code, str(error) or error.code, remedy=remedy, code=error.code, faults=faults, facts=error.facts)

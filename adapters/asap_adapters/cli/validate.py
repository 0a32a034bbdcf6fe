"""`asap validate`: is this document one of ours, and if not, where is it wrong?"""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from .commands import Json
from .documents import Verdict, judge
from .inputs import read_bytes
from .outcome import FAILED, OK, USAGE, Stop
from .output import print_json

__all__ = ["validate"]

Files = Annotated[str, Parameter(allow_leading_hyphen=True, help="Files to check; - is stdin.")]
Sort = Annotated[
    str | None,
    Parameter("--as", help="envelope, request, manifest, or a name of `asap schema`; if not given, found out."),
]
Lenient = Annotated[
    bool, Parameter(negative="", show_default=False, help="Pass over unknown fields, as readers of newer peers do.")
]


def validate(*files: Files, sort: Sort = None, lenient: Lenient = False, json: Json = False) -> int:
    """Check documents, and tell every fault with its JSON path; exit code 1 if there is one."""
    _check_names(files)
    verdicts = {file: judge(read_bytes(file), sort, lenient=lenient) for file in files}
    if json:
        print_json({"valid": all(found.valid for found in verdicts.values()), "files": _documents(verdicts)})
    else:
        for file, found in verdicts.items():
            _show(file, found)
    return OK if all(found.valid for found in verdicts.values()) else FAILED


def _check_names(files: tuple[str, ...]) -> None:
    if not files:
        raise Stop(USAGE, "no file was named", remedy="Name files, or - for stdin: `asap validate envelope.json`.")
    for file in files:
        if file.startswith("-") and file != "-":
            raise Stop(USAGE, f"Unknown option: {file}", remedy="See `asap validate --help`; for such a file, ./ it.")
    if files.count("-") > 1:
        raise Stop(USAGE, "stdin can be read once", remedy="Name - once.")


def _documents(verdicts: dict[str, Verdict]) -> list[dict[str, Any]]:
    return [
        {
            "file": file,
            "as": found.sort,
            "valid": found.valid,
            "faults": [{"path": each.path, "type": each.type, "problem": each.problem} for each in found.faults],
        }
        for file, found in verdicts.items()
    ]


def _show(file: str, found: Verdict) -> None:
    name = "stdin" if file == "-" else file
    if found.valid:
        print(f"{name}: valid {found.sort}")
        return
    count = len(found.faults)
    print(f"{name}: not a valid {found.sort}, {count} fault{'s' if count > 1 else ''}")
    width = max(len(each.path) for each in found.faults)
    for each in found.faults:
        print(f"  {each.path:<{width}}  {each.problem}")

"""`asap schema`: the JSON Schemas of the protocol's nouns."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any

import orjson
from cyclopts import Parameter

from asap_proto.model import payload_class
from asap_proto.wire.schema import BESIDE, SCHEMAS, schema_of

from .commands import Json
from .outcome import FAILED, OK, USAGE, Stop
from .output import console, print_json, table

__all__ = ["schema"]


def schema(
    name: Annotated[str | None, Parameter(help="A noun, such as Envelope, or a payload, such as task.request.")] = None,
    /,
    *,
    every: Annotated[
        bool, Parameter("--all", negative="", show_default=False, help="The schemas of all nouns.")
    ] = False,
    out: Annotated[Path | None, Parameter(help="Write NAME.schema.json files into this directory.")] = None,
    json: Json = False,
) -> int:
    """List the nouns, or print one JSON Schema (draft 2020-12); a schema is JSON with or without --json."""
    if name is not None and every:
        raise Stop(USAGE, "a name and --all are too much", remedy="Give one of the two.")
    names = [*SCHEMAS, *BESIDE] if every else [] if name is None else [_find(name)]
    schemas = {each: BESIDE[each]() if each in BESIDE else schema_of(SCHEMAS[each]) for each in names}
    if out is not None:
        return _write(schemas, out, as_json=json)
    if not names:
        return _list(as_json=json)
    print_json(schemas if every else schemas[names[0]], whole=True)
    return OK


def _find(name: str) -> str:
    if kind := payload_class(name):
        return kind.__name__
    by_lower = {known.lower(): known for known in (*SCHEMAS, *BESIDE)}
    if name.lower() in by_lower:
        return by_lower[name.lower()]
    close = difflib.get_close_matches(name.lower(), by_lower, n=3)
    hint = f"Did you mean {', '.join(by_lower[each] for each in close)}? " if close else ""
    raise Stop(USAGE, f"nothing is called {name}", remedy=f"{hint}`asap schema` lists the names.")


def _list(*, as_json: bool) -> int:
    nouns = {name: _about(noun) for name, noun in SCHEMAS.items()}
    nouns |= {name: made()["description"] for name, made in BESIDE.items()}
    if as_json:
        print_json({"schemas": [{"name": name, "about": about} for name, about in nouns.items()]})
        return OK
    shown = table("name", "about")
    for name, about in nouns.items():
        shown.add_row(name, about)
    console().print(shown)
    return OK


def _about(noun: type) -> str:
    return (noun.__doc__ or "").partition("\n")[0]


def _write(schemas: dict[str, Any], folder: Path, *, as_json: bool) -> int:
    if not schemas:
        raise Stop(USAGE, "--out needs to know what to write", remedy="Add a name, or --all.")
    files = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, document in schemas.items():
            path = folder / f"{name}.schema.json"
            path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
            files.append(str(path))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise Stop(FAILED, f"can't write to {folder}: {reason}", remedy="Name a directory you may write to.") from None
    if as_json:
        print_json({"files": files})
    else:
        print("\n".join(files))
    return OK

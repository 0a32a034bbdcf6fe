"""The recorded wire, read back: what released clients and servers said, in a compact form of our own.

`models.json`   verdicts of release 1.0.0 for every model, as a base object and one patch per case
`server.jsonl`  raw requests and the verdict of each release's server
`client.jsonl`  answers and how each release's client took them; what those clients sent
`ours.jsonl`    inputs that we thought of, for the families of the deviations table, and the verdict of release 1.0.0
README.md says what each member of a row means.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent

RELEASES = ("0.1.0", "0.3.0", "0.5.0", "1.0.0", "2.5.10")


class Case(NamedTuple):
    """One input to one model and the verdict of release 1.0.0."""

    model: str
    name: str
    input: Any
    accepted: bool
    dump: Any
    faults: tuple[str, ...]

    @property
    def id(self) -> str:
        """How tests and the deviations table call the case."""
        return f"{self.model}/{self.name}"


def facts() -> dict[str, Any]:
    """The transitions, constants and enums of release 1.0.0."""
    return {key: value for key, value in _models().items() if key != "models"}


def cases() -> Iterator[Case]:
    """Every model vector, its patch applied."""
    ours: dict[str, list[Any]] = {}
    for row in _lines("ours.jsonl"):
        if "model" in row:
            ours.setdefault(row["model"], []).append(row["case"])
    for model, told in _models()["models"].items():
        for name, patch, verdict, *rest in [*told["cases"], *ours.get(model, ())]:
            given = patched(told["base"], patch)
            if verdict == "ok":
                dump = {**told["defaults"], **given, **(rest[0] if rest else {})} if isinstance(given, dict) else given
                yield Case(model, name, given, True, dump, ())
            else:
                yield Case(model, name, given, False, None, (verdict, *rest))


def patched(base: Mapping[str, Any], patch: Mapping[str, Any]) -> Any:
    """The base with the members of the patch; `-` names members to leave out, `=` is the whole input."""
    if "=" in patch:
        return patch["="]
    gone = patch.get("-", ())
    return {key: value for key, value in {**base, **patch}.items() if key not in gone and key != "-"}


def exchanges() -> list[dict[str, Any]]:
    """Raw requests with the verdict of each release's server."""
    return [*_lines("server.jsonl"), *(row for row in _lines("ours.jsonl") if "profile" in row)]


def answers(*kinds: str) -> list[dict[str, Any]]:
    """The rows of `client.jsonl` of these kinds: reply, manifest, answered, sent."""
    return [row for row in _lines("client.jsonl") if row["kind"] in kinds]


def body_of(row: Mapping[str, Any]) -> bytes:
    """A body as bytes: text, base64, or text with runs written as `[piece, times]`."""
    if "body_b64" in row:
        return base64.b64decode(row["body_b64"])
    body = row.get("body", "")
    if isinstance(body, str):
        return body.encode()
    return "".join(piece if isinstance(piece, str) else piece[0] * piece[1] for piece in body).encode()


def _models() -> dict[str, Any]:
    told = json.loads((HERE / "models.json").read_text(encoding="utf-8"))
    assert isinstance(told, dict)
    return told


def _lines(name: str) -> list[dict[str, Any]]:
    # Not splitlines: it would also split at the line separators of Unicode, which stand in some bodies.
    return [json.loads(line) for line in (HERE / name).read_text(encoding="utf-8").rstrip("\n").split("\n")]

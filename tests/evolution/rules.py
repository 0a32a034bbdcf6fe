"""Which documents one schema lets pass and another refuses, told as places and words.

Two schemas of one noun, of an old release and of now, are compared in both directions:

- backward: what an old peer may send is taken now;
- forward: what we send now is taken by an old peer, which refuses what it does not know.

The keywords are those that `asap schema` writes.
Another one is an error, so that nobody takes silence for compatibility.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

Schema = Mapping[str, Any]
Direction = Literal["backward", "forward"]

_NOTES = {"$schema", "$defs", "title", "description"}
_KNOWN = _NOTES | {
    *("$ref", "additionalProperties", "anyOf", "const", "contentEncoding", "enum", "format", "items", "maxLength"),
    *("maximum", "minItems", "minimum", "pattern", "properties", "required", "type"),
}

#: Read by clients alone, who pass over what a newer peer publishes.
PUBLISHED_NOUNS = frozenset({"Manifest", "Capabilities", "Skill", "Endpoints", "AuthScheme"})
#: What may have new fields: these, and errors, of which clients look at the members that they know.
PASSED_OVER = PUBLISHED_NOUNS | {"Error"}

#: Gaps that were looked at: release, direction, noun and path, with the reason why no peer meets it.
#: A row without a gap fails, so that none outlives its reason.
ACCEPTED: Mapping[tuple[str, Direction, str, str], str] = {}

#: What each kind of gap means for peers, and what to do; `sender` and `reader` are filled in.
_ADVICE: Mapping[str, Mapping[Direction, str]] = {
    "unknown": {
        "backward": "old peers send this field: keep it in the noun, or among the additions that are passed over",
        "forward": "old peers refuse this field: do not send it to them, or send it in `extensions`",
    },
    "missing": {
        "backward": "old peers may leave this field out: give it a default",
        "forward": "old peers require this field: keep sending it",
    },
    "value": {
        "backward": "old peers send this value: keep reading it",
        "forward": "old peers do not know this value: send it to those alone that have said that they do",
    },
    "type": {
        "backward": "old peers send the other type: keep reading it, and add a field for the new one",
        "forward": "old peers read the other type alone: keep it, and add a field for the new one",
    },
    "bound": {
        "backward": "old peers send up to their own bound: keep reading that much",
        "forward": "old peers refuse more than their own bound: send no more than that",
    },
    "noun": {
        "backward": "old peers send this noun: keep reading it",
        "forward": "old peers read this noun alone: keep sending it",
    },
}


class Gap(NamedTuple):
    """One way in which a document that is sent may be refused."""

    path: str
    kind: str
    detail: str


def published(folder: Path) -> dict[str, Schema]:
    """The schemas of one release, by the names of their nouns."""
    return {path.name.removesuffix(".schema.json"): json.loads(path.read_bytes()) for path in folder.iterdir()}


def verdicts(
    release: str,
    old: Mapping[str, Schema],
    new: Mapping[str, Schema],
    *,
    accepted: Mapping[tuple[str, Direction, str, str], str] = ACCEPTED,
) -> list[str]:
    """A line for each gap between a release and now that no row excuses, and for each row that excuses nothing."""
    found = [
        ((release, direction, noun, gap.path), gap)
        for noun in sorted(old)
        for direction, gap in between(noun, old[noun], new.get(noun))
    ]
    told = [
        f"{noun} {gap.path}, {direction} to {release}: {gap.detail}; {_ADVICE[gap.kind][direction]}"
        for (_, direction, noun, _), gap in found
        if (release, direction, noun, gap.path) not in accepted
    ]
    met = {place for place, _ in found}
    idle = [row for row in accepted if row[0] == release and row not in met]
    return told + [f"{noun} {path}, {direction} to {release}: nothing to excuse" for _, direction, noun, path in idle]


def between(noun: str, old: Schema, new: Schema | None) -> Iterator[tuple[Direction, Gap]]:
    """The gaps of both directions; a noun that is gone is one."""
    if new is None:
        yield "backward", Gap("$", "noun", "the noun is gone")
        return
    for gap in gaps(old, new):
        yield "backward", gap
    for gap in gaps(_sent(new), old, past_unknown=noun in PASSED_OVER):
        yield "forward", gap


def _sent(schema: Schema) -> Schema:
    """Without the fields that may hold anything: additions of other releases, which are read and never sent."""
    if "properties" not in schema:
        return schema
    kept = {name: inner for name, inner in schema["properties"].items() if inner != {}}
    return {
        **schema,
        "properties": kept,
        "$defs": {name: _sent(inner) for name, inner in schema.get("$defs", {}).items()},
    }


def gaps(sent: Schema, taken: Schema, *, past_unknown: bool = False) -> list[Gap]:
    """Where a document valid for `sent` need not be valid for `taken`; complete, and at times too careful."""
    return list(_Comparison(sent, taken, past_unknown).at("$", sent, taken))


class _Comparison(NamedTuple):
    sent: Schema
    taken: Schema
    past_unknown: bool

    def at(self, path: str, sent: Schema, taken: Schema) -> Iterator[Gap]:
        sent_null, sent = _solid(sent, self.sent)
        taken_null, taken = _solid(taken, self.taken)
        if not taken:
            return
        if not sent:
            yield Gap(path, "type", f"anything is sent, {_words(taken)} is read")
            return
        if sent_null and not taken_null:
            yield Gap(path, "type", f"null is sent, {_words(taken)} is read")
        if _values(taken) is not None:
            yield from self._among(path, sent, taken)
        elif not _types(sent) <= _types(taken) | ({"integer"} if "number" in _types(taken) else set()):
            yield Gap(path, "type", f"{_words(sent)} is sent, {_words(taken)} is read")
        else:
            yield from _bounds(path, sent, taken)
            yield from self._members(path, sent, taken)
            if "items" in taken:
                yield from self.at(f"{path}[*]", sent.get("items", {}), taken["items"])

    def _among(self, path: str, sent: Schema, taken: Schema) -> Iterator[Gap]:
        values = _values(sent)
        if values is None:
            yield Gap(path, "type", f"{_words(sent)} is sent, {_words(taken)} is read")
        elif missing := [value for value in values if value not in (_values(taken) or ())]:
            yield Gap(path, "value", f"{', '.join(map(json.dumps, missing))} is not among what is read")

    def _members(self, path: str, sent: Schema, taken: Schema) -> Iterator[Gap]:
        members, read = sent.get("properties", {}), taken.get("properties", {})
        is_open = sent.get("additionalProperties", True)
        if is_open and not taken.get("additionalProperties", True) and not self.past_unknown:
            yield Gap(path, "unknown", "any field is sent, some are read")
        for name in sorted(members.keys() | read.keys()):
            if name in members and name in read:
                yield from self.at(f"{path}.{name}", members[name], read[name])
            elif name in members and not taken.get("additionalProperties", True) and not self.past_unknown:
                yield Gap(f"{path}.{name}", "unknown", "the field is not among what is read")
            elif name in read and is_open:
                yield from self.at(f"{path}.{name}", {}, read[name])
        for name in sorted(set(taken.get("required", ())) - set(sent.get("required", ()))):
            yield Gap(f"{path}.{name}", "missing", "the field may be left out, and is required")


def _solid(schema: Schema, root: Schema) -> tuple[bool, Schema]:
    """Whether null may stand there, and what else may, without notes and references; `{}` is anything."""
    while "$ref" in schema:
        schema = {
            **root["$defs"][schema["$ref"].removeprefix("#/$defs/")],
            **{k: v for k, v in schema.items() if k != "$ref"},
        }
    if (unknown := schema.keys() - _KNOWN) or schema.get("additionalProperties", False) not in (True, False):
        words = ", ".join(sorted(unknown)) or "additionalProperties as a schema"
        raise ValueError(f"the rules of evolution do not know {words}; teach them before it is published")
    bare = {name: value for name, value in schema.items() if name not in _NOTES}
    if "anyOf" not in bare:
        return bare == {}, bare
    solid = [option for option in bare["anyOf"] if option != {"type": "null"}]
    if len(solid) != 1 or len(bare) != 1:
        raise ValueError(f"the rules of evolution know anyOf as something or null, not {bare}")
    return True, _solid(solid[0], root)[1]


def _values(schema: Schema) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _types(schema: Schema) -> set[str]:
    values = _values(schema)
    if values is not None:
        names = {str: "string", bool: "boolean", int: "integer", float: "number"}
        return {names[type(value)] for value in values}
    return {"array", "boolean", "integer", "number", "object", "string"} if "type" not in schema else {schema["type"]}


def _words(schema: Schema) -> str:
    values = _values(schema)
    return " or ".join(sorted(_types(schema))) if values is None else f"one of {json.dumps(values)}"


def _bounds(path: str, sent: Schema, taken: Schema) -> Iterator[Gap]:
    values = _values(sent)
    for name in ("maxLength", "maximum", "minItems", "minimum"):
        if name not in taken:
            continue
        measured = [len(value) if name == "maxLength" else value for value in values or ()] or [sent.get(name)]
        for bound in measured:
            if bound is None or (bound > taken[name] if name.startswith("max") else bound < taken[name]):
                had = "none" if bound is None else bound
                yield Gap(path, "bound", f"{name} is {had} for what is sent, {taken[name]} for what is read")
    for name in ("pattern", "format", "contentEncoding"):
        if name in taken and taken[name] != sent.get(name):
            yield Gap(
                path, "bound", f"{name} is {sent.get(name, 'none')} for what is sent, {taken[name]} for what is read"
            )

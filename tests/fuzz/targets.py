"""What is fuzzed: for each target what it is fed to, what it is seeded with, and the words that it may be made of."""

import json
import re
from collections.abc import Callable, Iterator

from attrs import frozen

from asap_proto.errors import CATALOGUE
from asap_proto.model import SPELLINGS
from asap_proto.roles import ASAP_PATH, STREAM_PATH
from asap_proto.wire.schema import EXTENSIONS, SCHEMAS
from asap_proto.wire.shapes import known_names
from fuzz import heads, inflating, replies, seeds, server


@frozen
class Target:
    """`feed` raises where an input breaks something; `share` is its part of the time.

    With `is_json` what follows its first two bytes is JSON, or should be.
    """

    feed: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]
    share: int
    is_json: bool = False


TARGETS = {
    "server": Target(server.feed, seeds.requests, 4, is_json=True),
    "heads": Target(heads.feed, seeds.heads, 2),
    "replies": Target(replies.feed, seeds.replies, 2, is_json=True),
    "inflating": Target(inflating.feed, seeds.codings, 1),
}


def words() -> Iterator[str]:
    """What a fuzzer would take long to find: names of fields, payloads, codes, paths, and JSON's odd ends."""
    names = {name for noun in SCHEMAS.values() for name in known_names(noun)}
    frame = {"jsonrpc", "method", "params", "id", "envelope", "idempotency_key", "result", "error", "code", "data"}
    for word in sorted(names | frame | EXTENSIONS.keys() | SPELLINGS.keys() | CATALOGUE.keys() | set(server.SKILLS)):
        yield json.dumps(word)
    for word in ("asap.send", "2.0", "respond-async", "tool_name", "percent", "timeout", "question", seeds.FIRST_TASK):
        yield json.dumps(word)
    yield from (ASAP_PATH, STREAM_PATH, "null", "true", "1e999", "-0", "\\ud800", "\\u0000", "18446744073709551616")
    yield from ("{}", "[]", "[[", "},{", '":', '":{"', "data:", "id:", "\n\n", "\x1e", "\x1f", "\x1d")
    yield from ("content-type:", "authorization: Bearer ", "authorization: Basic ", "forwarded: for=", "signature:")
    yield from ("signature-input: ", "content-digest: sha-256=:", ";created=", ';keyid="k"', ';nonce="', ';tag="asap"')
    yield from ("x-forwarded-for:", "host:", "origin:", "content-length:", "transfer-encoding:", "asap-version:")


def dictionary() -> str:
    """The words, in a file as libFuzzer reads it."""
    return "".join(f'"{_escaped(word)}"\n' for word in words())


def _escaped(word: str) -> str:
    return re.sub(r"[^ !#-\[\]-~]", lambda one: f"\\x{ord(one[0]):02x}", word)

"""What each field of a noun accepts, read from its annotation."""

import pytest

from asap_proto.model import Capabilities, Envelope, FilePart, Manifest, Message, Task, TaskUpdate, TextPart
from asap_proto.wire.schema import SCHEMAS
from asap_proto.wire.shapes import MISSING, known_names, once, shapes, tag_of

SORTS = {
    (Envelope, "payload"): "sealed", (Envelope, "timestamp"): "stamp", (Envelope, "extensions"): "object",
    (Task, "depth"): "integer", (TaskUpdate, "status"): "choice", (Message, "parts"): "texts",
    (Manifest, "capabilities"): "noun", (Capabilities, "skills"): "nouns", (Capabilities, "streaming"): "flag",
    (Manifest, "name"): "text",
}  # fmt: skip


@pytest.mark.parametrize(("cls", "name"), SORTS)
def test_sorts_come_from_annotations(cls, name):
    """A field is read as its annotation says."""
    assert {shape.name: shape.sort for shape in shapes(cls)}[name] == SORTS[cls, name]


def test_required_nullable_and_default():
    """A field without a default is required, one whose annotation holds None takes null."""
    found = {shape.name: shape for shape in shapes(FilePart)}
    assert (found["uri"].required, found["uri"].nullable) == (True, False)
    assert (found["inline_data"].required, found["inline_data"].nullable) == (False, True)
    assert found["inline_data"].default is None
    assert found["uri"].rule.type == "uri"


@pytest.mark.proves("envelope.required")
def test_a_field_we_fill_in_may_still_be_required_of_peers():
    """`asap_version` has a default for those who make an envelope, and none for those who send one."""
    [version] = [shape for shape in shapes(Envelope) if shape.name == "asap_version"]
    assert version.default is MISSING
    assert Envelope.__attrs_attrs__.asap_version.default == "0.1"


@pytest.mark.proves("envelope.requires-ack", "manifest.additions")
def test_known_additions_of_newer_releases():
    """They are known, so that newer peers are not refused; and they are no fields, so that we never send them."""
    for cls, addition in ((Envelope, "requires_ack"), (Manifest, "ttl_seconds"), (Capabilities, "hardware")):
        assert addition in known_names(cls)
        assert addition not in {shape.name for shape in shapes(cls)}


def test_parts_alone_have_tags():
    """`type` is a key of parts and of nothing else."""
    assert tag_of(TextPart) == "text"
    assert "type" in known_names(TextPart)
    assert {name for name, cls in SCHEMAS.items() if tag_of(cls)} == {
        "TextPart", "DataPart", "FilePart", "ResourcePart", "TemplatePart",
    }  # fmt: skip


def test_what_is_made_once_is_kept():
    """For each argument."""
    made = once(lambda *words: [*words])
    assert made("a") == ["a"]
    assert made("a") is made("a") is not made("b")

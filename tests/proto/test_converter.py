"""The nouns, for those who use cattrs."""

import attrs
import pytest

from asap_proto.errors import MalformedEnvelope
from asap_proto.model import Conversation, Part, TaskCancel, TextPart
from asap_proto.wire.converter import converter
from asap_testkit import NOW


@attrs.frozen
class Own:
    cancel: TaskCancel


def test_cattrs_knows_the_nouns():
    """The converter reads and writes nouns and parts by the same strict rules."""
    assert converter.structure({"task_id": "t"}, TaskCancel) == TaskCancel("t")
    assert converter.structure([{"type": "text", "content": "x"}], list[Part]) == [TextPart("x")]
    assert converter.unstructure(TaskCancel("t")) == {"task_id": "t", "reason": None}


def test_what_is_written_can_be_read_again():
    """Arrays, times and enums are written as JSON has them."""
    conversation = Conversation("c", ("urn:asap:agent:a",), NOW)
    assert converter.structure(converter.unstructure(conversation), Conversation) == conversation
    with pytest.raises(MalformedEnvelope):
        converter.structure({"task_id": 5}, TaskCancel)


def test_other_classes_are_left_to_cattrs():
    """Nouns alone are ours."""
    assert converter.structure("5", int) == 5
    assert converter.structure({"cancel": {"task_id": "t"}}, Own) == Own(TaskCancel("t"))

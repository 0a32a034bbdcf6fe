"""The payloads that we share, by the schemas that the releases themselves make of their models, in both directions."""

import pytest
from hypothesis import given, reject

from asap_adapters.testing import strategies as asap
from asap_proto.limits import Limits
from asap_proto.model import PAYLOADS
from asap_proto.wire.json import dump, load
from asap_proto.wire.nouns import decode, encode
from asap_testkit import error_of
from asap_testkit.schemas import BEYOND_SCHEMA, documents

DEPTH = Limits().json_depth
KINDS = sorted(PAYLOADS.values(), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_a_release_may_send_is_read(references, release, kind) -> None:
    """Our decoder takes what the release's schema lets pass, but for what no schema can tell."""
    outcome = references.client(release).ask(op="schema", name=kind.__name__)
    assert outcome.get("ok"), outcome

    @given(documents(outcome["schema"]))
    def check(document):
        error = error_of(decode, kind, load(dump(document), depth=DEPTH))
        if error is not None:
            assert {fault.type for fault in error.faults} <= BEYOND_SCHEMA.keys(), error
            reject()

    check()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_we_send_is_taken_by_a_release(references, release, kind) -> None:
    """The release's own model takes what our encoder writes."""
    client = references.client(release)

    @given(asap.nouns(kind))
    def check(noun):
        document = load(dump(encode(noun)), depth=DEPTH)
        if release == "newest" and document.get("config"):
            document["config"] = {"timeout_seconds": 5}  # a closed object there, which we hand on as it is given
        assert client.ask(op="check", name=kind.__name__, documents=[document]).get("faults") == [[]], document

    check()

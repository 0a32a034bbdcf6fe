"""The published JSON Schema and the decoder tell the same, but for what no schema can say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from asap_adapters.testing import strategies as asap
from asap_proto.limits import Limits
from asap_proto.wire.json import dump, load
from asap_proto.wire.nouns import decode, encode
from asap_proto.wire.schema import SCHEMAS, schema_of
from asap_testkit import error_of
from asap_testkit.effort import EACH
from asap_testkit.schemas import BEYOND_SCHEMA

NOUNS = sorted(SCHEMAS)
DEPTH = Limits().json_depth


@pytest.fixture(scope="module")
def validators():
    return {name: Draft202012Validator(schema_of(SCHEMAS[name])) for name in NOUNS}


def plain_nouns(name):
    return asap.nouns(SCHEMAS[name]).map(lambda noun: load(dump(encode(noun)), depth=DEPTH))


@pytest.mark.parametrize("name", NOUNS)
def test_each_schema_is_one(name):
    """Each is a schema of draft 2020-12, complete in itself."""
    Draft202012Validator.check_schema(schema_of(SCHEMAS[name]))


@pytest.mark.parametrize("name", NOUNS)
@EACH
@given(data=st.data())
def test_what_we_write_fits_its_schema(name, data, validators):
    """Every noun as we write it is valid."""
    validators[name].validate(data.draw(plain_nouns(name)))


@pytest.mark.parametrize("name", NOUNS)
@EACH
@given(data=st.data())
def test_decoder_and_schema_agree(name, data, validators):
    """A near-miss is refused by both, or by neither; what one alone says is listed with its reason."""
    value = data.draw(asap.disturbed(plain_nouns(name)))
    problems = list(validators[name].iter_errors(value))
    error = error_of(decode, SCHEMAS[name], value)
    if error is None:
        # Besides RFC 3339 the decoder reads the Unix times that every release has accepted.
        assert all(is_stamp(problem) for problem in problems)
    else:
        assert problems or {fault.type for fault in error.faults} <= BEYOND_SCHEMA.keys()


def is_stamp(problem):
    return problem.absolute_path[-1] in {"timestamp", "created_at", "updated_at"} if problem.absolute_path else False

"""What this package reads and sends, held against the schemas that its releases have published."""

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import Phase, given, reject, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from asap_adapters.cli import main
from asap_adapters.testing import strategies as asap
from asap_proto.limits import Limits
from asap_proto.model import AuthScheme, Manifest
from asap_proto.wire.json import dump, load
from asap_proto.wire.jsonrpc import error_member
from asap_proto.wire.nouns import decode, encode
from asap_proto.wire.paths import HEALTH_PATH
from asap_proto.wire.replies import read_error
from asap_proto.wire.schema import BESIDE, SCHEMAS, schema_of
from asap_testkit import error_of
from asap_testkit.nouns import echo_manifest
from asap_testkit.schemas import BEYOND_SCHEMA, documents
from evolution.rules import ACCEPTED, PASSED_OVER, PUBLISHED_NOUNS, published, verdicts
from vectors.performing import Server

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs/published/schemas"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
RELEASES = {folder.name: published(folder) for folder in sorted(FOLDER.iterdir())}
PAIRS = [(release, noun) for release, schemas in RELEASES.items() for noun in schemas if noun in SCHEMAS]
DEPTH = Limits().json_depth
AT = "2026-01-02T03:04:05+00:00"

#: There are as many tests as nouns and releases.
few = settings(max_examples=settings().max_examples // 2)


@pytest.fixture
def now():
    nouns = {name: schema_of(noun) for name, noun in SCHEMAS.items()}
    return nouns | {name: made() for name, made in BESIDE.items()}


def test_the_schemas_of_this_version_are_what_the_code_says(tmp_path, capsys):
    """To the byte, so that a change of the wire shows in review; `nox -s schemas` writes them."""
    assert main(["schema", "--all", "--out", str(tmp_path), "--json"]) == 0
    said = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_bytes() for path in (FOLDER / VERSION).glob("*")}
    differ = sorted(name for name in said.keys() | kept.keys() if said.get(name) != kept.get(name))
    assert not differ, f"not as in {FOLDER / VERSION}; `nox -s schemas` writes them: {', '.join(differ)}"


def test_every_release_has_published_its_schemas():
    """Each version with a heading in the changelog, and the one that is worked on; no other."""
    released = re.findall(r"^## \[(\d[^]]*)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert RELEASES.keys() == {*released, VERSION}


@pytest.mark.parametrize("release", RELEASES)
def test_nothing_breaks_peers_of_a_release(release, now):
    """No document of theirs is refused now, and none of ours there, but for what is accepted with a reason."""
    assert verdicts(release, RELEASES[release], now) == []


def test_each_exception_is_of_a_release():
    """A row for a version that was never published excuses nothing."""
    assert {release for release, *_ in ACCEPTED} <= RELEASES.keys()


@pytest.mark.parametrize(("release", "noun"), PAIRS)
@few
@given(data=st.data())
def test_what_a_release_may_send_is_read(release, noun, data):
    """The decoder takes what the release's schema lets pass, but for what no schema can tell."""
    document = load(dump(data.draw(documents(RELEASES[release][noun]))), depth=DEPTH)
    error = error_of(decode, SCHEMAS[noun], document)
    if error is not None:
        assert {fault.type for fault in error.faults} <= BEYOND_SCHEMA.keys(), error
        reject()  # too many of these are an error of Hypothesis


@pytest.mark.parametrize(("release", "noun"), PAIRS)
@few
@given(data=st.data())
def test_what_we_send_is_taken_by_a_release(release, noun, data):
    """What our encoder writes is valid for the release's schema."""
    sent = data.draw(asap.nouns(SCHEMAS[noun]).map(lambda made: load(dump(encode(made)), depth=DEPTH)))
    validator(release, noun).validate(sent)


def validator(release, noun):
    """By the release's schema, open where the rules let new fields be passed over."""
    schema = RELEASES[release][noun]
    if noun in PASSED_OVER:
        inner = {name: {**held, "additionalProperties": True} for name, held in schema.get("$defs", {}).items()}
        schema = {**schema, "additionalProperties": True, "$defs": inner}
    return Draft202012Validator(schema)


def test_every_published_schema_is_tried_with_documents():
    """Nouns by the two tests above, and what is none by one of those below."""
    assert RELEASES[VERSION].keys() == SCHEMAS.keys() | {"Extensions", "Error", "Health"}


@pytest.mark.parametrize("release", RELEASES)
@settings(phases=[Phase.generate])  # to make it smaller takes a minute, and what is wrong stands in the answer
@given(data=st.data())
def test_extensions_of_a_release_are_taken(release, data):
    """A request with whatever a release may put beside the fields of the protocol is answered."""
    extensions = data.draw(documents(RELEASES[release]["Extensions"]))
    extensions.pop("prefer", None)  # who wants an answer at once needs a server with a background
    frame = data.draw(
        asap.rpc_requests(
            envelope=asap.envelopes(payload=asap.task_requests(skill_id="echo"), timestamp=None, extensions=extensions)
        )
    )
    answer = Server("default", AT).exchange("POST", "/asap", {}, dump(frame))
    assert "result" in load(answer.body, depth=DEPTH + 1), answer.body


@pytest.mark.parametrize("release", RELEASES)
@given(data=st.data())
def test_an_error_of_a_release_is_understood(release, data):
    """Our client hears an error, with the number and the data that came."""
    document = load(dump(data.draw(documents(RELEASES[release]["Error"]))), depth=DEPTH)
    heard = read_error(document)
    assert heard.facts["rpc_code"] == document["code"]
    assert heard.facts["data"] == document["data"]


@pytest.mark.parametrize("release", RELEASES)
@given(error=asap.errors())
def test_an_error_that_we_tell_is_taken_by_a_release(release, error):
    """Whatever it is, what we write of it is valid for the release's schema."""
    validator(release, "Error").validate(load(dump(error_member(error)), depth=DEPTH))


@pytest.mark.parametrize("release", RELEASES)
def test_how_an_agent_is_is_taken_by_a_release(release):
    """What our server says of its health is valid for the release's schema."""
    answer = Server("default", AT).exchange("GET", HEALTH_PATH, {}, b"")
    validator(release, "Health").validate(load(answer.body, depth=DEPTH))


def test_manifests_are_read_past_unknown_fields():
    """The rules let the nouns of a manifest have new fields, as clients pass over what they do not know."""
    manifest = echo_manifest(auth=AuthScheme(("bearer",)))
    plain = load(dump(encode(manifest)), depth=DEPTH)
    capabilities = plain["capabilities"]
    holders = {
        "Manifest": plain,
        "Capabilities": capabilities,
        "Skill": capabilities["skills"][0],
        "Endpoints": plain["endpoints"],
        "AuthScheme": plain["auth"],
    }
    assert holders.keys() == PUBLISHED_NOUNS
    for holder in holders.values():
        holder["unheard_of"] = 1
    assert decode(Manifest, plain, lenient=True) == manifest

"""The OpenAPI description of an agent: a document that tools can read, and that says what the agent does."""

import json
from pathlib import Path

import attrs
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource

from asap_proto.errors import CATALOGUE, MethodNotAllowed, NoRoute
from asap_proto.limits import Limits
from asap_proto.model import PAYLOADS, SPELLINGS, Capabilities, Endpoints, Manifest, Skill
from asap_proto.model.manifest import AuthScheme
from asap_proto.wire.openapi import REFUSALS, describe
from asap_testkit import echo_manifest, link, request_frame

#: Errors with a status that no agent answers with: they are what a client makes of a peer.
OF_CLIENTS = {
    "asap:auth/other_agent",
    "asap:auth/unverified_manifest",
    "asap:protocol/malformed_reply",
    "asap:protocol/mispaired_reply",
    "asap:transport/circuit_open",
    "asap:transport/forbidden_target",
    "asap:transport/redirected",
    "asap:transport/refused",
    "asap:transport/timed_out",
    "asap:transport/unreachable",
}
TREE = {
    "type": "object",
    "properties": {"tree": {"$ref": "#/$defs/Tree"}, "again": {"$ref": "#"}, "$ref": {"type": "string"}},
    "required": ["tree"],
    "$defs": {"Tree": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}},
}

#: What `described` gave when a person last read it; `python tests/proto/test_openapi.py` writes it anew.
READ = Path(__file__).with_name("openapi.json")


def typed_manifest(**changes):
    skills = (Skill("sum up!", "Sums up", TREE), Skill("echo", "Repeats"), Skill("echo", "Repeats again"))
    made = {"capabilities": Capabilities(skills=skills), "endpoints": Endpoints("https://a.example/agents/asap")}
    return Manifest(
        **{"id": "urn:asap:agent:a", "name": "A", "version": "1.2.3", "description": "Is described"} | made | changes
    )


def described():
    """The document of an agent that has all there is: skills with schemas, callers who are asked, a signature."""
    guarded = typed_manifest(auth=AuthScheme(("Bearer", "basic")), signature="s")
    return describe(guarded, Limits(), strict_http=True)


def validator(document, pointer):
    """What checks a value by the schema that stands there."""
    registry = Registry().with_resource("urn:document", Resource.opaque(document))
    return Draft202012Validator({"$ref": f"urn:document#{pointer}"}, registry=registry)


def component(document, name):
    return validator(document, f"/components/schemas/{name}")


@pytest.mark.parametrize(
    "manifest",
    [echo_manifest(), echo_manifest(skills=()), echo_manifest(auth=AuthScheme(("Bearer", "basic"))), typed_manifest()],
    ids=["open", "without skills", "guarded", "typed"],
)
@pytest.mark.parametrize("strict", [False, True])
def test_the_document_is_openapi(manifest, strict):
    """It fits the meta-schema of OpenAPI 3.1, its references lead somewhere, its operations have names of their own."""
    OpenAPIV31SpecValidator(describe(manifest, strict_http=strict)).validate()


def test_the_document_changes_only_where_someone_means_it():
    """Clients are generated from it, so each word that a program reads is contract."""
    assert described() == json.loads(READ.read_bytes())


def test_it_says_what_the_manifest_says():
    """Its title, version and address are the agent's."""
    document = describe(typed_manifest())
    assert document["info"] == {"title": "A", "version": "1.2.3", "description": "Is described"}
    assert document["servers"] == [{"url": "https://a.example/agents"}]
    assert describe(echo_manifest())["servers"] == [{"url": "/"}]


def test_each_path_is_described():
    """What is described is answered, and what is not is no path."""
    described = describe(attrs.evolve(echo_manifest(), signature="s"))["paths"]
    assert described.keys() - describe(echo_manifest())["paths"].keys() == {"/.well-known/asap/manifest.signed.json"}
    assert len(described) == 8
    wire = link(server={"enclosed": b"{}"})
    for path, operations in described.items():
        for method in operations:
            assert wire.get(path, method=method.upper()).status not in (404, 405)


def test_each_status_of_ours_is_described():
    """Every error whose row has a status of its own is told of, but for those that only a client meets."""
    own = {row.kind.code for row in CATALOGUE.values() if row.kind.http_status != 200}
    routes = {NoRoute.kind.code, MethodNotAllowed.kind.code}
    assert {row.kind.code for row in REFUSALS} == own - routes - OF_CLIENTS
    responses = describe(echo_manifest())["paths"]["/asap"]["post"]["responses"]
    assert responses.keys() == {"200", "204", *(str(row.kind.http_status) for row in REFUSALS)}
    for status in ("429", "503"):
        assert responses[status]["headers"]["Retry-After"]["required"]


def test_strict_statuses_are_described():
    """So are those that take the place of 200 where the agent is told so; 401 where it asks who calls."""
    strict = describe(echo_manifest(auth=AuthScheme(("bearer",))), strict_http=True)["paths"]["/asap"]["post"][
        "responses"
    ]
    assert "WWW-Authenticate" in strict["401"]["headers"]
    codes = strict["400"]["content"]["application/json"]["schema"]["allOf"][1]["properties"]["error"]["properties"][
        "data"
    ]
    assert "asap:protocol/malformed_envelope" in codes["properties"]["code"]["enum"]
    assert "401" not in describe(echo_manifest(), strict_http=True)["paths"]["/asap"]["post"]["responses"]
    assert describe(echo_manifest()) == describe(echo_manifest(), strict_http=False)


def test_who_may_ask():
    """Schemes of the manifest guard the protocol, and nothing else."""
    document = describe(echo_manifest(auth=AuthScheme(("Bearer", "basic"))))
    assert document["components"]["securitySchemes"] == {
        "basic": {"type": "http", "scheme": "basic"},
        "bearer": {"type": "http", "scheme": "bearer"},
    }
    assert document["paths"]["/asap/stream"]["post"]["security"] == [{"basic": []}, {"bearer": []}]
    assert "security" not in document["paths"]["/health"]["get"]
    assert "WWW-Authenticate" in document["paths"]["/asap"]["post"]["responses"]["200"]["headers"]
    open_to_all = describe(echo_manifest())
    asked = open_to_all["paths"]["/asap"]["post"]
    assert "securitySchemes" not in open_to_all["components"]
    assert "security" not in asked
    assert "WWW-Authenticate" not in asked["responses"]["200"]["headers"]


def test_limits_are_told():
    """Those that a caller should know stand where they hold."""
    asked = describe(echo_manifest(), Limits(batch_items=3, request_bytes=77))["paths"]["/asap"]["post"]["requestBody"]
    assert asked["content"]["application/json"]["schema"]["anyOf"][1]["maxItems"] == 3
    assert "77 bytes" in asked["description"]


def test_requests_and_answers_fit():
    """A request that is right, its answer, and a refusal are valid by the document."""
    document = describe(echo_manifest())
    frame = request_frame(extensions={"nonce": "n"}, key="k")
    component(document, "Call").validate(frame)
    done, failed = link().post(frame), link().post(request_frame(sender="me"))
    assert component(document, "Success").is_valid(json.loads(done.body))
    assert component(document, "Failure").is_valid(json.loads(failed.body))
    assert not component(document, "Failure").is_valid(json.loads(done.body))


@pytest.mark.parametrize(
    "changes",
    [{"sender": "me"}, {"payload_type": "task.requests"}, {"payload": {}}, {"extra": 1}, {"extensions": {"nonce": ""}}],
)
def test_what_is_refused_does_not_fit(changes):
    """What an agent refuses by its shape is not valid by the document."""
    assert not component(describe(echo_manifest()), "Call").is_valid(request_frame(**changes))


def test_each_payload_by_each_of_its_names():
    """An envelope is told apart by what it carries, in any spelling."""
    schemas = describe(echo_manifest(skills=()))["components"]["schemas"]
    assert len(schemas["Envelope"]["oneOf"]) == len(PAYLOADS)
    told = [name for kind in PAYLOADS.values() for name in _spellings(schemas, kind)]
    assert sorted(told) == sorted(SPELLINGS)


def _spellings(schemas, kind):
    return schemas[f"{kind.__name__}Envelope"]["properties"]["payload_type"]["enum"]


def test_skills_have_requests_of_their_own():
    """A request names a skill that there is, and its input fits the schema of that skill, wherever that points."""
    document = describe(typed_manifest())
    call = component(document, "Call")

    def fits(skill, given):
        return call.is_valid(request_frame(payload={"conversation_id": "c", "skill_id": skill, "input": given}))

    assert fits("echo", {"anything": 1})
    assert fits("sum up!", {"tree": [[], [[]]], "again": {"tree": []}, "$ref": "a name like any other"})
    assert not fits("sum up!", {"tree": [1]})
    assert not fits("sum up!", {"tree": [], "again": {}})
    assert not fits("unknown", {})
    names = document["components"]["schemas"].keys()
    assert {"1.sum_up_.request", "1.sum_up_.input", "2.echo.request"} <= names
    assert "2.echo.input" not in names


def test_a_request_goes_by_the_name_of_its_skill():
    """As far as OpenAPI has its characters, and 64 of them."""
    skills = (Skill("Sum-Up_1.0 é", "Sums up"), Skill("n" * 65, "Is long"))
    schemas = describe(typed_manifest(capabilities=Capabilities(skills=skills)))["components"]["schemas"]
    assert {"1.Sum-Up_1.0__.request", f"2.{'n' * 64}.request"} <= schemas.keys()


def test_a_constant_is_no_reference():
    """What looks like one in a constant stays as it is; a member with a keyword's name holds references like others."""
    schema = {
        "type": "object",
        "properties": {
            "a": {"enum": [{"$ref": "#"}], "example": {"$ref": "#"}},
            "const": {"$ref": "#/$defs/Word"},
        },
        "dependencies": {"default": {"$ref": "#/$defs/Word"}},
        "$defs": {"Word": {"type": "string"}},
    }
    manifest = typed_manifest(capabilities=Capabilities(skills=(Skill("echo", "Repeats", schema),)))
    document = describe(manifest)
    moved = document["components"]["schemas"]["1.echo.input"]
    assert moved["properties"]["a"] == schema["properties"]["a"]
    assert moved["dependencies"]["default"]["$ref"].startswith("#/components/")
    given = component(document, "1.echo.input")
    assert given.is_valid({"a": {"$ref": "#"}, "const": "word"})
    assert not given.is_valid({"a": {"$ref": "#/components/schemas/1.echo.input"}})
    assert not given.is_valid({"const": 1})


if __name__ == "__main__":
    READ.write_text(json.dumps(described(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

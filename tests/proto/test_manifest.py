"""What an agent may say of itself."""

import pytest

from asap_proto.errors import InvalidValue
from asap_proto.model import Agent, AuthScheme, Capabilities, Endpoints, Manifest
from asap_testkit import PEER


def manifest(version="1.0.0", id=PEER):
    return Manifest(id, "Echo", version, "Repeats", Capabilities(), Endpoints("/asap"))


@pytest.mark.proves("manifest.version")
@pytest.mark.parametrize(
    "version",
    [
        "1",
        "v1.2.3",
        "1.0rc1",
        " 1.0 ",
        "1.0.0-beta",
        "1.2.3+build",
        "1!2.0",
        "1.0.post1",
        "1.0-1",
        "1.0.dev3",
        "1.0a1.post2.dev3+x.y",
    ],
)
def test_versions_that_pass(version):
    """A version is one of PEP 440, as every release's client checks."""
    assert manifest(version).version == version


@pytest.mark.proves("manifest.version")
@pytest.mark.parametrize("version", ["", "x", "1.", "1..2", "1.0-x", "one", "1.0+", "1.0+ä", "٣", "1 0", "1.0!1"])
def test_versions_that_are_refused(version):
    """What PEP 440 does not know is refused, with an example."""
    with pytest.raises(InvalidValue, match=r"1\.2\.3") as caught:
        manifest(version)
    assert caught.value.path == "$.version"


def test_a_version_is_judged_in_linear_time():
    """A hostile text can't make the expression run away."""
    for text in ("1" * 50_000 + "!", "1.1" * 20_000 + "!", " " * 50_000, "1" + "a1" * 20_000, "1+" + "a." * 20_000):
        with pytest.raises(InvalidValue):
            manifest(text)


@pytest.mark.proves("manifest.auth-schemes")
@pytest.mark.parametrize("schemes", [(), ("bearer",), ("basic",), ("Bearer", "BASIC")])
def test_schemes_that_pass(schemes):
    """Bearer and basic, in any case."""
    assert AuthScheme(schemes).schemes == schemes


@pytest.mark.proves("manifest.auth-schemes")
def test_other_schemes_are_refused():
    """Every release since 0.5 refuses others; a long name is cut."""
    with pytest.raises(InvalidValue, match="expected basic or bearer") as caught:
        AuthScheme(("bearer", "oauth2" * 1000))
    assert len(caught.value.message) < 100


@pytest.mark.proves("envelope.urns")
def test_ids_of_agents_are_urns():
    """A manifest and an agent are named by a URN."""
    with pytest.raises(InvalidValue):
        manifest(id="x")
    with pytest.raises(InvalidValue):
        Agent("x", "https://a", ("echo",))


@pytest.mark.proves("entities.not-empty")
def test_an_agent_can_do_something():
    """An agent without capabilities is refused."""
    with pytest.raises(InvalidValue) as caught:
        Agent(PEER, "https://a", ())
    assert caught.value.path == "$.capabilities"

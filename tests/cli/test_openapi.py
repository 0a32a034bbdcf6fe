"""`asap openapi`."""

import json

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from asap_adapters.cli import main
from asap_adapters.sync import Agent, serving

SOURCE = """
from asap_adapters.sync import Agent
from asap_proto.limits import Limits

agent = Agent("urn:asap:agent:described", limits=Limits(batch_items=7), strict_http=True, url="https://a.example")


@agent.skill("echo")
def echo(task):
    return {}
"""


def test_an_agent_by_its_module(tmp_path, capsys):
    """Its skills, limits and statuses are those that the agent has."""
    (tmp_path / "described.py").write_text(SOURCE)
    assert main(["openapi", "described:agent", "--app-dir", str(tmp_path)]) == 0
    document = json.loads(capsys.readouterr().out)
    OpenAPIV31SpecValidator(document).validate()
    assert document["info"]["title"] == "described"
    assert document["servers"] == [{"url": "https://a.example"}]
    send = document["paths"]["/asap"]["post"]
    assert send["requestBody"]["content"]["application/json"]["schema"]["anyOf"][1]["maxItems"] == 7
    assert "403" in send["responses"]


def test_an_agent_that_runs(capsys):
    """What can be known of an agent from outside is its manifest."""
    agent = Agent("urn:asap:agent:running", version="3.2.1")
    with serving(agent.app()) as url:
        assert main(["openapi", url, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["info"] == {"title": "running", "version": "3.2.1", "description": ""}


@pytest.mark.parametrize(("name", "exit_code"), [("nowhere:agent", 2), ("http://127.0.0.1:9", 3), ("echo", 2)])
def test_an_agent_that_is_not_there(name, exit_code, capsys):
    """It is told as it is by `asap serve` and `asap manifest`."""
    assert main(["openapi", name]) == exit_code
    assert capsys.readouterr().out == ""


def test_a_module_is_looked_for_where_we_are_now(tmp_path, monkeypatch, capsys):
    """Not where the same process was when it looked before."""
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"described_by_{name}.py").write_text(SOURCE)
        monkeypatch.chdir(folder)
        assert main(["openapi", f"described_by_{name}:agent"]) == 0
        assert json.loads(capsys.readouterr().out)["info"]["title"] == "described"

"""An error of the agent's own: its peer is told how to name it, and its operator what it was."""

import httpx
import pytest

from asap_adapters._shared.sources import SYSTEM
from asap_proto.sources import Sources

from .fronts import post
from .test_streams import frame


class Tokens:
    """Chance that fails once, when it is told to: who brings sources may bring bugs."""

    def __init__(self):
        self.fails = False
        self.nonce = SYSTEM.tokens.nonce
        self.jitter = SYSTEM.tokens.jitter

    def new_id(self, at):
        if self.fails:
            self.fails = False
            raise RuntimeError("token=hunter2 is not there")
        return SYSTEM.tokens.new_id(at)


@pytest.fixture
def tokens():
    return Tokens()


@pytest.fixture
def http(front, stack, tokens):
    """Speaks to an agent whose sources are not to be relied on."""
    agent = front.agent(sources=Sources(SYSTEM.clock, tokens))

    @agent.skill("echo")
    def echo(task):
        return task.input

    url = stack.enter_context(front.serving(agent))
    return stack.enter_context(httpx.Client(base_url=url, trust_env=False))


@pytest.mark.parametrize("path", ["/asap", "/asap/stream"])
def test_the_answer_names_the_line_of_the_log(http, tokens, caplog, path):
    """Status 500 in the shape of any other error, with an id that the log has, and no secret in either."""
    tokens.fails = True
    response = http.post(path, json=frame("echo"))
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (500, -32603)
    assert error["data"]["code"] == "asap:execution/internal_error"
    id = error["data"]["details"]["error_id"]
    (record,) = [record for record in caplog.records if id in record.getMessage()]
    assert record.levelname == "ERROR"
    assert "RuntimeError: token=*** is not there" in record.exc_text
    assert "hunter2" not in response.text + caplog.text


def test_the_next_request_is_answered(http, tokens):
    """An error of its own is no end of the agent."""
    tokens.fails = True
    assert post(http, frame("echo")).status_code == 500
    assert post(http, frame("echo", n=1)).json()["result"]["envelope"]["payload"]["result"] == {"n": 1}

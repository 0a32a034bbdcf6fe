"""Asking, and being told."""

import pytest

from asap_proto.http import HttpResponse
from asap_proto.roles import Pause, Transmit, ask
from asap_testkit import asks, finish, told


def test_a_question_is_yielded_and_its_answer_returned():
    """`ask` hands the answer to the story."""
    assert told(ask(Pause(1.0)), None) is None
    steps = ask(Transmit("request", 1.0))
    assert asks(steps) == Transmit("request", 1.0)
    assert finish(steps, HttpResponse(200)) == HttpResponse(200)


def test_an_answer_of_the_wrong_kind_is_the_fronts_bug():
    """It is told at once, by the names of both."""
    steps = ask(Pause(1.0))
    asks(steps)
    with pytest.raises(TypeError, match="Pause was answered with int"):
        steps.send(5)

"""What `asap bench` measures."""

from asap_adapters.bench import Figure, fixtures, run


def test_every_promised_figure_is_measured(monkeypatch):
    """One short round: its times mean nothing, but each promise is there with its floor."""
    monkeypatch.setattr("asap_adapters.bench._ITEMS", 5)
    said = []
    figures = run(1, said.append)
    assert all(isinstance(figure, Figure) and (figure.holds is None) == (figure.floor is None) for figure in figures)
    assert [figure.floor for figure in figures] == [2.5, 3.5, 2.5, 3.5, 15, 30, 15, 30, 60.0, None, None]
    assert said


def test_the_common_request_is_as_long_as_it_says():
    """The same length for each shape, and each request another."""
    for shape in fixtures.SHAPES:
        bodies = fixtures.requests(20, shape=shape)
        assert {len(body) for body in bodies} == {742}
        assert len(set(bodies)) == 20


def test_the_echo_agent_answers():
    """So that no error is measured in place of an exchange."""
    for full in (False, True):
        response = fixtures.EchoServer().exchange(fixtures.requests(1, full=full)[0])
        assert response.status == 200
        assert b'"status":"completed"' in response.body

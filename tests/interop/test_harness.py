"""The released peers talk to themselves: when this fails, the environments are at fault, not we."""

import pytest

from interop.scenarios import CALLER, TOKEN, task


@pytest.mark.parametrize("server", [{}, {"token": TOKEN, "sender": CALLER}], ids=["open", "bearer"])
def test_release_talks_to_itself(references, release, server) -> None:
    """A release's client is answered by its own server."""
    url = references.serve(release, **server)
    outcome = references.client(release).ask(op="send", url=url, envelope=task({"n": 1}), token=server.get("token"))
    assert outcome.get("ok"), outcome
    assert outcome["envelope"]["payload"]["result"] == {"echoed": {"n": 1}}

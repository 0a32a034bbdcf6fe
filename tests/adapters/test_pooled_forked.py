"""Connections of a process that was forked, as servers of many processes do once they have loaded an application."""

import os
import signal

import pytest

from asap_adapters.sync import PooledTransport
from asap_proto import Limits
from asap_proto.http import HttpRequest
from scenarios.test_pooled import kept
from scenarios.wires import Scripted, listening

ASK = HttpRequest("POST", "/asap", {}, b"{}")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_no_connection_is_shared_with_a_forked_process():
    """Each would read what the other was answered. The child may ask, too, what another thread held in the parent."""
    peer = Scripted([kept(), kept(b"parent")], [kept(b"child")])
    with listening(peer) as url:
        transport = PooledTransport(url, Limits(pool_maxsize=1))
        assert transport.send(ASK, 10).body == b"good"
        with transport._lock:
            child = os.fork()
            if child == 0:
                signal.alarm(20)  # or it would wait for ever for what nobody gives back
                answer = transport.send(ASK, 10)
                os._exit(0 if getattr(answer, "body", b"") == b"child" else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert transport.send(ASK, 10).body == b"parent"
        transport.close()
    assert [len(heard) for heard in peer.heard] == [2, 1]

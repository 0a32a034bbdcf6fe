"""What befalls connections on threads alone: a process that is forked, and a collection of garbage at any moment."""

import os
import signal
import threading

import pytest

from asap_adapters.sync import PooledTransport
from asap_proto import Limits
from asap_proto.http import HttpRequest
from scenarios.test_pooled import kept
from scenarios.wires import Scripted, listening

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
ASK = HttpRequest("POST", "/asap", {}, b"{}")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_no_connection_is_shared_with_a_forked_process():
    """Each would read what the other was answered. The child may ask, too, what another thread held in the parent.

    Servers of many processes fork once an application is loaded.
    """
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


def test_a_stream_that_nobody_has_any_more_is_closed_wherever_that_is_found():
    """Its thread may be looking for a connection just then: garbage is collected when something is made."""
    with listening(Scripted([STREAM])) as url:
        transport = PooledTransport(url, Limits())
        streams = [transport.stream(ASK, 10)]
        streams[0].__enter__()

        def collect():
            with transport._lock:
                streams.clear()

        thread = threading.Thread(target=collect, daemon=True)
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
        assert transport._pool.places == 0
        transport.close()

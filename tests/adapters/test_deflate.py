"""Bodies put into a coding, and taken out of it again; in threads, where they are large."""

import threading

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asap_adapters._awaiting import compressing
from asap_adapters._awaiting.compressing import Compressor
from asap_adapters._shared.deflate import CODINGS, deflate
from asap_adapters._shared.inflate import ENCODINGS, inflater
from asap_adapters.sync import Agent, Client
from asap_proto import Limits
from asap_proto.errors import Misuse
from asap_proto.roles import Compress
from asap_proto.wire.body import BodyGauge

ME = "urn:asap:agent:me"

#: What packs well, what does not, and what does in parts.
BODIES = st.one_of(
    st.binary(max_size=5000),
    st.text(max_size=3000).map(str.encode),
    st.builds(lambda piece, count: piece * count, st.binary(min_size=1, max_size=50), st.integers(0, 2000)),
)


def test_what_is_done_can_be_undone():
    """By ourselves at least, whichever extras are installed."""
    assert sorted(CODINGS) == sorted(ENCODINGS)


@pytest.mark.parametrize("coding", CODINGS)
@given(body=BODIES, cuts=st.lists(st.integers(1, 700), max_size=20))
def test_what_goes_in_comes_out(coding, body, cuts):
    """However the receiver is given it, to the byte."""
    packed = deflate(body, coding)
    plain, out, start = inflater(coding, BodyGauge(len(body))), [], 0
    for size in [*cuts, len(packed)]:
        out.append(plain.feed(packed[start : start + size]))
        start += size
    plain.finish()
    assert b"".join(out) == body


def test_a_coding_that_is_none():
    """Nobody asks for it; whoever would is told so."""
    with pytest.raises(ValueError, match="'deflate' is none of"):
        deflate(b"", "deflate")


@pytest.mark.parametrize("compress", ["deflate", "GZIP", "", "identity"])
def test_a_client_can_not_begin_with_it(compress):
    """It is told when it is made, not when it first sends something large."""
    with pytest.raises(Misuse, match="can't be compressed with; expected"):
        Client("https://peer.example.org", me=ME, compress=compress)


def agreement_of(url, **options):
    with Client(url, me=ME, **options) as client:
        return client.role._agreement


def test_which_requests_are_compressed():
    """By where the peer is, unless that is said."""
    assert agreement_of("https://peer.example.org").codings == CODINGS
    for url in ("http://localhost:1", "http://127.0.0.1:1", "https://[::1]:1"):
        assert agreement_of(url) is None
        assert agreement_of(url, compress=True).codings == CODINGS
    assert agreement_of("https://peer.example.org", compress=False) is None
    assert agreement_of("https://peer.example.org", compress="gzip").coding == "gzip"


def test_an_agent_speaks_to_its_peers_as_it_answers():
    """Its own setting holds for both."""
    for options, expected in (({}, None), ({"compress": True}, True), ({"compress": False}, False)):
        assert Agent(ME, **options).client_options("urn:asap:agent:other")["compress"] is expected


def test_so_many_threads_compress_at_once(runtime, monkeypatch):
    """Whoever comes then waits; what is small is compressed meanwhile, where it is."""
    lock, held, running, most = threading.Lock(), threading.Event(), [], []

    def slowly(body, coding):
        with lock:
            running.append(threading.get_ident())
            most.append(len(running))
        held.wait(10)
        with lock:
            running.remove(threading.get_ident())
        return deflate(body, coding)

    async def run():
        compressor = Compressor(Limits(compress_threads=2))
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(compressor.compress, Compress(b"large", "gzip", True))
            while len(most) < 2:
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            assert len(most) == 2
            monkeypatch.setattr(compressing, "deflate", deflate)
            assert await compressor.compress(Compress(b"small", "gzip", False)) == deflate(b"small", "gzip")
            monkeypatch.setattr(compressing, "deflate", slowly)
            held.set()

    monkeypatch.setattr(compressing, "deflate", slowly)
    runtime.run(run)
    assert len(most) == 5
    assert max(most) == 2


def test_without_threads_there_is_one(runtime):
    """Else whoever compresses would wait for ever."""
    compressor = Compressor(Limits(compress_threads=0))
    assert runtime.run(compressor.compress, Compress(b"large", "gzip", True)) == deflate(b"large", "gzip")

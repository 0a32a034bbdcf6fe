"""What `asap serve` listens on, and the certificate that it shows."""

import fcntl
import os
import socket
import ssl
import stat

import attrs
import pytest

from asap_adapters._shared.sockets import has_hung_up, url_of
from asap_adapters.cli.listening import Certificate, listen_in, tls_context
from asap_adapters.cli.outcome import FAILED, USAGE, Stop
from asap_testkit.certificates import make_certificate


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where we are: the path of a unix socket has to be short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def reached(path):
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(path)


def test_a_socket_in_a_file(folder):
    """Who may connect is as it was said, from the start; the file goes with it."""
    listener, file = listen_in("a.sock", 0o660)
    with listener:
        assert stat.S_IMODE(os.stat("a.sock").st_mode) == 0o660
        assert url_of(listener) == f"unix:{folder}/a.sock"
        reached("a.sock")
    file.remove()
    assert not os.path.exists("a.sock")


def test_a_file_that_a_server_has_left(folder):
    """Nobody listens there any more: it makes room."""
    left, _ = listen_in("a.sock", 0o600)
    left.close()
    listener, file = listen_in("a.sock", 0o600)
    with listener:
        reached("a.sock")
    file.remove()


def test_a_file_of_another(folder):
    """A server that lives keeps its file, also while its queue is full; and so does whoever has no socket there."""
    with socket.socket(socket.AF_UNIX) as taken, socket.socket(socket.AF_UNIX) as waiting:
        taken.bind("a.sock")
        taken.listen(0)
        waiting.connect("a.sock")
        with pytest.raises(Stop, match="in use") as told:
            listen_in("a.sock", 0o600)
        assert told.value.exit_code == FAILED
        assert "Another process" in told.value.remedy
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(Stop, match="no socket"):
        listen_in("notes.txt", 0o600)
    os.symlink("a.sock", "link.sock")
    with pytest.raises(Stop, match="no socket"):
        listen_in("link.sock", 0o600)
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("path", ["nowhere/a.sock", "a" * 200, ""])
def test_a_file_that_can_not_be(folder, path):
    """It is told with what would do."""
    with pytest.raises(Stop, match="can't listen in") as told:
        listen_in(path, 0o600)
    assert "at most 100 letters" in told.value.remedy


def test_a_file_that_is_not_ours_stays(folder):
    """Neither does a server take away what came in its place, nor a worker what its parent has made."""
    old, file = listen_in("a.sock", 0o600)
    with old:
        attrs.evolve(file, owner=os.getppid()).remove()
        reached("a.sock")
        os.rename("a.sock", "b.sock")
        new, _ = listen_in("a.sock", 0o600)
        with new:
            file.remove()
            reached("a.sock")


def test_a_file_that_was_given_the_number_of_ours_stays(folder):
    """A server that still winds up leaves the next one's file, which a file system may have put in the same place."""
    old, file = listen_in("a.sock", 0o600)
    old.close()
    new, _ = listen_in("a.sock", 0o600)
    with new:
        os.utime("a.sock", ns=(0, file.moment + 1))  # both may have been made within one tick of its clock
        attrs.evolve(file, inode=os.stat("a.sock").st_ino).remove()
        reached("a.sock")


def test_a_directory_that_somebody_has_locked(folder, monkeypatch):
    """A stranger who may read it, and never lets go of it, keeps nobody waiting without end."""
    monkeypatch.setattr("asap_adapters.cli.listening._ALONE_SECONDS", 0.05)
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Stop, match="can't listen in") as told:
            listen_in("a.sock", 0o600)
    finally:
        os.close(held)
    assert "lock on its directory" in told.value.remedy
    assert not os.path.exists("a.sock")


def test_who_hangs_up_on_a_unix_socket():
    """It is seen there too, though some of what it said is still unread."""
    here, there = socket.socketpair(socket.AF_UNIX)
    with here, there:
        there.send(b"x")
        assert not has_hung_up(here.fileno())
        there.close()
        assert has_hung_up(here.fileno())


def refused(chain, key):
    with pytest.raises(Stop) as told:
        tls_context(Certificate(str(chain), str(key)))
    assert told.value.exit_code == USAGE
    assert told.value.remedy
    return told.value.message


def test_certificates_that_are_none(tmp_path):
    """Whatever is wrong with a file is told, without a word of what is in it; nobody is asked for a password."""
    for name in ("good", "other", "locked"):
        (tmp_path / name).mkdir()
    good, other = make_certificate(tmp_path / "good"), make_certificate(tmp_path / "other")
    locked = make_certificate(tmp_path / "locked", password=b"secret")
    assert tls_context(Certificate(str(good.chain), str(good.key))).minimum_version == ssl.TLSVersion.TLSv1_2
    assert refused(tmp_path / "none.pem", good.key) == f"--tls-cert: can't read {tmp_path}/none.pem: {os.strerror(2)}"
    assert refused(good.chain, tmp_path) == f"--tls-key: can't read {tmp_path}: {os.strerror(21)}"
    assert refused(good.chain, other.key) == f"--tls-key: {other.key} is not the key of the certificate in {good.chain}"
    assert refused(locked.chain, locked.key) == f"--tls-key: {locked.key} is encrypted"
    assert "no certificate and key in PEM" in refused(good.key, good.chain)
    (tmp_path / "empty.pem").write_text("")
    assert "no certificate and key in PEM" in refused(good.chain, tmp_path / "empty.pem")

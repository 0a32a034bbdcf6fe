"""Manifests in a directory: whole or not there, bounded, and nobody else's."""

import os
import stat
import threading

import pytest

from asap_adapters.stores.manifests import ManifestDirectory
from asap_proto.errors import Misuse


@pytest.fixture
def path(tmp_path):
    return tmp_path / "of" / "peers"


def files(path):
    return sorted(path.iterdir())


def test_what_was_saved_is_there_for_the_next_process(path):
    """Under its name, and no other; until it is let go."""
    ManifestDirectory(path).save("https://a.example any", b"one")
    again = ManifestDirectory(str(path))
    assert again.load("https://a.example any") == b"one"
    assert again.load("https://b.example any") is None
    again.save("https://a.example any", b"two")
    assert again.load("https://a.example any") == b"two"
    again.save("https://a.example any", None)
    again.save("https://a.example any", None)
    assert again.load("https://a.example any") is None
    assert files(path) == []


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_nobody_else_may_read_or_write_there(path):
    """A directory that others fill is refused: what they put there would be believed."""
    store = ManifestDirectory(path)
    store.save("name", b"record")
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE(files(path)[0].stat().st_mode) == 0o600
    for mode in (0o777, 0o720):
        path.chmod(mode)
        with pytest.raises(Misuse, match="others may write"):
            ManifestDirectory(path)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_directory_of_somebody_else_is_refused(path, monkeypatch):
    """Whoever it belongs to may write there whatever its permissions say: a path below /tmp is anybody's to make."""
    path.mkdir(parents=True, mode=0o755)
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(Misuse, match="belongs to another user"):
        ManifestDirectory(path)


def test_where_no_directory_can_be_is_told_at_once(tmp_path):
    """When it is made, not when the first peer is asked."""
    (tmp_path / "file").touch()
    for taken in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(Misuse, match="can't be kept"):
            ManifestDirectory(taken)


def test_beyond_its_bounds_those_go_that_were_written_first(path):
    """By number and by size; a record that is too large is not written, and the one before it goes."""
    store = ManifestDirectory(path, most=3, most_bytes=100)

    def saved(*sizes):
        for n, size in enumerate(sizes):
            store.save(str(n), b"x" * size)
            for file in files(path):
                stamp = file.stat().st_mtime_ns - 10**9
                os.utime(file, ns=(stamp, stamp))
        return [n for n in range(len(sizes)) if store.load(str(n)) is not None]

    assert saved(1, 1, 1, 1, 1) == [2, 3, 4]
    assert saved(60, 30, 20) == [1, 2]
    assert saved(101) == []


def test_what_a_process_that_died_was_writing_goes_in_its_turn(path):
    """It takes room like any other file, and is read by nobody; what is of another kind stays."""
    store = ManifestDirectory(path, most=2)
    (path / "half.part").write_bytes(b"half")
    os.utime(path / "half.part", ns=(0, 0))
    (path / "notes.txt").touch()
    for name in "ab":
        store.save(name, b"record")
    assert [file.suffix for file in files(path)] == [".manifest", ".manifest", ".txt"]


def test_a_file_that_somebody_has_made_endless_is_not_read_whole(path):
    """Nor does it fill the memory."""
    store = ManifestDirectory(path, most_bytes=100)
    store.save("name", b"record")
    with files(path)[0].open("wb") as file:
        file.truncate(10**9)
    assert store.load("name") is None


def test_what_fails_is_raised_and_leaves_nothing(path, monkeypatch):
    """For whoever calls to write down: half a file is not taken for a record later."""
    store = ManifestDirectory(path)
    store.save("name", b"record")
    file = files(path)[0]
    file.unlink()
    file.mkdir()
    with pytest.raises(OSError):  # noqa: PT011  (which one, the system says)
        store.load("name")
    with pytest.raises(OSError):  # noqa: PT011
        store.save("name", b"record")
    assert files(path) == [file]


def test_writers_that_meet_leave_one_whole_record(path):
    """Whichever was last."""
    stores = [ManifestDirectory(path) for _ in range(4)]
    records = [bytes([65 + n]) * 50_000 for n in range(4)]

    def write(n):
        for _ in range(10):
            stores[n].save("name", records[n])
            assert stores[n].load("name") in records

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stores[0].load("name") in records
    assert len(files(path)) == 1

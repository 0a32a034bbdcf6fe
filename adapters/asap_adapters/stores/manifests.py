"""Manifests in a directory, a file for each: what a client has found survives a restart."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from asap_proto.errors import Misuse
from asap_proto.limits import MANIFEST_BYTES, MANIFESTS

__all__ = ["ManifestDirectory"]

#: What its files end with, and those that are being written.
_WHOLE: Final = ".manifest"
_PART: Final = ".part"

#: Bytes of a record's first line, and more: the rest is the document.
_HEAD_BYTES: Final = 64 * 1024


class ManifestDirectory:
    """A `ManifestStore` for a `ManifestCache`: files that nobody else may read, in a directory that nobody else fills.

    Any number of processes may share it. A file is whole or not there, and whatever else is found under its name is
    passed over; beyond `most` files, or files of more than `most_bytes`, those go that were written first.
    """

    def __init__(self, path: str | Path, *, most: int = MANIFESTS, most_bytes: int = MANIFEST_BYTES) -> None:
        """Creates the directory; raises `Misuse` where that can't be, or where others may write into it."""
        self._path = Path(path)
        self._most = most
        self._most_bytes = most_bytes
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self._path.stat()
        except OSError as error:
            raise Misuse(f"manifests can't be kept in {path}: {error.strerror}") from None
        if os.name == "posix":
            if found.st_uid not in (0, os.geteuid()):
                raise Misuse(f"{path} belongs to another user, and what is kept there is believed")
            if found.st_mode & 0o022:
                raise Misuse(f"others may write into {path}, and what is kept there is believed: chmod go-w")

    def load(self, name: str) -> bytes | None:
        most = self._most_bytes + _HEAD_BYTES
        try:
            with self._file(name).open("rb") as file:
                record = file.read(most + 1)
        except FileNotFoundError:
            return None
        return record if len(record) <= most else None

    def save(self, name: str, record: bytes | None) -> None:
        path = self._file(name)
        if record is None or len(record) > self._most_bytes:
            path.unlink(missing_ok=True)
            return
        handle, part = tempfile.mkstemp(dir=self._path, suffix=_PART)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(record)
            Path(part).replace(path)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise
        self._tidy()

    def _file(self, name: str) -> Path:
        """Where a record lies: names hold URLs, and file names are short, and all of one case."""
        return self._path / (hashlib.sha256(name.encode()).hexdigest() + _WHOLE)

    def _tidy(self) -> None:
        """Makes room. What a process that died was writing goes in its turn."""
        found = sorted(self._files(), reverse=True)
        held = 0
        for place, (_, size, file) in enumerate(found):
            held += size
            if place >= self._most or held > self._most_bytes:
                with suppress(OSError):  # another process was faster
                    os.unlink(file)

    def _files(self) -> Iterator[tuple[int, int, str]]:
        """When each file was written, its size and its path."""
        with os.scandir(self._path) as entries:
            for entry in entries:
                if entry.name.endswith((_WHOLE, _PART)):
                    with suppress(OSError):
                        stat = entry.stat(follow_symlinks=False)
                        yield stat.st_mtime_ns, stat.st_size, entry.path

"""An archive of all that is needed to begin again, taken while the lab goes on writing, for its owner only."""

from __future__ import annotations

import io
import os
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from trading.storage.home import Home

PARTS = (".env", "lab.yaml", "strategies", "state", "logs", "market/universe")
"""Of the market only what cannot be fetched again: what the venue once listed."""
LEFT_OUT = (".lock", ".tmp", ".reserve", ".db-wal", ".db-shm")
"""Ends of names that mean nothing elsewhere: locks, half-written files, room, and what a database's copy contains."""
DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
"""What sqlite says of a file that it can make no copy of, however often it is asked."""


def write_archive(home: Home, path: Path) -> None:
    """Write a home's parts into a new file.

    Raises:
        OSError: it cannot be written, or is there.
        sqlite3.Error: a database cannot be copied.
    """
    # Keys are in it: never readable by others, not even while it is written.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with tarfile.open(fileobj=file, mode="w:gz") as tar:
            for found in _files(home):
                _add(tar, found, str(found.relative_to(home.root)))
        file.flush()
        os.fsync(file.fileno())


def _files(home: Home) -> Iterator[Path]:
    """Every file. Told roots come before the chain they are of: it grows meanwhile, and must hold every one of them."""
    for part in PARTS:
        path = home.root / part
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for found in sorted(files, key=lambda file: file != home.audit_roots_file):
            if found.is_file() and not found.name.endswith(LEFT_OUT):
                yield found


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    """One file as it is at one moment, piece by piece: a year of audit lines is a gigabyte.

    The lab goes on writing, and files come and go: what is appended meanwhile is left out, what is replaced or renamed
    is still read to its end, and of a log that is emptied under our hands the rest is line ends.
    """
    with suppress(FileNotFoundError), _opened(path) as content:
        info = tar.gettarinfo(arcname=name, fileobj=content)
        info.type, info.linkname, info.size = tarfile.REGTYPE, "", os.fstat(content.fileno()).st_size
        tar.addfile(info, _Filled(content))


class _Filled(io.RawIOBase):
    """A file that never ends before the size that the archive was told."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes."""
        return self._file.read(size).ljust(size, b"\n")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A file; of a database in use a copy as of its last transaction: part of it may still lie in the file beside."""
    if path.suffix != ".db":
        with path.open("rb") as file:
            yield file
        return
    with tempfile.TemporaryDirectory() as folder, _copied(path, Path(folder)).open("rb") as file:
        yield file


def _copied(path: Path, folder: Path) -> Path:
    """A copy of a database; where it is none any more, itself: an archive of a damaged home is better than none."""
    copy = folder / path.name
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode not in DAMAGED:
            raise
        return path
    return copy

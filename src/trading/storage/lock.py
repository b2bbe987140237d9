"""One writer at a time, across processes; the lock falls with its process, even on kill -9."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from trading.domain.errors import StateFileError


@contextmanager
def only_one(path: Path, *, what: str) -> Iterator[None]:
    """Hold the lock file while the block runs.

    Args:
        path: The lock file; it holds the pid of its holder.
        what: Named in the refusal: "the lab".

    Raises:
        StateFileError: another process holds it; names its pid. Or there can be no such file.
    """
    with _lock_file(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise StateFileError(
                f"{path}: {what} already runs as process {file.read().strip() or '?'}; stop it first"
            ) from error
        _name_holder(file)
        yield


def _name_holder(file: TextIO) -> None:
    """Over what stood there, so that no room is given up on a full disk; a lock that cannot name its holder holds."""
    name = str(os.getpid()).encode()
    with suppress(OSError):
        os.pwrite(file.fileno(), name, 0)
        os.ftruncate(file.fileno(), len(name))


def _lock_file(path: Path) -> TextIO:
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+", encoding="ascii")
    except OSError as error:
        raise StateFileError(f"{path}: cannot be written: {error.strerror}; check space and permissions") from error


@contextmanager
def waiting_lock(path: Path) -> Iterator[None]:
    """Hold the lock file while the block runs, waiting for whoever holds it; for short writes only.

    Raises:
        StateFileError: there can be no such file.
    """
    with _lock_file(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def reading_lock(path: Path) -> Iterator[None]:
    """Keep whoever takes `waiting_lock` waiting while the block reads; readers do not wait for each other.

    Without a lock file nobody has written there, and nothing is held.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield

"""What `./lab backup` and `./lab restore` do."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from ops.backup.keep import back_up, newest
from ops.backup.look import rehearse
from ops.backup.restore import restore
from ops.environment import find_home
from trading.domain.clock import Clock
from trading.domain.errors import StateFileError


def run_backup(to: Path | None) -> int:
    """Write an archive, and a copy of it where one is wanted; 0 when both are on disk.

    Raises:
        StateFileError: one of them cannot be written, or could not be restored.
    """
    home = find_home()
    if to is not None and not to.is_dir():
        raise StateFileError(f"{to}: no such folder; mount the disk, or make the folder")
    archive = back_up(home, Clock().system_ms())
    print(f"written: {archive} ({archive.stat().st_size / 1e6:.1f} MB), looked through; it holds your keys")
    if to is not None:
        print(f"copied:  {_copied(archive, to)}")
        if to.stat().st_dev == home.root.stat().st_dev:
            print("note:    that is the same disk; it goes when this one goes")
    return 0


def run_restore(archive: Path | None, *, drill: bool) -> int:
    """Put an archive back, or only try it; 0 when it is whole.

    Raises:
        StateFileError: there is no archive, it is not whole, or the lab runs.
    """
    home = find_home()
    chosen = archive or newest(home)
    if drill:
        rehearse(chosen, home, say=print)
    else:
        restore(chosen, home, at_ms=Clock().system_ms(), say=print)
    return 0


def _copied(archive: Path, to: Path) -> Path:
    target = to / archive.name
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file, archive.open("rb") as source:
            shutil.copyfileobj(source, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise StateFileError(f"{target}: cannot be written: {error.strerror}; check space and permissions") from error
    return target

"""Archives in `backups/`: each is looked through before an older one goes; what cannot be restored crowds none out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ops.backup.archive import write_archive
from ops.backup.look import NoRoomError, looked_through
from trading.domain.clock import iso
from trading.domain.errors import StateFileError
from trading.storage.home import Home
from trading.storage.lock import only_one

KEPT = 8
"""Archives that could be restored; older ones are removed."""
UNSOUND_KEPT = 2
"""Archives of a home that is damaged: better than nothing, and no more than that."""
UNSOUND = "unsound-"
"""Before their names."""


def back_up(home: Home, at_ms: int) -> Path:
    """Write `backups/lab-TIME.tar.gz` of a home, readable by its owner only, and look through it as a restore would.

    Raises:
        StateFileError: it cannot be written, or what was written could not be restored; no older one is removed then.
    """
    folder, name = _folder(home), f"lab-{iso(at_ms).replace(':', '')}.tar.gz"
    temporary = folder / f".{name}.tmp"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        home.state.mkdir(parents=True, exist_ok=True)  # where nothing ran yet there are keys and settings to keep
        with only_one(home.state / "backup.lock", what="a backup"):
            _remove(folder.glob(".lab-*.tmp"))  # of a process that was killed over it
            write_archive(home, temporary)
            return _looked_through(temporary, name, home)
    except (OSError, sqlite3.Error) as error:
        with suppress(OSError):
            temporary.unlink()
        raise StateFileError(f"{folder / name}: cannot be written: {error}; check space and permissions") from error


def archives(home: Home) -> list[Path]:
    """Those in `backups/` that could be restored when they were written, oldest first."""
    return sorted(_folder(home).glob("lab-*.tar.gz"))


def newest(home: Home) -> Path:
    """The newest of them.

    Raises:
        StateFileError: there is none.
    """
    found = archives(home)
    if not found:
        raise StateFileError(f"{_folder(home)}: no archive; ./lab backup writes one, or name a file")
    return found[-1]


def _looked_through(temporary: Path, name: str, home: Home) -> Path:
    """Give a new archive its name, and only behind a sound one remove what is too old."""
    folder = temporary.parent
    try:
        looked_through(temporary, home)
    except NoRoomError as error:
        temporary.replace(folder / name)
        raise StateFileError(f"{folder / name}: written, but not looked through: {error}") from error
    except StateFileError as error:
        unsound = temporary.replace(folder / f"{UNSOUND}{name}")
        _remove(sorted(folder.glob(f"{UNSOUND}lab-*.tar.gz"))[:-UNSOUND_KEPT])
        raise StateFileError(f"{unsound}: could not be restored: {error}; all older archives are kept") from error
    archive = temporary.replace(folder / name)
    _remove(archives(home)[:-KEPT])
    return archive


def _folder(home: Home) -> Path:
    return home.root / "backups"


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)

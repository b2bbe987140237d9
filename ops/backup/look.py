"""An archive unpacked beside the lab, and all of it read as the lab would read it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ops.status import Status, read_status
from ops.trace.live_records import read_holdings
from trading.domain.clock import Clock, iso
from trading.domain.errors import StateFileError
from trading.journal.audit import verify_audit
from trading.journal.audit_roots import read_roots
from trading.storage.file_age import file_age_s
from trading.storage.home import Home
from trading.storage.reserve import FULL
from trading.strategy.repository import StrategyRepository

Say = Callable[[str], None]
UNPACKED = ".restore-"
"""How the name of a folder begins in which an archive lies unpacked, keys and all."""
LEFT_S = 86_400.0
"""One so old is of a process that was killed over it."""


class NoRoomError(StateFileError):
    """The disk has no room for an archive to be unpacked; of the archive it says nothing."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an archive was found to hold, once everything in it was looked through."""

    audit_lines: int
    audit_head: str
    strategies: int
    databases: int
    as_of_ms: int | None
    """Of its last trading cycle; None: before the first."""
    holds: tuple[str, ...]
    """Positions held on the exchange as of then."""


def rehearse(archive: Path, home: Home, *, say: Say) -> Found:
    """Unpack an archive beside the lab, look through it as a restore would, and remove it again. The lab may run.

    Raises:
        StateFileError: it could not be restored; says why.
    """
    found = looked_through(archive, home)
    say(f"{archive}: could be restored")
    tell(found, say)
    return found


def looked_through(archive: Path, home: Home) -> Found:
    """Unpack an archive beside the lab, read everything in it, and remove it again. The lab may run.

    Raises:
        NoRoomError: there is no room to unpack it.
        StateFileError: it could not be restored; says why.
    """
    with unpacked(archive, home) as folder:
        return look_through(Home(Path(folder)))


def look_through(home: Home) -> Found:
    """Read everything of an unpacked archive that the lab would read.

    Raises:
        StateFileError: a file is not what the lab wrote; names it.
    """
    check = verify_audit(home.audit_file, read_roots(home.audit_roots_file))
    if not check.ok:
        where = f"line {check.first_bad_line}: " if check.first_bad_line else ""
        raise StateFileError(f"audit.jsonl of the archive: {where}{check.why}; take an older archive")
    databases = sorted(home.state.glob("*.db"))
    for path in databases:
        _check_database(path)
    repository = StrategyRepository(home.strategies, repair=False)
    strategies = len(repository.all())
    status = read_status(home, Clock())
    if problems := (*repository.problems, *status.problems):
        raise StateFileError(f"of the archive: {problems[0]}; or take an older archive")
    held = tuple(f"{life.symbol} {life.id}" for life in read_holdings(home).lives)
    return Found(check.lines, check.head_hash, strategies, len(databases), last_cycle_ms(status), held)


def last_cycle_ms(status: Status) -> int | None:
    """When a home's last trading cycle was; None: before the first, or nobody can read it."""
    at_ms = status.heartbeat.get("at_ms")
    return at_ms if isinstance(at_ms, int) else None


def unpacked(archive: Path, home: Home) -> tempfile.TemporaryDirectory[str]:
    """A folder beside the lab, on its own disk, with all that is in an archive; removed with the block.

    Raises:
        NoRoomError: the disk is full.
        StateFileError: no such file, or not one of the lab's archives.
    """
    if not archive.is_file():
        raise StateFileError(f"{archive}: no such file; name an archive, such as those in {home.root / 'backups'}")
    for left in home.root.glob(f"{UNPACKED}*"):
        if (file_age_s(left, Clock()) or 0.0) > LEFT_S:
            shutil.rmtree(left, ignore_errors=True)
    folder = _folder_beside(home)
    try:
        with tarfile.open(archive, "r:gz") as tar:  # of all kinds at once Python's refusal is a page
            for member in tar:
                _unpack(tar, member, Path(folder.name))
        Home(Path(folder.name)).make()
    except OSError as error:
        folder.cleanup()
        told = NoRoomError if error.errno in FULL else StateFileError
        raise told(f"{archive}: cannot be unpacked: {error}; make room, or take another archive") from error
    except (EOFError, ValueError, zlib.error, tarfile.TarError) as error:
        folder.cleanup()
        raise StateFileError(f"{archive}: cannot be unpacked: {error}; take another archive") from error
    return folder


def _folder_beside(home: Home) -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix=UNPACKED, dir=home.root)
    except OSError as error:
        if error.errno in FULL:
            raise NoRoomError(f"{home.root}: no room to unpack an archive: {error.strerror}; make room") from error
        raise StateFileError(
            f"{home.root}: nothing can be unpacked there: {error.strerror}; make it writable, or be the lab's user"
        ) from error


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """One file of an archive, below a folder and nowhere else; what is no file is not of an archive of ours."""
    if member.isdir():
        return
    target = folder / member.name
    source = tar.extractfile(member) if member.isreg() else None
    if source is None or not target.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{member.name} is not a file of the lab's")
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, target.open("wb") as file:
        shutil.copyfileobj(source, file)
    os.utime(target, (member.mtime, member.mtime))  # how old a heartbeat is, its file says
    target.chmod(member.mode & 0o700)  # whoever made it: the lab's user, and nobody else


def _check_database(path: Path) -> None:
    try:
        with closing(sqlite3.connect(path)) as database:
            (said,) = database.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.Error as error:
        said = str(error)
    if said != "ok":
        raise StateFileError(f"{path.name} of the archive: {said}; take an older archive")


def tell(found: Found, say: Say) -> None:
    """What an archive was found to hold, in two lines."""
    say(f"audit:    {found.audit_lines} lines, the chain is whole; head {found.audit_head[:16]}")
    as_of = "before its first cycle" if found.as_of_ms is None else f"of {iso(found.as_of_ms)}"
    say(f"held:     {found.strategies} strategies, {found.databases} database(s), {as_of}")

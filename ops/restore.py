"""`./lab backup` and `./lab restore`: an archive written now; one looked through, and put back or only tried.

An archive is put back beside nobody: neither service nor guardian may run. It is unpacked next to what is there and
looked through first; what was there is set aside whole, never overwritten. A restore undoes no stop: a switch that is
on stays on, and live trading is disarmed, for what a human decided after the backup is not in it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ops.environment import find_home
from ops.jobs.backup import PARTS, back_up
from ops.status import read_status
from ops.trace.live_records import read_holdings
from trading.domain.clock import Clock, iso
from trading.domain.errors import StateFileError
from trading.journal.audit import verify_audit
from trading.journal.audit_roots import read_roots
from trading.storage.home import Home
from trading.storage.lock import only_one
from trading.strategy.repository import StrategyRepository

Say = Callable[[str], None]


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


def run_backup(to: Path | None) -> int:
    """Write the archive of today, and a copy of it where one is wanted; 0 when both are on disk.

    Raises:
        StateFileError: one of them cannot be written.
    """
    home = find_home()
    archive = back_up(home, iso(Clock().system_ms())[:10])
    print(f"written: {archive} ({archive.stat().st_size / 1e6:.1f} MB); it holds your keys")
    if to is not None:
        print(f"copied:  {_copied(archive, to)}")
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


def newest(home: Home) -> Path:
    """The newest archive in `backups/`.

    Raises:
        StateFileError: there is none.
    """
    archives = sorted((home.root / "backups").glob("lab-*.tar.gz"))
    if not archives:
        raise StateFileError(f"{home.root / 'backups'}: no archive; ./lab backup writes one, or name a file")
    return archives[-1]


def rehearse(archive: Path, home: Home, *, say: Say) -> Found:
    """Unpack an archive beside the lab, look through it as a restore would, and remove it again. The lab may run.

    Raises:
        StateFileError: it could not be restored; says why.
    """
    with _unpacked(archive, home) as folder:
        found = look_through(Home(Path(folder)))
    say(f"{archive}: could be restored")
    _tell(found, say)
    return found


def restore(archive: Path, home: Home, *, at_ms: int, say: Say) -> Found:
    """Put an archive in place of what a home holds.

    Args:
        archive: As `./lab backup` or the weekly job wrote it.
        home: Where; what it holds of the same parts is set aside.
        at_ms: Now; names the folder of what is set aside.
        say: Told what was done, line by line.

    Raises:
        StateFileError: the lab or its guardian runs, the archive is not whole, or the disk refuses; nothing is changed
            unless the line says so.
    """
    home.state.mkdir(parents=True, exist_ok=True)
    with (
        only_one(home.lock_file, what="the lab"),
        only_one(home.guardian_lock_file, what="the guardian"),
        _unpacked(archive, home) as folder,
    ):
        fresh = Home(Path(folder))
        found = look_through(fresh)
        kept = keep_stops(home, fresh)
        was_armed = fresh.armed_file.exists()
        fresh.armed_file.unlink(missing_ok=True)
        aside = home.root / f"before-restore-{iso(at_ms).replace(':', '')}"
        _exchange(fresh, home, aside)
    say(f"restored: {archive} into {home.root}")
    _tell(found, say)
    say(f"aside:    what was there before is in {aside}")
    if kept:
        say(f"stops:    kept in force: {', '.join(kept)}; python stop_trading.py --release, when you mean it")
    if was_armed:
        say("armed:    no longer; python go_live.py arms live trading again")
    if found.holds:
        say(f"look:     held at the backup: {', '.join(found.holds)}; look at the exchange before you start the lab")
    return found


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
    at_ms = status.heartbeat.get("at_ms")
    as_of_ms = at_ms if isinstance(at_ms, int) else None
    return Found(check.lines, check.head_hash, strategies, len(databases), as_of_ms, held)


def keep_stops(old: Home, fresh: Home) -> tuple[str, ...]:
    """Carry every switch that is on over into what replaces it; the names of those that are."""
    kept = []
    for before, after in zip(_switches(old), _switches(fresh), strict=True):
        if not (before.exists() or before.is_symlink()):
            continue
        content = before.read_bytes() if before.is_file() else b""
        after.unlink(missing_ok=True)
        after.write_bytes(content)
        kept.append(before.name)
    if not kept and (stop := read_status(old, Clock()).stop):
        fresh.kill_files[0].write_text(f"carried over by a restore: {stop}\n", encoding="utf-8")
        kept.append(stop)
    return tuple(kept)


def _switches(home: Home) -> tuple[Path, ...]:
    return home.kill_files[0], home.stopped_file, home.pause_file  # `.kill` is no part of an archive: it stays


def _unpacked(archive: Path, home: Home) -> tempfile.TemporaryDirectory[str]:
    """A folder beside the lab, on its own disk, with all that is in an archive; removed with the block."""
    if not archive.is_file():
        raise StateFileError(f"{archive}: no such file; name an archive, such as those in {home.root / 'backups'}")
    folder = tempfile.TemporaryDirectory(prefix=".restore-", dir=home.root)
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                _unpack(tar, member, Path(folder.name))
        Home(Path(folder.name)).make()
    except (OSError, EOFError, ValueError, tarfile.TarError) as error:
        folder.cleanup()
        raise StateFileError(f"{archive}: cannot be unpacked: {error}; take another archive") from error
    return folder


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
    target.chmod(member.mode & 0o700)  # whoever made it: the lab's user, and nobody else


def _exchange(fresh: Home, home: Home, aside: Path) -> None:
    """Each part of the archive in the place of what is there, which goes aside; what the archive lacks stays."""
    done: list[str] = []
    try:
        for part in PARTS:
            if not (fresh.root / part).exists():
                continue
            if (home.root / part).exists():
                (aside / part).parent.mkdir(parents=True, exist_ok=True)
                (home.root / part).rename(aside / part)
            (home.root / part).parent.mkdir(parents=True, exist_ok=True)
            (fresh.root / part).rename(home.root / part)
            done.append(part)
    except OSError as error:
        raise StateFileError(
            f"{error.filename}: cannot be moved: {error.strerror}; restored so far: {', '.join(done) or 'nothing'}; "
            f"what was there is in {aside}: mend the disk, then restore again"
        ) from error


def _check_database(path: Path) -> None:
    try:
        with closing(sqlite3.connect(path)) as database:
            (said,) = database.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.Error as error:
        said = str(error)
    if said != "ok":
        raise StateFileError(f"{path.name} of the archive: {said}; take an older archive")


def _copied(archive: Path, to: Path) -> Path:
    target = to / archive.name
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        to.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file, archive.open("rb") as source:
            shutil.copyfileobj(source, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise StateFileError(f"{target}: cannot be written: {error.strerror}; check space and permissions") from error
    return target


def _tell(found: Found, say: Say) -> None:
    say(f"audit:    {found.audit_lines} lines, the chain is whole; head {found.audit_head[:16]}")
    as_of = "before its first cycle" if found.as_of_ms is None else f"of {iso(found.as_of_ms)}"
    say(f"held:     {found.strategies} strategies, {found.databases} database(s), {as_of}")

"""An archive put back: beside nobody, looked through first, with what was there set aside whole, never overwritten.

A restore undoes no stop: a switch that is on stays on, and live trading is disarmed, for what a human decided after
the backup is not in it. Nor does it make anything untried: see `tried.py`.
"""

from __future__ import annotations

from pathlib import Path

from ops.backup.archive import PARTS
from ops.backup.look import Found, Say, last_cycle_ms, look_through, tell, unpacked
from ops.backup.tried import keep_tried
from ops.status import read_status
from trading.domain.clock import Clock, iso
from trading.domain.errors import StateFileError
from trading.execution.intents import Intents
from trading.storage.home import Home
from trading.storage.lock import only_one


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
        unpacked(archive, home) as folder,
    ):
        fresh = Home(Path(folder))
        found = look_through(fresh)
        kept = keep_stops(home, fresh)
        tried = list[str]()
        keep_tried(home, fresh, tried.append)
        was_armed = fresh.armed_file.exists()
        fresh.armed_file.unlink(missing_ok=True)
        aside = home.root / f"before-restore-{iso(at_ms).replace(':', '')}"
        _exchange(fresh, home, aside)
    say(f"restored: {archive} into {home.root}")
    tell(found, say)
    say(f"aside:    what was there before is in {aside}, keys and all: remove it once you have looked")
    last_ms = last_cycle_ms(read_status(Home(aside), Clock()))
    if last_ms is not None and last_ms > (found.as_of_ms or 0):
        say(f"gone:     what the lab did after the archive, until {iso(last_ms)}, is in there alone")
    for line in tried:
        say(line)
    if kept:
        say(f"stops:    kept in force: {', '.join(kept)}; python stop_trading.py --release, when you mean it")
    if was_armed:
        say("armed:    no longer; python go_live.py arms live trading again")
    if found.holds:
        say(f"look:     held at the backup: {', '.join(found.holds)}; look at the exchange before you start the lab")
    if since := traded_since(Home(aside), home):
        say(f"OPEN:     {', '.join(since)}: traded after the backup, and no stop knows of it now")
        say("          close both legs on the exchange before you start the lab")
    return found


def traded_since(before: Home, now: Home) -> tuple[str, ...]:
    """Positions open in what was replaced, with orders that the archive does not know."""
    try:
        newer, older = (Intents(home.intents_file, mends=False) for home in (before, now))
    except StateFileError:
        return ()
    return tuple(
        position_id
        for position_id in newer.positions()
        if any(older.record(one.order.client_id) is None for one in newer.orders(position_id=position_id))
    )


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

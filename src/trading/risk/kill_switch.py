"""What stops the lab: read fresh each time, cheap, and closed when in doubt.

Strongest first: the kill file or `KILL=1`, then `TRADING_STOPPED.json`, then `PAUSED`. A folder that cannot be looked
into counts as a kill: whoever cannot see the switch must not trade.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from trading.domain.clock import iso
from trading.domain.decisions import Decision, Reason
from trading.domain.errors import StateFileError
from trading.storage.files import remove, write_json
from trading.storage.home import Home
from trading.storage.reserve import let_reserve_go

STOPPED_SCHEMA = 1
GUARDIAN = "guardian"
"""Who stops without a human."""


class StopKind(StrEnum):
    """What kind of stop is in force."""

    NONE = "none"
    PAUSED = "paused"
    """No new positions."""
    STOPPED = "stopped"
    """`stop_trading.py` was run: nothing until a human releases."""
    KILL = "kill"
    """Flat, now."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The state of the switches at one moment."""

    kind: StopKind = StopKind.NONE
    source: str = ""
    """Which switch: a file name or `KILL=1`."""
    keep_positions: bool = False
    """Of `stop_trading.py --keep-positions`."""

    @property
    def blocks_entries(self) -> bool:
        """No new position may be opened."""
        return self.kind is not StopKind.NONE

    @property
    def demands_flat(self) -> bool:
        """What is held must be closed at once."""
        return self.kind is StopKind.KILL or (self.kind is StopKind.STOPPED and not self.keep_positions)

    @property
    def decision(self) -> Decision:
        """The stop as a verdict of a rule: 1 held against 0."""
        reason = {
            StopKind.NONE: Reason.OK,
            StopKind.PAUSED: Reason.PAUSED,
            StopKind.STOPPED: Reason.STOPPED_BY_HUMAN,
            StopKind.KILL: Reason.KILL_SWITCH,
        }[self.kind]
        note = self.source or "no stop, no pause"
        return Decision(not self.blocks_entries, reason, float(self.blocks_entries), 0.0, note)


def read_stop(home: Home, environment: Mapping[str, str]) -> Stop:
    """Look at every switch now.

    Args:
        home: The lab's folders.
        environment: `os.environ`, or a test's own.
    """
    if environment.get("KILL", "").strip() not in ("", "0"):
        return Stop(StopKind.KILL, "KILL=" + environment["KILL"].strip())
    for path in home.kill_files:
        try:
            path.lstat()
        except FileNotFoundError:
            continue
        except OSError as error:
            return Stop(StopKind.KILL, f"{path.name}: cannot be looked at: {error.strerror}")
        return Stop(StopKind.KILL, path.name)
    return _softer_stop(home)


def stop_trading(home: Home, *, by: str, why: str, at_ms: int, keep_positions: bool) -> Path:
    """Write `TRADING_STOPPED.json`: honoured by every process until `release_stop`. A full disk gives its reserve.

    Where it cannot be written, another switch is turned: a kill file, or `PAUSED` where positions are kept. Where none
    can be, one that stands already and asks for as much does.

    Returns:
        The file of the stop.

    Raises:
        StateFileError: none of them can be written.
    """
    facts = {"at": iso(at_ms), "by": by, "why": why, "keep_positions": keep_positions}
    try:
        try:
            write_json(home.stopped_file, facts, schema=STOPPED_SCHEMA)
        except StateFileError as error:
            if not let_reserve_go(home, error):
                raise
            write_json(home.stopped_file, facts, schema=STOPPED_SCHEMA)
    except StateFileError as error:
        return _other_switch(home, error, keep_positions=keep_positions)
    return home.stopped_file


@dataclass(frozen=True, slots=True)
class MachineStop:
    """A stop that no human asked for: the guardian's."""

    at: str
    """When, as filed."""
    reason: Reason
    why: str


def machine_stop(home: Home) -> MachineStop | None:
    """The stop in force, where the guardian stopped by itself; None: there is none, or a human's."""
    try:
        filed = json.loads(home.stopped_file.read_bytes())
        at, by, why = (str(filed[name]) for name in ("at", "by", "why"))
        reason = Reason(why.partition(":")[0])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    is_its_own = by == GUARDIAN and reason not in (Reason.KILL_SWITCH, Reason.STOPPED_BY_HUMAN)
    return MachineStop(at, reason, why) if is_its_own else None


def release_stop(home: Home) -> tuple[str, ...]:
    """Remove the stop, the pause and both kill files; the names of those that were there.

    Raises:
        StateFileError: one cannot be removed; those behind it are still in force too.
    """
    found = []
    for path in (*home.kill_files, home.stopped_file, home.pause_file):
        if path.exists() or path.is_symlink():
            remove(path)
            found.append(path.name)
    return tuple(found)


def _other_switch(home: Home, why: StateFileError, *, keep_positions: bool) -> Path:
    """The first that can be turned: an empty file, which a full disk often still takes, and in another folder too."""
    refused = []
    for path in (home.pause_file,) if keep_positions else home.kill_files:
        try:
            path.touch()
        except OSError as error:
            refused.append(f"{path.relative_to(home.root)}: {error.strerror}")
        else:
            return path
    standing = read_stop(home, {})
    if standing.demands_flat or (keep_positions and standing.blocks_entries):
        for path in (*home.kill_files, home.stopped_file, home.pause_file):
            if path.name == standing.source:
                return path
    raise StateFileError(
        f"NOT STOPPED, no stop can be written: {why} ({'; '.join(refused)}); "
        "end the lab's processes, and close both legs on the exchange's own page"
    ) from why


def _softer_stop(home: Home) -> Stop:
    try:
        raw = home.stopped_file.read_bytes()
    except FileNotFoundError:
        return _paused(home)
    except OSError as error:
        return Stop(
            StopKind.STOPPED, f"{home.stopped_file.name}: cannot be read: {error.strerror}", keep_positions=True
        )
    try:
        keep = json.loads(raw).get("keep_positions") is True
    except (ValueError, AttributeError):
        # Stopped is certain, whether to close is not: what is hedged stays hedged until a human looks.
        return Stop(StopKind.STOPPED, f"{home.stopped_file.name} (unreadable content)", keep_positions=True)
    return Stop(StopKind.STOPPED, home.stopped_file.name, keep_positions=keep)


def _paused(home: Home) -> Stop:
    try:
        home.pause_file.lstat()
    except FileNotFoundError:
        return Stop()
    except OSError as error:
        return Stop(StopKind.PAUSED, f"{home.pause_file.name}: cannot be looked at: {error.strerror}")
    return Stop(StopKind.PAUSED, home.pause_file.name)

"""Which views there are, in the order of the menu: one table that the page and the terminal both read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ops.dashboard.overview import overview, read_overview
from ops.dashboard.view import View
from trading.domain.clock import Clock
from trading.storage.home import Home


@dataclass(frozen=True, slots=True)
class Asked:
    """What a view is asked for."""

    home: Home
    clock: Clock
    words: Mapping[str, str] = field(default_factory=dict)
    """Of a filter, and where to go on; empty: the newest of everything."""
    secrets: tuple[str, ...] = ()
    """What must never be shown."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One entry of the menu."""

    key: str
    title: str
    look: Callable[[Asked], View]
    files: Callable[[Home], tuple[Path, ...]]
    """What it is made of: it is looked at anew when one of them changes. Of a folder, that an entry came or went."""


def switches(home: Home) -> tuple[Path, ...]:
    """What says whether the lab lives and what stops it."""
    return (*home.kill_files, home.stopped_file, home.pause_file, home.lock_file, home.heartbeat_file)


def strategy_folders(home: Home) -> tuple[Path, ...]:
    """Every move of a strategy writes a file anew in one of them."""
    return tuple(home.strategies / name for name in ("testing", "active", "retired"))


def _overview(asked: Asked) -> View:
    return overview(read_overview(asked.home, asked.clock))


def _of_overview(home: Home) -> tuple[Path, ...]:
    counters = home.state / "risk_counters.json"
    return (*switches(home), *strategy_folders(home), home.audit_file, home.outbox, counters)


KINDS = (Kind("overview", "Overview", _overview, _of_overview),)
BY_KEY: Mapping[str, Kind] = {kind.key: kind for kind in KINDS}


def signature(kind: Kind, home: Home) -> tuple[tuple[int, int], ...]:
    """Changes whenever a file of the view does; costs a look into the folder a file, reads nothing."""
    return tuple(map(_stamp, kind.files(home)))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)

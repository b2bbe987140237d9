"""Which views there are, in the order of the menu: one table that the page and the terminal both read."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from ops.dashboard import audit, data, events, funding, health, ideas, risk, strategies, strategy
from ops.dashboard.cycles import Wanted
from ops.dashboard.overview import overview, read_overview
from ops.dashboard.standing import standing
from ops.dashboard.view import Banner, Tone, View
from ops.status import read_signs
from trading.domain.clock import Clock
from trading.domain.errors import TradingEngineError
from trading.storage.file_age import file_age_s
from trading.storage.home import Home

OFFSET_DIGITS = 15
ERROR_LETTERS = 200
SENSELESS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    TradingEngineError,
)
"""What reading a file may end in that holds something nobody expects."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a view is asked for."""

    home: Home
    clock: Clock
    words: Mapping[str, str] = field(default_factory=dict)
    """Of a filter, and where to go on; empty: the newest of everything."""
    secrets: tuple[str, ...] = ()
    """What must never be shown."""
    ideas_elsewhere: bool = False
    """The memory of ideas is in a database on the network, not in a file."""

    def offset(self, name: str) -> int | None:
        """A word that is a place in a file; None: it is not there, or no number."""
        text = self.words.get(name, "")
        return int(text) if text.isdecimal() and len(text) <= OFFSET_DIGITS else None


@dataclass(frozen=True, slots=True)
class Kind:
    """One entry of the menu."""

    key: str
    title: str
    read: Callable[[Asked], View]
    """What `look` shows below the banners that stand on every view."""
    files: Callable[[Home], tuple[Path, ...]]
    """What it is made of besides the switches; a change of one is news. Of a folder: that an entry came or went."""


def switches(home: Home) -> tuple[Path, ...]:
    """What says whether the lab lives and what stops it."""
    switched = (*home.kill_files, home.stopped_file, home.pause_file, home.env_file)
    return (*switched, home.lock_file, home.heartbeat_file)


def strategy_folders(home: Home) -> tuple[Path, ...]:
    """Every move of a strategy writes a file anew in one of them."""
    return tuple(home.strategies / name for name in ("testing", "active", "retired"))


def _overview(asked: Asked) -> View:
    return overview(read_overview(asked.home, asked.clock))


def _of_overview(home: Home) -> tuple[Path, ...]:
    return (*strategy_folders(home), home.audit_file, home.outbox, counters_file(home))


def _strategies(asked: Asked) -> View:
    if wanted := asked.words.get("id", ""):
        return strategy.one(strategy.read_one(asked.home, wanted))
    return strategies.strategies(strategies.read_strategies(asked.home, asked.words.get("text", "")))


def _of_strategies(home: Home) -> tuple[Path, ...]:
    return (*strategy_folders(home), home.state / "evidence")


def _funding(asked: Asked) -> View:
    return funding.carry(funding.read_carry(asked.home))


def _of_funding(home: Home) -> tuple[Path, ...]:
    return (home.positions_file, home.audit_file, home.state / "hedge_watch.json", home.heartbeat_file)


def _data(asked: Asked) -> View:
    age_s = file_age_s(asked.home.audit_file, asked.clock)
    return data.data(data.read_data(asked.home, secrets=asked.secrets), age_s=age_s)


def _of_data(home: Home) -> tuple[Path, ...]:
    return (home.audit_file, home.state / "senses.jsonl", home.heartbeat_file)


def _ideas(asked: Asked) -> View:
    reason, text = (asked.words.get(name, "") for name in ("reason", "text"))
    return ideas.ideas(ideas.read_ideas(asked.home, elsewhere=asked.ideas_elsewhere, reason=reason, text=text))


def _of_ideas(home: Home) -> tuple[Path, ...]:
    changes = home.learning_db.with_name(f"{home.learning_db.name}-wal")
    return (home.learning_db, changes, *strategy_folders(home))


def _risk(asked: Asked) -> View:
    return risk.risk(risk.read_risk(asked.home))


def _of_risk(home: Home) -> tuple[Path, ...]:
    return (counters_file(home), home.audit_file, home.settings_file)


def _audit(asked: Asked) -> View:
    line = asked.offset("line")
    if line is not None:
        return audit.one(audit.read_one(asked.home.audit_file, line))
    wanted = Wanted(*(asked.words.get(name, "") for name in ("status", "reason", "text")))
    return audit.trail(audit.read_trail(asked.home, wanted, before=asked.offset("before")))


def _of_audit(home: Home) -> tuple[Path, ...]:
    return (home.audit_file,)


def _events(asked: Asked) -> View:
    sought = events.Sought(*(asked.words.get(name, "") for name in ("kind", "text", "before")))
    return events.events(events.read_events(asked.home, sought, secrets=asked.secrets))


def _of_events(home: Home) -> tuple[Path, ...]:
    return (home.log_file,)


def _health(asked: Asked) -> View:
    return health.health(health.read_health(asked.home, asked.clock))


def _of_health(home: Home) -> tuple[Path, ...]:
    return (home.state / "schedule.json", home.guardian_lock_file)


def counters_file(home: Home) -> Path:
    """What the guards remember."""
    return home.state / "risk_counters.json"


KINDS = (
    Kind("overview", "Overview", _overview, _of_overview),
    Kind("strategies", "Strategies", _strategies, _of_strategies),
    Kind("funding", "Funding", _funding, _of_funding),
    Kind("data", "Data", _data, _of_data),
    Kind("ideas", "Ideas", _ideas, _of_ideas),
    Kind("risk", "Risk", _risk, _of_risk),
    Kind("audit", "Audit", _audit, _of_audit),
    Kind("events", "Events", _events, _of_events),
    Kind("health", "Health", _health, _of_health),
)
BY_KEY: Mapping[str, Kind] = {kind.key: kind for kind in KINDS}


def look(kind: Kind, asked: Asked) -> View:
    """One view, under what has to be known on every one of them.

    A file may hold what no reader of it expects. Then the view says so and what it is made of, instead of ending the
    page's answer, or a terminal.
    """
    try:
        view = kind.read(asked)
    except SENSELESS as error:
        view = View(kind.key, kind.title, (), (_cannot_be_shown(kind, asked.home, error),))
    return replace(view, banners=(*standing(read_signs(asked.home, asked.clock, [])), *view.banners))


def _cannot_be_shown(kind: Kind, home: Home, error: Exception) -> Banner:
    where = traceback.extract_tb(error.__traceback__)[-1]
    files = ", ".join(str(path.relative_to(home.root)) for path in kind.files(home) if path.exists())
    words = (
        f"This view cannot be shown: {type(error).__name__}: {str(error)[:ERROR_LETTERS]} "
        f"({Path(where.filename).name}, line {where.lineno}); look at what it is made of: {files or 'nothing yet'}"
    )
    return Banner(words, Tone.BAD)


def follow(link: str) -> tuple[Kind, Mapping[str, str]] | None:
    """The view a link of the page leads to, and what it is asked for; None: it leads to no view."""
    place = urlsplit(link)
    key, _, wanted = place.path.strip("/").partition("/")
    kind = BY_KEY.get(key) if key else KINDS[0]
    return None if kind is None else (kind, dict(parse_qsl(place.query)) | ({"id": wanted} if wanted else {}))


def signature(kind: Kind, home: Home) -> tuple[tuple[int, int, int], ...]:
    """Changes whenever a file of the view does; costs a look into the folder a file, reads nothing."""
    return tuple(map(_stamp, (*switches(home), *kind.files(home))))


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)

"""`strategies/performance_log.json`: what every living strategy had shown at the end of each day, a year of days."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from trading.domain.clock import DAY_MS, iso, parse_iso
from trading.domain.errors import StateFileError
from trading.storage.files import read_json, write_json
from trading.storage.home import Home
from trading.strategy.spec import StrategySpec

SCHEMA = 1
KEPT_DAYS = 366
KEYED_BY = "day that ended"
"""Older files are keyed by the day of writing, which is the day after, and do not say so."""


def note_day(home: Home, specs: Iterable[StrategySpec], at_ms: int) -> None:
    """Write the lines of the UTC day that ended last; a second time before the next has ended they replace the first.

    Args:
        home: Whose.
        specs: What lives; one that has shown nothing yet is left out.
        at_ms: Now.

    Raises:
        StateFileError: the file cannot be read, and has been set aside, or cannot be written.
    """
    lines = {spec.id: lines for spec in specs if (lines := _lines(spec))}
    days = {**_days(home), iso(at_ms - DAY_MS)[:10]: lines}
    newest = dict(sorted(days.items())[-KEPT_DAYS:])
    write_json(home.performance_log, {"days": newest, "keyed_by": KEYED_BY}, schema=SCHEMA)


def paper_totals(home: Home, day: str, spec_id: str) -> dict[str, float] | None:
    """What a strategy's paper account had shown when a UTC day ended; None: that day has no line of it.

    Raises:
        StateFileError: the file cannot be read, and has been set aside.
    """
    lines = _days(home).get(day)
    line = lines.get(spec_id) if isinstance(lines, dict) else None
    shown = line.get("dry_run") if isinstance(line, dict) else None
    if not isinstance(shown, dict):
        return None
    return {name: float(value) for name, value in shown.items() if isinstance(value, (int, float))}


def _days(home: Home) -> Mapping[str, object]:
    kept = read_json(home.performance_log, schema=SCHEMA) or {"days": {}, "keyed_by": KEYED_BY}
    days = kept.get("days", {})
    if not isinstance(days, dict):
        raise StateFileError(f"{home.performance_log}: days is {type(days).__name__}; remove it, or restore a backup")
    if kept.get("keyed_by") == KEYED_BY:
        return days
    return {iso(parse_iso(day) - DAY_MS)[:10]: lines for day, lines in days.items()}


def _lines(spec: StrategySpec) -> dict[str, object]:
    blocks = {name: block for name, block in spec.performance.model_dump(mode="json").items() if block}
    return {"name": spec.name, "stage": spec.stage.value, **blocks} if blocks else {}

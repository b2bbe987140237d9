"""`strategies/performance_log.json`: what every living strategy had shown at the end of each day, a year of days."""

from __future__ import annotations

from collections.abc import Iterable

from trading.domain.clock import iso
from trading.domain.errors import StateFileError
from trading.storage.files import read_json, write_json
from trading.storage.home import Home
from trading.strategy.spec import StrategySpec

SCHEMA = 1
KEPT_DAYS = 366


def note_day(home: Home, specs: Iterable[StrategySpec], at_ms: int) -> None:
    """Write the day's lines; a second time on the same day they replace the first.

    Args:
        home: Whose.
        specs: What lives; one that has shown nothing yet is left out.
        at_ms: Now; the lines are of the UTC day that it lies in.

    Raises:
        StateFileError: the file cannot be read, and has been set aside, or cannot be written.
    """
    kept = (read_json(home.performance_log, schema=SCHEMA) or {}).get("days", {})
    if not isinstance(kept, dict):
        raise StateFileError(f"{home.performance_log}: days is {type(kept).__name__}; remove it, or restore a backup")
    days = {**kept, iso(at_ms)[:10]: {spec.id: lines for spec in specs if (lines := _lines(spec))}}
    newest = dict(sorted(days.items())[-KEPT_DAYS:])
    write_json(home.performance_log, {"days": newest}, schema=SCHEMA)


def _lines(spec: StrategySpec) -> dict[str, object]:
    blocks = {name: block for name, block in spec.performance.model_dump(mode="json").items() if block}
    return {"name": spec.name, "stage": spec.stage.value, **blocks} if blocks else {}

"""Exchanges are opened by name: nothing outside their room names their classes, and one file knows ccxt."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DOORS = {
    "trading.exchange.open_venue",
    "trading.exchange.access",
    "trading.exchange.rate_plan",
    "trading.exchange.recorded_bars",
    "trading.exchange.recorded_looks",
    "trading.exchange.recording",
    "trading.exchange.replayed_day",
}
"""What the floors above may import of the room."""


IMPORT = re.compile(r"^\s*(?:from|import) ([\w.]+)", re.MULTILINE)


def imported(path: Path) -> set[str]:
    """Modules that a file imports, wherever in it."""
    return set(IMPORT.findall(path.read_text()))


def files(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(found) > 50
    return found


def test_the_floors_above_know_the_door_and_no_exchange():
    for path in files("ops", "ai_brain"):
        through = {name for name in imported(path) if name.startswith("trading.exchange")}
        assert through <= DOORS, f"{path.relative_to(ROOT)} imports {sorted(through - DOORS)}"


def test_one_file_knows_ccxt():
    knowing = {
        path.name for path in files("src", "ops", "ai_brain") if any(n.split(".")[0] == "ccxt" for n in imported(path))
    }
    assert knowing == {"ccxt_alone.py"}

"""Files that could not be read and lie beside as `NAME.bad-N`."""

from __future__ import annotations

from trading.storage.home import Home

FOLDERS = ("state", "state/paper", "state/evidence", "state/told", "strategies", "strategies/testing",
           "strategies/active", "strategies/retired")  # fmt: skip
TELLS_ITSELF = "schedule.json"


def set_aside_files(home: Home) -> list[str]:
    """Their names, from the home's folder on; the outbox and the schedule tell of their own."""
    found = (path for folder in FOLDERS for path in (home.root / folder).glob("*.bad-*"))
    return sorted(str(path.relative_to(home.root)) for path in found if not path.name.startswith(TELLS_ITSELF))

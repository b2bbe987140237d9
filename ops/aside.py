"""Files that could not be read and lie beside as `NAME.bad-N`."""

from __future__ import annotations

import os
from contextlib import suppress

from trading.storage.home import Home

FOLDERS = ("state", "state/paper", "state/evidence", "state/told", "strategies", "strategies/testing",
           "strategies/active", "strategies/retired")  # fmt: skip
TELLS_ITSELF = "state/schedule.json"


def set_aside_files(home: Home) -> list[str]:
    """Their names, from the home's folder on; the outbox and the schedule tell of their own.

    Every cycle looks, and in months tens of thousands of others lie beside them: names are looked at as they come.
    """
    found = list[str]()
    for folder in FOLDERS:
        with suppress(FileNotFoundError), os.scandir(home.root / folder) as entries:
            found += [f"{folder}/{entry.name}" for entry in entries if ".bad-" in entry.name]
    return sorted(file for file in found if not file.startswith(TELLS_ITSELF))

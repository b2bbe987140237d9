"""`state/learned_fills.json`: what was learned of own fills, on disk."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter

from ai_brain.desk.learned_fills import LearnedFills
from trading.storage.checked import read_checked
from trading.storage.files import write_json
from trading.storage.home import Home

LEARNED_SCHEMA = 1
_LEARNED = TypeAdapter(LearnedFills)


def learned_file(home: Home) -> Path:
    """`state/learned_fills.json`."""
    return home.state / "learned_fills.json"


def read_learned(home: Home) -> LearnedFills | None:
    """What was learned last; None: nothing yet.

    Raises:
        StateFileError: the file is broken and has been set aside; the next night learns it anew from the journal.
    """
    mend = "the next night learns it anew from the journal"
    return read_checked(learned_file(home), _LEARNED, schema=LEARNED_SCHEMA, mend=mend)


def write_learned(home: Home, learned: LearnedFills) -> None:
    """Replace the file.

    Raises:
        StateFileError: it cannot be written.
    """
    write_json(learned_file(home), learned.model_dump(mode="json"), schema=LEARNED_SCHEMA)

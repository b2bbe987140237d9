"""`state/learned_fills.json`: what was learned of own fills, on disk."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from ai_brain.desk.learned_fills import LearnedFills
from trading.domain.errors import StateFileError
from trading.storage.files import read_json, set_aside, write_json
from trading.storage.home import Home

LEARNED_SCHEMA = 1


def learned_file(home: Home) -> Path:
    """`state/learned_fills.json`."""
    return home.state / "learned_fills.json"


def read_learned(home: Home) -> LearnedFills | None:
    """What was learned last; None: nothing yet.

    Raises:
        StateFileError: the file is broken and has been set aside; the next night learns it anew from the journal.
    """
    path = learned_file(home)
    data = read_json(path, schema=LEARNED_SCHEMA)
    if data is None:
        return None
    try:
        return LearnedFills.model_validate(data)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in detail["loc"])
        aside = set_aside(path)
        raise StateFileError(
            f"{path}: {where}={detail['input']!r}: {detail['msg']}; set aside as {aside.name}, the next night learns "
            "it anew from the journal"
        ) from error


def write_learned(home: Home, learned: LearnedFills) -> None:
    """Replace the file.

    Raises:
        StateFileError: it cannot be written.
    """
    write_json(learned_file(home), learned.model_dump(mode="json"), schema=LEARNED_SCHEMA)

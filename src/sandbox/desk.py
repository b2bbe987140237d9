"""What the desks beside the exchange share: the time they go by, and how a script file is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

SCRIPTS = Path(__file__).parent / "scripts"
"""What the desks play when nobody gives them a file."""


class ScriptError(ValueError):
    """A script file cannot be played; the message names file, place, value and remedy in one line."""


class Now(Protocol):
    """The sandbox's time."""

    def now_ms(self) -> int:
        """UTC milliseconds."""


def read_list(path: Path) -> list[dict[str, object]]:
    """A script file's entries.

    Raises:
        ScriptError: unreadable, not JSON, not a list of objects, or empty.
    """
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ScriptError(f"{path}: cannot be read: {error}; give a UTF-8 JSON file") from error
    except ValueError as error:
        raise ScriptError(f"{path}: not JSON: {error}; give a list of objects") from error
    if not isinstance(loaded, list) or not loaded:
        raise ScriptError(f"{path}: {type(loaded).__name__}, expected a list with at least one object")
    for position, entry in enumerate(loaded):
        if not isinstance(entry, dict):
            raise ScriptError(f"{path}: entry {position} is {entry!r}, expected an object")
    return loaded

"""A stretch of the audit file, found by its time: a year of lines is bisected, not read.

Lines are written in the order of their time and begin with it (`at_ms` is the first of the sorted keys). Where the
clock was set back, the lines of that stretch stand in the order of writing. Reads only; a last line that is being
written is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from trading.domain.clock import as_datetime
from trading.domain.errors import StateFileError
from trading.storage.long_files import backwards, forwards, offset_at

ID_DIGITS = 4
"""Of a line's hash in its id: with the minute, enough to tell the cycles of that minute apart."""
_AT = re.compile(rb'\{"at_ms":(\d+),')


def cycle_id(at_ms: int, digest: str) -> str:
    """What a person calls a cycle by: its minute, UTC, and the beginning of its line's hash: `d-260121-1400-7f3a`."""
    return f"d-{as_datetime(at_ms):%y%m%d-%H%M}-{digest[:ID_DIGITS]}"


def time_of(raw: bytes) -> int | None:
    """When a line was written, UTC milliseconds; None: it is none of the audit file."""
    found = _AT.match(raw)
    return int(found[1]) if found else None


class AuditWindow:
    """Whole lines of an audit file; one that does not begin as a line does is left out: `verify_audit` names it.

    Args:
        path: No file, or an empty one, has no lines.

    Raises:
        StateFileError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.open("rb").close()
        except FileNotFoundError:
            return
        except OSError as error:
            raise StateFileError(f"{path}: cannot be read: {error.strerror}; check its permissions") from error

    def from_ms(self, at_ms: int) -> Iterator[bytes]:
        """The lines from a moment on, oldest first."""
        found = forwards(self._path, offset_at(self._path, at_ms, time_of))
        return (line.raw for line in found if time_of(line.raw) is not None)

    def before_ms(self, at_ms: int) -> Iterator[bytes]:
        """The lines before a moment, newest first."""
        found = backwards(self._path, before=offset_at(self._path, at_ms, time_of))
        return (line.raw for line in found if time_of(line.raw) is not None)

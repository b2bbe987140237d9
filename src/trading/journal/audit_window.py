"""A stretch of the audit file, found by its time: a year of lines is bisected, not read.

Lines are written in the order of their time and begin with it (`at_ms` is the first of the sorted keys). Where the
clock was set back, the lines of that stretch stand in the order of writing. Reads only; a last line that is being
written is left out.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trading.domain.clock import as_datetime
from trading.domain.errors import StateFileError

ID_DIGITS = 4
"""Of a line's hash in its id: with the minute, enough to tell the cycles of that minute apart."""
_AT = re.compile(rb'\{"at_ms":(\d+),')


def cycle_id(at_ms: int, digest: str) -> str:
    """What a person calls a cycle by: its minute, UTC, and the beginning of its line's hash: `d-260121-1400-7f3a`."""
    return f"d-{as_datetime(at_ms):%y%m%d-%H%M}-{digest[:ID_DIGITS]}"


class AuditWindow:
    """Whole lines of an audit file, as it was when it was opened; one that does not begin as a line does is left out:
    `verify_audit` names it.
    """

    def __init__(self, data: mmap.mmap | bytes) -> None:
        self._data = data
        self._end = data.rfind(b"\n") + 1

    def from_ms(self, at_ms: int) -> Iterator[bytes]:
        """The lines from a moment on, oldest first."""
        start = self._first_at(at_ms)
        while start < self._end:
            stop = self._data.find(b"\n", start)
            if _AT.match(self._data, start):
                yield self._data[start:stop]
            start = stop + 1

    def before_ms(self, at_ms: int) -> Iterator[bytes]:
        """The lines before a moment, newest first."""
        stop = self._first_at(at_ms) - 1
        while stop > 0:
            start = self._data.rfind(b"\n", 0, stop) + 1
            if _AT.match(self._data, start):
                yield self._data[start:stop]
            stop = start - 1

    def _first_at(self, at_ms: int) -> int:
        """Where the first line begins that is not older; the end where all are."""
        low, high = 0, self._end
        while low < high:
            middle = (low + high) // 2
            start = max(low, self._data.rfind(b"\n", low, middle) + 1)
            stamp = self._stamp(start, high)
            if stamp is None:
                high = start
            elif stamp[0] < at_ms:
                low = self._data.find(b"\n", stamp[1]) + 1
            else:
                high = start
        return low

    def _stamp(self, start: int, end: int) -> tuple[int, int] | None:
        """Time and place of the first line from `start` on that begins as a line does; None: there is none."""
        while start < end:
            found = _AT.match(self._data, start)
            if found is not None:
                return int(found[1]), start
            start = self._data.find(b"\n", start) + 1
        return None


@contextmanager
def open_window(path: Path) -> Iterator[AuditWindow]:
    """The audit file for as long as the block runs; no file, or an empty one, has no lines.

    Raises:
        StateFileError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            if file.seek(0, 2) == 0:
                yield AuditWindow(b"")
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield AuditWindow(data)
    except FileNotFoundError:
        yield AuditWindow(b"")
    except OSError as error:
        raise StateFileError(f"{path}: cannot be read: {error.strerror}; check its permissions") from error

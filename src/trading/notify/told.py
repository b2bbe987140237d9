"""What was told: one line a message in `told.jsonl`, with the short id that the message carries.

The id (`m-1742`) counts up and is no link. A message that comes again keeps it. The file is bounded: the oldest half
goes when it has grown to `MAX_BYTES`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from trading.domain.errors import StateFileError
from trading.storage.files import append_line, set_torn_aside, write_atomic

FILE = "told.jsonl"
MAX_BYTES = 16 << 20
"""About a year of an ordinary lab."""
_TAIL_BYTES = 1 << 16
_ID = re.compile(r"m-(\d+)")


@dataclass(frozen=True, slots=True)
class Told:
    """A message as it was queued."""

    id: str
    at_ms: int
    kind: str
    severity: str
    key: str
    """What it is about, where it is told once or repeated; empty: neither."""
    text: str


def number_of(message_id: str) -> int | None:
    """Which message an id means, however it was typed: `m-1742`, `M1742`, `id m-1742`; None: it is no id."""
    found = re.fullmatch(r"(?:id\s*)?m-?(\d{1,12})", message_id.strip().lower())
    return None if found is None else int(found[1])


class ToldLog:
    """The file of one outbox. Whoever writes holds the outbox's lock.

    Args:
        folder: The outbox.
        max_bytes: When the oldest half goes.
    """

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._path = folder / FILE
        self._max_bytes = max_bytes

    def next_id(self) -> str:
        """The id of the message after the last one.

        Raises:
            StateFileError: the file cannot be read.
        """
        read = (_read(line) for line in reversed(self._newest_lines()))
        last = next((told for told in read if told is not None), None)
        number = 0 if last is None else number_of(last.id) or 0
        return f"m-{number + 1}"

    def note(self, told: Told) -> None:
        """Keep one; when this returns it is on disk.

        Raises:
            StateFileError: the file cannot be written to.
        """
        append_line(self._path, json.dumps(asdict(told), ensure_ascii=False).encode())
        if self._path.stat().st_size > self._max_bytes:
            content = self._path.read_bytes()
            write_atomic(self._path, content[content.find(b"\n", len(content) // 2) + 1 :])

    def __iter__(self) -> Iterator[Told]:
        """Every message that is kept, oldest first; a line that makes no sense is left out."""
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        except OSError as error:
            raise StateFileError(f"{self._path}: cannot be read: {error.strerror}; check its permissions") from error
        for line in lines:
            told = _read(line)
            if told is not None:
                yield told

    def _newest_lines(self) -> list[bytes]:
        """The whole lines at the end; what a crash tore is set aside."""
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - _TAIL_BYTES))
                tail = file.read()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StateFileError(f"{self._path}: cannot be read: {error.strerror}; check its permissions") from error
        whole, _, torn = tail.rpartition(b"\n")
        if torn:
            set_torn_aside(self._path, torn, keep_bytes=size - len(torn))
        return whole.split(b"\n")


def _read(line: bytes) -> Told | None:
    try:
        row = json.loads(line)
        told = Told(**row)
    except (ValueError, TypeError):
        return None
    return told if _ID.fullmatch(str(told.id)) else None

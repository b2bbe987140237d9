"""What was told: one line a message in `told.jsonl`, with the short id that the message carries.

The id (`m-1742`) counts up and is no link. A message that comes again keeps it. The file is bounded: the oldest half
goes when it has grown to `MAX_BYTES`. That an alert is over is a line too, so that the list of those that are open can
be made anew from here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from trading.domain.errors import StateFileError
from trading.domain.events import Severity
from trading.storage.files import append_line, set_torn_aside, write_atomic

FILE = "told.jsonl"
MAX_BYTES = 16 << 20
"""About a year of an ordinary lab."""
STANDING_MS = 30 * 86_400_000
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

    def note_over(self, key: str) -> None:
        """Keep that what an alert told of is over.

        Raises:
            StateFileError: the file cannot be written to.
        """
        append_line(self._path, json.dumps({"over": key}, ensure_ascii=False).encode())

    def find(self, message_id: str) -> Told | None:
        """What was told under an id; None: it is not on record.

        Raises:
            StateFileError: the file cannot be read.
        """
        return next((told for told in self if told.id == message_id), None)

    def standing(self) -> tuple[dict[str, Told], list[str]]:
        """By key, the alerts that were told and of which no end is on record; and the keys of what is told once.

        An older lab wrote no ends: of alerts only the newest `STANDING_MS` count.

        Raises:
            StateFileError: the file cannot be read.
        """
        alerts, once, newest_ms = dict[str, Told](), list[str](), 0
        for line in self._lines():
            told = _read(line)
            if told is None:
                alerts.pop(_over(line), None)
                continue
            newest_ms = max(newest_ms, told.at_ms)
            if told.key and told.severity == Severity.ALERT.value:
                alerts[told.key] = told
            elif told.key:
                once.append(told.key)
        return {key: told for key, told in alerts.items() if told.at_ms > newest_ms - STANDING_MS}, once

    def __iter__(self) -> Iterator[Told]:
        """Every message that is kept, oldest first; a line that makes no sense is left out."""
        return (told for line in self._lines() if (told := _read(line)) is not None)

    def _lines(self) -> list[bytes]:
        try:
            return self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StateFileError(f"{self._path}: cannot be read: {error.strerror}; check its permissions") from error

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


def _over(line: bytes) -> str:
    """The key of an alert whose end a line tells; empty: it does not."""
    try:
        return str(json.loads(line)["over"])
    except (ValueError, TypeError, KeyError):
        return ""

"""The folder of one channel: a file for each message that waits, `000000000012-m-1742.json`: a growing number, the id.

By the id in its name a damaged one is found in the record of what was told. Two processes write here, service and
guardian, so names are read from the disk each time. What a look over all needs (`Head`) is remembered: a look at
thousands reads none of them twice.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from trading.domain.clock import Clock, iso, parse_iso
from trading.domain.errors import StateFileError
from trading.domain.events import Severity
from trading.notify.message import ID_LINE, Message
from trading.storage.files import read_json, set_aside, write_json

SCHEMA = 1
DIGITS = 12
_NAME = re.compile(r"\d+-(m-\d+)\.json")
"""An older lab wrote the number only."""
_ID = re.compile(rf"\n{ID_LINE}(m-\d+)$")
Holds = Callable[[Message], bool]
"""Whether a message must wait now, by its severity and whether it is about money: in the reader's quiet hours."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message on disk."""

    name: str
    """Of its file."""
    message: Message
    queued_ms: int
    """Lab time."""
    queued_real_ms: int
    """The system's time: how long a person has waited, also in a lab that runs faster than life."""


@dataclass(frozen=True, slots=True)
class Head:
    """What `Holds` asks of a message."""

    kind: str
    severity: Severity
    is_money: bool

    def is_held(self, holds: Holds) -> bool:
        """Whether it must wait now."""
        return holds(Message(self.kind, self.kind or "message", severity=self.severity, is_money=self.is_money))


LEAST = Head("", Severity.NOTICE, is_money=False)
"""Where this one need not wait, none does."""
UNREADABLE = Head("", Severity.ALERT, is_money=True)
"""One that cannot be read waits for nothing: whoever sends finds out."""


class Spool:
    """The files of one channel.

    Args:
        folder: Made if missing, with `refused/` for what nobody takes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._refused = folder / "refused"
        self._refused.mkdir(parents=True, exist_ok=True)
        self._heads: dict[str, tuple[tuple[int, ...], Head]] = {}
        """By name, and which file that was: when the folder is empty, numbers begin anew. The time alone does not tell:
        a kernel's clock of files stands still for milliseconds."""

    def names(self) -> list[str]:
        """The files that wait, oldest first."""
        names = sorted(_numbered(self.folder))
        for gone in self._heads.keys() - set(names):
            del self._heads[gone]
        return names

    def refused(self) -> list[Path]:
        """What nobody takes, oldest first."""
        return [self._refused / name for name in sorted(_numbered(self._refused))]

    def add(self, messages: Sequence[Message], clock: Clock) -> None:
        """Write those that belong together behind all that wait or were refused; when this returns they are on disk.

        Raises:
            StateFileError: the folder cannot be written to.
        """
        taken = max(max(_numbered(folder), default="0") for folder in (self.folder, self._refused))
        number = int(taken[:DIGITS])
        ids = [found[1] for message in messages if (found := _ID.search(message.text))]
        for message in messages:
            number += 1
            self.put_now(f"{number:0{DIGITS}d}{f'-{ids[-1]}' if ids else ''}.json", message, clock)

    def __len__(self) -> int:
        """How many wait."""
        return len(_numbered(self.folder))

    def pending(self, holds: Holds) -> int:
        """How many need not wait now."""
        names = _numbered(self.folder)
        if not LEAST.is_held(holds):
            return len(names)
        counts = Counter(map(self.head, names))
        return sum(count for head, count in counts.items() if not head.is_held(holds))

    def is_pending(self, holds: Holds) -> bool:
        """Whether one is there that need not wait now."""
        heads, names = set[Head](), _numbered(self.folder)
        if not LEAST.is_held(holds):
            return bool(names)
        for name in names:
            if (head := self.head(name)) not in heads:
                if not head.is_held(holds):
                    return True
                heads.add(head)
        return False

    def head(self, name: str) -> Head:
        """What a look over all needs of one."""
        path = self.folder / name
        try:
            found = path.stat()
            file = (found.st_mtime_ns, found.st_ino, found.st_size)
            known = self._heads.get(name)
            if known is None or known[0] != file:
                message = _message({**json.loads(path.read_bytes()), "photos": []})
                known = self._heads[name] = (file, Head(message.kind, message.severity, message.is_money))
        except (OSError, KeyError, ValueError, TypeError):
            return UNREADABLE
        return known[1]

    def put(self, name: str, message: Message, *, queued_ms: int, queued_real_ms: int) -> None:
        """Write one; when this returns it is on disk.

        Raises:
            StateFileError: the folder cannot be written to.
        """
        photos = [base64.b64encode(photo).decode() for photo in message.photos]
        record = {**asdict(replace(message, photos=())), "photos": photos, "queued_at": iso(queued_ms)}
        write_json(self.folder / name, {**record, "queued_real_ms": queued_real_ms}, schema=SCHEMA)

    def put_now(self, name: str, message: Message, clock: Clock) -> None:
        """As `put`, queued at this moment."""
        self.put(name, message, queued_ms=clock.now_ms(), queued_real_ms=clock.system_ms())

    def read(self, name: str) -> Waiting | None:
        """One that waits; None: it is gone.

        Raises:
            StateFileError: it makes no sense; unless it cannot even be opened, it has been set aside.
        """
        path = self.folder / name
        record = read_json(path, schema=SCHEMA)
        if record is None:
            return None
        try:
            queued_ms = parse_iso(str(record["queued_at"]))
            real_ms = int(str(record.get("queued_real_ms", queued_ms)))  # an older lab wrote only the first
            return Waiting(name, _message(record), queued_ms, real_ms)
        except (KeyError, ValueError, TypeError, binascii.Error) as error:
            kept = set_aside(path)
            raise StateFileError(f"{path}: no message ({error!r}); set aside as {kept.name}") from error

    def aside(self, name: str) -> Path | None:
        """Where one that was unreadable lies now; None: it was not set aside."""
        if (self.folder / name).exists():
            return None
        return max(self.folder.glob(f"{name}.bad-*"), key=lambda path: int(path.suffix[len(".bad-") :]), default=None)

    def remove(self, name: str) -> None:
        """Let go of one that is told.

        Raises:
            StateFileError: it cannot be removed.
        """
        path = self.folder / name
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StateFileError(
                f"{path}: delivered, but cannot be removed: {error.strerror}; check the disk"
            ) from error

    def refuse(self, name: str, reason: str) -> None:
        """Set one aside that nobody takes, with the reason.

        Raises:
            StateFileError: the folder cannot be written to.
        """
        record = read_json(self.folder / name, schema=SCHEMA) or {}
        write_json(self._refused / name, {**record, "reason": reason}, schema=SCHEMA)
        self.remove(name)


def waiting_in(folder: Path) -> list[Path]:
    """The files that wait in a folder, oldest first, found without touching anything; none where there is no folder."""
    return [folder / name for name in sorted(_numbered(folder))] if folder.is_dir() else []


def id_of(name: str) -> str:
    """The id of a message, by the name of its file; empty: it has none."""
    found = _NAME.fullmatch(name)
    return found[1] if found else ""


def _numbered(folder: Path) -> list[str]:
    with os.scandir(folder) as found:
        names = [entry.name for entry in found]
    return [name for name in names if name.endswith(".json") and name[:DIGITS].isdecimal()]


def _message(record: dict[str, object]) -> Message:
    if "photos" not in record and "photo" in record:  # queued by an older lab, which knew one at most
        record = {**record, "photos": [record["photo"]] if record["photo"] is not None else []}
    photos = record["photos"]
    if not isinstance(photos, list):
        raise TypeError(f"photos is {type(photos).__name__}")
    return Message(
        kind=str(record["kind"]),
        text=str(record["text"]),
        photos=tuple(base64.b64decode(str(photo), validate=True) for photo in photos),
        dedup_key=str(record["dedup_key"]),
        severity=Severity(str(record["severity"])),
        is_html=record["is_html"] is True,
        is_money=record.get("is_money") is True,
    )

"""The messages that wait for one channel: a folder with one file a message, named by a growing number.

`refused/` holds what can never be delivered, with the reason. A message whose delivery was not confirmed (a time-out,
a kill between the answer and the removal of its file) is sent again: twice rather than never.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import structlog

from trading.domain.clock import Clock, iso, parse_iso
from trading.domain.errors import NotifierError, StateFileError
from trading.domain.events import Severity
from trading.notify.alerts import Local
from trading.notify.catch_up import Waiting, folded, to_fold
from trading.notify.message import Message, Notifier, parts
from trading.storage.files import read_json, set_aside, write_json

log = structlog.get_logger(__name__)

SCHEMA = 1

Holds = Callable[[Message], bool]
"""Whether a message must wait now: in the reader's quiet hours."""


@dataclass(frozen=True, slots=True)
class Drained:
    """What one drain did."""

    sent: int = 0
    waiting: int = 0
    """Messages still on disk."""
    refused: int = 0
    """Set aside for good, with a reason."""
    retry_after_s: float | None = None
    """Real seconds that the other side asked us to wait; None: it did not."""
    reason: str = ""
    """Why messages wait; empty when none do."""


class Queue:
    """The folder of one channel.

    Args:
        folder: Made if missing.
        local: The reader's clock.
    """

    def __init__(self, folder: Path, local: Local) -> None:
        self.folder = folder
        self._local = local
        self._refused = folder / "refused"
        self._refused.mkdir(parents=True, exist_ok=True)
        self._confirmed: set[str] = set()
        self._not_before_s = 0.0

    def __len__(self) -> int:
        """Messages not delivered yet."""
        return len(self._files())

    def pending(self, holds: Holds) -> int:
        """Messages not delivered yet that need not wait now."""
        return sum(not _is_held(path, holds) for path in self._files())

    def write(self, message: Message, clock: Clock) -> None:
        """Queue one message, cut to what fits; when this returns it is on disk.

        Raises:
            StateFileError: the folder cannot be written to.
        """
        taken = [int(path.name.split(".")[0]) for path in self._refused.glob("[0-9]*.json")]
        taken += [int(path.stem) for path in self._files()]
        for number, part in enumerate(parts(message), start=max(taken, default=0) + 1):
            self._put(self.folder / f"{number:012d}.json", part, clock)

    async def send_all(self, notifier: Notifier, clock: Clock, *, holds: Holds) -> Drained:
        """Send what waits, oldest first, until it is empty or somebody says stop.

        Once the first is delivered after a long time without, what only told of its moment is folded into one.

        Args:
            notifier: Who carries.
            clock: Lab time.
            holds: Whether a message must wait now.

        Raises:
            StateFileError: a delivered message cannot be removed, or a refused one not be set aside.
        """
        left_s = self._not_before_s - clock.real_s()
        if left_s > 0:
            return Drained(waiting=len(self), retry_after_s=left_s, reason="told to wait")
        sent = refused = 0
        pending = self._files()
        while pending:
            path = pending.pop(0)
            message = self._read(path)
            if message is None:
                refused += 1
                continue
            if holds(message):
                continue
            try:
                if path.name not in self._confirmed:
                    await notifier.send(message)
                    sent += 1
            except NotifierError as error:
                if not error.permanent:
                    if error.retry_after_s is not None:
                        self._not_before_s = clock.real_s() + error.retry_after_s
                    return Drained(sent, len(self), refused, error.retry_after_s, str(error))
                self._set_refused(path, str(error))
                refused += 1
                continue
            self._forget(path)
            if sent == 1 and self._fold(clock, holds):
                pending = self._files()
        return Drained(sent, len(self), refused)

    def _fold(self, clock: Clock, holds: Holds) -> bool:
        """One message in place of many: over the first one's file, then the others go; a crash between tells twice."""
        waiting = []
        for path in self._files():
            message = self._read(path)
            if message is not None and not holds(message):
                waiting.append(Waiting(path.name, message, *self._queued_ms(path)))
        old = to_fold(waiting, clock.system_ms())
        if not old:
            return False
        self._put(self.folder / old[0].name, folded(old, self._local), clock)
        for one in old[1:]:
            (self.folder / one.name).unlink(missing_ok=True)
        log.info("outbox.folded", messages=len(old))
        return True

    def _queued_ms(self, path: Path) -> tuple[int, int]:
        """When, in lab time and in the system's; an older lab wrote only the first."""
        record = read_json(path, schema=SCHEMA) or {}
        lab_ms = parse_iso(str(record["queued_at"]))
        return lab_ms, int(str(record.get("queued_real_ms", lab_ms)))

    def _put(self, path: Path, message: Message, clock: Clock) -> None:
        photos = [base64.b64encode(photo).decode() for photo in message.photos]
        record = {**asdict(replace(message, photos=())), "photos": photos, "queued_at": iso(clock.now_ms())}
        record["queued_real_ms"] = clock.system_ms()
        write_json(path, record, schema=SCHEMA)

    def _forget(self, path: Path) -> None:
        """Remove a delivered message. Remembered first: if removing fails, this process still never sends it again."""
        self._confirmed.add(path.name)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StateFileError(
                f"{path}: delivered, but cannot be removed: {error.strerror}; check the disk"
            ) from error
        self._confirmed.discard(path.name)

    def _files(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*.json") if path.stem.isdecimal())

    def _read(self, path: Path) -> Message | None:
        """A queued message; None: the file was unreadable and has been set aside."""
        try:
            record = read_json(path, schema=SCHEMA)
            return None if record is None else _message(record)
        except StateFileError as error:
            log.warning("outbox.unreadable", file=path.name, reason=str(error))
        except (KeyError, ValueError, TypeError, binascii.Error) as error:
            kept = set_aside(path)
            log.warning("outbox.unreadable", file=path.name, reason=repr(error), kept=kept.name)
        return None

    def _set_refused(self, path: Path, reason: str) -> None:
        record = read_json(path, schema=SCHEMA) or {}
        write_json(self._refused / path.name, {**record, "reason": reason}, schema=SCHEMA)
        path.unlink()
        log.warning("outbox.refused", file=path.name, reason=reason)


def _is_held(path: Path, holds: Holds) -> bool:
    """One that cannot be read is for `send_all` to deal with."""
    try:
        return holds(_message(json.loads(path.read_bytes())))
    except (OSError, ValueError, KeyError, TypeError):
        return False


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

"""Messages on disk until they are delivered: written before any send, sent in order, removed when confirmed.

A folder with one file a message, named by a growing number; `alerts.json` holds the open alerts and the keys already
told; `refused/` holds what can never be delivered, with the reason. A message whose delivery was not confirmed (a
time-out, a kill between the answer and the removal of its file) is sent again: twice rather than never.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import structlog

from trading.domain.clock import Clock, iso
from trading.domain.errors import NotifierError, StateFileError
from trading.domain.events import Severity
from trading.notify.alerts import OpenAlert, first
from trading.notify.message import Message, Notifier, parts
from trading.storage.files import read_json, set_aside, write_json
from trading.storage.lock import only_one, waiting_lock

log = structlog.get_logger(__name__)

SCHEMA = 1
KEPT_KEYS = 512
"""Keys of messages that were told once, the newest."""
LEDGER = "alerts.json"


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


class Outbox:
    """The queue of one lab.

    Args:
        folder: `Home.outbox`; made if missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._refused = folder / "refused"
        self._refused.mkdir(parents=True, exist_ok=True)
        self._confirmed: set[str] = set()
        self._not_before_s = 0.0
        self._draining = asyncio.Lock()

    @property
    def waiting(self) -> int:
        """Messages not delivered yet."""
        return len(self._files())

    def put(self, message: Message, clock: Clock) -> bool:
        """Queue a message; when this returns it is on disk.

        Returns:
            False: it was not queued, because its alert is open already (it is counted) or its key was told before.

        Raises:
            StateFileError: the outbox cannot be written to.
        """
        with waiting_lock(self._folder / ".lock"):
            if not message.dedup_key:
                self._write(message, clock.now_ms())
                return True
            alerts, told = self._read_ledger()
            if message.severity is Severity.ALERT:
                known = alerts.get(message.dedup_key)
                now_ms = clock.now_ms()
                alerts[message.dedup_key] = (
                    known.raised_again(message.text) if known else first(message.kind, message.plain_text, now_ms)
                )
                is_new = known is None
            else:
                is_new = message.dedup_key not in told
                told += [message.dedup_key] if is_new else []
            if is_new:
                self._write(message, clock.now_ms())
            self._write_ledger(alerts, told)
            return is_new

    def resolve(self, dedup_key: str) -> bool:
        """The state an alert told of has changed: it is told no more. False: it was not open."""
        with waiting_lock(self._folder / ".lock"):
            alerts, told = self._read_ledger()
            if alerts.pop(dedup_key, None) is None:
                return False
            self._write_ledger(alerts, told)
            return True

    def open_alerts(self) -> dict[str, OpenAlert]:
        """What is wrong now, by key."""
        with waiting_lock(self._folder / ".lock"):
            return self._read_ledger()[0]

    async def drain(self, notifier: Notifier, clock: Clock) -> Drained:
        """Send what waits, oldest first, until it is empty or somebody says stop.

        Alerts that are due again are queued first. After a `retry_after_s` nothing is sent until that many real seconds
        have passed; what can never be delivered moves to `refused`; anything else that fails leaves the rest waiting.
        """
        async with self._draining:
            try:
                with only_one(self._folder / ".drain.lock", what="a drain of the outbox"):
                    drained = await self._drain(notifier, clock)
            except StateFileError as error:
                drained = Drained(waiting=self.waiting, reason=str(error))
        if drained != Drained():
            log.info("outbox.drained", **asdict(drained))
        return drained

    async def _drain(self, notifier: Notifier, clock: Clock) -> Drained:
        self._repeat_due(clock.now_ms())
        left_s = self._not_before_s - clock.real_s()
        if left_s > 0:
            return Drained(waiting=self.waiting, retry_after_s=left_s, reason="told to wait")
        sent = refused = 0
        for path in self._files():
            message = self._read(path)
            if message is None:
                refused += 1
                continue
            try:
                if path.name not in self._confirmed:
                    await notifier.send(message)
                    sent += 1
            except NotifierError as error:
                if not error.permanent:
                    if error.retry_after_s is not None:
                        self._not_before_s = clock.real_s() + error.retry_after_s
                    return Drained(sent, self.waiting, refused, error.retry_after_s, str(error))
                self._set_refused(path, str(error))
                refused += 1
                continue
            self._forget(path)
        return Drained(sent, self.waiting, refused)

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

    def _repeat_due(self, now_ms: int) -> None:
        with waiting_lock(self._folder / ".lock"):
            alerts, told = self._read_ledger()
            due = {key: alert for key, alert in alerts.items() if alert.due_ms <= now_ms}
            if not due:
                return
            # Only when nothing waits: a day without Telegram must not end in a flood of the same alert.
            if not self._files():
                for key, alert in due.items():
                    again = f"{alert.text}\n(again: since {iso(alert.since_ms)}, raised {alert.raised} times)"
                    self._write(Message(alert.kind, again, severity=Severity.ALERT), now_ms)
                    alerts[key] = alert.told_again(now_ms)
                self._write_ledger(alerts, told)

    def _files(self) -> list[Path]:
        return sorted(path for path in self._folder.glob("*.json") if path.stem.isdecimal())

    def _write(self, message: Message, now_ms: int) -> None:
        taken = [int(path.name.split(".")[0]) for path in self._refused.glob("[0-9]*.json")]
        taken += [int(path.stem) for path in self._files()]
        for number, part in enumerate(parts(message), start=max(taken, default=0) + 1):
            photo = None if part.photo is None else base64.b64encode(part.photo).decode()
            record = {**asdict(replace(part, photo=None)), "photo": photo, "queued_at": iso(now_ms)}
            write_json(self._folder / f"{number:012d}.json", record, schema=SCHEMA)

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

    def _read_ledger(self) -> tuple[dict[str, OpenAlert], list[str]]:
        path = self._folder / LEDGER
        try:
            record = read_json(path, schema=SCHEMA) or {"alerts": {}, "told": []}
            return _ledger(record)
        except StateFileError as error:
            log.warning("outbox.ledger_lost", reason=str(error))
        except (KeyError, TypeError, AttributeError) as error:
            kept = set_aside(path)
            log.warning("outbox.ledger_lost", reason=repr(error), kept=kept.name)
        return {}, []

    def _write_ledger(self, alerts: dict[str, OpenAlert], told: list[str]) -> None:
        record = {"alerts": {key: asdict(alert) for key, alert in alerts.items()}, "told": told[-KEPT_KEYS:]}
        write_json(self._folder / LEDGER, record, schema=SCHEMA)


def _message(record: dict[str, object]) -> Message:
    photo = record["photo"]
    return Message(
        kind=str(record["kind"]),
        text=str(record["text"]),
        photo=None if photo is None else base64.b64decode(str(photo), validate=True),
        dedup_key=str(record["dedup_key"]),
        severity=Severity(str(record["severity"])),
        is_html=record["is_html"] is True,
    )


def _ledger(record: dict[str, object]) -> tuple[dict[str, OpenAlert], list[str]]:
    alerts, told = record["alerts"], record["told"]
    if not isinstance(alerts, dict) or not isinstance(told, list):
        raise TypeError(f"alerts is {type(alerts).__name__}, told is {type(told).__name__}")
    return {str(key): OpenAlert(**alert) for key, alert in alerts.items()}, [str(key) for key in told]

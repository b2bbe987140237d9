"""Messages on disk until they are delivered: written before any send, sent in order, removed when confirmed.

The folder is the queue of the first channel; every further one has a folder of its own in it, so that a dead channel
holds up no other. `alerts.json` holds the open alerts and the keys already told; `told.jsonl` what was told, with the
short id that stands under each message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import structlog

from trading.domain.clock import Clock, iso
from trading.domain.errors import StateFileError
from trading.domain.events import Severity
from trading.notify.alerts import OpenAlert, first
from trading.notify.message import ID_LINE, Message, Notifier
from trading.notify.queue import Drained, Queue
from trading.notify.told import Told, ToldLog
from trading.storage.files import read_json, set_aside, write_json
from trading.storage.lock import only_one, waiting_lock

log = structlog.get_logger(__name__)

SCHEMA = 1
KEPT_KEYS = 512
"""Keys of messages that were told once, the newest."""
LEDGER = "alerts.json"
MAIN = ""
"""The first channel: Telegram, or the console of a lab without it."""


class Outbox:
    """The messages of one lab.

    Args:
        folder: `Home.outbox`; made if missing.
        channels: Further channels that get every message too.
    """

    def __init__(self, folder: Path, channels: Sequence[str] = ()) -> None:
        self._folder = folder
        self._queues = {MAIN: Queue(folder)} | {name: Queue(folder / name) for name in channels}
        self._told = ToldLog(folder)
        self._draining = {name: asyncio.Lock() for name in self._queues}

    @property
    def waiting(self) -> int:
        """Messages that the first channel has not delivered yet."""
        return len(self._queues[MAIN])

    def put(self, message: Message, clock: Clock) -> bool:
        """Queue a message for every channel, with its short id under it; when this returns it is on disk.

        Returns:
            False: it was not queued, because its alert is open already (it is counted) or its key was told before.

        Raises:
            StateFileError: the outbox cannot be written to.
        """
        with waiting_lock(self._folder / ".lock"):
            if not message.dedup_key:
                self._write(message, self._told.next_id(), clock.now_ms())
                return True
            alerts, told = self._read_ledger()
            message_id = self._told.next_id()
            if message.severity is Severity.ALERT:
                known = alerts.get(message.dedup_key)
                now_ms = clock.now_ms()
                alerts[message.dedup_key] = (
                    known.raised_again(message.text)
                    if known
                    else first(message.kind, message.plain_text, now_ms, message_id=message_id)
                )
                is_new = known is None
            else:
                is_new = message.dedup_key not in told
                told += [message.dedup_key] if is_new else []
            if is_new:
                self._write(message, message_id, clock.now_ms())
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

    async def drain(self, notifier: Notifier, clock: Clock, *, channel: str = MAIN) -> Drained:
        """Send what waits for a channel, oldest first, until it is empty or somebody says stop.

        Alerts that are due again are queued first. After a `retry_after_s` nothing is sent until that many real seconds
        have passed; what can never be delivered moves to `refused`; anything else that fails leaves the rest waiting.
        """
        queue = self._queues[channel]
        async with self._draining[channel]:
            try:
                with only_one(queue.folder / ".drain.lock", what="a drain of the outbox"):
                    self._repeat_due(clock.now_ms())
                    drained = await queue.send_all(notifier, clock)
            except StateFileError as error:
                drained = Drained(waiting=len(queue), reason=str(error))
        if drained != Drained():
            log.info("outbox.drained", channel=channel or "main", **asdict(drained))
        return drained

    def _repeat_due(self, now_ms: int) -> None:
        with waiting_lock(self._folder / ".lock"):
            alerts, told = self._read_ledger()
            due = {key: alert for key, alert in alerts.items() if alert.due_ms <= now_ms}
            # Only where nothing waits: a day without Telegram must not end in a flood of the same alert.
            idle = [queue for queue in self._queues.values() if not len(queue)]
            if not due or not idle:
                return
            for key, alert in due.items():
                again = f"{alert.text}\n(again: since {iso(alert.since_ms)}, raised {alert.raised} times)"
                message = Message(alert.kind, signed(again, alert.id), severity=Severity.ALERT)
                for queue in idle:
                    queue.write(message, now_ms)
                alerts[key] = alert.told_again(now_ms)
            self._write_ledger(alerts, told)

    def _write(self, message: Message, message_id: str, now_ms: int) -> None:
        """On record first: a message that arrived can always be explained."""
        told = Told(message_id, now_ms, message.kind, message.severity.value, message.dedup_key, message.plain_text)
        self._told.note(told)
        for queue in self._queues.values():
            queue.write(replace(message, text=signed(message.text, message_id)), now_ms)

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


def signed(text: str, message_id: str) -> str:
    """A text with the id that `./lab explain` takes; an alert of an older lab has none."""
    return f"{text}\n{ID_LINE}{message_id}" if message_id else text


def _ledger(record: dict[str, object]) -> tuple[dict[str, OpenAlert], list[str]]:
    alerts, told = record["alerts"], record["told"]
    if not isinstance(alerts, dict) or not isinstance(told, list):
        raise TypeError(f"alerts is {type(alerts).__name__}, told is {type(told).__name__}")
    return {str(key): OpenAlert(**alert) for key, alert in alerts.items()}, [str(key) for key in told]

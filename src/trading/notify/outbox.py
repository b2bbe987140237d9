"""Messages on disk until they are delivered: written before any send, sent in order, removed when confirmed.

The folder is the queue of the first channel; every further one has a folder of its own in it, so that a dead channel
holds up no other. `alerts.json` holds the open alerts and the keys already told; `told.jsonl` what was told, with the
short id that stands under each message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import structlog

from trading.domain.clock import Clock, as_datetime
from trading.domain.counted import counted
from trading.domain.errors import StateFileError
from trading.domain.events import Severity
from trading.notify.alerts import STORM_FREE, Local, OpenAlert, covered, is_storm, told_alone, told_together
from trading.notify.ledger import KEPT_KEYS, SET_ASIDE, Ledger, LedgerFile
from trading.notify.message import ID_LINE, Message, Notifier
from trading.notify.queue import Drained, Queue
from trading.notify.spool import Holds, waiting_in
from trading.notify.told import Told, ToldLog
from trading.storage.lock import only_one, waiting_lock

log = structlog.get_logger(__name__)

REFUSED = "messages.refused"
"""The alert that messages lie in `refused/`."""
MAIN = ""
"""The first channel: Telegram, or the console of a lab without it."""
CHANNELS = ("webhook", "email")
"""The further ones there can be."""


class Outbox:
    """The messages of one lab.

    Args:
        folder: `Home.outbox`; made if missing. A folder of `CHANNELS` in it is a channel that gets every message too:
            so whoever writes here, the service or the guardian, knows of it.
        local: The reader's clock, for what is told again or late.
    """

    def __init__(self, folder: Path, *, local: Local = as_datetime) -> None:
        self._folder, self._local = folder, local
        self._told = ToldLog(folder)
        self._ledger = LedgerFile(folder, self._told)
        self._queues = {MAIN: self._queue_of(folder)}
        self._refused: int | None = None
        """How many lay in `refused/` the last time; None: not looked at yet."""
        self._draining: dict[str, asyncio.Lock] = {}

    @property
    def waiting(self) -> int:
        """Messages not delivered yet, of the channel with the most."""
        return max(map(len, self._all().values()))

    def waiting_in(self, channel: str) -> int:
        """Messages that a channel has not delivered yet; 0 where it is not set up."""
        queue = self._all().get(channel)
        return 0 if queue is None else len(queue)

    def late(self, holds: Holds) -> int:
        """Messages that a channel has not delivered and that need not wait now, of the channel with the most."""
        return max(queue.pending(holds) for queue in self._all().values())

    def has_work(self, channel: str, clock: Clock, holds: Holds) -> bool:
        """Whether a drain of that channel would find anything to do now: a message, or an alert to tell again."""
        queue = self._all().get(channel)
        if queue is None:
            return False
        if queue.is_pending(holds):
            return True
        with waiting_lock(self._folder / ".lock"):
            ledger = self._ledger.read()
            return bool(ledger.unsaid or _due(ledger.alerts, clock.now_ms(), holds, is_idle=True))

    def _queue_of(self, folder: Path) -> Queue:
        return Queue(folder, self._local, self._told, self._report)

    def _all(self) -> dict[str, Queue]:
        """The queues of the channels that are set up now."""
        for name in CHANNELS:
            is_there = (self._folder / name).is_dir()
            if is_there and name not in self._queues:
                self._queues[name] = self._queue_of(self._folder / name)
            elif not is_there:
                self._queues.pop(name, None)
        return self._queues

    def put(self, message: Message, clock: Clock) -> bool:
        """Queue a message for every channel, with its short id under it; when this returns it is on disk.

        Returns:
            False: it was not queued, because its alert is open already (it is counted) or its key was told before.

        Raises:
            StateFileError: the outbox cannot be written to.
        """
        with waiting_lock(self._folder / ".lock"):
            if not message.dedup_key:
                self._write(message, self._told.next_id(), clock)
                return True
            ledger = self._ledger.read()
            if message.severity is Severity.ALERT:
                is_new = self._raise(message, ledger, clock)
            else:
                is_new = message.dedup_key not in ledger.told
                if is_new:
                    ledger.told.append(message.dedup_key)
                    self._write(message, self._told.next_id(), clock)
            self._ledger.write(ledger)
            return is_new

    def _raise(self, message: Message, ledger: Ledger, clock: Clock) -> bool:
        """An alert is told if it is new; in a storm it is only put on record, and told at its end."""
        known = ledger.alerts.get(message.dedup_key)
        if known is not None:
            ledger.alerts[message.dedup_key] = known.raised_again(message.text)
            return False
        now_ms = clock.now_ms()
        recent_ms = ledger.recent_money_ms if message.is_money else ledger.recent_ms
        waits = is_storm(recent_ms, now_ms)
        message_id = self._told.next_id()
        ledger.alerts[message.dedup_key] = OpenAlert(
            message.kind, message.plain_text, now_ms, now_ms, told=0 if waits else 1, raised=1, id=message_id,
            is_money=message.is_money,
        )  # fmt: skip
        if waits:
            self._note(message, message_id, now_ms)
            return True
        recent_ms.append(now_ms)
        self._write(message, message_id, clock)
        return True

    def resolve(self, dedup_key: str) -> bool:
        """The state an alert told of has changed: it is told no more. False: it was not open."""
        with waiting_lock(self._folder / ".lock"):
            ledger = self._ledger.read()
            known = ledger.alerts.pop(dedup_key, None)
            if known is None or known.is_over:
                return False
            if known.told == 0:  # it waits for the end of a storm: that it was is told all the same
                ledger.alerts[dedup_key] = replace(known, is_over=True)
            self._told.note_over(dedup_key)
            self._ledger.write(ledger)
            return True

    def was_told(self, dedup_key: str) -> bool:
        """Whether the message of a key that is told once was queued; a key that is asked for is not forgotten."""
        with waiting_lock(self._folder / ".lock"):
            ledger = self._ledger.read()
            if dedup_key not in ledger.told:
                return False
            if dedup_key in ledger.told[: -KEPT_KEYS // 2]:
                ledger.told.append(dedup_key)
                self._ledger.write(ledger)
            return True

    def open_alerts(self) -> dict[str, OpenAlert]:
        """What is wrong now, by key."""
        with waiting_lock(self._folder / ".lock"):
            return {key: alert for key, alert in self._ledger.read().alerts.items() if not alert.is_over}

    async def drain(
        self, notifier: Notifier, clock: Clock, *, channel: str = MAIN, holds: Holds = lambda _: False
    ) -> Drained:
        """Send what waits for a channel, oldest first, until it is empty or somebody says stop.

        Alerts that are due again are queued first. After a `retry_after_s` nothing is sent until that many real seconds
        have passed; what can never be delivered moves to `refused`; anything else that fails leaves the rest waiting.
        """
        queue = self._all().get(channel)
        if queue is None:
            return Drained(reason=f"{channel} is not set up")
        async with self._draining.setdefault(channel, asyncio.Lock()):
            try:
                with only_one(queue.folder / ".drain.lock", what="a drain of the outbox"):
                    open_ids = self._repeat_due(clock, holds)
                    drained = await queue.send_all(notifier, clock, holds=holds, open_ids=open_ids)
                self._tell_of_refused(clock)
            except StateFileError as error:
                drained = Drained(waiting=len(queue), reason=str(error))
        if drained != Drained():
            log.info("outbox.drained", channel=channel or "main", **asdict(drained))
        return drained

    def _report(self, name: str, what: str, clock: Clock) -> None:
        """A file of the outbox could not be read: said like one of any other room, once."""
        self.put(Message("notice", f"🔔 {SET_ASIDE}: {what}"), clock)

    def _tell_of_refused(self, clock: Clock) -> None:
        """That messages lie in `refused/` is an alert until somebody has taken them out."""
        refused = [path for queue in self._all().values() for path in queue.refused()]
        if len(refused) == self._refused:
            return
        self._refused = len(refused)
        if not refused:
            self.resolve(REFUSED)
            return
        text = (
            f"🚨 {REFUSED}: {counted(len(refused), 'message')} refused for good, the newest {refused[-1]}. Each file "
            "has the text and the reason; this ends when you have moved them away"
        )
        self.put(Message("alert", text, dedup_key=REFUSED, severity=Severity.ALERT), clock)

    def _repeat_due(self, clock: Clock, holds: Holds) -> set[str]:
        """Queue what is due: each by itself, or all in one message where they are many. The ids of what is open.

        What waits for the end of the reader's quiet hours neither is repeated nor keeps the rest from it.
        """
        with waiting_lock(self._folder / ".lock"):
            ledger, now_ms = self._ledger.read(), clock.now_ms()
            if ledger.unsaid:
                for text in ledger.unsaid:
                    self._write(Message("notice", text), self._told.next_id(), clock)
                ledger.unsaid.clear()
                self._ledger.write(ledger)
            # Again only where nothing waits: a day without Telegram must not end in a flood of the same alert.
            idle = [queue for queue in self._all().values() if not queue.is_pending(holds)]
            due = _due(ledger.alerts, now_ms, holds, is_idle=bool(idle))
            open_ids = {alert.id for alert in ledger.alerts.values()}
            if not due:
                return open_ids
            if len(due) > STORM_FREE:
                self._queue(due, told_together(due, self._local), idle, clock)
            else:
                for key, alert in due.items():
                    self._queue({key: alert}, signed(told_alone(alert, self._local), alert.id), idle, clock)
            for key, alert in due.items():
                ledger.alerts[key] = alert.told_again(now_ms)
                if alert.is_over:
                    del ledger.alerts[key]
            self._ledger.write(ledger)
            return open_ids

    def _queue(self, alerts: Mapping[str, OpenAlert], text: str, idle: Sequence[Queue], clock: Clock) -> None:
        """What was never told goes to every channel, a repetition where nothing waits."""
        is_new = any(alert.told == 0 for alert in alerts.values())
        is_money = any(alert.is_money for alert in alerts.values())
        about = next(iter(alerts)) if len(alerts) == 1 else ""
        message = Message("alert", text, dedup_key=about, severity=Severity.ALERT, is_money=is_money)
        for queue in self._all().values() if is_new else idle:
            queue.write(message, clock)

    def _write(self, message: Message, message_id: str, clock: Clock) -> None:
        """On record first: a message that arrived can always be explained."""
        self._note(message, message_id, clock.now_ms())
        for queue in self._all().values():
            queue.write(replace(message, text=signed(message.text, message_id)), clock)

    def _note(self, message: Message, message_id: str, now_ms: int) -> None:
        severity = message.severity.value
        self._told.note(Told(message_id, now_ms, message.kind, severity, message.dedup_key, message.plain_text))


def _due(alerts: Mapping[str, OpenAlert], now_ms: int, holds: Holds, *, is_idle: bool) -> dict[str, OpenAlert]:
    """What is told now: what was never told, and again what need not wait, where a channel has nothing else to tell and
    no other alert covers it.
    """

    def is_held(alert: OpenAlert) -> bool:
        return holds(Message("alert", alert.text, severity=Severity.ALERT, is_money=alert.is_money))

    silent = covered(alerts)
    return {
        key: alert
        for key, alert in alerts.items()
        if alert.due_ms <= now_ms and (alert.told == 0 or (is_idle and key not in silent and not is_held(alert)))
    }


def waiting_files(folder: Path) -> dict[str, list[Path]]:
    """What waits in an outbox, by channel, found without touching anything."""
    return {name: waiting_in(folder / name) for name in (MAIN, *CHANNELS)}


def set_channels(folder: Path, names: Collection[str]) -> None:
    """Make the folders of the channels that are set up; one that no longer is keeps its messages as `NAME.off-N`."""
    for name in CHANNELS:
        if name in names:
            (folder / name).mkdir(parents=True, exist_ok=True)
        elif (folder / name).is_dir():
            number = 1
            while (aside := folder / f"{name}.off-{number}").exists():
                number += 1
            (folder / name).rename(aside)


def signed(text: str, message_id: str) -> str:
    """A text with the id that `./lab explain` takes; an alert of an older lab has none."""
    return f"{text}\n{ID_LINE}{message_id}" if message_id else text

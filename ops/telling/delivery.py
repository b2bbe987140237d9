"""Carries what waits in the outbox to whoever reads it, each channel by itself: a dead one holds up no other."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

import structlog

from ops.figures import age
from ops.reader import MessageSettings
from trading.domain.clock import Clock
from trading.domain.events import Event, Publish, Severity
from trading.notify.message import Message, Notifier
from trading.notify.outbox import Outbox
from trading.notify.queue import Drained

log = structlog.get_logger(__name__)

OUTBOX_S = 15.0
"""Real seconds after which waiting messages are tried again."""
SILENT_S = 21_600.0
"""Lab seconds in which a channel has taken nothing that waits for it, after which the others tell of it."""
LONGEST_GAP_S = 3_600.0
"""Real seconds between two tries of a channel that has a bug: they double up to here."""
LAST_WORDS_S = 1.0
"""Real seconds that messages get when the service ends; what was not taken by then waits on disk."""


class Delivery:
    """Delivers while the service runs. A bug in a channel is told like that of a job and ends nothing.

    Args:
        outbox: What waits.
        channels: Who carries, by the channel's name; `MAIN` is the first.
        settings: The reader's hours.
        clock: Lab time.
        wake: Set when a message was queued.
        stop: Ends it.
        publish: Told of bugs, and that they are over.
    """

    def __init__(
        self,
        outbox: Outbox,
        channels: Mapping[str, Notifier],
        settings: MessageSettings,
        clock: Clock,
        *,
        wake: asyncio.Event,
        stop: asyncio.Event,
        publish: Publish = lambda _: None,
    ) -> None:
        self._outbox, self._channels, self._settings, self._clock = outbox, channels, settings, clock
        self._wake, self._stop, self._publish = wake, stop, publish
        self._bugs: Counter[str] = Counter()
        """In a row, by channel."""
        self._not_before_s: dict[str, float] = {}
        """Real moment before which a channel with a bug is not tried again."""
        self._due = {name: asyncio.Event() for name in channels}
        self._silent_since_ms: dict[str, int | None] = dict.fromkeys(channels)
        """Channels that did not take all the last time, and since when; None: not asked yet."""

    async def run(self) -> None:
        """Deliver what waits; try again after a while where something stayed."""
        async with asyncio.TaskGroup() as group:
            for name in self._channels:
                group.create_task(self._serve(name), name=f"messages {name or 'main'}")
            while not self._stop.is_set():
                self._wake.clear()
                for due in self._due.values():
                    due.set()
                try:
                    async with asyncio.timeout(OUTBOX_S):
                        await self._wake.wait()
                except TimeoutError:
                    continue
            for due in self._due.values():
                due.set()

    async def last_words(self) -> None:
        """What was told while ending, be it of a bug; a channel that does not answer is not waited for."""
        await asyncio.gather(*(self._drain(name) for name in self._channels))

    async def _serve(self, name: str) -> None:
        while not self._stop.is_set():
            self._due[name].clear()
            await self._drain(name)
            if not self._stop.is_set():
                await self._due[name].wait()

    async def _drain(self, name: str) -> None:
        """Deliver what waits; whatever goes wrong is told, and tried again after growing gaps."""
        if self._clock.real_s() < self._not_before_s.get(name, 0.0):
            return
        try:
            drained = await self._drained(name)
            if drained is not None:
                self._watch(name, drained)
                if self._bugs.pop(name, 0):
                    self._publish(Event(self._clock.now_ms(), "job.recovered", {"job": _job(name)}))
        except Exception as error:  # noqa: BLE001  # told, and ends nothing: what trades runs in the same group
            self._note_bug(name, error)

    def _note_bug(self, name: str, error: Exception) -> None:
        self._bugs[name] += 1
        gap_s = min(OUTBOX_S * 2.0 ** (self._bugs[name] - 1), LONGEST_GAP_S)
        self._not_before_s[name] = self._clock.real_s() + gap_s
        log.exception("messages.bug", channel=name or "main", again_s=gap_s)
        facts = {"job": _job(name), "failures": self._bugs[name], "error": f"{type(error).__name__}: {error}"}
        self._publish(Event(self._clock.now_ms(), "job.failing", facts, Severity.ALERT))

    async def _drained(self, name: str) -> Drained | None:
        """What a drain did; None: once the service ends, a channel that does not answer is not waited for."""
        work = self._outbox.drain(self._channels[name], self._clock, channel=name, holds=self._holds)
        drain = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            if not self._stop.is_set():
                await asyncio.wait({drain, stop}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({drain}, timeout=LAST_WORDS_S)
        finally:
            stop.cancel()
            drain.cancel()
        await asyncio.gather(drain, stop, return_exceptions=True)
        return None if drain.cancelled() else drain.result()

    def _watch(self, name: str, drained: Drained) -> None:
        """A channel that takes nothing for hours is an alert, which the others carry."""
        key, now_ms = f"messages.stuck:{name or 'main'}", self._clock.now_ms()
        if not drained.reason:
            if name in self._silent_since_ms:
                del self._silent_since_ms[name]
                self._outbox.resolve(key)
            return
        since_ms = self._silent_since_ms[name] = self._silent_since_ms.get(name) or now_ms
        if now_ms - since_ms >= SILENT_S * 1000 and len(self._channels) > 1:
            text = (
                f"🚨 messages.stuck: {name or 'Telegram'} has taken no message for {age((now_ms - since_ms) / 1000)}: "
                f"{drained.reason}. What waits is kept. Do: python send_test_notification.py"
            )
            self._outbox.put(Message("alert", text, dedup_key=key, severity=Severity.ALERT), self._clock)

    def _holds(self, message: Message) -> bool:
        return self._settings.holds(message, self._clock.now_ms())


def _job(name: str) -> str:
    """What a channel is called among the jobs."""
    return f"messages {name}" if name else "messages"

"""Carries what waits in the outbox to whoever reads it, each channel by itself: a dead one holds up no other."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from ops.reader import MessageSettings
from trading.domain.clock import Clock
from trading.domain.errors import TradingEngineError
from trading.notify.message import Message, Notifier
from trading.notify.outbox import Outbox

log = structlog.get_logger(__name__)

OUTBOX_S = 15.0
"""Real seconds after which waiting messages are tried again."""
LAST_WORDS_S = 1.0
"""Real seconds that messages get when the service ends; what was not taken by then waits on disk."""


class Delivery:
    """Delivers while the service runs.

    Args:
        outbox: What waits.
        channels: Who carries, by the channel's name; `MAIN` is the first.
        settings: The reader's hours.
        clock: Lab time.
        wake: Set when a message was queued.
        stop: Ends it.
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
    ) -> None:
        self._outbox, self._channels, self._settings, self._clock = outbox, channels, settings, clock
        self._wake, self._stop = wake, stop
        self._due = {name: asyncio.Event() for name in channels}

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
        try:
            await asyncio.gather(*(self._drain(name) for name in self._channels))
        except TradingEngineError as error:
            log.warning("messages.kept", error=str(error))

    async def _serve(self, name: str) -> None:
        while not self._stop.is_set():
            self._due[name].clear()
            await self._drain(name)
            if not self._stop.is_set():
                await self._due[name].wait()

    async def _drain(self, name: str) -> None:
        """Deliver what waits. Once the service ends, a channel that does not answer is not waited for."""
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
        if not drain.cancelled():
            drain.result()

    def _holds(self, message: Message) -> bool:
        return self._settings.holds(message, self._clock.now_ms())

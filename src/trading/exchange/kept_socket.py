"""One connection that is kept: opened again when it breaks, dropped when it has fallen silent.

Two things tell a dead connection from a quiet one. Pings that stay unanswered for seconds (the line sends them and
breaks) mean that nobody is there. Answered pings with no message mean that the subscription is dead: how long that may
last is measured, four times the mean time between messages of this connection, at least `SILENT_S`. The venue closes
every connection after 24 hours; that is a break like any other. All waits guard the machine's network: real seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import numpy as np
import structlog

from trading.domain.errors import RateLimitError, TradingEngineError
from trading.exchange.sockets import Dial, OnMessage, SocketPlan

log = structlog.get_logger()

SILENT_S = 8.0
"""A connection that used to speak more often than every two seconds is opened anew after this long, real seconds."""
LONGEST_SILENT_S = 60.0
"""And one that never says much after this long at the latest."""
_GAPS = 4.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 30.0


class KeptSocket:
    """A connection and its life.

    Args:
        dial: The venue.
        plan: Its streams.
        on_message: Told of every message; runs inside the socket's reader, so it only files it.
        on_break: Told why the connection broke, before it is opened again.
    """

    def __init__(
        self, dial: Dial, plan: SocketPlan, *, on_message: OnMessage, on_break: Callable[[str], None] | None = None
    ) -> None:
        self._dial, self.plan = dial, plan
        self._on_message, self._on_break = on_message, on_break
        self._chance = np.random.default_rng()  # many labs that lost one venue must not all come back at once
        self._messages, self._listened_s, self._heard_s = 0, 0.0, dial.clock.real_s()
        self.breaks = 0
        """How often it broke."""

    async def run(self, stopped: asyncio.Event) -> None:
        """Keep the connection until stopped."""
        wait_s = _FIRST_WAIT_S
        while not stopped.is_set():
            before = self._messages
            began_s = self._heard_s = self._dial.clock.real_s()
            watchman = asyncio.create_task(self._watch_silence(stopped, began_s), name=f"silence-{self.plan.name}")
            try:
                await self._dial.listen(self.plan, self._hear)
            except TradingEngineError as error:
                self._listened_s += self._dial.clock.real_s() - began_s
                self.breaks += 1
                log.warning("stream.broken", connection=self.plan.name, streams=len(self.plan.wants), error=str(error))
                if self._on_break is not None:
                    self._on_break(str(error))
                if self._messages > before:
                    wait_s = _FIRST_WAIT_S
                wait_s = await self._back_off(stopped, wait_s, error)
            else:
                return  # closed by us
            finally:
                watchman.cancel()

    def _hear(self, message: Mapping[str, object], received_ms: int) -> None:
        self._heard_s = self._dial.clock.real_s()
        self._messages += 1
        self._on_message(message, received_ms)

    def _patience_s(self, began_s: float) -> float:
        """How long this connection may say nothing. The silence in hand does not count, or it would excuse itself."""
        listened_s = self._listened_s + self._heard_s - began_s
        return min(max(SILENT_S, _GAPS * listened_s / (self._messages + 1)), max(SILENT_S, LONGEST_SILENT_S))

    async def _watch_silence(self, stopped: asyncio.Event, began_s: float) -> None:
        while self.plan.must_speak:
            patience_s = self._patience_s(began_s)
            left_s = self._heard_s + patience_s - self._dial.clock.real_s()
            if left_s <= 0:
                log.warning("stream.silent", connection=self.plan.name, silent_s=round(patience_s, 1))
                self._dial.drop(self.plan)
                self._heard_s = self._dial.clock.real_s()  # still there then: a handshake that was under way
                continue
            if await self._dial.clock.real_wait_s(stopped, left_s):
                return

    async def _back_off(self, stopped: asyncio.Event, wait_s: float, error: TradingEngineError) -> float:
        """Wait half to one and a half times `wait_s` real seconds, or until stopped; the next, longer wait."""
        due_s = wait_s * (0.5 + float(self._chance.random()))
        if isinstance(error, RateLimitError):
            due_s = max(due_s, error.retry_after_s)
        await self._dial.clock.real_wait_s(stopped, due_s)
        return min(wait_s * 2.0, _LONGEST_WAIT_S)

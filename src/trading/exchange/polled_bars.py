"""Live candles by asking: every closed one once and in order, running updates in between. No socket to fall silent.

Asked right after a close is due, and every so often in between. What a venue does not list is never made up: a close
that is late is asked for again, and candles it leaves out are a gap.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress

import structlog

from trading.domain.clock import Clock
from trading.domain.errors import RateLimitError, TradingEngineError
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS, Bar
from trading.market.bar_sequence import BarSequence

log = structlog.get_logger(__name__)

Subscription = tuple[Market, str, str]
"""Market, symbol (`BTCUSDT`), interval."""
SETTLE_MS = 1_500
"""A close is asked for so long after it is due, milliseconds: venues take a moment."""
OVERDUE_S, OVERDUE_MS = 2.0, 60_000
"""A close that is late is asked for again after so many seconds, for so many milliseconds; then as usual."""
_BREATH_S = 0.05
"""Between two rounds at least, real seconds: in a rehearsal lab minutes pass within a round trip."""
_LONGEST_WAIT_S = 60.0


class PolledBars:
    """One listener's candles.

    Args:
        clock: Lab time.
        klines: REST candles of a subscription from a start (UTC ms), at most so many, the running one last.
        subscriptions: What to listen to.
        look_every_s: Between two looks, lab seconds.
        page: Most candles of an answer.
    """

    def __init__(
        self,
        clock: Clock,
        klines: Callable[[Subscription, int, int], Awaitable[list[Bar]]],
        subscriptions: Sequence[Subscription],
        *,
        look_every_s: float,
        page: int,
    ) -> None:
        self._clock, self._klines, self._page = clock, klines, page
        self._look_every_s = look_every_s
        self._sequences = {key: BarSequence(INTERVAL_MS[key[2]]) for key in dict.fromkeys(subscriptions)}
        self._asked_ms = dict.fromkeys(self._sequences, 0)
        """When a subscription was last asked about, lab time."""
        self._stopped = asyncio.Event()
        self._has_failed = False
        """In this round."""
        self._wait_s = 0.0
        """The venue did not answer: so long until the next round, real seconds; 0: it did."""

    async def stop(self) -> None:
        """End the iteration."""
        self._stopped.set()

    async def bars(self) -> AsyncIterator[Bar]:
        """Candles until `stop`."""
        while not self._stopped.is_set():
            began_s, self._has_failed = self._clock.real_s(), False
            for key in self._sequences:
                for bar in await self._new(key):
                    if self._stopped.is_set():
                        return
                    yield bar
            if not self._has_failed:
                self._wait_s = 0.0
            await self._pause(began_s)

    async def _new(self, key: Subscription) -> list[Bar]:
        """What has closed since the last look, and the running candle."""
        sequence, span_ms = self._sequences[key], INTERVAL_MS[key[2]]
        start_ms = sequence.wanted_ms
        if start_ms is None:
            start_ms = self._clock.now_ms() // span_ms * span_ms
        self._asked_ms[key] = self._clock.now_ms()
        try:
            page = await self._klines(key, start_ms, self._page)
        except TradingEngineError as error:
            self._back_off(key, error)
            return []
        found = [bar for bar in page if bar.open_time_ms >= start_ms]
        if sequence.wanted_ms is None and found:
            sequence.skip_to(found[0].open_time_ms)
        closed = sequence.missing(found)
        for bar in closed:
            if bar.open_time_ms != sequence.wanted_ms:
                log.warning("candles.gap", market=key[0], symbol=key[1], interval=key[2],
                            wanted_ms=sequence.wanted_ms, got_ms=bar.open_time_ms)  # fmt: skip
            sequence.passed(bar)
        return closed + [bar for bar in found[-1:] if not bar.is_closed]

    def _back_off(self, key: Subscription, error: TradingEngineError) -> None:
        self._has_failed = True
        self._wait_s = min(max(1.0, 2.0 * self._wait_s), _LONGEST_WAIT_S)
        if isinstance(error, RateLimitError):
            self._wait_s = max(self._wait_s, error.retry_after_s)
        log.warning("candles.not_read", market=key[0], symbol=key[1], interval=key[2], error=str(error),
                    wait_s=self._wait_s)  # fmt: skip

    async def _pause(self, began_s: float) -> None:
        """Until the next look is due; longer when the venue did not answer."""
        if self._wait_s:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), timeout=self._wait_s)
            return
        now_ms = self._clock.now_ms()
        next_s = min(self._until_next_s(key, now_ms) for key in self._sequences)
        await self._clock.wait_s(self._stopped, next_s)
        breath_s = began_s + _BREATH_S - self._clock.real_s()
        if breath_s > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), timeout=breath_s)

    def _until_next_s(self, key: Subscription, now_ms: int) -> float:
        """When a subscription should be asked about next, lab seconds from now."""
        wanted_ms = self._sequences[key].wanted_ms
        if wanted_ms is None:
            return self._look_every_s
        due_ms = wanted_ms + INTERVAL_MS[key[2]] + SETTLE_MS
        if self._asked_ms[key] < due_ms:
            return min(self._look_every_s, max(0.0, (due_ms - now_ms) / 1000.0))
        return OVERDUE_S if now_ms < due_ms + OVERDUE_MS else self._look_every_s

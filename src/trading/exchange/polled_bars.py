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
from trading.domain.market import INTERVAL_MS, Bar
from trading.market.bar_sequence import BarSequence, Subscription

log = structlog.get_logger(__name__)

SETTLE_MS = 1_500
"""A close is asked for so long after it is due, milliseconds: venues take a moment."""
OVERDUE_S, OVERDUE_MS = 2.0, 60_000
"""A close that is late is asked for again after so many seconds, for so many milliseconds; then as usual."""
_BREATH_S = 0.05
"""Between two rounds at least, real seconds: in a rehearsal lab minutes pass within a round trip."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0


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
        self._wait_s = dict.fromkeys(self._sequences, 0.0)
        """How long a subscription without an answer is left alone, real seconds; 0: it had one."""
        self._not_before_s = dict.fromkeys(self._sequences, float("-inf"))
        self._quiet_until_s = float("-inf")
        """The venue asked to be left alone."""

    async def stop(self) -> None:
        """End the iteration."""
        self._stopped.set()

    async def bars(self) -> AsyncIterator[Bar]:
        """Candles until `stop`."""
        while not self._stopped.is_set():
            began_s = self._clock.real_s()
            for key in self._sequences:
                for bar in await self._new(key) if self._left_s(key) <= 0 else ():
                    if self._stopped.is_set():
                        return
                    yield bar
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
        self._wait_s[key] = 0.0
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
        """This subscription is left alone for a while; all of them, where the venue said so."""
        wait_s = self._wait_s[key] = min(max(_FIRST_WAIT_S, 2.0 * self._wait_s[key]), _LONGEST_WAIT_S)
        self._not_before_s[key] = self._clock.real_s() + wait_s
        if isinstance(error, RateLimitError):
            self._quiet_until_s = self._clock.real_s() + max(wait_s, error.retry_after_s)
        log.warning("candles.not_read", market=key[0], symbol=key[1], interval=key[2], error=str(error),
                    wait_s=wait_s)  # fmt: skip

    def _left_s(self, key: Subscription) -> float:
        """How long it is left alone, real seconds."""
        return max(self._not_before_s[key], self._quiet_until_s) - self._clock.real_s()

    async def _pause(self, began_s: float) -> None:
        """Until the next look is due, or the first of those left alone may be asked again."""
        left_s = {key: self._left_s(key) for key in self._sequences}
        again_s = min((wait_s for wait_s in left_s.values() if wait_s > 0), default=None)
        now_ms = self._clock.now_ms()
        next_s = min((self._until_next_s(key, now_ms) for key, wait_s in left_s.items() if wait_s <= 0), default=None)
        if next_s is None:
            await self._clock.real_wait_s(self._stopped, again_s or 0.0)
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._clock.wait_s(self._stopped, next_s), timeout=again_s)
        breath_s = began_s + _BREATH_S - self._clock.real_s()
        if breath_s > 0:
            await self._clock.real_wait_s(self._stopped, breath_s)

    def _until_next_s(self, key: Subscription, now_ms: int) -> float:
        """When a subscription should be asked about next, lab seconds from now."""
        wanted_ms = self._sequences[key].wanted_ms
        if wanted_ms is None:
            return self._look_every_s
        due_ms = wanted_ms + INTERVAL_MS[key[2]] + SETTLE_MS
        if self._asked_ms[key] < due_ms:
            return min(self._look_every_s, max(0.0, (due_ms - now_ms) / 1000.0))
        return OVERDUE_S if now_ms < due_ms + OVERDUE_MS else self._look_every_s

"""Live candles over sockets that break: every closed candle once, in order, and running updates in between.

A torn or silent socket is opened again (`kept_socket`), what was missed is fetched by REST, and a candle whose close is
overdue is fetched even when the socket looks healthy: one subscription of many can die in silence. Waits that guard the
machine's network are in real seconds; what is due is judged by lab time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from trading.domain.errors import RateLimitError, TradingEngineError
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS, Bar
from trading.exchange.kept_socket import KeptSocket
from trading.exchange.parse_stream import streamed_bar
from trading.exchange.sockets import Dial, StreamKind, Want, plan_sockets
from trading.market.bar_sequence import BarSequence, Place

log = structlog.get_logger()

Subscription = tuple[Market, str, str]
"""Market, symbol (`BTCUSDT`), interval."""

OVERDUE_LAB_MS = 5_000
"""A close this late by lab time is asked for by REST, milliseconds..."""
OVERDUE_REAL_S = 2.0
"""...if it is also this late by real time, seconds: in a rehearsal lab minutes pass within a network round trip."""
PAGE = 1000
_TICK_S = 0.5
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 30.0
_UNFINISHED_LOOKS = 25
"""How often REST is asked for a candle that has ended and is not listed as closed yet, `_FIRST_WAIT_S` apart."""


@dataclass(frozen=True, slots=True)
class Wire:
    """What the stream needs of the venue."""

    dial: Dial
    """How connections are made."""
    klines: Callable[[Subscription, int, int], Awaitable[list[Bar]]]
    """REST candles of a subscription from a start (UTC ms), at most so many."""


class BarStream:
    """One listener's candles.

    Args:
        wire: The venue.
        subscriptions: What to listen to.
    """

    def __init__(self, wire: Wire, subscriptions: Sequence[Subscription]) -> None:
        self._wire, self._clock = wire, wire.dial.clock
        self._keys = tuple(dict.fromkeys(subscriptions))
        self._sequences = {key: BarSequence(INTERVAL_MS[key[2]]) for key in self._keys}
        self._closed: deque[Bar] = deque()
        self._running: dict[Subscription, Bar] = {}
        self._arrived = asyncio.Event()
        self._stopped = asyncio.Event()
        wants = [Want(market, symbol, StreamKind.CANDLE, interval) for market, symbol, interval in self._keys]
        self._plans = plan_sockets(wants, wire.dial.numbers)
        self._moved_s = {key: wire.dial.clock.real_s() for key in self._keys}
        self._looked_s = float("-inf")
        self._loops: list[asyncio.Task[None]] = []

    async def stop(self) -> None:
        """End the iteration and the connections' loops."""
        self._stopped.set()
        self._arrived.set()
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    async def bars(self) -> AsyncIterator[Bar]:
        """Candles until `stop`; a bug in a connection's loop is raised here."""
        sockets = [
            KeptSocket(self._wire.dial, plan, on_message=partial(self._hear, plan.market)) for plan in self._plans
        ]
        self._loops = [
            asyncio.create_task(socket.run(self._stopped), name=f"candles-{socket.plan.name}") for socket in sockets
        ]
        try:
            while not self._stopped.is_set():
                while self._closed and not self._stopped.is_set():
                    for bar in await self._in_order(self._closed.popleft()):
                        yield bar
                for key in list(self._running):
                    # Taken one by one: while the listener digests a candle, the next one's close may replace it.
                    if (running := self._running.pop(key, None)) is not None:
                        for bar in await self._in_order(running):
                            yield bar
                for key in self._overdue():
                    for bar in await self._repaired(key, before_ms=None):
                        yield bar
                for loop in self._loops:
                    if loop.done() and not self._stopped.is_set():
                        loop.result()
                await self._next_arrival()
        finally:
            await self.stop()

    async def _next_arrival(self) -> None:
        if not self._closed and not self._running:
            await self._clock.real_wait_s(self._arrived, _TICK_S)
        if not self._stopped.is_set():
            self._arrived.clear()

    async def _in_order(self, bar: Bar) -> list[Bar]:
        """The candle, and before it those that were missed; nothing when it was told already."""
        key = (bar.market, bar.symbol, bar.interval)
        sequence = self._sequences[key]
        place = sequence.place(bar)
        if place is Place.OLD:
            return []
        missed: list[Bar] = []
        if place is Place.AFTER_GAP:
            log.warning("candles.gap", market=bar.market, symbol=bar.symbol, interval=bar.interval,
                        wanted_ms=sequence.wanted_ms, got_ms=bar.open_time_ms)  # fmt: skip
            missed = await self._repaired(key, before_ms=bar.open_time_ms)
            sequence.skip_to(bar.open_time_ms)
        sequence.passed(bar)
        self._moved_s[key] = self._clock.real_s()
        return [*missed, bar]

    async def _repaired(self, key: Subscription, *, before_ms: int | None) -> list[Bar]:
        """Closed candles that were missed, by REST. With `before_ms` it insists: nothing later is passed on first."""
        sequence, wait_s, repaired = self._sequences[key], _FIRST_WAIT_S, list[Bar]()
        unfinished = 0
        while not self._stopped.is_set() and sequence.wanted_ms is not None:
            try:
                page = await self._wire.klines(key, sequence.wanted_ms, PAGE)
            except TradingEngineError as error:
                log.warning("candles.repair_failed", market=key[0], symbol=key[1], interval=key[2], error=str(error))
                self._moved_s[key] = self._clock.real_s()
                if before_ms is None:
                    break
                wait_s = await self._back_off(wait_s, error)
                continue
            found = sequence.missing(page, before_ms=before_ms)
            for bar in found:
                sequence.passed(bar)
            repaired += found
            self._moved_s[key] = self._clock.real_s()
            if before_ms is not None and sequence.has_unfinished(page, before_ms=before_ms):
                unfinished += 1
                if unfinished < _UNFINISHED_LOOKS:
                    await self._clock.real_wait_s(self._stopped, _FIRST_WAIT_S)
                    continue
            if len(page) < PAGE or not found:
                break
        return repaired

    def _overdue(self) -> list[Subscription]:
        """Subscriptions whose next close is late, by lab time and by real time; looked for once a tick."""
        now_ms, now_s = self._clock.now_ms(), self._clock.real_s()
        if now_s < self._looked_s + _TICK_S:
            return []
        self._looked_s = now_s
        return [
            key
            for key, sequence in self._sequences.items()
            if sequence.wanted_ms is not None
            and now_ms > sequence.wanted_ms + INTERVAL_MS[key[2]] + OVERDUE_LAB_MS
            and now_s > self._moved_s[key] + OVERDUE_REAL_S
        ]

    def _hear(self, market: Market, message: Mapping[str, object], received_ms: int) -> None:
        """A raw candle came in; runs inside the socket's reader, so it only files it."""
        try:
            bar = streamed_bar(market, message.get("data"), received_ms=received_ms)
        except TradingEngineError as error:
            log.warning("candles.unreadable", stream=message.get("stream"), error=str(error))
            return
        key = (bar.market, bar.symbol, bar.interval)
        if key not in self._sequences:
            return
        if bar.is_closed:
            self._closed.append(bar)
            self._running.pop(key, None)
        else:
            self._running[key] = bar
        self._arrived.set()

    async def _back_off(self, wait_s: float, error: TradingEngineError) -> float:
        """Wait real seconds, or until stopped; returns the next, longer wait."""
        due_s = max(wait_s, error.retry_after_s) if isinstance(error, RateLimitError) else wait_s
        await self._clock.real_wait_s(self._stopped, due_s)
        return min(wait_s * 2.0, _LONGEST_WAIT_S)

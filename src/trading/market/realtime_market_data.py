"""Live markets as rolling tapes: history by REST at the start, closed bars from the stream, each one validated.

A closed bar reaches the listeners once, in order, after the tape holds it. A bar that may not even be researched on is
fetched again by REST; if that does not help it stays out, and the verdict says why. A perpetual's tape carries its
settled funding; see `live_funding.py`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

import structlog

from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError, ExecutionError, TradingEngineError
from trading.domain.events import Event, Publish
from trading.domain.instrument import Instrument, Market
from trading.domain.market import INTERVAL_MS, Bar
from trading.domain.venue import MarketData
from trading.market.bar_sequence import BarSequence, Place, Subscription
from trading.market.live_funding import LiveFunding
from trading.market.live_verdicts import LiveVerdicts
from trading.market.missed_candles import SECOND_LOOK, missed_candles
from trading.market.patience import Patience
from trading.market.rolling import RollingBars
from trading.market.tape import Tape
from trading.market.validator_rules import ValidatorSettings, Verdict

log = structlog.get_logger()

OnClosedBar = Callable[[Bar], Awaitable[None] | None]
"""A listener; an awaitable is awaited before the next bar is told."""

_TRIES = 4
_WAIT_S = 0.25
"""The venue takes a moment to list what it has just told: it is asked so often, so many lab seconds apart."""


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """How much history is kept and how data is judged."""

    keep_bars: int = 2000
    """Closed bars of each tape; also how many are fetched at the start."""
    validator: ValidatorSettings = field(default_factory=ValidatorSettings)


class RealtimeMarketData:
    """Rolling tapes of live markets.

    Args:
        data: The venue's public side.
        clock: Lab time.
        subscriptions: What to keep.
        publish: Told of `data.blocked`, `data.failing`, `data.revised` and `data.repaired`.
        settings: How much is kept, and the validator's thresholds.
    """

    def __init__(
        self,
        data: MarketData,
        clock: Clock,
        subscriptions: Sequence[Subscription],
        *,
        publish: Publish = lambda _event: None,
        settings: LiveSettings | None = None,
    ) -> None:
        self._data, self._clock, self._publish = data, clock, publish
        self._settings = settings or LiveSettings()
        self._keys = tuple(dict.fromkeys(subscriptions))
        self._rolling = {key: RollingBars(*key, keep_bars=self._settings.keep_bars) for key in self._keys}
        self._sequences = {key: BarSequence(INTERVAL_MS[key[2]]) for key in self._keys}
        self._verdicts = LiveVerdicts(self._keys, clock, self._settings.validator, publish)
        self._patience = {key: Patience() for key in self._keys}
        perps = {key: rolling for key, rolling in self._rolling.items() if key[0] is Market.PERP}
        self._funding = LiveFunding(data, clock, perps)
        self._running: dict[Subscription, Bar] = {}
        self._heard_ms: dict[Subscription, int] = {}
        self._listeners: list[OnClosedBar] = []

    def on_closed_bar(self, listener: OnClosedBar) -> None:
        """Call `listener` with every closed bar, once and in order, after the tape holds it."""
        self._listeners.append(listener)

    def tape(self, market: Market, symbol: str, interval: str) -> Tape:
        """The newest closed bars, origin `live`; a perpetual's with its settled funding.

        Raises:
            DataProviderError: not subscribed to, or nothing has closed yet.
        """
        return self._at((market, symbol, interval)).tape()

    def last_closed_ms(self, market: Market, symbol: str, interval: str) -> int | None:
        """The end of the newest closed bar held, UTC milliseconds; None before the first."""
        return self._at((market, symbol, interval)).closed_until_ms

    def running(self, market: Market, symbol: str, interval: str) -> Bar | None:
        """The candle that is still open, as last heard of; None when it is not known."""
        return self._running.get((market, symbol, interval))

    def age_s(self, market: Market, symbol: str, interval: str) -> float:
        """Lab seconds since anything was heard of this market; infinite before the first word."""
        heard_ms = self._heard_ms.get((market, symbol, interval))
        return float("inf") if heard_ms is None else (self._clock.now_ms() - heard_ms) / 1000.0

    def verdict(self, market: Market, symbol: str, interval: str) -> Verdict:
        """What the validator said of the newest closed bar."""
        self._at((market, symbol, interval))
        return self._verdicts.of((market, symbol, interval))

    def know(self, instrument: Instrument) -> None:
        """The venue's filters and status, as last read: bars are held to the tick and lot, orders to the status."""
        self._verdicts.instruments[instrument.market, instrument.symbol] = instrument

    async def open(self) -> None:
        """Fetch the history of every subscription.

        Raises:
            DataProviderError: the venue has no history, or does not answer.
        """
        now_ms = self._clock.now_ms()  # of all subscriptions, so that a replay asks what was asked live
        for key in self._keys:
            rolling, span_ms = self._rolling[key], INTERVAL_MS[key[2]]
            start_ms = now_ms // span_ms * span_ms - self._settings.keep_bars * span_ms
            async for bar in self._pages(key, start_ms, before_ms=None):
                self._take(key, bar, tell=False)
            if rolling.last is None:
                raise DataProviderError(f"{key[0]} {key[1]} {key[2]}: the venue has no closed candle yet; wait")
            if key[0] is Market.PERP:
                await self._funding.read(key)
            log.info("candles.history", market=key[0], symbol=key[1], interval=key[2], bars=len(rolling),
                     gaps=len(rolling.tape().gaps))  # fmt: skip

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the stream until `stop`, or until the venue is closed. A bar in hand is finished first."""
        stopped = asyncio.ensure_future(stop.wait())
        stream = self._data.stream_bars(self._keys)
        upcoming: asyncio.Future[Bar | None] | None = None
        try:
            while not stop.is_set():
                upcoming = asyncio.ensure_future(anext(stream, None))
                await asyncio.wait({upcoming, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if not upcoming.done() or (bar := upcoming.result()) is None:
                    return
                await self.accept(bar)
        finally:
            stopped.cancel()
            if upcoming is not None and not upcoming.done():  # a stream that is asked cannot be closed
                upcoming.cancel()
                await asyncio.gather(upcoming, return_exceptions=True)
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()

    async def accept(self, bar: Bar) -> None:
        """Take one candle of the stream: file it, repair what is missing before it, tell the listeners."""
        key = (bar.market, bar.symbol, bar.interval)
        self._at(key)
        self._heard_ms[key] = max(bar.received_ms, self._heard_ms.get(key, 0))
        place = self._sequences[key].place(bar)
        if place is Place.OLD:
            self._verdicts.told_again(key, self._rolling[key].at(bar.open_time_ms), bar)
        if place is Place.OLD or (place is Place.AFTER_GAP and not await self._repair(key, bar.open_time_ms)):
            return
        if not bar.is_closed:
            self._running[key] = bar
            if key[0] is Market.PERP:
                await self._funding.read_if_due(key, tries=1)
            return
        self._running.pop(key, None)
        await self._close(key, bar)

    async def _repair(self, key: Subscription, before_ms: int) -> bool:
        """Fetch what closed before a time and was never told. What the venue does not have stays a gap.

        Returns:
            False: the venue did not answer, or the wait after that is not over; the sequence wants the same candle
            still, and the next that comes tries again.
        """
        sequence, patience = self._sequences[key], self._patience[key]
        if not patience.may_ask(self._clock.now_ms()):
            return False
        missing_ms = cast(int, sequence.wanted_ms)
        repaired = 0
        try:
            async for bar in self._pages(key, missing_ms, before_ms=before_ms):
                await self._close(key, bar)
                repaired += 1
        except TradingEngineError as error:
            patience.failed(self._clock.now_ms())
            log.warning("candles.repair_failed", market=key[0], symbol=key[1], interval=key[2], error=str(error))
            return False
        patience.answered()
        sequence.skip_to(before_ms)
        self._publish(
            Event(
                self._clock.now_ms(),
                "data.repaired",
                {"market": key[0], "symbol": key[1], "interval": key[2], "from_ms": missing_ms, "bars": repaired},
            )
        )
        return True

    async def _close(self, key: Subscription, bar: Bar) -> None:
        taken = self._take(key, bar)
        if not taken:
            taken = await self._second_look(key, bar)
        if not taken:
            return
        if key[0] is Market.PERP:
            await self._funding.read_if_due(key, tries=_TRIES)
        for listener in self._listeners:
            told = listener(bar)
            if inspect.isawaitable(told):
                await told

    def _take(self, key: Subscription, bar: Bar, *, tell: bool = True) -> bool:
        """Judge a closed bar and file it; False: it must not even be researched on."""
        rolling = self._rolling[key]
        until_due_ms = self._funding.until_due_ms(key) if key[0] is Market.PERP else None
        verdict = self._verdicts.judge(key, bar, rolling, self._elsewhere(key, bar), until_due_ms, tell=tell)
        if not verdict.ok_for_research:
            return False
        self._sequences[key].passed(bar)
        rolling.append(bar)
        self._heard_ms[key] = max(bar.received_ms, self._heard_ms.get(key, 0))
        return True

    async def _second_look(self, key: Subscription, bar: Bar) -> bool:
        """Ask the venue for a bar that makes no sense again; True: the second answer does, and is filed."""
        for _ in range(_TRIES):
            with suppress(DataProviderError, ExecutionError):
                found = await self._data.klines(*key, start_ms=bar.open_time_ms, limit=SECOND_LOOK)
                again = [candle for candle in found if candle.open_time_ms == bar.open_time_ms]
                if again and again[0].is_closed and self._take(key, again[0]):
                    return True
                if not again or again[0].is_closed:
                    break
            await self._clock.sleep_s(_WAIT_S)
        self._sequences[key].passed(bar)
        return False

    def _elsewhere(self, key: Subscription, bar: Bar) -> float | None:
        """The same coin's price in the other market at the bar's close, where that bar is held."""
        market, symbol, interval = key
        other = self._rolling.get((Market.SPOT if market is Market.PERP else Market.PERP, symbol, interval))
        last = other.last if other is not None else None
        return last.close if last is not None and last.open_time_ms == bar.open_time_ms else None

    def _pages(self, key: Subscription, start_ms: int, *, before_ms: int | None) -> AsyncIterator[Bar]:
        """Closed candles from a start on; see `missed_candles`."""

        async def klines(start_ms: int, limit: int) -> list[Bar]:
            return await self._data.klines(*key, start_ms=start_ms, limit=limit)

        return missed_candles(klines, key, start_ms, before_ms=before_ms)

    def _at(self, key: Subscription) -> RollingBars:
        if key not in self._rolling:
            known = ", ".join(f"{market} {symbol} {interval}" for market, symbol, interval in self._keys)
            raise DataProviderError(f"{key[0]} {key[1]} {key[2]}: not subscribed to; subscribed are {known}")
        return self._rolling[key]

"""Live candles over sockets that break: every closed candle once, in order, and running updates in between.

A torn or silent socket is opened again (`kept_socket`), what was missed is fetched by REST, and a candle whose close is
overdue is fetched even when the socket looks healthy: one subscription of many can die in silence. What is fetched for
one subscription holds up no other. Waits that guard the machine's network are in real seconds; what is due is judged by
lab time.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog

from trading.domain.errors import RateLimitError, TradingEngineError
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS, Bar
from trading.exchange.kept_socket import KeptSocket
from trading.exchange.parse_stream import streamed_bar
from trading.exchange.sockets import Dial, StreamKind, Want, plan_sockets
from trading.market.bar_sequence import BarSequence, Place, Subscription
from trading.market.missed_candles import missed_candles
from trading.market.patience import Patience

log = structlog.get_logger()

OVERDUE_LAB_MS = 5_000
"""A close this late by lab time is asked for by REST, milliseconds..."""
OVERDUE_REAL_S = 2.0
"""...if it is also this late by real time, seconds: in a rehearsal lab minutes pass within a network round trip."""
REPAIRS_AT_ONCE = 16
_TICK_S = 0.5


@dataclass(frozen=True, slots=True)
class Wire:
    """What the stream needs of the venue."""

    dial: Dial
    """How connections are made."""
    klines: Callable[[Subscription, int, int], Awaitable[list[Bar]]]
    """REST candles of a subscription from a start (UTC ms), at most so many."""


@dataclass(slots=True)
class _Repair:
    """What REST said of candles that were missed."""

    key: Subscription
    before_ms: int | None
    """Those that open before this time, UTC milliseconds; None: all that have closed."""
    bars: list[Bar] = field(default_factory=list)
    error: TradingEngineError | None = None
    """Why these are not all."""


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
        self._told: dict[Subscription, Bar] = {}
        """The newest closed candle that was passed on."""
        self._closed: deque[Bar] = deque()
        self._running: dict[Subscription, Bar] = {}
        self._held: defaultdict[Subscription, list[Bar]] = defaultdict(list)
        """Closed candles that wait for those before them."""
        self._repairs: dict[Subscription, asyncio.Task[None]] = {}
        self._repaired: deque[_Repair] = deque()
        self._places = asyncio.Semaphore(REPAIRS_AT_ONCE)
        self._gap_patience = {key: Patience() for key in self._keys}
        self._overdue_patience = {key: Patience() for key in self._keys}
        self._arrived = asyncio.Event()
        self._stopped = asyncio.Event()
        wants = [Want(market, symbol, StreamKind.CANDLE, interval) for market, symbol, interval in self._keys]
        self._plans = plan_sockets(wants, wire.dial.numbers)
        self._began_ms = self._clock.now_ms()
        self._moved_s = {key: wire.dial.clock.real_s() for key in self._keys}
        self._looked_s = float("-inf")
        self._loops: list[asyncio.Task[None]] = []

    async def stop(self) -> None:
        """End the iteration, the connections' loops and the repairs."""
        self._stopped.set()
        self._arrived.set()
        tasks = [*self._loops, *self._repairs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def bars(self) -> AsyncIterator[Bar]:
        """Candles until `stop`; a bug in a connection's loop or a repair is raised here."""
        sockets = [
            KeptSocket(self._wire.dial, plan, on_message=partial(self._hear, plan.market)) for plan in self._plans
        ]
        self._loops = [
            asyncio.create_task(socket.run(self._stopped), name=f"candles-{socket.plan.name}") for socket in sockets
        ]
        try:
            while not self._stopped.is_set():
                while self._closed and not self._stopped.is_set():
                    for bar in self._in_order(self._closed.popleft()):
                        yield bar
                for key in list(self._running):
                    # Taken one by one: while the listener digests a candle, the next one's close may replace it.
                    if (running := self._running.pop(key, None)) is not None:
                        for bar in self._in_order(running):
                            yield bar
                while self._repaired and not self._stopped.is_set():
                    for bar in self._taken(self._repaired.popleft()):
                        yield bar
                self._ask_for_what_is_due()
                for task in (*self._loops, *self._repairs.values()):
                    if task.done() and not self._stopped.is_set():
                        task.result()
                await self._next_arrival()
        finally:
            await self.stop()

    async def _next_arrival(self) -> None:
        if not (self._closed or self._running or self._repaired):
            await self._clock.real_wait_s(self._arrived, _TICK_S)
        if not self._stopped.is_set():
            self._arrived.clear()

    def _in_order(self, bar: Bar) -> list[Bar]:
        """The candle, if it is its turn. One that comes after a gap waits until the gap is filled."""
        key = (bar.market, bar.symbol, bar.interval)
        sequence = self._sequences[key]
        place = sequence.place(bar)
        if place is Place.OLD:
            return [bar] if self._is_revised(key, bar) else []
        if place is Place.AFTER_GAP:
            if bar.is_closed:
                self._held[key].append(bar)
            self._ask(key, before_ms=bar.open_time_ms)
            return []
        self._moved_s[key] = self._clock.real_s()
        return self._passed(key, [bar])

    def _passed(self, key: Subscription, bars: list[Bar]) -> list[Bar]:
        for bar in bars:
            self._sequences[key].passed(bar)
            if bar.is_closed:
                self._told[key] = bar
        return bars

    def _is_revised(self, key: Subscription, bar: Bar) -> bool:
        """The newest closed candle once more, with other numbers: whoever listens says so."""
        told = self._told.get(key)
        if told is None or not bar.is_closed or bar.open_time_ms != told.open_time_ms:
            return False
        cells = [(one.open, one.high, one.low, one.close, one.volume_base) for one in (told, bar)]
        return cells[0] != cells[1]

    def _ask_for_what_is_due(self) -> None:
        for key, held in self._held.items():
            self._ask(key, before_ms=held[0].open_time_ms)
        for key in self._overdue():
            self._ask(key, before_ms=None)

    def _ask(self, key: Subscription, *, before_ms: int | None) -> None:
        """Have the candles fetched that were missed, unless that is under way or the wait for it is not over."""
        if key in self._repairs or not self._patience_of(key, before_ms).may_ask(self._real_ms()):
            return
        if before_ms is not None:
            log.warning("candles.gap", market=key[0], symbol=key[1], interval=key[2],
                        wanted_ms=self._wanted_ms(key), got_ms=before_ms)  # fmt: skip
        self._repairs[key] = asyncio.create_task(self._fetch(key, before_ms), name=f"repair-{key}")

    async def _fetch(self, key: Subscription, before_ms: int | None) -> None:
        repair, klines = _Repair(key, before_ms), partial(self._wire.klines, key)
        try:
            async with self._places:
                async for bar in missed_candles(klines, key, self._wanted_ms(key), before_ms=before_ms):
                    repair.bars.append(bar)
        except TradingEngineError as error:
            log.warning("candles.repair_failed", market=key[0], symbol=key[1], interval=key[2], error=str(error))
            repair.error = error
        self._repaired.append(repair)
        self._arrived.set()

    def _taken(self, repair: _Repair) -> list[Bar]:
        """The candles that were missed, and those that waited for them."""
        key, sequence = repair.key, self._sequences[repair.key]
        del self._repairs[key]
        told = self._passed(key, sequence.missing(repair.bars, before_ms=repair.before_ms))
        self._moved_s[key] = self._clock.real_s()
        patience = self._patience_of(key, repair.before_ms)
        if repair.error is not None or (repair.before_ms is None and not told):
            quiet_s = repair.error.retry_after_s if isinstance(repair.error, RateLimitError) else 0.0
            patience.failed(self._real_ms(), told_ms=int(quiet_s * 1000))
        else:
            patience.answered()
            if repair.before_ms is not None:
                sequence.skip_to(repair.before_ms)
        for bar in self._held.pop(key, ()):
            told += self._in_order(bar)
        return told

    def _patience_of(self, key: Subscription, before_ms: int | None) -> Patience:
        """A market that stands still is asked for its close ever more seldom; once it moves again, at once."""
        return (self._overdue_patience if before_ms is None else self._gap_patience)[key]

    def _wanted_ms(self, key: Subscription) -> int:
        """Open time of the candle that should close next; before the first word, of that which ran at the start."""
        wanted_ms, span_ms = self._sequences[key].wanted_ms, INTERVAL_MS[key[2]]
        return self._began_ms // span_ms * span_ms if wanted_ms is None else wanted_ms

    def _overdue(self) -> list[Subscription]:
        """Subscriptions whose next close is late, by lab time and by real time; looked for once a tick."""
        now_ms, now_s = self._clock.now_ms(), self._clock.real_s()
        if now_s < self._looked_s + _TICK_S:
            return []
        self._looked_s = now_s
        return [
            key
            for key in self._keys
            if now_ms > self._wanted_ms(key) + INTERVAL_MS[key[2]] + OVERDUE_LAB_MS
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

    def _real_ms(self) -> int:
        return int(self._clock.real_s() * 1000)

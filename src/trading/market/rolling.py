"""The newest closed bars of one market as a tape that rolls: appended to as bars close, cut at the old end. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np

from trading.domain.instrument import Instrument, Market
from trading.domain.market import Bar, FundingRate
from trading.market.checks.bar import Seen, repeats_bar
from trading.market.checks.moves import RECENT, Recent
from trading.market.tape import Funding, Tape, make_tape

SECOND_MS = 1000


class RollingBars:
    """Closed bars of one (market, symbol, interval), oldest first, at most so many.

    Args:
        market: Spot or perpetual.
        symbol: `BTCUSDT`.
        interval: `1h`.
        keep_bars: How many are kept.
    """

    def __init__(self, market: Market, symbol: str, interval: str, *, keep_bars: int) -> None:
        self.market, self.symbol, self.interval = market, symbol, interval
        self._bars: deque[Bar] = deque(maxlen=keep_bars)
        self._funding: dict[int, FundingRate] = {}
        self._tape: Tape | None = None
        self.zero_volume_bars = 0
        """Bars without a trade at the end of the history."""
        self.repeats = 0
        """Bars at the end of the history that repeat the one before them."""
        self._recent = RecentPrices()

    def __len__(self) -> int:
        return len(self._bars)

    @property
    def last(self) -> Bar | None:
        """The newest closed bar; None before the first."""
        return self._bars[-1] if self._bars else None

    @property
    def closed_until_ms(self) -> int | None:
        """The end of the newest closed bar, UTC milliseconds."""
        return self._bars[-1].close_time_ms if self._bars else None

    @property
    def last_funding_ms(self) -> int | None:
        """The newest settlement held, UTC milliseconds rounded to the second."""
        return max(self._funding) if self._funding else None

    @property
    def funding_times_ms(self) -> list[int]:
        """The settlements held, oldest first, UTC milliseconds rounded to the second."""
        return sorted(self._funding)

    def at(self, open_time_ms: int) -> Bar | None:
        """The bar held of this time, looked for from the newest on; None: none is."""
        for bar in reversed(self._bars):
            if bar.open_time_ms <= open_time_ms:
                return bar if bar.open_time_ms == open_time_ms else None
        return None

    def seen(self, *, second_price: float | None, instrument: Instrument | None = None) -> Seen:
        """What the validator needs to know beside the next bar."""
        recent = self._recent.view()
        return Seen(self.last, self.zero_volume_bars, second_price, self.repeats, recent, instrument)

    def append(self, bar: Bar) -> None:
        """Add a closed bar; it opens after all others."""
        self.repeats = self.repeats + 1 if repeats_bar(bar, self.last) else 0
        self._recent.append(bar.open_time_ms, bar.close)
        self._bars.append(bar)
        self.zero_volume_bars = self.zero_volume_bars + 1 if bar.volume_base == 0.0 else 0
        self._tape = None

    def settle(self, rates: Iterable[FundingRate]) -> int:
        """Add settled funding; known settlements are left as they are. Returns how many are new."""
        before = len(self._funding)
        for rate in rates:
            self._funding.setdefault(rounded_ms(rate.time_ms), rate)
        if len(self._funding) > before:
            self._tape = None
        return len(self._funding) - before

    def tape(self) -> Tape:
        """The bars as a tape of origin `live`, with the settlements in them.

        Raises:
            DataProviderError: there is no bar yet.
        """
        if self._tape is None:
            self._tape = make_tape(self._draft())
        return self._tape

    def _draft(self) -> Tape:
        bars = self._bars
        times = np.array([bar.open_time_ms for bar in bars], dtype=np.int64)
        if len(times):
            self._funding = {ms: rate for ms, rate in self._funding.items() if ms > times[0]}
        settled = [rate for ms, rate in self._funding.items() if ms <= (self.closed_until_ms or 0)]
        return Tape(
            self.market,
            self.symbol,
            self.interval,
            "live",
            open_time_ms=times,
            open=np.array([bar.open for bar in bars]),
            high=np.array([bar.high for bar in bars]),
            low=np.array([bar.low for bar in bars]),
            close=np.array([bar.close for bar in bars]),
            volume_base=np.array([bar.volume_base for bar in bars]),
            funding=funding_of(settled),
            gaps=(),
            content_hash="",
        )


class RecentPrices:
    """The newest prices of a market, as many as the validator's robust scale looks at; no copy is made to read them."""

    _ROOM = 8 * RECENT

    def __init__(self) -> None:
        self._at_ms = np.empty(self._ROOM, dtype=np.int64)
        self._price = np.empty(self._ROOM, dtype=np.float64)
        self._count = 0

    def append(self, at_ms: int, price: float) -> None:
        """Add a positive price; one that is not later than the last is left out."""
        if self._count and at_ms <= self._at_ms[self._count - 1]:
            return
        if self._count == self._ROOM:
            for column in (self._at_ms, self._price):
                column[:RECENT] = column[-RECENT:]
            self._count = RECENT
        self._at_ms[self._count], self._price[self._count] = at_ms, price
        self._count += 1

    def view(self) -> Recent:
        """The newest of them, oldest first; good until the next is added."""
        kept = slice(max(0, self._count - RECENT), self._count)
        return Recent(self._at_ms[kept], self._price[kept])


def rounded_ms(time_ms: int) -> int:
    """A settlement's stamp without the venue's jitter of some milliseconds: rounded to the second."""
    return (time_ms + SECOND_MS // 2) // SECOND_MS * SECOND_MS


def funding_of(rates: Iterable[FundingRate]) -> Funding:
    """Settlements as columns, oldest first, one per time; an unpublished mark is nan."""
    kept = {rounded_ms(rate.time_ms): rate for rate in rates}
    times = sorted(kept)
    return Funding(
        np.array(times, dtype=np.int64),
        np.array([kept[ms].rate for ms in times], dtype=np.float64),
        np.array([np.nan if (mark := kept[ms].mark_price) is None else mark for ms in times], dtype=np.float64),
    )

"""What a language model is told of the market: measured from a tape, or nothing at all.

A model once decided on zeros, because the prices never reached its prompt. Here the prompt can only be written from
`MarketFacts`, and those exist only when every number in them was measured and makes sense.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from trading.domain.clock import DAY_MS, iso
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.domain.market import YEAR_MS, bars_per_year
from trading.market.tape import Origin, Tape

ATR_BARS = 14
SPAN_DAYS = 30
"""How far back the facts look; the tape must reach that far."""
ATR_MEMORY = 20
"""Periods after which Wilder's average has forgotten where it began, to within one part in 10^9."""


@dataclass(frozen=True, slots=True)
class MarketFacts:
    """One market as it stands at the close of its last bar. Built by `measure`; refuses to hold a missing number."""

    symbol: str
    market: Market
    interval: str
    origin: Origin
    at_ms: int
    """Close of the last bar."""
    last_price: float
    """Quote per base."""
    atr_quote: float
    """ATR(14), Wilder."""
    atr_pct: float
    """ATR(14) in percent of the last price."""
    volatility_apr_pct: float
    """Standard deviation of log returns over 30 days, annualised."""
    return_1d_pct: float
    return_7d_pct: float
    return_30d_pct: float
    above_average_pct: float
    """Last price against its mean of 30 days."""
    range_position_pct: float
    """0: at the low of 30 days; 100: at its high."""
    efficiency: float
    """|net move| / sum of |moves| over 7 days: 0 all noise, 1 a straight line."""
    volume_quote_1d: float
    """Traded in the last day."""
    funding_rate: float | None
    """Last settled, fraction of notional; None: a spot market has none."""
    funding_apr_pct: float | None
    """Mean of 7 days, annualised; positive: longs pay."""
    basis_rate: float | None
    """The perpetual above spot at the newest bar of the last day that both have, fraction; None: no spot at hand."""

    def __post_init__(self) -> None:
        name = f"market facts of {self.symbol} {self.market} {self.interval}"
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise DataProviderError(f"{name}: {field.name}={value}: not measured; nothing is asked")
        for what in ("last_price", "atr_quote", "atr_pct", "volatility_apr_pct", "volume_quote_1d", "at_ms"):
            if not getattr(self, what) > 0:
                raise DataProviderError(f"{name}: {what}={getattr(self, what)}: a market has more; nothing is asked")
        if self.market is Market.PERP and (self.funding_rate is None or self.funding_apr_pct is None):
            raise DataProviderError(f"{name}: no settled funding of the last week; fetch its history, then ask again")


def measure(tape: Tape) -> MarketFacts:
    """Measure a market at the end of its tape.

    Args:
        tape: Closed bars of an interval of at most a day, the last 30 days and the ATR's memory without a gap.

    Raises:
        DataProviderError: too short, a gap in the stretch, or a number that cannot be measured.
    """
    name = f"market facts of {tape.symbol} {tape.market} {tape.interval}"
    per_day = DAY_MS // tape.interval_ms
    needed = max(SPAN_DAYS * per_day, ATR_BARS * ATR_MEMORY) + 1
    if per_day < 1 or len(tape) < needed:
        raise DataProviderError(f"{name}: {len(tape)} bars, {needed} are needed; fetch more history")
    times = tape.open_time_ms[-needed:]
    if int(times[-1] - times[0]) != (needed - 1) * tape.interval_ms:
        raise DataProviderError(f"{name}: bars are missing after {iso(int(times[0]))}; fetch that stretch again")
    close = tape.close
    month = close[-SPAN_DAYS * per_day - 1 :]
    low, high = float(tape.low[-len(month) :].min()), float(tape.high[-len(month) :].max())
    if not high > low:
        raise DataProviderError(f"{name}: the price has not moved in {SPAN_DAYS} days; nothing is asked")
    week_moves = np.diff(close[-7 * per_day - 1 :])
    atr_quote, last = _atr(tape), float(close[-1])
    funding = _funding(tape)
    return MarketFacts(
        symbol=tape.symbol,
        market=tape.market,
        interval=tape.interval,
        origin=tape.origin,
        at_ms=tape.end_ms,
        last_price=last,
        atr_quote=atr_quote,
        atr_pct=100.0 * atr_quote / last,
        volatility_apr_pct=100.0 * float(np.diff(np.log(month)).std(ddof=1)) * math.sqrt(bars_per_year(tape.interval)),
        return_1d_pct=_return_pct(close, per_day),
        return_7d_pct=_return_pct(close, 7 * per_day),
        return_30d_pct=_return_pct(close, SPAN_DAYS * per_day),
        above_average_pct=100.0 * (last / float(month.mean()) - 1.0),
        range_position_pct=100.0 * (last - low) / (high - low),
        efficiency=_efficiency(week_moves),
        volume_quote_1d=float((tape.volume_base[-per_day:] * close[-per_day:]).sum()),
        funding_rate=None if funding is None else funding[0],
        funding_apr_pct=None if funding is None else funding[1],
        basis_rate=_basis(tape, per_day),
    )


def _return_pct(close: NDArray[np.float64], bars: int) -> float:
    return 100.0 * float(close[-1] / close[-1 - bars] - 1.0)


def _efficiency(moves: NDArray[np.float64]) -> float:
    path = float(np.abs(moves).sum())
    return abs(float(moves.sum())) / path if path > 0 else 0.0


def _atr(tape: Tape) -> float:
    """Wilder's ATR(14) at the last bar, quote; begun `ATR_MEMORY` periods back."""
    count = ATR_BARS * ATR_MEMORY
    high, low, before = tape.high[-count:], tape.low[-count:], tape.close[-count - 1 : -1]
    ranges = np.maximum(high - low, np.maximum(np.abs(high - before), np.abs(low - before)))
    average = float(ranges[:ATR_BARS].mean())
    for value in ranges[ATR_BARS:]:
        average += (float(value) - average) / ATR_BARS
    return average


def _basis(tape: Tape, bars: int) -> float | None:
    """The newest known one of the last so many bars."""
    if len(tape.spot_close) == 0:
        return None
    basis = tape.close[-bars:] / tape.spot_close[-bars:] - 1.0
    known = basis[~np.isnan(basis)]
    return float(known[-1]) if len(known) else None


def _funding(tape: Tape) -> tuple[float, float] | None:
    """Last settled rate, and the mean of a week annualised by its own settlement times; None: none in a week."""
    times, rates = tape.funding.time_ms, tape.funding.rate
    week = slice(
        int(np.searchsorted(times, tape.end_ms - 7 * DAY_MS, side="right")),
        int(np.searchsorted(times, tape.end_ms, side="right")),
    )
    if week.stop - week.start < 1:
        return None
    return float(rates[week.stop - 1]), 100.0 * float(rates[week].sum()) * YEAR_MS / (7 * DAY_MS)

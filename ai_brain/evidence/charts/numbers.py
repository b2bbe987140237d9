"""What the charts draw, as numbers; Sharpe ratios as their names say, per bar or annual."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, erfc, exp, fsum, inf, log, log1p, pi, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ai_brain.evidence.run import TradeLine
from ai_brain.evidence.stationary_bootstrap import MIN_VALUES, PIECE, automatic_block_length, stationary_bootstrap
from trading.domain.clock import DAY_MS

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

DRAWS = 1000
"""Resamples of a record."""
BAND = (0.05, 0.95)
"""Quantiles between which the band lies."""
MAX_STEPS = 20_000
"""Of a resampled record; a longer one is resampled in steps of several bars."""
MOST_UNRELATED = 1e9
SHOWN = 240
"""Most points of a curve that is computed for showing."""
ROLLING_DAYS = 30
SHORT_SHARE = 3
"""A rolling window is at most this part of the record."""


@dataclass(frozen=True, slots=True)
class EquityBand:
    """Where the equity would lie had the same returns come in another order."""

    row: Rows
    """(k,) bars of the record at which it is given, ascending; the last is the record's last."""
    low: Floats
    high: Floats
    """(k,) quote."""
    block_bars: float
    """Mean length of the resampled blocks."""


def equity_band(returns: Floats, *, starting_quote: float, seed: int) -> EquityBand | None:
    """Band of the equity by the stationary bootstrap of the record's own returns, blocks of automatic length.

    Args:
        returns: (n,) per bar, fractions above -1.
        starting_quote: Where each resample begins.
        seed: Same seed, same band.

    Returns:
        None: fewer bars than a block length can be told from.
    """
    if len(returns) < MIN_VALUES:
        return None
    group = ceil(len(returns) / MAX_STEPS)
    steps = np.add.reduceat(np.log1p(returns), np.arange(0, len(returns), group))
    block, at = automatic_block_length(steps), _evenly(0, len(steps))
    generator, grown = np.random.default_rng(seed), np.empty((DRAWS, len(at)))
    size = max(1, PIECE // len(steps))
    for start in range(0, DRAWS, size):
        draws = min(size, DRAWS - start)
        indices = stationary_bootstrap(len(steps), block_length=block, draws=draws, seed=generator)
        grown[start : start + draws] = np.cumsum(steps[indices], axis=1)[:, at]
    low, high = starting_quote * np.exp(np.quantile(grown, BAND, axis=0))
    return EquityBand(np.minimum((at + 1) * group, len(returns)) - 1, low, high, block * group)


def drawdown(equity: Floats, *, starting_quote: float) -> Floats:
    """(n,) fraction below the highest equity so far, the start included; 0 at a peak, else negative."""
    return equity / np.maximum(np.maximum.accumulate(equity), starting_quote) - 1.0


def rolling_bars(bars: int, interval_ms: int) -> int:
    """Length of the rolling window: `ROLLING_DAYS`, or a third of a record that is shorter than three of them."""
    return max(2, min(ROLLING_DAYS * DAY_MS // interval_ms, bars // SHORT_SHARE))


def rolling_sharpe(returns: Floats, *, window: int, bars_per_year: float) -> tuple[Rows, Floats]:
    """Annual Sharpe ratio of the bars up to a bar.

    Args:
        returns: (n,) per bar.
        window: Bars of each, from 2 to n.
        bars_per_year: 8760 for 1 h bars.

    Returns:
        The last bars of the windows, at most `SHOWN` and evenly apart, and their ratios; 0 where returns are constant.

    Raises:
        ValueError: a window that does not fit.
    """
    if not 2 <= window <= len(returns):
        raise ValueError(f"rolling Sharpe: window={window}: give 2 to {len(returns)} bars")
    rows = _evenly(window - 1, len(returns))
    values = np.zeros(len(rows))
    for place, row in enumerate(rows.tolist()):
        part = returns[row - window + 1 : row + 1]
        if (part != part[0]).any() and (spread := float(part.std(ddof=1))) > 0.0:
            values[place] = float(part.mean()) / spread * sqrt(bars_per_year)
    return rows, values


@dataclass(frozen=True, slots=True)
class CostSplit:
    """Where the result of trades went, quote: `net = gross - fees - slippage + funding`."""

    gross: float
    """At the prices before slippage."""
    fees: float
    slippage: float
    funding: float
    """Received minus paid."""
    net: float

    @property
    def steps(self) -> tuple[tuple[str, float, float], ...]:
        """`(name, from, amount)` from the gross result to the net one, each beginning where the one before ended."""
        fees_at = self.gross - self.fees
        slippage_at = fees_at - self.slippage
        return (
            ("gross", 0.0, self.gross),
            ("fees", self.gross, -self.fees),
            ("slippage", fees_at, -self.slippage),
            ("funding", slippage_at, self.funding),
            ("net", 0.0, self.net),
        )


def cost_split(trades: Sequence[TradeLine]) -> CostSplit:
    """Sums over trades, those left open as marked."""
    fees, slippage = fsum(t.fees_quote for t in trades), fsum(t.slippage_quote for t in trades)
    funding, net = fsum(t.funding_quote for t in trades), fsum(t.pnl_quote for t in trades)
    return CostSplit(net + fees + slippage - funding, fees, slippage, funding, net)


@dataclass(frozen=True, slots=True)
class Month:
    """Trades begun in a UTC calendar month."""

    name: str
    """`2024-11`."""
    earned: int
    lost: int
    """Those with a net result of 0 or less."""


def months_of(trades: Sequence[TradeLine]) -> tuple[Month, ...]:
    """Every month from the first trade's to the last one's, those without a trade too."""
    if not trades:
        return ()
    months = np.array([t.entry_ms for t in trades], dtype="datetime64[ms]").astype("datetime64[M]")
    pairs = zip(months.astype(str).tolist(), trades, strict=True)
    counted = Counter((name, trade.pnl_quote > 0.0) for name, trade in pairs)
    every = np.arange(months.min(), months.max() + np.timedelta64(1, "M")).astype(str).tolist()
    return tuple(Month(name, counted[name, True], counted[name, False]) for name in every)


def unrelated(expected_maximum: float) -> float:
    """How many independent normals have that expected maximum: what correlated ideas count for.

    Args:
        expected_maximum: In standard deviations, >= 0.

    Returns:
        1 to `MOST_UNRELATED`, seldom a whole number.
    """
    low, high = 0.0, log(MOST_UNRELATED)
    while high - low > 1e-6:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _best_of_mean(exp(middle)) < expected_maximum else (low, middle)
    return exp(high) if low > 0.0 else 1.0


def best_of_density(values: Floats, *, trials: float, scale: float) -> Floats:
    """Density of the largest of `trials` independent normals of mean 0.

    Args:
        values: (k,) where it is asked.
        trials: >= 1, not necessarily whole.
        scale: Their standard deviation, > 0; same unit as the values.
    """
    found = np.empty(len(values))
    for place, z in enumerate((values / scale).tolist()):
        below = _log_cdf(z)
        found[place] = 0.0 if below == -inf else exp(log(trials) - 0.5 * z * z + (trials - 1) * below)
    return found / (scale * sqrt(2.0 * pi))


def best_of_quantile(share: float, *, trials: float, scale: float) -> float:
    """Below which that share of the largest of `trials` normals lies."""
    return scale * NormalDist().inv_cdf(share ** (1.0 / trials))


def best_of_reaches(value: float, *, trials: float, scale: float) -> float:
    """Probability that the largest of `trials` normals is at least `value`."""
    return -float(np.expm1(trials * _log_cdf(value / scale)))


def chance_of_passing(true_sharpe_bar: Floats, *, needed_bar: float, bars: int) -> Floats:
    """Probability that a record of `bars` bars shows at least `needed_bar`, if returns are normal.

    Args:
        true_sharpe_bar: (k,) what the strategy is really worth, per bar.
        needed_bar: Smallest Sharpe ratio that passes, per bar.
        bars: >= 2.

    Source:
        Lo (2002), Financial Analysts Journal 58(4): the estimate varies by (1 + s² / 2) / (n - 1).
    """
    spread = np.sqrt((1.0 + 0.5 * true_sharpe_bar**2) / (bars - 1))
    return np.array([NormalDist().cdf(float(z)) for z in (true_sharpe_bar - needed_bar) / spread])


def extremes(values: Floats) -> Rows:
    """The rows that a drawing needs: of each of `SHOWN` pieces the lowest and the highest, and both ends, ascending."""
    if len(values) <= 2 * SHOWN:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), SHOWN + 1).astype(np.int64)
    pieces = [(edge, values[edge:stop]) for edge, stop in pairwise(edges.tolist())]
    rows = [row for edge, piece in pieces for row in (edge + int(piece.argmin()), edge + int(piece.argmax()))]
    return np.unique([0, *rows, len(values) - 1])


def _evenly(first: int, stop: int) -> Rows:
    """At most `SHOWN` whole numbers of [first, stop), the last among them."""
    return np.unique(np.linspace(first, stop - 1, SHOWN).round().astype(np.int64))


def _best_of_mean(trials: float) -> float:
    """Expected maximum of as many standard normals, to 1e-4."""
    low, high = (best_of_quantile(share, trials=trials, scale=1.0) for share in (1e-7, 1.0 - 1e-7))
    values = np.linspace(low, high, 301)
    return float(np.trapezoid(values * best_of_density(values, trials=trials, scale=1.0), values))


def _log_cdf(z: float) -> float:
    """Of the standard normal; -inf below what a float holds."""
    above = 0.5 * erfc(z / sqrt(2.0))
    if above < 0.5:
        return log1p(-above)
    below = 0.5 * erfc(-z / sqrt(2.0))
    return log(below) if below > 0.0 else -inf

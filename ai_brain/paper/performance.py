"""What a paper account has shown so far."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

INTERVAL = NormalDist().inv_cdf(0.975)
"""Half width of a 95 % interval, standard errors."""


@dataclass(frozen=True, slots=True)
class PaperPerformance:
    """Numbers of one account; fractions of its starting equity, all costs in them."""

    trades: int
    """Closed; a carry's closing of both legs counts once."""
    settlements: int
    """Funding settlements while in position."""
    bars: int
    hours: float
    """From the account's start to its last bar's close."""
    net_return: float
    sharpe_annual: float
    max_drawdown: float
    win_rate: float
    fees_quote: float
    slippage_quote: float
    funding_quote: float
    equity_quote: float
    results: int
    """n of the interval below: trades of a rule strategy, settlements of a carry."""
    mean_low: float
    """Lower end of the 95 % interval of the net result of each; 0.0 under two of them."""
    mean_high: float

    def to_block(self) -> dict[str, float | int | str]:
        """As the `performance.dry_run` block of the strategy's file."""
        return asdict(self)


def mean_interval(results: NDArray[np.float64]) -> tuple[float, float]:
    """95 % interval of the mean of independent results, normal approximation; (0, 0) under two of them."""
    if len(results) < 2:
        return 0.0, 0.0
    half = INTERVAL * float(results.std(ddof=1)) / sqrt(len(results))
    mean = float(results.mean())
    return mean - half, mean + half


@dataclass(slots=True)
class RunningReturns:
    """Mean and spread of returns per bar, kept one bar at a time, with the peak and the deepest fall from it."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared distances from the mean (Welford 1962)."""
    peak_quote: float = 0.0
    max_drawdown: float = 0.0

    def add(self, equity_before: float, equity: float) -> None:
        """One more bar."""
        value = equity / equity_before - 1.0
        self.n += 1
        off = value - self.mean
        self.mean += off / self.n
        self.squares += off * (value - self.mean)
        self.peak_quote = max(self.peak_quote, equity_before, equity)
        self.max_drawdown = max(self.max_drawdown, 1.0 - equity / self.peak_quote)

    def sharpe_annual(self, bars_per_year: float) -> float:
        """Annualised, ddof 1; 0.0 for a constant equity or under two bars."""
        if self.n < 2 or self.squares <= 0.0:
            return 0.0
        return self.mean / sqrt(self.squares / (self.n - 1)) * sqrt(bars_per_year)

"""What equity and trades say in numbers: pure functions, one definition each, degenerate cases written down.

Returns are simple returns per bar of marked equity, fractions, oldest first. Years have 365 days.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from trading.domain.clock import DAY_MS
from trading.domain.market import INTERVAL_MS, bars_per_year
from trading.simulator.carry import CarryResult
from trading.simulator.simulate import Result

DAYS_PER_YEAR = 365.0

Returns = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Summary:
    """A result in numbers. Fractions unless the name says otherwise."""

    net_return: float
    """Over the whole tape, all costs in."""
    sharpe_annual: float
    sharpe_bar: float
    """Not annualised, the evidence room's input."""
    sharpe_daily: float
    """Of daily returns, annualised; 0 with fewer than 3 days."""
    sortino_annual: float
    max_drawdown: float
    """On bar closes."""
    max_drawdown_intrabar: float
    """At the worst mark inside bars."""
    trades: int
    """Closed ones; of a carry, closed carries."""
    win_rate: float
    """Trades with a net result above 0, of all; 0 without trades."""
    profit_factor: float
    """Net wins over net losses; 0 without wins, 1e9 with wins and no loss, so that files stay finite."""
    skew: float
    """Of the returns, biased moments; 0 when they are constant."""
    kurtosis: float
    """Pearson's, biased moments: 3 for a normal; 3 when they are constant."""
    bars: int
    days: float

    def to_json(self) -> dict[str, float | int]:
        """By field name."""
        return asdict(self)


NO_LOSS = 1e9
"""Profit factor of wins without a loss."""


def summary(result: Result | CarryResult) -> Summary:
    """All numbers of a result, of a rule strategy or a carry."""
    returns, per_year = result.returns, bars_per_year(result.interval)
    pnl = result.trades["pnl"]
    won, lost = float(pnl[pnl > 0.0].sum()), float(-pnl[pnl < 0.0].sum())
    days = len(returns) * INTERVAL_MS[result.interval] / DAY_MS
    skew, kurtosis = moments(returns)
    return Summary(
        net_return=float(result.equity[-1]) / result.starting_quote - 1.0,
        sharpe_annual=sharpe(returns, bars_per_year=per_year) if len(returns) > 1 else 0.0,
        sharpe_bar=sharpe(returns, bars_per_year=1.0) if len(returns) > 1 else 0.0,
        sharpe_daily=_sharpe_daily(result),
        sortino_annual=sortino(returns, bars_per_year=per_year) if len(returns) > 1 else 0.0,
        max_drawdown=max_drawdown(np.concatenate(([result.starting_quote], result.equity))),
        max_drawdown_intrabar=result.worst_drawdown,
        trades=len(pnl),
        win_rate=float(np.mean(pnl > 0.0)) if len(pnl) else 0.0,
        profit_factor=won / lost if lost > 0.0 else (NO_LOSS if won > 0.0 else 0.0),
        skew=skew,
        kurtosis=kurtosis,
        bars=len(returns),
        days=days,
    )


def sharpe(returns: Returns, *, bars_per_year: float) -> float:
    """Annualised Sharpe ratio, zero risk-free rate.

    Args:
        returns: (n,) simple returns per bar of marked equity, fractions, oldest first.
        bars_per_year: Of the real market: 8760 for 1 h bars of crypto.

    Returns:
        mean / std (ddof 1) * sqrt(bars_per_year). Constant equity: 0.0, so that what never traded ranks below what won.

    Raises:
        ValueError: n < 2, or a value is not finite; names its index.

    Source:
        Sharpe (1994), Journal of Portfolio Management 21(1).
    """
    _check(returns)
    if _is_constant(returns):
        return 0.0
    return float(np.mean(returns)) / float(np.std(returns, ddof=1)) * sqrt(bars_per_year)


def sortino(returns: Returns, *, bars_per_year: float) -> float:
    """Annualised Sortino ratio, target 0.

    Args:
        returns: As for `sharpe`.
        bars_per_year: As for `sharpe`.

    Returns:
        mean / downside * sqrt(bars_per_year), downside = sqrt(sum of squared negative returns / (n - 1)) as rule 16's
        ddof 1 asks. No negative return: 0.0, for then there is nothing to divide by and no evidence of risk either way.

    Raises:
        ValueError: n < 2, or a value is not finite; names its index.

    Source:
        Sortino & van der Meer (1991), Journal of Portfolio Management 17(4).
    """
    _check(returns)
    downside = sqrt(float(np.sum(np.minimum(returns, 0.0) ** 2)) / (len(returns) - 1))
    if downside == 0.0:
        return 0.0
    return float(np.mean(returns)) / downside * sqrt(bars_per_year)


def max_drawdown(equity: NDArray[np.float64]) -> float:
    """Largest fall from the highest equity so far, fraction, 0 or more; 0 for fewer than two values."""
    if len(equity) < 2:
        return 0.0
    peaks = np.maximum.accumulate(equity)
    falls = np.zeros(len(equity))
    np.divide(peaks - equity, peaks, out=falls, where=peaks > 0.0)
    return float(falls.max())


def moments(returns: Returns) -> tuple[float, float]:
    """Skew and Pearson kurtosis with biased moments; (0, 3), a normal's, when returns are constant or fewer than 2."""
    if len(returns) < 2 or _is_constant(returns):
        return 0.0, 3.0
    away = returns - np.mean(returns)
    # Scaled first: the fourth power of a small return has no float.
    away = away / np.max(np.abs(away))
    variance = float(np.mean(away**2))
    return float(np.mean(away**3)) / variance**1.5, float(np.mean(away**4)) / variance**2


def daily_returns(open_time_ms: NDArray[np.int64], equity: NDArray[np.float64], starting_quote: float) -> Returns:
    """(d,) returns from UTC day to UTC day, of the last equity in each day that has bars."""
    days = open_time_ms // DAY_MS
    lasts = equity[np.append(days[1:] != days[:-1], True)]
    before = np.concatenate(([starting_quote], lasts[:-1]))
    out = np.zeros(len(lasts))
    np.divide(lasts - before, before, out=out, where=before > 0.0)
    return out


def _sharpe_daily(result: Result | CarryResult) -> float:
    returns = daily_returns(result.open_time_ms, result.equity, result.starting_quote)
    return sharpe(returns, bars_per_year=DAYS_PER_YEAR) if len(returns) > 2 else 0.0


def _is_constant(returns: Returns) -> bool:
    """Exactly: the rounding of a mean must not make a Sharpe ratio of 1e16."""
    return bool((returns == returns[0]).all())


def _check(returns: Returns) -> None:
    if len(returns) < 2:
        raise ValueError(f"returns: {len(returns)} values; a ratio needs at least 2")
    if (bad := ~np.isfinite(returns)).any():
        index = int(np.argmax(bad))
        raise ValueError(f"returns[{index}]={returns[index]}: not a finite number; look at the equity before it")

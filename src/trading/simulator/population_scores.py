"""From sums of returns to metrics: `metrics.py`'s definitions, for a whole population at once."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from trading.domain.market import bars_per_year
from trading.simulator.metrics import DAYS_PER_YEAR, NO_LOSS

SCORES = np.dtype(
    [
        (name, np.float64)
        for name in (
            "net_return",
            "sharpe_annual",
            "sharpe_bar",
            "sharpe_daily",
            "sortino_annual",
            "max_drawdown",
            "max_drawdown_intrabar",
            "win_rate",
            "profit_factor",
            "skew",
            "kurtosis",
            "equity",  # quote, at the last close
            "fees",  # quote, the open trade included, as the next two
            "slippage",
            "funding",  # received minus paid
            "open_quantity",  # base, signed by side
            "exposure",  # share of bars with a position at their close
        )
    ]
    + [(name, np.int64) for name in ("trades", "orders_refused", "gaps_met", "bars")],
    align=True,
)
"""Of one strategy; the names of `metrics.Summary` and `simulate.Result` mean the same here."""


def scores_of(
    state: NDArray[np.void], score: NDArray[np.void], bars: int, starting_quote: float, interval: str
) -> NDArray[np.void]:
    """(n,) of `SCORES`, read-only; the inputs stay as they are."""
    out = np.zeros(len(state), dtype=SCORES)
    per_year = bars_per_year(interval)
    mean, deviation = _mean_and_deviation(score["sum_1"], score["sum_2"], bars, score["lowest"], score["highest"])
    out["net_return"] = score["equity"] / starting_quote - 1.0
    out["sharpe_bar"] = _ratio(mean, deviation)
    out["sharpe_annual"] = out["sharpe_bar"] * sqrt(per_year)
    if bars > 1:
        out["sortino_annual"] = _ratio(mean, np.sqrt(score["sum_2_down"] / (bars - 1))) * sqrt(per_year)
    out["sharpe_daily"] = _sharpe_daily(score, bars)
    out["max_drawdown"] = score["drawdown"]
    out["max_drawdown_intrabar"] = state["worst_drawdown"]
    out["win_rate"] = _ratio(score["wins"], state["trades"])
    out["profit_factor"] = np.where(
        score["lost"] > 0.0, _ratio(score["won"], score["lost"]), np.where(score["won"] > 0.0, NO_LOSS, 0.0)
    )
    out["skew"], out["kurtosis"] = _moments(score, bars, mean)
    for name in ("equity",):
        out[name] = score[name]
    for name in ("fees", "slippage", "funding", "trades"):
        out[name] = state[name]
    out["open_quantity"] = state["side"] * state["quantity"]
    out["exposure"] = score["bars_held"] / max(bars, 1)
    out["orders_refused"], out["gaps_met"], out["bars"] = state["refused"], state["gaps"], bars
    out.flags.writeable = False
    return out


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """above / below, 0 where below is 0."""
    out = np.zeros(len(above))
    np.divide(above, below, out=out, where=below != 0.0)
    return out


def _mean_and_deviation(
    sum_1: NDArray[np.float64],
    sum_2: NDArray[np.float64],
    count: int | NDArray[np.int64],
    lowest: NDArray[np.float64],
    highest: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation (ddof 1); the deviation of constant values is exactly 0."""
    n = np.maximum(count, 1)
    mean = sum_1 / n
    squares = np.maximum(sum_2 - n * mean**2, 0.0)
    deviation = np.sqrt(squares / np.maximum(n - 1, 1))
    return mean, np.where((lowest == highest) | (n < 2), 0.0, deviation)


def _sharpe_daily(score: NDArray[np.void], bars: int) -> NDArray[np.float64]:
    """Of UTC days; the day under way counts with what it has brought so far."""
    if bars == 0:
        return np.zeros(len(score))
    before = score["day_equity"]
    last = np.where(before > 0.0, _ratio(score["equity"] - before, before), 0.0)
    days = score["days"] + 1
    mean, deviation = _mean_and_deviation(
        score["day_sum_1"] + last,
        score["day_sum_2"] + last**2,
        days,
        np.minimum(score["day_lowest"], last),
        np.maximum(score["day_highest"], last),
    )
    return np.where(days > 2, _ratio(mean, deviation) * sqrt(DAYS_PER_YEAR), 0.0)


def _moments(
    score: NDArray[np.void], bars: int, mean: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Skew and Pearson kurtosis of biased moments; (0, 3) when returns are constant."""
    n = max(bars, 1)
    m2, m3, m4 = (score[f"sum_{power}"] / n for power in (2, 3, 4))
    variance = m2 - mean**2
    third = m3 - 3.0 * mean * m2 + 2.0 * mean**3
    fourth = m4 - 4.0 * mean * m3 + 6.0 * mean**2 * m2 - 3.0 * mean**4
    is_constant = (score["lowest"] == score["highest"]) | (variance <= 0.0) | (bars < 2)
    safe = np.where(is_constant, 1.0, variance)
    return np.where(is_constant, 0.0, third / safe**1.5), np.where(is_constant, 3.0, fourth / safe**2)

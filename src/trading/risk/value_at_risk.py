"""Value at risk and expected shortfall of the hedged book, from hourly closes of both legs. Pure.

A unit of the book is one quote of spot held and one of the perpetual sold short. Losses are positive, fractions of one
leg's notional. The day's losses overlap: one for each hour. Funding is not in them: over a day it is small, and stress
counts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DAY_HOURS = 24
VAR_LEVEL = 0.99
SHORTFALL_LEVEL = 0.975
MIN_LOSSES = 72
"""Fewer say nothing of a tail: the stressed numbers stand alone."""


@dataclass(frozen=True, slots=True)
class TailRisk:
    """How bad a bad day is."""

    var_rate: float
    """Loss that one day in a hundred exceeds."""
    shortfall_rate: float
    """Mean loss of the worst fortieth of days."""
    source: str = ""


STRESSED = TailRisk(0.0216, 0.0165, "BTCUSDT, hourly closes of 2020-03-08 to 2020-03-19")
"""The worst recorded stretch of BTC, ETH and XRP; `tests/trading/risk/test_value_at_risk.py` measures it anew."""


def hedge_losses(spot: Mapping[int, float], perp: Mapping[int, float]) -> NDArray[np.float64]:
    """Losses of one day, one for each hour that both legs and the same hour of the day before are there.

    Args:
        spot: Close of spot by open time, UTC milliseconds.
        perp: The same of the perpetual.

    Returns:
        (n,) perpetual's return less spot's, oldest first.
    """
    day_ms = DAY_HOURS * 3_600_000
    both = sorted(at for at in spot.keys() & perp.keys() if at - day_ms in spot and at - day_ms in perp)
    return np.array([perp[at] / perp[at - day_ms] - spot[at] / spot[at - day_ms] for at in both], dtype=np.float64)


def tail_risk(losses: NDArray[np.float64]) -> TailRisk:
    """Historical value at risk and expected shortfall; a day that gains is no loss.

    Raises:
        ValueError: no losses, or one is not finite.

    Source:
        Acerbi and Tasche (2002), Journal of Banking & Finance 26(7), for the shortfall of a sample.
    """
    if losses.size == 0 or not np.isfinite(losses).all():
        raise ValueError(f"losses: {losses.size} of them; at least one is needed and all must be finite")
    ranked = np.sort(losses)
    var = ranked[int(np.ceil(VAR_LEVEL * ranked.size)) - 1]
    shortfall = ranked[int(np.ceil(SHORTFALL_LEVEL * ranked.size)) - 1 :].mean()
    return TailRisk(max(0.0, float(var)), max(0.0, float(shortfall)))


def worse(recent: NDArray[np.float64]) -> TailRisk:
    """Recent history and the stressed stretch, the worse number of each."""
    if recent.size < MIN_LOSSES:
        return STRESSED
    now = tail_risk(recent)
    source = f"the worse of {recent.size} recent days and {STRESSED.source}"
    return TailRisk(max(now.var_rate, STRESSED.var_rate), max(now.shortfall_rate, STRESSED.shortfall_rate), source)


def correlation(one: Mapping[int, float], other: Mapping[int, float]) -> float:
    """Of hourly returns over the hours both have; 1.0 where too little is known, or a price never moved.

    Args:
        one: Close by open time, UTC milliseconds.
        other: The same of the other symbol.
    """
    hour_ms = 3_600_000
    both = sorted(one.keys() & other.keys())
    steps = [(at - hour_ms, at) for at in both if at - hour_ms in one and at - hour_ms in other]
    if len(steps) < MIN_LOSSES:
        return 1.0
    returns = np.array([[closes[b] / closes[a] - 1 for a, b in steps] for closes in (one, other)])
    if not (np.isfinite(returns).all() and (returns.std(axis=1) > 0).all()):
        return 1.0
    return float(np.corrcoef(returns)[0, 1])

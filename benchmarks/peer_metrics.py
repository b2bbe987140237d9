"""The lab's metrics beside vectorbt's, over one result: each equal, or its definition named.

vectorbt gets the lab's own returns and trades, so that nothing but the definitions can differ.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from math import isclose, isinf, isnan, sqrt
from typing import Any

from trading.simulator.metrics import NO_LOSS, summary
from trading.simulator.simulate import Result

SAME = 1e-9
"""Relative: two floats that came another way to the same number."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of both sides."""

    name: str
    ours: float
    theirs: float
    why: str | None
    """Empty: equal. Else the definition that makes the difference; None: nothing explains it."""


def metrics(result: Result) -> list[Metric]:
    """Sharpe, Sortino, drawdown, win rate and profit factor of a result, by both."""
    mine, theirs = summary(result), _vectorbt(result)
    bars = len(result.returns)
    rows = [
        ("sharpe", mine.sharpe_annual, theirs["sharpe"]),
        ("sortino", mine.sortino_annual, theirs["sortino"]),
        ("max drawdown", mine.max_drawdown, theirs["max drawdown"]),
        ("win rate", mine.win_rate, theirs["win rate"]),
        ("profit factor", mine.profit_factor, theirs["profit factor"]),
    ]
    return [Metric(*row, explained_by(*row, bars=bars)) for row in rows]


def explained_by(name: str, ours: float, theirs: float, *, bars: int) -> str | None:
    """The definition behind a difference; empty when there is none, None when nothing explains it."""
    if isclose(ours, theirs, rel_tol=SAME, abs_tol=1e-12):
        return ""
    if name == "sortino" and isclose(ours * sqrt(bars / (bars - 1)), theirs, rel_tol=SAME):
        return "rule 16: the downside has ddof 1; theirs divides by n"
    if name == "max drawdown" and isclose(ours, -theirs, rel_tol=SAME):
        return "rule 16: a drawdown is a positive fraction; theirs is negative"
    if name == "profit factor" and ours == NO_LOSS and isinf(theirs):
        return "metrics.py: wins without a loss are 1e9, so that files stay finite; theirs is infinite"
    if ours == 0.0 and (isnan(theirs) or isinf(theirs)):
        return "rule 16: what has nothing to divide by is 0; theirs is no number"
    return None


def compared(result: Result) -> dict[str, Any]:
    """`metrics` for JSON."""
    return {row.name: {k: v for k, v in asdict(row).items() if k != "name"} for row in metrics(result)}


def _vectorbt(result: Result) -> dict[str, float]:
    """vectorbt's numbers, of the returns accessor and of its mapped records."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import numpy as np
        import pandas as pd
        import vectorbt as vbt

        returns = pd.Series(result.returns).vbt.returns(freq=result.interval, year_freq="365 days")
        trades = vbt.ExitTrades(
            vbt.ArrayWrapper.from_obj(pd.Series(result.equity)), _records(result, np, vbt), pd.Series(result.equity)
        )
        return {
            "sharpe": float(returns.sharpe_ratio()),
            "sortino": float(returns.sortino_ratio()),
            "max drawdown": float(returns.max_drawdown()),
            "win rate": float(trades.win_rate()),
            "profit factor": float(trades.profit_factor()),
        }


def _records(result: Result, np: Any, vbt: Any) -> Any:
    """The lab's closed trades in vectorbt's record type."""
    found = result.trades
    records = np.zeros(len(found), dtype=vbt.portfolio.enums.trade_dt)
    records["id"] = np.arange(len(found))
    for theirs, ours in (("size", "quantity"), ("entry_idx", "entry_bar"), ("exit_idx", "exit_bar"), ("pnl", "pnl")):
        records[theirs] = found[ours]
    records["status"] = 1
    return records

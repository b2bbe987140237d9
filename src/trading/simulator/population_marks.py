"""Equity, drawdowns and returns of bars on which nothing fills, for many strategies at once. Kernels: no validation.

The expressions are the step's own, so that a bar passed over and a bar stepped leave the same bits.
"""

from __future__ import annotations

from math import inf

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trading.simulator.population_records import CLOSE, HIGH, LOW, ScoreRow
from trading.simulator.position_kernel import SURELY, TOUCHED, adverse_level
from trading.simulator.records import FillRow, RulesRow, StateRow


@njit(cache=True, nogil=True, error_model="numpy")
def mark_held(
    s: StateRow,
    sums: ScoreRow,
    rows: NDArray[np.float64],
    t: int,
    stop: int,
    rules: RulesRow,
) -> int:
    """Mark bars of one day up to the first that meets a protective price; returns that one, or `stop`.

    Whatever moves with a price, rounded or not, is at its worst where the price is: so where equity makes no new peak
    the drawdowns of all these bars are those of their lowest and highest prices.
    """
    if s.trail_distance == s.trail_distance:
        return _mark_each(s, sums, rows, t, stop, rules)
    is_long = s.side > 0
    signed, wallet, entry = s.side * s.quantity, s.wallet, s.entry_price
    level, target, through = adverse_level(s, rules), s.target_price, rules.tick * TOUCHED
    extreme, lowest_close, highest_close = (inf if is_long else -inf), inf, -inf
    equity = sums.equity
    # Added up bar by bar from where they were: no cut of the bars, into tiles or days, shows in the last bit.
    sum_1, sum_2, sum_3, sum_4, down = sums.sum_1, sums.sum_2, sums.sum_3, sums.sum_4, sums.sum_2_down
    at = t
    while at < stop:
        i = np.uint64(at)  # an unsigned index is not asked whether it counts from the end
        bar_low, bar_high, closed = rows[i, LOW], rows[i, HIGH], rows[i, CLOSE]
        if is_long:
            if bar_low <= level or bar_high - target >= through:
                break
            extreme = min(extreme, bar_low)
        else:
            if bar_high >= level or target - bar_low >= through:
                break
            extreme = max(extreme, bar_high)
        lowest_close, highest_close = min(lowest_close, closed), max(highest_close, closed)
        before = equity
        equity = wallet + signed * (closed - entry)
        r = (equity - before) / before
        square = r * r
        sum_1 += r
        sum_2 += square
        sum_3 += square * r
        sum_4 += square * square
        down += 0.5 * (square - r * abs(r))  # exactly the square below 0 and exactly 0 above; a branch would be guessed
        at += 1
    if at == t:
        return t
    least = wallet + signed * ((lowest_close if is_long else highest_close) - entry)
    most = wallet + signed * ((highest_close if is_long else lowest_close) - entry)
    if not (most <= s.peak and least > 0.0 and sums.equity > 0.0):
        return _mark_each(s, sums, rows, t, at, rules)
    s.worst_drawdown = max(s.worst_drawdown, 1.0 - (wallet + signed * (extreme - entry)) / s.peak)
    sums.drawdown = max(sums.drawdown, (s.peak - least) / s.peak)
    s.equity = sums.equity = equity
    sums.bars_held += at - t
    sums.sum_1, sums.sum_2, sums.sum_3, sums.sum_4, sums.sum_2_down = sum_1, sum_2, sum_3, sum_4, down
    return at


@njit(cache=True, nogil=True, error_model="numpy")
def _mark_each(
    s: StateRow,
    sums: ScoreRow,
    rows: NDArray[np.float64],
    t: int,
    stop: int,
    rules: RulesRow,
) -> int:
    """The same where the stop trails or equity makes new peaks: everything bar by bar."""
    side = s.side
    signed = s.side * s.quantity
    wallet, entry, target = s.wallet, s.entry_price, s.target_price
    through = rules.tick * TOUCHED
    level = adverse_level(s, rules)
    trails = s.trail_distance == s.trail_distance
    peak, worst_drawdown, drawdown = s.peak, s.worst_drawdown, sums.drawdown
    # Equity above these is no new worst; kept, because a product and a quotient a bar cost more than the bar itself.
    worst_floor, floor = peak * (1.0 - worst_drawdown) * SURELY, peak * (1.0 - drawdown) * SURELY
    equity = sums.equity
    sum_1, sum_2, sum_3, sum_4, down = sums.sum_1, sums.sum_2, sums.sum_3, sums.sum_4, sums.sum_2_down
    at = t
    while at < stop:
        i = np.uint64(at)
        worst, best = (rows[i, LOW], rows[i, HIGH]) if side > 0 else (rows[i, HIGH], rows[i, LOW])
        if side * (worst - level) <= 0.0 or side * (best - target) >= through:
            break
        if trails and side * (best - s.trail_best) > 0.0:
            s.trail_best = best
            level = adverse_level(s, rules)
        mark = wallet + signed * (worst - entry)
        if mark < worst_floor and peak > 0.0:
            worst_drawdown = max(worst_drawdown, 1.0 - mark / peak)
            worst_floor = peak * (1.0 - worst_drawdown) * SURELY
        before = equity
        equity = wallet + signed * (rows[i, CLOSE] - entry)
        r = (equity - before) / before if before > 0.0 else 0.0
        square = r * r
        sum_1 += r
        sum_2 += square
        sum_3 += square * r
        sum_4 += square * square
        down += 0.5 * (square - r * abs(r))
        if equity > peak:
            peak = equity
            worst_floor, floor = peak * (1.0 - worst_drawdown) * SURELY, peak * (1.0 - drawdown) * SURELY
        elif equity < floor:
            drawdown = max(drawdown, (peak - equity) / peak)
            floor = peak * (1.0 - drawdown) * SURELY
        at += 1
    if at > t:
        s.peak, s.worst_drawdown, s.equity = peak, worst_drawdown, equity
        sums.equity, sums.drawdown = equity, drawdown
        sums.bars_held += at - t
        sums.sum_1, sums.sum_2, sums.sum_3, sums.sum_4, sums.sum_2_down = sum_1, sum_2, sum_3, sum_4, down
    return at


@njit(cache=True, nogil=True, error_model="numpy")
def account(s: StateRow, sums: ScoreRow) -> None:
    """The return of a bar that was stepped."""
    before = sums.equity
    r = (s.equity - before) / before if before > 0.0 else 0.0
    square = r * r
    sums.sum_1 += r
    sums.sum_2 += square
    sums.sum_3 += square * r
    sums.sum_4 += square * square
    sums.sum_2_down += 0.5 * (square - r * abs(r))
    sums.equity = s.equity
    if s.equity < s.peak * (1.0 - sums.drawdown) * SURELY:
        sums.drawdown = max(sums.drawdown, (s.peak - s.equity) / s.peak)
    if s.side != 0:
        sums.bars_held += 1


@njit(cache=True, nogil=True, error_model="numpy")
def close_day(sums: ScoreRow) -> None:
    """The return of a UTC day that is over."""
    before = sums.day_equity
    r = (sums.equity - before) / before if before > 0.0 else 0.0
    sums.days += 1
    sums.day_sum_1 += r
    sums.day_sum_2 += r * r
    sums.day_lowest = min(sums.day_lowest, r)
    sums.day_highest = max(sums.day_highest, r)
    sums.day_equity = sums.equity


@njit(cache=True, nogil=True, error_model="numpy")
def count(sums: ScoreRow, fill: FillRow) -> None:
    """A closed trade among the won or the lost."""
    # Without a branch: whether a trade won is what a processor guesses worst.
    sums.wins += int(fill.pnl > 0.0)
    sums.won += max(fill.pnl, 0.0)
    sums.lost += max(-fill.pnl, 0.0)

"""The one step of a rule strategy. Numba kernels: numbers in, numbers out, no validation.

Bar t is known at its close and acts at the open of t + 1. Inside `step` the order is the bar's own: funding at the
open, what was decided before, protective prices, funding inside, the mark at the close, the next decision.

s        the strategy's state, one record, written in place
side     +1 long, -1 short, 0 flat
nan      a distance or a price that is off; comparisons with it are false
Backtest (`run`) and paper (`Stepper`) call the same `step`; callers validate.
"""

from __future__ import annotations

from math import isnan

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trading.simulator.costs import CostRates, MarginRow
from trading.simulator.position_kernel import SURELY, TOUCHED, adverse_level, book_funding, enter, leave, row_of
from trading.simulator.records import (
    ENTRY_LONG,
    ENTRY_SHORT,
    EXIT_LONG,
    EXIT_RULE,
    EXIT_SHORT,
    FILLS,
    FILLS_A_BAR,
    LIQUIDATION,
    MAX_HOLD,
    STOP,
    TAKE_PROFIT,
    TRAILING,
    Bar,
    Columns,
    FillsRow,
    RulesRow,
    StateRow,
)


@njit(cache=True, nogil=True, error_model="numpy")
def step(
    state: NDArray[np.void],
    bar: Bar,
    rules: NDArray[np.void],
    costs: CostRates,
    margin: NDArray[np.void],
    fills: NDArray[np.void],
) -> int:
    """Advance one strategy by one closed bar; returns how many `fills` it wrote.

    Args:
        state: (1,) of STATE, written in place.
        bar: Next in order.
        rules: (1,) of RULES.
        costs: Of the market.
        margin: (1,) of MARGIN.
        fills: (1,) of FILLS, written in place.
    """
    return take(state[0], bar, rules[0], costs, margin[0], fills[0])


@njit(cache=True, nogil=True, error_model="numpy")
def take(s: StateRow, bar: Bar, rules: RulesRow, costs: CostRates, margin: MarginRow, fills: FillsRow) -> int:
    """The step itself. Records go from hand to hand, for an array costs two atomic counts at each call."""
    if s.side != 0:
        if bar.open_ms - s.last_open_ms > rules.interval_ms:
            s.gaps += 1
        if bar.funding_open != 0.0:
            book_funding(s, -s.side * s.quantity * bar.funding_open, rules, margin)
    made = act(
        s,
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.funding_long_pays,
        bar.funding_short_pays,
        rules,
        costs,
        margin,
        fills,
    )
    decide(s, bar.flags, bar.atr, rules)
    s.sigma = bar.sigma
    s.quote_volume = bar.quote_volume
    s.last_open_ms = bar.open_ms
    s.bar += 1
    return made


@njit(cache=True, nogil=True, error_model="numpy")
def act(
    s: StateRow,
    opened: float,
    high: float,
    low: float,
    closed: float,
    long_pays: float,
    short_pays: float,
    rules: RulesRow,
    costs: CostRates,
    margin: MarginRow,
    fills: FillsRow,
) -> int:
    """What fills in a bar, from its open to its close, and the mark: the step without its edges."""
    made = 0
    if s.side != 0:
        made = _at_open(s, opened, rules, costs, fills)
    if s.pending_side != 0:
        if s.pending_wait > 0:
            s.pending_wait -= 1
        else:
            made = enter(s, opened, rules, costs, margin, fills, made)
    if s.side != 0:
        made = _inside(s, opened, high, low, long_pays, short_pays, rules, costs, margin, fills, made)
    _mark(s, high, low, closed)
    return made


@njit(cache=True, nogil=True, error_model="numpy")
def run(
    state: NDArray[np.void],
    columns: Columns,
    rules: NDArray[np.void],
    costs: CostRates,
    margin: NDArray[np.void],
    equity: NDArray[np.float64],
    trades: NDArray[np.void],
) -> tuple[int, int]:
    """Step over the columns from bar `state.bar` on; stops early when `trades` could overflow.

    Returns:
        Bars done in all, and trades written by this call.
    """
    s, numbers, table, fills = state[0], rules[0], margin[0], np.empty(1, dtype=FILLS)[0]
    written = 0
    for t in range(s.bar, len(columns.open)):
        if written + FILLS_A_BAR > len(trades):
            return t, written
        bar = Bar(
            columns.open_ms[t],
            columns.open[t],
            columns.high[t],
            columns.low[t],
            columns.close[t],
            columns.quote_volume[t],
            columns.sigma[t],
            columns.atr[t],
            columns.flags[t],
            columns.funding_open[t],
            columns.funding_long_pays[t],
            columns.funding_short_pays[t],
        )
        made = take(s, bar, numbers, costs, table, fills)
        for i in range(made):
            row = row_of(fills, i)
            if row.is_close == 1:
                trades[written] = row
                written += 1
        equity[t] = s.equity
    return len(columns.open), written


@njit(cache=True, nogil=True, error_model="numpy")
def _at_open(s: StateRow, opened: float, rules: RulesRow, costs: CostRates, fills: FillsRow) -> int:
    """What happens at the open to a position held into the bar: liquidation, rule exit, a target jumped over.

    A stop that the open jumped over needs no line here: `_inside` fills it at the open.
    """
    reason, price = 0, opened
    if rules.is_margined == 1 and s.side * (opened - s.liquidation_price) <= 0.0:
        reason = LIQUIDATION
    elif s.pending_exit != 0:
        reason = s.pending_exit
    elif s.side * (opened - s.target_price) >= rules.tick * TOUCHED and not (
        s.side * (opened - adverse_level(s, rules)) <= 0.0
    ):
        reason, price = TAKE_PROFIT, s.target_price
    s.pending_exit = 0
    if reason == 0:
        return 0
    leave(s, price, reason, rules, costs, fills.first)
    return 1


@njit(cache=True, nogil=True, error_model="numpy")
def _inside(
    s: StateRow,
    opened: float,
    high: float,
    low: float,
    long_pays: float,
    short_pays: float,
    rules: RulesRow,
    costs: CostRates,
    margin: MarginRow,
    fills: FillsRow,
    made: int,
) -> int:
    """Protective prices against the bar's extremes, the adverse side first (rules 5, 6, 7, 14), then funding inside."""
    worst, best = (low, high) if s.side > 0 else (high, low)
    pays, earns = (long_pays, short_pays) if s.side > 0 else (short_pays, long_pays)
    level = adverse_level(s, rules)
    reason, price = 0, s.target_price
    if s.side * (worst - level) <= 0.0:
        reason, price = TRAILING, min(level, opened) if s.side > 0 else max(level, opened)
        if level == s.liquidation_price:
            reason = LIQUIDATION
        elif level == s.stop_price:
            reason = STOP
    elif s.side * (best - s.target_price) >= rules.tick * TOUCHED:
        reason = TAKE_PROFIT
    if reason != 0:
        # When inside the bar funding was settled is not known: who left inside pays what was due, and earns nothing.
        if pays > 0.0:
            book_funding(s, -s.quantity * pays, rules, margin)
        leave(s, price, reason, rules, costs, row_of(fills, made))
        return made + 1
    if pays != 0.0 or earns != 0.0:
        book_funding(s, s.quantity * (earns - pays), rules, margin)
    if s.side * (best - s.trail_best) > 0.0:
        s.trail_best = best
    return made


@njit(cache=True, nogil=True, error_model="numpy")
def _mark(s: StateRow, high: float, low: float, closed: float) -> None:
    """Equity at the close (rule 15), and the worst mark inside the bar against the peak of earlier closes (rule 16)."""
    worst = s.wallet
    s.equity = s.wallet
    if s.side != 0:
        s.equity = s.wallet + s.side * s.quantity * (closed - s.entry_price)
        worst = s.wallet + s.side * s.quantity * ((low if s.side > 0 else high) - s.entry_price)
    if worst < s.peak * (1.0 - s.worst_drawdown) * SURELY:
        s.worst_drawdown = max(s.worst_drawdown, 1.0 - worst / s.peak)
    s.peak = max(s.peak, s.equity)


@njit(cache=True, nogil=True, error_model="numpy")
def decide(s: StateRow, flags: int, atr: float, rules: RulesRow) -> None:
    """What the close says for the next open (rules 1, 9). Both entries at once is no answer, and nothing is done."""
    if s.side != 0:
        exit_bit = EXIT_LONG if s.side > 0 else EXIT_SHORT
        if flags & exit_bit != 0:
            s.pending_exit = EXIT_RULE
        elif rules.max_hold_bars > 0 and s.bar - s.entry_bar + 1 >= rules.max_hold_bars:
            s.pending_exit = MAX_HOLD
    if s.pending_side != 0:
        return
    entries = flags & (ENTRY_LONG | ENTRY_SHORT)
    if entries == 0 or entries == (ENTRY_LONG | ENTRY_SHORT):
        return
    side = 1 if entries == ENTRY_LONG else -1
    if s.side == side:
        return
    needs_atr = not (isnan(rules.stop_atr) and isnan(rules.target_atr) and isnan(rules.trail_atr))
    if needs_atr and not (atr > 0.0):
        return
    s.pending_side = side
    s.pending_wait = rules.entry_delay_bars
    s.pending_atr = atr

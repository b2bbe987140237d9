"""The one step of a rule strategy. Numba kernels: numbers in, numbers out, no validation.

Bar t is known at its close and acts at the open of t + 1. Inside `step` the order is the bar's own: funding at the
open, what was decided before, protective prices, funding inside, the mark at the close, the next decision.

s        the strategy's state, one record, written in place
side     +1 long, -1 short, 0 flat
nan      a distance or a price that is off; comparisons with it are false
Backtest (`run`) and paper (`Stepper`) call the same `step`; callers validate.
"""

from __future__ import annotations

from math import isnan, nan

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trading.simulator.costs import CostRates, MarginRow
from trading.simulator.fills import liquidation_price, on_lot, slippage_rate
from trading.simulator.records import (
    ENTRY,
    ENTRY_LONG,
    ENTRY_SHORT,
    EXIT_LONG,
    EXIT_RULE,
    EXIT_SHORT,
    FILLS,
    FILLS_A_BAR,
    LIQUIDATION,
    MAX_HOLD,
    OPPOSITE,
    STOP,
    TAKE_PROFIT,
    TRAILING,
    Bar,
    Columns,
    FillRow,
    FillsRow,
    RulesRow,
    StateRow,
)

TOUCHED = 0.999999
"""Of a tick: prices a tick apart differ by it up to rounding, and a float must not decide whether a target was met."""

SURELY = 1.0 + 1e-12
"""Above a bound by this, rounding cannot be why: what lies there is past the bound and need not be divided."""


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
            _book_funding(s, -s.side * s.quantity * bar.funding_open, rules, margin)
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
            made = _enter(s, opened, rules, costs, margin, fills, made)
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
def _book_funding(s: StateRow, received: float, rules: RulesRow, margin: MarginRow) -> None:
    """Funding goes through the isolated margin and moves the liquidation price; it never takes more than is there."""
    if rules.is_margined == 1 and received < -s.margin:
        received = -s.margin
    s.wallet += received
    s.funding += received
    s.trade_funding += received
    if rules.is_margined == 1:
        s.margin += received
        s.liquidation_price = liquidation_price(float(s.side), s.quantity, s.entry_price, s.margin, margin)


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
    _leave(s, price, reason, rules, costs, fills.first)
    return 1


@njit(cache=True, nogil=True, error_model="numpy")
def _enter(
    s: StateRow, opened: float, rules: RulesRow, costs: CostRates, margin: MarginRow, fills: FillsRow, made: int
) -> int:
    """A market order at the open (rules 4, 9, 10), after closing the opposite position at the same open."""
    side = s.pending_side
    s.pending_side = 0
    if s.side == side:
        return made
    if s.side != 0:
        s.pending_exit = OPPOSITE
        _leave(s, opened, s.pending_exit, rules, costs, row_of(fills, made))
        s.pending_exit = 0
        made += 1
    notional = s.wallet * rules.position_fraction * rules.leverage
    if notional * (1.0 + rules.leverage * costs.taker) * SURELY > s.wallet * rules.leverage:
        # Only where it may be too much: what can be afforded takes two divisions that the price would wait for.
        notional = min(notional, s.wallet / (1.0 / rules.leverage + costs.taker))
    if not (notional > 0.0):
        s.refused += 1
        return made
    price = opened * (1.0 + side * slippage_rate(notional, s.sigma, s.quote_volume, costs))
    quantity = on_lot(notional / price, rules.lots_per_base)
    if quantity <= 0.0 or quantity * price < rules.min_notional:
        s.refused += 1
        return made
    fee = quantity * price * costs.taker
    s.side = side
    s.quantity = quantity
    s.entry_price = price
    s.entry_bar = s.bar
    s.margin = quantity * price / rules.leverage
    s.wallet -= fee
    s.fees += fee
    s.trade_fees = fee
    s.trade_slippage = side * quantity * (price - opened)
    s.slippage += s.trade_slippage
    s.trade_funding = 0.0
    _protect(s, price, rules, margin)
    _write(s, row_of(fills, made), price, fee, s.trade_slippage)
    return made + 1


@njit(cache=True, nogil=True, error_model="numpy")
def _protect(s: StateRow, price: float, rules: RulesRow, margin: MarginRow) -> None:
    """Protective prices from the fill price and the decision bar's ATR (rules 5, 8); the target lies on the tick."""
    s.stop_price = price - s.side * rules.stop_atr * s.pending_atr
    s.trail_distance = rules.trail_atr * s.pending_atr
    s.trail_best = price
    target = price + s.side * rules.target_atr * s.pending_atr
    if isnan(target):
        s.target_price = nan
    elif s.side > 0:
        s.target_price = np.ceil(target * rules.ticks_per_quote - 1e-6) / rules.ticks_per_quote
    else:
        s.target_price = np.floor(target * rules.ticks_per_quote + 1e-6) / rules.ticks_per_quote
    s.liquidation_price = nan
    if rules.is_margined == 1:
        s.liquidation_price = liquidation_price(float(s.side), s.quantity, s.entry_price, s.margin, margin)


@njit(cache=True, nogil=True, error_model="numpy")
def _stop_level(s: StateRow) -> float:
    """The nearer of stop and trailing stop; nan when both are off."""
    level = s.stop_price
    trail = s.trail_best - s.side * s.trail_distance
    if isnan(level) or s.side * (trail - level) > 0.0:
        level = trail
    return level


@njit(cache=True, nogil=True, error_model="numpy")
def adverse_level(s: StateRow, rules: RulesRow) -> float:
    """The protective price that the market meets first on its way against us; nan when there is none."""
    level = _stop_level(s)
    if rules.is_margined == 1 and (isnan(level) or s.side * (s.liquidation_price - level) >= 0.0):
        level = s.liquidation_price
    return level


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
            _book_funding(s, -s.quantity * pays, rules, margin)
        _leave(s, price, reason, rules, costs, row_of(fills, made))
        return made + 1
    if pays != 0.0 or earns != 0.0:
        _book_funding(s, s.quantity * (earns - pays), rules, margin)
    if s.side * (best - s.trail_best) > 0.0:
        s.trail_best = best
    return made


@njit(cache=True, nogil=True, error_model="numpy")
def _leave(s: StateRow, price: float, reason: int, rules: RulesRow, costs: CostRates, row: FillRow) -> None:
    """Close everything around a reference price; a margined position loses its margin at most (rule 14)."""
    fill = price
    rate = costs.maker
    if reason != TAKE_PROFIT:
        fill = price * (1.0 - s.side * slippage_rate(s.quantity * price, s.sigma, s.quote_volume, costs))
        rate = costs.taker
    if reason == LIQUIDATION:
        rate += rules.liquidation_fee_rate
    fee = s.quantity * fill * rate
    gross = s.side * s.quantity * (fill - s.entry_price)
    if rules.is_margined == 1 and gross - fee < -s.margin:
        if gross < -s.margin:
            gross = -s.margin
            fill = s.entry_price + s.side * gross / s.quantity
        fee = s.margin + gross
    slipped = max(s.side * s.quantity * (price - fill), 0.0)
    s.wallet += gross - fee
    s.gross += gross
    s.fees += fee
    s.slippage += slipped
    s.trade_fees += fee
    s.trade_slippage += slipped
    _write(s, row, fill, fee, slipped)
    row.is_close = 1
    row.reason = reason
    row.pnl = gross - s.trade_fees + s.trade_funding
    s.trades += 1
    s.side = 0
    s.quantity = 0.0
    s.margin = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def row_of(fills: FillsRow, place: int) -> FillRow:
    """One of a bar's fills, counted from 0."""
    if place == 0:
        return fills.first
    return fills.second if place == 1 else fills.third


@njit(cache=True, nogil=True, error_model="numpy")
def _write(s: StateRow, row: FillRow, price: float, fee: float, slipped: float) -> None:
    row.bar = s.bar
    row.is_close = 0
    row.side = s.side
    row.quantity = s.quantity
    row.price = price
    row.fee = fee
    row.slippage = slipped
    row.reason = ENTRY
    row.entry_bar = s.entry_bar
    row.entry_price = s.entry_price
    row.trade_fees = s.trade_fees
    row.trade_slippage = s.trade_slippage
    row.trade_funding = s.trade_funding
    row.pnl = 0.0


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

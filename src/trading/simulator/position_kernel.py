"""Opening and closing a position of a rule strategy, and the prices that end it. Numba kernels, no validation.

s        the strategy's state, one record, written in place
side     +1 long, -1 short, 0 flat
nan      a distance or a price that is off; comparisons with it are false
"""

from __future__ import annotations

from math import isnan, nan

import numpy as np
from numba import njit

from trading.simulator.costs import CostRates, MarginRow
from trading.simulator.fills import liquidation_price, on_lot, slippage_rate
from trading.simulator.records import ENTRY, LIQUIDATION, OPPOSITE, TAKE_PROFIT, FillRow, FillsRow, RulesRow, StateRow

TOUCHED = 0.999999
"""Of a tick: prices a tick apart differ by it up to rounding, and a float must not decide whether a target was met."""

SURELY = 1.0 + 1e-12
"""Above a bound by this, rounding cannot be why: what lies there is past the bound and need not be divided."""


@njit(cache=True, nogil=True, error_model="numpy")
def book_funding(s: StateRow, received: float, rules: RulesRow, margin: MarginRow) -> None:
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
def enter(
    s: StateRow, opened: float, rules: RulesRow, costs: CostRates, margin: MarginRow, fills: FillsRow, made: int
) -> int:
    """A market order at the open (rules 4, 9, 10), after closing the opposite position at the same open."""
    side = s.pending_side
    s.pending_side = 0
    if s.side == side:
        return made
    if s.side != 0:
        s.pending_exit = OPPOSITE
        leave(s, opened, s.pending_exit, rules, costs, row_of(fills, made))
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
def leave(s: StateRow, price: float, reason: int, rules: RulesRow, costs: CostRates, row: FillRow) -> None:
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

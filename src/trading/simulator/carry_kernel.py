"""The one step of a funding carry: spot long, perpetual short, the same base quantity (rule 18). Numba kernels.

Decided at a close, done at the next open with market orders on both legs. The short's isolated margin is what was set
aside at the entry; nothing is moved into it later, so a rise of the market can liquidate it. Then the spot leg is sold
at the next open, which is as soon as a lab that looks at closes can know.
"""

from __future__ import annotations

from math import inf

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trading.simulator.carry_outlook import (
    ENTER,
    CarryView,
    carry_decision,
)
from trading.simulator.carry_records import (
    CARRY_TRADE,
    CarryActed,
    CarryBar,
    CarryColumns,
    CarryNumbers,
    CarryRow,
    CarryTradeRow,
)
from trading.simulator.costs import CostRates, MarginRow
from trading.simulator.fills import liquidation_price, on_lot, slippage_rate

LIQUIDATION = int(CarryActed.LIQUIDATION)

NOTHING = 0
"""Pending; `ENTER`: an entry; below 0: minus the `CarryActed` to leave for."""


@njit(cache=True, nogil=True, error_model="numpy")
def carry_step(
    state: NDArray[np.void],
    bar: CarryBar,
    numbers: CarryNumbers,
    spot: CostRates,
    perp: CostRates,
    margin: NDArray[np.void],
    trades: NDArray[np.void],
) -> int:
    """Advance one carry by one closed bar of both legs; returns how many `trades` it closed, 0 or 1."""
    s: CarryRow = state[0]
    if s.quantity > 0.0 and bar.open_ms - s.last_open_ms > numbers.interval_ms:
        s.gaps += 1
    decided = s.pending
    _carry_marks(s, bar.spot_open, bar.perp_open)
    if s.short_quantity > 0.0:
        s.settlements += bar.count_open
        _carry_funding(s, s.short_quantity * bar.funding_open, margin[0])
        if bar.perp_open >= s.liquidation_price:
            _liquidate(s, bar.perp_open, numbers, perp)
    closed = 0
    if s.quantity > 0.0 and decided < NOTHING:
        _carry_leave(s, bar, -decided, spot, perp, trades[0])
        closed = 1
    elif s.quantity == 0.0 and decided == ENTER:
        if s.pending_wait > 0:
            s.pending_wait -= 1
        else:
            _carry_enter(s, bar, numbers, spot, perp, margin[0])
    if s.short_quantity > 0.0:
        _carry_inside(s, bar, numbers, perp, margin[0])
    # Hedged legs are worst at no bar's extreme in particular; a spot leg alone is, at its low.
    worst = bar.spot_close if s.short_quantity > 0.0 else bar.spot_low
    _carry_marks(s, bar.spot_close, bar.perp_close)
    _carry_equity(s, s.quantity * (bar.spot_close - worst))
    _carry_decide(s, bar, numbers)
    s.spot_sigma, s.spot_quote_volume = bar.spot_sigma, bar.spot_quote_volume
    s.perp_sigma, s.perp_quote_volume = bar.perp_sigma, bar.perp_quote_volume
    s.last_open_ms = bar.open_ms
    s.bar += 1
    return closed


@njit(cache=True, nogil=True, error_model="numpy")
def carry_run(
    state: NDArray[np.void],
    columns: CarryColumns,
    numbers: CarryNumbers,
    spot: CostRates,
    perp: CostRates,
    margin: NDArray[np.void],
    equity: NDArray[np.float64],
    short_base: NDArray[np.float64],
    trades: NDArray[np.void],
) -> int:
    """Step over all columns; `trades` has room for one a bar; returns how many were closed."""
    one = np.empty(1, dtype=CARRY_TRADE)
    written = 0
    for t in range(len(columns.open_ms)):
        bar = CarryBar(
            columns.open_ms[t],
            columns.spot_open[t],
            columns.spot_low[t],
            columns.spot_close[t],
            columns.spot_quote_volume[t],
            columns.spot_sigma[t],
            columns.perp_open[t],
            columns.perp_high[t],
            columns.perp_close[t],
            columns.perp_quote_volume[t],
            columns.perp_sigma[t],
            columns.expected_apr[t],
            columns.error_apr[t],
            columns.funding_open[t],
            columns.funding_earned[t],
            columns.funding_paid[t],
            columns.count_open[t],
            columns.count_inside[t],
        )
        if carry_step(state, bar, numbers, spot, perp, margin, one) == 1:
            trades[written] = one[0]
            written += 1
        equity[t] = state[0].equity
        short_base[t] = state[0].short_quantity
    return written


@njit(cache=True, nogil=True, error_model="numpy")
def _carry_marks(s: CarryRow, spot_price: float, perp_price: float) -> None:
    """Count the legs' moves up to these reference prices into the basis."""
    s.basis += s.quantity * (spot_price - s.spot_mark) + s.short_quantity * (s.perp_mark - perp_price)
    s.spot_mark, s.perp_mark = spot_price, perp_price


@njit(cache=True, nogil=True, error_model="numpy")
def _carry_funding(s: CarryRow, received: float, margin: MarginRow) -> None:
    """Funding goes through the short's margin and moves its liquidation price; it never takes more than is there."""
    received = max(received, -s.margin)
    s.margin += received
    s.funding += received
    s.liquidation_price = liquidation_price(-1.0, s.short_quantity, s.short_price, s.margin, margin)


@njit(cache=True, nogil=True, error_model="numpy")
def _liquidate(s: CarryRow, price: float, numbers: CarryNumbers, perp: CostRates) -> None:
    """The short is bought back by the venue; it loses its margin at most, and the spot leg is sold at the next open."""
    quantity = s.short_quantity
    fill = price * (1.0 + slippage_rate(quantity * price, s.perp_sigma, s.perp_quote_volume, perp))
    fill = min(fill, s.short_price + s.margin / quantity)
    _close_short(s, fill, min(price, fill), quantity * fill * (perp.taker + numbers.liquidation_fee_rate))
    s.liquidations += 1
    s.pending = -LIQUIDATION


@njit(cache=True, nogil=True, error_model="numpy")
def _close_short(s: CarryRow, fill: float, reference: float, fee: float) -> None:
    """Buy the short back; what its margin cannot pay is not charged."""
    quantity = s.short_quantity
    left = max(s.margin + quantity * (s.short_price - fill), 0.0)
    fee = min(fee, left)
    s.cash += left - fee
    s.basis += quantity * (s.perp_mark - reference)
    s.slippage += quantity * (fill - reference)
    s.fees += fee
    s.exit_perp = fill
    s.short_quantity = 0.0
    s.margin = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _carry_leave(s: CarryRow, bar: CarryBar, why: int, spot: CostRates, perp: CostRates, row: CarryTradeRow) -> None:
    """Both legs by market at the open; after a liquidation only the spot leg is left."""
    reason = LIQUIDATION
    if s.short_quantity > 0.0:
        reason = why
        notional = s.short_quantity * bar.perp_open
        fill = bar.perp_open * (1.0 + slippage_rate(notional, s.perp_sigma, s.perp_quote_volume, perp))
        fill = min(fill, s.short_price + s.margin / s.short_quantity)
        fee = s.short_quantity * fill * perp.taker
        _close_short(s, fill, min(bar.perp_open, fill), fee)
    price = bar.spot_open * (1.0 - slippage_rate(s.quantity * bar.spot_open, s.spot_sigma, s.spot_quote_volume, spot))
    fee = s.quantity * price * spot.taker
    s.cash += s.quantity * price - fee
    s.fees += fee
    s.slippage += s.quantity * (bar.spot_open - price)
    row.entry_bar = s.entry_bar
    row.exit_bar = s.bar
    row.quantity = s.quantity
    row.spot_entry_price = s.entry_spot
    row.perp_entry_price = s.entry_perp
    row.spot_exit_price = price
    row.perp_exit_price = s.exit_perp
    row.fees = s.fees - s.fees_before
    row.slippage = s.slippage - s.slippage_before
    row.funding = s.funding - s.funding_before
    row.settlements = s.settlements - s.settlements_before
    row.pnl = s.cash - s.equity_before
    row.reason = reason
    s.exits += 1
    s.quantity = 0.0
    s.pending = NOTHING


@njit(cache=True, nogil=True, error_model="numpy")
def _carry_enter(
    s: CarryRow, bar: CarryBar, numbers: CarryNumbers, spot: CostRates, perp: CostRates, margin: MarginRow
) -> None:
    """Capital buys spot and backs the short: notional x (1 + 1 / leverage) and both fees, on the coarser lot."""
    s.pending = NOTHING
    capital = s.cash * numbers.capital_fraction
    rate_spot = slippage_rate(capital, s.spot_sigma, s.spot_quote_volume, spot)
    rate_perp = slippage_rate(capital, s.perp_sigma, s.perp_quote_volume, perp)
    spot_price, perp_price = bar.spot_open * (1.0 + rate_spot), bar.perp_open * (1.0 - rate_perp)
    each = spot_price * (1.0 + spot.taker) + perp_price * (1.0 / numbers.leverage + perp.taker)
    quantity = on_lot(capital / each, numbers.lots_per_base)
    if quantity <= 0.0 or quantity * min(spot_price, perp_price) < numbers.min_notional:
        s.refused += 1
        return
    s.equity_before, s.fees_before, s.slippage_before = s.cash, s.fees, s.slippage
    s.funding_before, s.settlements_before = s.funding, s.settlements
    fee = quantity * (spot_price * spot.taker + perp_price * perp.taker)
    s.quantity, s.short_quantity = quantity, quantity
    s.short_price = perp_price
    s.margin = quantity * perp_price / numbers.leverage
    s.cash -= quantity * spot_price + s.margin + fee
    s.fees += fee
    s.slippage += quantity * (spot_price - bar.spot_open + bar.perp_open - perp_price)
    s.entry_bar, s.entry_spot, s.entry_perp = s.bar, spot_price, perp_price
    s.entries += 1
    _carry_funding(s, 0.0, margin)


@njit(cache=True, nogil=True, error_model="numpy")
def _carry_inside(s: CarryRow, bar: CarryBar, numbers: CarryNumbers, perp: CostRates, margin: MarginRow) -> None:
    """Liquidation against the bar's high, then funding inside; who is liquidated inside pays what was due, no more."""
    s.settlements += bar.count_inside
    if bar.perp_high >= s.liquidation_price:
        price = max(s.liquidation_price, bar.perp_open)
        if bar.funding_paid > 0.0:
            _carry_funding(s, -s.short_quantity * bar.funding_paid, margin)
        _liquidate(s, price, numbers, perp)
    elif bar.count_inside > 0:
        _carry_funding(s, s.short_quantity * (bar.funding_earned - bar.funding_paid), margin)


@njit(cache=True, nogil=True, error_model="numpy")
def _carry_equity(s: CarryRow, worse_inside: float) -> None:
    """Equity at the close (rule 15), and the worst mark inside the bar, that much lower, against the peak so far."""
    s.equity = s.cash + s.quantity * s.spot_mark
    if s.short_quantity > 0.0:
        s.equity += s.margin + s.short_quantity * (s.short_price - s.perp_mark)
    worst = s.equity - worse_inside
    if s.peak > 0.0 and 1.0 - worst / s.peak > s.worst_drawdown:
        s.worst_drawdown = 1.0 - worst / s.peak
    s.peak = max(s.peak, s.equity)


@njit(cache=True, nogil=True, error_model="numpy")
def _carry_decide(s: CarryRow, bar: CarryBar, numbers: CarryNumbers) -> None:
    if s.pending < NOTHING or (s.pending == ENTER and s.quantity == 0.0):
        return
    verdict = carry_decision(
        CarryView(
            s.quantity > 0.0,
            bar.expected_apr,
            bar.error_apr,
            numbers.round_trip_rate,
            bar.perp_close / bar.spot_close - 1.0,
            s.settlements - s.settlements_before,
            s.liquidation_price / bar.perp_close - 1.0 if s.short_quantity > 0.0 else inf,
        ),
        numbers.terms,
    )
    s.pending = verdict if verdict < NOTHING or verdict == ENTER else NOTHING
    s.pending_wait = numbers.entry_delay_bars

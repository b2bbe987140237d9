"""What crosses into the rule kernel: its state, one fill, one bar, columns of bars, and a strategy's numbers.

The classes with only annotations describe records: the kernels write through them, and `record` turns each into the
structured dtype of the same fields, so that a field is declared once.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Acted(IntEnum):
    """Why a fill happened."""

    ENTRY = 0
    EXIT_RULE = 1
    MAX_HOLD = 2
    OPPOSITE = 3
    STOP = 4
    TRAILING = 5
    TAKE_PROFIT = 6
    LIQUIDATION = 7


ENTRY, EXIT_RULE, MAX_HOLD, OPPOSITE, STOP, TRAILING, TAKE_PROFIT, LIQUIDATION = (int(a) for a in Acted)

ENTRY_LONG, ENTRY_SHORT, EXIT_LONG, EXIT_SHORT = 1, 2, 4, 8
"""Bits of a bar's flags."""

FILLS_A_BAR = 3
"""At most: close at the open, open at the open, close inside."""


class StateRow:
    """Everything one strategy carries from bar to bar. Amounts are quote, prices quote per base."""

    wallet: float
    """Starting quote + gross - fees + funding; what is open is not in it."""
    gross: float
    """Price moves of closed trades, fill to fill."""
    fees: float
    slippage: float
    """How much of `gross` and of the open trade was lost between reference price and fill."""
    funding: float
    """Received minus paid."""
    side: int
    quantity: float
    entry_price: float
    entry_bar: int
    margin: float
    """Isolated margin left; funding goes through it."""
    stop_price: float
    target_price: float
    trail_distance: float
    trail_best: float
    """Best extreme since the entry, up to the last bar's end."""
    liquidation_price: float
    trade_fees: float
    trade_slippage: float
    trade_funding: float
    pending_exit: int
    """An `Acted` decided at the last close, 0: none."""
    pending_side: int
    pending_wait: int
    """Opens still to let pass before the pending entry."""
    pending_atr: float
    """ATR of the decision bar."""
    bar: int
    """Index of the next bar."""
    last_open_ms: int
    sigma: float
    """Of the last bar."""
    quote_volume: float
    """Of the last bar."""
    equity: float
    """Marked at the last close."""
    peak: float
    """Highest equity of a close."""
    worst_drawdown: float
    """From `peak` to the worst mark inside a bar, fraction."""
    trades: int
    """Closed ones."""
    refused: int
    """Entries that came out below the lot or the minimum notional."""
    gaps: int
    """Holes in the tape met with a position open."""


class FillRow:
    """One fill; a closing one carries its whole trade. Amounts are quote."""

    bar: int
    is_close: int
    side: int
    """Of the position, also on the closing fill."""
    quantity: float
    price: float
    fee: float
    slippage: float
    reason: int
    """An `Acted`."""
    entry_bar: int
    entry_price: float
    trade_fees: float
    trade_slippage: float
    trade_funding: float
    pnl: float
    """Net of fees and funding; 0 on an opening fill."""


def record(row: type) -> np.dtype[np.void]:
    """The structured dtype of a class of annotations: `float` is float64, `int` int64."""
    kinds = {"float": np.float64, "int": np.int64}
    return np.dtype([(name, kinds[kind]) for name, kind in row.__annotations__.items()], align=True)


STATE = record(StateRow)
FILL = record(FillRow)


class Bar(NamedTuple):
    """One closed bar with what is known at its close."""

    open_ms: int
    open: float
    high: float
    low: float
    close: float
    quote_volume: float
    sigma: float
    atr: float
    flags: int
    funding_open: float
    funding_long_pays: float
    funding_short_pays: float


class Columns(NamedTuple):
    """`Bar` as columns, (n,) each, read-only."""

    open_ms: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    quote_volume: NDArray[np.float64]
    sigma: NDArray[np.float64]
    atr: NDArray[np.float64]
    flags: NDArray[np.int64]
    funding_open: NDArray[np.float64]
    funding_long_pays: NDArray[np.float64]
    funding_short_pays: NDArray[np.float64]


def cut_columns(columns: Columns, cut: slice) -> Columns:
    """The same bars of every column, as views."""
    return columns._replace(**{name: getattr(columns, name)[cut] for name in columns._fields})


class Rules(NamedTuple):
    """How a strategy sizes and protects, and what the venue asks."""

    position_fraction: float
    leverage: float
    stop_atr: float
    target_atr: float
    trail_atr: float
    max_hold_bars: int
    entry_delay_bars: int
    is_margined: int
    tick: float
    ticks_per_quote: float
    lots_per_base: float
    min_notional: float
    liquidation_fee_rate: float
    interval_ms: int

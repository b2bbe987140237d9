"""What crosses into the carry kernel: its state, one closed carry, one joined bar of both legs, and the numbers."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trading.simulator.carry_outlook import CarryTerms, CarryVerdict
from trading.simulator.records import record


class CarryActed(IntEnum):
    """Why a carry ended."""

    EXPECTATION = -CarryVerdict.LEAVE_EXPECTATION
    """The horizon was expected to bring less than the strategy's line."""
    LIQUIDATION = 2
    """The venue closed the short; the spot leg followed."""
    BASIS = -CarryVerdict.LEAVE_BASIS
    """The contract stood far above spot."""
    MARGIN = -CarryVerdict.LEAVE_MARGIN
    """The short's liquidation price was too near."""


class CarryRow:
    """Everything one carry strategy carries from bar to bar. Amounts are quote, prices quote per base."""

    cash: float
    """Outside both legs; the perpetual's margin is not in it."""
    quantity: float
    """Base of the spot leg; the perpetual is short the same until it is liquidated."""
    short_quantity: float
    margin: float
    """Isolated margin of the short; funding goes through it."""
    short_price: float
    """Fill of the perpetual leg."""
    liquidation_price: float
    spot_mark: float
    """Reference price up to which `basis` counts the spot leg."""
    perp_mark: float
    fees: float
    """All fills of both legs, liquidation fees included."""
    slippage: float
    """Between reference prices and fills, both legs."""
    funding: float
    """Received minus paid."""
    basis: float
    """Both legs' price moves at reference prices: spot long + perpetual short."""
    settlements: int
    """Met with the short open."""
    entry_bar: int
    entry_spot: float
    entry_perp: float
    exit_perp: float
    """Fill at which the short was closed."""
    equity_before: float
    """At the entry, before its costs."""
    fees_before: float
    slippage_before: float
    funding_before: float
    settlements_before: int
    pending: int
    """Decided at the last close: 1 enter, 0 nothing, minus a `CarryActed`: leave for that."""
    pending_wait: int
    bar: int
    last_open_ms: int
    spot_sigma: float
    spot_quote_volume: float
    perp_sigma: float
    perp_quote_volume: float
    equity: float
    peak: float
    worst_drawdown: float
    entries: int
    exits: int
    liquidations: int
    refused: int
    gaps: int


class CarryTradeRow:
    """One closed carry. Bars are indices of the joined bars; amounts quote."""

    entry_bar: int
    exit_bar: int
    quantity: float
    spot_entry_price: float
    perp_entry_price: float
    spot_exit_price: float
    perp_exit_price: float
    fees: float
    slippage: float
    funding: float
    settlements: int
    pnl: float
    """Net of everything."""
    reason: int
    """A `CarryActed`."""


CARRY_STATE = record(CarryRow)
CARRY_TRADE = record(CarryTradeRow)


class CarryBar(NamedTuple):
    """One bar that both legs have, with what is known at its close."""

    open_ms: int
    spot_open: float
    spot_low: float
    spot_close: float
    spot_quote_volume: float
    spot_sigma: float
    perp_open: float
    perp_high: float
    perp_close: float
    perp_quote_volume: float
    perp_sigma: float
    expected_apr: float
    error_apr: float
    funding_open: float
    funding_earned: float
    funding_paid: float
    count_open: int
    count_inside: int


class CarryColumns(NamedTuple):
    """`CarryBar` as columns, (n,) each, read-only."""

    open_ms: NDArray[np.int64]
    spot_open: NDArray[np.float64]
    spot_low: NDArray[np.float64]
    spot_close: NDArray[np.float64]
    spot_quote_volume: NDArray[np.float64]
    spot_sigma: NDArray[np.float64]
    perp_open: NDArray[np.float64]
    perp_high: NDArray[np.float64]
    perp_close: NDArray[np.float64]
    perp_quote_volume: NDArray[np.float64]
    perp_sigma: NDArray[np.float64]
    expected_apr: NDArray[np.float64]
    error_apr: NDArray[np.float64]
    funding_open: NDArray[np.float64]
    funding_earned: NDArray[np.float64]
    funding_paid: NDArray[np.float64]
    count_open: NDArray[np.int64]
    count_inside: NDArray[np.int64]


class CarryNumbers(NamedTuple):
    """How a carry decides and sizes, and what the venue asks."""

    terms: CarryTerms
    round_trip_rate: float
    """That an entry must earn back."""
    capital_fraction: float
    leverage: float
    entry_delay_bars: int
    lots_per_base: float
    min_notional: float
    liquidation_fee_rate: float
    interval_ms: int

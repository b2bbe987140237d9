"""Closed trades of the simulator, in the form in which an account keeps them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ai_brain.paper.account import PaperTrade
from trading.simulator.carry_records import CarryActed
from trading.simulator.records import Acted
from trading.simulator.replay import Replay


def trades_of(again: Replay, *, is_carry: bool) -> list[PaperTrade]:
    """The closed trades of a replay, as an account keeps them."""
    times = again.open_time_ms
    if not is_carry:
        return [_traded(row, times) for row in again.trades]
    return [
        carried(
            row,
            entry_ms=int(times[row["entry_bar"]]),
            exit_ms=int(times[row["exit_bar"]]),
            left=CarryActed(int(row["reason"])),
        )
        for row in again.trades
    ]


def carried(row: np.void, *, entry_ms: int, exit_ms: int, left: CarryActed) -> PaperTrade:
    """A closed carry.

    Args:
        row: Its `CARRY_TRADE`.
        entry_ms: Open of the bar in which it was opened, UTC milliseconds; a row counts its own stepper's bars.
        exit_ms: The same of the bar in which it was closed.
        left: Why.
    """
    return PaperTrade(
        entry_ms=entry_ms,
        exit_ms=exit_ms,
        side=0,
        quantity_base=float(row["quantity"]),
        entry_price=float(row["spot_entry_price"]),
        exit_price=float(row["spot_exit_price"]),
        perp_entry_price=float(row["perp_entry_price"]),
        perp_exit_price=float(row["perp_exit_price"]),
        fees_quote=float(row["fees"]),
        funding_quote=float(row["funding"]),
        pnl_quote=float(row["pnl"]),
        reason=left.name,
    )


def _traded(row: np.void, times: NDArray[np.int64]) -> PaperTrade:
    return PaperTrade(
        entry_ms=int(times[row["entry_bar"]]),
        exit_ms=int(times[row["exit_bar"]]),
        side=int(row["side"]),
        quantity_base=float(row["quantity"]),
        entry_price=float(row["entry_price"]),
        exit_price=float(row["exit_price"]),
        fees_quote=float(row["fees"]),
        funding_quote=float(row["funding"]),
        pnl_quote=float(row["pnl"]),
        reason=Acted(int(row["reason"])).name,
    )

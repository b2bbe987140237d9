"""Closed trades of a replay, in the form in which an account keeps its own."""

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
    return [_carried(row, times) if is_carry else _traded(row, times) for row in again.trades]


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


def _carried(row: np.void, times: NDArray[np.int64]) -> PaperTrade:
    return PaperTrade(
        entry_ms=int(times[row["entry_bar"]]),
        exit_ms=int(times[row["exit_bar"]]),
        side=0,
        quantity_base=float(row["quantity"]),
        entry_price=float(row["spot_entry_price"]),
        exit_price=float(row["spot_exit_price"]),
        perp_entry_price=float(row["perp_entry_price"]),
        perp_exit_price=float(row["perp_exit_price"]),
        fees_quote=float(row["fees"]),
        funding_quote=float(row["funding"]),
        pnl_quote=float(row["pnl"]),
        reason=CarryActed(int(row["reason"])).name,
    )

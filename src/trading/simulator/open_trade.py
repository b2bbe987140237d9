"""The position that is still open at the end of a run, marked there; the same for a rule strategy and for a carry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class OpenTrade:
    """Amounts are quote, so far; nothing of the way out is in them."""

    entry_bar: int
    """Index of the bars that counted."""
    side: int
    """+1 long, -1 short; a carry is 0."""
    quantity: float
    """Base."""
    entry_price: float
    """Fill; of a carry's spot leg."""
    perp_entry_price: float | None
    """Fill of a carry's other leg; None: there is none."""
    fees: float
    funding: float
    """Received minus paid."""
    slippage: float
    pnl: float
    """Marked at the last close, net of fees and funding so far."""


def open_rule_trade(state: NDArray[np.void]) -> OpenTrade | None:
    """Of a rule strategy's state; None: it is flat."""
    row = state[0]
    if row["side"] == 0:
        return None
    fees, funding = float(row["trade_fees"]), float(row["trade_funding"])
    return OpenTrade(
        entry_bar=int(row["entry_bar"]),
        side=int(row["side"]),
        quantity=float(row["quantity"]),
        entry_price=float(row["entry_price"]),
        perp_entry_price=None,
        fees=fees,
        funding=funding,
        slippage=float(row["trade_slippage"]),
        pnl=float(row["equity"] - row["wallet"]) - fees + funding,
    )


def open_carry_trade(state: NDArray[np.void]) -> OpenTrade | None:
    """Of a carry's state; None: both legs are off."""
    row = state[0]
    if row["quantity"] == 0.0:
        return None
    return OpenTrade(
        entry_bar=int(row["entry_bar"]),
        side=0,
        quantity=float(row["quantity"]),
        entry_price=float(row["entry_spot"]),
        perp_entry_price=float(row["entry_perp"]),
        fees=float(row["fees"] - row["fees_before"]),
        funding=float(row["funding"] - row["funding_before"]),
        slippage=float(row["slippage"] - row["slippage_before"]),
        pnl=float(row["equity"] - row["equity_before"]),
    )

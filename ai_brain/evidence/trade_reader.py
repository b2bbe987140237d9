"""`ID.trades.csv` back as trades."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from math import isfinite

from ai_brain.evidence.rehearsal import TRADE_COLUMNS, TradeLine
from trading.domain.clock import parse_iso
from trading.domain.errors import StateFileError

SIDES = {"long": 1, "short": -1, "carry": 0}


def read_trades(content: bytes) -> tuple[TradeLine, ...]:
    """The table that `trades_csv` wrote, to the last bit; no bytes: no trade.

    Raises:
        StateFileError: it is none; names the line and what is wrong there.
    """
    if not content:
        return ()
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise StateFileError(f"trades: byte {error.start} is no UTF-8; let the strategy be judged anew") from error
    head, *rows = list(csv.reader(io.StringIO(text, newline=""))) or [[]]
    if tuple(head) != TRADE_COLUMNS:
        raise StateFileError(f"trades: line 1: {','.join(head)[:80]!r}: expected {','.join(TRADE_COLUMNS)}")
    return tuple(_line(number, row) for number, row in enumerate(rows, start=2))


def _line(number: int, row: Sequence[str]) -> TradeLine:
    if len(row) != len(TRADE_COLUMNS):
        raise StateFileError(f"trades: line {number}: {len(row)} fields, expected {len(TRADE_COLUMNS)}")
    cell = dict(zip(TRADE_COLUMNS, row, strict=True))
    try:
        return TradeLine(
            entry_ms=parse_iso(cell["entry_bar"]),
            exit_ms=parse_iso(cell["exit_bar"]) if cell["exit_bar"] else None,
            side=SIDES[cell["side"]],
            quantity_base=_number(cell["quantity_base"]),
            entry_price=_number(cell["entry_price"]),
            exit_price=_perhaps(cell["exit_price"]),
            fees_quote=_number(cell["fees_quote"]),
            slippage_quote=_number(cell["slippage_quote"]),
            funding_quote=_number(cell["funding_quote"]),
            pnl_quote=_number(cell["pnl_quote"]),
            reason=cell["reason"],
            perp_entry_price=_perhaps(cell["perp_entry_price"]),
            perp_exit_price=_perhaps(cell["perp_exit_price"]),
        )
    except (KeyError, ValueError) as error:
        raise StateFileError(f"trades: line {number}: {error}; let the strategy be judged anew") from error


def _number(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"{text!r}: not a finite number")
    return value


def _perhaps(text: str) -> float | None:
    return _number(text) if text else None

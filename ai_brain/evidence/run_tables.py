"""`ID.trades.csv` and `ID.settlements.csv`: what a run did as tables, numbers to the last bit, and its trades back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import isfinite

from ai_brain.evidence.csv_table import csv_bytes, csv_rows
from ai_brain.evidence.run import SettlementLine, TradeLine
from trading.domain.clock import iso, parse_iso
from trading.domain.errors import StateFileError

TRADE_COLUMNS = (
    "number",
    "entry_bar",
    "exit_bar",
    "side",
    "quantity_base",
    "entry_price",
    "exit_price",
    "fees_quote",
    "slippage_quote",
    "funding_quote",
    "pnl_quote",
    "reason",
    "perp_entry_price",
    "perp_exit_price",
)
"""Of `ID.trades.csv`; bars are named by their open time, as in the tape; the last two are of a carry's other leg."""

SETTLEMENT_COLUMNS = ("number", "due", "bar", "rate", "price", "price_is_mark", "short_base", "funding_quote")
"""Of `ID.settlements.csv`: `funding_quote = short_base x price x rate`."""

_SIDES = {"long": 1, "short": -1, "carry": 0}
_NAMES = {side: name for name, side in _SIDES.items()}


def trades_csv(trades: Sequence[TradeLine]) -> bytes:
    """One line a trade, bars by their open time. No trade: no bytes."""
    return csv_bytes(TRADE_COLUMNS, _trade_cells(trades)) if trades else b""


def settlements_csv(lines: Sequence[SettlementLine]) -> bytes:
    """One line a settlement. None: no bytes."""
    return csv_bytes(SETTLEMENT_COLUMNS, _settlement_cells(lines)) if lines else b""


def read_trades(content: bytes) -> tuple[TradeLine, ...]:
    """The table that `trades_csv` wrote; no bytes: no trade.

    Raises:
        StateFileError: it is none; names the line and what is wrong there.
    """
    if not content:
        return ()
    return tuple(_trade(number, row) for number, row in csv_rows(content, TRADE_COLUMNS, table="trades"))


def _trade_cells(trades: Iterable[TradeLine]) -> Iterator[tuple[object, ...]]:
    for number, t in enumerate(trades, start=1):
        exit_bar = "" if t.exit_ms is None else iso(t.exit_ms)
        prices = (repr(t.quantity_base), repr(t.entry_price), _cell(t.exit_price))
        amounts = map(repr, (t.fees_quote, t.slippage_quote, t.funding_quote, t.pnl_quote))
        other_leg = map(_cell, (t.perp_entry_price, t.perp_exit_price))
        yield (number, iso(t.entry_ms), exit_bar, _NAMES[t.side], *prices, *amounts, t.reason, *other_leg)


def _settlement_cells(lines: Iterable[SettlementLine]) -> Iterator[tuple[object, ...]]:
    for number, line in enumerate(lines, start=1):
        amounts = (repr(line.rate), repr(line.price), line.is_mark, repr(line.short_base), repr(line.funding_quote))
        yield (number, iso(line.due_ms), iso(line.bar_ms), *amounts)


def _cell(value: float | None) -> str:
    return "" if value is None else repr(value)


def _trade(number: int, row: Sequence[str]) -> TradeLine:
    cell = dict(zip(TRADE_COLUMNS, row, strict=True))
    try:
        return TradeLine(
            entry_ms=parse_iso(cell["entry_bar"]),
            exit_ms=parse_iso(cell["exit_bar"]) if cell["exit_bar"] else None,
            side=_SIDES[cell["side"]],
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

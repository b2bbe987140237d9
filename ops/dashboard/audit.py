"""The audit trail: cycles newest first, narrowed by a filter, and one cycle with everything it wrote down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from ops.dashboard.cycles import SEARCH_BYTES, Cycle, Found, Wanted, line_at, parse_cycle, search
from ops.dashboard.view import (
    Banner,
    Block,
    Cell,
    Choice,
    Column,
    Facts,
    Filter,
    Leads,
    Meter,
    Meters,
    Table,
    Tone,
    View,
    money,
    number,
    says,
    when,
)
from ops.figures import size
from ops.reasons import trims
from trading.domain.clock import iso
from trading.domain.decisions import Reason
from trading.journal.audit import CycleStatus
from trading.storage.home import Home
from trading.storage.long_files import size_of

TRIMMED = "A new trade that a rule trims is made smaller until it fits: one leg as wanted, and what the rule leaves."
SHOWN = 50
"""Cycles a page."""
TONES = {
    CycleStatus.EXECUTED: Tone.MONEY,
    CycleStatus.NO_TRADE: Tone.QUIET,
    CycleStatus.HALTED: Tone.BAD,
    CycleStatus.DEGRADED: Tone.CAUTION,
}


@dataclass(frozen=True, slots=True)
class Trail:
    """A page of the audit file."""

    wanted: Wanted
    found: Found
    file_bytes: int
    is_newest: bool


def read_trail(home: Home, wanted: Wanted, *, before: int | None = None, limit: int = SHOWN) -> Trail:
    """The newest cycles that fit, or those before an offset."""
    found = search(home.audit_file, wanted, before=before, limit=limit)
    return Trail(wanted, found, size_of(home.audit_file), is_newest=before is None)


def trail(read: Trail) -> View:
    """The list."""
    wanted, found = read.wanted, read.found
    chosen = Filter(
        "Only",
        (
            Choice("status", "Status", wanted.status, tuple(CycleStatus)),
            Choice("reason", "Reason", wanted.reason, tuple(sorted(Reason))),
            Choice("text", "Anywhere in the line", wanted.text),
        ),
    )
    columns = (
        Column("Time, UTC", is_whole=True),
        Column("Status", is_whole=True),
        Column("Reason", is_whole=True),
        Column("Value", is_number=True),
        Column("Limit", is_number=True),
        Column("Equity", is_number=True),
        Column("Quality", is_number=True),
        Column("Note"),
    )
    rows = tuple(_row(offset, cycle) for offset, cycle in found.cycles)
    looked = f"{size(found.looked_bytes)} of {size(read.file_bytes)} looked through"
    blocks: list[Block] = [chosen, Table("Cycles", columns, rows, empty="no cycle like that here", note=looked)]
    if leads := _leads(read):
        blocks.append(Leads(leads))
    return View("audit", "Audit trail", tuple(blocks), _banners(read))


def _banners(read: Trail) -> tuple[Banner, ...]:
    told = []
    if read.found.unreadable:
        words = f"{read.found.unreadable} lines are none of the audit file; run ./lab verify-audit"
        told.append(Banner(words, Tone.BAD))
    if read.found.older is not None and len(read.found.cycles) < SHOWN:
        words = f"{SEARCH_BYTES / 1e6:,.0f} MB looked through, {len(read.found.cycles)} found; Older goes on from there"
        told.append(Banner(words, Tone.CAUTION))
    return tuple(told)


def _leads(read: Trail) -> tuple[Cell, ...]:
    wanted = {"status": read.wanted.status, "reason": read.wanted.reason, "text": read.wanted.text}
    kept = {name: value for name, value in wanted.items() if value}
    found = []
    if read.found.older is not None:
        found.append(Cell("Older", link=f"/audit?{urlencode({**kept, 'before': read.found.older})}"))
    if not read.is_newest:
        found.append(Cell("Newest", link=f"/audit?{urlencode(kept)}" if kept else "/audit"))
    return tuple(found)


def status_cell(status: str) -> Cell:
    """How a cycle ended, with its sign."""
    tone = TONES[CycleStatus(status)] if status in set(CycleStatus) else Tone.PLAIN
    return Cell(status, tone, signed=True)


def _row(offset: int, cycle: Cycle) -> tuple[Cell, ...]:
    equity = cycle.equity.equity_quote
    note = cycle.risk.note if cycle.risk.note != cycle.reason else ""
    return (
        Cell(iso(cycle.at_ms)[:19].replace("T", " "), link=f"/audit?line={offset}"),
        status_cell(cycle.status),
        Cell(cycle.reason),
        Cell(_told(cycle.risk.value)),
        Cell(_told(cycle.risk.limit)),
        Cell("–" if equity is None else money(float(equity))),
        Cell(f"{cycle.data_quality:.0f}"),
        Cell(note or cycle.note),
    )


def _told(value: object) -> str:
    return number(float(value)) if isinstance(value, int | float) else str(value)


def _known(value: object) -> str:
    return "–" if value is None else str(value)


def read_one(path: Path, offset: int) -> Cycle | None:
    """The cycle whose line begins at an offset; None: none does."""
    line = line_at(path, offset)
    return None if line is None else parse_cycle(line.raw)


def one(cycle: Cycle | None) -> View:
    """One cycle with everything it wrote down."""
    back = Leads((Cell("To the list", link="/audit"),))
    if cycle is None:
        return View("audit", "Audit trail", (back,), (Banner("no cycle begins there", Tone.CAUTION),))
    blocks = (_head(cycle), _checks(cycle), _stages(cycle), _orders(cycle), _fills(cycle), _marks(cycle), back)
    return View("audit", f"Cycle of {when(cycle.at_ms)}", blocks)


def _head(cycle: Cycle) -> Facts:
    books = cycle.equity
    rows = [
        ("Time", Cell(iso(cycle.at_ms))),
        ("Mode", Cell(cycle.mode)),
        ("Status", status_cell(cycle.status)),
        ("Reason", Cell(cycle.reason)),
        ("Value against limit", Cell(f"{_told(cycle.risk.value)} against {_told(cycle.risk.limit)}")),
        ("In words", Cell(cycle.risk.note or "–")),
        ("Equity", Cell("not read" if books.equity_quote is None else f"{money(float(books.equity_quote))} USDT")),
        (
            "Books off by",
            Cell("flat, or not read" if books.identity_error_quote is None else f"{books.identity_error_quote:f} USDT"),
        ),
        ("Data quality", Cell(f"{cycle.data_quality:.0f} of 100")),
        ("Regime", Cell(cycle.regime or "–")),
        ("Settings", Cell(cycle.config_sha256)),
        ("Note", Cell(cycle.note or "–")),
        ("Hash", Cell(cycle.hash)),
    ]
    return Facts("What it decided", tuple(rows))


def _checks(cycle: Cycle) -> Table:
    columns = (
        Column("Rule", is_whole=True),
        Column("Says"),
        Column("Value", is_number=True),
        Column("Limit", is_number=True),
        Column("Note"),
    )
    rows = []
    for check in cycle.risk.checks:
        numbers = (Cell(_told(check.get(name, "?"))) for name in ("value", "limit"))
        rows.append(
            (
                Cell(str(check.get("reason", "?"))),
                says(check.get("allowed"), is_size=trims(str(check.get("reason")), str(check.get("note", "")))),
                *numbers,
                Cell(str(check.get("note", ""))),
            )
        )
    return Table("Every rule that was asked", columns, tuple(rows), empty="none was asked", note=TRIMMED)


def _stages(cycle: Cycle) -> Meters:
    longest = max([*cycle.stage_s.values(), 1e-9])
    stages = sorted(cycle.stage_s.items(), key=lambda pair: -pair[1])
    return Meters("Stages, real time", tuple(Meter(n, s / longest, f"{s * 1000:,.1f} ms") for n, s in stages))


def _orders(cycle: Cycle) -> Table:
    names = ("market", "symbol", "side", "type", "quantity_base", "filled_base", "average_price", "status")
    rows = tuple(
        (Cell(str(order.get("client_id", "?"))), *(Cell(_known(order.get(name))) for name in names))
        for order in cycle.orders
    )
    columns = (Column("Order"), *(Column(name.replace("_", " "), is_number=name in names[4:7]) for name in names))
    return Table("Orders", columns, rows, empty="none")


def _fills(cycle: Cycle) -> Table:
    columns = (
        Column("Trade"),
        Column("Market"),
        Column("Side"),
        Column("Base", is_number=True),
        Column("Price", is_number=True),
        Column("Fee", is_number=True),
    )
    rows = tuple(
        (
            Cell(fill.venue_trade_id),
            Cell(f"{fill.market.value} {fill.symbol}".strip()),
            Cell(fill.side.value),
            Cell(f"{fill.quantity_base:f}"),
            Cell(f"{fill.price:f}"),
            Cell(f"{fill.fee:f} {fill.fee_asset}"),
        )
        for fill in cycle.fills
    )
    return Table("Fills", columns, rows, empty="none")


def _marks(cycle: Cycle) -> Table:
    rows = tuple(
        (Cell(mark.strategy_id), Cell(money(mark.equity_quote)), Cell(mark.holding or "flat")) for mark in cycle.signals
    )
    columns = (Column("Account"), Column("Equity, USDT", is_number=True), Column("Holds"))
    return Table("On paper", columns, rows, empty="no paper account then")

"""The funding carry: both legs, margin and basis as last read, settlements paid and expected, the hedge watch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate, islice

from ops.dashboard.carries_on_paper import OnPaper, on_paper, read_on_paper
from ops.dashboard.cycles import Cycle, parse_cycle
from ops.dashboard.legs import legs, terms
from ops.dashboard.reading import read_as
from ops.dashboard.view import (
    Banner,
    Block,
    Cell,
    Chart,
    Column,
    Facts,
    Figure,
    Figures,
    Line,
    Table,
    Tone,
    View,
    by_sign,
    fine,
    percent,
    when,
)
from ops.trace.live_records import Holdings, read_holdings
from trading.domain.clock import DAY_MS
from trading.domain.counted import counted
from trading.domain.errors import DataProviderError, StateFileError
from trading.domain.market import FundingRate
from trading.funding.hedge_memory import MEMORY, HedgeMemoryFile
from trading.funding.settlements import settled_of
from trading.market.listing import FundingTerms
from trading.storage.home import Home
from trading.storage.long_files import backwards

SHOWN = 60
"""Settlements in the table; the chart and the sums have all."""
LOOKED_BACK = 50
"""Cycles that are looked through for the last one that read the account."""


@dataclass(frozen=True, slots=True)
class Paid:
    """One settlement."""

    position: str
    symbol: str
    at_ms: int
    paid_quote: Decimal
    expected_quote: Decimal | None
    """By the recorded rate and mark; None: they are not on the shelf."""
    perp_base: Decimal


@dataclass(frozen=True, slots=True)
class Carry:
    """What the files say of the carry."""

    held: Holdings
    last: Cycle | None
    """The newest cycle that read the account; None: none did lately."""
    paid: tuple[Paid, ...]
    """Oldest first; of positions closed by a lab too old to have kept them, none."""
    watch: HedgeMemoryFile | None
    on_paper: tuple[OnPaper, ...]
    problems: tuple[str, ...]


def read_carry(home: Home) -> Carry:
    """Read it; what cannot be read is among the problems."""
    problems, held = list[str](), Holdings()
    try:
        held = read_holdings(home)
    except StateFileError as error:
        problems.append(str(error))
    return Carry(
        held=held,
        last=_last_read(home),
        paid=tuple(sorted(_paid(home, held, problems), key=lambda paid: paid.at_ms)),
        watch=read_as(home.state / "hedge_watch.json", MEMORY, problems),
        on_paper=tuple(read_on_paper(home, problems)),
        problems=tuple(problems),
    )


def _last_read(home: Home) -> Cycle | None:
    for line in islice(backwards(home.audit_file), LOOKED_BACK):
        cycle = parse_cycle(line.raw)
        if cycle is not None and cycle.equity.equity_quote is not None:
            return cycle
    return None


def _paid(home: Home, held: Holdings, problems: list[str]) -> Iterator[Paid]:
    from ops.trace.money import booked_records  # brings a database's library along: 30 MB that no other view needs

    positions = [(one.id, one.symbol, one.settled or ()) for one in held.closed]
    positions += [(one.id, one.symbol, settled_of(one)) for one in held.lives]
    rates: dict[str, list[FundingRate]] = {}
    for position, symbol, settled in positions:
        if settled and symbol not in rates:
            rates[symbol] = _rates(home, symbol, min(one.at_ms for one in settled), problems)
        for booked in booked_records(position, settled, rates.get(symbol, [])):
            yield Paid(position, symbol, booked.at_ms, booked.amount_quote, booked.expected_quote, booked.perp_base)


def _rates(home: Home, symbol: str, start_ms: int, problems: list[str]) -> list[FundingRate]:
    """Recorded settlements of a contract, oldest first; the shelf's own reader would set a damaged file aside."""
    from trading.market.importers import read_funding

    path = home.tapes / "perp" / symbol / "funding.parquet"
    if not path.exists():
        return []
    try:
        return read_funding(path, start_ms=start_ms - DAY_MS, end_ms=2**62).records(symbol)
    except DataProviderError as error:
        problems.append(str(error))
        return []


def carry(read: Carry) -> View:
    """The screen."""
    banners = [Banner(f"Cannot be read: {problem}", Tone.BAD) for problem in read.problems]
    blocks: list[Block] = [_sums(read)]
    told = {} if read.last is None else {held.symbol: held for held in read.last.equity.positions}
    for live in read.held.lives:
        known = read.watch.terms.get(live.symbol) if read.watch is not None else None
        interval_ms = known.now.interval_ms if known is not None else FundingTerms().interval_ms
        held, at_ms = told.get(live.symbol), read.last.at_ms if read.last is not None else 0
        blocks += [legs(live, held, read.last), terms(live, held, at_ms=at_ms, interval_ms=interval_ms)]
    if not read.held.lives:
        blocks.append(Facts("Held", (("Nothing", Cell("no live position", Tone.QUIET)),)))
    blocks += [
        on_paper(read.on_paper),
        _watch(read.watch),
        _chart(read.paid),
        _settlements(read.paid),
        _closed(read.held),
    ]
    return View("funding", "Funding carry", tuple(blocks), tuple(banners))


def _sums(read: Carry) -> Figures:
    paid = sum((one.paid_quote for one in read.paid), Decimal(0))
    compared = [one for one in read.paid if one.expected_quote is not None]
    told = sum((one.paid_quote for one in compared), Decimal(0))
    expected = sum((one.expected_quote for one in compared if one.expected_quote is not None), Decimal(0))
    figures = [
        Figure("Funding paid", f"{fine(paid)} USDT", counted(len(read.paid), "settlement"), by_sign(float(paid))),
        Figure("Positions", f"{len(read.held.lives)} held", f"{len(read.held.closed)} closed"),
    ]
    if compared:
        beside = f"{fine(told)} paid, {fine(expected)} expected by recorded rate and mark, n = {len(compared)}"
        figures.insert(1, Figure("Paid − expected", f"{fine(told - expected)} USDT", beside))
    return Figures(tuple(figures))


def _watch(watch: HedgeMemoryFile | None) -> Table:
    """What the hedge watch has told and what still stands; funding terms as it knows them."""
    columns = (Column("Watched"), Column("Found"))
    rows = []
    if watch is not None:
        for told in watch.told.values():
            found = Cell(f"{told.kind} {told.where}".strip(), Tone.CAUTION, signed=True)
            rows += [(found, Cell("stands since it was told"))]
        for symbol, known in watch.terms.items():
            now = known.now
            words = (
                f"settles every {now.interval_ms / 3_600_000:g} h, rate between {percent(now.floor_rate, digits=3)} "
                f"and {percent(now.cap_rate, digits=3)}"
            )
            changed = f"; changed {when(known.changed_ms)} UTC" if known.changed_ms is not None else ""
            rows.append((Cell(f"terms of {symbol}"), Cell(words + changed)))
    return Table("Hedge watch", columns, tuple(rows), empty="it has not looked yet")


def _chart(paid: Sequence[Paid]) -> Chart:
    """Paid and expected, summed up since the first settlement."""
    times = tuple(one.at_ms for one in paid)
    sums = tuple(float(total) for total in accumulate(one.paid_quote for one in paid))
    lines = [Line("paid", sums)]
    if paid and all(one.expected_quote is not None for one in paid):
        expected = (one.expected_quote or Decimal(0) for one in paid)
        lines.append(Line("expected", tuple(float(total) for total in accumulate(expected))))
    note = "" if len(lines) > 1 or not paid else "Not every settlement is on the shelf: what was expected is not drawn."
    return Chart(
        "Funding, summed up", "USDT", times, tuple(lines) if times else (), note=note, empty="no settlement yet"
    )


def _settlements(paid: Sequence[Paid]) -> Table:
    columns = (
        Column("Settled, UTC", is_whole=True),
        Column("Symbol"),
        Column("Held, base", is_number=True),
        Column("Paid, USDT", is_number=True),
        Column("Expected, USDT", is_number=True),
        Column("Difference", is_number=True),
        Column("Position", is_whole=True),
    )
    rows = []
    for one in reversed(paid[-SHOWN:]):
        expected = one.expected_quote
        off = None if expected is None else one.paid_quote - expected
        rows.append(
            (
                Cell(when(one.at_ms)),
                Cell(one.symbol),
                Cell(f"{one.perp_base.normalize():f}".replace("-", "−")),
                Cell(fine(one.paid_quote, digits=8), by_sign(float(one.paid_quote))),
                Cell("not on the shelf" if expected is None else fine(expected, digits=8)),
                Cell("–" if off is None else fine(off, digits=8)),
                Cell(one.position),
            )
        )
    note = (
        f"The newest {SHOWN} of {len(paid)}."
        if len(paid) > SHOWN
        else "Expected: −held × recorded mark × recorded rate."
    )
    return Table("Settlements, newest first", columns, tuple(rows), empty="none yet", note=note)


def _closed(held: Holdings) -> Table:
    columns = (
        Column("Position", is_whole=True),
        Column("Opened, UTC", is_whole=True),
        Column("Closed, UTC", is_whole=True),
        Column("Because"),
        Column("Settlements", is_number=True),
        Column("Funding", is_number=True),
        Column("Fees", is_number=True),
        Column("Profit", is_number=True),
        Column("Apart", is_number=True),
    )
    rows = tuple(
        (
            Cell(f"{one.id} {one.symbol}"),
            Cell(when(one.opened_ms)),
            Cell(when(one.closed_ms)),
            Cell(one.reason),
            Cell(str(one.settlements)),
            Cell(fine(one.funding_quote)),
            Cell(fine(-one.fees_quote)),
            Cell(fine(one.profit_quote), by_sign(float(one.profit_quote))),
            Cell(f"{one.max_unhedged_s:.1f} s"),
        )
        for one in reversed(held.closed)
    )
    return Table("Closed positions, USDT", columns, rows, empty="none yet")

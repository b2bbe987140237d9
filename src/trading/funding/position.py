"""The live positions on disk: `state/current_positions.json`, written atomically, never resurrected.

Every position has a sequence number that only rises and an id made of it; the file keeps the ids of closed ones, and
the journal of intents keeps them too. A file restored from yesterday that claims a closed position is refused. There is
at most one live position a symbol. Beside them the file has the cash that the account's books start with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

from pydantic import TypeAdapter

from trading.domain.errors import PortfolioUpdateError, StateFileError
from trading.domain.orders import Income, IncomeKind
from trading.execution.intents import Intents
from trading.funding.books import (
    Baseline,
    BookedFill,
    Cash,
    Identity,
    carry_over,
    income_key,
    rebased,
    with_coins,
    with_late,
)
from trading.storage.checked import checked
from trading.storage.files import read_json, set_aside, write_json
from trading.strategy.parameters import CarryParameters

SCHEMA, OLDEST_SCHEMA = 3, 1
"""Written, and still read: files before 3 hold at most one live position, and the cash that the books start with in its
baseline; files before 2 have neither dust nor settlements of closed positions.
"""
KEEP_CLOSED = 200
"""Closed positions told in the file; the journal of intents keeps them all."""


class PositionStatus(StrEnum):
    """Where a position is in its life."""

    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"


@dataclass(frozen=True, slots=True)
class CarryPosition:
    """One delta-neutral position: spot long, perpetual short."""

    id: str
    """`c-000017`."""
    sequence: int
    spec_id: str
    spec_sha256: str
    symbol: str
    parameters: CarryParameters
    """As they were signed when it was opened; an exit never depends on a file that may have changed."""
    status: PositionStatus
    opened_ms: int
    capital_quote: Decimal
    """Notional of one leg it was given."""
    baseline: Baseline
    fills: tuple[BookedFill, ...] = ()
    income: tuple[Income, ...] = ()
    checked_settlements_ms: tuple[int, ...] = ()
    """Settlements that have been held against what was expected."""
    max_unhedged_s: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Settled:
    """One settlement a position was paid, or paid, as the venue recorded it."""

    at_ms: int
    """The venue's time of the record."""
    amount_quote: Decimal
    """Positive is received."""
    perp_base: Decimal
    """Held at the settlement; short is negative."""
    venue_id: str
    """`tranId` of the record."""


@dataclass(frozen=True, slots=True)
class ClosedPosition:
    """What remains of a position that is over."""

    id: str
    spec_id: str
    symbol: str
    opened_ms: int
    closed_ms: int
    reason: str
    profit_quote: Decimal
    funding_quote: Decimal
    fees_quote: Decimal
    settlements: int
    max_unhedged_s: float
    dust_base: Decimal | None = None
    """What fees taken in coin left of the spot leg, too little to sell; it stays in the wallet and is in the profit.
    None: closed by an older lab, which did not note it.
    """
    dust_price: Decimal = Decimal(0)
    """At which the profit counts it, quote per base."""
    settled: tuple[Settled, ...] | None = None
    """Its settlements, oldest first. None: closed by an older lab, which did not keep them."""
    capital_quote: Decimal | None = None
    """Notional of one leg it was given. None: closed by an older lab, which did not keep it."""
    late_ids: tuple[str, ...] = ()
    """Income that the venue recorded after it was closed and the books have since, as `income_key` names it."""

    @property
    def known_ids(self) -> frozenset[str]:
        """Funding that the books have, as `income_key` names it."""
        settled = (f"{IncomeKind.FUNDING_FEE}:{one.venue_id}" for one in self.settled or ())
        return frozenset({*settled, *self.late_ids})


@dataclass(frozen=True, slots=True)
class _Book:
    sequence: int = 0
    lives: tuple[CarryPosition, ...] = ()
    """Oldest first."""
    cash: Cash | None = None
    """None while nothing is live."""
    closed: tuple[ClosedPosition, ...] = ()
    dust_base: Mapping[str, Decimal] = field(default_factory=dict)
    """By symbol, of every position ever closed."""


_BOOK = TypeAdapter(_Book)
_MEND = "restore it from a backup"


class PositionStore:
    """The file and its live positions.

    Raises:
        StateFileError: the file cannot be read; it has been set aside, and what is held must be found by reconciling.
    """

    def __init__(self, path: Path, intents: Intents) -> None:
        self._path = path
        self._intents = intents
        stored = read_json(path, schema=SCHEMA, oldest=OLDEST_SCHEMA, needs=("sequence",))
        self._book = _Book() if stored is None else checked(path, of_several(stored), _BOOK, mend=_MEND)
        symbols = [live.symbol for live in self.lives]
        if len(set(symbols)) < len(symbols) or (self.lives and self._book.cash is None):
            raise self._broken(f"lives: {symbols}, cash {self._book.cash}: one position a symbol, and a start of cash")

    @property
    def lives(self) -> tuple[CarryPosition, ...]:
        """What the lab believes it holds, oldest first."""
        return self._book.lives

    @property
    def cash(self) -> Cash:
        """What the account's books start with.

        Raises:
            PortfolioUpdateError: nothing is live, so there are no books.
        """
        if self._book.cash is None:
            raise PortfolioUpdateError(f"{self._path}: nothing is live, the books have no start")
        return self._book.cash

    @property
    def closed(self) -> tuple[ClosedPosition, ...]:
        """Positions that are over, oldest first."""
        return self._book.closed

    def live_of(self, symbol: str) -> CarryPosition | None:
        """What is held in a symbol; None: nothing."""
        return next((live for live in self.lives if live.symbol == symbol), None)

    def dust_base(self, symbol: str) -> Decimal:
        """Coins that closed positions left in the spot wallet, base; what a human took since is not known here."""
        return max(self._book.dust_base.get(symbol, Decimal(0)), Decimal(0))

    def refuse_resurrected(self) -> tuple[CarryPosition, ...]:
        """Drop live positions that the journal says are closed for good; those, none when the file was right.

        What they moved goes into the start of the books as when they are closed: the lab may have died in between.
        """
        claimed = tuple(live for live in self.lives if self._intents.is_closed(live.id))
        left = tuple(live for live in self.lives if live not in claimed)
        if claimed:
            self._write(replace(self._book, lives=left, cash=self._cash_after(*claimed) if left else None))
        return claimed

    def next_id(self) -> tuple[str, int]:
        """Id and sequence number for a new position; larger than any this lab has used."""
        used = [int(name.rpartition("-")[2]) for name in self._intents.position_ids()]
        sequence = max([self._book.sequence, *used]) + 1
        return f"c-{sequence:06d}", sequence

    def open(self, position: CarryPosition) -> CarryPosition:
        """Write a new position before its first order leaves; the books of the account start with the first one.

        Raises:
            PortfolioUpdateError: one is live in its symbol already, or its sequence number has been used.
        """
        beside = self.live_of(position.symbol)
        if beside is not None:
            raise PortfolioUpdateError(f"position {position.id}: {beside.id} is still {beside.status}; close it first")
        if position.sequence <= self._book.sequence:
            raise PortfolioUpdateError(f"position {position.id}: its number is not above {self._book.sequence}")
        start = Cash(position.baseline.spot_quote, position.baseline.futures_quote)
        cash = self._book.cash if self.lives else start
        self._write(replace(self._book, sequence=position.sequence, lives=(*self.lives, position), cash=cash))
        return position

    def save(self, position: CarryPosition) -> CarryPosition:
        """Write a live position's new state.

        Raises:
            PortfolioUpdateError: it is not live, or it is closed for good.
        """
        before = self._live(position.id)
        if self._intents.is_closed(position.id):
            raise _not_live(position.id)
        if position != before:
            lives = tuple(position if live.id == position.id else live for live in self.lives)
            self._write(replace(self._book, lives=lives))
        return position

    def rebase(self, held: Identity) -> None:
        """What the books cannot explain was moved by a human: coins as coins, the rest as cash."""
        lives = (replace(live, baseline=with_coins(live.baseline, held.coins.get(live.symbol))) for live in self.lives)
        self._write(replace(self._book, lives=tuple(lives), cash=rebased(self.cash, held)))

    def close(self, closed: ClosedPosition, *, at_ms: int) -> None:
        """End a live position: first in the journal, then in the file, so that no crash between can bring it back.

        What it moved stays in the wallets: beside others it goes into the start of the account's books.
        """
        over = self._live(closed.id)
        self._intents.close_position(closed.id, at_ms=at_ms)
        left = self._book.dust_base.get(closed.symbol, Decimal(0)) + (closed.dust_base or Decimal(0))
        dust = {**self._book.dust_base, closed.symbol: left}
        kept = (*self._book.closed, closed)[-KEEP_CLOSED:]
        lives = tuple(live for live in self.lives if live.id != closed.id)
        cash = self._cash_after(over) if lives else None
        self._write(replace(self._book, lives=lives, cash=cash, closed=kept, dust_base=dust))

    def note_late(self, position_id: str, records: Sequence[Income]) -> None:
        """The venue recorded income of a closed position late: beside live ones it goes into the start of the books."""
        ids = tuple(map(income_key, records))
        closed = tuple(
            replace(one, late_ids=(*one.late_ids, *ids)) if one.id == position_id else one for one in self.closed
        )
        cash = with_late(self.cash, records) if self.lives else None
        self._write(replace(self._book, closed=closed, cash=cash))

    def _cash_after(self, *over: CarryPosition) -> Cash:
        """The start of the books with what these have moved."""
        cash = self.cash
        for position in over:
            cash = carry_over(cash, position.baseline, position.fills, position.income)
        return cash

    def _live(self, position_id: str) -> CarryPosition:
        found = next((live for live in self.lives if live.id == position_id), None)
        if found is None:
            raise _not_live(position_id)
        return found

    def _broken(self, what: str) -> StateFileError:
        kept = set_aside(self._path)
        return StateFileError(f"{self._path}: {what}; set aside as {kept.name}, {_MEND}")

    def _write(self, book: _Book) -> None:
        write_json(self._path, _BOOK.dump_python(book, mode="json"), schema=SCHEMA)
        self._book = book


def of_several(stored: Mapping[str, object]) -> Mapping[str, object]:
    """A file as it is written now, made of one that holds at most one live position."""
    if "live" not in stored:
        return stored
    live, rest = stored["live"], {name: value for name, value in stored.items() if name != "live"}
    baseline = live.get("baseline") if isinstance(live, dict) else None
    known = baseline if isinstance(baseline, dict) else {}
    cash = {name: known.get(name) for name in ("spot_quote", "futures_quote")}
    return {**rest, "lives": [] if live is None else [live], "cash": cash if live is not None else None}


def _not_live(position_id: str) -> PortfolioUpdateError:
    return PortfolioUpdateError(f"position {position_id}: not live; a closed position is never written again")

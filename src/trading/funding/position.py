"""The live position on disk: `state/current_positions.json`, written atomically, never resurrected.

Every position has a sequence number that only rises and an id made of it; the file keeps the ids of closed ones, and
the journal of intents keeps them too. A file restored from yesterday that claims a closed position is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from trading.domain.errors import PortfolioUpdateError, StateFileError
from trading.domain.orders import Income
from trading.execution.intents import Intents
from trading.funding.books import Baseline, BookedFill
from trading.storage.files import read_json, set_aside, write_json
from trading.strategy.parameters import CarryParameters

SCHEMA, OLDEST_SCHEMA = 2, 1
"""Written, and still read: files before 2 have neither dust nor settlements of closed positions."""
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


@dataclass(frozen=True, slots=True)
class _Book:
    sequence: int = 0
    live: CarryPosition | None = None
    closed: tuple[ClosedPosition, ...] = ()
    dust_base: Mapping[str, Decimal] = field(default_factory=dict)
    """By symbol, of every position ever closed."""


_BOOK = TypeAdapter(_Book)


class PositionStore:
    """The file and its one live position.

    Raises:
        StateFileError: the file cannot be read; it has been set aside, and what is held must be found by reconciling.
    """

    def __init__(self, path: Path, intents: Intents) -> None:
        self._path = path
        self._intents = intents
        stored = read_json(path, schema=SCHEMA, oldest=OLDEST_SCHEMA)
        try:
            self._book = _Book() if stored is None else _BOOK.validate_python(stored)
        except ValidationError as error:
            kept = set_aside(path)
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise StateFileError(
                f"{path}: {where}: {first['msg']} (found {first['input']!r}); set aside as {kept.name}, "
                "restore it from a backup"
            ) from error

    @property
    def live(self) -> CarryPosition | None:
        """What the lab believes it holds; None: nothing."""
        return self._book.live

    @property
    def closed(self) -> tuple[ClosedPosition, ...]:
        """Positions that are over, oldest first."""
        return self._book.closed

    def dust_base(self, symbol: str) -> Decimal:
        """Coins that closed positions left in the spot wallet, base; what a human took since is not known here."""
        return max(self._book.dust_base.get(symbol, Decimal(0)), Decimal(0))

    def refuse_resurrected(self) -> CarryPosition | None:
        """Drop a live position that the journal says is closed for good; it, or None when the file was right."""
        claimed = self.live
        if claimed is None or not self._intents.is_closed(claimed.id):
            return None
        self._write(replace(self._book, live=None))
        return claimed

    def next_id(self) -> tuple[str, int]:
        """Id and sequence number for a new position; larger than any this lab has used."""
        used = [int(name.rpartition("-")[2]) for name in self._intents.position_ids()]
        sequence = max([self._book.sequence, *used]) + 1
        return f"c-{sequence:06d}", sequence

    def open(self, position: CarryPosition) -> CarryPosition:
        """Write a new position before its first order leaves.

        Raises:
            PortfolioUpdateError: one is live already, or its sequence number has been used.
        """
        if self.live is not None:
            raise PortfolioUpdateError(
                f"position {position.id}: {self.live.id} is still {self.live.status}; close it first"
            )
        if position.sequence <= self._book.sequence:
            raise PortfolioUpdateError(f"position {position.id}: its number is not above {self._book.sequence}")
        self._write(replace(self._book, sequence=position.sequence, live=position))
        return position

    def save(self, position: CarryPosition) -> CarryPosition:
        """Write the live position's new state.

        Raises:
            PortfolioUpdateError: it is not the live one, or it is closed for good.
        """
        if self.live is None or position.id != self.live.id or self._intents.is_closed(position.id):
            raise PortfolioUpdateError(f"position {position.id}: not live; a closed position is never written again")
        if position != self.live:
            self._write(replace(self._book, live=position))
        return position

    def close(self, closed: ClosedPosition, *, at_ms: int) -> None:
        """End the live position: first in the journal, then in the file, so that no crash between can bring it back."""
        if self.live is None or closed.id != self.live.id:
            raise PortfolioUpdateError(f"position {closed.id}: not live; a closed position is never written again")
        self._intents.close_position(closed.id, at_ms=at_ms)
        left = self._book.dust_base.get(closed.symbol, Decimal(0)) + (closed.dust_base or Decimal(0))
        dust = {**self._book.dust_base, closed.symbol: left}
        kept = (*self._book.closed, closed)[-KEEP_CLOSED:]
        self._write(replace(self._book, live=None, closed=kept, dust_base=dust))

    def _write(self, book: _Book) -> None:
        write_json(self._path, _BOOK.dump_python(book, mode="json"), schema=SCHEMA)
        self._book = book

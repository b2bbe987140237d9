"""Lines of the audit file as the page tells them, and a search in it that stops after so many bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from ops.trace.live_records import FillLine, RiskLine
from trading.domain.clock import LAST_MS
from trading.storage.long_files import RawLine, backwards

SEARCH_BYTES = 32 << 20
"""Of the file that one search reads; then it says where to go on."""
LINES_TRIED = 20
"""Of the newest, for one that makes sense."""


class _Read(BaseModel):
    """The fields that are wanted; a line may hold more."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Held(_Read):
    """What is held in one symbol at a cycle, quote."""

    symbol: str = ""
    spot_base: Decimal | None = None
    perp_base: Decimal | None = None
    funding_quote: Decimal | None = None
    fees_quote: Decimal | None = None
    unrealised_quote: Decimal | None = None
    profit_quote: Decimal | None = None
    settlements: int | None = None
    spot_price: Decimal | None = None
    mark_price: Decimal | None = None
    margin_quote: Decimal | None = None
    """Of the futures wallet, unrealised in it."""
    basis_bps: float | None = None
    present_funding_apr: float | None = None
    expected_funding_apr: float | None = None
    liquidation_distance: float | None = None
    """Fraction that the mark may rise by; None, as all these: an older lab did not write it, or it is not known."""


class Books(_Read):
    """The account at a cycle; None: flat, or not read."""

    equity_quote: Decimal | None = None
    cash_quote: Decimal | None = None
    identity_error_quote: Decimal | None = None
    positions: tuple[Held, ...] = ()


class PaperMark(_Read):
    """One paper account at a cycle."""

    strategy_id: str
    equity_quote: float
    holding: str = ""


class Cycle(_Read):
    """One line of the audit file."""

    at_ms: Annotated[int, Field(ge=0, le=LAST_MS)]
    mode: str
    status: str
    reason: str
    config_sha256: str = ""
    data_quality: float = 0.0
    regime: str = ""
    risk: RiskLine = RiskLine()
    stage_s: Mapping[str, float] = {}
    equity: Books = Books()
    signals: tuple[PaperMark, ...] = ()
    orders: tuple[dict[str, JsonValue], ...] = ()
    fills: tuple[FillLine, ...] = ()
    intents: tuple[str, ...] = ()
    note: str = ""
    hash: str = ""


def parse_cycle(raw: bytes) -> Cycle | None:
    """A line; None: it is none of the audit file."""
    try:
        return Cycle.model_validate_json(raw)
    except ValidationError:
        return None


def last_cycle(path: Path) -> Cycle | None:
    """The newest line that makes sense; None: none of the newest `LINES_TRIED` does."""
    return next((cycle for line in islice(backwards(path), LINES_TRIED) if (cycle := parse_cycle(line.raw))), None)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for; empty: anything."""

    status: str = ""
    reason: str = ""
    text: str = ""
    """Anywhere in the line: an id, a symbol, a word of a note."""

    def fits(self, raw: bytes) -> bool:
        """Whether a line may be one of them, without taking it apart; keys are sorted and written without spaces."""
        return (
            (not self.status or f'"status":"{self.status}"'.encode() in raw)
            and (not self.reason or f'"reason":"{self.reason}"'.encode() in raw)
            and (not self.text or self.text.lower().encode() in raw.lower())
        )

    def is_met_by(self, cycle: Cycle) -> bool:
        """Whether it is one of them: orders have a status and checks have a reason of their own."""
        return self.status in ("", cycle.status) and self.reason in ("", cycle.reason)


@dataclass(frozen=True, slots=True)
class Found:
    """A page of a search, newest first."""

    cycles: tuple[tuple[int, Cycle], ...]
    """Each with the offset of its line."""
    older: int | None
    """From where on it goes on; None: the beginning of the file was reached."""
    looked_bytes: int
    unreadable: int
    """Lines on the way that are none of the audit file."""


def search(path: Path, wanted: Wanted, *, before: int | None, limit: int) -> Found:
    """The newest lines that fit, at most `limit`, from `SEARCH_BYTES` of the file at most."""
    found, unreadable, looked = list[tuple[int, Cycle]](), 0, 0
    for line in backwards(path, before=before):
        looked += len(line.raw) + 1
        if wanted.fits(line.raw):
            cycle = parse_cycle(line.raw)
            if cycle is None:
                unreadable += 1
            elif wanted.is_met_by(cycle):
                found.append((line.offset, cycle))
        if len(found) >= limit or looked >= SEARCH_BYTES:
            return Found(tuple(found), line.offset or None, looked, unreadable)
    return Found(tuple(found), None, looked, unreadable)


def line_at(path: Path, offset: int) -> RawLine | None:
    """The line that begins at an offset; None: none begins there."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, offset - 1))
            if offset > 0 and file.read(1) != b"\n":
                return None
            raw = file.readline()
            return RawLine(offset, raw[:-1]) if raw.endswith(b"\n") else None
    except OSError:
        return None

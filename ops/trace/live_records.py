"""What the lab wrote down of its live trading, read back for a person: audit lines, order ids, positions. Reads only.

Nothing here sets a file aside or waits for a lock: the service may be writing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, ValidationError

from trading.domain.errors import StateFileError
from trading.domain.first_fault import first_fault
from trading.domain.instrument import Market
from trading.domain.orders import Side
from trading.funding.position import CarryPosition, ClosedPosition, of_several
from trading.storage.home import Home
from trading.storage.long_files import backwards

ZERO = Decimal(0)


class _Read(BaseModel):
    """The fields that are wanted; a line may hold more."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class FillLine(_Read):
    """One fill as an audit line has it."""

    venue_trade_id: str
    venue_order_id: str
    market: Market
    side: Side
    quantity_base: Decimal
    price: Decimal
    fee: Decimal
    """In `fee_asset`."""
    fee_asset: str
    ours: bool
    symbol: str = ""
    """Empty: the line does not say."""
    at_ms: int | None = None
    """The venue's time of it; None: the line does not say."""
    fee_quote: Decimal | None = None
    """As it was booked; None: the line does not say."""

    def fee_in_quote(self, quote: str) -> Decimal | None:
        """The fee in quote: as booked, else as charged, else a base fee at the fill's own price; None: a third coin."""
        if self.fee_quote is not None or self.fee_asset == quote:
            return self.fee if self.fee_quote is None else self.fee_quote
        return None if self.fee_asset in THIRD_COINS else self.fee * self.price


THIRD_COINS = ("BNB",)
"""Fees may be charged in these whatever is traded."""


class EquityLine(_Read):
    """The books of a cycle; None: flat, or not read."""

    equity_quote: Decimal | None = None
    flows_quote: Decimal | None = None
    """Put in (positive) or taken out since the account was first read."""
    cash_quote: Decimal | None = None
    """Both wallets' quote."""
    dust_quote: Decimal | None = None
    """Coins of closed positions too few to sell, in the equity."""
    funding_quote: Decimal | None = None
    """Of the position, since it was opened."""
    fees_quote: Decimal | None = None
    perp_base: Decimal | None = None
    settlements: int | None = None
    identity_error_quote: Decimal | None = None


class RiskLine(_Read):
    """The rule that decided."""

    reason: str = ""
    value: float | str = 0.0
    limit: float | str = 0.0
    note: str = ""
    checks: tuple[dict[str, JsonValue], ...] = ()


class CycleLine(_Read):
    """One line of the audit file."""

    at_ms: int
    mode: str
    status: str
    reason: str
    data_quality: float
    risk: RiskLine
    fills: tuple[FillLine, ...]
    intents: tuple[str, ...]
    equity: EquityLine
    note: str
    hash: str
    config_sha256: str = ""
    regime: str = ""
    stage_s: dict[str, float] = {}
    signals: tuple[dict[str, JsonValue], ...] = ()
    proposals: tuple[dict[str, JsonValue], ...] = ()
    orders: tuple[dict[str, JsonValue], ...] = ()


class Holdings(BaseModel):
    """`state/current_positions.json`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    lives: tuple[CarryPosition, ...] = ()
    """Oldest first."""
    closed: tuple[ClosedPosition, ...] = ()


def cycles_with_fills(path: Path) -> Iterator[CycleLine]:
    """The lines of an audit file that tell of fills, oldest first; a year of those without is not taken apart.

    No file: none. A last line that is being written is left out.

    Raises:
        StateFileError: one of them is not one of the audit file.
    """
    for number, raw in enumerate(_lines(path), start=1):
        if _NO_FILLS not in raw:
            yield parsed_cycle(raw, f"{path}: line {number}")


_NO_FILLS = b',"fills":[],"hash":"'
"""As `journal.audit` writes it: keys are sorted, and inside of a text a quote is escaped."""


class Step(NamedTuple):
    """What a cycle's books said of funding: little enough to be kept of every cycle of a year."""

    at_ms: int
    settlements: int | None
    funding_quote: Decimal | None
    perp_base: Decimal | None


class _StepBooks(_Read):
    settlements: int | None = None
    funding_quote: Decimal | None = None
    perp_base: Decimal | None = None


class _StepLine(_Read):
    at_ms: int
    equity: _StepBooks


def read_steps(path: Path) -> Iterator[Step]:
    """What every line of an audit file says of funding, oldest first.

    Raises:
        StateFileError: a line is not one of the audit file.
    """
    funding = base = None
    for number, raw in enumerate(_lines(path), start=1):
        try:
            line = _StepLine.model_validate_json(raw)
        except ValidationError as error:
            raise _no_cycle(error, f"{path}: line {number}") from error
        # between two settlements they stay what they are, and one number is kept for all these cycles
        funding = line.equity.funding_quote if line.equity.funding_quote != funding else funding
        base = line.equity.perp_base if line.equity.perp_base != base else base
        yield Step(line.at_ms, line.equity.settlements, funding, base)


def newest_cycles(path: Path, count: int) -> list[CycleLine]:
    """The last lines of an audit file, oldest first; a year of those before them is not read.

    Raises:
        StateFileError: one of them is not one of the audit file, or it cannot be read.
    """
    next(_lines(path), None)  # what cannot be opened is told: read backwards it has no line
    newest = [line.raw for line in islice(backwards(path), count)]
    return [parsed_cycle(raw, f"{path}: the line that begins {raw[:40]!r}") for raw in reversed(newest)]


def parsed_cycle(raw: bytes, where: str) -> CycleLine:
    """One line of the audit file.

    Raises:
        StateFileError: it is none, with `where`.
    """
    try:
        return CycleLine.model_validate_json(raw)
    except ValidationError as error:
        raise _no_cycle(error, where) from error


def _no_cycle(error: ValidationError, where: str) -> StateFileError:
    return StateFileError(f"{where}: {first_fault(error)}; run ./lab verify-audit")


def client_ids(path: Path) -> dict[str, str]:
    """Order id of the venue to the client id it was sent with, from the journal of intents.

    Raises:
        StateFileError: a line is not of the journal.
    """
    found: dict[str, str] = {}
    for number, raw in enumerate(_lines(path), start=1):
        try:
            entry = json.loads(raw)
            if entry["kind"] == "status" and entry["venue_id"]:
                found[str(entry["venue_id"])] = str(entry["client_id"])
        except (ValueError, KeyError, TypeError) as error:
            raise StateFileError(f"{path}: line {number} is not of the journal; restore it from a backup") from error
    return found


def read_holdings(home: Home) -> Holdings:
    """What is held live and what was; no file: nothing.

    Raises:
        StateFileError: the file makes no sense.
    """
    try:
        raw = home.positions_file.read_bytes()
    except FileNotFoundError:
        return Holdings()
    except OSError as error:
        raise StateFileError(f"{home.positions_file}: cannot be read: {error.strerror}") from error
    try:
        return Holdings.model_validate(of_several(_OBJECT.validate_json(raw)))
    except ValidationError as error:
        raise StateFileError(f"{home.positions_file}: {first_fault(error)}; restore it from a backup") from error


_OBJECT = TypeAdapter(dict[str, object])


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))
    except FileNotFoundError:
        return
    except OSError as error:
        raise StateFileError(f"{path}: cannot be read: {error.strerror}; check its permissions") from error

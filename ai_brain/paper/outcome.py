"""What paper trading answers: what a call did for each strategy, and what the accounts hold."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ai_brain.paper.account import PaperAccount
from ai_brain.paper.book import NOTHING_HELD, Book
from trading.domain.market import INTERVAL_MS


class PaperStatus(StrEnum):
    """What a call did for one strategy."""

    STEPPED = "STEPPED"
    NO_NEW_BAR = "NO_NEW_BAR"
    BLOCKED = "BLOCKED"
    PARKED = "PARKED"


@dataclass(frozen=True, slots=True)
class PaperOutcome:
    """What a call did for one strategy, and why not more."""

    spec_id: str
    status: PaperStatus
    bars: int
    note: str


@dataclass(frozen=True, slots=True)
class PaperPosition:
    """One account as reports tell it; amounts in quote. Equity = cash + positions + unrealised, each read by itself."""

    spec_id: str
    equity_quote: float
    """Of the account's file."""
    cash_quote: float | None
    """Of the stepper; None: the account is parked and its books are shut."""
    positions_quote: float
    """Worth of the spot held."""
    unrealised_quote: float
    """Of the perpetual held."""
    fees_quote: float
    funding_quote: float
    starting_quote: float
    holding: str
    """What is held, one line; empty: nothing. A parked account tells why."""
    marked_ms: int
    """Close of the bar it is marked at; of an account without one, when it began."""
    interval_ms: int
    """Of its bars."""


def position_of(account: PaperAccount, book: Book | None) -> PaperPosition:
    """An account after a whole bar; `book` None: it is parked."""
    holding = NOTHING_HELD if book is None else book.holding()
    interval_ms = INTERVAL_MS[account.interval]
    return PaperPosition(
        spec_id=account.spec_id,
        equity_quote=account.equity_quote,
        cash_quote=None if book is None else book.cash_quote,
        positions_quote=holding.spot_quote,
        unrealised_quote=holding.unrealised_quote,
        fees_quote=account.fees_quote,
        funding_quote=account.funding_quote,
        starting_quote=account.starting_quote,
        holding=f"parked: {account.parked}" if account.parked else holding.text,
        marked_ms=account.started_ms if account.last_bar_ms is None else account.last_bar_ms + interval_ms,
        interval_ms=interval_ms,
    )

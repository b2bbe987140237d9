"""What paper trading answers: what a call did for each strategy, and what the accounts hold."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
    """One account as reports tell it; amounts in quote. Equity = cash + positions + unrealised."""

    spec_id: str
    equity_quote: float
    cash_quote: float
    positions_quote: float
    """Worth of the spot held."""
    unrealised_quote: float
    """Of the perpetual held."""
    fees_quote: float
    funding_quote: float
    starting_quote: float
    holding: str
    """What is held, one line; empty: nothing. A parked account tells why."""

"""What a paper account asks of whatever it steps: a rule strategy and a carry show the same face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pydantic import JsonValue

from ai_brain.paper.account import PaperTrade
from ai_brain.paper.market_view import PaperTapes

Facts = dict[str, float | int | str]


@dataclass(frozen=True, slots=True)
class BookStep:
    """What one bar brought; amounts in quote."""

    equity_quote: float
    """Marked at the close."""
    identity_error_quote: float
    """|equity - (cash and position, each added up on its own)|."""
    opened: tuple[Facts, ...]
    """Positions opened in the bar, as they are told."""
    closed: tuple[PaperTrade, ...]
    settlements: int
    """Funding settlements met in position; counted for carries only."""
    settled_quote: float
    """Received minus paid in them."""
    fees_quote: float
    """Since the account's start, like the next two."""
    slippage_quote: float
    funding_quote: float
    refused_entry: bool
    """An entry was due, and no place was free."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What is held, marked at the last close; amounts in quote."""

    spot_quote: float
    unrealised_quote: float
    """Of the perpetual."""
    text: str
    """One line; empty: nothing is held."""


NOTHING_HELD = Holding(0.0, 0.0, "")


class Book(Protocol):
    """One strategy's stepper."""

    @property
    def is_open(self) -> bool:
        """A position is held."""

    def warm_up(self, tapes: PaperTapes) -> None:
        """Let indicators see history; no order comes of it."""

    def step(self, tapes: PaperTapes, *, may_open: bool) -> BookStep:
        """Step over the one bar of the tapes not seen yet; `may_open` False: an entry due now is dropped."""

    @property
    def cash_quote(self) -> float:
        """As the stepper itself keeps it, not what equity leaves over: with what is held it makes the equity."""

    def holding(self) -> Holding:
        """What is held now."""

    def to_json(self) -> dict[str, JsonValue]:
        """All it takes to go on after a restart."""

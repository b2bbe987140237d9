"""When the budget is full and another carry would earn more: leave what is held for it, or not. Pure.

Both are weighed in money over the horizon. What is wanted counts with its careful expectation, what is held with its
plain one, and the difference must pay the whole round trip of both, by `carry.cost_margin`. That much is lost for
certain if the order of the two was noise; so two carries that swap places from day to day are not chased.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import isfinite

from trading.domain.decisions import Decision, Reason
from trading.funding.carry import Outlook
from trading.funding.carry_settings import CarrySettings
from trading.risk.guards import RiskBook
from trading.simulator.carry_outlook import HOURS_A_YEAR

FULL = frozenset({Reason.ONE_POSITION, Reason.MIN_NOTIONAL, Reason.INSUFFICIENT_BALANCE})
"""What the guards say of a carry when others hold its place."""


@dataclass(frozen=True, slots=True)
class Use:
    """What the budget is, or could be, used for."""

    symbol: str
    outlook: Outlook
    notional_quote: float
    """One leg."""

    @property
    def round_trip_quote(self) -> float:
        """Cost of opening and closing it."""
        return self.outlook.round_trip_rate * self.notional_quote


def decide_better_use(
    held: Use, wanted: Use, settings: CarrySettings, *, fundings: int, min_hold_fundings: int
) -> Decision:
    """Leave what is held (allowed, BETTER_USE) or hold it (not allowed, HOLDING); value and limit are quote.

    Args:
        held: At what it is worth now.
        wanted: At the size that the guards would allow in its place.
        settings: Horizon and margin.
        fundings: Settlements that what is held has booked.
        min_hold_fundings: It is not left before so many.
    """
    kept = held.outlook.expected_apr * settings.horizon_days * 24.0 / HOURS_A_YEAR * held.notional_quote
    gain = wanted.outlook.horizon_rate * wanted.notional_quote - kept
    cost = settings.cost_margin * (held.round_trip_quote + wanted.round_trip_quote)
    if not isfinite(gain):
        return Decision(False, Reason.HOLDING, 0.0, cost, f"of {held.symbol} too little is known to leave it")
    note = (
        f"{wanted.symbol} is expected to bring {gain:+.2f} more than {held.symbol} in {settings.horizon_days:g} days, "
        f"the round trips of both cost {held.round_trip_quote + wanted.round_trip_quote:.2f}"
    )
    if fundings < min_hold_fundings:
        return Decision(False, Reason.HOLDING, float(fundings), float(min_hold_fundings), note)
    leaves = gain > cost
    return Decision(leaves, Reason.BETTER_USE if leaves else Reason.HOLDING, gain, cost, note)


def without(book: RiskBook, symbol: str, *, notional_quote: float, leverage: int) -> RiskBook:
    """The book as it would be with what is held in a symbol closed, which is a trade of its own."""
    memory = replace(book.memory, trades_today=book.memory.trades_today + 1)
    return replace(
        book,
        committed_quote=max(0.0, book.committed_quote - notional_quote * (1 + 1 / leverage)),
        open_positions=book.open_positions - 1,
        exposures=tuple(one for one in book.exposures if one.symbol != symbol),
        free_spot_quote=book.free_spot_quote + notional_quote,
        free_futures_quote=book.free_futures_quote + notional_quote / leverage,
        memory=memory,
    )


def weakest_first(uses: Iterable[Use]) -> list[Use]:
    """What is held, by its expectation; what is not known is not among it."""
    known = [use for use in uses if isfinite(use.outlook.expected_apr)]
    return sorted(known, key=lambda use: use.outlook.expected_apr)

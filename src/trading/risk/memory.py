"""What the guards remember, as values; `counters.py` changes them and keeps them on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trading.domain.decisions import Decision, Reason


@dataclass(frozen=True, slots=True)
class Halt:
    """Trading is halted for a reason until a human releases it."""

    reason: Reason
    at_ms: int
    value: float
    limit: float
    note: str
    subject: str = ""
    """The spec id it is about; empty: the account."""

    @property
    def decision(self) -> Decision:
        """The halt as a verdict."""
        return Decision(False, self.reason, self.value, self.limit, self.note)

    @property
    def facts(self) -> dict[str, object]:
        """What `risk.halted` tells of it."""
        subject: dict[str, object] = {"strategy": self.subject} if self.subject else {}
        return {"reason": self.reason.value, "value": self.value, "limit": self.limit, "note": self.note, **subject}


@dataclass(frozen=True, slots=True)
class Memory:
    """The counters at one moment. All amounts are quote, marked equity."""

    day: str = ""
    """UTC date the daily counters belong to; never goes back."""
    week: str = ""
    """ISO week, `2026-W04`."""
    trades_today: int = 0
    day_start_quote: float = 0.0
    week_start_quote: float = 0.0
    peak_quote: float = 0.0
    """Highest equity seen."""
    equity_quote: float = 0.0
    """Last equity seen."""
    flat_cash_quote: float | None = None
    """Cash of both wallets when last seen flat; None: not flat since."""
    losses_in_a_row: int = 0
    last_fill_ms: int = 0
    """0: never."""
    last_loss_ms: int = 0
    """0: never."""
    strategy_quote: Mapping[str, float] = field(default_factory=dict)
    """Profit of all closed positions of each spec id."""
    halts: tuple[Halt, ...] = ()
    tripped: tuple[Halt, ...] = ()
    """Circuit breakers, each with its last bad reading."""
    released: tuple[str, ...] = ()
    """Reasons released while their line is still crossed."""
    closed_ids: tuple[str, ...] = ()
    """Positions whose end has been counted, the newest few."""
    watched: tuple[str, ...] = ()
    """Spec ids whose loss has been told as worth watching."""
    adopt_quote: float | None = None
    """Difference of the books that a human has released and the next look takes for money moved; None: none."""

    flows_quote: float = 0.0
    """Cash that a human put in (positive) or took out since the counters began: neither profit nor loss."""
    unexplained_cash_quote: float = 0.0
    """Cash the venue has more (positive) or less than the books, not released yet: no fill, fee, funding or transfer
    explains it; 0: none.
    """

    @property
    def day_loss_fraction(self) -> float:
        """Loss since the day's start, fraction of the equity then; 0 when up."""
        return _loss(self.day_start_quote, self.equity_quote)

    @property
    def week_loss_fraction(self) -> float:
        """Loss since the week's start, fraction of the equity then; 0 when up."""
        return _loss(self.week_start_quote, self.equity_quote)

    @property
    def drawdown_fraction(self) -> float:
        """Fall from the highest equity seen, fraction."""
        return _loss(self.peak_quote, self.equity_quote)

    @property
    def unexplained_quote(self) -> float:
        """What the venue has more (positive) or less than the books, halted for; 0: the books agree."""
        return next((halt.value for halt in self.halts if halt.reason is Reason.EQUITY_IDENTITY), 0.0)


def _loss(start_quote: float, now_quote: float) -> float:
    return max(0.0, (start_quote - now_quote) / start_quote) if start_quote > 0 else 0.0

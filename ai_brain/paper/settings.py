"""What a paper account is, as `lab.yaml` says it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Rate = Annotated[float, Field(ge=0, le=5)]


class PaperSettings(BaseModel):
    """Paper trading: each strategy has an account of its own, so that its result depends on no other strategy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    starting_usdt: Annotated[float, Field(gt=0)] = 10_000.0
    """Cash of every account at its start."""
    fee_pct: Rate = 0.1
    """Of notional, taker and maker alike, on both legs of a carry."""
    max_positions: Annotated[int, Field(ge=1, le=50)] = 3
    """Open at once over all accounts; an entry beyond it is refused and told."""
    min_order_usdt: Annotated[float, Field(ge=0)] = 10.0
    """Smaller orders are not made; the venue's own minimum counts too."""
    review_trades: Annotated[int, Field(ge=1)] = 30
    """Closed paper trades before a human is asked; for rule strategies."""
    review_settlements: Annotated[int, Field(ge=1)] = 30
    """Settlements in position before a human is asked; for a funding carry."""
    review_hours: Annotated[float, Field(ge=0)] = 48.0
    """On paper before a human is asked, whatever was traded."""

    @property
    def fee_rate(self) -> float:
        """`fee_pct` as a fraction of notional."""
        return self.fee_pct / 100.0

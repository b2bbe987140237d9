"""How patiently and how boldly orders are worked; in `lab.yaml` under `execution:`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0)]
Bps = Annotated[float, Field(gt=0, le=1000)]


class ExecutionSettings(BaseModel):
    """Budgets of time and distance. All seconds are lab seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    poll_s: Seconds = 1.0
    """Between two looks at a resting order."""
    maker_budget_s: Seconds = 60.0
    """How long the first leg waits as a maker before it takes."""
    requote_bps: Bps = 2.0
    """The best price has left ours by more: cancel and quote again."""
    maker_distance_bps: Bps = 30.0
    """The price has left where it was at the start by more: stop waiting."""
    slippage_cap_bps: Bps = 20.0
    """Taker orders go no further than this from the best price."""
    repair_cap_bps: Bps = 100.0
    """The same for a hedge that failed before, and for unwinding; after that a market order."""
    max_unhedged_s: Seconds = 15.0
    """A leg without its counterpart for longer is unwound."""
    slice_usdt: Annotated[float, Field(gt=0)] = 25_000.0
    """Larger positions are opened and closed in slices of about so much of one leg, each hedged before the next."""
    slice_pause_s: Annotated[float, Field(ge=0, le=600)] = 20.0
    """Between two slices, while the legs are even."""
    attempts: Annotated[int, Field(ge=1, le=20)] = 4
    """Tries of one step before its way out is taken."""
    unwind_budget_s: Seconds = 120.0
    """How long unwinding tries before a human is called."""
    lookup_budget_s: Seconds = 60.0
    """How long an order in doubt is asked for before a human is called."""
    absent_after_s: Seconds = 7.0
    """An order the venue does not know is given up after this long since it left: longer than the time for which the
    venue accepts a signed request (5 s, and 1 s that two clocks may differ)."""
    doubt_budget_s: Seconds = 90.0
    """How long after a saga was first left in doubt everything is closed and trading halts: two more cycles."""
    flat_budget_s: Seconds = 120.0
    """How long the way to flat is tried before a human is called."""
    cash_buffer_pct: Annotated[float, Field(ge=0, le=50)] = 2.0
    """Kept free in each wallet beyond what an entry needs."""

    moves_collateral: bool = True
    """Where a leg or the contract's margin needs it, money is moved between the spot and the futures wallet; the key
    must be allowed to ("Permits Universal Transfer")."""

    @property
    def slippage_cap_rate(self) -> float:
        """`slippage_cap_bps` as a fraction of the price."""
        return self.slippage_cap_bps / 10_000

    @property
    def repair_cap_rate(self) -> float:
        """`repair_cap_bps` as a fraction of the price."""
        return self.repair_cap_bps / 10_000

    @property
    def requote_rate(self) -> float:
        """`requote_bps` as a fraction of the price."""
        return self.requote_bps / 10_000

    @property
    def maker_distance_rate(self) -> float:
        """`maker_distance_bps` as a fraction of the price."""
        return self.maker_distance_bps / 10_000

    @property
    def cash_buffer_fraction(self) -> float:
        """`cash_buffer_pct` as a fraction of what an entry needs."""
        return self.cash_buffer_pct / 100

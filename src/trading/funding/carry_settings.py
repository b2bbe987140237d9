"""The `carry` section of `lab.yaml`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trading.simulator.carry_weights import CarryWeights


class CarrySettings(BaseModel):
    """How the carry weighs what it expects; in `lab.yaml` under `carry:`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    horizon_days: Annotated[float, Field(gt=0, le=365)] = 30.0
    """Holding time over which an entry must pay for itself, and an exit is judged."""
    lookback_days: Annotated[float, Field(ge=3, le=40)] = 30.0
    """Settled rates that the expectation is drawn from; of an hourly contract the exchange tells 41 days at once."""
    doubt: Annotated[float, Field(ge=0, le=3)] = 0.5
    """Standard errors taken off the expected rate before an entry."""
    cost_margin: Annotated[float, Field(ge=1)] = 1.25
    """An entry's expected funding must be this many times the full round trip."""
    impact_bps: Annotated[float, Field(ge=0, le=100)] = 0.5
    """Price impact of one leg at the sizes the limits allow, basis points."""
    basis_stress: Annotated[float, Field(ge=1)] = 5.0
    """Leave when the basis is this many times `max_basis_bps` against us."""
    min_liquidation_pct: Annotated[float, Field(gt=0, le=100)] = 25.0
    """Leave when the contract's liquidation price is nearer than this."""
    top_up_below_pct: Annotated[float, Field(gt=0, le=100)] = 30.0
    """Margin is added to the contract when its liquidation price is nearer than this."""
    top_up_to_pct: Annotated[float, Field(gt=0, le=200)] = 40.0
    """Up to this distance; where the money for it is nowhere, both legs are made smaller."""
    funding_tolerance_pct: Annotated[float, Field(gt=0)] = 1.0
    """A settlement booked further than this from what was expected is an alert."""
    identity_tolerance_usdt: Annotated[float, Field(gt=0, le=1)] = 0.01
    """The books may differ from the venue by this much."""
    max_quote_age_s: Annotated[float, Field(gt=0, le=60)] = 60.0
    """Older quotes are not traded on."""

    @model_validator(mode="after")
    def _in_order(self) -> CarrySettings:
        if not self.min_liquidation_pct < self.top_up_below_pct < self.top_up_to_pct:
            raise ValueError(
                f"min_liquidation_pct {self.min_liquidation_pct:g}, top_up_below_pct {self.top_up_below_pct:g}, "
                f"top_up_to_pct {self.top_up_to_pct:g}: each must be above the one before"
            )
        return self

    def weights(self) -> CarryWeights:
        """What the decision weighs, for the kernels; backtests and paper are given the same."""
        return CarryWeights(
            horizon_hours=self.horizon_days * 24.0,
            lookback_hours=self.lookback_days * 24.0,
            doubt=float(self.doubt),
            cost_margin=float(self.cost_margin),
            impact_rate=self.impact_bps / 10_000,
            basis_stress=float(self.basis_stress),
            min_liquidation_distance=self.min_liquidation_pct / 100,
        )

"""The limits a live trade must pass; in `lab.yaml` under `risk:`. The smallest always wins."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Percent = Annotated[float, Field(gt=0, le=100)]
Seconds = Annotated[float, Field(ge=0)]


class RiskLimits(BaseModel):
    """Every limit, on by default. Files speak percent of equity; the guards turn them into quote once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    total_at_risk_pct: Percent = 25.0
    """Capital committed by everything held and pending (spot value plus perpetual margin), percent of equity."""
    position_pct: Percent = 7.0
    """One position's notional of one leg, percent of equity."""
    trade_pct: Percent = 4.0
    """One trade's notional of one leg, percent of equity."""
    min_notional_usdt: Annotated[float, Field(ge=0)] = 5.0
    """Below this no trade is worth its fees."""
    trades_per_day: Annotated[int, Field(ge=1)] = 20
    """Positions opened or closed in a UTC day."""
    daily_loss_pct: Percent = 3.0
    """No new position for the rest of the UTC day beyond this loss."""
    weekly_loss_pct: Percent = 7.0
    """No new position for the rest of the ISO week beyond this loss."""
    drawdown_review_pct: Percent = 10.0
    """From the highest equity seen: halt until a human has looked."""
    drawdown_stop_pct: Percent = 20.0
    """From the highest equity seen: halt everything that opens."""
    drawdown_exit_pct: Percent = 30.0
    """From the highest equity seen: close what is held, and halt."""
    strategy_watch_pct: Percent = 10.0
    """Loss of one strategy, percent of the capital it was given: told, not stopped."""
    strategy_stop_pct: Percent = 15.0
    """Loss of one strategy, percent of the capital it was given: stopped for good."""
    loss_streak: Annotated[int, Field(ge=1)] = 5
    """Losing positions in a row that halt until a human releases."""
    cooldown_after_fill_s: Seconds = 300.0
    """No new position so soon after the last one was opened or closed."""
    cooldown_after_loss_s: Seconds = 3600.0
    """No new position so soon after a losing one was closed."""
    max_positions: Annotated[int, Field(ge=1)] = 1
    """Live positions at a time; the first live stage holds one."""
    first_live_usdt: Annotated[float, Field(gt=0)] = 1000.0
    """Most that one live position may be, one leg, quote."""
    first_live_pct: Percent = 10.0
    """Most that one live position may be, one leg, percent of equity."""
    live_scale_pct: Literal[25, 50, 100] = 25
    """Share of the first live size in use; a human raises it as evidence comes in."""
    leverage: Annotated[int, Field(ge=1, le=3)] = 1
    """Most leverage of the perpetual leg; 3 is the ceiling the lab accepts."""
    max_quote_age_s: Annotated[float, Field(gt=0, le=60)] = 60.0
    """An older quote is not traded on."""
    cluster_pct: Percent = 15.0
    """Notional of one leg over everything that moves together, held and pending, percent of equity."""
    cluster_correlation: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Hourly returns of two symbols that correlate so much move together; a correlation not known counts as 1."""
    value_at_risk_pct: Percent = 1.0
    """Loss of the hedged book that one day in a hundred exceeds, recent and stressed, percent of equity."""
    expected_shortfall_pct: Percent = 1.0
    """Mean loss of the hedged book in the worst fortieth of days, recent and stressed, percent of equity."""
    stress_loss_pct: Percent = 3.0
    """Loss of the book in the worst recorded crash, its hedge lost on top, percent of equity."""
    max_failures_in_row: Annotated[int, Field(ge=1)] = 5
    """Calls to the exchange in a row without a usable answer."""
    max_error_rate_pct: Percent = 30.0
    """Of the last 50 calls, once there are 20."""
    max_latency_s: Annotated[float, Field(gt=0)] = 5.0
    """Median time to an answer of the last 50 calls, real seconds."""
    max_clock_drift_s: Annotated[float, Field(gt=0, le=5)] = 1.0
    """Between this machine's clock and the exchange's, beyond the time of the answer."""
    breaker_rest_s: Seconds = 60.0
    """A breaker stays open for so long after the last bad reading."""

    @model_validator(mode="after")
    def _ladders_rise(self) -> Self:
        ladder = (self.drawdown_review_pct, self.drawdown_stop_pct, self.drawdown_exit_pct)
        if not ladder[0] < ladder[1] < ladder[2]:
            raise ValueError(f"drawdown review, stop, exit = {ladder} %: each must be larger than the one before")
        if self.strategy_watch_pct >= self.strategy_stop_pct:
            raise ValueError(
                f"strategy_watch_pct={self.strategy_watch_pct}: not below strategy_stop_pct={self.strategy_stop_pct}"
            )
        if self.daily_loss_pct > self.weekly_loss_pct:
            raise ValueError(
                f"daily_loss_pct={self.daily_loss_pct}: must not exceed weekly_loss_pct={self.weekly_loss_pct}"
            )
        return self

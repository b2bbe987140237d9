"""What the gate asks of a strategy, as `lab.yaml` says it. Loosening it is the owner's decision, on record."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Percent = Annotated[float, Field(ge=0, le=100)]
Confidence = Annotated[float, Field(gt=0, lt=1)]

MIN_SHARE_BARS = 20
"""Of each judged stretch, its purge included; a return series of a few bars has no moments."""


class GateSettings(BaseModel):
    """Thresholds of the evaluator; its hash is in every piece of evidence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    search_pct: Annotated[float, Field(ge=10, le=80)] = 40.0
    """Oldest part of the tape, on which an idea is looked at first, percent; the rest judges it."""
    search_confidence: Confidence = 0.80
    """That an idea earns at all, on the search stretch; below it the rest is not spent on it."""
    vault_pct: Annotated[float, Field(ge=10, le=80)] = 40.0
    """Newest part of the tape, opened last and once for each family of ideas, percent."""
    stretches: Annotated[int, Field(ge=1, le=24)] = 4
    """Judged stretches of the walk-forward chain: equal shares of what lies between, each after a purge."""
    min_bars: Annotated[int, Field(ge=50)] = 500
    """Shortest tape that is looked at, bars."""
    min_trades: Annotated[int, Field(ge=1)] = 30
    """Closed trades before the vault, search included; for rule strategies."""
    min_settlements: Annotated[int, Field(ge=1)] = 30
    """Funding settlements while in position before the vault, search included; for a funding carry."""
    confidence: Confidence = 0.95
    """Of the minimum track record length."""
    deflated_sharpe: Confidence = 0.95
    """Below this nothing is approved."""
    caution_deflated_sharpe: Confidence = 0.80
    """From here up to `deflated_sharpe` the verdict is CAUTION, if all else holds."""
    vault_deflated_sharpe: Confidence = 0.25
    """Of the record before the vault; below it the vault stays shut. 0.5: as good as the best that luck would show."""
    overfitted_deflated_sharpe: Confidence = 0.5
    """The same for what a search chose whose overfitting lies above `max_overfitting`."""
    false_discovery_q: Confidence = 0.10
    """Share of worthless ones among all that the vault ever confirms, not to be exceeded. A stream keeps its q."""
    max_overfitting: Confidence = 0.2
    """Probability of backtest overfitting of the search that chose it, unless `overfitted_deflated_sharpe` is reached
    before the vault; asked of searches only."""
    max_conditions: Annotated[int, Field(ge=1, le=40)] = 8
    """Rules of a strategy, entries, exits and filters together."""
    min_move_to_cost: Annotated[float, Field(ge=0, le=20)] = 1.0
    """Move a trade may expect (its target, else the market's over the holding time), in round trips of cost."""
    max_sharpe_annual: Annotated[float, Field(gt=0)] = 5.0
    """Of a rule strategy; above it the result is a bug until proven otherwise."""
    max_return_pct_a_year: Annotated[float, Field(gt=0)] = 50.0
    """Of a rule strategy at leverage 1; above it likewise."""
    min_drawdown_pct: Percent = 1.0
    """Of the capital in use, for a rule strategy; below it likewise."""
    max_win_rate_pct: Percent = 85.0
    """Of a rule strategy with more than `min_trades` trades; above it likewise."""

    min_neighbours_earning_pct: Percent = 80.0
    """Of the strategies that differ in one number by a tenth, those that earn too; below it the verdict is CAUTION."""

    @model_validator(mode="after")
    def _every_stretch_has_bars(self) -> GateSettings:
        between_pct = 100.0 - self.search_pct - self.vault_pct
        bars = int(self.min_bars * between_pct / 100.0) // self.stretches
        if bars < MIN_SHARE_BARS:
            raise ValueError(
                f"stretches={self.stretches} leaves {bars} bars for each on a tape of min_bars={self.min_bars} with "
                f"search_pct={self.search_pct:g} and vault_pct={self.vault_pct:g}, and {MIN_SHARE_BARS} are needed; "
                "lower stretches or raise min_bars"
            )
        return self

    @model_validator(mode="after")
    def _caution_lies_below_approval(self) -> GateSettings:
        if self.caution_deflated_sharpe > self.deflated_sharpe:
            raise ValueError(
                f"caution_deflated_sharpe={self.caution_deflated_sharpe} lies above "
                f"deflated_sharpe={self.deflated_sharpe}; lower it"
            )
        return self

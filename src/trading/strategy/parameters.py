"""The parameters of a strategy, as its file has them: percent and basis points with their fractions beside them.

A list of rules says yes when all of its rules are true; an empty list of entries or exits never does, empty filters
always do. A long is entered when `entry_long` and `filters` say yes, and left when `exit_long` does; so with short.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from trading.domain.errors import SpecError
from trading.strategy.rule_intervals import interval_misfit
from trading.strategy.rules import Condition, max_lookback_bars, parse_rule, reads_column, render

MAX_CONDITIONS = 8
"""Most conditions in one list."""
RISK_ATR_BARS = 14
"""Stops, targets and trails are distances in ATR(14) of the decision bar."""


def _plain_number(value: object) -> object:
    if isinstance(value, bool | str):
        raise ValueError("should be a number")  # noqa: TRY004  # pydantic turns only ValueError into its report
    return value


def _parsed(text: str) -> str:
    try:
        parse_rule(text)
    except SpecError as error:
        raise ValueError(str(error)) from error
    return text


Percent = Annotated[float, BeforeValidator(_plain_number), Field(gt=0, le=100)]
AtrDistance = Annotated[float, BeforeValidator(_plain_number), Field(ge=0.1, le=50)]
Leverage = Annotated[int, BeforeValidator(_plain_number), Field(ge=1, le=3)]
Rules = Annotated[tuple[Annotated[str, AfterValidator(_parsed)], ...], Field(max_length=MAX_CONDITIONS)]


class RiskParameters(BaseModel):
    """How much is put on, and when it is let go."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    position_pct: Percent
    """Margin of a position, percent of equity at the decision bar; its notional is this times `leverage`."""
    leverage: Leverage = 1
    stop_loss_atr: AtrDistance | None = None
    """Stop distance from the entry price, in ATR(14) of the decision bar. None: no stop."""
    take_profit_atr: AtrDistance | None = None
    """Target distance from the entry price, in ATR(14) of the decision bar. None: no target."""
    trailing_atr: AtrDistance | None = None
    """Distance of the trailing stop from the best price since entry, in ATR(14) of the decision bar. None: none."""
    max_hold_bars: Annotated[int, BeforeValidator(_plain_number), Field(ge=1, le=10_000)] | None = None
    """Bars after which a position is closed whatever happened. None: no limit."""

    @property
    def position_fraction(self) -> float:
        """`position_pct` as a fraction of equity, 0 < x <= 1."""
        return self.position_pct / 100.0

    @property
    def uses_atr(self) -> bool:
        """Whether any distance is set, so that ATR(14) must have a value before an entry."""
        return any(d is not None for d in (self.stop_loss_atr, self.take_profit_atr, self.trailing_atr))

    @property
    def ends_positions(self) -> bool:
        """Whether a position ends without an exit rule."""
        return self.uses_atr or self.max_hold_bars is not None


class RuleParameters(BaseModel):
    """Of a momentum or mean-reversion strategy; each rule is a text of the rule language."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    entry_long: Rules = ()
    """All true, with all filters: buy at the next open; a short is closed first."""
    entry_short: Rules = ()
    """All true, with all filters: sell short at the next open; a long is closed first."""
    exit_long: Rules = ()
    """All true: close the long at the next open."""
    exit_short: Rules = ()
    """All true: close the short at the next open."""
    filters: Rules = ()
    """Stand behind every entry, never in the way of an exit."""
    risk: RiskParameters

    @model_validator(mode="after")
    def _can_enter_and_leave(self) -> Self:
        if not (self.entry_long or self.entry_short):
            raise ValueError("entry_long and entry_short are both empty: it never trades; write an entry")
        for side, entry, leave in (
            ("long", self.entry_long, self.exit_long),
            ("short", self.entry_short, self.exit_short),
        ):
            if entry and not (leave or self.risk.ends_positions):
                ends = "stop_loss_atr, take_profit_atr, trailing_atr or max_hold_bars"
                raise ValueError(f"no way out of a {side}: give exit_{side}, {ends}")
        return self

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Every condition of every list, in the order of the file."""
        return tuple(parse_rule(text) for rules in self._lists for text in rules)

    def lookback_bars(self, timeframe: str) -> int:
        """Bars of the strategy's timeframe that must exist before every rule, and ATR(14) if a distance needs it, has
        a value.
        """
        rules = max(max_lookback_bars(condition, timeframe) for condition in self.conditions)
        return max(rules, RISK_ATR_BARS) if self.risk.uses_atr else rules

    def interval_problem(self, timeframe: str) -> str | None:
        """The first rule that reads an interval which bars of this timeframe cannot make; None: all fit."""
        for name in ("entry_long", "entry_short", "exit_long", "exit_short", "filters"):
            for i, text in enumerate(getattr(self, name)):
                if (why := interval_misfit(text, timeframe)) is not None:
                    return f"parameters.{name}[{i}]: {why}"
        return None

    @property
    def reads_funding(self) -> bool:
        """Whether any rule names `funding`."""
        return any(reads_column(condition, "funding") for condition in self.conditions)

    @property
    def reads_basis(self) -> bool:
        """Whether any rule names `basis`: then it needs the spot market's bars beside its perpetual's."""
        may = any("basis" in text for rules in self._lists for text in rules)  # parsing is dear, and it is asked often
        return may and any(reads_column(condition, "basis") for condition in self.conditions)

    @property
    def _lists(self) -> tuple[Rules, ...]:
        return self.entry_long, self.entry_short, self.exit_long, self.exit_short, self.filters

    def canonical(self) -> dict[str, object]:
        """What the strategy does, apart from how it is written: spaces, order and doubles in a list do not matter."""
        plain = self.model_dump(mode="json")
        return {
            name: sorted({render(parse_rule(text)) for text in value}) if isinstance(value, list) else value
            for name, value in plain.items()
        }


class CarryParameters(BaseModel):
    """Of a funding carry: spot long, perpetual short, the same amount of coin."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    entry_apr_pct: Annotated[float, BeforeValidator(_plain_number), Field(gt=0, le=500)]
    """Enter when the expected funding is at least this, percent of notional a year of 365 days."""
    exit_apr_pct: Annotated[float, BeforeValidator(_plain_number), Field(ge=-500, le=500)]
    """Leave when the expected funding falls below this, same unit; below `entry_apr_pct`."""
    max_basis_bps: Annotated[float, BeforeValidator(_plain_number), Field(gt=0, le=1000)]
    """No entry while perpetual and spot differ by more, basis points of spot."""
    leverage: Leverage = 1
    """Of the perpetual leg."""
    rebalance_delta_pct: Annotated[float, BeforeValidator(_plain_number), Field(gt=0, le=50)]
    """Trade the legs back to equal when they differ by more, percent of the position."""
    min_hold_fundings: Annotated[int, BeforeValidator(_plain_number), Field(ge=0, le=10_000)]
    """Settlements to stay for before low funding may end it."""
    capital_pct: Percent
    """Of equity put into both legs together, percent."""

    @model_validator(mode="after")
    def _leaves_below_entry(self) -> Self:
        if self.exit_apr_pct >= self.entry_apr_pct:
            raise ValueError(
                f"exit_apr_pct={self.exit_apr_pct}: must be below entry_apr_pct={self.entry_apr_pct}, "
                "or it would leave as it enters"
            )
        return self

    @property
    def entry_apr_fraction(self) -> float:
        """`entry_apr_pct` as a fraction a year."""
        return self.entry_apr_pct / 100.0

    @property
    def exit_apr_fraction(self) -> float:
        """`exit_apr_pct` as a fraction a year."""
        return self.exit_apr_pct / 100.0

    @property
    def max_basis_rate(self) -> float:
        """`max_basis_bps` as a fraction of spot."""
        return self.max_basis_bps / 10_000.0

    @property
    def rebalance_delta_fraction(self) -> float:
        """`rebalance_delta_pct` as a fraction of the position."""
        return self.rebalance_delta_pct / 100.0

    @property
    def capital_fraction(self) -> float:
        """`capital_pct` as a fraction of equity."""
        return self.capital_pct / 100.0

    def canonical(self) -> dict[str, object]:
        """What the strategy does; all of it is numbers."""
        return self.model_dump(mode="json")

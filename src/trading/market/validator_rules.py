"""What the validator holds data to: one table of rules, and the verdict they add up to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class ValidatorSettings(BaseModel):
    """Thresholds of the data validator, part of `lab.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quote_max_age_orders_s: float = Field(60.0, gt=0)
    """A quote older than this is not traded on."""
    quote_max_age_research_s: float = Field(300.0, gt=0)
    """A quote older than this is shown, marked stale, and used for nothing."""
    jump_max_pct: float = Field(10.0, gt=0)
    """Largest plausible move in one minute; over n minutes times sqrt(n)..."""
    jump_cap_pct: float = Field(35.0, gt=0)
    """...but never more than this, however far apart the two prices are."""
    second_source_max_pct: float = Field(3.0, gt=0)
    """Largest plausible distance between spot, perpetual and index."""
    flat_bars_max: int = Field(5, ge=1)
    """As many bars in a row without a trade are a market that stands still."""
    gap_bars_max: int = Field(3, ge=0)
    """More missing bars in a row than this block orders until the history is whole again."""
    quality_min: int = Field(50, ge=0, le=100)
    """Below this nothing may use the data."""
    failures_in_row_max: int = Field(5, ge=1)
    """More failures in a row than this are an alert of their own."""


class RuleId(StrEnum):
    """Names of the rules; they go to the journal, so they are never reworded."""

    QUOTE_AGE = "QUOTE_AGE"
    QUOTE_DEAD = "QUOTE_DEAD"
    QUOTE_NOT_POSITIVE = "QUOTE_NOT_POSITIVE"
    QUOTE_CROSSED = "QUOTE_CROSSED"
    QUOTE_FUTURE = "QUOTE_FUTURE"
    JUMP = "JUMP"
    SECOND_SOURCE = "SECOND_SOURCE"
    NOT_A_PRICE = "NOT_A_PRICE"
    OHLC_ORDER = "OHLC_ORDER"
    NEGATIVE_VOLUME = "NEGATIVE_VOLUME"
    TIME_OFF_GRID = "TIME_OFF_GRID"
    TIME_BACKWARDS = "TIME_BACKWARDS"
    DUPLICATE = "DUPLICATE"
    GAP = "GAP"
    LONG_GAP = "LONG_GAP"
    FLATLINE = "FLATLINE"
    FUNDING_CAP = "FUNDING_CAP"
    FUNDING_TIME = "FUNDING_TIME"
    FUNDING_INTERVAL = "FUNDING_INTERVAL"


class Action(StrEnum):
    """What a broken rule stops."""

    WARN = "warn"
    BLOCK_ORDERS = "block_orders"
    BLOCK_RESEARCH = "block_research"
    """And orders."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing data is held to."""

    what: str
    """In words, for the message."""
    unit: str
    """Of value and limit."""
    penalty: int
    """Taken off the quality, of 100."""
    action: Action


RULES: Mapping[RuleId, Rule] = {
    RuleId.QUOTE_AGE: Rule("the quote is old", "s", 30, Action.BLOCK_ORDERS),
    RuleId.QUOTE_DEAD: Rule("the quote is too old for anything", "s", 60, Action.BLOCK_RESEARCH),
    RuleId.QUOTE_NOT_POSITIVE: Rule("bid, ask or size is not a positive number", "", 100, Action.BLOCK_RESEARCH),
    RuleId.QUOTE_CROSSED: Rule("the bid is not below the ask", "quote", 60, Action.BLOCK_RESEARCH),
    RuleId.QUOTE_FUTURE: Rule("the quote is stamped in the future; check the clock", "s", 40, Action.BLOCK_ORDERS),
    RuleId.JUMP: Rule("the price jumped", "%", 40, Action.BLOCK_ORDERS),
    RuleId.SECOND_SOURCE: Rule("a second source disagrees", "%", 40, Action.BLOCK_ORDERS),
    RuleId.NOT_A_PRICE: Rule("a price is not a positive number", "quote", 100, Action.BLOCK_RESEARCH),
    RuleId.OHLC_ORDER: Rule("high and low do not enclose open and close", "quote", 100, Action.BLOCK_RESEARCH),
    RuleId.NEGATIVE_VOLUME: Rule("the volume is not a number >= 0", "base", 100, Action.BLOCK_RESEARCH),
    RuleId.TIME_OFF_GRID: Rule("the open time is off the grid", "ms", 100, Action.BLOCK_RESEARCH),
    RuleId.TIME_BACKWARDS: Rule("the bar comes before the last one", "ms", 100, Action.BLOCK_RESEARCH),
    RuleId.DUPLICATE: Rule("the bar was told before", "ms", 60, Action.BLOCK_RESEARCH),
    RuleId.GAP: Rule("bars are missing before this one", "bars", 10, Action.WARN),
    RuleId.LONG_GAP: Rule("too many bars are missing before this one", "bars", 40, Action.BLOCK_ORDERS),
    RuleId.FLATLINE: Rule("the market stands still: bars without a trade", "bars", 40, Action.BLOCK_ORDERS),
    RuleId.FUNDING_CAP: Rule(
        "the funding rate is beyond the contract's own cap", "fraction", 60, Action.BLOCK_RESEARCH
    ),
    RuleId.FUNDING_TIME: Rule("the next settlement is not within one interval from now", "s", 40, Action.BLOCK_ORDERS),
    RuleId.FUNDING_INTERVAL: Rule("the settlement interval is none of 1, 2, 4, 8 h", "h", 60, Action.BLOCK_RESEARCH),
}
"""Every rule; the functions of `data_integrity_validator` find where one is broken."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken rule, with both numbers."""

    rule: RuleId
    where: str
    value: float
    limit: float

    @property
    def action(self) -> Action:
        """What it stops."""
        return RULES[self.rule].action

    @property
    def message(self) -> str:
        """One line for a person: `perp BTCUSDT quote: the quote is old: 75 s, limit 60 s (QUOTE_AGE, block_orders)`."""
        rule = RULES[self.rule]
        unit = f" {rule.unit}" if rule.unit else ""
        return (
            f"{self.where}: {rule.what}: {self.value:.6g}{unit}, limit {self.limit:.6g}{unit} "
            f"({self.rule}, {rule.action})"
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether data may be used, and for what. Data that fails may be shown, marked; it is never traded on."""

    quality: int
    """100 is flawless, 0 is useless."""
    ok_for_orders: bool
    ok_for_research: bool
    findings: tuple[Finding, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is wrong, a line each."""
        return tuple(finding.message for finding in self.findings)


FLAWLESS = Verdict(100, ok_for_orders=True, ok_for_research=True)


def judge(findings: Iterable[Finding], settings: ValidatorSettings) -> Verdict:
    """Add findings up: quality loses each rule's penalty; any block, or too low a quality, blocks."""
    found = tuple(findings)
    quality = max(0, 100 - sum(RULES[finding.rule].penalty for finding in found))
    actions = {finding.action for finding in found}
    research = Action.BLOCK_RESEARCH not in actions and quality >= settings.quality_min
    return Verdict(quality, research and Action.BLOCK_ORDERS not in actions, research, found)


def merge(*verdicts: Verdict, settings: ValidatorSettings) -> Verdict:
    """One verdict over several looks at the same market."""
    return judge((finding for verdict in verdicts for finding in verdict.findings), settings)

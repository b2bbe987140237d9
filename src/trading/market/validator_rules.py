"""The validator's thresholds, and the verdict that findings add up to. The rules themselves are `checks/rules.py`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from trading.market.checks.rules import RULES, Action, Rule, RuleId

__all__ = [
    "FLAWLESS",
    "RULES",
    "Action",
    "Finding",
    "Rule",
    "RuleId",
    "Unchecked",
    "ValidatorSettings",
    "Verdict",
    "demand",
    "judge",
    "merge",
]


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
    spike_scales_max: float = Field(25.0, gt=0)
    """Largest plausible move, in robust standard deviations (median/MAD) of the moves before it..."""
    spike_min_pct: float = Field(3.0, gt=0)
    """...but a smaller move than this is never a spike."""
    second_source_max_pct: float = Field(3.0, gt=0)
    """Largest plausible distance between spot, perpetual and index."""
    basis_warn_bps: float = Field(100.0, gt=0)
    """A distance between them above this is noted."""
    spread_max_bps: float = Field(50.0, gt=0)
    """Between bid and ask, of the mid; more than this is not traded on."""
    book_max_age_s: float = Field(10.0, gt=0)
    """A depth book older than this is not traded on."""
    clock_drift_max_s: float = Field(1.0, gt=0)
    """Largest distance between the lab's clock and the venue's, beyond what the reading itself leaves open."""
    flat_bars_max: int = Field(5, ge=1)
    """As many bars in a row without a trade are a market that stands still; so are as many repeats of one bar."""
    gap_bars_max: int = Field(3, ge=0)
    """More missing bars in a row than this block orders until the history is whole again."""
    quality_min: int = Field(50, ge=0, le=100)
    """Below this nothing may use the data."""
    failures_in_row_max: int = Field(5, ge=1)
    """More failures in a row than this are an alert of their own."""


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
        digits = 13 if rule.unit in ("quote", "base", "ms") else 6  # half a tick is the last of many digits
        return (
            f"{self.where}: {rule.what}: {self.value:.{digits}g}{unit}, limit {self.limit:.{digits}g}{unit} "
            f"({self.rule}, {rule.action})"
        )


@dataclass(frozen=True, slots=True)
class Unchecked:
    """A rule that could not be looked at, because what it needs was not given."""

    rule: RuleId
    where: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether data may be used, and for what. Data that fails may be shown, marked; it is never traded on."""

    quality: int
    """100 is flawless, 0 is useless."""
    ok_for_orders: bool
    ok_for_research: bool
    findings: tuple[Finding, ...] = ()
    not_looked_at: tuple[Unchecked, ...] = ()
    """What was not judged: no pass and no failure. Whoever needs one of them judged asks with `demand`."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is wrong, a line each."""
        return tuple(finding.message for finding in self.findings)

    @property
    def parts(self) -> tuple[tuple[RuleId, int], ...]:
        """What each finding took of the quality, worst first; nothing is taken of what is used up."""
        left, taken = 100, []
        for finding in sorted(self.findings, key=lambda finding: -RULES[finding.rule].penalty):
            points = min(left, RULES[finding.rule].penalty)
            taken.append((finding.rule, points))
            left -= points
        return tuple(taken)

    @property
    def top_reason(self) -> str:
        """The worst finding's message; empty when there is none."""
        worst = max(self.findings, key=lambda finding: RULES[finding.rule].penalty, default=None)
        return "" if worst is None else worst.message

    @property
    def line(self) -> str:
        """One line: `quality 60 of 100 (JUMP -40), no orders; not looked at: TICK, LOT`."""
        parts = ", ".join(f"{rule} -{points}" for rule, points in self.parts)
        use = "orders" if self.ok_for_orders else "no orders" if self.ok_for_research else "no orders, no research"
        unseen = ", ".join(dict.fromkeys(unchecked.rule for unchecked in self.not_looked_at))
        return (
            f"quality {self.quality} of 100{f' ({parts})' if parts else ''}, {use}"
            f"{f'; not looked at: {unseen}' if unseen else ''}"
        )


FLAWLESS = Verdict(100, ok_for_orders=True, ok_for_research=True)


def judge(findings: Iterable[Finding], settings: ValidatorSettings, not_looked_at: Iterable[Unchecked] = ()) -> Verdict:
    """Add findings up: quality loses each rule's penalty; any block, or too low a quality, blocks."""
    found = tuple(findings)
    quality = max(0, 100 - sum(RULES[finding.rule].penalty for finding in found))
    actions = {finding.action for finding in found}
    research = Action.BLOCK_RESEARCH not in actions and quality >= settings.quality_min
    return Verdict(quality, research and Action.BLOCK_ORDERS not in actions, research, found, tuple(not_looked_at))


def merge(*verdicts: Verdict, settings: ValidatorSettings) -> Verdict:
    """One verdict over several looks at the same market."""
    return judge(
        (finding for verdict in verdicts for finding in verdict.findings),
        settings,
        (unchecked for verdict in verdicts for unchecked in verdict.not_looked_at),
    )


def demand(verdict: Verdict, wanted: Collection[RuleId], settings: ValidatorSettings) -> Verdict:
    """Unknown is bad: a wanted rule that could not be looked at becomes a finding, which blocks orders.

    Args:
        verdict: As given.
        wanted: What must have been judged before money is put on the data.
        settings: The validator's thresholds.
    """
    missing = [unchecked for unchecked in verdict.not_looked_at if unchecked.rule in wanted]
    if not missing:
        return verdict
    named = (Finding(RuleId.NOT_LOOKED_AT, f"{gone.where}, {gone.rule}", 0.0, 1.0) for gone in missing)
    left = (unchecked for unchecked in verdict.not_looked_at if unchecked.rule not in wanted)
    return judge((*verdict.findings, *named), settings, left)

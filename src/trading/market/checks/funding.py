"""Funding: what a contract says of its next settlement, and whether every settlement of the past is there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from trading.domain.clock import HOUR_MS
from trading.domain.market import FundingNow
from trading.market.checks.bar import verdict_of
from trading.market.checks.moves import judge_distance
from trading.market.checks.rules import RuleId
from trading.market.validator_rules import Finding, Unchecked, ValidatorSettings, Verdict, judge

SETTLEMENT_SLACK_S = 60.0
"""The venue names the old settlement, and does not list the new one, for a moment after it, seconds."""
INTERVALS_H = (1, 2, 4, 8)
LONGEST_MS = max(INTERVALS_H) * HOUR_MS


@dataclass(frozen=True, slots=True)
class MissingSettlements:
    """Settlements that should be there and are not."""

    after_ms: int
    """The last one before them."""
    until_ms: int
    """The next one that is there, or the moment it was looked at."""
    count: int


def validate_funding(
    funding: FundingNow, settings: ValidatorSettings, *, now_ms: int, previous: FundingNow | None = None
) -> Verdict:
    """What a contract says of its next settlement: within its own cap, at a plausible time, mark near index.

    Args:
        funding: What is judged.
        settings: The validator's thresholds.
        now_ms: Lab time.
        previous: What the same contract said at the look before; None: this is the first.
    """
    where = f"perp {funding.symbol} funding"
    told: list[Finding | Unchecked] = []
    if not (math.isfinite(funding.rate) and abs(funding.rate) <= funding.cap_rate):
        told.append(Finding(RuleId.FUNDING_CAP, where, funding.rate, funding.cap_rate))
    told += _schedule(funding, previous, now_ms, where)
    age_s = (now_ms - funding.at_ms) / 1000.0
    if age_s > settings.quote_max_age_research_s:
        told.append(Finding(RuleId.QUOTE_DEAD, where, age_s, settings.quote_max_age_research_s))
    elif age_s > settings.quote_max_age_orders_s:
        told.append(Finding(RuleId.QUOTE_AGE, where, age_s, settings.quote_max_age_orders_s))
    prices = [price for price in (funding.mark_price, funding.index_price) if not (math.isfinite(price) and price > 0)]
    if prices:
        told.append(Finding(RuleId.NOT_A_PRICE, where, prices[0], 0.0))
    else:
        told += judge_distance(funding.mark_price, funding.index_price, settings, where)
    return verdict_of(told, settings)


def validate_settlements(
    symbol: str, times_ms: Sequence[int], interval_ms: int | None, settings: ValidatorSettings, *, now_ms: int
) -> Verdict:
    """Is every settlement there, up to now. Value: how many are not, over all gaps.

    Args:
        symbol: Of the contract.
        times_ms: Settlements known, oldest first; the venue's jitter of some milliseconds may be in them.
        interval_ms: The contract's interval now; None: not known, then the newest ones are not looked at.
        settings: The validator's thresholds.
        now_ms: The venue's time, up to which they should be there.
    """
    where = f"perp {symbol} settlements"
    if not times_ms or interval_ms is None:
        return judge((), settings, [Unchecked(RuleId.FUNDING_MISSING, where)])
    missing = sum(gap.count for gap in missing_settlements(times_ms))
    late_ms = now_ms - SETTLEMENT_SLACK_S * 1000.0 - times_ms[-1]
    missing += max(0, int(late_ms // interval_ms))
    return judge([Finding(RuleId.FUNDING_MISSING, where, missing, 0.0)] if missing else (), settings)


def missing_settlements(times_ms: Sequence[int]) -> list[MissingSettlements]:
    """Where settlements are missing between others.

    A contract's interval changes over time, so a long step is not yet a gap: it is one when both steps beside it are
    shorter, or when it is longer than any contract's interval. What it lacks is counted by the longer of the two.
    """
    hours = [round(ms / HOUR_MS) for ms in times_ms]
    steps = [later - earlier for earlier, later in pairwise(hours)]
    found = []
    for i, step in enumerate(steps):
        beside = [steps[j] for j in (i - 1, i + 1) if 0 <= j < len(steps)]
        usual = min(max(beside, default=step), LONGEST_MS // HOUR_MS)
        is_alone = len(beside) == 2 and step > usual
        if (is_alone or step > LONGEST_MS // HOUR_MS) and usual > 0:
            found.append(MissingSettlements(times_ms[i], times_ms[i + 1], max(1, step // usual - 1)))
    return found


def _schedule(
    funding: FundingNow, previous: FundingNow | None, now_ms: int, where: str
) -> Iterator[Finding | Unchecked]:
    hours = funding.interval_ms / HOUR_MS
    if hours not in INTERVALS_H:
        yield Finding(RuleId.FUNDING_INTERVAL, where, hours, max(INTERVALS_H))
    if previous is None or previous.symbol != funding.symbol:
        yield Unchecked(RuleId.FUNDING_INTERVAL_CHANGED, where)
    elif previous.interval_ms != funding.interval_ms:
        yield Finding(RuleId.FUNDING_INTERVAL_CHANGED, where, hours, previous.interval_ms / HOUR_MS)
    ahead_s, interval_s = (funding.next_ms - now_ms) / 1000.0, funding.interval_ms / 1000.0
    if not -SETTLEMENT_SLACK_S <= ahead_s <= interval_s + SETTLEMENT_SLACK_S:
        yield Finding(RuleId.FUNDING_TIME, where, ahead_s, interval_s)

"""May this be traded on? May it be researched on? Pure functions over bars, quotes, funding and tapes.

The rules, their penalties and what they block are the table in `validator_rules`; thresholds are `ValidatorSettings`.
Moves are measured against the earlier price. The jump rule allows `jump_max_pct` in one minute; prices n minutes apart
may differ by sqrt(n) times that, as a random walk does, up to `jump_cap_pct`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from trading.domain.market import INTERVAL_MS, Bar, FundingNow, Quote
from trading.market.tape import Tape
from trading.market.validator_rules import Finding, RuleId, ValidatorSettings, Verdict, judge

__all__ = [
    "NOTHING_SEEN",
    "FailureRow",
    "Seen",
    "ValidatorSettings",
    "Verdict",
    "longest_run",
    "validate_bar",
    "validate_funding",
    "validate_quote",
    "validate_tape",
]

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
FUTURE_MAX_S = 5.0
"""A quote this far ahead of the lab's clock is a clock that is wrong, seconds."""
SETTLEMENT_SLACK_S = 60.0
"""The venue names the old settlement for a moment after it, seconds."""
INTERVALS_H = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known beside a bar."""

    previous: Bar | None = None
    """The closed bar before it; None: it is the first."""
    zero_volume_bars: int = 0
    """Bars without a trade right before it."""
    second_price: float | None = None
    """Price of the same coin elsewhere, at the bar's close: perpetual for spot, spot or index for the perpetual."""


NOTHING_SEEN = Seen()


def validate_bar(bar: Bar, settings: ValidatorSettings, seen: Seen = NOTHING_SEEN) -> Verdict:
    """A closed bar against itself, the bar before it, and a second source."""
    where = f"{bar.market} {bar.symbol} {bar.interval} bar {bar.open_time_ms}"
    findings = list(_shape(bar, where))
    if not findings:
        findings += _sequence(bar, seen, settings, where)
        findings += _second_source(bar.close, seen.second_price, settings, where)
    return judge(findings, settings)


def validate_quote(
    quote: Quote,
    settings: ValidatorSettings,
    *,
    now_ms: int,
    previous: Quote | None = None,
    second_price: float | None = None,
) -> Verdict:
    """A quote's age, its two sides, its jump since an earlier quote, and a second source."""
    where = f"{quote.market} {quote.symbol} quote"
    findings = list(_age(quote, settings, now_ms, where))
    sizes = (quote.bid, quote.ask, quote.bid_base, quote.ask_base)
    bad = [value for value in sizes if not (math.isfinite(value) and value > 0)]
    if bad:
        findings.append(Finding(RuleId.QUOTE_NOT_POSITIVE, where, bad[0], 0.0))
    elif quote.bid >= quote.ask:
        findings.append(Finding(RuleId.QUOTE_CROSSED, where, quote.bid, quote.ask))
    else:
        if previous is not None and quote.at_ms > previous.at_ms:
            minutes = (quote.at_ms - previous.at_ms) / MINUTE_MS
            findings += _jump(abs(quote.mid / previous.mid - 1.0), minutes, settings, where)
        findings += _second_source(quote.mid, second_price, settings, where)
    return judge(findings, settings)


def validate_funding(funding: FundingNow, settings: ValidatorSettings, *, now_ms: int) -> Verdict:
    """What a contract says of its next settlement: within its own cap, at a plausible time, mark near index."""
    where = f"perp {funding.symbol} funding"
    findings: list[Finding] = []
    if not (math.isfinite(funding.rate) and abs(funding.rate) <= funding.cap_rate):
        findings.append(Finding(RuleId.FUNDING_CAP, where, funding.rate, funding.cap_rate))
    hours = funding.interval_ms / HOUR_MS
    if hours not in INTERVALS_H:
        findings.append(Finding(RuleId.FUNDING_INTERVAL, where, hours, max(INTERVALS_H)))
    ahead_s, interval_s = (funding.next_ms - now_ms) / 1000.0, funding.interval_ms / 1000.0
    if not -SETTLEMENT_SLACK_S <= ahead_s <= interval_s + SETTLEMENT_SLACK_S:
        findings.append(Finding(RuleId.FUNDING_TIME, where, ahead_s, interval_s))
    age_s = (now_ms - funding.at_ms) / 1000.0
    if age_s > settings.quote_max_age_research_s:
        findings.append(Finding(RuleId.QUOTE_DEAD, where, age_s, settings.quote_max_age_research_s))
    elif age_s > settings.quote_max_age_orders_s:
        findings.append(Finding(RuleId.QUOTE_AGE, where, age_s, settings.quote_max_age_orders_s))
    prices = [price for price in (funding.mark_price, funding.index_price) if not (math.isfinite(price) and price > 0)]
    if prices:
        findings.append(Finding(RuleId.NOT_A_PRICE, where, prices[0], 0.0))
    else:
        findings += _second_source(funding.mark_price, funding.index_price, settings, where)
    return judge(findings, settings)


def validate_tape(tape: Tape, settings: ValidatorSettings) -> Verdict:
    """A history as a whole; its shape was checked when it was made. The worst gap and the longest standstill count."""
    where = f"{tape.market} {tape.symbol} {tape.interval} history"
    findings: list[Finding] = []
    worst = max((gap.missing_bars for gap in tape.gaps), default=0)
    if worst:
        rule = RuleId.LONG_GAP if worst > settings.gap_bars_max else RuleId.GAP
        findings.append(Finding(rule, where, worst, settings.gap_bars_max))
    flat = longest_run(tape.volume_base == 0.0)
    if flat >= settings.flat_bars_max:
        findings.append(Finding(RuleId.FLATLINE, where, flat, settings.flat_bars_max))
    return judge(findings, settings)


def longest_run(flags: np.typing.NDArray[np.bool_]) -> int:
    """Length of the longest unbroken run of true; 0 for none."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))


class FailureRow:
    """Counts failures in a row; more than the setting allows is an alert of its own, told once a row."""

    def __init__(self, settings: ValidatorSettings) -> None:
        self._limit = settings.failures_in_row_max
        self.count = 0

    def note(self, *, failed: bool) -> bool:
        """Note one look at the data. True: this failure is the one that makes it an alert."""
        self.count = self.count + 1 if failed else 0
        return self.count == self._limit + 1


def _age(quote: Quote, settings: ValidatorSettings, now_ms: int, where: str) -> Iterator[Finding]:
    age_s = (now_ms - quote.at_ms) / 1000.0
    if age_s > settings.quote_max_age_research_s:
        yield Finding(RuleId.QUOTE_DEAD, where, age_s, settings.quote_max_age_research_s)
    elif age_s > settings.quote_max_age_orders_s:
        yield Finding(RuleId.QUOTE_AGE, where, age_s, settings.quote_max_age_orders_s)
    elif age_s < -FUTURE_MAX_S:
        yield Finding(RuleId.QUOTE_FUTURE, where, -age_s, FUTURE_MAX_S)


def _shape(bar: Bar, where: str) -> Iterator[Finding]:
    prices = (bar.open, bar.high, bar.low, bar.close)
    bad = [price for price in prices if not (math.isfinite(price) and price > 0)]
    if bad:
        yield Finding(RuleId.NOT_A_PRICE, where, bad[0], 0.0)
    elif bar.high < max(prices):
        yield Finding(RuleId.OHLC_ORDER, where, bar.high, max(prices))
    elif bar.low > min(prices):
        yield Finding(RuleId.OHLC_ORDER, where, bar.low, min(prices))
    if not (math.isfinite(bar.volume_base) and bar.volume_base >= 0):
        yield Finding(RuleId.NEGATIVE_VOLUME, where, bar.volume_base, 0.0)
    if off := bar.open_time_ms % INTERVAL_MS[bar.interval]:
        yield Finding(RuleId.TIME_OFF_GRID, where, off, 0.0)


def _sequence(bar: Bar, seen: Seen, settings: ValidatorSettings, where: str) -> Iterator[Finding]:
    flat = seen.zero_volume_bars + 1 if bar.volume_base == 0.0 else 0
    if flat >= settings.flat_bars_max:
        yield Finding(RuleId.FLATLINE, where, flat, settings.flat_bars_max)
    if seen.previous is None:
        return
    step_ms, interval_ms = bar.open_time_ms - seen.previous.open_time_ms, INTERVAL_MS[bar.interval]
    if step_ms == 0:
        yield Finding(RuleId.DUPLICATE, where, bar.open_time_ms, seen.previous.open_time_ms)
    elif step_ms < 0:
        yield Finding(RuleId.TIME_BACKWARDS, where, bar.open_time_ms, seen.previous.open_time_ms)
    else:
        missing = step_ms // interval_ms - 1
        if missing > settings.gap_bars_max:
            yield Finding(RuleId.LONG_GAP, where, missing, settings.gap_bars_max)
        elif missing:
            yield Finding(RuleId.GAP, where, missing, settings.gap_bars_max)
        before = seen.previous.close
        move = max(abs(bar.high / before - 1.0), abs(bar.low / before - 1.0))
        yield from _jump(move, step_ms / MINUTE_MS, settings, where)


def _jump(move: float, minutes: float, settings: ValidatorSettings, where: str) -> Iterator[Finding]:
    limit_pct = min(settings.jump_max_pct * math.sqrt(max(1.0, minutes)), settings.jump_cap_pct)
    if move * 100.0 > limit_pct:
        yield Finding(RuleId.JUMP, where, move * 100.0, limit_pct)


def _second_source(
    price: float, second_price: float | None, settings: ValidatorSettings, where: str
) -> Iterator[Finding]:
    if second_price is None:
        return
    if not (math.isfinite(second_price) and second_price > 0):
        yield Finding(RuleId.NOT_A_PRICE, f"{where}, second source", second_price, 0.0)
        return
    distance_pct = abs(price / second_price - 1.0) * 100.0
    if distance_pct > settings.second_source_max_pct:
        yield Finding(RuleId.SECOND_SOURCE, where, distance_pct, settings.second_source_max_pct)

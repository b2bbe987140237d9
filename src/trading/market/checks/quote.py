"""A quote: its age by the venue's clock, its two sides, its move since the last one, and a second source."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from trading.domain.clock import MINUTE_MS
from trading.domain.instrument import Instrument
from trading.domain.market import Quote
from trading.market.checks.bar import FUTURE_MAX_S, verdict_of
from trading.market.checks.instrument import judge_steps
from trading.market.checks.moves import Recent, judge_distance, judge_move
from trading.market.checks.rules import RuleId
from trading.market.validator_rules import Finding, Unchecked, ValidatorSettings, Verdict, judge

BACKWARDS_MAX_S = 1.0
"""A venue of many servers may answer from one that is this far behind, seconds."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What is known beside a quote, apart from the one before it and a second price."""

    recent: Recent | None = None
    """Mids before it; None: not known."""
    instrument: Instrument | None = None
    """The venue's filters; None: not known."""


NOTHING_BESIDE = Beside()


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The venue's clock, read once."""

    asked_ms: int
    """Lab time when the question left."""
    answered_ms: int
    """Lab time when the answer came."""
    venue_ms: int
    """What the venue said."""


def validate_quote(
    quote: Quote,
    settings: ValidatorSettings,
    *,
    now_ms: int,
    previous: Quote | None = None,
    second_price: float | None = None,
    beside: Beside = NOTHING_BESIDE,
) -> Verdict:
    """A quote's age, its two sides, its move since an earlier quote, and a second source.

    Args:
        quote: What is judged.
        settings: The validator's thresholds.
        now_ms: Lab time.
        previous: The quote of the look before; of no price, it does not count.
        second_price: The same coin's price elsewhere.
        beside: What else is known.
    """
    where = f"{quote.market} {quote.symbol} quote"
    told: list[Finding | Unchecked] = list(_age(quote, settings, now_ms, where))
    sides = (quote.bid, quote.ask, quote.bid_base, quote.ask_base)
    bad = [value for value in sides if not (math.isfinite(value) and value > 0)]
    if bad:
        told.append(Finding(RuleId.QUOTE_NOT_POSITIVE, where, bad[0], 0.0))
    elif quote.bid >= quote.ask:
        told.append(Finding(RuleId.QUOTE_CROSSED, where, quote.bid, quote.ask))
    else:
        told += judge_spread(quote.bid, quote.ask, settings, where)
        told += _since(quote, previous, beside.recent, settings, where)
        told += judge_distance(quote.mid, second_price, settings, where)
        told += judge_steps(sides[:2], sides[2:], beside.instrument, where)
    return verdict_of(told, settings)


def validate_clock(reading: ClockReading | None, settings: ValidatorSettings) -> Verdict:
    """The lab's clock against the venue's. The answer was made somewhere between asking and hearing: only what lies
    outside of that is told, so that a slow line is not taken for a wrong clock.

    Args:
        reading: None: never read, which is told as not looked at.
        settings: The validator's thresholds.
    """
    if reading is None:
        return judge((), settings, [Unchecked(RuleId.CLOCK_DRIFT, "clock")])
    outside_ms = max(reading.venue_ms - reading.answered_ms, reading.asked_ms - reading.venue_ms, 0)
    drift_s = outside_ms / 1000.0
    broken = drift_s > settings.clock_drift_max_s
    return judge(
        [Finding(RuleId.CLOCK_DRIFT, "clock", drift_s, settings.clock_drift_max_s)] if broken else (), settings
    )


def judge_spread(bid: float, ask: float, settings: ValidatorSettings, where: str) -> Iterator[Finding]:
    """Bid to ask, basis points of the mid."""
    spread_bps = (ask - bid) / ((ask + bid) / 2.0) * 10_000.0
    if spread_bps > settings.spread_max_bps:
        yield Finding(RuleId.SPREAD, where, spread_bps, settings.spread_max_bps)


def _age(quote: Quote, settings: ValidatorSettings, venue_now_ms: float, where: str) -> Iterator[Finding]:
    age_s = (venue_now_ms - quote.at_ms) / 1000.0
    if age_s > settings.quote_max_age_research_s:
        yield Finding(RuleId.QUOTE_DEAD, where, age_s, settings.quote_max_age_research_s)
    elif age_s > settings.quote_max_age_orders_s:
        yield Finding(RuleId.QUOTE_AGE, where, age_s, settings.quote_max_age_orders_s)
    elif age_s < -FUTURE_MAX_S:
        yield Finding(RuleId.QUOTE_FUTURE, where, -age_s, FUTURE_MAX_S)


def _since(
    quote: Quote, previous: Quote | None, recent: Recent | None, settings: ValidatorSettings, where: str
) -> Iterator[Finding | Unchecked]:
    if previous is None or not previous.mid > 0:
        for rule in (RuleId.JUMP, RuleId.SPIKE, RuleId.QUOTE_BACKWARDS):
            yield Unchecked(rule, where)
        return
    back_s = (previous.at_ms - quote.at_ms) / 1000.0
    if back_s > BACKWARDS_MAX_S:
        yield Finding(RuleId.QUOTE_BACKWARDS, where, back_s, BACKWARDS_MAX_S)
    if quote.at_ms > previous.at_ms:
        minutes = (quote.at_ms - previous.at_ms) / MINUTE_MS
        yield from judge_move(abs(quote.mid / previous.mid - 1.0), minutes, recent, settings, where)

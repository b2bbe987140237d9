"""A closed bar: its shape, its place after the bar before, its move, a second source, and a second telling of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from trading.domain.clock import MINUTE_MS
from trading.domain.instrument import Instrument
from trading.domain.market import INTERVAL_MS, Bar
from trading.market.checks.instrument import judge_steps
from trading.market.checks.moves import Recent, judge_distance, judge_move
from trading.market.checks.rules import RuleId
from trading.market.tape import HIGHEST_PRICE, LARGEST_VOLUME_BASE, LOWEST_PRICE
from trading.market.validator_rules import Finding, Unchecked, ValidatorSettings, Verdict, judge

FUTURE_MAX_S = 5.0
"""So far ahead of the lab's clock is a clock that is wrong, seconds."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known beside a bar."""

    previous: Bar | None = None
    """The closed bar before it; None: it is the first."""
    zero_volume_bars: int = 0
    """Bars without a trade right before it."""
    second_price: float | None = None
    """Price of the same coin elsewhere, at the bar's close: perpetual for spot, spot or index for the perpetual."""
    repeats: int = 0
    """Bars right before it that repeat the numbers of the bar before them."""
    recent: Recent | None = None
    """Closes before it; None: not known."""
    instrument: Instrument | None = None
    """The venue's filters at the bar's time; None: not known."""


NOTHING_SEEN = Seen()


def validate_bar(bar: Bar, settings: ValidatorSettings, seen: Seen = NOTHING_SEEN) -> Verdict:
    """A closed bar against itself, the bars before it, and a second source."""
    where = f"{bar.market} {bar.symbol} {bar.interval} bar {bar.open_time_ms}"
    wrong = list(_schema(bar, where)) or list(_shape(bar, where))
    if wrong:
        return judge(wrong, settings)
    return verdict_of(_beside(bar, seen, settings, where), settings)


def validate_revision(held: Bar, again: Bar, settings: ValidatorSettings) -> Verdict:
    """A closed bar that is told a second time: the same numbers, or a revision. Value: the largest change, percent.

    Args:
        held: As it was first told.
        again: The same market, interval and open time, told later.
        settings: The validator's thresholds.
    """
    where = f"{held.market} {held.symbol} {held.interval} bar {held.open_time_ms}"
    changed = [(old, new) for old, new in zip(_numbers(held), _numbers(again), strict=True) if old != new]
    change = max((abs(new / old - 1.0) if old else math.inf for old, new in changed), default=0.0)
    return judge([Finding(RuleId.REVISED, where, change * 100.0, 0.0)] if changed else (), settings)


def repeats_bar(bar: Bar, previous: Bar | None) -> bool:
    """The same prices and the same volume as the bar before. Quiet minutes repeat prices for an hour, volumes never."""
    return previous is not None and bar.volume_base > 0.0 and _numbers(bar) == _numbers(previous)


def verdict_of(told: Iterable[Finding | Unchecked], settings: ValidatorSettings) -> Verdict:
    """Findings and what was not looked at, added up."""
    kept = list(told)
    return judge(
        (entry for entry in kept if isinstance(entry, Finding)),
        settings,
        [entry for entry in kept if isinstance(entry, Unchecked)],
    )


def _numbers(bar: Bar) -> tuple[float, ...]:
    return (bar.open, bar.high, bar.low, bar.close, bar.volume_base)


def _schema(bar: Bar, where: str) -> Iterator[Finding]:
    for value in _numbers(bar):
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
            yield Finding(RuleId.SCHEMA, f"{where}, {type(value).__name__} {str(value)[:20]!r}", math.nan, 0.0)
            return
    time_ms: object = bar.open_time_ms
    if isinstance(time_ms, bool) or not isinstance(time_ms, (int, np.integer)):
        yield Finding(RuleId.SCHEMA, f"{where}, open time {type(time_ms).__name__}", math.nan, 0.0)
    if bar.interval not in INTERVAL_MS:
        yield Finding(RuleId.SCHEMA, f"{where}, interval {str(bar.interval)[:20]!r}", math.nan, 0.0)


def _shape(bar: Bar, where: str) -> Iterator[Finding]:
    prices = (bar.open, bar.high, bar.low, bar.close)
    bad = [price for price in prices if not (math.isfinite(price) and price > 0)]
    far = [price for price in prices if not LOWEST_PRICE <= price <= HIGHEST_PRICE]
    if bad:
        yield Finding(RuleId.NOT_A_PRICE, where, bad[0], 0.0)
    elif far:
        yield Finding(RuleId.OUT_OF_RANGE, where, far[0], HIGHEST_PRICE if far[0] > 1.0 else LOWEST_PRICE)
    elif bar.high < max(prices):
        yield Finding(RuleId.OHLC_ORDER, where, bar.high, max(prices))
    elif bar.low > min(prices):
        yield Finding(RuleId.OHLC_ORDER, where, bar.low, min(prices))
    if not (math.isfinite(bar.volume_base) and bar.volume_base >= 0):
        yield Finding(RuleId.NEGATIVE_VOLUME, where, bar.volume_base, 0.0)
    elif bar.volume_base > LARGEST_VOLUME_BASE:
        yield Finding(RuleId.OUT_OF_RANGE, where, bar.volume_base, LARGEST_VOLUME_BASE)
    if off := bar.open_time_ms % INTERVAL_MS[bar.interval]:
        yield Finding(RuleId.TIME_OFF_GRID, where, off, 0.0)


def _beside(bar: Bar, seen: Seen, settings: ValidatorSettings, where: str) -> Iterator[Finding | Unchecked]:
    yield from _clock(bar, where)
    flat = seen.zero_volume_bars + 1 if bar.volume_base == 0.0 else 0
    if flat >= settings.flat_bars_max:
        yield Finding(RuleId.FLATLINE, where, flat, settings.flat_bars_max)
    repeats = seen.repeats + 1 if repeats_bar(bar, seen.previous) else 0
    if repeats >= settings.flat_bars_max:
        yield Finding(RuleId.FROZEN, where, repeats, settings.flat_bars_max)
    if seen.previous is None:
        for rule in (RuleId.GAP, RuleId.LONG_GAP, RuleId.JUMP, RuleId.SPIKE, RuleId.FROZEN):
            yield Unchecked(rule, where)
    else:
        yield from _sequence(bar, seen.previous, seen.recent, settings, where)
    yield from judge_distance(bar.close, seen.second_price, settings, where)
    prices = (bar.open, bar.high, bar.low, bar.close)
    yield from judge_steps(prices, (bar.volume_base,), seen.instrument, where)


def _clock(bar: Bar, where: str) -> Iterator[Finding | Unchecked]:
    if bar.received_ms <= 0:  # out of a file: when it was learned is not known
        yield Unchecked(RuleId.BAR_FUTURE, where)
        return
    early_s = (bar.close_time_ms - bar.received_ms) / 1000.0
    if early_s > FUTURE_MAX_S:
        yield Finding(RuleId.BAR_FUTURE, where, early_s, FUTURE_MAX_S)


def _sequence(
    bar: Bar, previous: Bar, recent: Recent | None, settings: ValidatorSettings, where: str
) -> Iterator[Finding | Unchecked]:
    step_ms, interval_ms = bar.open_time_ms - previous.open_time_ms, INTERVAL_MS[bar.interval]
    if step_ms == 0:
        yield Finding(RuleId.DUPLICATE, where, bar.open_time_ms, previous.open_time_ms)
    elif step_ms < 0:
        yield Finding(RuleId.TIME_BACKWARDS, where, bar.open_time_ms, previous.open_time_ms)
    else:
        missing = step_ms // interval_ms - 1
        if missing > settings.gap_bars_max:
            yield Finding(RuleId.LONG_GAP, where, missing, settings.gap_bars_max)
        elif missing:
            yield Finding(RuleId.GAP, where, missing, settings.gap_bars_max)
        before = previous.close
        move = max(abs(bar.high / before - 1.0), abs(bar.low / before - 1.0))
        yield from judge_move(move, step_ms / MINUTE_MS, recent, settings, where)

"""Each rule: what triggers it, and what right beside it does not. And years of real hours that raise no false alarm."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from tests.conftest import DATA, needs_data
from tests.trading.market.samples import HOUR_MS, START_MS, bar, bars_of, tape
from trading.domain.instrument import Instrument, Market
from trading.domain.market import Bar, Book, FundingNow, Quote
from trading.market.data_integrity_validator import (
    Beside,
    ClockReading,
    FailureRow,
    Recent,
    Seen,
    ValidatorSettings,
    longest_run,
    validate_bar,
    validate_book,
    validate_clock,
    validate_funding,
    validate_instrument,
    validate_quote,
    validate_revision,
    validate_settlements,
    validate_tape,
)
from trading.market.importers import import_recorded
from trading.market.tape import Funding
from trading.market.validator_rules import RULES, Action, RuleId, Verdict, demand, merge

LIMITS = ValidatorSettings()
NOW_MS = START_MS + 10 * HOUR_MS
QUOTE = Quote(Market.PERP, "BTCUSDT", 99.9, 100.1, 3.0, 4.0, NOW_MS - 1000)
FUNDING = FundingNow("BTCUSDT", 1e-4, NOW_MS + HOUR_MS, 8 * HOUR_MS, 0.003, 100.0, 100.0, NOW_MS - 1000)
GOOD = bar(9)
STEPS = Instrument(
    Market.SPOT, "BTCUSDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.5"), Decimal("0.5"), Decimal(100), Decimal(5)
)
BOOK = Book(Market.PERP, "BTCUSDT", ((99.9, 1.0), (99.8, 2.0)), ((100.1, 1.5), (100.2, 1.0)), NOW_MS - 1000)
SETTLED_MS = [START_MS + 8 * HOUR_MS * i for i in range(6)]
QUIET = Recent(START_MS + HOUR_MS * np.arange(-51, 9, dtype=np.int64), 100.0 + np.tile([0.0, 0.1], 30))
"""Sixty hours that move by 0.1 %."""


def quote(**changes: object) -> Verdict:
    return validate_quote(replace(QUOTE, **changes), LIMITS, now_ms=NOW_MS)


def quoted_after(minutes: float, mid: float) -> Verdict:
    before = replace(QUOTE, at_ms=QUOTE.at_ms - int(minutes * 60_000))
    return validate_quote(replace(QUOTE, bid=mid - 0.1, ask=mid + 0.1), LIMITS, now_ms=NOW_MS, previous=before)


def beside(**changes: object) -> Verdict:
    return validate_quote(QUOTE, LIMITS, now_ms=NOW_MS, beside=Beside(**changes))


def since(**changes: object) -> Verdict:
    return validate_quote(QUOTE, LIMITS, now_ms=NOW_MS, previous=replace(QUOTE, **changes))


def spiked(mid: float, minutes: float = 60.0, recent: Recent = QUIET) -> Verdict:
    before = replace(QUOTE, at_ms=QUOTE.at_ms - int(minutes * 60_000))
    return validate_quote(
        replace(QUOTE, bid=mid - 0.1, ask=mid + 0.1), LIMITS, now_ms=NOW_MS, previous=before, beside=Beside(recent)
    )


def booked(*, is_whole: bool = True, instrument: Instrument | None = None, **changes: object) -> Verdict:
    book = replace(BOOK, **changes)
    return validate_book(book, LIMITS, now_ms=NOW_MS, is_whole=is_whole, instrument=instrument)


def repriced(factor: float) -> tuple[tuple[float, float], ...]:
    return tuple((price * factor, size) for price, size in BOOK.asks)


def settled(*missing: int, hours_on: float = 0.0, interval_h: int = 8) -> Verdict:
    times = [ms for i, ms in enumerate(SETTLED_MS) if i not in missing]
    now_ms = SETTLED_MS[-1] + int(hours_on * HOUR_MS)
    return validate_settlements("BTCUSDT", times, interval_h * HOUR_MS, LIMITS, now_ms=now_ms)


def history(**changes: object) -> Verdict:
    return validate_tape(replace(tape([100.0] * 30), **changes), LIMITS, real=True)


def clocked(asked_ms: int, answered_ms: int, venue_ms: int) -> Verdict:
    return validate_clock(ClockReading(asked_ms, answered_ms, venue_ms), LIMITS)


def funded(**changes: object) -> Verdict:
    return validate_funding(replace(FUNDING, **changes), LIMITS, now_ms=NOW_MS)


def barred(seen: Seen | None = None, **changes: object) -> Verdict:
    return validate_bar(replace(GOOD, **changes), LIMITS, seen or Seen(bar(8)))


def minute_bar(close: float) -> Bar:
    return replace(GOOD, interval="1m", high=max(100.0, close), low=min(100.0, close), close=close)


def minute_verdict(close: float, minutes: int = 1) -> Verdict:
    before = replace(GOOD, interval="1m", open_time_ms=GOOD.open_time_ms - minutes * 60_000)
    return validate_bar(minute_bar(close), LIMITS, Seen(before))


CASES: dict[RuleId, tuple[list[Verdict], list[Verdict]]] = {
    RuleId.QUOTE_AGE: ([quote(at_ms=NOW_MS - 60_001), funded(at_ms=NOW_MS - 60_001)], [quote(at_ms=NOW_MS - 60_000)]),
    RuleId.QUOTE_DEAD: (
        [quote(at_ms=NOW_MS - 300_001), funded(at_ms=NOW_MS - 300_001)],
        [quote(at_ms=NOW_MS - 300_000), funded(at_ms=NOW_MS - 300_000)],
    ),
    RuleId.QUOTE_FUTURE: ([quote(at_ms=NOW_MS + 5_001)], [quote(at_ms=NOW_MS + 5_000)]),
    RuleId.QUOTE_NOT_POSITIVE: (
        [quote(bid=0.0), quote(ask=math.nan), quote(bid_base=-1.0), quote(ask=math.inf)],
        [quote(bid_base=1e-8)],
    ),
    RuleId.QUOTE_CROSSED: ([quote(bid=100.1), quote(bid=101.0)], [quote(bid=100.09)]),
    RuleId.JUMP: (
        [quoted_after(1, 110.2), quoted_after(0.1, 89.8), quoted_after(4, 120.2), quoted_after(600, 135.2),
         minute_verdict(110.2), minute_verdict(89.8), minute_verdict(120.2, 4), barred(high=136.0),
         barred(low=64.0)],
        [quoted_after(1, 109.8), quoted_after(4, 119.8), quoted_after(600, 134.8), quoted_after(0, 200.0),
         minute_verdict(109.8), minute_verdict(119.8, 4), barred(high=134.0)],
    ),
    RuleId.SECOND_SOURCE: (
        [validate_quote(QUOTE, LIMITS, now_ms=NOW_MS, second_price=104.0), barred(Seen(bar(8), second_price=96.0)),
         funded(index_price=104.0)],
        [validate_quote(QUOTE, LIMITS, now_ms=NOW_MS, second_price=102.9), barred(Seen(bar(8), second_price=98.0)),
         funded(index_price=102.0)],
    ),
    RuleId.NOT_A_PRICE: (
        [barred(open=0.0), barred(close=math.nan), barred(low=-1.0), funded(mark_price=0.0),
         barred(Seen(bar(8), second_price=math.nan))],
        [barred(low=99.0)],
    ),
    RuleId.OHLC_ORDER: (
        [barred(high=99.0), barred(low=100.5), barred(close=101.5)],
        [barred(high=100.0, low=100.0)],
    ),
    RuleId.NEGATIVE_VOLUME: ([barred(volume_base=-1.0), barred(volume_base=math.nan)], [barred(volume_base=0.0)]),
    RuleId.TIME_OFF_GRID: ([barred(open_time_ms=GOOD.open_time_ms + 1)], [barred()]),
    RuleId.TIME_BACKWARDS: ([barred(Seen(bar(10)))], [barred(Seen(bar(8)))]),
    RuleId.DUPLICATE: ([barred(Seen(bar(9)))], [barred(Seen(None))]),
    RuleId.GAP: ([barred(Seen(bar(7))), barred(Seen(bar(5)))], [barred(Seen(bar(8)))]),
    RuleId.LONG_GAP: ([barred(Seen(bar(4)))], [barred(Seen(bar(5)))]),
    RuleId.FLATLINE: (
        [barred(Seen(bar(8), zero_volume_bars=4), volume_base=0.0)],
        [barred(Seen(bar(8), zero_volume_bars=3), volume_base=0.0), barred(Seen(bar(8), zero_volume_bars=9))],
    ),
    RuleId.FUNDING_CAP: (
        [funded(rate=0.0031), funded(rate=-0.0031), funded(rate=math.nan)],
        [funded(rate=0.003), funded(rate=-0.003)],
    ),
    RuleId.FUNDING_TIME: (
        [funded(next_ms=NOW_MS + 9 * HOUR_MS), funded(next_ms=NOW_MS - 61_000)],
        [funded(next_ms=NOW_MS - 60_000), funded(next_ms=NOW_MS + 8 * HOUR_MS)],
    ),
    RuleId.SCHEMA: (
        [barred(close="100"), barred(volume_base=None), barred(open=True), barred(interval="7m"),
         barred(open_time_ms=1.0)],
        [barred(close=100)],
    ),
    RuleId.OUT_OF_RANGE: (
        [barred(high=1e13), barred(low=1e-13), barred(volume_base=1e19)], [barred(volume_base=1e18)],
    ),
    RuleId.BAR_FUTURE: (
        [barred(received_ms=GOOD.close_time_ms - 5_001)],
        [barred(received_ms=GOOD.close_time_ms - 5_000), barred(received_ms=0)],
    ),
    RuleId.FROZEN: (
        [barred(Seen(bar(8), repeats=4))],
        [barred(Seen(bar(8), repeats=3)), barred(Seen(bar(8), repeats=9), volume_base=6.0),
         barred(Seen(bar(8), repeats=9), high=101.5), barred(Seen(bar(8, volume=0.0), repeats=9), volume_base=0.0)],
    ),
    RuleId.SPIKE: (
        [spiked(104.5), spiked(95.5), spiked(103.4, 0.5), barred(Seen(bar(8), recent=QUIET), high=104.5),
         barred(Seen(bar(8), recent=QUIET), low=95.5)],
        [spiked(102.9), spiked(102.9, 0.5), spiked(104.5, 600.0), barred(Seen(bar(8), recent=QUIET), high=102.9),
         spiked(104.5, recent=Recent(QUIET.at_ms[:30], QUIET.price[:30])), spiked(136.0)],
    ),
    RuleId.BASIS: (
        [validate_quote(QUOTE, LIMITS, now_ms=NOW_MS, second_price=101.1), barred(Seen(bar(8), second_price=98.9)),
         funded(index_price=101.1)],
        [validate_quote(QUOTE, LIMITS, now_ms=NOW_MS, second_price=100.9), funded(index_price=104.0)],
    ),
    RuleId.TICK: (
        [barred(Seen(bar(8), instrument=STEPS), close=100.05), booked(instrument=STEPS, bids=((99.91, 1.0),)),
         beside(instrument=replace(STEPS, tick=Decimal(1)))],
        [barred(Seen(bar(8), instrument=STEPS)), booked(instrument=STEPS), beside(instrument=STEPS)],
    ),
    RuleId.LOT: (
        [barred(Seen(bar(8), instrument=STEPS), volume_base=5.2), booked(instrument=STEPS, bids=((99.9, 1.1),)),
         beside(instrument=replace(STEPS, lot=Decimal(2)))],
        [barred(Seen(bar(8), instrument=STEPS), volume_base=5.5), booked(instrument=STEPS)],
    ),
    RuleId.REVISED: (
        [validate_revision(GOOD, replace(GOOD, close=100.1), LIMITS),
         validate_revision(GOOD, replace(GOOD, volume_base=0.0), LIMITS)],
        [validate_revision(GOOD, replace(GOOD, received_ms=1), LIMITS)],
    ),
    RuleId.QUOTE_BACKWARDS: ([since(at_ms=QUOTE.at_ms + 1_001)], [since(at_ms=QUOTE.at_ms + 1_000), since()]),
    RuleId.SPREAD: (
        [quote(ask=100.5), booked(asks=repriced(1.006))], [quote(ask=100.3), booked()],
    ),
    RuleId.BOOK_STALE: ([booked(at_ms=NOW_MS - 10_001)], [booked(at_ms=NOW_MS - 10_000)]),
    RuleId.BOOK_EMPTY: ([booked(bids=()), booked(asks=())], [booked(bids=BOOK.bids[:1])]),
    RuleId.BOOK_NOT_POSITIVE: (
        [booked(bids=((99.9, 0.0),)), booked(asks=((math.nan, 1.0),)), booked(bids=((-1.0, 1.0),))], [booked()],
    ),
    RuleId.BOOK_ORDER: (
        [booked(bids=BOOK.bids[::-1]), booked(asks=BOOK.asks[::-1]), booked(asks=(BOOK.asks[0], BOOK.asks[0]))],
        [booked()],
    ),
    RuleId.BOOK_CROSSED: ([booked(asks=repriced(0.99)), booked(asks=((99.9, 1.0),))], [booked()]),
    RuleId.BOOK_BROKEN: ([booked(is_whole=False)], [booked(is_whole=True)]),
    RuleId.FUNDING_INTERVAL_CHANGED: (
        [validate_funding(FUNDING, LIMITS, now_ms=NOW_MS, previous=replace(FUNDING, interval_ms=4 * HOUR_MS))],
        [validate_funding(FUNDING, LIMITS, now_ms=NOW_MS, previous=FUNDING), funded()],
    ),
    RuleId.FUNDING_MISSING: (
        [settled(2), settled(2, 3), settled(5, hours_on=0.02), settled(hours_on=8.02),
         history(funding=Funding(np.array(SETTLED_MS)[[0, 1, 3, 4]], np.zeros(4), np.zeros(4)))],
        [settled(), settled(hours_on=8.016), settled(hours_on=2.0),
         history(funding=Funding(np.array(SETTLED_MS), np.zeros(6), np.zeros(6)))],
    ),
    RuleId.CLOCK_DRIFT: (
        [clocked(0, 100, 1_101), clocked(2_000, 2_100, 999)],
        [clocked(0, 100, 1_100), clocked(2_000, 2_100, 1_000), clocked(0, 60_000, 30_000)],
    ),
    RuleId.SYMBOL_STATUS: (
        [validate_instrument(replace(STEPS, is_trading=False), LIMITS, where="BTCUSDT")],
        [validate_instrument(STEPS, LIMITS, where="BTCUSDT")],
    ),
    RuleId.PROVENANCE: ([history(origin="a friend"), history(content_hash="")], [history()]),
    RuleId.SYNTHETIC: (
        [history(origin="synthetic")], [history(), validate_tape(tape([10.0] * 3, origin="synthetic"), LIMITS)],
    ),
    RuleId.NOT_LOOKED_AT: (
        [demand(barred(), {RuleId.TICK}, LIMITS), demand(validate_clock(None, LIMITS), {RuleId.CLOCK_DRIFT}, LIMITS),
         demand(validate_instrument(None, LIMITS, where="X"), {RuleId.SYMBOL_STATUS}, LIMITS)],
        [demand(barred(), {RuleId.GAP}, LIMITS), barred()],
    ),
    RuleId.FUNDING_INTERVAL: ([funded(interval_ms=3 * HOUR_MS)], [funded(interval_ms=4 * HOUR_MS)]),
}  # fmt: skip


@pytest.mark.parametrize("rule", RuleId)
def test_each_rule_is_broken_by_what_it_names_and_by_nothing_just_inside_its_limit(rule: RuleId):
    broken, kept = CASES[rule]
    for verdict in broken:
        assert rule in {finding.rule for finding in verdict.findings}, verdict.reasons
        assert verdict.quality <= 100 - RULES[rule].penalty
        if RULES[rule].action is not Action.WARN:
            assert not verdict.ok_for_orders
        if RULES[rule].action is Action.BLOCK_RESEARCH:
            assert not verdict.ok_for_research
    for verdict in kept:
        assert rule not in {finding.rule for finding in verdict.findings}, verdict.reasons


def test_a_stale_quote_may_be_researched_on_but_not_traded_on():
    verdict = quote(at_ms=NOW_MS - 75_000)
    assert (verdict.ok_for_orders, verdict.ok_for_research, verdict.quality) == (False, True, 70)
    assert verdict.reasons == ("perp BTCUSDT quote: the quote is old: 75 s, limit 60 s (QUOTE_AGE, block_orders)",)


def test_several_small_faults_add_up_to_too_low_a_quality():
    settings = ValidatorSettings(quality_min=65)
    stale = validate_quote(replace(QUOTE, at_ms=NOW_MS - 61_000), settings, now_ms=NOW_MS)
    gapped = validate_bar(GOOD, settings, Seen(bar(7)))
    assert stale.ok_for_research
    assert gapped.ok_for_orders
    both = merge(stale, gapped, settings=settings)
    assert (both.quality, both.ok_for_research) == (60, False)


def test_more_than_five_failures_in_a_row_are_an_alert_told_once():
    row = FailureRow(LIMITS)
    assert [row.note(failed=True) for _ in range(8)] == [False] * 5 + [True, False, False]
    assert not row.note(failed=False)
    assert [row.note(failed=True) for _ in range(6)] == [False] * 5 + [True]


def test_a_history_with_an_outage_blocks_orders_but_not_research():
    whole = validate_tape(tape([100.0] * 30), LIMITS)
    assert whole.quality == 100
    holed = validate_tape(tape([100.0] * 30, drop=range(10, 20)), LIMITS)
    assert not holed.ok_for_orders
    assert holed.ok_for_research


def test_the_longest_run_is_found_at_either_end():
    assert longest_run(tape([100.0]).close > 0) == 1
    assert longest_run(tape([100.0] * 4).close < 0) == 0


def test_what_was_not_looked_at_is_named_and_costs_nothing_until_it_is_wanted():
    verdict = validate_bar(bar(9), LIMITS)
    assert (verdict.quality, verdict.ok_for_orders) == (100, True)
    unseen = {unchecked.rule for unchecked in verdict.not_looked_at}
    assert {RuleId.GAP, RuleId.JUMP, RuleId.SPIKE, RuleId.SECOND_SOURCE, RuleId.TICK, RuleId.LOT} <= unseen
    wanted = demand(verdict, {RuleId.SECOND_SOURCE}, LIMITS)
    assert not wanted.ok_for_orders
    assert "SECOND_SOURCE" in wanted.reasons[0]
    assert wanted.not_looked_at, "what is not wanted stays named"
    assert RuleId.SECOND_SOURCE not in {unchecked.rule for unchecked in wanted.not_looked_at}


def test_a_verdict_tells_its_parts_in_one_line_worst_first():
    verdict = merge(validate_bar(GOOD, LIMITS, Seen(bar(7))), quote(at_ms=NOW_MS - 75_000), settings=LIMITS)
    assert verdict.parts == ((RuleId.QUOTE_AGE, 30), (RuleId.GAP, 10))
    assert verdict.line.startswith("quality 60 of 100 (QUOTE_AGE -30, GAP -10), no orders; not looked at: ")
    assert verdict.top_reason == verdict.reasons[1]
    worst = merge(quote(bid=0.0), quote(at_ms=NOW_MS - 75_000), settings=LIMITS)
    assert sum(points for _, points in worst.parts) == 100 - worst.quality == 100


def test_settlements_of_a_contract_that_changes_its_interval_are_no_gap():
    hours = [0, 8, 16, 24, 28, 32, 33, 34, 35]
    times = [START_MS + hour * HOUR_MS + hour % 29 for hour in hours]  # the venue's jitter
    now_ms = times[-1]
    assert not validate_settlements("ENAUSDT", times, HOUR_MS, LIMITS, now_ms=now_ms).findings
    holed = [ms for ms in times if ms != times[4]]
    assert not validate_settlements("ENAUSDT", [*holed[:2], *holed[3:]], HOUR_MS, LIMITS, now_ms=now_ms).ok_for_orders


@needs_data
@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_no_false_alarm_over_recorded_2024_hours(symbol: str):
    spot, perp = (
        import_recorded(DATA, market, symbol, "1h", START_MS, START_MS + 366 * 24 * HOUR_MS) for market in Market
    )
    blocked = []
    for one, other in ((spot, perp), (perp, spot)):
        assert len(one) == len(other) == 8784
        previous = None
        for this, there in zip(bars_of(one), other.close.tolist(), strict=True):
            verdict = validate_bar(this, LIMITS, Seen(previous, second_price=there))
            blocked += [] if verdict.ok_for_orders else [verdict.reasons]
            previous = this
    assert blocked == []


@needs_data
def test_the_futures_outage_of_2024_10_28_is_seen_in_the_minutes_it_lasted():
    start_ms = 1_730_145_600_000  # 20:00
    tape_5m = import_recorded(DATA, Market.PERP, "BTCUSDT", "5m", start_ms - HOUR_MS, start_ms + 2 * HOUR_MS)
    assert not validate_tape(tape_5m, LIMITS).ok_for_orders

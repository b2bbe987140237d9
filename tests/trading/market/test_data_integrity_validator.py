"""Each rule: what triggers it, and what right beside it does not. And years of real hours that raise no false alarm."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import DATA, needs_data
from tests.trading.market.samples import HOUR_MS, START_MS, bar, bars_of, tape
from trading.domain.instrument import Market
from trading.domain.market import Bar, FundingNow, Quote
from trading.market.data_integrity_validator import (
    FailureRow,
    Seen,
    ValidatorSettings,
    longest_run,
    validate_bar,
    validate_funding,
    validate_quote,
    validate_tape,
)
from trading.market.importers import import_recorded
from trading.market.validator_rules import RULES, Action, RuleId, Verdict, merge

LIMITS = ValidatorSettings()
NOW_MS = START_MS + 10 * HOUR_MS
QUOTE = Quote(Market.PERP, "BTCUSDT", 99.9, 100.1, 3.0, 4.0, NOW_MS - 1000)
FUNDING = FundingNow("BTCUSDT", 1e-4, NOW_MS + HOUR_MS, 8 * HOUR_MS, 0.003, 100.0, 100.0, NOW_MS - 1000)
GOOD = bar(9)


def quote(**changes: object) -> Verdict:
    return validate_quote(replace(QUOTE, **changes), LIMITS, now_ms=NOW_MS)


def quoted_after(minutes: float, mid: float) -> Verdict:
    before = replace(QUOTE, at_ms=QUOTE.at_ms - int(minutes * 60_000))
    return validate_quote(replace(QUOTE, bid=mid - 0.1, ask=mid + 0.1), LIMITS, now_ms=NOW_MS, previous=before)


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


def test_the_documents_table_of_rules_is_the_codes():
    document = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
    stops = {Action.WARN: "nothing, it is noted", Action.BLOCK_ORDERS: "orders"}
    stops[Action.BLOCK_RESEARCH] = "research and orders"
    lines = [line.split("|")[1:-1] for line in document.splitlines() if line.startswith("| `")]
    rows = [[cell.strip(" `") for cell in cells] for cells in lines if len(cells) == 5]
    written = {row[0]: (row[3], row[4]) for row in rows}
    assert written == {rule: (f"-{RULES[rule].penalty}", stops[RULES[rule].action]) for rule in RuleId}


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

"""A history in one pass is judged as bar by bar; and no distance between prices makes a move immune."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.market.samples import START_MS, bars_of
from trading.domain.instrument import Instrument, Market
from trading.domain.market import INTERVAL_MS
from trading.market.checks.moves import RECENT, RETURNS_MIN, judge_move, robust_scale, robust_scales
from trading.market.checks.rules import RuleId
from trading.market.data_integrity_validator import (
    Recent,
    ValidatorSettings,
    missing_settlements,
    recent_at,
    scan_tape,
    validate_bar,
)
from trading.market.rolling import RecentPrices, RollingBars
from trading.market.tape import Funding, Tape, make_tape

LIMITS = ValidatorSettings()
STEPS = Instrument(
    Market.PERP, "BTCUSDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.5"), Decimal("0.5"), Decimal(100), Decimal(5)
)
HOUR_MS = 3_600_000


def wild_tape(seed: int, *, bars: int = 260, interval: str = "5m") -> Tape:
    """A market with everything in it: crashes, wicks, gaps, halts, repeated bars, a spot market that strays."""
    random = np.random.default_rng(seed)
    returns = 0.002 * random.standard_t(2.5, bars)
    returns[random.integers(0, bars, 3)] += random.choice([-0.5, -0.08, 0.05, 0.3], 3)
    close = np.round(100.0 * np.exp(np.cumsum(np.clip(returns, -0.7, 0.7))), 1) + 1.0
    close[random.random(bars) < 0.02] += 0.05  # off the tick
    opened = np.concatenate(([close[0]], close[:-1]))
    wick = np.where(random.random(bars) < 0.03, 1.06, 1.0)
    high, low = np.maximum(opened, close) * wick, np.minimum(opened, close)
    volume = np.round(random.integers(1, 20, bars) * 0.5 + 0.2 * (random.random(bars) < 0.02), 1)
    columns = {"open": opened, "high": high, "low": low, "close": close, "volume_base": volume}
    start = int(random.integers(0, bars - 20))
    for column in columns.values():
        column[start : start + 12] = column[start]  # the feed repeats itself
    columns["volume_base"][start : start + 4] = [3.0, 4.0, 3.5, 5.0]  # after a quiet moment that is none
    halt = int(random.integers(0, bars - 20))
    columns["volume_base"][halt : halt + int(random.integers(1, 12))] = 0.0
    span_ms = INTERVAL_MS[interval]
    times = START_MS + span_ms * np.cumsum(1 + np.where(random.random(bars) < 0.02, random.integers(1, 9, bars), 0))
    spot = columns["close"] * (1.0 + 0.012 * random.standard_normal(bars))
    spot[random.random(bars) < 0.1] = np.nan
    return make_tape(
        Tape(Market.PERP, "BTCUSDT", interval, "recorded", times, **columns, funding=Funding.none(), gaps=(),
             content_hash="", spot_close=spot)
    )  # fmt: skip


@given(seed=st.integers(0, 2**32 - 1), knows_steps=st.booleans(), knows_spot=st.booleans())
@settings(max_examples=12, deadline=None)
def test_a_history_in_one_pass_is_judged_as_bar_by_bar(seed: int, knows_steps: bool, knows_spot: bool):
    tape, instrument = wild_tape(seed), STEPS if knows_steps else None
    spot = tape.spot_close if knows_spot else np.full(len(tape), np.nan)
    rolling = RollingBars(tape.market, tape.symbol, tape.interval, keep_bars=50)
    one_by_one = []
    for bar, price in zip(bars_of(tape), spot.tolist(), strict=True):
        seen = rolling.seen(second_price=None if np.isnan(price) else price, instrument=instrument)
        one_by_one += [(bar.open_time_ms, finding) for finding in validate_bar(bar, LIMITS, seen).findings]
        rolling.append(bar)
    scanned = scan_tape(tape, LIMITS, second_close=spot, instrument=instrument)
    assert [(found.open_time_ms, found.finding) for found in scanned] == one_by_one
    assert scanned, "the market is wild enough to say something"


def test_the_scales_of_many_places_are_the_scale_of_each():
    tape = wild_tape(3)
    places = np.arange(RECENT, len(tape), 7)
    each = [robust_scale(recent_at(tape, i)) for i in places.tolist()]
    assert robust_scales(tape.open_time_ms, tape.close, places).tolist() == pytest.approx(each, rel=1e-12)
    assert robust_scale(recent_at(tape, RETURNS_MIN)) is None


@given(
    apart_minutes=st.floats(0.01, 60 * 24 * 60),
    sampled_minutes=st.floats(0.02, 1440),
    move_pct=st.floats(0.0001, 30.0),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_however_far_apart_prices_are_and_however_wild_the_market_some_move_is_stopped(
    apart_minutes: float, sampled_minutes: float, move_pct: float, seed: int
):
    random = np.random.default_rng(seed)
    price = 100.0 * np.exp(np.cumsum(move_pct / 100.0 * random.standard_normal(RECENT)))
    recent = Recent((START_MS + sampled_minutes * 60_000 * np.arange(RECENT)).astype(np.int64), price)
    blocking = {RuleId.JUMP, RuleId.SPIKE}
    told = list(judge_move(LIMITS.jump_cap_pct / 100.0 + 0.001, apart_minutes, recent, LIMITS, "x"))
    assert {finding.rule for finding in told} & blocking, "a move beyond the cap is stopped at any distance"
    alone = list(judge_move(LIMITS.jump_cap_pct / 100.0 + 0.001, apart_minutes, None, LIMITS, "x"))
    assert RuleId.JUMP in {told.rule for told in alone}, "also with nothing known of the moves before"
    still = list(judge_move(LIMITS.spike_min_pct / 100.0, apart_minutes, recent, LIMITS, "x"))
    assert not {finding.rule for finding in still} & blocking, "and a small one never"


@pytest.mark.parametrize("interval", ["1m", "5m", "15m", "1h", "4h", "1d"])
def test_a_spike_is_caught_at_every_sampling_distance_of_a_calm_market(interval: str):
    random = np.random.default_rng(5)
    minutes = INTERVAL_MS[interval] / 60_000
    daily = 0.01  # of a calm coin
    price = 100.0 * np.exp(np.cumsum(daily * np.sqrt(minutes / 1440) * random.standard_normal(RECENT)))
    recent = Recent(START_MS + INTERVAL_MS[interval] * np.arange(RECENT), price)
    usual_pct = LIMITS.spike_scales_max * daily * np.sqrt(minutes / 1440) * 100.0
    move = 1.5 * max(LIMITS.spike_min_pct, min(usual_pct, LIMITS.jump_cap_pct)) / 100.0
    told = {finding.rule for finding in judge_move(move, minutes, recent, LIMITS, "x")}
    assert told & {RuleId.SPIKE, RuleId.JUMP}, usual_pct
    assert not list(judge_move(0.5 * move, minutes, recent, LIMITS, "x"))


def test_a_price_that_bounces_between_bid_and_ask_has_a_scale():
    bounce = Recent(START_MS + 60_000 * np.arange(RECENT), 100.0 + np.arange(RECENT) % 2)
    assert robust_scale(bounce) == pytest.approx(0.01475, rel=0.01)


def test_the_newest_prices_are_kept_without_a_copy_and_time_never_runs_back():
    prices, told = RecentPrices(), []
    for i in range(20 * RECENT):
        prices.append(START_MS + i, 1.0 + i)
        told.append(1.0 + i)
        prices.append(START_MS + i, 5.0)
        view = prices.view()
        assert view.price.tolist() == told[-RECENT:]
    assert (np.diff(view.at_ms) > 0).all()


@given(
    st.lists(st.sampled_from([1, 4, 8]), min_size=1, max_size=4).flatmap(
        lambda regimes: st.tuples(st.just(regimes), st.lists(st.integers(4, 12), min_size=4, max_size=4))
    ),
    st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_a_settlement_that_is_left_out_is_missed_whatever_the_intervals_were(
    plan: tuple[list[int], list[int]], pick: int
):
    regimes, counts = plan
    hours = np.cumsum([0, *(step for step, count in zip(regimes, counts, strict=False) for _ in range(count))])
    times = (START_MS + hours * HOUR_MS).tolist()
    assert missing_settlements(times) == []
    steps = np.diff(hours)
    # between two steps of its own regime: at a change of interval one settlement less is another change, no gap
    inside = [i for i in range(2, len(times) - 2) if len(set(steps[i - 2 : i + 2].tolist())) == 1]
    left_out = inside[pick % len(inside)] if inside else None
    if left_out is not None:
        found = missing_settlements([ms for i, ms in enumerate(times) if i != left_out])
        assert [(gap.after_ms, gap.count) for gap in found] == [(times[left_out - 1], 1)]


def test_a_tape_of_a_calm_market_says_nothing():
    calm = wild_tape(1)
    price = 100.0 + np.arange(len(calm)) % 3
    same = dict.fromkeys(("open", "close"), price)
    times = START_MS + 300_000 * np.arange(len(calm), dtype=np.int64)
    flat = replace(calm, **same, high=price + 1, low=price - 1, spot_close=price, open_time_ms=times)
    flat = replace(flat, volume_base=np.arange(1.0, len(calm) + 1))
    assert scan_tape(make_tape(flat), LIMITS) == []

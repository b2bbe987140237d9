"""A market with nothing to find: its direction is chance, all else is the recorded market's."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ai_brain.calibration.null_market import BLOCK_MS, FUNDING_MS, after_the_wildest, null_market
from tests.ai_brain.tapes import wandering_tape
from tests.conftest import DATA, needs_data
from trading.domain.clock import parse_iso
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.market.importers import import_recorded
from trading.market.tape import Tape, make_tape

Floats = NDArray[np.float64]
YEARS_3 = 26_280
SEEDS = range(60)
LAGS = (1, 2, 3, 6, 12, 24)


@cache
def recorded() -> Tape:
    return import_recorded(DATA, Market.PERP, "BTCUSDT", "1h", start_ms=parse_iso("2021-01-01T00:00:00Z"))


@cache
def returns_of_many() -> Floats:
    """(seeds, 2 x bars) simple returns from close to open and from open to close, in their order."""
    found = []
    for seed in SEEDS:
        market = null_market(recorded(), bars=YEARS_3, seed=seed)
        prices = np.column_stack((market.open, market.close)).ravel()
        found.append(prices[1:] / prices[:-1] - 1.0)
    return np.array(found)


def close_to_close(steps: Floats) -> Floats:
    """(bars - 1,) from the returns of both steps."""
    return (1.0 + steps[1::2]) * (1.0 + steps[2::2]) - 1.0


def autocorrelation(values: Floats, lag: int) -> float:
    centred = values - values.mean()
    return float((centred[lag:] * centred[:-lag]).mean() / (centred * centred).mean())


def within_4_standard_errors(values: Floats) -> bool:
    return bool(abs(values.mean()) <= 4.0 * values.std(ddof=1) / np.sqrt(len(values)))


@given(st.integers(0, 2**32 - 1), st.integers(1, 1200), st.integers(20, 900))
@settings(max_examples=60, deadline=None)
def test_whatever_the_source_and_the_length_it_is_a_tape_that_says_it_is_made_up(seed: int, bars: int, n: int) -> None:
    source = wandering_tape(n, seed=seed % 1000)
    market = null_market(source, bars=bars, seed=seed)  # make_tape refuses a high below the rest, a hole, a bad price
    assert len(market) == bars
    assert market.origin == "synthetic"
    assert market.gaps == ()
    assert (market.market, market.symbol, market.interval) == (source.market, source.symbol, source.interval)
    assert market.content_hash == null_market(source, bars=bars, seed=seed).content_hash
    inside = (market.funding.time_ms > market.start_ms) & (market.funding.time_ms <= market.end_ms)
    assert inside.all()
    assert (market.funding.time_ms % FUNDING_MS == 0).all()
    assert len(market.funding.time_ms) == market.end_ms // FUNDING_MS - market.start_ms // FUNDING_MS


def test_another_seed_gives_another_market() -> None:
    source = wandering_tape(400)
    assert null_market(source, bars=400, seed=1).content_hash != null_market(source, bars=400, seed=2).content_hash


def test_every_bar_is_a_bar_of_the_source_or_its_mirror_image_with_the_sources_volume() -> None:
    source = wandering_tape(300)
    market = null_market(source, bars=700, seed=3)
    by_volume = {volume: bar for bar, volume in enumerate(source.volume_base)}
    drawn = np.array([by_volume[volume] for volume in market.volume_base])
    steps = np.concatenate(([0.0], source.open[1:] / source.close[:-1] - 1.0))
    way = {name: getattr(source, name)[drawn] / source.open[drawn] - 1.0 for name in ("high", "low", "close")}
    new = {name: getattr(market, name) / market.open - 1.0 for name in ("high", "low", "close")}
    turned = np.sign(new["close"]) != np.sign(way["close"])
    assert 250 < turned.sum() < 450
    assert new["close"] == pytest.approx(np.where(turned, -1, 1) * way["close"], abs=1e-12)
    assert new["high"] == pytest.approx(np.where(turned, -way["low"], way["high"]), abs=1e-12)
    assert new["low"] == pytest.approx(np.where(turned, -way["high"], way["low"]), abs=1e-12)
    assert np.abs(market.open[1:] / market.close[:-1] - 1.0) == pytest.approx(np.abs(steps[drawn[1:]]), abs=1e-12)
    assert market.open[0] == np.median(source.close)
    goes_on = (np.diff(drawn) % 300 == 1).mean()
    assert goes_on == pytest.approx(1.0 - 3_600_000 / BLOCK_MS, abs=0.02)


def test_funding_is_the_rate_that_held_where_the_bar_was_drawn_with_a_sign_of_its_own() -> None:
    source = wandering_tape(2000)
    settled = source.funding
    source = make_tape(replace(source, funding=replace(settled, rate=1e-6 * np.arange(1.0, len(settled.rate) + 1))))
    market = null_market(source, bars=2000, seed=5)
    by_volume = {volume: bar for bar, volume in enumerate(source.volume_base)}
    signs = []
    for time_ms, rate in zip(market.funding.time_ms, market.funding.rate, strict=True):
        place = min(int((time_ms - market.start_ms) // market.interval_ms), len(market) - 1)
        opened = source.open_time_ms[by_volume[market.volume_base[place]]]
        held = settled.time_ms <= opened
        assert abs(rate) == pytest.approx(1e-6 * max(1, held.sum()))
        signs.append(np.sign(rate))
    assert abs(np.mean(signs)) < 4.0 / np.sqrt(len(signs))
    assert np.isnan(market.funding.mark_price).all()
    assert len(null_market(wandering_tape(50, market=Market.SPOT), bars=50, seed=1).funding.rate) == 0


def test_a_bar_that_has_no_mirror_image_and_a_market_without_bars_are_refused() -> None:
    source = wandering_tape(50)
    high = source.high.copy()
    high[20] = 2.5 * source.open[20]
    with pytest.raises(DataProviderError, match=r"bar 20 at .* moves by 150%"):
        null_market(make_tape(replace(source, high=high)), bars=50, seed=1)
    with pytest.raises(ValueError, match="bars=0"):
        null_market(source, bars=0, seed=1)


def test_even_of_a_market_that_only_rises_nothing_is_left_neither_from_close_to_close_nor_from_open_to_open() -> None:
    factors = np.full(2 * 400, 1.02)  # by 2 % from each close to the next open, and by 2 % again to the close
    factors[0] = 1.0
    prices = np.cumprod(factors)
    opened, closed = prices[::2], prices[1::2]
    source = replace(wandering_tape(400), open=opened, high=closed, low=opened, close=closed)
    markets = [null_market(make_tape(source), bars=5000, seed=seed) for seed in SEEDS]
    for column in ("open", "close"):
        found = [(getattr(market, column)[1:] / getattr(market, column)[:-1] - 1.0).mean() for market in markets]
        assert within_4_standard_errors(np.array(found))


@needs_data
def test_its_mean_return_is_zero_whatever_came_before() -> None:
    steps = returns_of_many()
    assert within_4_standard_errors(steps.mean(axis=1))
    for condition in (np.sign(steps[:, :-1]), np.sign(steps[:, :-1]) * np.abs(steps[:, :-1]) ** 2):
        assert within_4_standard_errors((steps[:, 1:] * condition).mean(axis=1))
    risen = np.cumsum(steps, axis=1)  # the trend of a week, known at a close
    trend = np.sign(risen[:, 336:-2:2] - risen[:, :-338:2])
    assert within_4_standard_errors((steps[:, 337:-1:2] * trend).mean(axis=1))


@needs_data
@pytest.mark.parametrize("lag", LAGS)
def test_returns_have_no_memory(lag: int) -> None:
    assert within_4_standard_errors(np.array([autocorrelation(close_to_close(one), lag) for one in returns_of_many()]))


@needs_data
def test_calm_and_wild_hours_stay_together_as_in_the_source() -> None:
    source = recorded()
    theirs = np.abs(source.close[1:] / source.close[:-1] - 1.0)
    ours = [np.abs(close_to_close(one)) for one in returns_of_many()]
    assert np.mean([one.std() for one in ours]) == pytest.approx(theirs.std(), rel=0.05)
    for lag in LAGS:
        known = autocorrelation(theirs, lag)
        found = np.mean([autocorrelation(one, lag) for one in ours])
        # A block ends before the lag does with probability lag / 168, and what follows is as likely calm as wild.
        assert found == pytest.approx(known * (1.0 - 1.0 / 168.0) ** lag, abs=0.025)
        assert found == pytest.approx(known, abs=0.05)


@needs_data
def test_three_years_of_hours_stay_in_comfortable_prices() -> None:
    markets = [null_market(recorded(), bars=YEARS_3, seed=seed) for seed in range(20)]
    assert min(market.low.min() for market in markets) > 1e2
    assert max(market.high.max() for market in markets) < 1e7


def test_a_source_is_taken_from_after_the_last_bar_that_has_no_mirror_image() -> None:
    source = wandering_tape(400)
    high = source.high.copy()
    high[[50, 120]] *= 3.0
    wild = make_tape(replace(source, high=high))
    with pytest.raises(DataProviderError, match="turned round it has no price"):
        null_market(wild, bars=10, seed=1)
    kept = after_the_wildest(wild)
    assert (len(kept), kept.start_ms) == (279, int(source.open_time_ms[121]))
    assert len(null_market(kept, bars=10, seed=1)) == 10
    assert after_the_wildest(source) is source

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.trading.market.samples import bars_of
from trading.domain.instrument import Market
from trading.market.data_integrity_validator import Seen, ValidatorSettings, validate_bar
from trading.market.importers import import_recorded
from trading.market.parquet import span_of
from trading.market.synthetic import FUNDING_MS, Plan, SyntheticMarket, synthetic_market, write_layout

PLAN = Plan(bars=24 * 365)


@pytest.fixture(scope="module")
def market() -> SyntheticMarket:
    return synthetic_market(PLAN)


def test_it_says_what_it_is_and_repeats_to_the_bit(market: SyntheticMarket):
    again = synthetic_market(PLAN)
    assert market.spot.origin == market.perp.origin == "synthetic"
    assert (again.spot.content_hash, again.perp.content_hash) == (market.spot.content_hash, market.perp.content_hash)
    assert synthetic_market(replace(PLAN, seed=8)).spot.content_hash != market.spot.content_hash


def test_it_moves_like_a_market_and_can_be_predicted_by_nothing(market: SyntheticMarket):
    returns = np.diff(np.log(market.spot.close))
    volatility = returns.std() * np.sqrt(8760)
    assert 0.2 < volatility < 1.2
    assert ((returns / returns.std()) ** 4).mean() > 4.0, "fat tails"
    calm = np.corrcoef(np.abs(returns[1:]), np.abs(returns[:-1]))[0, 1]
    assert calm > 0.1, "volatility clusters"
    assert abs(np.corrcoef(returns[1:], returns[:-1])[0, 1]) < 4.0 / np.sqrt(len(returns)), "no memory in direction"
    assert (market.spot.high > market.spot.low).mean() > 0.99
    assert market.spot.open[1:] == pytest.approx(market.spot.close[:-1])


def test_funding_is_mostly_positive_and_every_eight_hours(market: SyntheticMarket):
    funding = market.perp.funding
    assert (np.diff(funding.time_ms) == FUNDING_MS).all()
    assert (funding.time_ms % FUNDING_MS == 0).all()
    assert 0.00003 < funding.rate.mean() < 0.0003
    assert (funding.rate > 0).mean() > 0.55
    assert (funding.rate < 0).any()
    assert np.isfinite(funding.mark_price).all()
    assert np.abs(market.perp.close / market.spot.close - 1.0).max() < 0.01


def test_the_validator_takes_it_for_a_sound_market(market: SyntheticMarket):
    settings, previous, blocked = ValidatorSettings(), None, 0
    for bar, spot in zip(bars_of(market.perp), market.spot.close.tolist(), strict=True):
        blocked += not validate_bar(bar, settings, Seen(previous, second_price=spot)).ok_for_orders
        previous = bar
    assert blocked == 0


def test_the_layout_it_is_written_in_is_read_back_the_same(tmp_path: Path, market: SyntheticMarket):
    written = write_layout(tmp_path, [market.spot, market.perp])
    assert [path.name for path in written] == [
        "spot_BTCUSDT_1h.parquet",
        "perp_BTCUSDT_1h.parquet",
        "mark_BTCUSDT_1h.parquet",
        "funding_BTCUSDT.parquet",
    ]
    assert import_recorded(tmp_path, Market.SPOT, "BTCUSDT", "1h").content_hash == market.spot.content_hash
    assert import_recorded(tmp_path, Market.PERP, "BTCUSDT", "1h").content_hash == market.perp.content_hash
    assert span_of(tmp_path / "mark_BTCUSDT_1h.parquet", "open_time") == (
        market.perp.start_ms, int(market.perp.open_time_ms[-1]), len(market.perp),
    )  # fmt: skip

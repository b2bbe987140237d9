"""A language model is told measured numbers or nothing."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from ai_brain.llm.grounding import ATR_BARS, MarketFacts, measure
from tests.ai_brain.tapes import END_MS, HOUR_MS, wandering_tape
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.market.tape import Funding, make_tape


def test_the_facts_are_those_of_the_tape():
    tape = wandering_tape()
    facts = measure(tape)
    assert (facts.symbol, facts.at_ms, facts.origin) == ("BTCUSDT", END_MS, "synthetic")
    assert facts.last_price == tape.close[-1]
    assert facts.return_7d_pct == pytest.approx(100 * (tape.close[-1] / tape.close[-1 - 168] - 1))
    assert facts.atr_pct == pytest.approx(100 * facts.atr_quote / facts.last_price)
    assert 35 < facts.volatility_apr_pct < 60  # 0.5 % an hour is 47 % a year
    assert facts.funding_rate == 0.0001
    assert facts.funding_apr_pct == pytest.approx(100 * 0.0001 * 3 * 365)
    assert facts.volume_quote_1d == pytest.approx(float((tape.volume_base[-24:] * tape.close[-24:]).sum()))


def test_the_basis_is_the_newest_that_both_markets_have_within_a_day():
    tape = wandering_tape()
    assert measure(tape).basis_rate is None
    closes = tape.close / 1.001
    closes[-1] = np.nan
    assert measure(make_tape(replace(tape, spot_close=closes))).basis_rate == pytest.approx(0.001)
    closes[-24:] = np.nan
    assert measure(make_tape(replace(tape, spot_close=closes))).basis_rate is None


def test_the_atr_is_wilders_from_the_first_bar_on():
    tape = wandering_tape(bars=900)
    ranges = [
        max(tape.high[i] - tape.low[i], abs(tape.high[i] - tape.close[i - 1]), abs(tape.low[i] - tape.close[i - 1]))
        for i in range(1, len(tape))
    ]
    average = sum(ranges[:ATR_BARS]) / ATR_BARS
    for value in ranges[ATR_BARS:]:
        average = (average * (ATR_BARS - 1) + value) / ATR_BARS
    assert measure(tape).atr_quote == pytest.approx(average, rel=1e-8)


def test_a_spot_market_has_no_funding_and_a_contract_must_have_it():
    assert measure(wandering_tape(market=Market.SPOT)).funding_rate is None
    tape = wandering_tape()
    with pytest.raises(DataProviderError, match="no settled funding of the last week"):
        measure(make_tape(replace(tape, funding=Funding.none())))


def test_a_short_tape_is_not_measured():
    with pytest.raises(DataProviderError, match="200 bars, 721 are needed"):
        measure(wandering_tape(bars=200))


def test_a_gap_in_the_last_month_is_not_measured_over():
    tape = wandering_tape()
    kept = np.delete(np.arange(len(tape)), 700)
    columns = {n: getattr(tape, n)[kept] for n in ("open_time_ms", "open", "high", "low", "close", "volume_base")}
    with pytest.raises(DataProviderError, match="bars are missing"):
        measure(make_tape(replace(tape, **columns)))


def test_a_market_that_stands_still_is_not_asked_about():
    tape = wandering_tape()
    flat = np.full(len(tape), 30_000.0)
    with pytest.raises(DataProviderError, match="has not moved in 30 days"):
        measure(make_tape(replace(tape, open=flat, high=flat, low=flat, close=flat)))


def test_a_market_without_volume_is_not_asked_about():
    tape = wandering_tape()
    with pytest.raises(DataProviderError, match="volume_quote_1d=0"):
        measure(make_tape(replace(tape, volume_base=np.zeros(len(tape)))))


@pytest.mark.parametrize("name", [f.name for f in fields(MarketFacts) if "float" in str(f.type)])
@pytest.mark.parametrize("missing", [float("nan"), float("inf")])
def test_no_fact_can_be_missing(name, missing):
    with pytest.raises(DataProviderError, match=f"{name}="):
        replace(measure(wandering_tape()), **{name: missing})


@pytest.mark.parametrize("name", ["last_price", "atr_quote", "atr_pct", "volatility_apr_pct", "volume_quote_1d"])
def test_no_fact_that_a_market_must_have_can_be_zero(name):
    with pytest.raises(DataProviderError, match=f"{name}=0"):
        replace(measure(wandering_tape()), **{name: 0.0})


def test_the_bars_of_the_future_do_not_reach_the_facts():
    tape = wandering_tape(bars=900)
    cut = tape.window(tape.start_ms, END_MS - 50 * HOUR_MS)
    assert measure(cut).at_ms == END_MS - 50 * HOUR_MS
    assert measure(cut).last_price == tape.close[-51]

"""The crashes: what they are made of, measured anew where the recorded data lie beside the checkout."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import DATA, needs_data
from trading.risk.stress import MAINTENANCE_RATE, SCENARIOS, worst_scenario
from trading.risk.value_at_risk import STRESSED, hedge_losses, tail_risk

SYMBOLS = ("BTCUSDT", "ETHUSDT", "XRPUSDT")
STRETCHES = {"march_2020": (1583625600000, 1584662400000), "november_2022": (1667692800000, 1669075200000)}
DAY_HOURS = 24
Columns = dict[str, NDArray[np.float64]]


def column(name: str, stretch: str, *, time: str = "open_time") -> Columns:
    start_ms, end_ms = STRETCHES[stretch]
    query = f"select * from read_parquet(?) where {time} >= ? and {time} < ? order by {time}"  # noqa: S608 - ours
    found: dict[str, Any] = duckdb.execute(query, [str(DATA / f"{name}.parquet"), start_ms, end_ms]).fetchnumpy()
    return found


def closes(market: str, symbol: str, stretch: str) -> dict[int, float]:
    bars = column(f"{market}_{symbol}_1h", stretch)
    return dict(zip(bars["open_time"].tolist(), bars["close"].tolist(), strict=True))


def widening(symbol: str, stretch: str) -> float:
    spot, perp = closes("spot", symbol, stretch), closes("perp", symbol, stretch)
    basis = np.array([perp[at] / spot[at] - 1 for at in sorted(spot.keys() & perp.keys())])
    return float((basis[DAY_HOURS:] - basis[:-DAY_HOURS]).max())


def paid_by_shorts(symbol: str, stretch: str) -> float:
    rates = column(f"funding_{symbol}", stretch, time="funding_time")["funding_rate"]
    return -float(np.convolve(rates, np.ones(9), "valid").min())


def rise(symbol: str, stretch: str) -> float:
    bars = column(f"mark_{symbol}_1h", stretch)
    low, high = bars["low"], bars["high"]
    return float(max(high[k] / low[max(0, k - DAY_HOURS) : k].min() - 1 for k in range(1, len(high))))


def five_minute_fall(stretch: str) -> float:
    month = {"march_2020": "2020-03", "november_2022": "2022-11"}[stretch]
    bars = column(f"spot_BTCUSDT_1m_{month}", stretch)
    lowest = np.lib.stride_tricks.sliding_window_view(bars["low"], 5).min(axis=1)[1:]
    return -float((lowest / bars["close"][: len(lowest)] - 1).min())


@needs_data
@pytest.mark.parametrize("scenario", SCENARIOS[:2], ids=lambda s: s.id)
def test_every_number_of_a_recorded_crash_is_what_the_data_say(scenario: Any) -> None:
    measured = {
        "naked_fall_rate": five_minute_fall(scenario.id),
        "basis_rate": max(widening(symbol, scenario.id) for symbol in SYMBOLS),
        "funding_rate": max(paid_by_shorts(symbol, scenario.id) for symbol in SYMBOLS),
        "rise_rate": max(rise(symbol, scenario.id) for symbol in SYMBOLS),
    }
    for name, value in measured.items():
        said = getattr(scenario, name)
        assert value <= said + 1e-4, (name, value, said)
        assert said == pytest.approx(value, abs=0.001), name


@needs_data
def test_the_stressed_tail_is_the_worst_stretch_on_record() -> None:
    tails = [
        tail_risk(hedge_losses(closes("spot", symbol, stretch), closes("perp", symbol, stretch)))
        for symbol in SYMBOLS
        for stretch in STRETCHES
    ]
    assert STRESSED.var_rate == pytest.approx(max(tail.var_rate for tail in tails), abs=2e-4)
    assert STRESSED.shortfall_rate == pytest.approx(max(tail.shortfall_rate for tail in tails), abs=2e-4)
    assert STRESSED.var_rate >= max(tail.var_rate for tail in tails)
    assert STRESSED.shortfall_rate >= max(tail.shortfall_rate for tail in tails)


def test_the_october_like_fall_is_the_one_between_its_two_anchors() -> None:
    october = SCENARIOS[2]
    assert october.naked_fall_rate == pytest.approx(1 - 102_000.00 / 126_199.63, abs=1e-4)
    assert october.basis_rate == pytest.approx(1 - 101_516.50 / 102_000.00, abs=1e-4)
    assert "assumed" in october.source


def test_a_short_whose_margin_the_rise_exceeds_is_liquidated_on_top() -> None:
    march = SCENARIOS[0]
    assert march.loss_rate(2) == pytest.approx(march.loss_rate(1) + MAINTENANCE_RATE)
    assert worst_scenario(1).id == "october_2025_like"
    assert all(worst_scenario(leverage).loss_rate(leverage) >= 0.2 for leverage in (1, 2, 3))

"""Search, purge, validation, and what a backtest predicts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_brain.evidence.prediction import predicted_bands
from ai_brain.evidence.windows import Window, cut, parts, search_window, validation_window
from trading.domain.instrument import Market
from trading.market.tape import Funding, Tape, make_tape

HOUR_MS = 3_600_000


def tape(bars: int) -> Tape:
    price = np.linspace(100.0, 110.0, bars)
    return make_tape(
        Tape(
            Market.SPOT,
            "BTCUSDT",
            "1h",
            "synthetic",
            np.arange(bars) * HOUR_MS,
            *(price.copy() for _ in range(4)),
            np.ones(bars),
            Funding.none(),
            (),
            "",
        )
    )


@given(st.integers(50, 5000), st.floats(0.1, 0.9), st.integers(-3, 10_000), st.integers(1, 24))
def test_no_bar_is_both_searched_and_judged_and_the_parts_are_the_whole(
    bars: int, share: float, holding: int, count: int
) -> None:
    search = search_window(bars, search_fraction=share)
    judged = validation_window(bars, search, holding_bars=holding)
    assert 0 == search.first <= search.stop <= judged.first <= judged.stop == bars
    assert judged.bars >= 0.9 * (bars - search.stop) - 1
    pieces = parts(judged, count)
    assert [pieces[0].first, pieces[-1].stop] == [judged.first, judged.stop]
    assert all(a.stop == b.first for a, b in pairwise(pieces))


def test_the_purge_is_as_long_as_the_longest_trade() -> None:
    assert validation_window(1000, Window(0, 600), holding_bars=25).first == 625
    assert validation_window(1000, Window(0, 600), holding_bars=500).first == 640


def test_a_cut_brings_its_bars_and_not_one_more() -> None:
    piece = cut(tape(100), Window(40, 60))
    assert (piece.start_ms, piece.end_ms) == (40 * HOUR_MS, 60 * HOUR_MS)


def test_bands_hold_what_the_curve_did_and_take_the_entry_cost_off_the_low_end() -> None:
    curve = 10_000.0 * 1.0001 ** np.arange(1000)
    bands = predicted_bands([curve], bars_per_hour=1.0, entry_cost_fraction=0.002)
    assert [band.bars for band in bands] == [24, 48, 72, 120, 168, 240]
    for band in bands:
        grown = 1.0001**band.bars - 1.0
        assert band.high == pytest.approx(grown, rel=1e-9)
        assert band.low == pytest.approx(grown - 0.002, rel=1e-9)


def test_a_curve_too_short_predicts_nothing() -> None:
    assert predicted_bands([np.full(60, 1.0)], bars_per_hour=1.0, entry_cost_fraction=0.0) == ()


def test_no_predicted_stretch_spans_two_curves() -> None:
    low, high = np.full(200, 1.0), np.full(200, 2.0)
    bands = predicted_bands([low, high], bars_per_hour=1.0, entry_cost_fraction=0.0)
    assert {(band.low, band.high) for band in bands} == {(0.0, 0.0)}

"""Search, then a chain of judged stretches, then the vault, each past a purge; and what a backtest predicts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_brain.evidence.prediction import predicted_bands
from ai_brain.evidence.windows import (
    MAX_PURGE_FRACTION,
    Window,
    between,
    purged,
    search_window,
    shares,
    until,
    vault_window,
)
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


@given(
    st.integers(100, 5000),
    st.floats(0.1, 0.5),
    st.floats(0.1, 0.4),
    st.lists(st.integers(-3, 10_000), min_size=24),
    st.integers(1, 24),
)
def test_no_bar_is_searched_or_judged_twice_and_every_judged_stretch_lies_past_its_purge(
    bars: int, searched: float, sealed: float, holdings: list[int], count: int
) -> None:
    search, vault = search_window(bars, search_fraction=searched), vault_window(bars, vault_fraction=sealed)
    rest = between(search, vault)
    cut = shares(rest, count)
    assert (search.first, search.stop, cut[-1].stop, vault.stop) == (0, rest.first, vault.first, bars)
    assert (search.bars, vault.bars) == (int(bars * searched), int(bars * sealed))
    assert all(a.stop == b.first for a, b in pairwise(cut))
    assert max(piece.bars for piece in cut[:-1] or cut) - cut[0].bars == 0
    judged = [purged(piece, holding_bars=holding) for piece, holding in zip(cut, holdings, strict=False)]
    for before, after, piece, holding in zip([search, *judged], judged, cut, holdings, strict=False):
        left_out = after.first - before.stop
        assert left_out == min(max(holding, 0), int(piece.bars * MAX_PURGE_FRACTION))
        assert after.stop == piece.stop
    assert sum(window.bars for window in judged) >= (1.0 - MAX_PURGE_FRACTION) * rest.bars


def test_the_purge_is_as_long_as_the_longest_trade_up_to_a_quarter_of_the_share() -> None:
    assert purged(Window(600, 700), holding_bars=24) == Window(624, 700)
    assert purged(Window(600, 700), holding_bars=500) == Window(625, 700)


def test_a_stretch_comes_with_every_bar_before_it_and_none_after() -> None:
    piece = until(tape(100), Window(40, 60))
    assert (piece.start_ms, piece.end_ms) == (0, 60 * HOUR_MS)


def test_bands_hold_what_the_curve_did_and_take_the_entry_cost_off_the_low_end() -> None:
    curve = 10_000.0 * 1.0001 ** np.arange(1000)
    bands = predicted_bands(curve, bars_per_hour=1.0, entry_cost_fraction=0.002)
    assert [band.bars for band in bands] == [24, 48, 72, 120, 168, 240]
    for band in bands:
        grown = 1.0001**band.bars - 1.0
        assert band.high == pytest.approx(grown, rel=1e-9)
        assert band.low == pytest.approx(grown - 0.002, rel=1e-9)


def test_a_curve_too_short_predicts_nothing() -> None:
    assert predicted_bands(np.full(60, 1.0), bars_per_hour=1.0, entry_cost_fraction=0.0) == ()

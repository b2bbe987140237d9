"""The price inside a bar, and when it is crossed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.exchange.path import Path, guided_path, seeded_path

PRICES = st.floats(min_value=0.01, max_value=1e5, allow_nan=False)


@st.composite
def bars(draw: st.DrawFn) -> tuple[float, float, float, float]:
    four = sorted(draw(st.lists(PRICES, min_size=4, max_size=4)))
    opened, closed = draw(st.permutations(four[1:3]))
    return opened, four[3], four[0], closed


def check_bar(path: Path, ohlc: tuple[float, float, float, float], start_ms: float, step_ms: float) -> None:
    opened, high, low, close = ohlc
    assert path.prices[0] == opened
    assert path.prices[-1] == close
    assert path.prices.max() == high
    assert path.prices.min() == low
    assert path.times_ms[0] == start_ms
    assert path.times_ms[-1] == pytest.approx(start_ms + step_ms)
    assert (np.diff(path.times_ms) >= 0).all()


@given(bars(), st.integers(0, 1000))
def test_a_path_starts_at_the_open_touches_high_and_low_and_ends_at_the_close(
    ohlc: tuple[float, float, float, float], seed: int
) -> None:
    check_bar(seeded_path(ohlc, start_ms=60_000.0, step_ms=60_000.0, key=[seed]), ohlc, 60_000.0, 60_000.0)


@given(bars(), st.lists(bars(), min_size=2, max_size=5))
def test_a_guided_path_does_so_too(
    ohlc: tuple[float, float, float, float], finer: list[tuple[float, float, float, float]]
) -> None:
    guides = [seeded_path(bar, start_ms=i * 60_000.0, step_ms=60_000.0, key=[i]) for i, bar in enumerate(finer)]
    check_bar(guided_path(ohlc, guides=guides), ohlc, 0.0, len(finer) * 60_000.0)


@given(bars(), st.integers(0, 1000))
def test_a_path_is_the_same_for_the_same_key_and_another_for_another(
    ohlc: tuple[float, float, float, float], seed: int
) -> None:
    first, again, other = (
        seeded_path(ohlc, start_ms=0.0, step_ms=60_000.0, key=[key]) for key in (seed, seed, seed + 1)
    )
    assert (first.prices == again.prices).all()
    if ohlc[1] - ohlc[2] > 1.0:
        assert not np.array_equal(first.prices, other.prices)


@given(bars(), st.floats(0, 59_000), st.floats(0, 1), PRICES, st.booleans())
def test_a_crossing_is_the_first_moment_beyond_the_price(
    ohlc: tuple[float, float, float, float], from_ms: float, share: float, price: float, below: bool
) -> None:
    path = seeded_path(ohlc, start_ms=0.0, step_ms=60_000.0, key=[7])
    to_ms = from_ms + share * (60_000.0 - from_ms)
    found = path.first_beyond(from_ms, to_ms, price, below=below)
    moments = np.linspace(from_ms, to_ms, 400)
    beyond = [m for m in moments if (path.at(m) < price - 1e-6 if below else path.at(m) > price + 1e-6)]
    if found is None:
        assert not beyond
    else:
        assert from_ms <= found <= to_ms
        assert path.at(found) == pytest.approx(price, rel=1e-6) or found == from_ms
        assert not beyond or found <= beyond[0]


@given(bars(), st.floats(0, 60_000))
def test_extremes_hold_everything_up_to_a_moment(ohlc: tuple[float, float, float, float], upto_ms: float) -> None:
    path = seeded_path(ohlc, start_ms=0.0, step_ms=60_000.0, key=[3])
    high, low = path.extremes(upto_ms)
    seen = [path.at(ms) for ms in np.linspace(0, upto_ms, 200)]
    assert max(seen) <= high + 1e-9
    assert min(seen) >= low - 1e-9
    assert ohlc[2] <= low <= high <= ohlc[1]

"""Every indicator of the catalogue against its plain definition, in one piece and bar by bar, with its warm-up."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.registry import CPUDispatcher

from tests import naive
from tests.trading.simulator.markets import bars_of, random_tape
from trading.market.tape import Tape
from trading.simulator import indicators, volume_indicators, window_extremes, windows
from trading.simulator.chunk import Chunk, Memory, frozen
from trading.simulator.recipes import RECIPES
from trading.simulator.settlements import settled_at
from trading.strategy.indicator_catalogue import INDICATORS, complete_arguments


def chunk(tape: Tape, first: int, stop: int) -> Chunk:
    columns = (tape.open_time_ms, tape.open, tape.high, tape.low, tape.close, tape.volume_base)
    closes = tape.open_time_ms + tape.interval_ms
    settled = settled_at(tape.funding, closes[first:stop], since_ms=int(closes[first - 1]) if first else 0)
    basis = frozen(tape.close[first:stop] / tape.spot_close[first:stop] - 1.0)
    return Chunk(*(column[first:stop] for column in columns), frozen(np.zeros(stop - first)), basis, settled)


def feed(name: str, arguments: tuple[float, ...], tape: Tape, *, pieces: list[int]) -> np.ndarray:
    recipe = RECIPES[name](Memory(), *arguments)
    edges = [0, *sorted(pieces), len(tape)]
    with np.errstate(all="ignore"):
        return np.concatenate([recipe(chunk(tape, a, b)) for a, b in itertools.pairwise(edges)])


def short_arguments(name: str, data: st.DataObject) -> tuple[float, ...]:
    given_ = [
        data.draw(st.integers(max(2, int(p.low)), 9) if p.is_whole else st.sampled_from([0.5, 2.0]))
        for p in INDICATORS[name].parameters
    ]
    if name.startswith("macd") and given_[0] >= given_[1]:
        given_[1] = given_[0] + 2
    return complete_arguments(name, tuple(given_))


MAY_HAVE_NO_VALUE_LATER = (
    "vwap",
    "volume_ratio",
    "vwap_session",
    "funding_mean",
    "funding_apr",
    "basis_mean",
    "basis_zscore",
)


def test_every_indicator_of_the_language_has_a_recipe_and_a_twin() -> None:
    assert set(INDICATORS) == set(RECIPES) == set(naive.INDICATORS)


@pytest.mark.parametrize("name", sorted(INDICATORS))
@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 2**31), data=st.data())
def test_an_indicator_equals_its_definition_and_has_its_documented_warm_up(name: str, seed: int, data) -> None:
    tape = random_tape(seed, 60)
    arguments = short_arguments(name, data)
    found = feed(name, arguments, tape, pieces=[])
    expected = naive.INDICATORS[name](bars_of(tape), *arguments)
    lookback = INDICATORS[name].lookback_bars(arguments)
    assert np.isnan(found[:lookback]).all()
    if name not in MAY_HAVE_NO_VALUE_LATER:
        assert not np.isnan(found[lookback:]).any()
    scale = {"bb_upper": 100.0, "obv": 1e5}.get(name, 1.0)
    np.testing.assert_allclose(found, [np.nan if v is None else v for v in expected], rtol=1e-9, atol=1e-9 * scale)


@pytest.mark.parametrize("name", sorted(INDICATORS))
@settings(deadline=None, max_examples=6)
@given(seed=st.integers(0, 2**31), pieces=st.lists(st.integers(0, 50), max_size=6), data=st.data())
def test_fed_in_pieces_it_gives_the_same_bits_as_in_one(name: str, seed: int, pieces: list[int], data) -> None:
    tape = random_tape(seed, 50)
    arguments = short_arguments(name, data)
    whole, parts = feed(name, arguments, tape, pieces=[]), feed(name, arguments, tape, pieces=pieces)
    assert whole.tobytes() == parts.tobytes()


def test_a_session_that_a_tape_begins_inside_of_has_no_average() -> None:
    tape = random_tape(3, 60, wild=False)  # its first bar opens at midnight
    whole = feed("vwap_session", (), tape, pieces=[])
    later = RECIPES["vwap_session"](Memory())(chunk(tape, 7, 60))
    assert not np.isnan(whole).any()
    assert np.isnan(later[:17]).all()
    assert later[17:].tobytes() == whole[24:].tobytes()


X = np.abs(np.linspace(1.0, 2.0, 40) + np.sin(np.arange(40))) + 1.0
"""Stands for every column; 40 bars."""


def filled(kernel: Callable[..., None], *arguments: object, outs: int = 1) -> Callable[..., np.ndarray]:
    """Call a kernel on cut columns: callables among the arguments make a column of x, arrays are state, copied."""

    def call(x: np.ndarray) -> np.ndarray:
        given_ = [a(x) if callable(a) else a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
        made = [np.empty(len(x)) for _ in range(outs)]
        kernel(*given_, *made)
        return np.concatenate([out[None] for out in made])

    return call


def same(x: np.ndarray) -> np.ndarray:
    return x


def low(x: np.ndarray) -> np.ndarray:
    return frozen(x * 0.9)


def after_four(x: np.ndarray) -> np.ndarray:
    """For kernels that scan: what a feed puts in front of the new values."""
    return frozen(np.concatenate((np.full(4, np.nan), x)))


def hours(x: np.ndarray) -> np.ndarray:
    stamps = np.arange(1, len(x) + 1, dtype=np.int64) * 3_600_000
    stamps.flags.writeable = False
    return stamps


def every_other(x: np.ndarray) -> np.ndarray:
    known = np.arange(len(x), dtype=np.int64) // 2
    known.flags.writeable = False
    return known


N5, N6 = np.zeros(5), np.zeros(6)
CAUSAL = {
    "window_mean": filled(windows.window_mean, same, N5, N6, np.zeros(4)),
    "window_weighted_mean": filled(windows.window_weighted_mean, same, N5, N6, np.zeros(5)),
    "window_spread": filled(windows.window_spread, same, windows.BAND, 2.0, 0, N5, N5, N5, N5),
    "window_share": filled(windows.window_share, low, same, 0.5, N5, N5, np.zeros(4)),
    "window_extreme": filled(window_extremes.window_extreme, after_four, 5, 1.0),
    "window_channel": filled(windows.window_channel, after_four, 5),
    "window_rank": filled(windows.window_rank, after_four, 5),
    "window_change": filled(windows.window_change, same, np.full(5, np.nan)),
    "window_growth": filled(windows.window_growth, same, np.full(5, np.nan)),
    "smoothed": filled(indicators.smoothed, same, 5, 0.3, np.zeros(2)),
    "convergence": filled(indicators.convergence, same, 3, 5, 2, indicators.HISTOGRAM, np.zeros(4)),
    "relative_strength": filled(indicators.relative_strength, same, 5, np.zeros(4)),
    "average_range": filled(indicators.average_range, same, low, same, 5, np.zeros(3)),
    "directional": filled(indicators.directional, same, low, same, 5, 1, N6),
    "directional_index": filled(indicators.directional_index, same, low, same, 5, N6),
    "on_balance": filled(volume_indicators.on_balance, same, same, np.zeros(2)),
    "money_flow": filled(volume_indicators.money_flow, same, low, same, same, np.zeros(1), outs=2),
    "session_average": filled(volume_indicators.session_average, hours, same, low, same, same, np.zeros(4)),
    "log_change": filled(indicators.log_change, same, np.zeros(1)),
    "annualised": filled(indicators.annualised, hours, same, 1e9, np.zeros(1)),
    "at_bars": filled(indicators.at_bars, same, every_other, np.zeros(2)),
    "typical": filled(indicators.typical, same, low, same),
    "worth": filled(indicators.worth, same, low, same, same),
    "place_in_range": filled(indicators.place_in_range, same, same, low),
    "ratio": filled(indicators.ratio, same, low),
    "banded": filled(indicators.banded, same, low, 2.0),
    "bar_sigma": lambda x: indicators.bar_sigma(x, x, np.zeros(2))[None],
}


def kernels_of(*modules: object) -> dict[str, CPUDispatcher]:
    """All but those with an underscore, which are parts of the others."""
    members = itertools.chain.from_iterable(inspect.getmembers(module) for module in modules)
    return {name: f for name, f in members if isinstance(f, CPUDispatcher) and not name.startswith("_")}


def test_every_kernel_is_in_the_causality_sweep() -> None:
    assert set(kernels_of(indicators, volume_indicators, windows, window_extremes)) == set(CAUSAL)


@pytest.mark.parametrize("name", sorted(CAUSAL))
@pytest.mark.parametrize("kept", [10, 23, 39])
def test_cutting_the_future_changes_no_past_value(name: str, kept: int) -> None:
    whole, cut = CAUSAL[name](frozen(X.copy())), CAUSAL[name](frozen(X[:kept].copy()))
    assert cut.tobytes() == np.ascontiguousarray(whole[:, :kept]).tobytes()


@pytest.mark.parametrize("name", sorted(CAUSAL))
@pytest.mark.parametrize("kept", [10, 23, 39])
def test_replacing_the_future_by_noise_changes_no_past_value(name: str, kept: int) -> None:
    other = np.concatenate((X[:kept], np.random.default_rng(kept).uniform(1.0, 9.0, len(X) - kept)))
    whole, replaced = CAUSAL[name](frozen(X.copy())), CAUSAL[name](frozen(other))
    assert np.ascontiguousarray(whole[:, :kept]).tobytes() == np.ascontiguousarray(replaced[:, :kept]).tobytes()

"""Every indicator of the catalogue against its plain definition, in one piece and bar by bar, with its warm-up."""

from __future__ import annotations

import inspect
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.registry import CPUDispatcher

from tests import naive
from tests.trading.simulator.markets import bars_of, random_tape
from trading.market.tape import Tape
from trading.simulator import indicators
from trading.simulator.recipes import RECIPES, Chunk, Memory
from trading.strategy.indicator_catalogue import INDICATORS, complete_arguments


def chunk(tape: Tape, first: int, stop: int) -> Chunk:
    prices = (tape.open, tape.high, tape.low, tape.close)
    columns = (tape.open_time_ms, *prices, tape.volume_base, np.zeros(len(tape)))
    return Chunk(*(column[first:stop] for column in columns))


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
    if name not in ("vwap", "volume_ratio"):
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


X = np.linspace(1.0, 2.0, 40) + np.sin(np.arange(40))
X.flags.writeable = False

CAUSAL = {
    "window_mean": lambda x: indicators.window_mean(x, 5),
    "window_deviation": lambda x: indicators.window_deviation(x, 5, 1),
    "window_weighted_mean": lambda x: indicators.window_weighted_mean(x, 5),
    "window_highest": lambda x: indicators.window_highest(x, 5),
    "window_channel": lambda x: indicators.window_channel(x, 5),
    "window_log_change": lambda x: indicators.window_log_change(x, 2),
    "smoothed": lambda x: indicators.smoothed(x, 5, 0.3, np.zeros(2)),
    "wilder_sum": lambda x: indicators.wilder_sum(x, 5, np.zeros(2)),
    "bar_sigma": lambda x: indicators.bar_sigma(x, x, np.zeros(2)),
}


def kernels_of(module: object) -> dict[str, CPUDispatcher]:
    return {name: f for name, f in inspect.getmembers(module) if isinstance(f, CPUDispatcher)}


def test_every_kernel_is_in_the_causality_sweep() -> None:
    assert set(kernels_of(indicators)) == set(CAUSAL)


@pytest.mark.parametrize("name", sorted(CAUSAL))
@pytest.mark.parametrize("kept", [10, 23, 39])
def test_cutting_the_future_changes_no_past_value(name: str, kept: int) -> None:
    x = np.abs(X) + 1.0
    x.flags.writeable = False
    whole, cut = CAUSAL[name](x), CAUSAL[name](x[:kept])
    assert cut.tobytes() == whole[: len(cut)].tobytes()

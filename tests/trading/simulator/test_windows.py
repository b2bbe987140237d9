"""What a window may not do: drift after a spike, lose a flat market to rounding, keep a nan, show a cut."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import naive
from trading.simulator import window_feeds
from trading.simulator.chunk import Feed, Memory, frozen
from trading.simulator.windows import window_channel, window_rank

FEEDS: dict[str, tuple[Callable[[Memory, int], Feed], Callable[[list[float]], float]]] = {
    "mean": (window_feeds.mean, naive.mean),
    "weighted_mean": (
        window_feeds.weighted_mean,
        lambda w: math.fsum((i + 1) * x for i, x in enumerate(w)) / (len(w) * (len(w) + 1) / 2),
    ),
    "deviation": (window_feeds.deviation, lambda w: naive.deviation(w, 1)),
    "band": (lambda memory, n: window_feeds.band(memory, n, 2.0), lambda w: naive.mean(w) + 2 * naive.deviation(w, 0)),
    "highest": (window_feeds.highest, max),
    "lowest": (window_feeds.lowest, min),
}
SCANNED: dict[str, Callable[[Memory, int], Feed]] = {
    "score": window_feeds.score,
    "channel": lambda memory, n: window_feeds.scanned(memory, n, window_channel),
    "rank": lambda memory, n: window_feeds.scanned(memory, n, window_rank),
}
ALL = {name: build for name, (build, _) in FEEDS.items()} | SCANNED
FLAT = {"deviation": 0.0, "score": 0.0, "channel": 0.0, "rank": 1.0}


def fed(name: str, n: int, x: np.ndarray, edges: list[int] | None = None) -> np.ndarray:
    feed = ALL[name](Memory(), n)
    return np.concatenate([feed(frozen(part.copy())) for part in np.split(x, sorted(edges or []))])


def two_passes(name: str, n: int, x: np.ndarray) -> list[float | None]:
    return naive.over([None if math.isnan(v) else v for v in x.tolist()], n, FEEDS[name][1])


@pytest.mark.parametrize("name", sorted(FEEDS))
@pytest.mark.parametrize("n", [2, 3, 20, 97])
@pytest.mark.parametrize("spike", [0.0, 1e6, 1e9])
def test_around_60000_and_after_spikes_it_is_what_two_passes_say(name: str, n: int, spike: float) -> None:
    rng = np.random.default_rng(n)
    x = 60_000.0 + rng.uniform(-1.0, 1.0, 700)
    x[[150, 151, 400]] += spike
    expected = [np.nan if v is None else v for v in two_passes(name, n, x)]
    np.testing.assert_allclose(fed(name, n, x), expected, rtol=1e-9)


@pytest.mark.parametrize("name", sorted(ALL))
@pytest.mark.parametrize("n", [2, 3, 7, 20, 97])
def test_a_flat_window_is_exactly_flat_whatever_came_before(name: str, n: int) -> None:
    price = 60_000.1
    x = np.concatenate((np.random.default_rng(n).uniform(1.0, 1e8, 2 * n + 1), np.full(3 * n, price)))
    assert (fed(name, n, x)[3 * n :] == FLAT.get(name, price)).all()


@pytest.mark.parametrize("name", sorted(ALL))
@pytest.mark.parametrize("n", [2, 5, 20])
def test_a_nan_stays_for_its_window_and_leaves_nothing_behind(name: str, n: int) -> None:
    x = np.random.default_rng(n).uniform(50.0, 60.0, 9 * n)
    holed = x.copy()
    holed[[3 * n + 1, 3 * n + 2, 6 * n]] = np.nan
    found, whole = fed(name, n, holed), fed(name, n, x)
    missing = np.array([np.isnan(holed[max(0, i - n + 1) : i + 1]).any() or i < n - 1 for i in range(len(x))])
    assert (np.isnan(found) == missing).all()
    np.testing.assert_allclose(found[~missing], whole[~missing], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", sorted(ALL))
@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(2, 40),
    edges=st.lists(st.integers(0, 300), max_size=9),
    holes=st.booleans(),
)
def test_any_cut_gives_the_same_bits(name: str, seed: int, n: int, edges: list[int], holes: bool) -> None:
    rng = np.random.default_rng(seed)
    x = 60_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, 300) * (rng.random(300) < 0.7)))
    if holes:
        x[rng.random(300) < 0.01] = np.nan
    assert fed(name, n, x).tobytes() == fed(name, n, x, edges).tobytes() == fed(name, n, x, list(range(300))).tobytes()


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_stretch_longer_than_what_is_done_at_a_time_has_no_seams(name: str) -> None:
    x = 60_000.0 + np.random.default_rng(1).normal(0.0, 1.0, 10_000)
    assert fed(name, 33, x).tobytes() == fed(name, 33, x, list(range(37, 10_000, 37))).tobytes()

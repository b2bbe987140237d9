"""The regime is what past bars say: known answers, no look ahead, and unknown where it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_brain.senses.regime.label import UNKNOWN, regime, regime_of
from tests.ai_brain.tapes import HOUR_MS, wandering_tape
from trading.market.tape import Tape, make_tape

NEEDED = 31 * 24 + 1


def walk(last_day: float, *, drift: float = 0.0) -> np.ndarray:
    """A month of moves of 1 % up and down, and a last day of moves of `last_day`."""
    sizes = np.full(NEEDED - 1, 0.01) * np.random.default_rng(1).uniform(0.9, 1.1, NEEDED - 1)
    sizes[-24:] = last_day
    steps = sizes * np.where(np.arange(NEEDED - 1) % 2, 1.0, -1.0)
    steps[-7 * 24 :] += drift
    closes: np.ndarray = 30_000.0 * np.exp(np.concatenate(([0.0], np.cumsum(steps))))
    return closes


@pytest.mark.parametrize(
    ("last_day", "drift", "label"),
    [
        (0.001, 0.0, "calm flat"),
        (0.05, 0.0, "stormy flat"),
        (0.001, 0.002, "calm up"),
        (0.05, -0.002, "stormy down"),
    ],
)
def test_a_market_made_to_move_so_is_called_so(last_day: float, drift: float, label: str) -> None:
    found = regime(walk(last_day, drift=drift), per_day=24)
    assert (found.label, str(found)) == (label, label)


def test_a_day_like_the_others_is_usual() -> None:
    found = regime(walk(0.01), per_day=24)
    assert found.label == "usual flat"
    assert 1 / 3 <= found.volatility_rank < 2 / 3


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31), cut=st.integers(NEEDED, 899))
def test_what_comes_later_changes_nothing(seed: int, cut: int) -> None:
    whole = wandering_tape(900, seed=seed)
    past = whole.window(whole.start_ms, int(whole.open_time_ms[cut]))
    changed = whole.close.copy()
    changed[cut:] *= 3.0
    other = make_tape(
        replace(whole, close=changed, high=np.maximum(whole.high, changed), low=np.minimum(whole.low, changed))
    )
    assert regime_of(past) == regime_of(other.window(other.start_ms, int(other.open_time_ms[cut])))


@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=20)
def test_what_lies_before_the_last_31_days_changes_nothing(seed: int) -> None:
    close = wandering_tape(900, seed=seed).close
    assert regime(close, per_day=24) == regime(close[-NEEDED:], per_day=24)


def without(tape: Tape, index: int) -> Tape:
    kept = np.delete(np.arange(len(tape)), index)
    names = ("open_time_ms", "open", "high", "low", "close", "volume_base")
    return make_tape(replace(tape, **{name: getattr(tape, name)[kept] for name in names}))


def test_unknown_says_why() -> None:
    assert str(regime_of(wandering_tape(300))) == "unknown: 300 bars, 745 are needed"
    assert regime_of(without(wandering_tape(900), 800)).why == "1 bars are missing in the last 31 days"
    assert regime_of(without(wandering_tape(900), 20)).label != UNKNOWN
    still = regime(np.full(NEEDED, 100.0), per_day=24)
    assert (still.label, still.why) == (UNKNOWN, "the price has not moved in 30 days")
    tape = wandering_tape(900)
    times = tape.open_time_ms[0] // (24 * HOUR_MS) * 24 * HOUR_MS + np.arange(900) * 24 * HOUR_MS
    assert "too long" in regime_of(make_tape(replace(tape, interval="1d", open_time_ms=times))).why
    with pytest.raises(ValueError, match="744 closes"):
        regime(np.full(NEEDED - 1, 100.0), per_day=24)

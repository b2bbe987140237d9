"""CSCV against its published cases, a loop that follows the paper line by line, and what must not change it."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ai_brain.evidence.backtest_overfitting import backtest_overfitting

Floats = NDArray[np.float64]


def noise(seed: int, rows: int = 400, strategies: int = 20) -> Floats:
    """(rows, strategies) worthless returns."""
    return np.random.default_rng(seed).standard_normal((rows, strategies)) * 0.01


def by_the_paper(returns: Floats, blocks: int) -> dict[frozenset[int], tuple[float, float, float]]:
    """Section 2.2 as a loop: for each choice of blocks the logit, and the chosen one's two Sharpe ratios."""
    parts = np.array_split(returns, blocks)
    answers = {}
    for chosen in combinations(range(blocks), blocks // 2):
        seen = np.concatenate([parts[i] for i in chosen])
        judged = np.concatenate([parts[i] for i in range(blocks) if i not in chosen])
        sharpe_in, sharpe_out = seen.mean(0) / seen.std(0, ddof=1), judged.mean(0) / judged.std(0, ddof=1)
        best = int(np.argmax(sharpe_in))
        rank = int(np.argsort(np.argsort(sharpe_out))[best]) + 1
        share = rank / (returns.shape[1] + 1)
        answers[frozenset(chosen)] = (float(np.log(share / (1 - share))), sharpe_in[best], sharpe_out[best])
    return answers


@pytest.mark.parametrize(("blocks", "rows", "strategies"), [(2, 40, 5), (6, 61, 2), (8, 200, 13), (10, 107, 7)])
def test_it_is_what_a_loop_over_the_splits_gives(blocks: int, rows: int, strategies: int) -> None:
    returns = noise(blocks, rows, strategies) + 0.001
    slow = by_the_paper(returns[rows % blocks :], blocks)
    fast = backtest_overfitting(returns, blocks=blocks)
    splits = [code for code in range(1 << blocks) if code.bit_count() == blocks // 2]
    logits = [slow[frozenset(i for i in range(blocks) if code >> i & 1)][0] for code in splits]
    seen, judged = np.array([(s, j) for _, s, j in slow.values()]).T
    assert fast.logits == pytest.approx(logits, abs=1e-12)
    assert fast.pbo == np.mean(np.array(logits) <= 0)
    assert fast.loss_probability == np.mean(judged < 0)
    assert fast.slope is not None
    assert fast.slope == pytest.approx(np.polyfit(seen, judged, 1)[0], rel=1e-6)
    assert fast.rows == rows - rows % blocks


@pytest.mark.parametrize("blocks", [8, 16])
def test_strategies_of_the_same_sharpe_over_all_the_past_are_overfitted_in_every_split(blocks: int) -> None:
    """The vignette of the R package pbo, case of equal full-sample Sharpe ratios: p_bo 1.000."""
    returns = noise(3, 960, 100)
    level = (returns - returns.mean(0)) / returns.std(0, ddof=1) * 0.01 + 0.001
    answer = backtest_overfitting(level, blocks=blocks)
    assert answer.pbo == 1.0
    assert answer.slope is not None
    assert answer.slope < 0.0


def test_a_strategy_with_a_true_edge_is_hardly_ever_overfitted() -> None:
    returns = noise(4, 1000, 100)
    returns[:, 17] += 0.2 * 0.01
    answer = backtest_overfitting(returns, blocks=16)
    assert answer.pbo < 0.01
    assert answer.loss_probability < 0.01


def test_worthless_strategies_give_a_half_with_a_wide_spread() -> None:
    pbos = [backtest_overfitting(noise(seed, 1000, 100), blocks=8).pbo for seed in range(60)]
    assert 0.40 < np.mean(pbos) < 0.60
    assert 0.10 < np.std(pbos) < 0.25


def test_a_strategy_that_never_traded_has_sharpe_zero_and_does_not_lose() -> None:
    losing = noise(5, 80, 3) * 0.1 - 0.01
    losing[:, 1] = 0.0
    answer = backtest_overfitting(losing, blocks=8)
    assert answer.pbo == 0.0
    assert answer.loss_probability == 0.0
    assert answer.slope is None  # 0 in every split


@pytest.mark.parametrize("constant", [0.1, 1e-9, 123.456])
def test_a_constant_gain_is_not_an_infinite_sharpe(constant: float) -> None:
    returns = noise(6, 80, 3) + 0.02
    returns[:, 0] = constant
    answer = backtest_overfitting(returns, blocks=8)
    without = backtest_overfitting(returns[:, 1:], blocks=8)
    assert answer.slope == pytest.approx(without.slope)


def test_what_traded_in_one_half_only_is_flat_in_the_other() -> None:
    returns = np.full((64, 2), -0.01) + noise(7, 64, 2) * 0.01
    returns[:32, 0] = np.tile([0.03, 0.01], 16)
    returns[32:, 0] = 0.0
    assert backtest_overfitting(returns, blocks=2).loss_probability == 0.0


def test_copies_of_one_strategy_are_all_the_same_and_choosing_told_nothing() -> None:
    answer = backtest_overfitting(np.repeat(noise(8, 100, 1), 37, axis=1), blocks=10)
    assert answer.logits == pytest.approx(0.0, abs=1e-15)
    assert answer.pbo == 1.0


def test_of_strategies_tied_in_sample_the_one_that_does_worst_out_of_sample_is_chosen() -> None:
    first, good, bad = np.tile([0.03, -0.01], 8), np.tile([0.02, 0.0], 8), np.tile([-0.02, 0.0], 8)
    returns = np.column_stack([np.r_[first, good], np.r_[first, bad], np.r_[-first, 0.1 * good - 0.0001]])
    answer = backtest_overfitting(returns, blocks=2)
    assert answer.logits[0] == pytest.approx(np.log(0.25 / 0.75))  # split 0b01: the first block in sample


@pytest.mark.parametrize(
    ("returns", "blocks", "words"),
    [
        (noise(0, 100, 1), 8, r"shape \(100, 1\)"),
        (noise(0, 100, 1)[:, 0], 8, r"shape \(100,\)"),
        (noise(0), 7, "blocks=7"),
        (noise(0), 0, "blocks=0"),
        (noise(0), 22, "blocks=22: give an even number from 2 to 20"),
        (noise(0, 31, 2), 16, "31 rows in blocks=16: give at least 32"),
    ],
)
def test_what_cannot_be_judged_is_refused_with_its_value(returns: Floats, blocks: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        backtest_overfitting(returns, blocks=blocks)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_return_that_is_no_number_is_named(bad: float) -> None:
    returns = noise(0)
    returns[5, 3] = bad
    with pytest.raises(ValueError, match=r"returns\[5, 3\]"):
        backtest_overfitting(returns)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 9), st.sampled_from([2, 4, 6]), st.integers(0, 3))
def test_the_order_of_strategies_and_copies_of_them_do_not_matter(
    seed: int, strategies: int, blocks: int, copies: int
) -> None:
    rng = np.random.default_rng(seed)
    returns = rng.integers(-3, 4, (blocks * 4 + 1, strategies)) * 0.01  # small integers: ties are frequent
    returns = np.concatenate([returns, returns[:, :copies]], axis=1)
    shuffled = returns[:, rng.permutation(returns.shape[1])]
    one, other = backtest_overfitting(returns, blocks=blocks), backtest_overfitting(shuffled, blocks=blocks)
    assert (one.logits == other.logits).all()
    assert one.pbo == other.pbo
    assert one.slope == other.slope


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([2.0**-9, 0.25, 8.0, 1024.0]))
def test_the_size_of_a_position_does_not_matter(seed: int, factor: float) -> None:
    returns = noise(seed, 60, 6)
    scaled = returns * np.array([factor, 1.0, 1.0, 1 / factor, 1.0, factor])
    one, other = backtest_overfitting(returns, blocks=6), backtest_overfitting(scaled, blocks=6)
    assert (one.logits == other.logits).all()
    assert one.slope == pytest.approx(other.slope, rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_a_strategy_worse_than_all_others_on_every_bar_is_never_chosen_and_only_lengthens_the_ranks(seed: int) -> None:
    returns = noise(seed, 64, 5)
    worst = returns.min(axis=1, keepdims=True) - 0.5
    one = backtest_overfitting(returns, blocks=8)
    other = backtest_overfitting(np.concatenate([returns, worst], axis=1), blocks=8)
    rank = 6 / (1 + np.exp(-one.logits))
    share = (rank + 1) / 7
    assert other.logits == pytest.approx(np.log(share / (1 - share)), abs=1e-9)
    assert (one.slope, one.loss_probability) == (other.slope, other.loss_probability)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.floats(-1, 1), min_size=3, max_size=3), min_size=8, max_size=20))
def test_any_finite_returns_give_probabilities(rows: list[list[float]]) -> None:
    answer = backtest_overfitting(np.array(rows), blocks=4)
    assert 0.0 <= answer.pbo <= 1.0
    assert 0.0 <= answer.loss_probability <= 1.0
    assert np.isfinite(answer.logits).all()
    assert answer.slope is None or np.isfinite(answer.slope)


def test_the_answer_does_not_depend_on_the_pieces_it_is_computed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    returns = noise(9, 100, 6)
    whole = backtest_overfitting(returns, blocks=10)
    monkeypatch.setattr("ai_brain.evidence.backtest_overfitting.PIECE", 50)
    assert (backtest_overfitting(returns, blocks=10).logits == whole.logits).all()


@pytest.mark.parametrize("seed", range(8))
def test_the_order_of_the_numbers_in_memory_does_not_matter(seed: int) -> None:
    returns = np.random.default_rng(seed).integers(-3, 4, (145, 9)) * 0.01
    one, other = backtest_overfitting(returns, blocks=6), backtest_overfitting(np.asfortranarray(returns), blocks=6)
    assert (one.logits == other.logits).all()
    assert one.slope == other.slope


def test_the_caller_s_returns_stay_as_they_were() -> None:
    returns = noise(1)
    before = returns.copy()
    backtest_overfitting(returns, blocks=8)
    assert (returns == before).all()

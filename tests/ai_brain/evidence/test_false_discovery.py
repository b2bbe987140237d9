"""LORD++ and SAFFRON: the published example, the papers' formulas, and the share of false discoveries."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import erfc, exp, log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_brain.evidence.false_discovery import StreamDecisions, lord_level, lord_plus_plus, saffron

Procedure = Callable[..., StreamDecisions]
BOTH = pytest.mark.parametrize("procedure", [lord_plus_plus, saffron])
# Near 0 often enough that streams with rejections come up, at the edges, and at the levels' own order of magnitude.
P_VALUES = st.lists(
    st.one_of(st.floats(0.0, 1.0), st.floats(0.0, 0.01), st.sampled_from([0.0, 1e-4, 0.5, 1.0])), max_size=30
)
RATES = st.floats(0.001, 0.5)
LIGHTLY = settings(max_examples=50, deadline=None)

# The example of the R package onlineFDR (Robertson, Liou, Ramdas & Karp), reference pages of LORD (1.5.0) and SAFFRON.
SAMPLE = (2.90e-08, 0.06743, 0.01514, 0.08174, 0.00171, 3.60e-05, 0.79149, 0.27201, 0.28295, 7.59e-08)
SAMPLE += (0.69274, 0.30443, 0.00136, 0.72342, 0.54757)
# The same values in the order in which the package shuffled them (set.seed(1)), as it prints them, version by version.
LORD_SHUFFLED = (2.90e-08, 0.06743, 0.01514, 0.08174, 0.00171, 0.27201, 3.60e-05, 0.79149, 7.59e-08, 0.28295)
LORD_SHUFFLED += (0.69274, 0.72342, 0.30443, 0.54757, 0.00136)


def test_lord_plus_plus_gives_the_levels_of_the_published_example() -> None:
    told = lord_plus_plus(SAMPLE, q=0.05)
    published = (0.0002675839, 0.0024664457, 0.0005732818, 0.0004872805, 0.0004059066, 0.0003447286, 0.0029745013)
    published += (0.0008450114, 0.0007305648, 0.0006243143, 0.0032185913, 0.0010617227, 0.0009256825, 0.0008019657)
    published += (0.0007059610,)
    assert told.levels == pytest.approx(published, abs=5e-11)
    assert [place for place, rejected in enumerate(told.rejected, 1) if rejected] == [1, 6, 10]


def test_lord_plus_plus_gives_the_published_levels_for_another_starting_wealth() -> None:
    told = lord_plus_plus(LORD_SHUFFLED, q=0.1, w0=0.05)
    published = (0.0026758385, 0.0032577488, 0.0010775352, 0.0009078052, 0.0007616238, 0.0006517385, 0.0005682672)
    published += (0.0058549106, 0.0016151293, 0.0067518870, 0.0023619734, 0.0020342733, 0.0017477495, 0.0015277362)
    published += (0.0013569121,)
    assert told.levels == pytest.approx(published, abs=5e-11)
    assert [place for place, rejected in enumerate(told.rejected, 1) if rejected] == [1, 7, 9]


def test_saffron_gives_the_levels_of_the_published_example() -> None:
    told = saffron(SAMPLE, q=0.05)
    published = (0.005468627, 0.010937254, 0.010937254, 0.010937254, 0.010937254, 0.021874508, 0.032811762)
    published += (0.010823845, 0.010823845, 0.010823845, 0.021761099, 0.009265591, 0.009265591, 0.020202846)
    published += (0.009064367,)
    assert told.levels == pytest.approx(published, abs=5e-10)
    assert [place for place, rejected in enumerate(told.rejected, 1) if rejected] == [1, 5, 6, 10, 13]


def test_saffron_gives_the_published_levels_for_another_starting_wealth() -> None:
    told = saffron(LORD_SHUFFLED, q=0.1, w0=0.025)
    published = (0.005468627, 0.021874508, 0.021874508, 0.043749017, 0.043749017, 0.065623525, 0.065623525)
    published += (0.087498033, 0.028863587, 0.050738095, 0.050738095, 0.022302945, 0.013293195, 0.013293195)
    published += (0.009042997,)
    assert told.levels == pytest.approx(published, abs=5e-10)
    assert [place for place, rejected in enumerate(told.rejected, 1) if rejected] == [1, 3, 5, 7, 9, 15]


def naive_lord(p_values: list[float], q: float, w0: float) -> list[float]:
    """The formula of the paper, written out with every sum from the start."""
    gamma = [0.0] + [0.07720838 * log(max(j, 2)) / (j * exp(sqrt(log(j)))) for j in range(1, len(p_values) + 2)]
    levels, taus = [], []
    for t in range(1, len(p_values) + 2):
        level = w0 * gamma[t]
        if taus:
            level += (q - w0) * gamma[t - taus[0]]
        level += q * sum(gamma[t - tau] for tau in taus[1:])
        levels.append(level)
        if t <= len(p_values) and p_values[t - 1] <= level:
            taus.append(t)
    return levels


def naive_saffron(p_values: list[float], q: float, w0: float) -> list[float]:
    """Algorithm 1 of the paper, counting candidates anew for every test and every earlier rejection."""
    gamma = [0.0] + [0.4374901658 / j**1.6 for j in range(1, len(p_values) + 2)]
    levels, taus = [], []
    for t in range(1, len(p_values) + 2):

        def left(tau: int, t: int = t) -> int:
            return t - tau - sum(p <= 0.5 for p in p_values[tau : t - 1])

        total = w0 * gamma[left(0)]
        for number, tau in enumerate(taus):
            total += (q - w0 if number == 0 else q) * gamma[left(tau)]
        levels.append(min(0.5, 0.5 * total))
        if t <= len(p_values) and p_values[t - 1] <= levels[-1]:
            taus.append(t)
    return levels


@LIGHTLY
@given(P_VALUES, RATES, st.floats(0.01, 1.0))
def test_both_follow_the_formulas_of_their_papers(p_values: list[float], q: float, share: float) -> None:
    for procedure, naive in ((lord_plus_plus, naive_lord), (saffron, naive_saffron)):
        told = procedure(p_values, q=q, w0=q * share)
        expected = naive(p_values, q, q * share)
        assert (*told.levels, told.next_level) == pytest.approx(tuple(expected), rel=1e-9)
        assert told.rejected == tuple(p <= level for p, level in zip(p_values, told.levels, strict=True))


@BOTH
@LIGHTLY
@given(p_values=P_VALUES, more=P_VALUES, q=RATES)
def test_what_comes_later_changes_no_earlier_answer(
    procedure: Procedure, p_values: list[float], more: list[float], q: float
) -> None:
    before, after = procedure(p_values, q=q), procedure([*p_values, *more], q=q)
    assert after.levels[: len(p_values)] == before.levels
    assert after.rejected[: len(p_values)] == before.rejected
    assert (*after.levels, after.next_level)[len(p_values)] == before.next_level


@BOTH
@LIGHTLY
@given(p_values=P_VALUES, shares=st.lists(st.floats(0.0, 1.0), min_size=30, max_size=30), q=RATES)
def test_smaller_p_values_never_lower_a_level_or_lose_a_rejection(
    procedure: Procedure, p_values: list[float], shares: list[float], q: float
) -> None:
    smaller = [p * share for p, share in zip(p_values, shares, strict=False)]
    before, after = procedure(p_values, q=q), procedure(smaller, q=q)
    assert all(now >= then for now, then in zip(after.levels, before.levels, strict=True))
    assert all(now or not then for now, then in zip(after.rejected, before.rejected, strict=True))


@LIGHTLY
@given(P_VALUES, RATES, st.floats(0.01, 1.0))
def test_no_more_is_ever_spent_than_was_owned(p_values: list[float], q: float, share: float) -> None:
    """The estimates of the false-discovery rate that the papers bound: they are what the proofs rest on."""
    lord, adaptive = (procedure(p_values, q=q, w0=q * share) for procedure in (lord_plus_plus, saffron))
    room = 1 + 1e-9
    for end in range(1, len(p_values) + 1):
        assert sum(lord.levels[:end]) <= q * max(1, sum(lord.rejected[:end])) * room
        paid = sum(level for level, p in zip(adaptive.levels[:end], p_values, strict=False) if p > 0.5)
        assert paid / 0.5 <= q * max(1, sum(adaptive.rejected[:end])) * room
    assert all(level > 0 for level in (*lord.levels, *adaptive.levels))
    assert all(level <= 0.5 for level in adaptive.levels)


@pytest.mark.parametrize("q", [0.05, 0.1])
def test_a_stream_without_a_discovery_spends_slowly_and_no_more_than_its_starting_wealth(q: float) -> None:
    told = lord_plus_plus([1.0] * 2000, q=q)
    assert 0.3 * q / 10 < sum(told.levels) < q / 10
    assert all(now < then for then, now in pairwise(told.levels[1:]))
    assert told.next_level > 0.0


def p_value_of(z: float) -> float:
    return 0.5 * erfc(z / sqrt(2.0))


def shares_of_false_discoveries(procedure: Procedure, *, true_share: float, edge: float, streams: int) -> list[float]:
    """FDP of each stream of 60 one-sided normal tests, at q = 0.10."""
    rng = np.random.default_rng(17)
    shares = []
    for _ in range(streams):
        true = rng.random(60) < true_share
        rejected = np.array(
            procedure([p_value_of(z) for z in rng.standard_normal(60) + edge * true], q=0.1, w0=0.05).rejected
        )
        shares.append(float((rejected & ~true).sum() / max(1, rejected.sum())))
    return shares


@BOTH
@pytest.mark.parametrize(("true_share", "edge"), [(0.0, 0.0), (0.1, 3.0), (0.5, 3.0)])
def test_at_most_a_share_q_of_the_discoveries_is_false(procedure: Procedure, true_share: float, edge: float) -> None:
    shares = shares_of_false_discoveries(procedure, true_share=true_share, edge=edge, streams=300)
    assert np.mean(shares) <= 0.1 + 2 * np.std(shares) / sqrt(len(shares))


def test_levels_not_held_to_account_would_be_caught_by_the_simulation() -> None:
    def uncorrected(p_values: list[float], *, q: float, w0: float) -> StreamDecisions:
        return StreamDecisions((q,) * len(p_values), tuple(p <= q for p in p_values), q)

    shares = shares_of_false_discoveries(uncorrected, true_share=0.1, edge=3.0, streams=100)
    assert np.mean(shares) > 0.3


def test_saffron_finds_more_than_lord_where_much_is_true() -> None:
    rng = np.random.default_rng(5)
    p_values = [p_value_of(z) for z in rng.standard_normal(200) + 3.0 * (rng.random(200) < 0.5)]
    assert sum(saffron(p_values, q=0.1).rejected) > 1.2 * sum(lord_plus_plus(p_values, q=0.1).rejected)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: lord_plus_plus([0.1], q=0.0), "q=0.0"),
        (lambda: saffron([0.1], q=1.0), "q=1.0"),
        (lambda: lord_plus_plus([0.1], q=0.1, w0=0.2), "w0=0.2"),
        (lambda: saffron([0.1], q=0.1, w0=0.0), "w0=0.0"),
        (lambda: lord_plus_plus([0.1, 1.5], q=0.1), r"p_values\[1\]=1.5"),
        (lambda: saffron([0.1, float("nan")], q=0.1), r"p_values\[1\]=nan"),
        (lambda: lord_level(0, (), q=0.1), "place=0"),
        (lambda: lord_level(3, (3,), q=0.1), r"rejections at \[3\]"),
    ],
)
def test_senseless_inputs_are_refused_with_their_value(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()

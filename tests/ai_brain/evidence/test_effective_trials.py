"""Return sketches tell correlations apart; what goes together counts as one trial."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ai_brain.evidence.effective_trials import Leaders, effective_trials
from ai_brain.evidence.return_sketch import MIN_DAYS, NUMBERS, SKETCH_BYTES, day_signs, decoded, likeness, return_sketch
from trading.domain.clock import DAY_MS

FIRST_DAY = 19_000
Array = NDArray[np.float64]


def sketch(daily: Array, first_day: int = FIRST_DAY) -> bytes:
    """Of one bar a day, returns of about 1 %."""
    found = return_sketch(np.expm1(0.01 * daily), (first_day + np.arange(len(daily))) * DAY_MS)
    assert found is not None
    return found


def groups(random: np.random.Generator, *, count: int, each: int, correlation: float, days: int = 400) -> list[bytes]:
    """`count` groups of `each` series; two of one group correlate as told, two of different groups do not."""
    common = np.repeat(random.normal(size=(count, days)), each, axis=0)
    own = random.normal(size=common.shape)
    return [sketch(row) for row in np.sqrt(correlation) * common + np.sqrt(1.0 - correlation) * own]


def shuffled(sketches: Sequence[bytes | None], seed: int) -> list[bytes | None]:
    return [sketches[index] for index in np.random.default_rng(seed).permutation(len(sketches))]


def alike_in_two_words(one: bytes, other: bytes) -> bool:
    a, b = (decoded([each])["values"][0].astype(np.float64) for each in (one, other))
    return bool(a @ b >= 0.7 * np.sqrt((a @ a) * (b @ b)))


@pytest.mark.parametrize("planted", [-0.9, 0.0, 0.5, 0.9])
def test_planted_correlations_are_read_back_without_bias_and_with_the_error_told(planted: float) -> None:
    random = np.random.default_rng(3)
    errors, told = [], []
    for _ in range(400):
        common = random.normal(size=300)
        other = planted * common + np.sqrt(1.0 - planted**2) * random.normal(size=300)
        found = likeness(sketch(common), sketch(other))
        errors.append(found.correlation - np.corrcoef(common, other)[0, 1])
        told.append(found.standard_error)
    expected = (1.0 - planted**2) / np.sqrt(NUMBERS)
    assert abs(np.mean(errors)) < 0.25 * expected
    assert np.std(errors) == pytest.approx(expected, rel=0.15)
    assert np.mean(told) == pytest.approx(expected, rel=0.1)


def test_sketches_of_different_stretches_agree_on_the_days_they_share() -> None:
    random = np.random.default_rng(4)
    found = []
    for _ in range(300):
        market = random.normal(size=500)
        found.append(likeness(sketch(market[:400]), sketch(market[100:], FIRST_DAY + 100)))
    assert {each.shared_days for each in found} == {300}
    correlations = [each.correlation for each in found]
    assert np.mean(correlations) == pytest.approx(1.0, abs=0.05)
    assert np.std(correlations) == pytest.approx(found[0].standard_error, rel=0.6)
    apart = likeness(sketch(market[:250]), sketch(market[250:], FIRST_DAY + 250))
    assert (apart.shared_days, apart.standard_error) == (0, float("inf"))


def test_a_day_is_the_sum_of_its_bars_by_utc_whatever_their_length() -> None:
    random = np.random.default_rng(5)
    hourly = random.normal(0.0, 0.002, 24 * 100)
    opens = FIRST_DAY * DAY_MS + np.arange(2400) * (DAY_MS // 24)
    daily = np.prod(1.0 + hourly.reshape(100, 24), axis=1) - 1.0
    assert return_sketch(hourly, opens) == return_sketch(daily, (FIRST_DAY + np.arange(100)) * DAY_MS)


def test_the_signs_of_the_days_are_the_published_ones_so_that_old_sketches_stay_comparable() -> None:
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]  # SplitMix64 from the seed 0
    bits = (day_signs(1, 3) > 0.0).astype(object) @ np.array([1 << bit for bit in range(NUMBERS)], dtype=object)
    assert bits.tolist() == published


def test_a_sketch_is_read_as_it_was_written_on_another_day() -> None:
    written = bytes.fromhex(
        "384a0000400000000a31ebbad22200ec37a26b81cc9fc65f4f301924074365e2a385f90e"
        "30518a15005eb5370a011f30112b2246e665cb485819ce02d9b2df2c6500d132b19815ec"
    )
    (old,), (new,) = decoded([written]), decoded([sketch(np.sin(np.arange(64.0)))])
    assert (old["first_day"], old["days"]) == (new["first_day"], new["days"]) == (FIRST_DAY, 64)
    assert (
        np.abs(old["values"].astype(int) - new["values"]).max() <= 1
    )  # another machine may round a half the other way


def test_size_and_sign_of_leverage_are_seen_through() -> None:
    daily = np.random.default_rng(6).normal(size=200)
    assert likeness(sketch(daily), sketch(0.1 * daily)).correlation > 0.999
    assert likeness(sketch(daily), sketch(-daily)).correlation < -0.999


def test_what_never_moves_has_a_sketch_of_zeros_and_what_is_short_has_none() -> None:
    opens = (FIRST_DAY + np.arange(200)) * DAY_MS
    for returns in (np.zeros(200), np.full(200, 0.001)):
        still = return_sketch(returns, opens)
        assert still is not None
        assert still[8:] == bytes(NUMBERS)
        assert likeness(still, still).standard_error == float("inf")
    short = np.random.default_rng(0).normal(0.0, 0.01, 200)[: MIN_DAYS - 1]
    assert return_sketch(short, opens[: len(short)]) is None
    assert return_sketch(short[:0], opens[:0]) is None


def test_ruin_has_a_sketch_too() -> None:
    returns = np.random.default_rng(0).normal(0.0, 0.01, 100)
    returns[-1] = -1.5
    assert len(return_sketch(returns, (FIRST_DAY + np.arange(100)) * DAY_MS) or b"") == SKETCH_BYTES


def test_what_cannot_be_sketched_is_named() -> None:
    opens = np.arange(70) * DAY_MS
    with pytest.raises(ValueError, match="69 returns at 70 times"):
        return_sketch(np.zeros(69), opens)
    with pytest.raises(ValueError, match=r"returns\[3\]=nan"):
        return_sketch(np.where(np.arange(70) == 3, np.nan, 0.0), opens)
    with pytest.raises(ValueError, match=r"open_time_ms\[5\]=0"):
        return_sketch(np.zeros(70), np.where(np.arange(70) == 5, 0, opens))
    with pytest.raises(ValueError, match=r"sketches\[1\] has 3 bytes, not 72"):
        effective_trials([sketch(np.arange(70.0)), b"abc"])
    with pytest.raises(ValueError, match=r"alike=1.0"):
        Leaders(alike=1.0)


def test_copies_of_one_series_are_one_trial() -> None:
    daily = np.random.default_rng(8).normal(size=300)
    found = effective_trials([sketch(scale * daily) for scale in np.linspace(0.5, 2.0, 500)])
    assert found.count == 1
    assert set(found.labels.tolist()) == {0}


def test_independent_series_are_trials_of_their_own() -> None:
    count = effective_trials(groups(np.random.default_rng(9), count=2000, each=1, correlation=0.0)).count
    assert 1990 <= count <= 2000


def test_groups_that_go_together_are_counted_once_each() -> None:
    made = groups(np.random.default_rng(10), count=60, each=30, correlation=0.9)
    found = effective_trials(made)
    assert 60 <= found.count <= 62
    same = found.labels.reshape(60, 30)
    assert np.mean(same == same[:, :1]) > 0.99


def test_a_strategy_and_its_mirror_image_are_two_trials() -> None:
    daily = np.random.default_rng(11).normal(size=300)
    assert effective_trials([sketch(daily), sketch(-daily)]).count == 2


def test_all_that_never_move_are_one_trial_and_what_is_unknown_is_one_each() -> None:
    moving = sketch(np.random.default_rng(12).normal(size=100))
    still = sketch(np.zeros(100))
    found = effective_trials([None, still, moving, None, still, None])
    assert found.count == 5
    assert found.labels[1] == found.labels[4]
    assert len(set(found.labels.tolist())) == 5


def test_the_count_of_a_set_does_not_depend_on_its_order() -> None:
    made = [*groups(np.random.default_rng(13), count=40, each=15, correlation=0.7), None, sketch(np.zeros(80))]
    assert len({effective_trials(shuffled(made, seed)).count for seed in range(6)}) == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 40), max_size=8), st.integers(1, 60))
def test_leaders_are_those_of_the_slow_definition_however_they_are_added(seed: int, cuts: list[int], room: int) -> None:
    made: list[bytes | None] = list(groups(np.random.default_rng(seed), count=8, each=5, correlation=0.7, days=90))
    made[3], made[17], made[30], made[31] = None, sketch(np.zeros(70)), sketch(np.zeros(90)), made[2]
    leaders = Leaders(max_leaders=room)
    edges = [0, *sorted(cuts), len(made)]
    labels = np.concatenate([leaders.add(made[a:b]) for a, b in pairwise(edges)])
    expected, count = _slowly(made, room)
    assert labels.tolist() == expected
    assert leaders.count == count
    assert 1 <= count <= len(made)


def _slowly(sketches: Sequence[bytes | None], room: int) -> tuple[list[int], int]:
    kept, labels, count, still = list[tuple[bytes, int]](), list[int](), 0, -1
    for each in sketches:
        if each is not None and not any(each[8:]):
            if still < 0:
                still, count = count, count + 1
            labels.append(still)
            continue
        near = [] if each is None else [label for leader, label in kept if alike_in_two_words(leader, each)]
        if near:
            labels.append(near[0])
            continue
        labels.append(count)
        if each is not None and len(kept) < room:
            kept.append((each, count))
        count += 1
    return labels, count


def test_the_clusters_of_many_more_than_a_block_are_found_and_nothing_gives_none() -> None:
    made = groups(np.random.default_rng(14), count=1100, each=3, correlation=0.97, days=128)
    found = effective_trials(made)
    assert 1095 <= found.count <= 1105
    assert effective_trials([]).count == 0
    assert effective_trials(made[:1]).count == 1

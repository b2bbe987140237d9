"""What the charts draw: bands, rolling ratios, months, the best of worthless ideas, and the chance to be seen."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from ai_brain.evidence.charts.numbers import (
    MAX_STEPS,
    SHOWN,
    best_of_density,
    best_of_quantile,
    best_of_reaches,
    chance_of_passing,
    cost_split,
    drawdown,
    equity_band,
    extremes,
    months_of,
    rolling_bars,
    rolling_sharpe,
    unrelated,
)
from ai_brain.evidence.expected_maximum_sharpe import expected_maximum_sharpe
from ai_brain.evidence.power import provable_sharpe
from ai_brain.evidence.run import TradeLine
from trading.domain.clock import parse_iso

DAY_MS = 86_400_000
RETURNS = np.random.default_rng(4).normal(0.0002, 0.01, 1500)


def trade(entry: str, pnl: float, *, fees: float = 2.0, slippage: float = 0.5, funding: float = -0.25) -> TradeLine:
    at_ms = parse_iso(entry)
    return TradeLine(at_ms, at_ms + 3_600_000, 1, 1.0, 100.0, 101.0, fees, slippage, funding, pnl, "EXIT")


def test_the_band_begins_at_the_start_holds_the_middle_and_widens() -> None:
    band = equity_band(RETURNS, starting_quote=10_000.0, seed=7)
    assert band is not None
    assert band.row[-1] == len(RETURNS) - 1
    assert len(band.row) == SHOWN
    assert (np.diff(band.row) > 0).all()
    grown = 10_000.0 * np.exp(np.log1p(RETURNS).mean() * (band.row + 1))
    assert (band.low < grown).all()
    assert (band.high > grown).all()
    spread = np.log(band.high / band.low)
    assert spread[-1] == pytest.approx(2 * 1.645 * RETURNS.std() * sqrt(len(RETURNS)), rel=0.1)
    assert spread[0] < 0.2 * spread[-1]


def test_the_same_seed_gives_the_same_band_and_another_seed_another() -> None:
    first, again, other = (equity_band(RETURNS, starting_quote=1.0, seed=seed) for seed in (7, 7, 8))
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.low.tolist() == again.low.tolist()
    assert first.low.tolist() != other.low.tolist()


def test_a_record_longer_than_is_resampled_bar_by_bar_is_resampled_in_longer_steps_up_to_its_last_bar() -> None:
    returns = np.random.default_rng(5).normal(0.0, 0.001, 2 * MAX_STEPS + 1)
    band = equity_band(returns, starting_quote=1.0, seed=1)
    assert band is not None
    assert band.row[-1] == len(returns) - 1
    spread = np.log(band.high / band.low)
    assert spread[-1] == pytest.approx(2 * 1.645 * 0.001 * sqrt(len(returns)), rel=0.1)
    assert band.block_bars >= 3.0


def test_too_few_bars_have_no_band() -> None:
    assert equity_band(RETURNS[:9], starting_quote=1.0, seed=1) is None


def test_drawdown_is_held_against_the_start_too() -> None:
    falls = drawdown(np.array([9_000.0, 12_000.0, 6_000.0, 12_000.0]), starting_quote=10_000.0)
    assert falls.tolist() == pytest.approx([-0.1, 0.0, -0.5, 0.0])


def test_a_rolling_ratio_is_that_of_the_bars_up_to_it_and_no_later_ones() -> None:
    rows, values = rolling_sharpe(RETURNS, window=300, bars_per_year=8760.0)
    assert (rows[0], rows[-1], len(rows)) == (299, 1499, SHOWN)
    for row, value in list(zip(rows.tolist(), values.tolist(), strict=True))[::17]:
        part = RETURNS[row - 299 : row + 1].tolist()
        mean = sum(part) / 300
        spread = sqrt(sum((x - mean) ** 2 for x in part) / 299)
        assert value == pytest.approx(mean / spread * sqrt(8760.0), rel=1e-9)


def test_a_stretch_without_a_trade_has_a_rolling_ratio_of_nothing() -> None:
    _, values = rolling_sharpe(np.zeros(50), window=10, bars_per_year=8760.0)
    assert values.tolist() == [0.0] * 41


def test_a_window_is_thirty_days_or_a_third_of_a_short_record() -> None:
    assert rolling_bars(10_000, 3_600_000) == 720
    assert rolling_bars(900, 3_600_000) == 300
    with pytest.raises(ValueError, match="window=51"):
        rolling_sharpe(np.zeros(50), window=51, bars_per_year=8760.0)


def test_what_a_drawing_needs_of_a_long_curve_has_its_ends_its_peak_and_its_trough() -> None:
    values = np.cumsum(RETURNS)
    rows = extremes(np.tile(values, 3))
    assert len(rows) <= 2 * SHOWN + 2
    assert (np.diff(rows) > 0).all()
    assert {0, 3 * len(values) - 1} <= set(rows.tolist())
    assert np.tile(values, 3)[rows].max() == values.max()
    assert np.tile(values, 3)[rows].min() == values.min()
    assert extremes(values[:40]).tolist() == list(range(40))


def test_costs_lead_from_the_gross_result_to_the_net_one() -> None:
    split = cost_split([trade("2024-01-05", 10.0), trade("2024-01-06", -4.0)])
    assert (split.fees, split.slippage, split.funding, split.net) == (4.0, 1.0, -0.5, 6.0)
    assert split.gross - split.fees - split.slippage + split.funding == split.net
    assert split.steps == (
        ("gross", 0.0, 11.5),
        ("fees", 11.5, -4.0),
        ("slippage", 7.5, -1.0),
        ("funding", 6.5, -0.5),
        ("net", 0.0, 6.0),
    )


def test_every_month_is_counted_those_without_a_trade_too_and_a_break_even_is_not_earned() -> None:
    trades = [trade("2023-11-30T23:00", 1.0), trade("2024-02-01", 0.0), trade("2024-02-29T23:00", 2.0)]
    assert [(m.name, m.earned, m.lost) for m in months_of(trades)] == [
        ("2023-11", 1, 0),
        ("2023-12", 0, 0),
        ("2024-01", 0, 0),
        ("2024-02", 1, 1),
    ]
    assert months_of([]) == ()


@pytest.mark.parametrize("trials", [1, 2, 10, 1_000, 1_000_000])
def test_the_density_of_the_best_of_worthless_ideas_is_one_and_its_mean_is_near_the_hurdle(trials: int) -> None:
    scale = 0.7
    values = np.linspace(*(best_of_quantile(p, trials=trials, scale=scale) for p in (1e-9, 1.0 - 1e-9)), 4001)
    density = best_of_density(values, trials=trials, scale=scale)
    assert np.trapezoid(density, values) == pytest.approx(1.0, abs=1e-5)
    hurdle = expected_maximum_sharpe(trials, sharpe_variance=scale**2)
    # the paper's formula is an approximation: 0.52 for two instead of 0.56, 1.575 for ten instead of 1.539
    assert np.trapezoid(density * values, values) == pytest.approx(hurdle, rel=0.035 if trials > 2 else 0.1, abs=1e-6)
    at = float(values[2500])
    above = np.trapezoid(density[2500:], values[2500:])
    assert best_of_reaches(at, trials=trials, scale=scale) == pytest.approx(above, abs=1e-5)
    assert best_of_quantile(1.0 - above, trials=trials, scale=scale) == pytest.approx(at, abs=1e-3)


@pytest.mark.parametrize(("expected", "count"), [(0.0, 1.0), (0.564190, 2.0), (1.538753, 10.0), (2.507594, 100.0)])
def test_ideas_that_go_together_count_for_as_many_unrelated_ones_as_have_their_expected_maximum(
    expected: float, count: float
) -> None:
    """Expected maxima of normal samples: Harter (1961), Biometrika 48."""
    assert unrelated(expected) == pytest.approx(count, rel=2e-3)


def test_far_from_anything_worthless_the_density_is_nothing_and_no_error() -> None:
    assert best_of_density(np.array([-60.0, 60.0]), trials=500, scale=1.0).tolist() == [0.0, 0.0]
    assert best_of_reaches(-60.0, trials=500, scale=1.0) == 1.0
    assert best_of_reaches(60.0, trials=500, scale=1.0) == 0.0


def test_the_chance_to_pass_grows_with_the_true_ratio_and_is_one_half_at_the_threshold() -> None:
    bars, year = 17_520, sqrt(8760.0)
    hurdle = expected_maximum_sharpe(200, sharpe_variance=1.0 / (bars - 1))
    needed = provable_sharpe(bars, hurdle=hurdle, confidence=0.95)
    true = np.linspace(0.0, 5.0, 101) / year
    chance = chance_of_passing(true, needed_bar=needed, bars=bars)
    assert (np.diff(chance) > 0.0).all()
    assert chance[0] < 0.001
    assert chance_of_passing(np.array([needed]), needed_bar=needed, bars=bars)[0] == pytest.approx(0.5, abs=1e-12)


def test_the_chance_to_pass_is_what_drawn_records_show() -> None:
    bars, draws, true, needed = 500, 4000, 0.06, 0.09
    records = np.random.default_rng(3).normal(true, 1.0, (draws, bars))
    shown = records.mean(axis=1) / records.std(axis=1, ddof=1)
    chance = chance_of_passing(np.array([true]), needed_bar=needed, bars=bars)[0]
    assert float((shown >= needed).mean()) == pytest.approx(chance, abs=0.02)

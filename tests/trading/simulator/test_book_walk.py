"""Market orders through a book that is there to be seen, and the k that recorded books say."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.impact import measure
from tests.conftest import DATA, needs_data
from tests.trading.simulator.markets import carry_spec, random_tape, rule_spec
from trading.domain.errors import DataProviderError, OrderValidationError
from trading.domain.instrument import Market
from trading.simulator.book_walk import least_slippage_rate, walk, walked_slippage_rate
from trading.simulator.carry import simulate_carry
from trading.simulator.costs import FITTED_K, CarryCosts, Costs, MarketRules
from trading.simulator.simulate import simulate

ASKS = ((100.0, 1.0), (101.0, 2.0), (110.0, 10.0))
BIDS = ((99.0, 1.0), (98.0, 5.0))


def test_an_order_takes_the_best_levels_first_and_pays_their_average() -> None:
    done = walk(ASKS, 100.0 + 101.0)
    assert (done.filled_base, done.levels_used, done.unfilled_quote) == (2.0, 2, 0.0)
    assert done.average_price == pytest.approx(100.5)
    assert walked_slippage_rate(ASKS, 201.0) == pytest.approx(0.005)
    assert walked_slippage_rate(ASKS, 201.0, reference_price=99.5) == pytest.approx(1.0 / 99.5)


def test_inside_the_best_level_nothing_but_half_the_spread_is_paid() -> None:
    assert walked_slippage_rate(ASKS, 50.0) == 0.0
    assert walked_slippage_rate(ASKS, 50.0, reference_price=99.5) == pytest.approx(0.5 / 99.5)
    assert walked_slippage_rate(BIDS, 50.0, reference_price=99.5) == pytest.approx(0.5 / 99.5)


def test_what_a_thin_book_cannot_fill_is_said_and_has_no_rate() -> None:
    done = walk(BIDS, 1000.0)
    assert (done.filled_base, done.levels_used) == (6.0, 2)
    assert done.unfilled_quote == pytest.approx(1000.0 - 99.0 - 490.0)
    assert walked_slippage_rate(BIDS, 1000.0) is None


def test_what_a_thin_book_cannot_fill_costs_at_least_its_last_level() -> None:
    # 99 and 490 USDT are there, the other 411 are not to be had above 98
    average = 1000.0 / (1.0 + 901.0 / 98.0)
    assert least_slippage_rate(BIDS, 1000.0, reference_price=99.5) == pytest.approx(1.0 - average / 99.5)


@given(st.floats(1.0, 2_000.0), st.integers(1, 3))
def test_the_least_is_what_is_paid_where_the_book_is_deep_enough_and_never_more(notional: float, known: int) -> None:
    least = least_slippage_rate(ASKS[:known], notional, reference_price=99.5)
    paid = walked_slippage_rate((*ASKS, (200.0, 1e9)), notional, reference_price=99.5)
    assert paid is not None
    assert least <= paid + 1e-12
    if (whole := walked_slippage_rate(ASKS[:known], notional, reference_price=99.5)) is not None:
        assert least == pytest.approx(whole)


@pytest.mark.parametrize("notional", [0.0, -1.0, float("nan"), float("inf")])
def test_a_notional_that_is_none_is_refused(notional: float) -> None:
    with pytest.raises(OrderValidationError, match="notional_quote="):
        walk(ASKS, notional)


@pytest.mark.parametrize(
    ("levels", "why"),
    [
        ((), "side is empty"),
        (((100.0, 1.0), (float("nan"), 1.0)), "level 1: 1.0 at nan"),
        (((100.0, -1.0),), "level 0: -1.0 at 100.0"),
    ],
)
def test_levels_that_are_none_are_refused(levels: tuple[tuple[float, float], ...], why: str) -> None:
    with pytest.raises(DataProviderError, match=why):
        walk(levels, 1000.0)


@settings(deadline=None, max_examples=100)
@given(
    steps=st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.01, 10.0)), min_size=1, max_size=20),
    share=st.floats(0.01, 0.99),
)
def test_money_in_is_money_out_and_more_never_costs_less(steps: list[tuple[float, float]], share: float) -> None:
    price, levels = 100.0, []
    for up, size in steps:
        price += up
        levels.append((price, size))
    whole = sum(p * q for p, q in levels)
    part, more = walk(levels, whole * share * 0.99), walk(levels, whole * 0.995)
    assert part.average_price * part.filled_base == pytest.approx(whole * share * 0.99)
    assert levels[0][0] <= part.average_price * (1 + 1e-12)
    assert part.average_price <= more.average_price * (1 + 1e-12)


def test_every_result_names_its_impact_law() -> None:
    spot, perp = random_tape(1, 60, market=Market.SPOT, wild=False), random_tape(1, 60, wild=False)
    own = simulate(perp, rule_spec(), costs=Costs(impact_k=0.8), rules=MarketRules())
    assert own.impact_source == "square-root law, k = 0.8: as given"
    assert "335 perpetual books" in simulate(perp, rule_spec(), costs=Costs(), rules=MarketRules()).impact_source
    carried = simulate_carry(spot, perp, carry_spec(), costs=CarryCosts(perp=Costs(impact_k=2.0)))
    assert "k = 0.6" in carried.impact_source
    assert "k = 2: as given" in carried.impact_source


@needs_data
def test_the_default_k_is_the_larger_of_the_fits_to_the_recorded_books_rounded_up() -> None:
    fits = {source: told["1h"] for source, told in measure(DATA).items() if source.endswith(".gz")}
    assert len(fits) == 2
    assert max(told["k_95"][1] for told in fits.values()) <= FITTED_K
    assert max(told["k"] for told in fits.values()) > FITTED_K - 0.1
    assert all(told["r2"] > 0.7 and told["free_exponent"] > 0.8 for told in fits.values())

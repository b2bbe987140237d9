"""The carry: two legs, their costs and margin, funding by settlement, and a profit that is split to the cent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import DATA, needs_data
from tests.trading.simulator.markets import HOUR_MS, START_MS, carry_spec, random_tape, rule_spec, tape_of
from trading.domain.errors import SpecError
from trading.domain.instrument import Market
from trading.market.importers import import_recorded
from trading.market.tape import Tape, make_tape
from trading.simulator.carry import simulate_carry
from trading.simulator.carry_numbers import CARRY_RULES, carry_terms
from trading.simulator.carry_outlook import CarryVerdict, CarryView, carry_decision, outlooks
from trading.simulator.carry_records import CarryActed
from trading.simulator.carry_stepper import CarryStepper
from trading.simulator.carry_weights import CarryWeights
from trading.simulator.costs import CarryCosts, Costs
from trading.simulator.metrics import summary

EIGHT_H_MS = 8 * HOUR_MS
FREE = CarryCosts(Costs(0.0, 0.0, 0.0, 0.0), Costs(0.0, 0.0, 0.0, 0.0))
DAYS = 10


def legs(
    price: list[float], *, rate: float = 0.0003, until_bar: int | None = None, premium: float = 0.0
) -> tuple[Tape, Tape]:
    """Flat hourly bars at these prices, the perpetual `premium` above, funded every 8 h."""
    flows = [
        (START_MS + t, rate if until_bar is None or t < until_bar * HOUR_MS else -rate, float("nan"))
        for t in range(0, len(price) * HOUR_MS, EIGHT_H_MS)
    ]
    spot = tape_of([(p, p, p, p) for p in price], market=Market.SPOT)
    perp = tape_of([(p * (1 + premium),) * 4 for p in price], funding=flows)
    return spot, perp


def test_it_enters_once_the_expectation_is_known_earns_each_settlement_and_pays_both_legs() -> None:
    spot, perp = legs([100.0] * 24 * DAYS)
    costs = CarryCosts(Costs(0.001, 0.001, 0.0, 0.0), Costs(0.0005, 0.0002, 0.0, 0.0))
    result = simulate_carry(spot, perp, carry_spec(), costs=costs)
    first = int(np.argmax(result.in_position))
    # The first settlement lies 64 h before the close of bar 63, which covers a window of 72 h; bar 64 acts.
    assert first == 64
    quantity = result.short_base[first]
    assert quantity == pytest.approx(9000.0 / (100.0 * (2 + 0.0015)), abs=0.001)
    met = len([t for t in perp.funding.time_ms if t > result.open_time_ms[first]])
    assert result.settlements == met
    assert result.funding_quote == pytest.approx(met * quantity * 100.0 * 0.0003)
    assert result.fees_quote == pytest.approx(quantity * 100.0 * 0.0015)
    assert result.basis_quote == pytest.approx(0.0)
    assert result.equity[-1] == pytest.approx(10_000.0 + result.funding_quote - result.fees_quote)


def test_it_leaves_when_the_expectation_falls_and_not_before_the_least_settlements() -> None:
    spot, perp = legs([100.0] * 24 * DAYS, until_bar=80)
    soon = simulate_carry(spot, perp, carry_spec(min_hold_fundings=1), costs=FREE)
    late = simulate_carry(spot, perp, carry_spec(min_hold_fundings=12), costs=FREE)
    assert (soon.entries, soon.exits, late.exits) == (1, 1, 1)
    assert soon.trades[0]["settlements"] < 12 <= late.trades[0]["settlements"]
    assert CarryActed(soon.trades[0]["reason"]) is CarryActed.EXPECTATION


def test_a_move_of_both_legs_together_earns_and_costs_nothing() -> None:
    price = [100.0] * 80 + [100.0 + i * 0.25 for i in range(160)]
    spot, perp = legs(price, rate=0.0003)
    result = simulate_carry(spot, perp, carry_spec(), costs=FREE)
    assert result.liquidations == 0
    assert result.basis_quote == pytest.approx(0.0, abs=1e-8)
    assert result.equity[-1] == pytest.approx(10_000.0 + result.funding_quote)


def test_a_premium_that_goes_is_basis_earned() -> None:
    spot, perp = legs([100.0] * 24 * DAYS)
    wide = np.where(np.arange(24 * DAYS) < 150, 1.005, 1.0)
    perp = make_tape(replace(perp, **{n: getattr(perp, n) * wide for n in ("open", "high", "low", "close")}))
    result = simulate_carry(spot, perp, carry_spec(), costs=FREE)
    assert result.basis_quote == pytest.approx(result.short_base[-1] * 0.5)


def test_no_entry_beyond_the_largest_basis() -> None:
    spot, perp = legs([100.0] * 24 * DAYS, premium=0.02)
    assert simulate_carry(spot, perp, carry_spec(), costs=FREE).entries == 0


def test_a_doubled_price_liquidates_the_short_for_its_margin_and_the_spot_leg_goes_at_the_next_open() -> None:
    price = [100.0] * 80 + [240.0] * 10
    spot, perp = legs(price)
    result = simulate_carry(spot, perp, carry_spec(), costs=FREE)
    trade = result.trades[0]
    assert (result.liquidations, CarryActed(trade["reason"]), trade["exit_bar"]) == (1, CarryActed.LIQUIDATION, 81)
    margin = trade["quantity"] * trade["perp_entry_price"]
    spot_gain = trade["quantity"] * (240.0 - 100.0)
    assert trade["pnl"] == pytest.approx(spot_gain - margin)
    assert result.identity_error_quote() < 1e-6


def test_a_liquidation_inside_a_bar_pays_its_slippage_out_of_what_is_left_of_the_margin() -> None:
    spot, perp = legs([50_000.0] * 90)  # a coin so dear that less than one is held
    high = perp.high.copy()
    high[80] = 120_000.0
    costs = CarryCosts(Costs(0.0, 0.0, 0.0, 0.0), Costs(0.0, 0.0, 0.0005, 0.0))
    result = simulate_carry(spot, make_tape(replace(perp, high=high)), carry_spec(), costs=costs)
    (trade,) = result.trades
    assert trade["quantity"] < 1.0
    short, per_coin = trade["perp_entry_price"], trade["funding"] / trade["quantity"]
    assert short == pytest.approx(50_000.0 * 0.9995)
    # Margin and result together are the maintenance margin there; leverage is 1, so the margin was the short's price.
    met = (2.0 * short + per_coin) / (1.0 + CARRY_RULES.maintenance_rate)
    assert trade["perp_exit_price"] == pytest.approx(met * 1.0005)
    assert result.liquidations == 1


def test_a_liquidation_pays_the_impact_of_its_own_size_at_the_bar_before() -> None:
    spot, perp = legs([50_000.0 + 50.0 * (bar % 2) for bar in range(90)])
    high, thin = perp.high.copy(), np.full(90, 40.0)
    high[80] = 120_000.0
    costs = CarryCosts(Costs(0.0, 0.0, 0.0, 0.0), Costs(0.0, 0.0, 0.0, 0.5))
    result = simulate_carry(spot, make_tape(replace(perp, high=high, volume_base=thin)), carry_spec(), costs=costs)
    (trade,) = result.trades
    short, per_coin = trade["perp_entry_price"], trade["funding"] / trade["quantity"]
    met = (2.0 * short + per_coin) / (1.0 + CARRY_RULES.maintenance_rate)
    changes = np.abs(np.log(50_050.0 / 50_000.0)) * np.ones(79)
    variance = sum(0.06 * 0.94 ** (78 - at) * change**2 for at, change in enumerate(changes))
    share = trade["quantity"] * met / (40.0 * perp.close[79])
    paid = trade["perp_exit_price"] / met - 1.0
    assert paid == pytest.approx(0.5 * np.sqrt(variance) * np.sqrt(share), rel=1e-6)
    assert 1e-5 < paid < CARRY_RULES.maintenance_rate, "what the margin cannot pay would not be seen"


def test_a_high_on_a_bar_that_spot_does_not_have_still_liquidates() -> None:
    spot, perp = legs([100.0] * 100)
    high = perp.high.copy()
    high[80] = 300.0
    perp = make_tape(replace(perp, high=high))
    kept = np.arange(100) != 80
    spot = make_tape(
        replace(
            spot,
            open_time_ms=spot.open_time_ms[kept],
            **{n: getattr(spot, n)[kept] for n in ("open", "high", "low", "close", "volume_base")},
        )
    )
    assert simulate_carry(spot, perp, carry_spec(), costs=FREE).liquidations == 1


@settings(deadline=None, max_examples=80)
@given(seed=st.integers(0, 2**31), leverage=st.integers(1, 3), delay=st.sampled_from([0, 2]))
def test_profit_is_funding_plus_basis_less_fees_and_slippage(seed: int, leverage: int, delay: int) -> None:
    spot, perp = random_tape(seed, 200, market=Market.SPOT), random_tape(seed // 2, 200)
    spec = carry_spec(leverage=leverage, max_basis_bps=1000.0)
    rules = replace(CARRY_RULES, min_notional=5.0)
    result = simulate_carry(spot, perp, spec, costs=CarryCosts(), rules=rules, entry_delay_bars=delay)
    assert result.identity_error_quote() < 1e-6
    assert (result.equity > 0.0).all()
    assert result.exits == len(result.trades)
    if not result.in_position[-1] and result.entries == result.exits:
        assert result.equity[-1] == pytest.approx(10_000.0 + result.trades["pnl"].sum())


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31), kept=st.integers(5, 119))
def test_another_future_changes_nothing_of_a_carry_so_far(seed: int, kept: int) -> None:
    perp = random_tape(seed, 120)
    spot = make_tape(replace(random_tape(1, 120, market=Market.SPOT), open_time_ms=perp.open_time_ms))
    end_ms = int(perp.open_time_ms[kept - 1]) + HOUR_MS
    spec = carry_spec(max_basis_bps=1000.0)
    perp = perp.window(perp.start_ms, perp.end_ms)
    whole = simulate_carry(spot, perp, spec, costs=CarryCosts())
    cut = simulate_carry(
        spot.window(spot.start_ms, end_ms), perp.window(perp.start_ms, end_ms), spec, costs=CarryCosts()
    )
    assert cut.equity.tobytes() == whole.equity[: len(cut.equity)].tobytes()


def test_the_expectation_counts_the_window_strictly_before_whatever_the_interval() -> None:
    def expected(every_h: int, rate: float, at_h: int, *, settlements: int = 96) -> float:
        times = START_MS + HOUR_MS * np.arange(0, settlements, every_h)
        arrays = times, np.full(len(times), rate), np.array([START_MS + at_h * HOUR_MS])
        for array in arrays:
            array.flags.writeable = False
        return float(outlooks(*arrays, CarryWeights())[0][0])

    assert expected(8, 0.0008, 80) == pytest.approx(expected(1, 0.0001, 80)) == pytest.approx(0.0001 * 24 * 365)
    assert np.isnan(expected(1, 0.0001, 30))
    assert np.isnan(expected(1, 0.0001, 80, settlements=0))


def test_the_decision_is_the_same_for_anyone() -> None:
    p = carry_spec(entry_apr_pct=10.0, exit_apr_pct=2.0, max_basis_bps=50.0, min_hold_fundings=3).parameters
    terms = carry_terms(p, CarryWeights())

    def said(is_open: bool, apr: float, basis: float, held: int, *, doubt: float = 0.0, far: float = 1.0) -> str:
        return CarryVerdict(carry_decision(CarryView(is_open, apr, doubt, 0.003, basis, held, far), terms)).name

    assert said(False, 0.10, 0.005, 0) == "ENTER"
    assert said(False, 0.0999, 0.0, 0) == said(False, 0.104, 0.0, 0, doubt=0.01) == "FUNDING_LOW"
    assert said(False, 0.5, -0.0051, 0) == "BASIS_WIDE"
    assert said(False, float("nan"), 0.0, 0) == "UNKNOWN"
    assert said(True, 0.019, 0.0, 3) == "LEAVE_EXPECTATION"
    assert said(True, 0.019, 0.0, 2) == "MIN_HOLD"
    assert said(True, 0.05, 0.0, 99) == said(True, float("nan"), 0.0, 99) == "HOLD"
    assert said(True, 0.5, 0.0251, 0) == "LEAVE_BASIS"
    assert said(True, 0.5, 0.0, 0, far=0.249) == "LEAVE_MARGIN"
    needed = 0.003 * 1.25 * 365 / 30
    low = carry_terms(carry_spec(entry_apr_pct=1.0, exit_apr_pct=0.5).parameters, CarryWeights())
    for apr, verdict in ((needed * 0.999, CarryVerdict.COST_HIGH), (needed * 1.001, CarryVerdict.ENTER)):
        assert carry_decision(CarryView(False, apr, 0.0, 0.003, 0.0, 0, 1.0), low) == verdict


def test_legs_of_another_market_and_specs_of_another_kind_are_refused() -> None:
    spot, perp = legs([100.0] * 30)
    with pytest.raises(SpecError, match="its spot leg is spot BTCUSDT 1h, the tape is perp BTCUSDT 1h"):
        simulate_carry(perp, spot, carry_spec(), costs=FREE)
    with pytest.raises(SpecError, match="not a funding_carry"):
        simulate_carry(spot, perp, rule_spec(), costs=FREE)
    later = make_tape(replace(spot, open_time_ms=spot.open_time_ms + 1000 * HOUR_MS))
    with pytest.raises(SpecError, match="no bar in common"):
        simulate_carry(later, perp, carry_spec(), costs=FREE)


def test_warming_up_lets_a_carry_decide_at_its_first_bar() -> None:
    spot, perp = legs([100.0] * 120)
    end_ms = START_MS + 100 * HOUR_MS
    stepper = CarryStepper(carry_spec(), costs=FREE)
    stepper.warm_up(spot.window(START_MS, end_ms), perp.window(START_MS, end_ms))
    assert stepper.position is None
    steps = stepper.advance(spot, perp)
    assert [s.entered for s in steps[:3]] == [False, True, False]


@needs_data
def test_on_five_recorded_years_the_funding_is_the_recorded_rates_times_what_was_held() -> None:
    spot, perp = (import_recorded(DATA, m, "BTCUSDT", "1h") for m in (Market.SPOT, Market.PERP))
    result = simulate_carry(spot, perp, carry_spec(entry_apr_pct=15.0, exit_apr_pct=3.0), costs=CarryCosts())
    f, held = perp.funding, np.concatenate(([0.0], result.short_base[:-1]))
    bar = np.searchsorted(result.open_time_ms, f.time_ms)
    inside = bar < len(held)
    at = np.minimum(np.searchsorted(perp.open_time_ms, f.time_ms), len(perp) - 1)
    mark = np.where(np.isnan(f.mark_price), perp.open[at], f.mark_price)
    own = float((held[bar[inside]] * f.rate[inside] * mark[inside]).sum())
    assert result.funding_quote == pytest.approx(own, rel=1e-9)
    assert result.settlements > 1000
    assert summary(result).trades == result.exits > 3
    assert result.identity_error_quote() < 1e-6

"""What is held is left for a better carry only when that pays the round trips of both, and never in haste."""

from __future__ import annotations

from math import nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.funding.many import ROOMY, ManyVenue, rig_of
from tests.trading.funding.rig import settled
from tests.trading.funding.test_several import BTC, ETH, cycle, held
from trading.domain.decisions import Reason
from trading.funding.better_use import Use, decide_better_use, weakest_first
from trading.funding.carry import Outlook
from trading.funding.carry_settings import CarrySettings
from trading.journal.audit import CycleStatus
from trading.storage.home import Home

CARRY = CarrySettings()
A_YEAR = 365 / CARRY.horizon_days


def use(symbol: str, apr: float, *, cost: float = 0.003, notional: float = 1_000.0, error: float = 0.0) -> Use:
    careful = apr - CARRY.doubt * error
    return Use(symbol, Outlook(apr, error, careful, cost, 1.0, careful / A_YEAR), notional)


def decide(kept: Use, wanted: Use, *, fundings: int = 9) -> tuple[bool, Reason]:
    verdict = decide_better_use(kept, wanted, CARRY, fundings=fundings, min_hold_fundings=3)
    return verdict.allowed, verdict.reason


def test_the_round_trips_of_both_times_the_margin_must_be_earned() -> None:
    enough = 1.25 * (0.003 + 0.003) * A_YEAR
    assert decide(use(BTC, 0.10), use(ETH, 0.10 + enough + 0.001)) == (True, Reason.BETTER_USE)
    assert decide(use(BTC, 0.10), use(ETH, 0.10 + enough - 0.001)) == (False, Reason.HOLDING)


def test_it_is_not_left_before_its_least_settlements_nor_when_too_little_is_known_of_it() -> None:
    assert decide(use(BTC, 0.10), use(ETH, 5.0), fundings=2) == (False, Reason.HOLDING)
    assert decide(use(BTC, nan), use(ETH, 5.0)) == (False, Reason.HOLDING)
    assert weakest_first([use(BTC, nan), use(ETH, 0.2), use("SOLUSDT", 0.1)])[0].symbol == "SOLUSDT"


def test_a_better_rate_on_a_smaller_place_is_weighed_in_money() -> None:
    assert decide(use(BTC, 0.20), use(ETH, 0.50)) == (True, Reason.BETTER_USE)
    assert decide(use(BTC, 0.20), use(ETH, 0.50, notional=300.0)) == (False, Reason.HOLDING)


RATES = st.floats(-1, 3)
COSTS = st.floats(0.0005, 0.02)


@settings(deadline=None)
@given(RATES, RATES, COSTS, COSTS, st.floats(0, 1), st.floats(0, 1))
def test_whoever_was_left_for_another_is_not_taken_back_on_the_same_numbers(
    first: float, second: float, cost: float, dear: float, error: float, other: float
) -> None:
    a, b = use(BTC, first, cost=cost, error=error), use(ETH, second, cost=dear, error=other)
    assert not (decide(a, b)[0] and decide(b, a)[0])
    assert not decide(a, use(ETH, first, cost=dear, error=other))[0], "what is the same is no better"


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=2, max_size=60), COSTS)
def test_two_that_swap_places_in_noise_smaller_than_the_cost_of_a_swap_are_not_chased(
    noise: list[tuple[float, float]], cost: float
) -> None:
    most = 1.25 * 2 * cost * A_YEAR / 2 * 0.999
    holds, swaps = 0, 0
    for moves in noise:
        aprs = [0.2 + most * move for move in moves]
        kept, wanted = use(BTC, aprs[holds], cost=cost), use(ETH, aprs[1 - holds], cost=cost)
        if decide(kept, wanted)[0]:
            holds, swaps = 1 - holds, swaps + 1
    assert swaps == 0


@pytest.fixture
def venue() -> ManyVenue:
    return ManyVenue("BTC", "ETH")


def pays(venue: ManyVenue, symbol: str, rate: float) -> None:
    venue.of[symbol].rate, venue.of[symbol].history = rate, settled(rate)


async def test_the_desk_leaves_for_a_much_better_carry_opens_it_next_and_does_not_come_back(
    home: Home, venue: ManyVenue
) -> None:
    rig = rig_of(home, venue, ROOMY.model_copy(update={"max_positions": 1}))
    pays(venue, ETH, 0.0001)
    await cycle(rig)
    assert held(rig) == [BTC]
    pays(venue, ETH, 0.0012)
    await cycle(rig)
    assert held(rig) == [BTC], "no settlement has been booked yet"
    venue.of[BTC].settle_funding(0.0003, rig.venue.clock.now_ms())
    report = await cycle(rig)
    assert (report.status, report.reason, report.symbol) == (CycleStatus.EXECUTED, Reason.BETTER_USE, BTC)
    assert "ETHUSDT is expected to bring +" in report.decision.note
    assert rig.desk.store.closed[-1].reason == "BETTER_USE"
    await cycle(rig)
    assert held(rig) == [ETH]
    for _ in range(3):
        venue.of[ETH].settle_funding(0.0012, rig.venue.clock.now_ms())
        report = await cycle(rig)
    assert (held(rig), report.reason) == ([ETH], Reason.HOLDING)


async def test_two_carries_that_swap_places_in_noise_do_not_churn(home: Home, venue: ManyVenue) -> None:
    rig = rig_of(home, venue, ROOMY.model_copy(update={"max_positions": 1}))
    await cycle(rig)
    first = held(rig)
    for turn in range(8):
        venue.of[first[0]].settle_funding(0.0003, rig.venue.clock.now_ms())
        better, worse = (BTC, ETH) if turn % 2 else (ETH, BTC)
        pays(venue, better, 0.00034)
        pays(venue, worse, 0.00027)
        report = await cycle(rig)
        assert (held(rig), report.reason) == (first, Reason.HOLDING)
    assert len(rig.desk.store.closed) == 0


@pytest.mark.parametrize("limits", [{"leverage": 1}, {"trades_per_day": 2}])
async def test_nothing_is_left_for_a_carry_that_could_not_be_opened_all_the_same(
    home: Home, venue: ManyVenue, limits: dict[str, int]
) -> None:
    rig = rig_of(home, venue, ROOMY.model_copy(update={"max_positions": 1, **limits}))
    pays(venue, ETH, 0.0001)
    await cycle(rig)
    pays(venue, ETH, 0.0012)
    venue.of[BTC].settle_funding(0.0003, rig.venue.clock.now_ms())
    leverage = 3 if "leverage" in limits else 1
    report = await cycle(rig, leverage=leverage)
    assert (held(rig), report.reason) == ([BTC], Reason.HOLDING)


async def test_a_budget_without_room_is_full_too(home: Home, venue: ManyVenue) -> None:
    rig = rig_of(home, venue, ROOMY.model_copy(update={"total_at_risk_pct": 8.0}))
    pays(venue, ETH, 0.0001)
    await cycle(rig)
    assert held(rig) == [BTC]
    pays(venue, ETH, 0.0012)
    venue.of[BTC].settle_funding(0.0003, rig.venue.clock.now_ms())
    report = await cycle(rig)
    assert report.reason is Reason.BETTER_USE
    assert report.decision.value > report.decision.limit

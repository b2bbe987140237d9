"""The live carry over real sockets, through the real exchange client, on a recorded market."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.conftest import needs_data
from tests.trading.funding.sandbox_rig import HOUR_MS, START_MS, World, world
from trading.domain.decisions import Reason
from trading.funding.report import CycleReport
from trading.journal.audit import CycleStatus
from trading.storage.home import Home

pytestmark = needs_data
D = Decimal
LOT = D("0.001")


async def held(here: World) -> tuple[Decimal, Decimal]:
    """Spot base and contract quantity as the sandbox's own ledger says, over the lab's client."""
    from trading.domain.instrument import Market

    balances = await here.venue.balances(Market.SPOT)
    spot = balances["BTC"].total if "BTC" in balances else D(0)
    return spot, (await here.venue.position("BTCUSDT")).quantity_base


def even(report: CycleReport) -> None:
    assert report.identity is None or abs(report.identity.error_quote) <= D("0.01"), report.identity


async def no_duplicates(here: World) -> None:
    assert (await here.ask("/sandbox/seen"))["duplicate_orders"] in (0, [], {})


async def test_a_carry_opens_is_paid_recorded_funding_and_closes(home: Home) -> None:
    async with world(home) as here:
        desk = here.desk()
        report = await here.cycle(desk)
        assert (report.status, report.reason) == (CycleStatus.EXECUTED, Reason.OK), report.decision
        spot, perp = await held(here)
        assert perp < 0
        assert abs(spot + perp) < LOT
        await here.jump(START_MS + 2 * HOUR_MS + 120_000)  # past the settlement of 08:00
        report = await here.cycle(desk)
        even(report)
        assert report.reason is Reason.HOLDING, report.decision
        assert report.performance is not None
        assert report.performance.settlements == 1
        assert report.performance.funding_quote > 0
        assert report.main.account is not None
        notional_quote = float(-perp * report.main.account.mark_price)
        assert float(report.main.account.margin_quote) == pytest.approx(notional_quote, rel=0.03), (
            "isolated, at leverage 1"
        )
        here.home.kill_files[0].write_text("")
        report = await here.cycle(desk)
        assert report.reason is Reason.KILL_SWITCH
        spot, perp = await held(here)
        assert perp == 0
        assert spot < LOT / 10
        (closed,) = desk.store.closed
        assert closed.settlements == 1
        assert closed.settled is not None
        (paid,) = closed.settled
        assert (paid.amount_quote, paid.at_ms // HOUR_MS) == (closed.funding_quote, START_MS // HOUR_MS + 2)
        assert paid.perp_base < 0
        assert paid.venue_id
        await no_duplicates(here)


async def test_a_carry_whose_expectation_is_gone_is_closed_by_the_saga(home: Home) -> None:
    async with world(home) as here:
        desk = here.desk()
        await here.cycle(desk, exit_apr_pct=400.0, entry_apr_pct=401.0)
        assert desk.store.lives == ()  # nothing pays that much
        await here.cycle(desk, min_hold_fundings=0, entry_apr_pct=5.0, exit_apr_pct=4.9)
        assert desk.store.lives
        live = desk.store.live_of("BTCUSDT")
        from dataclasses import replace

        stricter = live.parameters.model_copy(update={"exit_apr_pct": 400.0})
        desk.store.save(replace(live, parameters=stricter))
        report = await here.cycle(desk)
        assert report.reason is Reason.EXPECTATION_NEGATIVE
        assert (await held(here))[1] == 0
        assert desk.store.closed[-1].profit_quote < 0  # the round trip was paid and nothing earned
        await no_duplicates(here)


async def test_a_lost_answer_of_an_accepted_order_is_found_again(home: Home) -> None:
    async with world(home) as here:
        await here.faults(
            {"match": "POST /fapi/v1/order", "times": 1, "kind": "lost_answer"},
            {"match": "POST /api/v3/order", "times": 1, "kind": "lost_answer"},
        )
        desk = here.desk()
        report = await here.cycle(desk)
        assert report.reason is Reason.OK, report.decision
        spot, perp = await held(here)
        assert perp < 0
        assert abs(spot + perp) < LOT
        await no_duplicates(here)
        even(await here.cycle(desk))


async def test_a_second_leg_filled_half_is_completed(home: Home) -> None:
    async with world(home) as here:
        await here.faults({"match": "POST /fapi/v1/order", "times": 1, "kind": "half_fill"})
        desk = here.desk()
        report = await here.cycle(desk)
        assert report.reason is Reason.OK, report.decision
        spot, perp = await held(here)
        assert abs(spot + perp) < LOT
        even(await here.cycle(desk))


async def test_a_leg_that_is_rejected_leaves_nothing_behind(home: Home) -> None:
    async with world(home) as here:
        await here.faults({"match": "POST /fapi/v1/order", "times": 50, "kind": "reject:-2019"})
        desk = here.desk()
        report = await here.cycle(desk)
        assert not report.decision.allowed
        spot, perp = await held(here)
        assert perp == 0
        assert spot < LOT
        assert desk.store.lives == ()


async def test_a_lab_that_died_while_opening_resumes_to_even(home: Home) -> None:
    async with world(home) as here:
        desk = here.desk()
        place, calls = here.venue.place, []

        async def place_then_die(order):  # type: ignore[no-untyped-def]
            calls.append(order)
            state = await place(order)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return state

        here.venue.place = place_then_die  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            await here.cycle(desk)
        here.venue.place = place  # type: ignore[method-assign]
        again = here.desk()
        await again.resume()
        spot, perp = await held(here)
        assert abs(spot + perp) < LOT
        await no_duplicates(here)
        even(await here.cycle(again, armed=False))


async def test_a_venue_that_answers_with_server_trouble_opens_the_breaker_and_nothing_else(home: Home) -> None:
    async with world(home) as here:
        here.limits = here.limits.model_copy(update={"max_failures_in_row": 2})
        desk = here.desk()
        await here.faults({"match": "GET /api/v3/account", "kind": "503", "times": 1000})
        for _ in range(here.limits.max_failures_in_row):
            assert (await here.cycle(desk)).status is CycleStatus.DEGRADED
        await here.http.delete(f"{here.url}/sandbox/faults")
        report = await here.cycle(desk)
        assert report.reason is Reason.EXCHANGE_HEALTH
        (opened,) = [event for event in here.events if event.name == "risk.breaker_opened"]
        assert (opened.facts["reason"], opened.facts["value"]) == (Reason.EXCHANGE_HEALTH, 2.0)
        assert await held(here) == (D(0), D(0))

"""The desk under its risk rules: breakers, clocks and tails decide in a real cycle, and closing asks none of them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import cast

import pytest

from tests.trading.execution.fake_venue import HOUR_MS, FakeVenue
from tests.trading.execution.rig import START_MS, VirtualClock
from tests.trading.funding.rig import DeskRig, settled
from trading.domain.decisions import Reason
from trading.domain.events import Severity
from trading.domain.instrument import Market
from trading.domain.market import Bar
from trading.domain.orders import Order, OrderType, Side
from trading.execution.intent_records import OrderRecord
from trading.funding.exposure import pending_quote
from trading.journal.audit import CycleStatus
from trading.storage.home import Home

DAY_MS = 24 * HOUR_MS


class SetClock(VirtualClock):
    """A wall clock that somebody sets; the monotonic one goes on."""

    set_ms = 0

    def _now_ms(self) -> float:
        return super()._now_ms() + self.set_ms


class OwnTimeVenue(FakeVenue):
    """An exchange that keeps the right time."""

    async def time_ms(self) -> int:
        return await super().time_ms() - (self.clock.set_ms if isinstance(self.clock, SetClock) else 0)


def candles(market: Market, closes: list[float]) -> list[Bar]:
    first_ms = START_MS // HOUR_MS * HOUR_MS - len(closes) * HOUR_MS
    return [
        Bar(market, "BTCUSDT", "1h", first_ms + i * HOUR_MS, close, close, close, close, 1.0, True, START_MS)
        for i, close in enumerate(closes)
    ]


async def test_an_outage_lets_nothing_be_opened_until_it_has_rested_and_is_told_once(
    home: Home, venue: FakeVenue
) -> None:
    rig = DeskRig(home, venue)
    venue.fault_on = {"balances": ["down"] * 5}
    for _ in range(5):
        assert (await rig.cycle()).status is CycleStatus.DEGRADED
    report = await rig.cycle()
    assert (report.reason, report.decision.value, report.decision.limit) == (Reason.EXCHANGE_HEALTH, 5.0, 5.0)
    assert venue.quantity == 0
    again = rig.reborn()
    assert (await again.cycle()).reason is Reason.EXCHANGE_HEALTH  # the breaker outlives the process
    venue.clock.spend(61)  # type: ignore[attr-defined]
    assert (await again.cycle()).status is CycleStatus.EXECUTED
    told = [name for name in again.names() if name.startswith("risk.breaker")]
    assert told == ["risk.breaker_opened", "risk.breaker_closed"]


async def test_breakers_that_open_at_once_are_one_notice_and_one_says_that_the_last_is_over(
    home: Home, venue: FakeVenue
) -> None:
    rig = DeskRig(home, venue)
    venue.fault_on = {"balances": ["down"] * 15}
    for _ in range(17):
        await rig.cycle()
    (opened,) = [event for event in rig.events if event.name == "risk.breaker_opened"]
    assert opened.facts["reason"] == "EXCHANGE_HEALTH"
    assert [one["reason"] for one in cast("list[dict[str, object]]", opened.facts["others"])] == ["ERROR_RATE"]
    for _ in range(60):
        venue.clock.spend(61)  # type: ignore[attr-defined]
        await rig.cycle()
    closed = [event for event in rig.events if event.name == "risk.breaker_closed"]
    assert {event.facts["reason"] for event in closed} == {"EXCHANGE_HEALTH", "ERROR_RATE"}
    assert [event.severity for event in closed] == [Severity.INFO, Severity.NOTICE]


async def test_what_is_held_is_closed_while_a_breaker_is_open(home: Home, venue: FakeVenue) -> None:
    rig = DeskRig(home, venue)
    await rig.cycle()
    assert venue.quantity < 0
    rig.desk._room.pulse.limited(3600)
    venue.settle_funding(0.0004, START_MS + HOUR_MS)
    venue.history, venue.rate = settled(-0.0009), -0.0009
    report = await rig.cycle()
    assert [halt.reason for halt in rig.desk.counters.memory.tripped] == [Reason.RATE_LIMITED]
    assert (report.reason, venue.quantity) == (Reason.EXPECTATION_NEGATIVE, 0)


async def test_a_clock_set_ahead_forgets_no_loss_of_the_day_and_opens_nothing(home: Home) -> None:
    clock = SetClock()
    rig = DeskRig(home, OwnTimeVenue(clock, history=settled()))
    await rig.cycle(armed=False)
    before = rig.desk.counters.memory
    clock.set_ms = 3 * DAY_MS
    report = await rig.cycle()
    after = rig.desk.counters.memory
    assert (after.day, after.week, after.day_start_quote) == (before.day, before.week, before.day_start_quote)
    assert not report.decision.allowed
    assert [halt.reason for halt in after.tripped] == [Reason.CLOCK_DRIFT]
    assert "risk.breaker_opened" in rig.names()


async def test_a_wild_hedge_makes_the_trade_small(home: Home, venue: FakeVenue) -> None:
    spot = [50_000.0] * 480
    perp = [price * (1.5 if i % 48 >= 24 else 1.0) for i, price in enumerate(spot)]
    venue.bars = candles(Market.SPOT, spot) + candles(Market.PERP, perp)
    report = await DeskRig(home, venue).cycle()
    tail = [check for check in report.checks if check.reason is Reason.VALUE_AT_RISK]
    assert [round(check.limit) for check in tail] == [400]  # 1 % of 20,000 at a loss of a half
    assert venue.quantity == Decimal("-0.007")


async def test_a_book_that_has_outgrown_a_limit_is_told_until_it_fits_again(home: Home, venue: FakeVenue) -> None:
    rig = DeskRig(home, venue)
    await rig.cycle()
    report = await rig.cycle()
    held = {check.reason: check for check in report.checks if check.note.startswith("of what is held")}
    sizes = {Reason.TOTAL_RISK, Reason.POSITION_SIZE, Reason.CLUSTER_EXPOSURE}
    assert set(held) == {Reason.VALUE_AT_RISK, Reason.EXPECTED_SHORTFALL, Reason.STRESS_LOSS, *sizes}
    assert held[Reason.POSITION_SIZE].value == held[Reason.CLUSTER_EXPOSURE].value == pytest.approx(750.0, rel=0.01)
    assert held[Reason.TOTAL_RISK].value == pytest.approx(1500.0, rel=0.01), "spot and the margin of the contract"
    assert held[Reason.STRESS_LOSS].value == pytest.approx(0.015 * 50_000 * 0.2034, rel=0.01)
    rig.limits = rig.limits.model_copy(update={"stress_loss_pct": 0.5})
    strict = rig.reborn()
    assert (await strict.cycle()).reason is Reason.HOLDING
    (alert,) = [event for event in strict.events if event.name == "risk.book_too_large"]
    assert (alert.facts["reason"], alert.severity) == ("STRESS_LOSS", Severity.ALERT)
    venue.spot_usdt += 20_000
    await strict.cycle()
    assert "risk.book_fits" not in strict.names()  # unexplained money makes no room
    strict.desk.release_halts()
    await strict.cycle()
    await strict.cycle()
    assert "risk.book_fits" in strict.names()


async def test_no_candles_no_trade(home: Home, venue: FakeVenue) -> None:
    venue.fault_on = {"klines": ["down"]}
    report = await DeskRig(home, venue).cycle()
    assert (report.status, report.reason, venue.quantity) == (CycleStatus.DEGRADED, Reason.DATA_UNAVAILABLE, 0)


def test_an_order_out_counts_in_full_and_one_of_no_known_price_as_everything() -> None:
    base, price = Decimal("0.01"), Decimal(50_000)
    order = Order("lab-1-s0-a1", Market.SPOT, "BTCUSDT", Side.BUY, OrderType.POST_ONLY, base, price)
    record = OrderRecord("1", order, START_MS)
    market = replace(record, order=replace(order, type=OrderType.MARKET, price=None))
    prices = {"BTCUSDT": 60_000.0}
    assert pending_quote([record, market], prices=prices, unknown_quote=9_000) == 500 + 600
    assert pending_quote([market], prices={}, unknown_quote=9_000) == 9_000

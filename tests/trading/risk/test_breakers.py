"""Circuit breakers: each reading alone opens its own, restarts and clocks do not close it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trading.execution.fake_venue import FakeVenue
from tests.trading.execution.rig import START_MS, VirtualClock
from trading.domain.decisions import Decision, Reason
from trading.domain.errors import ExecutionError, NetworkDownError, OrderRejectedError, RateLimitError
from trading.domain.instrument import Market
from trading.risk.breakers import open_breakers, readings
from trading.risk.counters import RiskCounters
from trading.risk.limits import RiskLimits
from trading.risk.pulse import Pulse, Vitals, watched

LIMITS = RiskLimits()
BAD = Decision(False, Reason.LATENCY, 9.0, 5.0, "slow")


@pytest.mark.parametrize(
    ("vitals", "reason"),
    [
        (Vitals(failed_in_row=5), Reason.EXCHANGE_HEALTH),
        (Vitals(calls=20, failed=6), Reason.ERROR_RATE),
        (Vitals(latency_s=5.0), Reason.LATENCY),
        (Vitals(limited_for_s=0.1), Reason.RATE_LIMITED),
        (Vitals(clock_drift_s=-1.0), Reason.CLOCK_DRIFT),
    ],
)
def test_each_bad_reading_opens_its_own_breaker(vitals: Vitals, reason: Reason) -> None:
    assert [reading.reason for reading in readings(vitals, LIMITS) if not reading.allowed] == [reason]
    assert all(reading.allowed for reading in readings(Vitals(), LIMITS))


def test_a_few_calls_make_no_rate() -> None:
    assert all(reading.allowed for reading in readings(Vitals(calls=4, failed=4, failed_in_row=4), LIMITS))


def test_an_open_breaker_survives_a_restart_rests_and_closes(tmp_path: Path) -> None:
    path = tmp_path / "counters.json"
    opened, closed = RiskCounters(path).trip([BAD], START_MS, rest_s=60)
    assert ([halt.reason for halt in opened], closed) == ([Reason.LATENCY], ())
    again = RiskCounters(path)
    assert again.trip([BAD], START_MS + 30_000, rest_s=60) == ((), ())  # told once, and the rest begins anew
    assert again.trip([], START_MS + 89_999, rest_s=60) == ((), ())
    assert [d.reason for d in open_breakers(again.memory.tripped, LIMITS, START_MS + 89_999)] == [Reason.LATENCY]
    assert open_breakers(again.memory.tripped, LIMITS, START_MS + 90_000) == ()
    opened, closed = again.trip([], START_MS + 90_000, rest_s=60)
    assert (opened, [halt.reason for halt in closed]) == ((), [Reason.LATENCY])


def test_a_clock_set_back_keeps_a_breaker_open_for_its_rest_and_no_longer(tmp_path: Path) -> None:
    counters, back_ms = RiskCounters(tmp_path / "counters.json"), START_MS - 86_400_000
    counters.trip([BAD], START_MS, rest_s=60)
    counters.mark(1000, back_ms)
    assert open_breakers(counters.memory.tripped, LIMITS, back_ms)
    assert not open_breakers(counters.memory.tripped, LIMITS, back_ms + 60_000)


async def test_every_call_is_counted_and_passes_through_as_it_is() -> None:
    venue = FakeVenue(VirtualClock())
    pulse = Pulse(venue.clock)
    seen = watched(venue, pulse, venue.clock)
    assert (await seen.instrument(Market.PERP, "BTCUSDT")).symbol == "BTCUSDT"  # from memory: not counted
    assert (await seen.funding_now("BTCUSDT")).symbol == "BTCUSDT"
    venue.fault_on = {"quote": ["down"], "balances": ["rate_limit"]}
    with pytest.raises(NetworkDownError):
        await seen.quote(Market.SPOT, "BTCUSDT")
    assert (pulse.vitals.calls, pulse.vitals.failed, pulse.vitals.failed_in_row) == (2, 1, 1)
    with pytest.raises(RateLimitError):
        await seen.balances(Market.SPOT)
    assert (pulse.vitals.calls, pulse.vitals.failed) == (3, 1)  # a definite no is an answer
    assert pulse.vitals.limited_for_s == pytest.approx(1.0, abs=0.1)


async def test_a_refused_order_is_an_answer() -> None:
    class Refusing(FakeVenue):
        async def permissions(self) -> None:
            raise OrderRejectedError("no", code=-2015)

    venue = Refusing(VirtualClock())
    pulse = Pulse(venue.clock)
    with pytest.raises(ExecutionError):
        await watched(venue, pulse, venue.clock).permissions()
    assert pulse.vitals.failed == 0


def test_an_outage_is_not_hidden_by_the_first_good_calls_after_it() -> None:
    pulse = Pulse(VirtualClock())
    for failed in (True,) * 5 + (False,) * 45:
        pulse.answered(0.1, failed=failed)
    assert pulse.vitals.failed_in_row == 5
    pulse.answered(0.1, failed=False)
    assert pulse.vitals.failed_in_row == 4


def test_a_clock_that_was_set_is_compared_anew() -> None:
    clock = VirtualClock()
    pulse = Pulse(clock)
    assert not pulse.knows_clock(1.0)
    pulse.saw_clock(clock.now_ms() - 100, clock.now_ms() - 2_100)
    assert pulse.vitals.clock_drift_s == -2.0
    assert pulse.knows_clock(1.0)
    assert pulse.venue_now_ms() == clock.now_ms() - 2_000
    clock.spend(3600)
    assert pulse.knows_clock(1.0)  # time passed on both
    clock.monotonic_s = lambda: START_MS / 1000  # type: ignore[method-assign]
    assert not pulse.knows_clock(1.0)  # the wall clock alone went ahead

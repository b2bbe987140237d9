"""Rolling tapes without a network: a venue in memory, candles handed in one by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest

from tests.trading.market.samples import HOUR_MS, START_MS, MemoryVenue, bar, bars_of, tape
from trading.domain.clock import Clock, Timeline
from trading.domain.errors import DataProviderError
from trading.domain.events import Event, Severity
from trading.domain.instrument import Market
from trading.domain.market import Bar, FundingNow
from trading.market.realtime_market_data import LiveSettings, RealtimeMarketData
from trading.market.tape import Funding

SPOT, PERP = (Market.SPOT, "BTCUSDT", "1h"), (Market.PERP, "BTCUSDT", "1h")
CLOSES = (100.0 + np.arange(200) % 5).tolist()
SETTLED = Funding(START_MS + 8 * HOUR_MS * np.arange(1, 25), np.full(24, 1e-4), np.full(24, np.nan))


class Rig:
    """A venue whose clock stands at hour 50.5, and what the listener and the journal heard."""

    def __init__(self, *, keep_bars: int = 30, drop: tuple[int, ...] = (), scale: float = 1e-6) -> None:
        self.clock = Clock(scale=scale, origin_ms=START_MS + 50 * HOUR_MS + HOUR_MS // 2)
        self.whole = tape(CLOSES, drop=drop)
        self.perp = tape(CLOSES, market=Market.PERP, funding=SETTLED)
        self.venue = MemoryVenue(self.clock, self.whole, self.perp)
        self.events: list[Event] = []
        self.closed: list[Bar] = []
        self.data = RealtimeMarketData(
            self.venue, self.clock, [SPOT, PERP], publish=self.events.append, settings=LiveSettings(keep_bars)
        )
        self.data.on_closed_bar(self.closed.append)

    def at_hour(self, hour: float) -> None:
        segment = self.clock.timeline
        assert segment is not None
        self.clock.follow(Timeline(self.clock.real_s(), START_MS + hour * HOUR_MS, segment.scale))

    def bar(self, hour: int, key: tuple[Market, str, str] = SPOT) -> Bar:
        return next(b for b in self.venue.bars[key] if b.open_time_ms == START_MS + hour * HOUR_MS)

    def hours(self) -> list[int]:
        return [(b.open_time_ms - START_MS) // HOUR_MS for b in self.closed if b.market is Market.SPOT]

    def names(self) -> list[str]:
        return [event.name for event in self.events]


@pytest.fixture
async def rig() -> Rig:
    rig = Rig()
    await rig.data.open()
    return rig


async def test_history_is_there_before_the_stream_and_the_running_candle_is_not_in_it(rig: Rig):
    held = rig.data.tape(*SPOT)
    assert held.origin == "live"
    assert held.end_ms == START_MS + 50 * HOUR_MS == rig.data.last_closed_ms(*SPOT)
    assert len(held) == 30
    assert held.close.tolist() == rig.whole.close[20:50].tolist()
    assert rig.data.verdict(*SPOT).quality == 100
    assert rig.closed == []


async def test_a_closed_candle_is_told_once_after_the_tape_holds_it(rig: Rig):
    seen_by_listener = []
    rig.data.on_closed_bar(lambda b: seen_by_listener.append(rig.data.tape(*SPOT).end_ms == b.close_time_ms))
    await rig.data.accept(replace(rig.bar(50), is_closed=False))
    assert rig.data.running(*SPOT) is not None
    await rig.data.accept(rig.bar(50))
    await rig.data.accept(rig.bar(50))
    await rig.data.accept(rig.bar(51))
    assert rig.hours() == [50, 51]
    assert seen_by_listener == [True, True]
    assert rig.data.running(*SPOT) is None
    assert rig.data.tape(*SPOT).close.tolist() == rig.whole.close[22:52].tolist(), "the oldest bars roll out"


async def test_a_listener_that_must_be_awaited_is_awaited_in_order(rig: Rig):
    told: list[str] = []

    async def slow(b: Bar) -> None:
        await asyncio.sleep(0)
        told.append(f"slow {(b.open_time_ms - START_MS) // HOUR_MS}")

    rig.data.on_closed_bar(slow)
    for hour in (50, 51):
        await rig.data.accept(rig.bar(hour))
    assert told == ["slow 50", "slow 51"]


async def test_missed_candles_are_fetched_before_the_next_one_is_told(rig: Rig):
    rig.at_hour(55.1)
    await rig.data.accept(replace(rig.bar(55), is_closed=False))
    assert rig.hours() == [50, 51, 52, 53, 54]
    assert rig.names() == ["data.repaired"]
    assert rig.events[0].facts["bars"] == 5
    assert rig.data.tape(*SPOT).gaps == ()


async def test_when_the_repair_fails_nothing_later_is_told_until_it_works(rig: Rig):
    rig.at_hour(53.1)
    rig.venue.down = 1
    await rig.data.accept(rig.bar(52))
    assert rig.hours() == []
    await rig.data.accept(replace(rig.bar(53), is_closed=False))
    assert rig.hours() == [50, 51, 52]


async def test_a_candle_that_rest_does_not_call_closed_yet_is_no_gap(rig: Rig):
    rig.at_hour(52 - 1e-4)  # of the two clocks: the stream's is past the hour, that of REST not quite
    await rig.data.accept(replace(rig.bar(52), is_closed=False))
    assert rig.hours() == [50]
    rig.at_hour(52.01)
    await rig.data.accept(replace(rig.bar(52), is_closed=False))
    assert rig.hours() == [50, 51]
    assert rig.data.tape(*SPOT).gaps == ()
    assert rig.data.running(*SPOT) == replace(rig.bar(52), is_closed=False)


async def test_a_gap_of_the_venue_stays_a_gap():
    rig = Rig(drop=(50, 51))
    await rig.data.open()
    rig.at_hour(52.1)
    asked = len(rig.venue.asked)
    for _ in range(3):
        await rig.data.accept(replace(rig.bar(52), is_closed=False))
    assert len(rig.venue.asked) == asked + 1, "the venue is asked for what it does not have once"
    rig.at_hour(53.1)
    await rig.data.accept(rig.bar(52))
    assert rig.hours() == [52]
    assert rig.data.tape(*SPOT).gaps[0].missing_bars == 2
    assert [finding.rule for finding in rig.data.verdict(*SPOT).findings] == ["GAP"]


async def test_a_candle_that_makes_no_sense_is_asked_for_again(rig: Rig):
    rig.at_hour(51.1)
    await rig.data.accept(replace(rig.bar(50), high=1.0))
    assert rig.hours() == [50]
    assert rig.data.tape(*SPOT).high[-1] == rig.whole.high[50]
    assert rig.names() == ["data.blocked"]
    assert rig.data.verdict(*SPOT).ok_for_orders


async def test_a_candle_that_makes_no_sense_is_asked_for_until_rest_calls_it_closed():
    rig = Rig(scale=10.0)
    rig.venue.settle_ms = 500
    await rig.data.open()
    rig.at_hour(51)
    await rig.data.accept(replace(rig.bar(50), high=1.0))
    assert rig.hours() == [50]
    assert rig.data.tape(*SPOT).high[-1] == rig.whole.high[50]


async def test_a_candle_that_stays_senseless_is_kept_out_and_the_verdict_says_why(rig: Rig):
    rig.at_hour(51.1)
    broken = replace(rig.bar(50), close=float("nan"))
    rig.venue.bars[SPOT] = [broken if b.open_time_ms == broken.open_time_ms else b for b in rig.venue.bars[SPOT]]
    await rig.data.accept(broken)
    assert rig.hours() == []
    assert not rig.data.verdict(*SPOT).ok_for_research
    assert "NOT_A_PRICE" in rig.data.verdict(*SPOT).reasons[0]
    await rig.data.accept(rig.bar(51))
    assert rig.hours() == [51]


async def test_many_bad_candles_in_a_row_raise_an_alert_once(rig: Rig):
    for hour in range(50, 58):
        await rig.data.accept(replace(rig.bar(hour), volume_base=0.0))
    assert rig.hours() == list(range(50, 58)), "a market that stands still may be looked at"
    assert rig.names().count("data.blocked") == 4
    for hour in range(58, 61):
        await rig.data.accept(replace(rig.bar(hour), volume_base=0.0))
    alerts = [event for event in rig.events if event.severity is Severity.ALERT]
    assert [event.name for event in alerts] == ["data.failing"]
    assert alerts[0].facts["failures_in_row"] == 6


async def test_the_other_market_is_the_second_source(rig: Rig):
    await rig.data.accept(rig.bar(50))
    far = bar(50, close=112.0, market=Market.PERP)
    await rig.data.accept(far)
    assert [finding.rule for finding in rig.data.verdict(*PERP).findings] == ["SECOND_SOURCE"]


async def test_a_perpetuals_tape_has_its_settlement_when_the_bar_that_ends_at_it_is_told(rig: Rig):
    settled: list[int] = []
    rig.data.on_closed_bar(lambda b: settled.append(int(rig.data.tape(*PERP).funding.time_ms[-1])))
    assert rig.data.tape(*PERP).funding.time_ms.tolist() == [START_MS + h * HOUR_MS for h in (24, 32, 40, 48)]
    for hour in range(50, 57):
        rig.at_hour(hour + 1.01)
        await rig.data.accept(rig.bar(hour, PERP))
    assert settled == [START_MS + 48 * HOUR_MS] * 5 + [START_MS + 56 * HOUR_MS] * 2


async def test_a_settlement_that_is_listed_late_is_asked_for_with_the_candles_after_it():
    rig = Rig(scale=10.0)
    rig.venue.funding_late_ms = 20_000
    await rig.data.open()
    for hour in range(50, 56):
        rig.at_hour(hour + 1)
        await rig.data.accept(rig.bar(hour, PERP))
    assert rig.data.tape(*PERP).funding.time_ms[-1] == START_MS + 48 * HOUR_MS
    for second in range(60):
        rig.at_hour(56 + second / 3600)
        await rig.data.accept(replace(rig.bar(56, PERP), is_closed=False))
    assert rig.data.tape(*PERP).funding.time_ms[-1] == START_MS + 56 * HOUR_MS


@pytest.mark.parametrize(("told_h", "settled"), [(8, [48, 52, 56]), (4, [48, 56])], ids=["shorter", "longer"])
async def test_the_next_settlement_is_when_the_venue_says_whatever_older_terms_say(told_h: int, settled: list[int]):
    rig = Rig()
    rig.venue.rates = [replace(rig.venue.rates[0], time_ms=START_MS + hour * HOUR_MS) for hour in (40, *settled)]
    rig.venue.funding_interval_ms = told_h * HOUR_MS
    await rig.data.open()
    for hour in range(50, 57):
        if hour == 51:
            rig.venue.funding_interval_ms = (12 - told_h) * HOUR_MS
        rig.at_hour(hour + 1.01)
        await rig.data.accept(rig.bar(hour, PERP))
        held = [(ms - START_MS) // HOUR_MS for ms in rig.data.tape(*PERP).funding.time_ms.tolist()]
        assert held == [40, *(due for due in settled if due <= hour + 1)]
    assert "data.blocked" not in rig.names()


@pytest.mark.parametrize("late_ms", [0, 400], ids=["listed at once", "listed late"])
@pytest.mark.parametrize(("before_h", "after_h"), [(8, 1), (8, 4), (4, 1), (1, 8), (1, 4), (4, 8)])
async def test_a_changed_interval_is_followed_from_the_next_settlement_on(before_h: int, after_h: int, late_ms: int):
    def interval_h(hour: float) -> int:
        return before_h if hour < 50.7 else after_h

    rig = Rig(scale=10.0)
    settled = [hour for hour in range(30, 80) if hour % interval_h(hour) == 0]
    rig.venue.rates = [replace(rig.venue.rates[0], time_ms=START_MS + hour * HOUR_MS) for hour in settled]
    rig.venue.funding_late_ms = late_ms

    async def funding_now(symbol: str) -> FundingNow:
        now_ms = rig.clock.now_ms()
        span_ms = interval_h((now_ms - START_MS) / HOUR_MS) * HOUR_MS
        next_ms = (now_ms // span_ms + 1) * span_ms
        return FundingNow(symbol, 1e-4, next_ms, span_ms, 0.003, 100.0, 100.0, now_ms)

    rig.venue.funding_now = funding_now  # type: ignore[method-assign]
    await rig.data.open()
    for hour in range(50, 58):
        rig.at_hour(hour + 1)
        await rig.data.accept(rig.bar(hour, PERP))
        held = [(ms - START_MS) // HOUR_MS for ms in rig.data.tape(*PERP).funding.time_ms.tolist()]
        assert held == [due for due in settled if held[0] <= due <= hour + 1]
    assert "data.blocked" not in rig.names()


async def test_ages_and_unknown_markets(rig: Rig):
    assert rig.data.age_s(*SPOT) == pytest.approx(0.0, abs=1.0)
    rig.at_hour(52.5)
    assert rig.data.age_s(*SPOT) == pytest.approx(2 * 3600, abs=1.0)
    assert rig.data.age_s(Market.SPOT, "ETHUSDT", "1h") == float("inf")
    with pytest.raises(DataProviderError, match="not subscribed to; subscribed are spot BTCUSDT 1h, perp BTCUSDT 1h"):
        rig.data.tape(Market.SPOT, "ETHUSDT", "1h")


async def test_a_venue_without_history_is_an_error_at_the_start():
    rig = Rig()
    rig.venue.bars[SPOT] = []
    with pytest.raises(DataProviderError, match="no closed candle yet"):
        await rig.data.open()


async def test_running_ends_with_the_stream_and_stops_when_asked(rig: Rig):
    rig.venue.live = [replace(rig.bar(50), is_closed=False), *bars_of(rig.whole)[50:55]]
    await rig.data.run(asyncio.Event())
    assert rig.hours() == [50, 51, 52, 53, 54]
    stop = asyncio.Event()
    rig.data.on_closed_bar(lambda _b: stop.set())
    rig.venue.live = bars_of(rig.whole)[55:60]
    await rig.data.run(stop)
    assert rig.hours()[-1] == 55


async def test_a_cancelled_stream_ends_by_that_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    async def silent(_: object) -> AsyncIterator[Bar]:
        await asyncio.Event().wait()
        yield rig.bar(50)

    monkeypatch.setattr(rig.venue, "stream_bars", silent)
    following = asyncio.create_task(rig.data.run(asyncio.Event()))
    await asyncio.sleep(0.01)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following

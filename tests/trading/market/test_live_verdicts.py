"""What is said of live bars beyond their shape: revisions, halts, late settlements; how often a venue is asked."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.trading.market.samples import HOUR_MS, START_MS, bar
from tests.trading.market.test_realtime_market_data import PERP, SPOT, Rig
from trading.domain.clock import Clock
from trading.domain.events import Event, Severity
from trading.domain.instrument import Instrument, Market
from trading.domain.market import Bar, FundingRate
from trading.market.live_verdicts import LiveVerdicts
from trading.market.patience import Patience
from trading.market.rolling import RollingBars
from trading.market.validator_rules import ValidatorSettings

STEPS = Instrument(
    Market.SPOT, "BTCUSDT", "BTC", "USDT", Decimal("0.5"), Decimal("0.5"), Decimal("0.5"), Decimal(100), Decimal(5)
)


@pytest.fixture
async def rig() -> Rig:
    rig = Rig()
    await rig.data.open()
    return rig


def rules(rig: Rig, key: tuple[Market, str, str] = SPOT) -> list[str]:
    return [finding.rule.value for finding in rig.data.verdict(*key).findings]


async def test_a_candle_told_again_with_other_numbers_is_a_revision_and_the_one_held_counts(rig: Rig):
    for hour in (50, 51, 52):
        await rig.data.accept(rig.bar(hour))
    held = rig.data.tape(*SPOT)
    await rig.data.accept(rig.bar(51))
    assert "data.revised" not in rig.names(), "the same candle again is nothing new"
    await rig.data.accept(replace(rig.bar(51), volume_base=99.0))
    await rig.data.accept(replace(rig.bar(51), is_closed=False, volume_base=1.0))
    (event,) = [event for event in rig.events if event.name == "data.revised"]
    assert event.facts["open_time_ms"] == START_MS + 51 * HOUR_MS
    assert "REVISED" in str(event.facts["reasons"])
    assert rig.data.tape(*SPOT).content_hash == held.content_hash


async def test_a_symbol_that_the_venue_halts_is_not_traded_and_its_candles_are_kept(rig: Rig):
    rig.data.know(STEPS)
    await rig.data.accept(rig.bar(50))
    assert rules(rig) == []
    rig.data.know(replace(STEPS, is_trading=False))
    await rig.data.accept(rig.bar(51))
    assert rules(rig) == ["SYMBOL_STATUS"]
    assert not rig.data.verdict(*SPOT).ok_for_orders
    assert rig.hours() == [50, 51]


async def test_a_price_off_the_venues_tick_blocks_orders(rig: Rig):
    rig.data.know(STEPS)
    await rig.data.accept(replace(rig.bar(50), high=rig.bar(50).high + 0.25))
    assert rules(rig) == ["TICK"]
    assert "105.25 quote, limit 0.5 quote" in rig.data.verdict(*SPOT).reasons[0]
    assert not rig.data.verdict(*SPOT).ok_for_orders


async def test_the_same_candle_under_new_times_is_a_feed_that_stands_still(rig: Rig):
    last = rig.bar(50)
    told = []
    for hour in range(50, 57):
        again = replace(last, open_time_ms=START_MS + hour * HOUR_MS)
        await rig.data.accept(again)
        told.append("FROZEN" in rules(rig))
    assert told == [False] * 5 + [True, True], "the first is not yet a repeat"


def test_a_settlement_that_stays_away_is_told_an_hour_later_and_no_zero_is_put_in_its_place():
    events: list[Event] = []
    settings = ValidatorSettings()
    verdicts = LiveVerdicts([PERP], Clock(), settings, events.append)
    rolling = RollingBars(*PERP, keep_bars=50)
    rolling.append(bar(-1, market=Market.PERP))
    rolling.settle([FundingRate("BTCUSDT", START_MS + 7, 1e-4, None)])

    def judged(hour: int) -> Bar:
        this = bar(hour, market=Market.PERP, volume=5.0 + hour)
        verdicts.judge(PERP, this, rolling, 100.0, 8 * HOUR_MS, tell=True)
        rolling.append(this)
        return this

    for hour in range(9):
        judged(hour)
        assert verdicts.of(PERP).ok_for_orders, "at its own hour it may still be on its way"
    judged(9)
    assert (
        verdicts.of(PERP).reasons[0].startswith("perp BTCUSDT settlements: settlements are missing: a gap, not zeros")
    )
    assert not verdicts.of(PERP).ok_for_orders
    assert rolling.tape().funding.time_ms.tolist() == [START_MS]
    for hour in range(10, 16):
        judged(hour)
    (alert,) = [event for event in events if event.severity is Severity.ALERT]
    assert (alert.name, alert.facts["failures_in_row"]) == ("data.failing", 6)
    assert "FUNDING_MISSING" in str(alert.facts["top_reason"])
    rolling.settle([FundingRate("BTCUSDT", START_MS + 8 * HOUR_MS, 1e-4, None)])
    judged(16)
    assert verdicts.of(PERP).ok_for_orders


def test_a_contract_of_which_no_settlement_is_known_is_not_traded():
    verdicts = LiveVerdicts([PERP], Clock(), ValidatorSettings(), lambda _event: None)
    verdicts.judge(PERP, bar(1, market=Market.PERP), RollingBars(*PERP, keep_bars=5), 100.0, None, tell=True)
    assert [finding.rule for finding in verdicts.of(PERP).findings] == ["NOT_LOOKED_AT"]
    assert not verdicts.of(PERP).ok_for_orders


async def test_a_venue_that_is_down_is_not_asked_with_every_candle_of_the_stream(rig: Rig):
    rig.at_hour(55.1)
    rig.venue.down = 1000
    asked = len(rig.venue.asked)
    for _ in range(200):
        await rig.data.accept(replace(rig.bar(55), is_closed=False))
    assert len(rig.venue.asked) - asked == 2
    rig.venue.down = 0
    rig.at_hour(55.2)
    await rig.data.accept(replace(rig.bar(55), is_closed=False))
    assert rig.hours() == [50, 51, 52, 53, 54]


def test_the_wait_doubles_up_to_a_minute_and_an_answer_ends_it():
    patience, now_ms, waits = Patience(), 1_000_000, []
    for _ in range(10):
        patience.failed(now_ms)
        wait_ms = next(ms for ms in range(0, 70_000, 1000) if patience.may_ask(now_ms + ms))
        waits.append(wait_ms // 1000)
        now_ms += wait_ms
    assert waits == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    patience.failed(now_ms)
    patience.answered()
    assert patience.may_ask(now_ms)

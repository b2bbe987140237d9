"""The terms of contracts: one reading an hour for all of them, and a new one where a next settlement contradicts it."""

from __future__ import annotations

import asyncio

import pytest

from trading.domain.clock import HOUR_MS, Clock, Timeline
from trading.exchange.answer import Answer
from trading.exchange.funding_terms import KnownTerms

START_MS = 1_704_067_200_000
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


class Rig:
    """Contracts whose intervals the venue changes."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.hours = dict.fromkeys(SYMBOLS, 8)
        self.readings = 0
        self.known = KnownTerms(self.ask, self.clock)
        self.at(0.1)

    def at(self, hour: float) -> None:
        self.now_ms = START_MS + round(hour * HOUR_MS)
        self.clock.follow(Timeline(self.clock.real_s(), self.now_ms, 1e-9))

    async def ask(self) -> object:
        self.readings += 1
        await asyncio.sleep(0)
        terms = {"adjustedFundingRateCap": "0.02", "adjustedFundingRateFloor": "-0.02"}
        return [{"symbol": s, "fundingIntervalHours": h, **terms} for s, h in self.hours.items()]

    async def told_h(self, symbol: str, next_h: int) -> float:
        stated = {"symbol": symbol, "nextFundingTime": START_MS + next_h * HOUR_MS, "time": self.now_ms}
        return (await self.known.of(Answer(stated, "here"), "here")).interval_ms / HOUR_MS


async def test_all_symbols_are_told_of_by_one_reading_an_hour() -> None:
    rig = Rig()
    assert await asyncio.gather(*(rig.told_h(symbol, 8) for symbol in SYMBOLS)) == [8, 8, 8]
    rig.at(0.9)
    assert await rig.told_h("BTCUSDT", 8) == 8
    assert rig.readings == 1
    rig.at(1.2)
    assert [await rig.told_h(symbol, 8) for symbol in SYMBOLS] == [8, 8, 8]
    assert rig.readings == 2


@pytest.mark.parametrize(("was_h", "is_h"), [(8, 1), (8, 4), (4, 1), (1, 4), (1, 8), (4, 8)])
async def test_an_interval_that_the_venue_changes_holds_with_the_next_settlement_it_names(
    was_h: int, is_h: int
) -> None:
    rig = Rig()
    rig.hours["BTCUSDT"] = was_h
    rig.at(7.95)
    assert await rig.told_h("BTCUSDT", 8) == was_h
    rig.at(8.01)
    rig.hours["BTCUSDT"] = is_h
    assert await rig.told_h("BTCUSDT", 16 if is_h == 8 else 8 + is_h) == is_h, "not an hour later"
    assert rig.readings == 2


async def test_a_contradiction_that_stays_is_asked_about_once_a_minute() -> None:
    rig = Rig()
    for second in range(90):
        rig.at(0.1 + second / 3600)
        assert await rig.told_h("BTCUSDT", 3) == 8
    assert rig.readings == 2

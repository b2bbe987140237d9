"""The sandbox's explorer speaks as the public ones do, and its numbers follow from its time alone."""

from __future__ import annotations

from itertools import pairwise

import aiohttp

from sandbox.chain import BLOCK_MS, DAY_MS, GENESIS_MS, ChainDesk, wobble
from tests.loopback import SetClock, serving


async def test_the_chain_grows_with_the_sandboxs_time() -> None:
    clock = SetClock(GENESIS_MS + 850_000 * BLOCK_MS)
    async with serving(ChainDesk(clock)) as url, aiohttp.ClientSession(url) as http:
        async with http.get("/api/blocks/tip/height") as answer:
            assert await answer.text() == "850000"
        clock.at_ms += BLOCK_MS
        async with http.get("/api/blocks/tip/height") as answer:
            assert await answer.text() == "850001"
        async with http.get("/api/v1/difficulty-adjustment") as answer:
            told = await answer.json()
    assert told["nextRetargetHeight"] == 850_001 + told["remainingBlocks"]
    assert told["nextRetargetHeight"] % 2016 == 0
    assert -100 < told["difficultyChange"] < 100


async def test_fees_are_ordered_as_the_page_orders_them_and_the_same_within_an_hour() -> None:
    clock = SetClock(1_700_000_000_000)
    async with serving(ChainDesk(clock)) as url, aiohttp.ClientSession(url) as http:
        told = []
        for _ in range(2):
            async with http.get("/api/v1/fees/recommended") as answer:
                told.append(await answer.json())
            clock.at_ms += 60_000
    assert told[0] == told[1]
    names = ("fastestFee", "halfHourFee", "hourFee", "economyFee", "minimumFee")
    fees = [told[0][name] for name in names]
    assert fees == sorted(fees, reverse=True)
    assert fees[-1] > 0


async def test_a_chart_ends_with_the_day_that_is_not_over_and_an_unknown_one_is_404() -> None:
    clock = SetClock(1_700_000_000_000)
    async with serving(ChainDesk(clock)) as url, aiohttp.ClientSession(url) as http:
        async with http.get("/charts/hash-rate", params={"timespan": "30days", "format": "json"}) as answer:
            told = await answer.json()
        async with http.get("/charts/moon-phase") as answer:
            assert answer.status == 404
    assert told["status"] == "ok"
    assert len(told["values"]) == 31
    assert told["values"][-1]["x"] == clock.at_ms // DAY_MS * 86_400


def test_made_up_numbers_stay_in_their_width_and_do_not_repeat_at_once() -> None:
    found = [wobble(step, 20) for step in range(500)]
    assert set(found) == set(range(20))
    assert sum(a == b for a, b in pairwise(found)) < 50

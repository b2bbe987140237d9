"""Kraken's stand-in answers as Kraken's documentation says, from the same tape as the exchange beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

from sandbox.exchange.exchange import Key, Start
from sandbox.server import Town, build
from trading.market.synthetic import Plan, synthetic_market, write_layout

HOUR_MS = 3_600_000
PLAN = Plan(bars=24 * 40)
pytestmark = pytest.mark.asyncio(loop_scope="module")
START_MS = PLAN.start_ms + 35 * 24 * HOUR_MS + 600_000


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tape")
    made = synthetic_market(PLAN)
    write_layout(folder, [made.spot, made.perp])
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tape: Path) -> AsyncIterator[TestClient[Any, Any]]:
    built = build(Town(Start(tape, ("BTCUSDT",), START_MS), Key("k", "s")))
    built.exchange.clock.begin(START_MS)
    async with TestClient(TestServer(built.app)) as client:
        yield client


async def ask(town: TestClient[Any, Any], what: str) -> Any:
    answer = await town.get(f"/0/public/{what}")
    assert answer.status == 200
    return await answer.json()


async def result(town: TestClient[Any, Any], what: str) -> Any:
    found = await ask(town, what)
    assert found["error"] == []
    return found["result"]


async def test_candles_are_the_720_newest_in_seconds_and_the_last_one_runs(town: TestClient[Any, Any]):
    found = await result(town, "OHLC?pair=XBTUSDT&interval=60")
    rows = found["XBTUSDT"]
    assert len(rows) == 720
    opened = START_MS // HOUR_MS * 3600
    assert [rows[-2][0], rows[-1][0], found["last"]] == [opened - 3600, opened, opened - 3600]
    assert all(isinstance(text, str) for text in rows[0][1:7])
    assert isinstance(rows[0][7], int)
    theirs = await (await town.get("/api/v3/klines?symbol=BTCUSDT&interval=1h&limit=2")).json()
    assert [float(x) for x in rows[-2][1:5]] == [float(x) for x in theirs[0][1:5]], "the same tape"


async def test_since_is_exclusive_and_the_running_candle_is_there_whatever_it_says(town: TestClient[Any, Any]):
    opened = START_MS // HOUR_MS * 3600
    for since, expected in ((opened - 3 * 3600, [opened - 7200, opened - 3600, opened]), (opened + 99_999, [opened])):
        rows = (await result(town, f"OHLC?pair=XBT/USDT&interval=60&since={since}"))["XBTUSDT"]
        assert [row[0] for row in rows] == expected


async def test_refusals_are_words_in_a_list_and_the_status_is_200(town: TestClient[Any, Any]):
    for what, why in (
        ("OHLC?pair=NOPEUSDT", "EQuery:Unknown asset pair"),
        ("Ticker?pair=XBTUSDT,NOPE", "EQuery:Unknown asset pair"),
        ("Depth", "EGeneral:Invalid arguments"),
        ("OHLC?pair=XBTUSDT&interval=7", "EGeneral:Invalid arguments:interval"),
        ("OHLC?pair=XBTUSDT&interval=60&since=soon", "EGeneral:Invalid arguments:since"),
    ):
        found = await ask(town, what)
        assert found == {"error": [why]}


async def test_time_pairs_assets_quotes_and_books_agree(town: TestClient[Any, Any]):
    assert abs((await result(town, "Time"))["unixtime"] - START_MS // 1000) < 60
    assert (await result(town, "SystemStatus"))["status"] == "online"
    assert (await result(town, "Assets"))["XXBT"]["altname"] == "XBT"
    pairs = await result(town, "AssetPairs")
    assert set(pairs) == {"XBTUSDT", "USDTZUSD"}, "one of the tape, and the dollar"
    pair = pairs["XBTUSDT"]
    assert (pair["wsname"], pair["base"], pair["quote"], pair["status"]) == ("XBT/USDT", "XXBT", "USDT", "online")
    ticker = (await result(town, "Ticker?pair=XBTUSDT"))["XBTUSDT"]
    book = (await result(town, "Depth?pair=XBTUSDT&count=2"))["XBTUSDT"]
    assert (len(book["asks"]), len(book["bids"])) == (2, 2)
    assert float(ticker["b"][0]) < float(ticker["a"][0])
    assert float(book["bids"][0][0]) == pytest.approx(float(ticker["b"][0]), rel=1e-3)
    assert float(ticker["l"][1]) <= float(ticker["c"][0]) <= float(ticker["h"][1])

"""What every venue's public side must do, each against its stand-in on one tape. A new venue is one more row here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import ccxt.async_support
import pytest
import pytest_asyncio

from tests.trading.exchange.conftest import HOUR_MS, PLAN, START_MS, SYMBOL, Box
from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError, NetworkDownError, RateLimitError
from trading.domain.instrument import Market
from trading.domain.market import Bar
from trading.domain.venue import ExchangeName, MarketData
from trading.exchange.access import Access
from trading.exchange.errors import translate
from trading.exchange.open_venue import MARKETS, open_market_data
from trading.exchange.rate_plan import RatePlan
from trading.exchange.unified_line import UnifiedLine
from trading.exchange.unified_terms import VENUES
from trading.market.importers import import_recorded
from trading.market.realtime_market_data import LiveSettings, RealtimeMarketData

CANDLES: dict[ExchangeName, str] = {"binance": "GET /api/v3/klines", "kraken": "GET /0/public/OHLC"}
QUOTE: dict[ExchangeName, str] = {"binance": "GET /api/v3/ticker/bookTicker", "kraken": "GET /0/public/Ticker"}


@pytest_asyncio.fixture
async def clock(box: Box) -> Clock:
    clock = Clock()
    box.clear()
    box.follow(clock, 1.0)
    return clock


@pytest.fixture(params=sorted(MARKETS))
def name(request: pytest.FixtureRequest) -> ExchangeName:
    found: ExchangeName = request.param
    return found


@pytest_asyncio.fixture
async def data(name: ExchangeName, box: Box, clock: Clock) -> AsyncIterator[MarketData]:
    data = open_market_data(name, Access(clock, base_url=str(box.http.base_url)))
    yield data
    await data.close()


async def test_its_clock_is_the_venues(data: MarketData, clock: Clock):
    assert abs(await data.time_ms() - clock.now_ms()) < 2000


async def test_filters_are_exact_and_read_once(data: MarketData):
    found = await data.instrument(Market.SPOT, SYMBOL)
    assert (found.symbol, found.base, found.quote, found.is_trading) == (SYMBOL, "BTC", "USDT", True)
    assert found.tick == Decimal("0.01"), "exactly, though it came as a float"
    assert 0 < found.lot <= found.min_quantity < found.max_quantity
    assert found.min_notional > 0
    assert found.quantity(0.12345678) % found.lot == 0
    assert await data.instrument(Market.SPOT, SYMBOL) is found
    with pytest.raises(DataProviderError, match="NOPEUSDT"):
        await data.instrument(Market.SPOT, "NOPEUSDT")


async def test_candles_are_the_tape_oldest_first_and_only_the_last_one_runs(data: MarketData, box: Box):
    recorded = import_recorded(box.tape, Market.SPOT, SYMBOL, "1h").window(START_MS - 50 * HOUR_MS, START_MS)
    bars = await data.klines(Market.SPOT, SYMBOL, "1h", start_ms=recorded.start_ms, limit=1000)
    assert [bar.open_time_ms for bar in bars] == [*recorded.open_time_ms.tolist(), START_MS]
    assert [bar.is_closed for bar in bars] == [True] * 50 + [False]
    assert [bar.close for bar in bars[:-1]] == recorded.close.tolist()
    assert [bar.volume_base for bar in bars[:-1]] == pytest.approx(recorded.volume_base.tolist(), abs=1e-8)
    first = await data.klines(Market.SPOT, SYMBOL, "1h", start_ms=recorded.start_ms, limit=3)
    assert [bar.open_time_ms for bar in first] == recorded.open_time_ms[:3].tolist()
    assert all(bar.is_closed for bar in first)
    with pytest.raises(DataProviderError, match="interval='7m': use one of 1m"):
        await data.klines(Market.SPOT, SYMBOL, "7m", start_ms=START_MS, limit=1)


async def test_quotes_and_books_agree_best_first(data: MarketData, clock: Clock):
    quote, book = await data.quote(Market.SPOT, SYMBOL), await data.book(Market.SPOT, SYMBOL, depth=3)
    assert quote.bid < quote.ask
    assert quote.bid_base > 0
    assert quote.ask_base > 0
    assert abs(quote.at_ms - clock.now_ms()) < 5000
    assert (len(book.bids), len(book.asks)) == (3, 3)
    assert book.bids == tuple(sorted(book.bids, reverse=True))
    assert book.asks == tuple(sorted(book.asks))
    assert book.bids[0][0] == pytest.approx(quote.bid, rel=1e-3)


async def test_what_it_does_not_have_it_refuses_in_words(data: MarketData, name: ExchangeName):
    if Market.PERP in MARKETS[name]:
        assert (await data.funding_now(SYMBOL)).interval_ms > 0
        return
    asked = (
        data.funding_now(SYMBOL),
        data.funding_history(SYMBOL, start_ms=0, limit=1),
        data.instrument(Market.PERP, SYMBOL),
        data.klines(Market.PERP, SYMBOL, "1h", start_ms=0, limit=1),
        data.quote(Market.PERP, SYMBOL),
        data.book(Market.PERP, SYMBOL, depth=1),
        anext(data.stream_bars([(Market.PERP, SYMBOL, "1h")])),
    )
    for call in asked:
        with pytest.raises(DataProviderError, match=f"the lab reads spot only at {name}"):
            await call


async def test_a_venue_that_does_not_answer_is_told_from_one_that_answers_nonsense(
    data: MarketData, box: Box, name: ExchangeName
):
    await data.instrument(Market.SPOT, SYMBOL)
    # a kept connection that breaks is opened anew once by the HTTP client itself
    for kind, times, error in (
        ("drop_socket", 2, NetworkDownError), ("502", 1, DataProviderError), ("html", 1, DataProviderError)
    ):  # fmt: skip
        box.fault(QUOTE[name], kind, times=times)
        with pytest.raises(error):
            await data.quote(Market.SPOT, SYMBOL)
        box.clear()
    nowhere = open_market_data(name, Access(Clock(), base_url="http://127.0.0.1:9"))
    with pytest.raises(NetworkDownError, match="check the network"):
        await nowhere.quote(Market.SPOT, SYMBOL)
    await nowhere.close()


async def test_told_to_stay_away_it_does_and_tells_every_process_of_the_lab(
    box: Box, clock: Clock, name: ExchangeName, tmp_path: Path
):
    access = Access(clock, base_url=str(box.http.base_url), rate=RatePlan(tmp_path, on_loopback=True))
    first, second = open_market_data(name, access), open_market_data(name, access)
    for data in (first, second):
        await data.quote(Market.SPOT, SYMBOL)
    box.fault(QUOTE[name], "429")
    with pytest.raises(RateLimitError) as told:
        await first.quote(Market.SPOT, SYMBOL)
    assert told.value.retry_after_s == 2.0
    asked = box.asked(QUOTE[name])
    for data in (first, second):
        with pytest.raises(RateLimitError, match="asked us to stay away"):
            await data.quote(Market.SPOT, SYMBOL)
        await data.close()
    assert box.asked(QUOTE[name]) == asked


async def test_live_bars_are_the_tape_through_a_hole_and_a_venue_that_fails_now_and_then(
    data: MarketData, box: Box, clock: Clock, name: ExchangeName
):
    live = RealtimeMarketData(data, clock, [(Market.SPOT, SYMBOL, "1h")], settings=LiveSettings(keep_bars=100))
    told: list[Bar] = []
    done = asyncio.Event()

    def listen(bar: Bar) -> None:
        told.append(bar)
        if len(told) == 4:
            box.fault("WS /*" if name == "binance" else CANDLES[name], "drop_socket")
        if len(told) >= 16:
            done.set()

    await live.open()
    live.on_closed_bar(listen)
    box.follow(clock, 100_000.0)
    async with asyncio.timeout(30):
        await live.run(done)
    box.follow(clock, 1.0)
    recorded = import_recorded(box.tape, Market.SPOT, SYMBOL, "1h")
    expected = recorded.window(told[0].open_time_ms, recorded.end_ms)
    assert [bar.open_time_ms for bar in told] == expected.open_time_ms[: len(told)].tolist()
    assert [bar.close for bar in told] == expected.close[: len(told)].tolist()
    assert [bar.high for bar in told] == expected.high[: len(told)].tolist()
    assert all(bar.is_closed for bar in told)
    assert live.tape(Market.SPOT, SYMBOL, "1h").gaps[-1].missing_bars == 4


async def test_a_stream_shows_the_running_candle_and_ends_when_the_venue_is_closed(data: MarketData):
    stream = data.stream_bars([(Market.SPOT, SYMBOL, "1h")])
    first = await asyncio.wait_for(anext(stream), timeout=10)
    assert not first.is_closed
    rest = asyncio.ensure_future(anext(stream, None))
    await asyncio.sleep(0)
    await data.close()
    async with asyncio.timeout(5):
        while await rest is not None:
            rest = asyncio.ensure_future(anext(stream, None))
    await stream.aclose()  # type: ignore[attr-defined]  # a generator


async def test_kraken_has_its_newest_720_candles_and_no_more(box: Box, clock: Clock):
    kraken = open_market_data("kraken", Access(clock, base_url=str(box.http.base_url)))
    bars = await kraken.klines(Market.SPOT, SYMBOL, "1h", start_ms=PLAN.start_ms, limit=1000)
    assert len(bars) == 720
    assert bars[0].open_time_ms > PLAN.start_ms
    await kraken.close()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"error": ["EAPI:Rate limit exceeded"]}, RateLimitError),
        ({"error": ["EGeneral:Too many requests"]}, RateLimitError),
        ({"error": ["EService:Unavailable"]}, NetworkDownError),
        ({"error": ["EService:Market in cancel_only mode"]}, DataProviderError),
        ({"error": ["EQuery:Unknown asset pair"]}, DataProviderError),
        ({"error": ["ENovelty:Never seen"]}, DataProviderError),
        ({"error": [], "result": {}}, DataProviderError),
        ({"error": [], "result": {"XBTUSDT": [["soon", "1", "1", "1", "1", "1", "1", 1]]}}, DataProviderError),
        ({"error": [], "result": {"XBTUSDT": [[1_700_000_000, "1", "much", "1", "1", "1", "1", 1]]}},
         DataProviderError),
        ({"error": [], "result": {"XBTUSDT": [7]}}, DataProviderError),
        ([], DataProviderError),
    ],
)  # fmt: skip
async def test_an_answer_of_krakens_that_is_no_data_is_an_error_of_the_labs(
    body: object, error: type[Exception], monkeypatch: pytest.MonkeyPatch, box: Box, clock: Clock
):
    kraken = open_market_data("kraken", Access(clock, base_url=str(box.http.base_url)))
    await kraken.instrument(Market.SPOT, SYMBOL)
    line: UnifiedLine = kraken._line_held  # type: ignore[attr-defined]  # the wire below ccxt's parsers is put there

    async def fetch(*_: object) -> object:
        line._client.handle_errors(200, "OK", "", "GET", {}, json.dumps(body), body, {}, None)
        return body

    monkeypatch.setattr(line._client, "fetch", fetch)
    with pytest.raises(error, match="kraken spot BTCUSDT 1h klines"):
        await kraken.klines(Market.SPOT, SYMBOL, "1h", start_ms=1_700_000_000_000, limit=10)
    await kraken.close()


@pytest.mark.parametrize("kind", ["exact", "broad"])
def test_each_refusal_of_krakens_has_its_place_in_the_table(kind: str):
    expected = {"DDoSProtection": RateLimitError, "RateLimitExceeded": RateLimitError,
                "ExchangeNotAvailable": NetworkDownError}  # fmt: skip
    classes = ccxt.async_support.kraken().exceptions[kind]
    assert len(classes) >= 7
    for words, error in classes.items():
        told = translate(error(f'kraken {{"error":["{words}"]}}'), writes=False, where="kraken spot BTCUSDT quote")
        assert type(told) is expected.get(error.__name__, DataProviderError), words


async def test_the_last_candle_listed_is_never_taken_as_closed(box: Box, clock: Clock, monkeypatch: pytest.MonkeyPatch):
    kraken = open_market_data("kraken", Access(clock, base_url=str(box.http.base_url)))
    await kraken.instrument(Market.SPOT, SYMBOL)
    rows = [[START_MS // 1000 + hour * 3600, "1", "2", "0.5", "1.5", "1", "7", 3] for hour in (-5, -4, -3)]

    async def fetch(*_: object) -> object:
        return {"error": [], "result": {"XBTUSDT": rows, "last": rows[-2][0]}}

    line: UnifiedLine = kraken._line_held  # type: ignore[attr-defined]  # the wire below ccxt's parsers is put there
    monkeypatch.setattr(line._client, "fetch", fetch)
    bars = await kraken.klines(Market.SPOT, SYMBOL, "1h", start_ms=START_MS - 5 * HOUR_MS, limit=10)
    assert [bar.is_closed for bar in bars] == [True, True, False], "long over, but the venue has not committed it"
    await kraken.close()


def test_each_venue_beside_binance_has_a_row_of_terms():
    assert set(VENUES) == set(MARKETS) - {"binance"}

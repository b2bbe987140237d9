"""The adapter over real sockets against the sandbox exchange, on a made-up tape with a hole in it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import httpx
import numpy as np
import pytest
import pytest_asyncio
from pydantic import SecretStr

from trading.domain.clock import Clock, Timeline
from trading.domain.errors import (
    DataProviderError,
    NetworkDownError,
    OrderRejectedError,
    OrderValidationError,
    OutcomeUnknownError,
    RateLimitError,
    SettingsError,
)
from trading.domain.instrument import Market
from trading.domain.market import Bar
from trading.domain.orders import IncomeKind, Order, OrderStatus, OrderType, Purse, Side
from trading.exchange import binance_market
from trading.exchange.access import Access
from trading.exchange.binance import Binance
from trading.exchange.ccxt_line import Line
from trading.market.archive import archive_at
from trading.market.historical_data_fetcher import Want, fetch_history
from trading.market.history_books import SourceBook
from trading.market.history_fetch import HistoryFetch
from trading.market.history_intake import Stretch, closed_until
from trading.market.history_settlements import fetch_settlements
from trading.market.importers import import_recorded
from trading.market.realtime_market_data import LiveSettings, RealtimeMarketData
from trading.market.series import Series
from trading.market.store import TapeStore
from trading.market.synthetic import Plan, synthetic_market, write_layout
from trading.market.tape import make_tape

HOUR_MS = 3_600_000
SYMBOL = "BTCUSDT"
PLAN = Plan(bars=24 * 60)
START_MS = PLAN.start_ms + 20 * 24 * HOUR_MS
HOLE = slice(24 * 21, 24 * 21 + 5)
"""Spot bars that the tape lacks, a day after the sandbox's start."""
PATH = {Market.SPOT: "/api/v3/order", Market.PERP: "/fapi/v1/order"}


@dataclass
class Sandbox:
    """The running sandbox, and the switches on it."""

    url: str
    tape: Path
    http: httpx.Client

    def fault(self, match: str, kind: str, *, times: int = 1, after: int = 0) -> None:
        schedule = [{"match": match, "kind": kind, "times": times, "after": after}]
        self.http.post("/sandbox/faults", json=schedule).raise_for_status()

    def speed(self, scale: float) -> Timeline:
        answer = self.http.post("/sandbox/clock", json={"scale": scale, "until_ms": None, "scale_after": None}).json()
        return Timeline(answer["anchor_s"], answer["origin_ms"], answer["scale"])

    def asked(self, what: str) -> int:
        return int(self.http.get("/sandbox/seen").json()["requests"].get(what, 0))

    def follow(self, clock: Clock, scale: float) -> None:
        clock.follow(self.speed(scale))


class SetClock(Clock):
    """Real life, and somebody sets the system's clock."""

    ahead_ms = 0

    def _now_ms(self) -> float:
        return super()._now_ms() + self.ahead_ms


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    folder = tmp_path_factory.mktemp("tape")
    made = synthetic_market(PLAN)
    kept = np.delete(np.arange(PLAN.bars), HOLE)
    names = ("open_time_ms", "open", "high", "low", "close", "volume_base")
    holed = make_tape(replace(made.spot, **{name: getattr(made.spot, name)[kept] for name in names}))
    write_layout(folder, [holed, made.perp])
    command = [sys.executable, "-m", "sandbox", "--tape", str(folder), "--symbol", SYMBOL, "--start", str(START_MS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        with httpx.Client(base_url=url) as http:
            yield Sandbox(url, folder, http)
        process.terminate()
        process.wait(timeout=5)


@pytest_asyncio.fixture
async def clock(sandbox: Sandbox) -> Clock:
    clock = Clock()
    sandbox.http.delete("/sandbox/faults")
    sandbox.http.post("/sandbox/reset-seen")
    sandbox.follow(clock, 1.0)
    return clock


@pytest_asyncio.fixture
async def venue(sandbox: Sandbox, clock: Clock) -> AsyncIterator[Binance]:
    keys = {"api_key": SecretStr("sandbox-key"), "api_secret": SecretStr("sandbox-secret")}
    venue = Binance(Access(clock, base_url=sandbox.url, **keys))
    yield venue
    for market in Market:
        await venue.cancel_all(market, SYMBOL)
    await venue.close()


def order(client_id: str, market: Market, side: Side, kind: OrderType, price: Decimal | None = None) -> Order:
    return Order(client_id, market, SYMBOL, side, kind, Decimal("0.01"), price)


async def away(venue: Binance, market: Market, fraction: float) -> Decimal:
    """A price on the tick, so far from the best bid."""
    quote, instrument = await venue.quote(market, SYMBOL), await venue.instrument(market, SYMBOL)
    return instrument.price(quote.bid * fraction)


both_markets = pytest.mark.parametrize("market", Market)


@both_markets
async def test_filters_are_read_and_cached(venue: Binance, sandbox: Sandbox, market: Market):
    found = await venue.instrument(market, SYMBOL)
    assert (found.base, found.quote, found.is_trading) == ("BTC", "USDT", True)
    assert 0 < found.tick < 1 < found.min_notional
    assert 0 < found.lot <= found.min_quantity < found.max_quantity
    assert bool(found.brackets) is (market is Market.PERP)
    asked = sandbox.asked("GET /api/v3/exchangeInfo") + sandbox.asked("GET /fapi/v1/exchangeInfo")
    assert await venue.instrument(market, SYMBOL) is found
    assert sandbox.asked("GET /api/v3/exchangeInfo") + sandbox.asked("GET /fapi/v1/exchangeInfo") == asked == 1
    with pytest.raises(DataProviderError, match="NOPEUSDT"):
        await venue.instrument(market, "NOPEUSDT")


@both_markets
async def test_an_order_refused_by_a_filter_has_the_filters_read_anew(venue: Binance, sandbox: Sandbox, market: Market):
    path, info = (
        ("api/v3", "GET /api/v3/exchangeInfo") if market is Market.SPOT else ("fapi/v1", "GET /fapi/v1/exchangeInfo")
    )
    known, draft = await venue.instrument(market, SYMBOL), order(f"f-{market}", market, Side.BUY, OrderType.MARKET)
    for number in (1, 2):
        sandbox.fault(f"POST /{path}/order", "reject:-1013")
        with pytest.raises(OrderRejectedError):
            await venue.place(draft)
        if number == 2:
            sandbox.fault(info, "5xx")
        again = await venue.instrument(market, SYMBOL)
        assert again == known
        assert sandbox.asked(info) == 1 + number


async def test_quotes_books_and_funding_are_the_markets_own(venue: Binance, sandbox: Sandbox, clock: Clock):
    recorded = import_recorded(sandbox.tape, Market.PERP, SYMBOL, "1h")
    for market in Market:
        quote, book = await venue.quote(market, SYMBOL), await venue.book(market, SYMBOL, depth=3)
        assert quote.bid < quote.ask
        assert abs(quote.at_ms - clock.now_ms()) < 2000
        assert len(book.bids) == len(book.asks) == 3
        assert book.bids[0][0] < book.asks[0][0]
        assert book.bids == tuple(sorted(book.bids, reverse=True))
    now = await venue.funding_now(SYMBOL)
    assert now.interval_ms == 8 * HOUR_MS
    assert 0 <= now.next_ms - clock.now_ms() <= 8 * HOUR_MS
    assert abs(now.rate) <= now.cap_rate
    assert now.mark_price == pytest.approx(now.index_price, rel=0.01)
    history = await venue.funding_history(SYMBOL, start_ms=PLAN.start_ms, limit=20)
    assert [rate.rate for rate in history] == pytest.approx(recorded.funding.rate[:20].tolist(), abs=1e-8)
    assert [rate.time_ms for rate in history] == recorded.funding.time_ms[:20].tolist()
    assert abs(await venue.time_ms() - clock.now_ms()) < 1000


async def test_history_by_rest_is_the_tape_itself(venue: Binance, sandbox: Sandbox, clock: Clock):
    for market in Market:
        recorded = import_recorded(sandbox.tape, market, SYMBOL, "1h")
        # An hour short of now: the settlement of this very moment may not be listed yet.
        end_ms = START_MS - HOUR_MS
        found = await fetch_history(venue, Want(market, SYMBOL, "1h", PLAN.start_ms, end_ms), clock=clock)
        assert found.content_hash == recorded.window(PLAN.start_ms, end_ms).content_hash
    running = (await venue.klines(Market.SPOT, SYMBOL, "1h", start_ms=clock.now_ms() - 2 * HOUR_MS, limit=9))[-1]
    assert not running.is_closed
    with pytest.raises(DataProviderError, match="use one of 1m"):
        await venue.klines(Market.SPOT, SYMBOL, "7m", start_ms=0, limit=1)
    with pytest.raises(DataProviderError, match="-1121"):
        await venue.klines(Market.SPOT, "NOPEUSDT", "1h", start_ms=0, limit=1)


async def test_every_series_comes_from_archive_and_pages_as_the_tape_has_it(
    venue: Binance, sandbox: Sandbox, clock: Clock, tmp_path: Path
):
    store, end_ms = TapeStore(tmp_path), clock.now_ms() // HOUR_MS * HOUR_MS
    while closed_until(clock, HOUR_MS) < end_ms:  # the last candle counts as closed some seconds after its end
        await clock.sleep_s(0.5)
    want = Stretch(SYMBOL, "1h", PLAN.start_ms, end_ms)
    sandbox.fault("GET /data/spot/daily/*.zip", "drop_socket", times=2)
    sandbox.fault("GET /fapi/v1/klines", "5xx")
    async with archive_at(sandbox.url, clock) as archive:
        fetcher = HistoryFetch(store, archive, venue, tmp_path / "ledger", clock, lambda *_: None)
        reports = {series: await fetcher.candles(series, want) for series in Series}
        book = SourceBook(tmp_path / "funding.jsonl")
        settled = await fetch_settlements(store, archive, venue, book, want, clock=clock, told=lambda *_: None)
    for market in Market:
        recorded = import_recorded(sandbox.tape, market, SYMBOL, "1h").window(PLAN.start_ms, end_ms)
        held = store.load(market, SYMBOL, "1h")
        assert np.array_equal(held.close, recorded.close)
        assert np.array_equal(held.funding.rate, recorded.funding.rate)
        assert {store.months(Series(market.value), SYMBOL, "1h")["2024-01"].bars} == {len(recorded)}
    assert settled.held == len(held.funding.time_ms)
    hours = (end_ms - PLAN.start_ms) // HOUR_MS
    assert {report.held for report in reports.values()} == {hours}
    assert all(report.files == 20 and report.paged == hours - 480 for report in reports.values())
    premium = store.series(Series.PREMIUM, SYMBOL, "1h")
    assert (np.abs(premium["close"]) < 0.05).all()
    assert "volume" not in premium


async def test_filters_that_cannot_be_read_again_stay_and_are_not_asked_for_at_every_step_of_an_exit(
    venue: Binance, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = await venue.instrument(Market.SPOT, SYMBOL)
    monkeypatch.setattr(binance_market, "FILTERS_KEPT_S", 0.0)
    sandbox.fault("GET /api/v3/exchangeInfo", "503", times=9)

    def asked() -> int:
        requests: dict[str, int] = sandbox.http.get("/sandbox/seen").json()["requests"]
        return requests["GET /api/v3/exchangeInfo"]

    assert await venue.instrument(Market.SPOT, SYMBOL) == known
    before = asked()
    assert await venue.instrument(Market.SPOT, SYMBOL) == known
    assert asked() == before


@both_markets
async def test_an_order_lives_its_life(venue: Binance, market: Market):
    taken = await venue.place(order(f"life-1-{market}", market, Side.BUY, OrderType.MARKET))
    assert (taken.status, taken.filled_base, taken.order.type) == (
        OrderStatus.FILLED,
        Decimal("0.01"),
        OrderType.MARKET,
    )
    assert taken.average_price is not None
    found = await venue.find(market, SYMBOL, f"life-1-{market}")
    assert found is not None
    assert replace(found, updated_ms=0) == replace(taken, updated_ms=0)
    rests = await venue.place(
        order(f"life-2-{market}", market, Side.BUY, OrderType.POST_ONLY, await away(venue, market, 0.9))
    )
    assert (rests.status, rests.order.type, rests.average_price) == (OrderStatus.OPEN, OrderType.POST_ONLY, None)
    assert [state.order.client_id for state in await venue.open_orders(market, SYMBOL)] == [f"life-2-{market}"]
    gone = await venue.cancel(market, SYMBOL, f"life-2-{market}")
    assert gone is not None
    assert (gone.status, gone.order.client_id) == (OrderStatus.CANCELLED, f"life-2-{market}")
    again = await venue.cancel(market, SYMBOL, f"life-1-{market}")
    assert again is not None
    assert again.status is OrderStatus.FILLED, "a cancel that came too late tells the fill"
    far = order(f"life-3-{market}", market, Side.SELL, OrderType.LIMIT_IOC, await away(venue, market, 1.04))
    ioc = await venue.place(replace(far, quantity_base=Decimal("0.005")))
    assert (ioc.status, ioc.filled_base) == (OrderStatus.EXPIRED, 0)
    fill = next(f for f in await venue.fills(market, SYMBOL, start_ms=START_MS) if f.venue_order_id == taken.venue_id)
    assert (fill.quantity_base, fill.is_maker, fill.side) == (Decimal("0.01"), False, Side.BUY)
    assert fill.fee > 0


@both_markets
async def test_what_the_venue_does_not_know_is_none_and_cancelling_nothing_is_fine(venue: Binance, market: Market):
    assert await venue.find(market, SYMBOL, "never-sent") is None
    assert await venue.cancel(market, SYMBOL, "never-sent") is None
    await venue.cancel_all(market, SYMBOL)


@both_markets
async def test_refusals_carry_the_venues_code(venue: Binance, market: Market):
    crossing = order(f"no-1-{market}", market, Side.BUY, OrderType.POST_ONLY, await away(venue, market, 1.01))
    with pytest.raises(OrderRejectedError) as told:
        await venue.place(crossing)
    assert told.value.code == (-2010 if market is Market.SPOT else -5022)
    small = replace(crossing, client_id=f"no-2-{market}", quantity_base=Decimal("0.00001"))
    with pytest.raises(OrderRejectedError) as told:
        await venue.place(small)
    assert told.value.code in (-1013, -4003, -4164, -1111)
    dear = replace(order(f"no-3-{market}", market, Side.BUY, OrderType.MARKET), quantity_base=Decimal(50))
    with pytest.raises(OrderRejectedError) as told:
        await venue.place(dear)
    assert told.value.code in (-2010, -2019)
    with pytest.raises(OrderValidationError, match="price=None"):
        await venue.place(order("no-4", market, Side.BUY, OrderType.POST_ONLY))


@both_markets
async def test_an_accepted_order_whose_answer_was_lost_is_found_again_and_was_sent_once(
    venue: Binance, sandbox: Sandbox, market: Market
):
    sandbox.fault(f"POST {PATH[market]}", "lost_answer")
    with pytest.raises(OutcomeUnknownError, match="look it up"):
        await venue.place(order(f"lost-{market}", market, Side.BUY, OrderType.MARKET))
    found = await venue.find(market, SYMBOL, f"lost-{market}")
    assert found is not None
    assert found.status is OrderStatus.FILLED
    assert sandbox.asked(f"POST {PATH[market]}") == 1


@pytest.mark.parametrize("kind", ["502", "503", "html", "drop_socket", "reject:-1007", "reject:-1006"])
async def test_an_order_that_got_no_clear_answer_is_in_doubt_and_not_sent_again(
    venue: Binance, sandbox: Sandbox, kind: str
):
    await venue.instrument(Market.PERP, SYMBOL)
    sandbox.fault("POST /fapi/v1/order", kind)
    with pytest.raises(OutcomeUnknownError):
        await venue.place(order(f"doubt-{kind.replace(':', '')}", Market.PERP, Side.BUY, OrderType.MARKET))
    assert sandbox.asked("POST /fapi/v1/order") <= 1


async def test_a_client_id_that_is_taken_means_look_it_up(venue: Binance):
    resting = order("twice", Market.PERP, Side.BUY, OrderType.POST_ONLY, await away(venue, Market.PERP, 0.9))
    await venue.place(resting)
    with pytest.raises(OutcomeUnknownError, match="look it up"):
        await venue.place(resting)
    assert len(await venue.open_orders(Market.PERP, SYMBOL)) == 1


async def test_after_too_many_requests_nothing_is_sent_until_the_time_is_over(
    venue: Binance, sandbox: Sandbox, clock: Clock
):
    await venue.instrument(Market.SPOT, SYMBOL)
    sandbox.fault("GET /api/v3/ticker/bookTicker", "429")
    with pytest.raises(RateLimitError) as told:
        await venue.quote(Market.SPOT, SYMBOL)
    assert told.value.retry_after_s > 0
    asked = sandbox.asked("GET /api/v3/ticker/bookTicker")
    with pytest.raises(RateLimitError, match="asked us to stay away"):
        await venue.quote(Market.SPOT, SYMBOL)
    assert sandbox.asked("GET /api/v3/ticker/bookTicker") == asked
    sandbox.follow(clock, 1000.0)
    await clock.sleep_s(told.value.retry_after_s + 1)
    assert (await venue.quote(Market.SPOT, SYMBOL)).bid > 0


async def test_a_time_stamp_that_was_refused_is_set_right_and_only_reads_are_repeated(venue: Binance, sandbox: Sandbox):
    sandbox.fault("GET /api/v3/account", "reject:-1021")
    assert "USDT" in await venue.balances(Market.SPOT)
    assert sandbox.asked("GET /api/v3/time") == 1
    sandbox.fault("POST /fapi/v1/order", "reject:-1021")
    with pytest.raises(OrderRejectedError) as told:
        await venue.place(order("late", Market.PERP, Side.BUY, OrderType.MARKET))
    assert told.value.code == -1021
    sandbox.fault("GET /fapi/v1/time", "502")
    with pytest.raises(OrderRejectedError, match="not sent, the venue's clock cannot be read"):
        await venue.place(order("late", Market.PERP, Side.BUY, OrderType.MARKET))
    assert sandbox.asked("POST /fapi/v1/order") <= 1
    assert await venue.find(Market.PERP, SYMBOL, "late") is None


async def test_the_last_candle_of_an_answer_that_is_old_is_not_closed(venue: Binance, sandbox: Sandbox, clock: Clock):
    hour_ms = clock.now_ms() // HOUR_MS * HOUR_MS
    sandbox.fault("GET /fapi/v1/klines", f"lie_stale:{clock.now_ms() - hour_ms + 600_000}")
    for listed in ([True, True, False], [True, True, True, False]):
        found = await venue.klines(Market.PERP, SYMBOL, "1h", start_ms=hour_ms - 3 * HOUR_MS, limit=9)
        assert [bar.is_closed for bar in found] == listed


async def test_what_has_ended_is_judged_by_a_time_that_the_venues_clock_has_surely_reached(sandbox: Sandbox):
    clock = SetClock()
    line = Line(Market.SPOT, Access(clock, base_url=sandbox.url))
    asked = {"symbol": SYMBOL, "interval": "1h", "limit": 1}
    sandbox.fault("GET /api/v3/time", "delay:150")
    await line.read_time()
    first = await line.ask_stamped("publicGetKlines", asked, where="after a slow way there")
    assert -5_000 <= first.asked_ms - await line.read_time() <= 0
    clock.ahead_ms = 10_000
    second = await line.ask_stamped("publicGetKlines", asked, where="after the system's clock was set")
    assert -5_000 <= second.asked_ms - await line.read_time() <= 0
    await line.close()


async def test_the_account_adds_up(venue: Binance):
    rights = await venue.permissions()
    assert (rights.can_trade_spot, rights.can_trade_futures, rights.can_withdraw) == (True, True, False)
    assert (await venue.fees(Market.SPOT, SYMBOL)).taker_rate == 0.001
    assert (await venue.fees(Market.PERP, SYMBOL)).maker_rate == 0.0002
    before = {market: (await venue.balances(market))["USDT"].total for market in Market}
    number = await venue.move_collateral("USDT", Decimal("12.5"), to=Purse.FUTURES, symbol=SYMBOL)
    after = {market: (await venue.balances(market))["USDT"].total for market in Market}
    assert after[Market.SPOT] == before[Market.SPOT] - Decimal("12.5")
    assert after[Market.PERP] == before[Market.PERP] + Decimal("12.5")
    with pytest.raises(OrderRejectedError):
        await venue.move_collateral("USDT", Decimal(10**9), to=Purse.SPOT, symbol=SYMBOL)
    (moved,) = await venue.collateral_moves(Purse.FUTURES, SYMBOL, start_ms=0)
    assert (moved.venue_id, moved.amount, moved.asset) == (number, Decimal("12.5"), "USDT")
    assert await venue.collateral_moves(Purse.SPOT, SYMBOL, start_ms=0) == []


async def test_a_perpetual_is_prepared_held_and_closed(venue: Binance, sandbox: Sandbox):
    held = await venue.position(SYMBOL)
    if held.quantity_base:
        side = Side.SELL if held.quantity_base > 0 else Side.BUY
        await venue.place(
            Order("tidy", Market.PERP, SYMBOL, side, OrderType.MARKET, abs(held.quantity_base), reduce_only=True)
        )
    await venue.prepare_perp(SYMBOL, leverage=3)
    await venue.prepare_perp(SYMBOL, leverage=3)
    assert sandbox.asked("POST /fapi/v1/leverage") == 1, "what is already so is left"
    flat = await venue.position(SYMBOL)
    assert (flat.quantity_base, flat.leverage, flat.liquidation_price) == (0, 3, None)
    await venue.place(order("short", Market.PERP, Side.SELL, OrderType.MARKET))
    short = await venue.position(SYMBOL)
    assert short.quantity_base == Decimal("-0.01")
    assert short.liquidation_price is not None
    assert short.liquidation_price > short.entry_price
    closing = replace(order("cover", Market.PERP, Side.BUY, OrderType.MARKET), reduce_only=True)
    await venue.place(closing)
    assert (await venue.position(SYMBOL)).quantity_base == 0
    with pytest.raises(OrderRejectedError) as told:
        await venue.place(replace(closing, client_id="cover-2"))
    assert told.value.code == -2022
    await venue.arm_countdown(SYMBOL, countdown_s=120)
    await venue.arm_countdown(SYMBOL, countdown_s=0)
    lines = await venue.income(SYMBOL, start_ms=START_MS)
    assert {IncomeKind.COMMISSION, IncomeKind.REALIZED_PNL} <= {line.kind for line in lines}
    assert [line.at_ms for line in lines] == sorted(line.at_ms for line in lines)


async def test_margin_that_is_added_moves_the_liquidation_away_and_is_told(venue: Binance):
    with pytest.raises(OrderRejectedError, match="position is 0"):
        await venue.move_collateral("USDT", Decimal(5), to=Purse.POSITION, symbol=SYMBOL)
    await venue.prepare_perp(SYMBOL, leverage=2)
    await venue.place(order("short", Market.PERP, Side.SELL, OrderType.MARKET))
    before = await venue.position(SYMBOL)
    wallet = (await venue.balances(Market.PERP))["USDT"].total
    await venue.move_collateral("USDT", Decimal(50), to=Purse.POSITION, symbol=SYMBOL)
    after = await venue.position(SYMBOL)
    assert before.liquidation_price is not None
    assert after.liquidation_price is not None
    assert after.liquidation_price > before.liquidation_price + Decimal(4_900)
    assert (await venue.balances(Market.PERP))["USDT"].total == wallet
    (moved,) = await venue.collateral_moves(Purse.POSITION, SYMBOL, start_ms=0)
    assert moved.amount == 50
    with pytest.raises(OrderRejectedError, match="insufficient"):
        await venue.move_collateral("USDT", Decimal(10**9), to=Purse.POSITION, symbol=SYMBOL)
    await venue.place(order("back", Market.PERP, Side.BUY, OrderType.MARKET))


async def test_keys_that_are_missing_or_wrong_are_named(sandbox: Sandbox, clock: Clock):
    with pytest.raises(SettingsError, match="one is set without the other"):
        Binance(Access(clock, api_key=SecretStr("k")))
    public = Binance(Access(clock, base_url=sandbox.url))
    with pytest.raises(SettingsError, match="BINANCE_API_KEY"):
        await public.balances(Market.SPOT)
    assert (await public.instrument(Market.PERP, SYMBOL)).brackets == ()
    await public.close()
    wrong = Binance(
        Access(clock, base_url=sandbox.url, api_key=SecretStr("sandbox-key"), api_secret=SecretStr("not-it"))
    )
    with pytest.raises(DataProviderError, match="spot balances: AuthenticationError") as told:
        await wrong.balances(Market.SPOT)
    assert "not-it" not in str(told.value)
    await wrong.close()


async def test_offline_is_told_at_once(clock: Clock):
    nowhere = Binance(Access(clock, base_url="http://127.0.0.1:9"))
    with pytest.raises(NetworkDownError, match="check the network"):
        await nowhere.quote(Market.SPOT, SYMBOL)
    await nowhere.close()


async def test_live_bars_are_the_tape_at_forty_thousand_times_life_through_torn_sockets(
    venue: Binance, sandbox: Sandbox, clock: Clock
):
    keys = [(market, SYMBOL, "1h") for market in Market]
    data = RealtimeMarketData(venue, clock, keys, settings=LiveSettings(keep_bars=100))
    told: dict[Market, list[Bar]] = {market: [] for market in Market}
    done = asyncio.Event()
    torn = 0

    async def listen(bar: Bar) -> None:
        nonlocal torn
        told[bar.market].append(bar)
        if len(told[Market.PERP]) in (10, 30) and bar.market is Market.PERP:
            torn += 1
            sandbox.fault("WS /*", "drop_socket", times=2)
        if min(len(bars) for bars in told.values()) >= 60:
            done.set()

    await data.open()
    data.on_closed_bar(listen)
    sandbox.follow(clock, 40_000.0)
    async with asyncio.timeout(30):
        await data.run(done)
    sandbox.follow(clock, 1.0)
    assert torn == 2
    for market in Market:
        recorded = import_recorded(sandbox.tape, market, SYMBOL, "1h")
        bars = told[market]
        first = int(np.searchsorted(recorded.open_time_ms, bars[0].open_time_ms))
        expected = recorded.open_time_ms[first : first + len(bars)].tolist()
        assert [bar.open_time_ms for bar in bars] == expected, "every closed bar, in order, once"
        assert [bar.close for bar in bars] == recorded.close[first : first + len(bars)].tolist()
        assert [bar.high for bar in bars] == recorded.high[first : first + len(bars)].tolist()
    live = data.tape(Market.PERP, SYMBOL, "1h")
    same = import_recorded(sandbox.tape, Market.PERP, SYMBOL, "1h").window(live.start_ms, live.end_ms)
    assert np.array_equal(live.close, same.close)
    assert live.funding.time_ms.tolist() == same.funding.time_ms.tolist()
    assert data.tape(Market.SPOT, SYMBOL, "1h").gaps[0].missing_bars == 5


async def test_a_stream_ends_when_the_venue_is_closed(venue: Binance):
    stream = venue.stream_bars([(Market.SPOT, SYMBOL, "1h")])
    reading = asyncio.ensure_future(anext(stream, None))
    first = await asyncio.wait_for(reading, timeout=10)
    assert first is not None
    assert not first.is_closed
    rest = asyncio.ensure_future(anext(stream, None))
    await venue.close()
    await asyncio.wait_for(rest, timeout=5)
    await stream.aclose()

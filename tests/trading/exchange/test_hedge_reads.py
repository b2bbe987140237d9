"""What the venue says that can break a hedge, through the real client, and the documents it could say it with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import SecretStr

from sandbox.exchange.exchange import Key, Start
from sandbox.server import Built, Town, build, serving
from trading.domain.account_events import OrderEvent
from trading.domain.clock import Clock, Timeline
from trading.domain.errors import DataProviderError, SettingsError
from trading.domain.hedge import ContractTerms, ForcedKind, Listed, forced_kind
from trading.domain.instrument import Market
from trading.domain.orders import Order, OrderType, Side
from trading.exchange import parse_hedge
from trading.exchange.access import Access
from trading.exchange.binance import Binance
from trading.exchange.open_venue import open_market_data
from trading.exchange.request_weights import FUTURES, request_of
from trading.market.synthetic import Plan, synthetic_market, write_layout

pytestmark = pytest.mark.asyncio(loop_scope="module")
HOUR_MS = 3_600_000
PLAN = Plan(bars=24 * 8)
START_MS = PLAN.start_ms + 4 * 24 * HOUR_MS + 600_000
Here = tuple[Built, Binance, Access]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Here]:
    folder: Path = tmp_path_factory.mktemp("tape")
    made = synthetic_market(PLAN)
    write_layout(folder, [made.spot, made.perp])
    built = build(Town(Start(folder, ("BTCUSDT",), START_MS), Key()))
    async with serving(built) as port:
        segment, clock = built.exchange.clock.segment, Clock()
        clock.follow(Timeline(segment.anchor_s, segment.origin_ms, segment.scale))
        access = Access(clock, f"http://127.0.0.1:{port.port}")
        keys = {"api_key": SecretStr("sandbox-key"), "api_secret": SecretStr("sandbox-secret")}
        venue = Binance(Access(clock, base_url=access.base_url, **keys))
        yield built, venue, access
        await venue.close()


async def test_rank_forced_orders_and_the_stream_tell_of_a_short(here: Here) -> None:
    built, venue, _ = here
    assert await venue.adl_quantile("BTCUSDT") == 0
    started_ms = await venue.time_ms() - 1000
    await venue.place(Order("lab-short", Market.PERP, "BTCUSDT", Side.SELL, OrderType.MARKET, Decimal("0.02")))
    built.exchange.notices = built.exchange.notices.changed({"adl": 4})
    assert await venue.adl_quantile("BTCUSDT") == 4
    assert await venue.forced_orders("BTCUSDT", start_ms=started_ms) == []
    told = []
    async for event in venue.account_events(Market.PERP):
        if not told:
            built.exchange.now()
            built.exchange.engine.close_by_force("ADL")
        told.append(event)
        if isinstance(event, OrderEvent) and event.fill is not None:
            assert forced_kind(event.state.order.client_id) is ForcedKind.ADL
            assert (event.fill.side, event.fill.quantity_base) == (Side.BUY, Decimal("0.02"))
            break
    (forced,) = await venue.forced_orders("BTCUSDT", start_ms=started_ms)
    assert (forced.kind, forced.side, forced.filled_base) == (ForcedKind.ADL, Side.BUY, Decimal("0.02"))
    assert forced.average_price is not None
    assert await venue.forced_orders("BTCUSDT", start_ms=forced.at_ms + 60_000) == []


async def test_status_end_and_terms_are_asked_for_now_and_the_estimate_follows_them(here: Here) -> None:
    built, venue, _ = here
    assert await venue.listed(Market.SPOT, "BTCUSDT") == Listed("TRADING")
    assert await venue.listed(Market.PERP, "BTCUSDT") == Listed("TRADING", 4_133_404_800_000)
    assert [await venue.listed(market, "GONEUSDT") for market in Market] == [Listed(""), Listed("")]
    assert await venue.contract_terms("BTCUSDT") == ContractTerms(8 * HOUR_MS, 0.003, -0.003)
    assert (await venue.funding_now("BTCUSDT")).interval_ms == 8 * HOUR_MS
    words = {"status": {"perp": "SETTLING"}, "delivery_ms": START_MS, "interval_hours": 4, "cap": 0.02}
    built.exchange.notices = built.exchange.notices.changed(words)
    assert await venue.listed(Market.PERP, "BTCUSDT") == Listed("SETTLING", START_MS)
    built.exchange.notices = built.exchange.notices.changed({"spot_end_ms": START_MS + HOUR_MS})
    assert await venue.listed(Market.SPOT, "BTCUSDT") == Listed("TRADING", START_MS + HOUR_MS)
    assert await venue.contract_terms("BTCUSDT") == ContractTerms(4 * HOUR_MS, 0.02, -0.02)
    now = await venue.funding_now("BTCUSDT")
    assert (now.interval_ms, now.cap_rate) == (4 * HOUR_MS, 0.02), "not an hour later"


async def test_two_exchanges_say_what_a_tether_is_worth(here: Here) -> None:
    built, venue, access = here
    built.exchange.notices = built.exchange.notices.changed({"usdt_usd": 0.96, "usdt_usdc": 0.97})
    second = open_market_data("kraken", access)
    try:
        assert (await second.quote(Market.SPOT, "USDTUSD")).mid == pytest.approx(0.96)
        assert 1 / (await venue.quote(Market.SPOT, "USDCUSDT")).mid == pytest.approx(0.97)
    finally:
        await second.close()


async def test_the_mark_of_a_settlement_is_the_opening_of_its_hour(here: Here) -> None:
    built, venue, _ = here
    at_ms = START_MS // (8 * HOUR_MS) * 8 * HOUR_MS
    (rate,) = await venue.funding_history("BTCUSDT", start_ms=at_ms, limit=1)
    mark = await venue.mark_at("BTCUSDT", at_ms)
    assert mark is not None
    assert rate.mark_price == pytest.approx(float(mark))
    assert await venue.mark_at("BTCUSDT", built.exchange.now() + 24 * HOUR_MS) is None


async def test_without_a_key_there_is_no_rank_and_no_forced_order() -> None:
    with pytest.raises(SettingsError, match="no API key"):
        await Binance(Access(Clock())).adl_quantile("BTCUSDT")
    with pytest.raises(SettingsError, match="no API key"):
        await Binance(Access(Clock())).forced_orders("BTCUSDT", start_ms=0)


async def test_the_ranks_of_every_mode_are_read() -> None:
    hedge = {"symbol": "BTCUSDT", "adlQuantile": {"LONG": 1, "SHORT": 3, "HEDGE": 0}}
    assert parse_hedge.adl_quantile([{"symbol": "ETHUSDT", "adlQuantile": {"BOTH": 4}}, hedge], "BTCUSDT", "x") == 3
    assert parse_hedge.adl_quantile(hedge, "BTCUSDT", "x") == 3
    assert parse_hedge.adl_quantile([], "BTCUSDT", "x") == 0
    with pytest.raises(DataProviderError):
        parse_hedge.adl_quantile([{"symbol": "BTCUSDT"}], "BTCUSDT", "x")


async def test_a_contract_the_venue_never_adjusted_has_its_usual_terms() -> None:
    assert parse_hedge.contract_terms([], "BTCUSDT", "x") == ContractTerms(8 * HOUR_MS, 0.02, -0.02)


async def test_what_they_weigh_is_in_the_budget() -> None:
    def weight(path: str, **params: object) -> int:
        return request_of(Market.PERP, "fapiPrivate", "GET", path, params).weight

    assert weight("adlQuantile", symbol="BTCUSDT") == 5
    assert (weight("forceOrders", symbol="BTCUSDT"), weight("forceOrders")) == (20, 50)
    assert {"GET exchangeInfo", "GET fundingInfo", "GET markPriceKlines"} < set(FUTURES)

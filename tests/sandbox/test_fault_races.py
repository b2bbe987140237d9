"""Faults that happen inside the exchange: a fill that crosses its cancel, a forced close, a clock that jumps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import SecretStr

from sandbox.exchange.exchange import Key, Start
from sandbox.faults import read_faults
from sandbox.server import Built, Town, build, serving
from trading.domain.clock import Clock, Timeline
from trading.domain.errors import OrderRejectedError
from trading.domain.instrument import Market
from trading.domain.orders import Order, OrderStatus, OrderType, Side
from trading.exchange.access import Access
from trading.exchange.binance import Binance
from trading.market.synthetic import Plan, synthetic_market, write_layout

PLAN = Plan(bars=24 * 4)
START_MS = PLAN.start_ms + 2 * 86_400_000 + 600_000
QUANTITY = Decimal("0.01")
Town_ = tuple[Built, Binance, Clock]


@pytest_asyncio.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town_]:
    made = synthetic_market(PLAN)
    write_layout(tmp_path, [made.spot, made.perp])
    built = build(Town(Start(tmp_path, ("BTCUSDT",), START_MS), Key("k", "s")))
    async with serving(built) as opened:
        segment = built.exchange.clock.segment
        clock = Clock(scale=1.0, origin_ms=START_MS)
        clock.follow(Timeline(segment.anchor_s, segment.origin_ms, segment.scale))
        url = f"http://127.0.0.1:{opened.port}"
        venue = Binance(Access(clock, base_url=url, api_key=SecretStr("k"), api_secret=SecretStr("s")))
        yield built, venue, clock
        await venue.close()


async def rest(venue: Binance) -> Order:
    """A post-only buy far below the market."""
    quote = await venue.quote(Market.SPOT, "BTCUSDT")
    price = (await venue.instrument(Market.SPOT, "BTCUSDT")).price(quote.bid * 0.9)
    order = Order("lab-1", Market.SPOT, "BTCUSDT", Side.BUY, OrderType.POST_ONLY, QUANTITY, price)
    await venue.place(order)
    return order


def strike(built: Built, match: str, kind: str) -> None:
    built.faults.add(read_faults(f'{{"match": "{match}", "kind": "{kind}"}}', "test"))


async def test_a_cancel_that_lost_the_race_is_refused_and_the_order_is_filled(town: Town_) -> None:
    built, venue, _ = town
    await rest(venue)
    strike(built, "DELETE /api/v3/order", "fill_first")
    state = await venue.cancel(Market.SPOT, "BTCUSDT", "lab-1")
    assert state is not None
    assert (state.status, state.filled_base) == (OrderStatus.FILLED, QUANTITY)


async def test_a_late_fill_is_missing_in_the_cancels_answer_and_there_a_moment_later(town: Town_) -> None:
    built, venue, _ = town
    await rest(venue)
    strike(built, "DELETE /api/v3/order", "late_fill")
    told = await venue.cancel(Market.SPOT, "BTCUSDT", "lab-1")
    later = await venue.find(Market.SPOT, "BTCUSDT", "lab-1")
    assert told is not None
    assert later is not None
    assert (told.status, told.filled_base) == (OrderStatus.CANCELLED, 0)
    assert (later.status, later.filled_base) == (OrderStatus.CANCELLED, QUANTITY / 2)


async def test_a_forced_close_leaves_no_position_and_an_order_that_is_not_ours(town: Town_) -> None:
    built, venue, _ = town
    order = Order("lab-2", Market.PERP, "BTCUSDT", Side.SELL, OrderType.MARKET, QUANTITY)
    await venue.place(order)
    strike(built, "GET /fapi/v3/positionRisk", "force_close")
    assert (await venue.position("BTCUSDT")).quantity_base == 0
    assert len(await venue.fills(Market.PERP, "BTCUSDT", start_ms=START_MS)) == 2


async def test_a_clock_that_jumps_refuses_the_next_order_and_is_read_anew(town: Town_) -> None:
    built, venue, _ = town
    strike(built, "POST /api/v3/order", "jump:60000")
    with pytest.raises(OrderRejectedError):
        await rest(venue)
    assert (await rest(venue)).client_id == "lab-1"

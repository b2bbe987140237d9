"""The matching engine and its ledger: what fills, what is refused, and that everything adds up."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.exchange.book import Book
from sandbox.exchange.engine import Engine
from sandbox.exchange.errors import BinanceError
from sandbox.exchange.feed import Feed
from sandbox.exchange.instruments import BRACKETS, Market, bracket_of, instrument
from sandbox.exchange.ledger import Ledger, accounts
from sandbox.exchange.listing import Listing
from sandbox.exchange.orders import Order
from sandbox.exchange.tape import resample_hours
from tests.sandbox.exchange.conftest import DAY_MS, DAY_ONE_MS, HOUR_MS, walk

MINUTES = walk(DAY_ONE_MS, 60_000, 3 * 1440, seed=9, price=42_000.0, tick=0.1)
TIMES = DAY_ONE_MS + np.arange(9) * 8.0 * HOUR_MS
FUNDING = np.vstack((TIMES, np.array([1, 2, -3, 4, 5, -1, 2, 3, 1]) * 1e-4))


def make_engine(bars: np.ndarray = MINUTES, *, usdt: int = 10_000) -> Engine:
    listings = {}
    for market, key in ((Market.SPOT, 1), (Market.PERP, 2)):
        spec = instrument(market, "BTCUSDT")
        feed = Feed(bars, resample_hours(bars), step_ms=60_000, tick=float(spec.tick), key=[key])
        funding = FUNDING if market is Market.PERP else np.empty((2, 0))
        listings[market, "BTCUSDT"] = Listing(spec, feed, Book(feed, spec, key=[key, 9]), feed, funding)
    return Engine(listings, Ledger(Decimal(usdt), Decimal(usdt)), float(DAY_ONE_MS))


def order(engine: Engine, market: Market, sign: int, quantity: str, price: str | None = None, **more: object) -> Order:
    number = engine.number()
    kind = "MARKET" if price is None else "LIMIT"
    made = Order(number, f"t{number}", market, "BTCUSDT", sign, kind, "GTC", Decimal(quantity),
                 Decimal(price or 0), reduce_only=False, created_ms=0)  # fmt: skip
    for name, value in more.items():
        setattr(made, name, value)
    return made


def sums_up(engine: Engine) -> None:
    found = accounts(engine.ledger, engine.lasts(engine.at_ms), engine.marks(engine.at_ms))
    assert abs(found.error) < Decimal("1e-8")
    for amount in engine.ledger.spot.values():
        assert amount >= 0


def bid_of(engine: Engine, market: Market) -> Decimal:
    return engine.listings[market, "BTCUSDT"].book.best(engine.at_ms)[0]


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_balances_fills_fees_and_funding_add_up_whatever_is_done(data: st.DataObject) -> None:
    engine = make_engine()
    engine.ledger.position("BTCUSDT").leverage = data.draw(st.sampled_from([1, 2, 3, 20]))
    engine.ledger.position("BTCUSDT").isolated = data.draw(st.booleans())
    for _ in range(data.draw(st.integers(5, 25))):
        market = data.draw(st.sampled_from(list(Market)))
        sign, quantity = data.draw(st.sampled_from([1, -1])), data.draw(st.integers(3, 400))
        offset = data.draw(st.sampled_from([None, "0.99", "0.999", "1", "1.001", "1.01"]))
        price = None
        if offset is not None:
            price = str((bid_of(engine, market) * Decimal(offset)).quantize(Decimal("0.1")))
        more = {"reduce_only": market is Market.PERP and data.draw(st.booleans())}
        half = data.draw(st.booleans())
        with suppress(BinanceError):  # refused: nothing may have moved
            engine.submit(order(engine, market, sign, f"{quantity / 1000:.3f}", price, **more), half=half)
        if engine.open_orders() and data.draw(st.booleans()):
            engine.cancel(data.draw(st.sampled_from(engine.open_orders())))
        with suppress(BinanceError):
            engine.transfer(Decimal(data.draw(st.integers(0, 500))), to_futures=data.draw(st.booleans()))
        engine.advance(min(engine.at_ms + data.draw(st.integers(1, 10 * HOUR_MS)), DAY_ONE_MS + 3 * DAY_MS - 1))
        sums_up(engine)


@settings(max_examples=40, deadline=None)
@given(st.integers(-40, 40), st.booleans(), st.integers(1, 48))
def test_a_resting_order_fills_exactly_when_the_price_goes_through_it(ticks: int, buys: bool, hours: int) -> None:
    for steps in (1, 60):  # one long sweep and many short ones see the same
        engine = make_engine()
        engine.advance(DAY_ONE_MS + HOUR_MS)
        feed = engine.listings[Market.PERP, "BTCUSDT"].feed
        bid, ask = engine.listings[Market.PERP, "BTCUSDT"].book.best(engine.at_ms)
        price = (bid - abs(ticks) * 5 if buys else ask + abs(ticks) * 5).quantize(Decimal("0.1"))
        placed = engine.submit(order(engine, Market.PERP, 1 if buys else -1, "0.01", str(price), tif="GTX"))
        placed_ms, end_ms = engine.at_ms, DAY_ONE_MS + (1 + hours) * HOUR_MS
        for step in range(1, steps + 1):
            engine.advance(placed_ms + (end_ms - placed_ms) * step / steps)
        when = feed.first_beyond(placed_ms, end_ms, float(price), below=buys)
        assert (placed.status == "FILLED") is (when is not None)
        if when is not None:
            assert placed.fills[0].price == price
            assert placed.fills[0].is_maker
            assert placed.updated_ms == int(when)


def test_a_market_order_walks_the_ladder() -> None:
    engine = make_engine(usdt=10_000_000)
    engine.advance(DAY_ONE_MS + HOUR_MS)
    asks = engine.listings[Market.SPOT, "BTCUSDT"].book.ladder(engine.at_ms).asks
    size = sum((q for _, q in asks[:3]), Decimal(0))
    filled = engine.submit(order(engine, Market.SPOT, 1, str(size)))
    assert [(f.price, f.quantity) for f in filled.fills] == list(asks[:3])
    everything = sum((q for _, q in asks), Decimal(0))
    too_much = engine.submit(order(engine, Market.SPOT, 1, str(everything + 1)))
    assert too_much.status == "EXPIRED"
    assert too_much.executed == everything
    sums_up(engine)


def test_a_limit_inside_the_spread_is_not_a_gift() -> None:
    engine = make_engine()
    engine.advance(DAY_ONE_MS + HOUR_MS)
    listing = engine.listings[Market.PERP, "BTCUSDT"]
    while True:
        bid, ask = listing.book.best(engine.at_ms)
        if ask - bid > Decimal("0.3"):
            break
        engine.advance(engine.at_ms + 60_000)
    placed = engine.submit(order(engine, Market.PERP, 1, "0.01", str(ask - Decimal("0.1"))))
    engine.advance(engine.at_ms + 1)
    assert placed.through <= float(ask - Decimal("0.1"))
    assert placed.through <= listing.feed.price(placed.created_ms)


@pytest.mark.parametrize(("tif", "status"), [("IOC", "EXPIRED"), ("FOK", "EXPIRED")])
def test_what_cannot_be_had_at_once_expires(tif: str, status: str) -> None:
    engine = make_engine()
    engine.advance(DAY_ONE_MS + HOUR_MS)
    price = str(bid_of(engine, Market.SPOT))
    assert engine.submit(order(engine, Market.SPOT, 1, "0.01", price, tif=tif)).status == status
    with pytest.raises(BinanceError) as caught:
        engine.submit(order(engine, Market.PERP, 1, "0.01", str(bid_of(engine, Market.PERP)), tif="FOK"))
    assert caught.value.code == -5021
    sums_up(engine)


def test_reduce_only_never_turns_a_position() -> None:
    engine = make_engine()
    engine.advance(DAY_ONE_MS + HOUR_MS)
    engine.submit(order(engine, Market.PERP, -1, "0.05"))
    with pytest.raises(BinanceError) as caught:
        engine.submit(order(engine, Market.PERP, -1, "0.05", reduce_only=True))
    assert caught.value.code == -2022
    closing = engine.submit(order(engine, Market.PERP, 1, "0.2", reduce_only=True))
    assert closing.executed == Decimal("0.05")
    assert closing.status == "EXPIRED"
    assert engine.ledger.position("BTCUSDT").quantity == 0


@pytest.mark.parametrize("isolated", [True, False])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_position_without_margin_is_closed_and_loses_no_more_than_stood_behind_it(isolated: bool, sign: int) -> None:
    bars = MINUTES.copy()
    bars[1:5, 600:] *= 1 - 0.5 * sign  # a crash, or a doubling and more, at ten in the morning
    engine = make_engine(bars, usdt=420)
    position = engine.ledger.position("BTCUSDT")
    position.isolated, position.leverage = isolated, 3
    engine.advance(DAY_ONE_MS + HOUR_MS)
    happened: list[str] = []
    engine.listeners.append(lambda h: happened.append(h.kind))
    engine.submit(order(engine, Market.PERP, sign, "0.02"))
    away = Decimal("0.96") if sign > 0 else Decimal("1.04")
    price = (bid_of(engine, Market.PERP) * away).quantize(Decimal("0.1"))
    resting = engine.submit(order(engine, Market.PERP, sign, "0.003", str(price)))
    margin = position.margin
    engine.advance(DAY_ONE_MS + 11 * HOUR_MS)
    assert position.quantity == 0
    assert "CALCULATED" in happened
    assert resting.status in ("CANCELED", "FILLED")
    assert engine.ledger.futures_usdt >= 0
    if isolated:
        assert engine.ledger.futures_usdt >= 420 - margin - 60
    forced = [o for o in engine.orders.values() if o.forced]
    assert len(forced) == 1
    assert forced[0].client_id.startswith("autoclose-")
    sums_up(engine)


def test_funding_is_paid_at_its_times_by_who_is_long_when_the_rate_is_positive() -> None:
    engine = make_engine()
    engine.advance(DAY_ONE_MS + HOUR_MS)
    engine.submit(order(engine, Market.PERP, 1, "0.1"))
    mark = engine.listings[Market.PERP, "BTCUSDT"].mark
    engine.advance(DAY_ONE_MS + 25 * HOUR_MS)
    paid = [(i.ms, i.amount) for i in engine.ledger.income if i.kind == "FUNDING_FEE"]
    assert [ms for ms, _ in paid] == [int(t) for t in TIMES[1:4]]
    for (ms, amount), rate in zip(paid, FUNDING[1, 1:4], strict=True):
        assert float(amount) == pytest.approx(-0.1 * mark.price(ms) * rate, abs=1e-7)
    sums_up(engine)


def test_a_spot_sale_needs_the_coins_and_a_purchase_the_money() -> None:
    engine = make_engine()
    engine.advance(DAY_ONE_MS + HOUR_MS)
    for sign, quantity in ((-1, "0.01"), (1, "1")):
        with pytest.raises(BinanceError) as caught:
            engine.submit(order(engine, Market.SPOT, sign, quantity))
        assert caught.value.code == -2010
    price = (bid_of(engine, Market.SPOT) * Decimal("0.9")).quantize(Decimal("0.01"))
    engine.submit(order(engine, Market.SPOT, 1, "0.2", str(price)))
    with pytest.raises(BinanceError):
        engine.submit(order(engine, Market.SPOT, 1, "0.1", str(price)))
    assert engine.ledger.free("USDT", engine.open_orders()) == Decimal(10_000) - price * Decimal("0.2")


def test_after_the_tape_the_market_is_closed() -> None:
    engine = make_engine()
    engine.advance(DAY_ONE_MS + 5 * DAY_MS)
    for market, code in ((Market.SPOT, -1013), (Market.PERP, -4108)):
        with pytest.raises(BinanceError) as caught:
            engine.submit(order(engine, market, 1, "0.01"))
        assert caught.value.code == code


def test_the_margin_steps_meet() -> None:
    for lower, upper in pairwise(BRACKETS):
        assert lower.cap == upper.floor
        assert lower.cap * lower.rate - lower.cum == upper.floor * upper.rate - upper.cum
    assert bracket_of(Decimal("1e12")) is BRACKETS[-1]

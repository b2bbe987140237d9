"""An account's own events: typed, renewed, begun anew when the key has expired; a hole is always told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import SecretStr

from sandbox.exchange.exchange import Key, Start
from sandbox.server import Built, Town, build, serving
from trading.domain.account_events import AccountEvent, AccountUnseen, HeldPosition, OrderEvent, WalletEvent
from trading.domain.clock import Clock, Timeline
from trading.domain.errors import DataProviderError, SettingsError
from trading.domain.instrument import Market
from trading.domain.orders import Order, OrderStatus, OrderType, Side
from trading.exchange import kept_socket, user_stream
from trading.exchange.access import Access
from trading.exchange.binance import Binance
from trading.exchange.parse_user import account_event
from trading.market.synthetic import Plan, synthetic_market, write_layout

pytestmark = pytest.mark.asyncio(loop_scope="module")

SYMBOL = "BTCUSDT"
PLAN = Plan(bars=24 * 8)
START_MS = PLAN.start_ms + 4 * 86_400_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Built, str]]:
    folder: Path = tmp_path_factory.mktemp("tape")
    made = synthetic_market(PLAN)
    write_layout(folder, [made.spot, made.perp])
    built = build(Town(Start(folder, (SYMBOL,), START_MS), Key()))
    async with serving(built) as port:
        yield built, f"http://127.0.0.1:{port.port}"


@pytest_asyncio.fixture(loop_scope="module")
async def venue(sandbox: tuple[Built, str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Binance]:
    monkeypatch.setattr(kept_socket, "_FIRST_WAIT_S", 0.02)
    built, url = sandbox
    segment, clock = built.exchange.clock.segment, Clock()
    clock.follow(Timeline(segment.anchor_s, segment.origin_ms, segment.scale))
    keys = {"api_key": SecretStr("sandbox-key"), "api_secret": SecretStr("sandbox-secret")}
    venue = Binance(Access(clock, base_url=url, **keys))
    yield venue
    await venue.close()


class Account:
    """Takes the account's events until what is looked for is there."""

    def __init__(self, venue: Binance) -> None:
        self._events = venue.account_events()
        self.seen: list[AccountEvent] = []

    async def until(self, *kinds: type, market: Market) -> AccountEvent:
        async with asyncio.timeout(8):
            async for event in self._events:
                self.seen.append(event)
                of = event.state.order.market if isinstance(event, OrderEvent) else event.market
                if isinstance(event, kinds) and of is market:
                    return event
        raise AssertionError("the stream ended")

    async def both(self) -> None:
        """Wait until both markets are listened to."""
        open_markets = set[Market]()
        async with asyncio.timeout(8):
            async for event in self._events:
                assert isinstance(event, AccountUnseen)
                open_markets.add(event.market)
                if open_markets == set(Market):
                    return

    async def close(self) -> None:
        await self._events.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize("market", Market)
async def test_an_order_is_told_with_its_fill_and_what_the_wallet_holds_then(venue: Binance, market: Market) -> None:
    account = Account(venue)
    await account.both()
    order = Order(f"lab-{market}", market, SYMBOL, Side.BUY, OrderType.MARKET, Decimal("0.01"))
    placed = await venue.place(order)
    wallet = await account.until(WalletEvent, market=market)
    while not any(isinstance(event, OrderEvent) and event.fill for event in account.seen):
        await account.until(OrderEvent, market=market)
    told = next(event for event in account.seen if isinstance(event, OrderEvent) and event.fill)
    assert (told.state.order.client_id, told.state.venue_id) == (f"lab-{market}", placed.venue_id)
    assert told.fill is not None
    assert told.fill.quantity_base > 0
    assert told.fill.fee > 0
    while told.state.status is not OrderStatus.FILLED:
        told = await account.until(OrderEvent, market=market)  # type: ignore[assignment]
    assert (told.state.filled_base, told.state.average_price) == (placed.filled_base, placed.average_price)
    assert isinstance(wallet, WalletEvent)
    assert "USDT" in wallet.totals
    if market is Market.PERP:
        assert wallet.positions[0].quantity_base > 0
    await account.close()


async def test_a_listen_key_that_expired_is_replaced_and_the_hole_is_told(
    venue: Binance, sandbox: tuple[Built, str]
) -> None:
    account, exchange = Account(venue), sandbox[0].exchange
    await account.both()
    given = exchange.listen_key.given
    exchange.listen_key.until_ms = 0
    expired = await account.until(AccountUnseen, market=Market.PERP)
    begun = await account.until(AccountUnseen, market=Market.PERP)
    assert isinstance(expired, AccountUnseen)
    assert isinstance(begun, AccountUnseen)
    assert "listenKeyExpired" in expired.reason
    assert "begins here" in begun.reason
    assert exchange.listen_key.given == given + 1
    await account.close()


async def test_a_listen_key_is_renewed_before_it_dies(
    venue: Binance, sandbox: tuple[Built, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_stream, "RENEW_S", 0.05)
    account, key = Account(venue), sandbox[0].exchange.listen_key
    await account.both()
    before_ms = key.until_ms
    waiting = asyncio.create_task(account.until(OrderEvent, market=Market.PERP))
    async with asyncio.timeout(5):
        while key.until_ms <= before_ms:  # noqa: ASYNC110  # the key is the sandbox's
            await asyncio.sleep(0.01)
    key.name = ""  # the venue forgets it: the renewal is refused, and a new one is asked for
    async with asyncio.timeout(5):
        while not key.name:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await account.close()


async def test_without_a_key_there_is_no_account_to_listen_to() -> None:
    with pytest.raises(SettingsError, match="account stream"):
        await anext(Binance(Access(Clock())).account_events())


async def test_a_cancel_on_spot_is_told_by_the_orders_own_client_id() -> None:
    data = {
        "e": "executionReport", "E": 5, "s": SYMBOL, "c": "cancel-1", "C": "lab-1", "S": "SELL", "o": "LIMIT_MAKER",
        "f": "GTC", "q": "1", "p": "100", "x": "CANCELED", "X": "CANCELED", "i": 7, "z": "0", "Z": "0", "T": 5,
    }  # fmt: skip
    told = account_event(Market.SPOT, data)
    assert isinstance(told, OrderEvent)
    assert (told.state.order.client_id, told.state.status, told.fill) == ("lab-1", OrderStatus.CANCELLED, None)


@pytest.mark.parametrize(
    ("client_id", "status"), [("autoclose-5", "NEW_INSURANCE"), ("adl_autoclose", "NEW_ADL"), ("autoclose-5", "FILLED")]
)
async def test_a_forced_order_is_told_with_its_fill_although_it_names_no_fee(client_id: str, status: str) -> None:
    order = {
        "s": SYMBOL, "c": client_id, "S": "BUY", "o": "LIQUIDATION", "f": "IOC", "q": "0.5", "p": "100", "ap": "100",
        "x": "CALCULATED", "X": status, "i": 7, "l": "0.5", "z": "0.5", "L": "100", "T": 5, "t": 9, "m": False,
        "R": True,
    }  # fmt: skip
    told = account_event(Market.PERP, {"e": "ORDER_TRADE_UPDATE", "E": 5, "T": 5, "o": order})
    assert isinstance(told, OrderEvent)
    assert told.fill is not None
    assert (told.state.order.client_id, told.fill.quantity_base, told.fill.fee) == (client_id, Decimal("0.5"), 0)


async def test_a_position_that_changed_is_told_with_the_wallet() -> None:
    data = {
        "e": "ACCOUNT_UPDATE", "E": 5, "T": 5,
        "a": {"m": "FUNDING_FEE", "B": [{"a": "USDT", "wb": "10.5"}], "P": [{"s": SYMBOL, "pa": "-0.5", "ep": "100"}]},
    }  # fmt: skip
    assert account_event(Market.PERP, data) == WalletEvent(
        Market.PERP, {"USDT": Decimal("10.5")}, (HeldPosition(SYMBOL, Decimal("-0.5"), Decimal(100)),), "FUNDING_FEE", 5
    )


@pytest.mark.parametrize(
    "data",
    [
        {"e": "ORDER_TRADE_UPDATE", "o": None},
        {"e": "ORDER_TRADE_UPDATE", "o": {"s": SYMBOL, "X": "NEW_WORD"}},
        {"e": "outboundAccountPosition", "B": [{"a": "USDT", "f": "nan", "l": "0"}]},
        {"e": "ACCOUNT_UPDATE", "E": 1},
    ],
)
async def test_an_account_event_that_makes_no_sense_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(DataProviderError):
        account_event(Market.PERP, data)

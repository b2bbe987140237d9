"""What of the account's stream wakes the desk, and what can wait."""

from __future__ import annotations

from decimal import Decimal

import pytest

from trading.domain.account_events import AccountEvent, AccountUnseen, OrderEvent, WalletEvent
from trading.domain.instrument import Market
from trading.domain.orders import Fill, Order, OrderState, OrderStatus, OrderType, Side
from trading.funding.forced_close import Wake, wake_of

D = Decimal


def filled(client_id: str, *, market: Market = Market.PERP, symbol: str = "BTCUSDT", fill: bool = True) -> OrderEvent:
    order = Order(client_id, market, symbol, Side.BUY, OrderType.LIMIT_IOC, D("0.02"), D(50_000), reduce_only=True)
    state = OrderState(order, "7", OrderStatus.FILLED, D("0.02"), D(50_000), 5)
    done = Fill(market, symbol, "1", "7", Side.BUY, D("0.02"), D(50_000), D(0), "USDT", is_maker=False, at_ms=5)
    return OrderEvent(state, done if fill else None)


@pytest.mark.parametrize(
    ("client_id", "kind"),
    [
        ("autoclose-1700000000000", "liquidation"),
        ("adl_autoclose", "auto-deleveraging"),
        ("settlement_autoclose-1", "settlement"),
    ],
)
def test_the_exchanges_own_closing_of_ours_is_looked_at_until_the_books_have_it(client_id: str, kind: str) -> None:
    wake = wake_of(filled(client_id), ["BTCUSDT"])
    assert wake == Wake(f"{kind}, buy 0.02 of BTCUSDT at 50000 ({client_id})", "BTCUSDT", is_forced=True)


def test_a_hand_on_the_contract_and_a_hole_are_looked_at_once() -> None:
    hand = wake_of(filled("web_1"), ["BTCUSDT"])
    hole = wake_of(AccountUnseen(Market.PERP, "the connection broke"), ["BTCUSDT"])
    assert hand == Wake("not the lab's, buy 0.02 of BTCUSDT at 50000 (web_1)", "BTCUSDT")
    assert hole == Wake("the account's stream was broken: the connection broke", is_hole=True)


@pytest.mark.parametrize(
    "event",
    [
        filled("lab-7f3a9c12-p0-a1"),
        filled("adl_autoclose", symbol="ETHUSDT"),
        filled("adl_autoclose", fill=False),
        filled("web_1", market=Market.SPOT),
        WalletEvent(Market.PERP, {}, (), "FUNDING_FEE", 5),
    ],
)
def test_our_own_fills_other_symbols_and_money_can_wait(event: AccountEvent) -> None:
    assert wake_of(event, ["BTCUSDT"]) is None

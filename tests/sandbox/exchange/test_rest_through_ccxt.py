"""The real ccxt client against the sandbox: market data, orders, accounts, refusals."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

import ccxt
import pytest

from tests.sandbox.exchange.conftest import DAY_MS, DAY_ONE_MS, GAP_MS, HOUR_MS, Town

pytestmark = pytest.mark.asyncio(loop_scope="module")

SPOT, PERP = "BTC/USDT", "BTC/USDT:USDT"


async def test_markets_carry_the_filters(spot: Any, perp: Any) -> None:
    assert spot.market(SPOT)["precision"]["price"] == 0.01
    assert spot.market(SPOT)["precision"]["amount"] == 0.00001
    assert spot.market(SPOT)["limits"]["cost"]["min"] == 5.0
    assert perp.market(PERP)["limits"]["cost"]["min"] == 100.0
    assert perp.market(PERP)["precision"]["amount"] == 0.001
    assert perp.market(PERP)["swap"] is True


async def test_klines_page_without_loss_and_end_at_the_present(spot: Any, town: Town) -> None:
    rows: list[list[float]] = []
    since = DAY_ONE_MS
    while page := await spot.fetch_ohlcv(SPOT, "1m", since=since, limit=1000):
        rows += page
        since = int(page[-1][0]) + 60_000
    assert [int(row[0]) for row in rows] == list(range(DAY_ONE_MS, int(rows[-1][0]) + 1, 60_000))
    assert int(rows[-1][0]) == town.now_ms() // 60_000 * 60_000


async def test_hours_reach_back_behind_the_minutes(spot: Any) -> None:
    rows = await spot.fetch_ohlcv(SPOT, "1h", since=0, limit=1000)
    assert int(rows[0][0]) == DAY_ONE_MS - 10 * DAY_MS
    assert [b[0] - a[0] for a, b in pairwise(rows)] == [HOUR_MS] * (len(rows) - 1)


async def test_an_interval_below_the_tape_is_refused(perp: Any) -> None:
    with pytest.raises(ccxt.BadRequest, match="-1120"):
        await perp.fetch_ohlcv(PERP, "1m")


async def test_an_unknown_symbol_is_refused(spot: Any) -> None:
    with pytest.raises(ccxt.BadSymbol):
        await spot.public_get_klines({"symbol": "NOPEUSDT", "interval": "1h"})


async def test_quotes_and_books_are_not_crossed_and_agree(spot: Any, perp: Any) -> None:
    for client, symbol in ((spot, SPOT), (perp, PERP)):
        book = await client.fetch_order_book(symbol, 20)
        assert book["bids"][0][0] < book["asks"][0][0]
        assert [b[0] for b in book["bids"]] == sorted((b[0] for b in book["bids"]), reverse=True)
        assert [a[0] for a in book["asks"]] == sorted(a[0] for a in book["asks"])
        ticker = await client.fetch_ticker(symbol)
        assert abs(ticker["last"] / book["asks"][0][0] - 1) < 0.002
        trades = await client.fetch_trades(symbol, limit=10)
        assert 0 < len(trades) <= 10
    best = await perp.fetch_bids_asks([PERP])
    assert best[PERP]["bid"] < best[PERP]["ask"]


async def test_funding_shows_the_settled_rates_and_no_later_ones(perp: Any, town: Town) -> None:
    history = await perp.fetch_funding_rate_history(PERP, since=DAY_ONE_MS, limit=100)
    assert [h["timestamp"] for h in history] == list(range(DAY_ONE_MS, town.now_ms() + 1, 8 * HOUR_MS))
    now = await perp.fetch_funding_rate(PERP)
    assert now["fundingTimestamp"] == (town.now_ms() // (8 * HOUR_MS) + 1) * 8 * HOUR_MS
    assert abs(now["markPrice"] / now["indexPrice"] - 1) < 0.01
    intervals = await perp.fetch_funding_intervals([PERP])
    assert intervals[PERP]["interval"] == "8h"
    assert (await perp.fetch_open_interest(PERP))["openInterestAmount"] > 0


async def test_a_limit_order_rests_is_found_by_our_id_and_is_cancelled(spot: Any, perp: Any) -> None:
    for client, symbol, amount in ((spot, SPOT, 0.01), (perp, PERP, 0.01)):
        bid = (await client.fetch_order_book(symbol, 5))["bids"][0][0]
        price = float(client.price_to_precision(symbol, bid * 0.96))
        order = await client.create_order(symbol, "limit", "buy", amount, price, {"newClientOrderId": "rest-1"})
        assert order["status"] == "open"
        assert order["clientOrderId"] == "rest-1"
        found = await client.fetch_order(None, symbol, {"origClientOrderId": "rest-1"})
        assert found["id"] == order["id"]
        assert [o["id"] for o in await client.fetch_open_orders(symbol)] == [order["id"]]
        held = await client.fetch_balance()
        assert held["USDT"]["used"] > 0
        with pytest.raises(ccxt.InvalidOrder):
            await client.create_order(symbol, "limit", "buy", amount, price, {"newClientOrderId": "rest-1"})
        cancelled = await client.cancel_order(None, symbol, {"origClientOrderId": "rest-1"})
        assert cancelled["status"] == "canceled"
        with pytest.raises(ccxt.OrderNotFound):
            await client.cancel_order(None, symbol, {"origClientOrderId": "rest-1"})
        assert await client.fetch_open_orders(symbol) == []
        assert (await client.fetch_orders(symbol))[-1]["status"] == "canceled"


async def test_a_market_order_pays_the_ask_and_the_fee_in_what_it_gets(spot: Any) -> None:
    before = await spot.fetch_balance()
    ask = (await spot.fetch_order_book(SPOT, 5))["asks"][0][0]
    order = await spot.create_order(SPOT, "market", "buy", 0.01, None, {"newClientOrderId": "m-1"})
    assert order["status"] == "closed"
    assert order["average"] >= ask * 0.999
    after = await spot.fetch_balance()
    assert after["BTC"]["total"] - before.get("BTC", {"total": 0.0})["total"] == pytest.approx(0.01 * 0.999)
    assert before["USDT"]["total"] - after["USDT"]["total"] == pytest.approx(order["cost"])
    trades = await spot.fetch_my_trades(SPOT, params={"orderId": order["id"]})
    assert trades[0]["fee"] == {"cost": pytest.approx(0.01 * 0.001), "currency": "BTC"}
    assert trades[0]["takerOrMaker"] == "taker"
    sold = await spot.create_order(SPOT, "market", "sell", 0.009, None, {"newClientOrderId": "m-2"})
    assert sold["status"] == "closed"
    bought = await spot.create_order(SPOT, "market", "buy", 1, None, {"quoteOrderQty": 50, "newClientOrderId": "m-3"})
    assert 45 < bought["cost"] <= 50


async def test_post_only_is_refused_when_it_would_take(spot: Any, perp: Any) -> None:
    for client, symbol, error in (
        (spot, SPOT, ccxt.OrderImmediatelyFillable),
        (perp, PERP, ccxt.OrderNotFillable),
    ):
        ask = (await client.fetch_order_book(symbol, 5))["asks"][0][0]
        price = float(client.price_to_precision(symbol, ask * 1.002))
        with pytest.raises(error):
            await client.create_order(symbol, "limit", "buy", 0.01, price, {"postOnly": True})
        with pytest.raises(ccxt.OrderNotFound):
            await client.fetch_order(None, symbol, {"origClientOrderId": "never-sent"})


async def test_a_resting_order_fills_as_maker_when_the_price_goes_through_it(spot: Any, town: Town) -> None:
    bid = (await spot.fetch_order_book(SPOT, 5))["bids"][0][0]
    order = await spot.create_order(SPOT, "limit", "buy", 0.01, bid, {"postOnly": True, "newClientOrderId": "maker-1"})
    assert order["status"] == "open"
    await town.jump(town.now_ms() + 2 * HOUR_MS)
    filled = await spot.fetch_order(order["id"], SPOT)
    assert filled["status"] == "closed"
    assert filled["average"] == bid
    trade = (await spot.fetch_my_trades(SPOT, params={"orderId": order["id"]}))[0]
    assert trade["takerOrMaker"] == "maker"
    assert order["timestamp"] <= trade["timestamp"] <= town.now_ms()


async def test_a_perpetual_position_is_opened_reduced_and_closed(perp: Any) -> None:
    await perp.set_margin_mode("isolated", PERP)
    with pytest.raises(ccxt.MarginModeAlreadySet):
        await perp.set_margin_mode("isolated", PERP)
    await perp.set_leverage(2, PERP)
    assert (await perp.fetch_position_mode(PERP))["hedged"] is False
    with pytest.raises(ccxt.ExchangeError, match="-4059"):
        await perp.set_position_mode(False)
    with pytest.raises(ccxt.InvalidOrder, match="-2022"):
        await perp.create_order(PERP, "market", "buy", 0.01, None, {"reduceOnly": True})
    await perp.create_order(PERP, "market", "sell", 0.02, None, {"newClientOrderId": "short-1"})
    position = (await perp.fetch_positions([PERP]))[0]
    assert position["side"] == "short"
    assert position["contracts"] == 0.02
    assert position["marginMode"] == "isolated"
    assert position["initialMargin"] == pytest.approx(position["notional"] / 2, rel=0.01)
    assert position["liquidationPrice"] > position["markPrice"] * 1.4
    tier = await perp.fetch_leverage_tiers([PERP])
    assert tier[PERP][0]["maintenanceMarginRate"] == 0.004
    await perp.create_order(PERP, "market", "buy", 0.02, None, {"reduceOnly": True})
    assert await perp.fetch_positions([PERP]) == []
    lines = await perp.fetch_ledger("USDT")
    assert {line["info"]["incomeType"] for line in lines} >= {"COMMISSION", "REALIZED_PNL"}
    assert len(await perp.fetch_my_trades(PERP)) >= 2


async def test_filters_say_which_they_are(spot: Any, perp: Any) -> None:
    ask = (await spot.fetch_order_book(SPOT, 5))["asks"][0][0]
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
    cases = (
        ({"quantity": "0.00001", "price": f"{ask:.2f}"}, "NOTIONAL"),
        ({"quantity": "0.000015", "price": f"{ask:.2f}"}, "LOT_SIZE"),
        ({"quantity": "0.01", "price": f"{ask:.2f}5"}, "PRICE_FILTER"),
        ({"quantity": "0.01", "price": f"{ask * 6:.2f}"}, "PERCENT_PRICE_BY_SIDE"),
    )
    for fields, name in cases:
        with pytest.raises(ccxt.ExchangeError, match=f"Filter failure: {name}"):
            await spot.private_post_order(order | fields)
    for fields, code in (
        ({"quantity": "0.001", "price": f"{ask * 0.99:.1f}"}, "-4164"),
        ({"quantity": "0.0105", "price": f"{ask:.1f}"}, "-1111"),
        ({"quantity": "0", "price": f"{ask:.1f}"}, "-4003"),
    ):
        with pytest.raises(ccxt.ExchangeError, match=code):
            await perp.fapiPrivatePostOrder(order | fields)


async def test_too_much_is_insufficient_funds(spot: Any, perp: Any) -> None:
    with pytest.raises(ccxt.InsufficientFunds):
        await spot.create_order(SPOT, "market", "buy", 5)
    with pytest.raises(ccxt.InsufficientFunds):
        await perp.create_order(PERP, "market", "buy", 20)


async def test_wrong_keys_signatures_and_times_are_refused(spot: Any, town: Town) -> None:
    secret, key = spot.secret, spot.apiKey
    try:
        spot.secret = "wrong"
        with pytest.raises(ccxt.AuthenticationError, match="-1022"):
            await spot.fetch_balance()
        spot.secret, spot.apiKey = secret, "wrong-key"
        with pytest.raises((ccxt.AuthenticationError, ccxt.DDoSProtection), match="-2015"):
            await spot.fetch_balance()
        spot.apiKey = "!!"
        with pytest.raises(ccxt.AuthenticationError, match="-2014"):
            await spot.fetch_balance()
        spot.apiKey = key
        spot.options["timeDifference"] = 60_000
        with pytest.raises(ccxt.InvalidNonce, match="-1021"):
            await spot.fetch_balance()
        spot.options["timeDifference"] = -60_000
        with pytest.raises(ccxt.InvalidNonce, match="-1021"):
            await spot.fetch_balance()
    finally:
        spot.secret, spot.apiKey = secret, key
        spot.options["timeDifference"] = 0


async def test_usdt_moves_between_the_wallets_and_back(spot: Any, perp: Any) -> None:
    before = (await perp.fetch_balance())["USDT"]["total"]
    await spot.transfer("USDT", 100, "spot", "linear")
    assert (await perp.fetch_balance())["USDT"]["total"] == pytest.approx(before + 100)
    await perp.transfer("USDT", 100, "linear", "spot")
    assert (await perp.fetch_balance())["USDT"]["total"] == pytest.approx(before)
    with pytest.raises(ccxt.ExchangeError, match="-5013"):
        await perp.transfer("USDT", 10_000_000, "linear", "spot")


async def test_fees_and_the_key_s_rights_are_told(spot: Any, perp: Any, town: Town) -> None:
    assert (await spot.fetch_trading_fee(SPOT))["taker"] == 0.001
    assert (await perp.fetch_trading_fee(PERP))["maker"] == 0.0002
    rights = await spot.sapi_get_account_apirestrictions()
    assert rights["enableWithdrawals"] is False
    await town.call("POST", "/sandbox/key", {"withdrawals": True, "ip_restricted": False})
    rights = await spot.sapi_get_account_apirestrictions()
    assert (rights["enableWithdrawals"], rights["ipRestrict"]) == (True, False)
    await town.call("POST", "/sandbox/key", {"withdrawals": False, "ip_restricted": True})


async def test_a_key_that_was_taken_back_is_refused_until_it_is_given_again(spot: Any, perp: Any, town: Town) -> None:
    await town.call("POST", "/sandbox/key", {"revoked": True})
    for market in (spot, perp):
        with pytest.raises(ccxt.BaseError, match="-2015"):
            await market.fetch_balance()
    await town.call("POST", "/sandbox/key", {"revoked": False})
    assert (await spot.fetch_balance())["USDT"]["total"] > 0


async def test_a_deposit_is_in_the_spot_wallet_and_in_no_income_record(spot: Any, perp: Any, town: Town) -> None:
    before, records = (await spot.fetch_balance())["USDT"]["total"], await perp.fapiprivate_get_income()
    await town.call("POST", "/sandbox/deposit", {"usdt": "250.5"})
    assert (await spot.fetch_balance())["USDT"]["total"] == pytest.approx(before + 250.5)
    assert await perp.fapiprivate_get_income() == records
    await town.call("POST", "/sandbox/deposit", {"usdt": "-250.5"})
    assert (await spot.fetch_balance())["USDT"]["total"] == pytest.approx(before)


async def test_a_countdown_cancels_what_rests(perp: Any, town: Town) -> None:
    bid = (await perp.fetch_order_book(PERP, 5))["bids"][0][0]
    price = float(perp.price_to_precision(PERP, bid * 0.96))
    await perp.create_order(PERP, "limit", "buy", 0.01, price, {"newClientOrderId": "dead-man"})
    await perp.fapiPrivatePostCountdownCancelAll({"symbol": "BTCUSDT", "countdownTime": 60_000})
    await town.jump(town.now_ms() + 30_000)
    assert len(await perp.fetch_open_orders(PERP)) == 1
    await town.jump(town.now_ms() + 40_000)
    assert await perp.fetch_open_orders(PERP) == []
    await perp.cancel_all_orders(PERP)
    with pytest.raises(ccxt.OrderNotFound):
        await perp.cancel_order(None, PERP, {"origClientOrderId": "dead-man"})


async def test_a_short_is_paid_what_the_recorded_rates_say(perp: Any, town: Town) -> None:
    await perp.create_order(PERP, "market", "sell", 0.05, None, {"newClientOrderId": "carry"})
    opened_ms = town.now_ms()
    await town.jump(opened_ms + 25 * HOUR_MS, in_s=0.3)
    paid = await perp.fetch_funding_history(PERP, since=opened_ms)
    rates = await perp.fetch_funding_rate_history(PERP, since=opened_ms)
    assert len(paid) == len(rates) == 3
    for line, rate in zip(paid, rates, strict=True):
        assert line["timestamp"] == rate["timestamp"]
        due = Decimal("0.05") * Decimal(rate["info"]["markPrice"]) * Decimal(rate["info"]["fundingRate"])
        assert abs(Decimal(line["info"]["income"]) - due) <= Decimal("1e-8")
    await perp.create_order(PERP, "market", "buy", 0.05, None, {"reduceOnly": True})


async def test_the_witness_saw_each_order_once_and_the_ledger_adds_up(perp: Any, town: Town) -> None:
    seen = await town.call("GET", "/sandbox/seen")
    assert seen["requests"]["POST /fapi/v1/order"] >= 5
    assert [o["client_id"] for o in seen["orders"]].count("carry") == 1
    names = {d["client_id"]: d["accepted"] for d in seen["duplicate_orders"]}
    assert names == {"rest-1": 1}
    ledger = await town.call("GET", "/sandbox/ledger")
    assert ledger["equity"]["adds_up"] is True
    assert float(ledger["equity"]["funding"]) != 0.0
    await town.call("POST", "/sandbox/reset-seen")
    assert (await town.call("GET", "/sandbox/seen"))["orders"] == []


async def test_a_gap_of_the_tape_stays_a_gap(spot: Any, town: Town) -> None:
    assert town.now_ms() > GAP_MS + HOUR_MS
    rows = await spot.fetch_ohlcv(SPOT, "1m", since=GAP_MS - 60_000, limit=3)
    assert [int(r[0]) for r in rows] == [GAP_MS - 60_000, GAP_MS + 1_800_000, GAP_MS + 1_860_000]

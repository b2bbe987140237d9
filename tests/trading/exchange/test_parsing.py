"""The venue's documents, recorded where there are recordings, and what is done with broken ones."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import DATA, needs_data
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.domain.orders import IncomeKind, OrderStatus, OrderType, Side
from trading.exchange import parse_account, parse_market, parse_stream
from trading.exchange.answer import Answer, answers

REST = DATA / "payloads" / "binance_rest"
HOUR_MS = 3_600_000


def recorded(name: str) -> Any:
    samples = json.loads((REST / "nautilus_rest_ws_samples.json").read_text())
    return samples[f"http_responses/{name}.json"]


def symbols(name: str) -> list[Answer]:
    document = json.loads((REST / name).read_text())
    return answers(document["symbols"] if isinstance(document, dict) else document, name)


@needs_data
@pytest.mark.parametrize(
    ("file", "market", "tick", "lot", "largest", "least"),
    [
        ("usdm_exchangeInfo_2025-03-06.trim.json", Market.PERP, "0.1", "0.001", "1000", "100"),
        ("usdm_exchangeInfo_2021-09-06.trim.json", Market.PERP, "0.01", "0.001", None, "5"),
        ("spot_symbols_production.trim.json", Market.SPOT, "0.01", "0.00001", "129.98855633", "5"),
        ("spot_exchangeInfo_2021-04-29.trim.json", Market.SPOT, "0.01", "0.000001", "93.66513730", "10"),
    ],
)
def test_filters_of_every_recorded_age_are_read(
    file: str, market: Market, tick: str, lot: str, largest: str | None, least: str
):
    found = {answer.text("symbol"): parse_market.instrument(market, answer) for answer in symbols(file)}
    btc = found["BTCUSDT"]
    assert (btc.tick, btc.lot, btc.min_notional) == (Decimal(tick), Decimal(lot), Decimal(least))
    assert largest is None or btc.max_quantity == Decimal(largest), "a market order's smaller limit counts"
    assert btc.base == "BTC"
    assert btc.highest_share is not None
    assert btc.lowest_share is not None
    assert btc.lowest_share < 1 < btc.highest_share
    assert len(found) > 10


@needs_data
def test_recorded_public_answers_are_read():
    of = parse_market.Candles(Market.SPOT, "BTCUSDT", "1m", 1634943840000, 5)
    bars = parse_market.klines(recorded("http_spot_market_klines"), of)
    assert (bars[0].open_time_ms, bars[0].close, bars[0].volume_base) == (1634943780000, 60719.27, 21.63272)
    assert [bar.is_closed for bar in bars[:2]] == [True, False], "what had not ended when it was asked for is open"
    spot = Answer.of(recorded("http_spot_market_book_ticker"), "quote")
    assert parse_market.quote(Market.SPOT, spot, received_ms=7).at_ms == 7
    perp = parse_market.quote(
        Market.PERP, Answer.of(recorded("http_futures_market_book_ticker"), "quote"), received_ms=7
    )
    assert (perp.at_ms, perp.bid, perp.ask_base) == (1589437530011, 4.0, 9.0)
    book = parse_market.book(
        Market.PERP, "BTCUSDT", Answer.of(recorded("http_futures_market_depth"), "book"), received_ms=7
    )
    assert (book.at_ms, book.bids[0][0]) == (1589436922959, 4.0)
    now = parse_market.funding_now(
        Answer.of(recorded("http_futures_market_premium_index"), "funding"), parse_market.FundingTerms()
    )
    assert (now.rate, now.next_ms, now.index_price) == (0.00038246, 1597392000000, 11781.80495970)
    rates = [parse_market.funding_rate(row) for row in answers(recorded("http_futures_market_funding_rate"), "f")]
    assert [(rate.rate, rate.mark_price) for rate in rates] == [(-0.0375, None), (0.0001, None)]


@needs_data
def test_recorded_private_answers_are_read():
    order = parse_account.order_state(Market.PERP, Answer.of(recorded("http_futures_account_orders")[0], "order"))
    assert (order.status, order.order.client_id, order.average_price, order.order.price) == (
        OrderStatus.OPEN, "abc", None, None,
    )  # fmt: skip
    fills = [parse_account.fill(Market.PERP, row) for row in answers(recorded("http_futures_account_trades"), "fills")]
    assert [(fill.side, fill.fee, fill.fee_asset) for fill in fills] == [
        (Side.SELL, Decimal("0.00555670"), "USDT"),
        (Side.BUY, Decimal("0.00555800"), "USDT"),
    ]
    balances = parse_account.spot_balances(Answer.of(recorded("http_spot_wallet_account"), "account"))
    assert balances["BTC"].free == Decimal("4723846.89208129")
    flat = parse_account.perp_position("BTCUSDT", recorded("http_futures_account_positions_one_way"), 10, "position")
    assert flat.quantity_base == 0
    with pytest.raises(DataProviderError, match="hedge mode"):
        parse_account.perp_position("BTCUSDT", recorded("http_futures_account_positions_hedge"), 10, "position")


def test_the_average_price_comes_from_what_was_spent_when_the_venue_does_not_tell_it():
    answer = {
        "symbol": "BTCUSDT", "orderId": 1, "origClientOrderId": "ours", "clientOrderId": "of-the-cancel",
        "price": "0.00", "origQty": "0.4", "executedQty": "0.2", "cummulativeQuoteQty": "8400.0", "status": "CANCELED",
        "timeInForce": "GTC", "type": "LIMIT_MAKER", "side": "SELL", "transactTime": 9,
    }  # fmt: skip
    state = parse_account.order_state(Market.SPOT, Answer.of(answer, "cancel"))
    assert state.average_price == Decimal(42000)
    assert state.order.client_id == "ours"
    assert (state.status, state.order.type) == (OrderStatus.CANCELLED, OrderType.POST_ONLY)
    with pytest.raises(DataProviderError, match="side='HOLD': neither BUY nor SELL"):
        parse_account.order_state(Market.SPOT, Answer.of({**answer, "side": "HOLD"}, "cancel"))
    with pytest.raises(DataProviderError, match="status='MELTED': not a status"):
        parse_account.order_state(Market.SPOT, Answer.of({**answer, "status": "MELTED"}, "cancel"))


def test_a_contracts_own_terms_are_taken_and_the_venues_general_ones_elsewhere():
    listed = [
        {"symbol": "ENAUSDT", "adjustedFundingRateCap": "0.01", "adjustedFundingRateFloor": "-0.0075",
         "fundingIntervalHours": 4},
    ]  # fmt: skip
    own = parse_market.funding_terms(listed, "ENAUSDT", "info")
    assert (own.interval_ms, own.cap_rate) == (4 * HOUR_MS, 0.01)
    general = parse_market.funding_terms(listed, "BTCUSDT", "info")
    assert (general.interval_ms, general.cap_rate) == (8 * HOUR_MS, 0.02)


def test_margin_tables_are_read_in_order_and_only_of_the_symbol():
    step = {"notionalFloor": 0, "notionalCap": 50000, "maintMarginRatio": 0.004, "cum": 0.0, "initialLeverage": 125}
    document = [
        {"symbol": "ETHUSDT", "brackets": [step]},
        {"symbol": "BTCUSDT", "brackets": [{**step, "notionalFloor": 50000, "notionalCap": 600000, "cum": 50.0}, step]},
    ]
    table = parse_market.brackets(document, "BTCUSDT", "brackets")
    assert [bracket.notional_from_quote for bracket in table] == [0.0, 50000.0]
    assert table[1].maintenance_amount_quote == 50.0


def test_income_of_an_unknown_kind_is_kept_as_other():
    line = {"symbol": "", "incomeType": "STRATEGY_UMFUTURES_TRANSFER", "income": "-1.5", "time": 3, "tranId": 77}
    income = parse_account.income(Answer.of(line, "income"))
    assert (income.kind, income.amount_quote, income.venue_id) == (IncomeKind.OTHER, Decimal("-1.5"), "77")


def test_unrealised_profit_is_no_free_balance():
    rows = [{"asset": "USDT", "balance": "100", "availableBalance": "130"},
            {"asset": "BNB", "balance": "0", "availableBalance": "0"},
            {"asset": "USDC", "balance": "100", "availableBalance": "-3"}]  # fmt: skip
    found = parse_account.futures_balances(rows, "balances")
    assert (found["USDT"].free, found["USDT"].locked) == (Decimal(100), Decimal(0))
    assert (found["USDC"].free, found["USDC"].total) == (Decimal(0), Decimal(100))
    assert "BNB" not in found


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda: Answer.of([], "here"), "here: expected a JSON object"),
        (lambda: answers({"a": 1}, "here"), "here: expected a JSON list"),
        (lambda: Answer.of({}, "here").text("price"), "here: price=None: missing"),
        (lambda: Answer.of({"price": "cheap"}, "here").decimal("price"), "price='cheap': not a number"),
        (lambda: Answer.of({"price": "NaN"}, "here").number("price"), "price='NaN': not a number of this world"),
        (lambda: Answer.of({"price": "1e999"}, "here").number("price"), "price='1e999': not a number of this world"),
        (lambda: Answer.of({"time": "1.5"}, "here").whole("time"), "time=1.5: not a whole number"),
        (lambda: Answer.of({"time": "1e99999999"}, "here").whole("time"), "not a number of this world"),
        (lambda: Answer.of({"x": "true"}, "here").flag("x"), "x='true': not true or false"),
        (lambda: parse_market.instrument(Market.SPOT, Answer.of({"filters": []}, "here")), "no filter LOT_SIZE"),
        (
            lambda: parse_market.klines([[1, 2]], parse_market.Candles(Market.SPOT, "B", "1m", 0, 0)),
            "expected time, four prices",
        ),
        (
            lambda: parse_market.book(Market.SPOT, "B", Answer.of({"bids": [[1]], "asks": []}, "here"), received_ms=0),
            "expected price and quantity",
        ),
    ],
)
def test_a_broken_answer_is_told_with_where_field_and_value(read: Any, words: str):
    with pytest.raises(DataProviderError, match=words):
        read()


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
                    max_leaves=12))  # fmt: skip
def test_no_document_however_odd_gets_past_the_parsers_as_anything_but_our_error(document: object):
    of = parse_market.Candles(Market.SPOT, "B", "1m", 0, 0)
    for read in (
        lambda: parse_market.klines(document, of),
        lambda: [parse_account.income(row) for row in answers(document, "x")],
        lambda: parse_account.order_state(Market.PERP, Answer.of(document, "x")),
        lambda: parse_stream.streamed_bar(Market.SPOT, document, received_ms=0),
        lambda: parse_account.futures_balances(document, "x"),
        lambda: parse_market.brackets(document, "B", "x"),
    ):
        try:
            read()
        except DataProviderError:
            continue


@given(st.text(max_size=12))
def test_any_text_in_a_number_field_is_a_number_or_our_error(text: str):
    try:
        assert Answer.of({"n": text}, "x").decimal("n").is_finite()
    except DataProviderError:
        return

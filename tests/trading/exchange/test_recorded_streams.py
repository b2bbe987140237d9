"""Binance's own messages of a morning: an unbroken book, whose top is the best bid and ask that it streamed beside it.

Depth and `bookTicker` are two streams; the update id says which state of the book a quote belongs to. `bookTicker`
tells every change of the top, so at each state of the book the newest quote that is not newer than it must be its top.
"""

from __future__ import annotations

import gzip
import json
from collections import deque
from collections.abc import Iterator

import orjson
import pytest

from tests.conftest import DATA, needs_data
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.domain.market import BookDiff, BookSnapshot, Liquidation, MarketEvent, MarkNow, Quote
from trading.exchange.answer import Answer
from trading.exchange.parse_stream import book_snapshot, stream_event
from trading.market.order_book import Applied, OrderBook

RAW = DATA / "payloads" / "binance_ws_raw"
FILES = {Market.PERP: "usdm_btcusdt_20240808.gz", Market.SPOT: "spot_btcusdt_20240808.gz"}


def recorded(market: Market) -> Iterator[MarketEvent | BookSnapshot]:
    with gzip.open(RAW / FILES[market]) as lines:
        for line in lines:
            stamp, text = line.split(b" ", 1)
            message = orjson.loads(text)
            if "stream" not in message:
                yield book_snapshot(market, "BTCUSDT", Answer(message, "depth"), received_ms=int(stamp) // 1_000_000)
            elif (event := stream_event(market, message["data"], received_ms=int(stamp) // 1_000_000)) is not None:
                yield event


@needs_data
@pytest.mark.parametrize(
    ("market", "compared", "same_id"), [(Market.PERP, 6_543, 628), (Market.SPOT, 3_448, 564)], ids=["perp", "spot"]
)
def test_the_recorded_book_is_unbroken_and_its_top_is_the_recorded_best_bid_and_ask(
    market: Market, compared: int, same_id: int
) -> None:
    book, states, quotes = OrderBook(market, "BTCUSDT"), deque[tuple[int, object]](), deque[Quote]()
    at: Quote | None = None
    checked = matched = 0
    for event in recorded(market):
        if isinstance(event, BookSnapshot):
            assert book.restart(event) is Applied.DONE
        elif isinstance(event, BookDiff):
            said = book.apply(event)
            assert said is not Applied.BROKEN
            if said is Applied.DONE:
                states.append((event.last_id, book.top()))
        elif isinstance(event, Quote):
            quotes.append(event)
            # a quote newer than a state of the book shows that no quote up to that state is still to come
            while states and number(event) > states[0][0]:
                last_id, top = states.popleft()
                while number(quotes[0]) <= last_id:
                    at = quotes.popleft()
                if at is not None:
                    assert top == ((at.bid, at.bid_base), (at.ask, at.ask_base)), last_id
                    checked, matched = checked + 1, matched + (at.update_id == last_id)
    assert book.is_whole
    assert (checked, matched) == (compared, same_id)


def number(quote: Quote) -> int:
    assert quote.update_id is not None
    return quote.update_id


def shapes() -> list[tuple[str, dict[str, object]]]:
    found = json.loads((RAW / "tardis_test_messages.json").read_text())
    return [(group, message) for group in ("spot", "usdm") for message in _objects(found[group])]


def _objects(node: object) -> Iterator[dict[str, object]]:
    if isinstance(node, dict) and isinstance(node.get("data"), dict) and "stream" in node:
        yield node["data"]
    elif isinstance(node, (dict, list)):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _objects(child)


@needs_data
def test_captured_messages_of_every_kind_are_read() -> None:
    kinds, refused = set(), []
    for group, data in shapes():
        try:
            kinds.add(type(stream_event(Market.SPOT if group == "spot" else Market.PERP, data, received_ms=1)))
        except DataProviderError as error:
            refused.append(str(error))
    assert kinds == {BookDiff, Quote, MarkNow, Liquidation, type(None)}
    assert refused == ["markPriceUpdate: i='None': not a number of this world"]  # one of 2019, before it had an index


FORCED = {"e": "forceOrder", "E": 1, "o": {"s": "BTCUSDT", "S": "SELL", "q": "0.014", "p": "9910", "ap": "9911.5",
          "z": "0.01", "T": 7}}  # fmt: skip
TICKER = {"u": 5, "s": "BTCUSDT", "b": "1.5", "B": "2", "a": "1.6", "A": "3"}
DEPTH = {"e": "depthUpdate", "E": 9, "s": "BTCUSDT", "U": 1, "u": 2, "b": [["1", "2"]], "a": []}


def test_a_liquidation_says_what_the_venue_does_with_the_position() -> None:
    assert stream_event(Market.PERP, FORCED, received_ms=0) == Liquidation(
        "BTCUSDT", is_buy=False, price=9910.0, average_price=9911.5, quantity_base=0.014, filled_base=0.01, at_ms=7
    )


def test_a_quote_of_spot_takes_the_time_of_its_receipt() -> None:
    assert stream_event(Market.SPOT, TICKER, received_ms=77) == Quote(
        Market.SPOT, "BTCUSDT", 1.5, 1.6, 2.0, 3.0, 77, update_id=5
    )


@pytest.mark.parametrize(
    "broken",
    [
        {**TICKER, "b": "nan"},
        {**TICKER, "b": "1e99"},
        {**TICKER, "a": None},
        {**TICKER, "u": "5.5"},
        {**TICKER, "s": 5},
        {**DEPTH, "b": [["1"]]},
        {**DEPTH, "b": [["1", "-2"]]},
        {**DEPTH, "b": [["0", "2"]]},
        {**DEPTH, "a": None},
        {**DEPTH, "a": [["inf", "1"]]},
        {**DEPTH, "u": True},
        {**FORCED, "o": None},
        {"e": "forceOrder", "o": {"s": "BTCUSDT", "S": "HOLD"}},
        {"e": "markPriceUpdate", "s": "BTCUSDT", "p": "", "i": "1", "r": "0", "T": 1, "E": 1},
    ],
)
def test_an_event_with_a_value_of_no_use_is_refused_by_name(broken: dict[str, object]) -> None:
    with pytest.raises(DataProviderError, match=r"bookTicker|depthUpdate|forceOrder|markPriceUpdate"):
        stream_event(Market.PERP, broken, received_ms=0)


def test_an_event_that_is_not_known_is_passed_over() -> None:
    assert stream_event(Market.PERP, {"e": "newKind", "s": "BTCUSDT"}, received_ms=0) is None

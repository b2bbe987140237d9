"""What the journal of intents can teach: takers against the quote they were decided on, makers by how they rested."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from tests.trading.execution.fake_venue import FakeVenue
from tests.trading.execution.rig import Rig, VirtualClock
from trading.domain.instrument import Market
from trading.domain.market import Quote
from trading.domain.orders import Order, OrderState, OrderStatus, OrderType, Side
from trading.execution.flatten import flatten_all
from trading.execution.intent_records import IntentStatus, OrderRecord, Purpose
from trading.execution.intents import Intents
from trading.execution.own_fills import rested_orders, taker_fills

D = Decimal
AT_MS = 1_700_000_000_000


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path, FakeVenue(VirtualClock()))


def took(intents: Intents, side: Side, price: str, *, seen: Quote | None, filled: str = "2") -> OrderRecord:
    """An order of two coins that took, and what it paid on average."""
    intent = intents.begin("c-1", Purpose.OPEN, "BTCUSDT", (D(2), D(2)), leverage=1, at_ms=AT_MS)
    draft = Order("", Market.PERP, "BTCUSDT", side, OrderType.LIMIT_IOC, D(2), D(100))
    record = intents.write_ahead(intent.id, draft, slice_number=1, at_ms=AT_MS, seen=seen)
    state = OrderState(record.order, "o-1", OrderStatus.EXPIRED, D(filled), D(price) if D(filled) else None, AT_MS)
    return intents.learned(record.order.client_id, state, at_ms=AT_MS + 40)


def quoted(bid: float, ask: float) -> Quote:
    return Quote(Market.PERP, "BTCUSDT", bid, ask, 5.0, 5.0, AT_MS)


def test_what_a_taker_paid_is_told_against_the_mid_and_against_the_best_price(tmp_path: Path) -> None:
    intents = Intents(tmp_path / "intents.jsonl")
    took(intents, Side.BUY, "100.3", seen=quoted(99.9, 100.1))
    took(intents, Side.SELL, "99.8", seen=quoted(99.9, 100.1), filled="0.5")
    (bought, sold), blind = taker_fills(Intents(tmp_path / "intents.jsonl").orders())
    assert blind == 0
    assert (bought.notional_quote, sold.notional_quote) == (200.0, 50.0)
    assert (bought.beyond_mid_quote, bought.beyond_touch_quote) == (pytest.approx(0.6), pytest.approx(0.4))
    assert (sold.beyond_mid_quote, sold.beyond_touch_quote) == (pytest.approx(0.1), pytest.approx(0.05))


def test_what_filled_nothing_teaches_nothing_and_a_line_of_an_older_lab_is_counted_as_blind(tmp_path: Path) -> None:
    intents = Intents(tmp_path / "intents.jsonl")
    took(intents, Side.BUY, "0", seen=quoted(99.9, 100.1), filled="0")
    took(intents, Side.BUY, "100.3", seen=None)
    lines = [json.loads(line) for line in (tmp_path / "intents.jsonl").read_text().splitlines()]
    assert [("bid" in line) for line in lines if line["kind"] == "order"] == [True, False]
    assert taker_fills(intents.orders()) == ([], 1)


async def test_a_saga_writes_what_each_taker_was_decided_on_and_how_long_its_makers_rested(rig: Rig) -> None:
    rig.venue.maker_fills = ("0", "0", "0.5", "1")
    await rig.run(Purpose.OPEN, "0.01002", "0.010")
    fills, blind = taker_fills(rig.reborn().intents.orders())
    assert (blind, {fill.symbol for fill in fills}) == (0, {"BTCUSDT"})
    assert all(fill.beyond_touch_quote == pytest.approx(0.0) for fill in fills)  # this venue is as deep as it says
    assert all(fill.beyond_mid_quote > 0.0 for fill in fills)
    rested = rested_orders(rig.reborn().intents.orders())
    assert rested
    assert {order.filled_share for order in rested} <= {0.5, 1.0}
    assert all(order.rested_s >= 2 * rig.settings.poll_s for order in rested)


async def test_the_way_to_flat_reads_no_quote_and_so_teaches_nothing(rig: Rig) -> None:
    await rig.run(Purpose.OPEN, "0.01002", "0.010")
    known = len(taker_fills(rig.intents.orders())[0])
    await flatten_all(rig.tools, why="test")
    fills, blind = taker_fills(rig.intents.orders())
    assert (len(fills), blind) == (known, 2)


async def test_an_order_that_the_venue_refused_did_not_rest(rig: Rig) -> None:
    rig.venue.refuse_post_only = True
    await rig.run(Purpose.OPEN, "0.01002", "0.010")
    assert rested_orders(rig.intents.orders()) == []


def test_an_order_whose_end_is_not_known_is_no_fill_yet(tmp_path: Path) -> None:
    record = took(Intents(tmp_path / "intents.jsonl"), Side.BUY, "100.3", seen=quoted(99.9, 100.1))
    assert taker_fills([replace(record, status=IntentStatus.UNKNOWN)]) == ([], 0)

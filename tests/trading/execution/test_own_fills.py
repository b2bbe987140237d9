"""What the journal of intents can teach: takers against the quote they were decided on, makers by how they rested."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from ai_brain.desk.fill_statistics import wilson
from tests.trading.execution.fake_venue import FakeVenue
from tests.trading.execution.rig import Rig, VirtualClock
from trading.domain.instrument import Market
from trading.domain.market import Quote
from trading.domain.orders import Order, OrderState, OrderStatus, OrderType, Side
from trading.execution.flatten import flatten_all
from trading.execution.intent_records import IntentStatus, OrderRecord, Purpose
from trading.execution.intents import Intents
from trading.execution.own_fills import maker_phases, taker_fills

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


async def test_a_saga_writes_what_each_taker_was_decided_on_and_how_its_maker_was_filled(rig: Rig) -> None:
    rig.venue.maker_fills = ("0", "0", "0.5", "1")
    await rig.run(Purpose.OPEN, "0.01002", "0.010")
    fills, blind = taker_fills(rig.reborn().intents.orders())
    assert (blind, {fill.symbol for fill in fills}) == (0, {"BTCUSDT"})
    assert all(fill.beyond_touch_quote == pytest.approx(0.0) for fill in fills)  # this venue is as deep as it says
    assert all(fill.beyond_mid_quote > 0.0 for fill in fills)
    (phase,) = maker_phases(rig.reborn().intents.orders())
    assert phase.filled_share == 1.0
    assert phase.quoted_s >= 2 * rig.settings.poll_s


async def test_the_way_to_flat_reads_no_quote_and_so_teaches_nothing(rig: Rig) -> None:
    await rig.run(Purpose.OPEN, "0.01002", "0.010")
    known = len(taker_fills(rig.intents.orders())[0])
    await flatten_all(rig.tools, why="test")
    fills, blind = taker_fills(rig.intents.orders())
    assert (len(fills), blind) == (known, 2)


async def test_a_slice_of_which_the_venue_refused_every_quote_was_not_filled_by_it(rig: Rig) -> None:
    rig.venue.refuse_post_only = True
    await rig.run(Purpose.OPEN, "0.01002", "0.010")
    (phase,) = maker_phases(rig.intents.orders())
    assert phase.filled_share == 0.0


def quote(
    intent: str, at_s: float, asked: str, filled: str = "0", *, took: bool = False, rested_s: float = 5.0
) -> OrderRecord:
    """An order of a leg and what it filled."""
    kind, status = (OrderType.LIMIT_IOC if took else OrderType.POST_ONLY), IntentStatus.CANCELLED
    order = Order("", Market.PERP, "BTCUSDT", Side.SELL, kind, D(asked), D(100))
    at_ms = AT_MS + round(1000 * at_s)
    return OrderRecord(intent, order, at_ms, status, D(filled), known_ms=at_ms + round(1000 * rested_s))


def told(*records: OrderRecord) -> list[tuple[float, float]]:
    return [(phase.quoted_s, phase.filled_share) for phase in maker_phases(records)]


def test_quotes_that_follow_the_price_are_one_phase_and_the_next_slice_is_another() -> None:
    assert told(quote("a", 0, "4"), quote("a", 6, "4", "1"), quote("a", 12, "3", "3")) == [(17.0, 1.0)]
    # filled whole: what is quoted next is of the next slice; what was taken ends a phase as well
    assert told(quote("a", 0, "4", "4"), quote("a", 30, "4", "1")) == [(5.0, 1.0), (5.0, 0.25)]
    assert told(quote("a", 0, "4", "1"), quote("a", 9, "3", "3", took=True), quote("a", 30, "2", "2")) == [
        (5.0, 0.25),
        (5.0, 1.0),
    ]
    # a slice larger than what was left of the one before is not that one again
    assert told(quote("a", 0, "4", "3"), quote("a", 30, "4", "4")) == [(5.0, 0.75), (5.0, 1.0)]
    assert told(quote("a", 0, "4"), quote("b", 1, "4", "4"), quote("a", 7, "4", "4")) == [(12.0, 1.0), (5.0, 1.0)]
    resting = replace(quote("a", 6, "4"), status=IntentStatus.OPEN)
    assert told(quote("a", 0, "4"), resting, quote("b", 1, "4", "4")) == [(5.0, 1.0)]


def test_how_often_a_slice_fills_in_time_is_found_again_whoever_often_it_was_quoted() -> None:
    """Known beforehand: 83 % fill within 60 s, and quotes are withdrawn after 12 s on average."""
    rng, records = np.random.default_rng(5), list[OrderRecord]()
    fill_rate = -np.log(1 - 0.83) / 60.0
    for number in range(400):
        at_s, fills_s = 0.0, rng.exponential(1 / fill_rate)
        while at_s < min(60.0, fills_s):
            ends_s = min(at_s + rng.exponential(12.0), fills_s, 60.0)
            filled = "1" if ends_s == fills_s else "0"
            records.append(quote(f"i{number}", at_s, "1", filled, rested_s=ends_s - at_s))
            at_s = ends_s
    phases = maker_phases(records)
    whole = sum(phase.filled_share >= 1.0 and phase.quoted_s <= 60.0 for phase in phases)
    low, high = wilson(whole, len(phases))
    assert len(phases) == 400
    assert low < 0.83 < high
    orders_alone = sum(record.filled_base == 1 for record in records) / len(records)
    assert orders_alone < 0.3  # to count orders would say so


def test_an_order_whose_end_is_not_known_is_no_fill_yet(tmp_path: Path) -> None:
    record = took(Intents(tmp_path / "intents.jsonl"), Side.BUY, "100.3", seen=quoted(99.9, 100.1))
    assert taker_fills([replace(record, status=IntentStatus.UNKNOWN)]) == ([], 0)

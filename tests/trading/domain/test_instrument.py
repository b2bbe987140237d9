from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.domain.errors import OrderValidationError
from trading.domain.instrument import Bracket, Instrument, Market, coarser_lot
from trading.domain.market import INTERVAL_MS, Book, bars_per_year

BTC = Instrument(
    Market.PERP, "BTCUSDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.001"), Decimal("0.001"), Decimal(100),
    Decimal(100), brackets=(Bracket(0, 50_000, 0.004, 0.0, 125), Bracket(50_000, 600_000, 0.005, 50.0, 100)),
)  # fmt: skip


@given(st.floats(1.0, 1e6))
def test_prices_land_on_the_tick_on_the_side_that_was_asked_for(value: float):
    down, near, up = (BTC.price(value, round_up=way) for way in (False, None, True))
    assert down <= near <= up
    assert up - down <= BTC.tick
    assert all(price % BTC.tick == 0 for price in (down, near, up))


@given(st.floats(0.0, 99.0))
def test_a_quantity_never_becomes_more_than_was_meant(value: float):
    rounded = BTC.quantity(value)
    assert rounded <= Decimal(str(value)) < rounded + BTC.lot
    assert rounded % BTC.lot == 0


@pytest.mark.parametrize(
    ("quantity", "price", "words"),
    [
        ("0", "50000", "not a positive multiple of the lot"),
        ("0.0015", "50000", "not a positive multiple of the lot"),
        ("0.01", "50000.05", "not a positive multiple of the tick"),
        ("101", "50000", "outside 0.001..100"),
        ("0.001", "50000", "below the venue's minimum 100"),
    ],
)
def test_what_the_venue_would_refuse_is_refused_before_it_leaves(quantity: str, price: str, words: str):
    with pytest.raises(OrderValidationError, match=words):
        BTC.check(Decimal(quantity), Decimal(price))
    BTC.check(Decimal("0.002"), Decimal(50000))


def test_maintenance_margin_is_read_from_the_bracket():
    assert BTC.maintenance(10_000) == (0.004, 0.0)
    assert BTC.maintenance(50_000) == (0.005, 50.0)
    assert BTC.maintenance(9e9) == (0.005, 50.0)
    with pytest.raises(OrderValidationError, match="no leverage brackets"):
        replace(BTC, brackets=()).maintenance(1.0)


def test_two_legs_share_the_coarser_lot():
    assert coarser_lot(BTC, replace(BTC, lot=Decimal("0.00001"))) == Decimal("0.001")


def test_walking_a_book_pays_each_level_and_a_thin_one_says_so():
    book = Book(Market.SPOT, "BTCUSDT", ((99.0, 1.0),), ((100.0, 1.0), (102.0, 1.0)), 0)
    assert book.average_price(2.0, buy=True) == 101.0
    assert book.average_price(0.5, buy=False) == 99.0
    assert book.average_price(2.5, buy=True) is None


def test_a_year_has_8760_hours():
    assert bars_per_year("1h") == 8760
    assert list(INTERVAL_MS.values()) == sorted(INTERVAL_MS.values())


@pytest.mark.parametrize(
    ("price", "is_allowed"), [("52500", True), ("52500.1", False), ("47500", True), ("47499", False)]
)
def test_a_price_beyond_the_percent_filter_is_refused_before_the_venue_does(price: str, is_allowed: bool):
    banded = replace(BTC, highest_share=Decimal("1.05"), lowest_share=Decimal("0.95"))
    if is_allowed:
        banded.check_distance(Decimal(price), Decimal(50_000))
    else:
        with pytest.raises(OrderValidationError, match="percent price"):
            banded.check_distance(Decimal(price), Decimal(50_000))
    BTC.check_distance(Decimal(price) * 3, Decimal(50_000))  # no such filter


@pytest.mark.parametrize(
    ("notional", "leverage", "is_allowed"),
    [(40_000, 125, True), (60_000, 100, True), (60_000, 125, False), (600_001, 1, False)],
)
def test_a_position_beyond_the_bracket_table_is_refused(notional: int, leverage: int, is_allowed: bool):
    if is_allowed:
        BTC.check_leverage(Decimal(notional), leverage)
    else:
        with pytest.raises(OrderValidationError, match="bracket"):
            BTC.check_leverage(Decimal(notional), leverage)

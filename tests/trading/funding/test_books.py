"""The identity holds for any order of fills, funding and prices, and shows any cent that is missing."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.execution.fake_venue import FakeVenue
from tests.trading.execution.rig import START_MS, VirtualClock
from trading.domain.instrument import Market
from trading.domain.orders import Income, IncomeKind, Order, OrderType, Side
from trading.funding.books import (
    Baseline,
    BookedFill,
    Cash,
    Identity,
    Part,
    Perp,
    VenueAccount,
    identity,
    performance,
)

D = Decimal
STEPS = st.one_of(
    st.tuples(st.sampled_from(["buy", "sell"]), st.sampled_from(list(Market)), st.integers(1, 40)),
    st.tuples(st.just("price"), st.just(Market.SPOT), st.integers(-500, 500)),
    st.tuples(st.just("funding"), st.just(Market.PERP), st.integers(-30, 30)),
)


def account_of(venue: FakeVenue) -> VenueAccount:
    mark = venue.price + venue.basis
    return VenueAccount(
        venue.spot_usdt,
        venue.spot_base,
        venue.futures_usdt,
        venue.quantity,
        venue.quantity * (mark - venue.entry),
        venue.price,
        mark,
    )


def of_one(
    baseline: Baseline, fills: tuple[BookedFill, ...], income: tuple[Income, ...], account: VenueAccount
) -> Identity:
    """The books of an account with one position."""
    part = Part("BTCUSDT", baseline, fills, income, account)
    return identity(Cash(baseline.spot_quote, baseline.futures_quote), [part])


@settings(deadline=None)
@given(st.lists(STEPS, max_size=25))
async def test_the_identity_holds_whatever_is_traded(steps: list[tuple[str, Market, int]]) -> None:
    venue = FakeVenue(VirtualClock(), spot_base=D(1))
    start = account_of(venue)
    baseline = Baseline(0, start.spot_quote, start.spot_base, start.futures_quote, D(0), D(0))
    for number, (what, which, amount) in enumerate(steps):
        if what == "price":
            venue.price += amount
        elif what == "funding":
            venue.settle_funding(amount / 10_000, START_MS + number)
        elif which is Market.PERP or what == "buy" or venue.spot_base > D(amount) / 1000:
            await venue.place(Order(f"x{number}", which, "BTCUSDT", Side(what), OrderType.MARKET, D(amount) / 1000))
    fills = tuple(BookedFill(fill, True, fill.fee) for fill in venue.trades)
    held = of_one(baseline, fills, tuple(venue.records), account_of(venue))
    assert abs(held.error_quote) < D("1e-12")
    view = performance(
        tuple(BookedFill(f, True, f.fee * f.price if f.fee_asset == "BTC" else f.fee) for f in venue.trades),
        tuple(venue.records),
        spot_price=venue.price,
        mark_price=venue.price + venue.basis,
    )
    gained = venue.equity() - (start.spot_quote + venue.price + start.futures_quote)
    assert abs(view.profit_quote - gained) < D("1e-12")


def test_a_cent_that_is_missing_shows() -> None:
    account = VenueAccount(D(100), D(0), D("99.98"), D(0), D(0), D(1), D(1))
    held = of_one(Baseline(0, D(100), D(0), D(100), D(0), D(0)), (), (), account)
    assert held.error_quote == D("-0.02")


def test_a_transfer_moves_money_and_makes_none() -> None:
    account = VenueAccount(D(60), D(0), D(140), D(0), D(0), D(1), D(1))
    moved = Income("", IncomeKind.TRANSFER, D(40), 1, "t1")
    assert of_one(Baseline(0, D(100), D(0), D(100), D(0), D(0)), (), (moved,), account).error_quote == 0


def test_the_venues_own_profit_and_commission_records_are_not_counted_twice() -> None:
    account = VenueAccount(D(100), D(0), D(100), D(0), D(0), D(1), D(1))
    records = (Income("", IncomeKind.REALIZED_PNL, D(7), 1, "1"), Income("", IncomeKind.COMMISSION, D(-1), 1, "2"))
    assert of_one(Baseline(0, D(100), D(0), D(100), D(0), D(0)), (), records, account).error_quote == 0


def test_a_position_that_flips_realises_the_old_and_enters_the_new() -> None:
    perp = Perp().after(D(-2), D(100)).after(D(3), D(90))
    assert (perp.quantity, perp.entry, perp.realised_quote) == (D(1), D(90), D(20))
    assert perp.unrealised_quote(D(95)) == D(5)

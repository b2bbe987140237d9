"""One identity for the account: whatever is opened, traded, paid and closed in whatever order, it holds at every step,
and an amount taken from either wallet is found to the cent.

The account here is counted by itself: wallets by coin, contracts by their cash flows. Only what a position is opened
with is read from it.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.funding.rig import carry_parameters
from trading.domain.errors import PortfolioUpdateError, StateFileError
from trading.domain.instrument import Market
from trading.domain.orders import Fill, Income, IncomeKind, Order, OrderState, OrderStatus, OrderType, Side
from trading.execution.intent_records import Purpose
from trading.execution.intents import Intents
from trading.funding.books import Baseline, BookedFill, Identity, Part, VenueAccount, fill_key, identity, income_key
from trading.funding.forgotten import forgotten
from trading.funding.ledger import adopt_forced
from trading.funding.position import CarryPosition, ClosedPosition, PositionStatus, PositionStore

D = Decimal
BASES = ("BTC", "ETH", "SOL", "XRP")
KINDS = [IncomeKind.FUNDING_FEE, IncomeKind.TRANSFER, IncomeKind.OTHER]
NUMBER = st.integers(0, 3)
FEES = ["USDT", "base", "BNB"]
STEPS = st.one_of(
    st.tuples(st.just("open"), NUMBER, st.just(0), st.just("")),
    st.tuples(st.just("close"), NUMBER, st.just(0), st.just("")),
    st.tuples(st.just("spot"), NUMBER, st.integers(-40, 40), st.sampled_from(FEES)),
    st.tuples(st.just("perp"), NUMBER, st.integers(-40, 40), st.sampled_from(FEES)),
    st.tuples(st.just("price"), NUMBER, st.integers(-300, 300), st.just("")),
    st.tuples(st.just("income"), NUMBER, st.integers(-900, 900), st.sampled_from(["0", "1", "2"])),
    st.tuples(st.just("late"), NUMBER, st.integers(1, 900), st.just("")),
)


class Account:
    """The exchange's side, and the lab's file beside it."""

    def __init__(self, folder: Path) -> None:
        self.intents = Intents(folder / "intents.jsonl")
        self.store = PositionStore(folder / "positions.json", self.intents)
        self.spot = defaultdict(D, {"USDT": D(10_000), "BNB": D(5), **{base: D(3) for base in BASES}})
        self.futures = D(10_000)
        self.price = {base: D(1_000) for base in BASES}
        self.contracts = {base: [D(0), D(0)] for base in BASES}
        """Quantity, and the cash that it took at its prices."""
        self.fills: dict[str, list[Fill]] = {base: [] for base in BASES}
        self.income: dict[str, list[Income]] = {base: [] for base in BASES}
        self.number = 0

    def next(self) -> int:
        self.number += 1
        return self.number

    def look(self, base: str) -> VenueAccount:
        """Cash of the contract is in the wallet when it is closed; until then it is unrealised."""
        mark, (quantity, paid) = self.price[base] + 2, self.contracts[base]
        unrealised = quantity * mark - paid
        return VenueAccount(
            self.spot["USDT"], self.spot[base], self.futures, quantity, unrealised, self.price[base], mark
        )

    def open(self, base: str) -> None:
        position_id, sequence = self.store.next_id()
        quantity, paid = self.contracts[base]
        entry = paid / quantity if quantity else D(0)
        known = (*map(fill_key, self.fills[base]), *map(income_key, self.income[base]))
        baseline = Baseline(0, self.spot["USDT"], self.spot[base], self.futures, quantity, entry, known)
        self.store.open(
            CarryPosition(
                id=position_id, sequence=sequence, spec_id="s", spec_sha256="", symbol=f"{base}USDT",
                parameters=carry_parameters(), status=PositionStatus.OPEN, opened_ms=0, capital_quote=D(100),
                baseline=baseline,
            )
        )  # fmt: skip

    def close(self, live: CarryPosition) -> None:
        over = ClosedPosition(live.id, "s", live.symbol, 0, self.next(), "OK", D(0), D(0), D(0), 0, 0.0, settled=())
        self.store.close(over, at_ms=1)

    def trade(self, base: str, market: str, lots: int, fee_in: str) -> None:
        amount, side = D(abs(lots)) / 100, Side.BUY if lots > 0 else Side.SELL
        price = self.price[base] + (2 if market == "perp" else 0)
        asset = base if fee_in == "base" and market == "spot" else "BNB" if fee_in == "BNB" else "USDT"
        fee = {base: amount / 1000, "BNB": D("0.001")}.get(asset, amount * price / 1000)
        if market == "spot":
            self.spot[base] += amount * side.sign
            self.spot["USDT"] -= amount * side.sign * price
            self.spot[asset] -= fee
        else:
            self._contract(base, amount * side.sign, price)
            self.futures -= fee if asset == "USDT" else 0
        number = str(self.next())
        self.fills[base].append(
            Fill(Market(market), f"{base}USDT", number, number, side, amount, price, fee, asset, False, 1)
        )

    def _contract(self, base: str, signed: Decimal, price: Decimal) -> None:
        quantity, paid = self.contracts[base]
        if quantity * signed < 0:
            closed = min(abs(signed), abs(quantity)) * (1 if quantity > 0 else -1)
            entry = paid / quantity
            self.futures += closed * (price - entry)
            quantity, paid, signed = quantity - closed, paid - closed * entry, signed + closed
        self.contracts[base] = [quantity + signed, paid + signed * price]

    def pay(self, base: str, cents: int, kind: IncomeKind) -> None:
        """A record that names no symbol stands in every symbol's list."""
        amount, number = D(cents) / 100, str(self.next())
        self.futures += amount
        if kind is IncomeKind.TRANSFER:
            self.spot["USDT"] -= amount
        symbol = f"{base}USDT" if kind is IncomeKind.FUNDING_FEE else ""
        for other in [base] if symbol else BASES:
            self.income[other].append(Income(symbol, kind, amount, 1, number))

    def book(self) -> None:
        for live in self.store.lives:
            base = live.symbol.removesuffix("USDT")
            known = (
                set(live.baseline.known_ids)
                | {fill_key(b.fill) for b in live.fills}
                | set(map(income_key, live.income))
            )
            fills = [
                BookedFill(fill, self._is_ours(live, fill), fill.fee)
                for fill in self.fills[base]
                if fill_key(fill) not in known
            ]
            income = [record for record in self.income[base] if income_key(record) not in known]
            self.store.save(replace(live, fills=(*live.fills, *fills), income=(*live.income, *income)))

    def _is_ours(self, live: CarryPosition, fill: Fill) -> bool:
        """Every other fill is, with its order in the journal."""
        if int(fill.venue_order_id) % 2:
            return False
        draft = Order("", fill.market, fill.symbol, fill.side, OrderType.MARKET, fill.quantity_base)
        meant = self.intents.begin(live.id, Purpose.OPEN, live.symbol, (D(1), D(1)), leverage=1, at_ms=1)
        order = self.intents.write_ahead(meant.id, draft, slice_number=0, at_ms=1).order
        filled = OrderState(order, fill.venue_order_id, OrderStatus.FILLED, fill.quantity_base, fill.price, 1)
        self.intents.learned(order.client_id, filled, at_ms=1)
        return True

    def held(self) -> Identity:
        lives = self.store.lives
        parts = [
            Part(one.symbol, one.baseline, one.fills, one.income, self.look(one.symbol.removesuffix("USDT")))
            for one in lives
        ]
        return identity(self.store.cash, parts)

    def step(self, what: str, which: int, amount: int, how: str) -> None:
        """Every step finds something to do: it takes its turn among the symbols that it can be about."""
        lives = self.store.lives
        held = [live.symbol.removesuffix("USDT") for live in lives]
        free = [base for base in BASES if base not in held]
        able = free if what in ("open", "late") else held
        if not able:
            return
        base = able[which % len(able)]
        if what == "open":
            self.open(base)
        elif what == "close":
            self.close(lives[which % len(lives)])
        elif what == "price":
            self.price[base] += amount
        elif what in ("spot", "perp") and amount:
            self.trade(base, what, amount, how)
        elif what == "income":
            self.pay(base, amount, KINDS[int(how)])
        elif what == "late":
            self._late(base, amount)

    def _late(self, base: str, cents: int) -> None:
        last = next((one for one in reversed(self.store.closed) if one.symbol == f"{base}USDT"), None)
        if last is not None:
            self.pay(base, cents, IncomeKind.FUNDING_FEE)
            self.store.note_late(last.id, self.income[base][-1:])


@settings(deadline=None, max_examples=25)
@given(st.lists(STEPS, min_size=12, max_size=40), st.sampled_from(["spot", "futures"]), st.integers(1, 100_000))
def test_the_identity_of_the_account_holds_at_every_step_and_finds_what_is_taken(
    steps: list[tuple[str, int, int, str]], wallet: str, cents: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        account = Account(Path(folder))
        for step in steps:
            account.step(*step)
            account.book()
            if account.store.lives:
                assert abs(account.held().error_quote) < D("1e-8"), step
        if not account.store.lives:
            return
        if wallet == "spot":
            account.spot["USDT"] -= D(cents) / 100
        else:
            account.futures -= D(cents) / 100
        held = account.held()
        assert abs(held.error_quote + D(cents) / 100) < D("1e-8")
        assert abs(held.error_cash + D(cents) / 100) < D("1e-8")
        account.store.rebase(held)
        assert abs(account.held().error_quote) < D("1e-8")
        again = PositionStore(Path(folder) / "positions.json", account.intents)
        assert (again.lives, again.cash) == (account.store.lives, account.store.cash)


def test_a_symbol_holds_one_position_and_a_closed_one_is_never_written_again(tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.open("BTC")
    account.open("ETH")
    first, second = account.store.lives
    with pytest.raises(PortfolioUpdateError, match=f"{first.id} is still open"):
        account.open("BTC")
    account.close(first)
    with pytest.raises(PortfolioUpdateError, match="not live"):
        account.store.save(first)
    assert account.store.lives == (second,)
    account.open("BTC")
    assert [live.sequence for live in account.store.lives] == [2, 3]


def test_a_position_that_the_journal_closed_is_dropped_the_other_kept_and_the_books_still_hold(tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.open("BTC")
    account.open("ETH")
    for step in (("spot", 0, 5, "USDT"), ("perp", 0, -5, "BNB"), ("price", 0, 9, ""), ("income", 0, 123, "0")):
        account.step(*step)
    account.step("spot", 0, -5, "USDT")
    account.step("perp", 0, 5, "USDT")
    account.book()
    before = (tmp_path / "positions.json").read_bytes()
    first, second = account.store.lives
    account.close(first)
    (tmp_path / "positions.json").write_bytes(before)  # the lab died between the journal and the file
    account.store = PositionStore(tmp_path / "positions.json", account.intents)
    assert account.store.refuse_resurrected() == (first,)
    assert account.store.refuse_resurrected() == ()
    assert account.store.lives == (second,)
    assert account.store.next_id()[1] == 3
    assert abs(account.held().error_quote) < D("1e-8")


def test_a_position_whose_orders_the_journal_lost_is_found_and_one_that_the_exchange_bought_back_is_not(
    tmp_path: Path,
) -> None:
    account = Account(tmp_path)
    account.open("BTC")
    for _ in range(2):
        account.trade("BTC", "spot", 5, "USDT")
        account.trade("BTC", "perp", -5, "USDT")
    account.trade("BTC", "perp", 10, "USDT")
    account.book()
    (live,) = account.store.lives
    account.store.save(adopt_forced(live))
    assert not live.fills[-1].is_ours
    assert account.store.lives[0].fills[-1].is_ours, "liquidated: ours, and no order of ours"
    assert forgotten(tmp_path / "positions.json", account.intents) == ()
    journal = tmp_path / "intents.jsonl"
    for kept in (b"", b"".join(journal.read_bytes().splitlines(keepends=True)[:-1])):
        (tmp_path / "cut.jsonl").write_bytes(kept)
        assert forgotten(tmp_path / "positions.json", Intents(tmp_path / "cut.jsonl")) == (live.id,)


def test_a_file_that_holds_a_symbol_twice_is_set_aside(tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.open("BTC")
    account.open("ETH")
    path = tmp_path / "positions.json"
    path.write_text(path.read_text().replace("ETHUSDT", "BTCUSDT"))
    with pytest.raises(StateFileError, match="one position a symbol"):
        PositionStore(path, account.intents)
    assert (tmp_path / "positions.json.bad-1").exists()

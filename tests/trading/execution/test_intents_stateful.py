"""The order book of intents as a state machine: written, torn, read beside or read again, it is the same."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from trading.domain.errors import StateFileError
from trading.domain.instrument import Market
from trading.domain.orders import Order, OrderState, OrderStatus, OrderType, Purse, Side
from trading.execution.intent_records import Intent, IntentStatus, MoveRecord, OrderRecord, Purpose
from trading.execution.intents import Intents

D = Decimal
QUANTITY = D(10)
ENDS = (OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.EXPIRED, OrderStatus.REJECTED)


class IntentsMachine(RuleBasedStateMachine):
    """Beside the journal a plain model of it, and a second process that reads along."""

    intents = Bundle("intents")
    orders = Bundle("orders")
    moves = Bundle("moves")

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.path = Path(self._folder.name) / "intents.jsonl"
        self.journal, self.reader = Intents(self.path), Intents(self.path, mends=False)
        self.now_ms = 1_700_000_000_000
        self.known: dict[str, Intent] = {}
        self.book: dict[str, OrderRecord] = {}
        self.moved: dict[str, MoveRecord] = {}
        self.closed: set[str] = set()

    def teardown(self) -> None:
        self._folder.cleanup()

    @rule(target=intents, position=st.sampled_from(["c-1", "c-2", "c-3"]), purpose=st.sampled_from(Purpose))
    def begin(self, position: str, purpose: Purpose) -> str:
        self.now_ms += 1
        if position in self.closed and purpose is Purpose.OPEN:
            with pytest.raises(StateFileError, match="closed for good"):
                self.journal.begin(position, purpose, "BTCUSDT", (D(1), D(1)), leverage=1, at_ms=self.now_ms)
            purpose = Purpose.CLOSE
        intent = self.journal.begin(position, purpose, "BTCUSDT", (D(1), D(1)), leverage=1, at_ms=self.now_ms)
        assert intent.id not in self.known
        self.known[intent.id] = intent
        return intent.id

    @rule(
        target=orders,
        intent=intents,
        market=st.sampled_from(Market),
        side=st.sampled_from(Side),
        part=st.integers(0, 2),
    )
    def order(self, intent: str, market: Market, side: Side, part: int) -> str:
        draft = Order("", market, "BTCUSDT", side, OrderType.MARKET, QUANTITY)
        record = self.journal.write_ahead(intent, draft, slice_number=part, at_ms=self.now_ms)
        assert record.order.client_id not in self.book
        assert record.status is IntentStatus.MEANT
        self.book[record.order.client_id] = record
        return record.order.client_id

    @rule(client_id=orders, filled=st.integers(0, 10), status=st.sampled_from(OrderStatus))
    def venue_says(self, client_id: str, filled: int, status: OrderStatus) -> None:
        old = self.book[client_id]
        told = OrderState(old.order, "v1", status, D(filled), D(100) if filled else None, self.now_ms)
        new = self.journal.learned(client_id, told, at_ms=self.now_ms)
        assert new.filled_base == max(old.filled_base, D(filled)), "what has filled never shrinks"
        assert new.status.is_final == (status in ENDS)
        self.book[client_id] = new

    @rule(client_id=orders, status=st.sampled_from([IntentStatus.UNKNOWN, IntentStatus.ABSENT, IntentStatus.REJECTED]))
    def nothing_said(self, client_id: str, status: IntentStatus) -> None:
        new = self.journal.marked(client_id, status, note="no answer", at_ms=self.now_ms)
        assert new.filled_base == self.book[client_id].filled_base
        self.book[client_id] = new

    @rule(target=moves, intent=intents, to=st.sampled_from(Purse))
    def move(self, intent: str, to: Purse) -> str:
        record = self.journal.move_ahead(intent, "USDT", D("12.34"), to=to, at_ms=self.now_ms)
        assert record.id not in self.moved
        self.moved[record.id] = record
        return record.id

    @rule(move=moves, status=st.sampled_from([IntentStatus.FILLED, IntentStatus.REJECTED, IntentStatus.ABSENT]))
    def move_ends(self, move: str, status: IntentStatus) -> None:
        self.journal.move_ended(move, status, at_ms=self.now_ms, venue_id="t1")
        self.moved[move] = replace(self.moved[move], status=status, venue_id="t1")

    @rule(intent=intents, state=st.sampled_from(["making", "retreating", "in_doubt"]), passed_ms=st.integers(1, 90_000))
    def saga_moves(self, intent: str, state: str, passed_ms: int) -> None:
        self.now_ms += passed_ms
        self.journal.moved(intent, state, at_ms=self.now_ms)
        since_ms = self.known[intent].doubt_since_ms or (self.now_ms if state == "in_doubt" else 0)
        self.known[intent] = replace(self.known[intent], state=state, doubt_since_ms=since_ms)

    @rule(intent=consumes(intents), outcome=st.sampled_from(["OK", "NOT_FILLED"]))
    def saga_ends(self, intent: str, outcome: str) -> None:
        self.journal.finish(intent, outcome, at_ms=self.now_ms)
        self.known[intent] = replace(self.known[intent], outcome=outcome)

    @rule(position=st.sampled_from(["c-1", "c-2"]))
    def close(self, position: str) -> None:
        if any(intent.position_id == position for intent in self.known.values()):
            self.journal.close_position(position, at_ms=self.now_ms)
            self.closed.add(position)

    @rule()
    def restart(self) -> None:
        self.journal = Intents(self.path)

    @precondition(lambda self: self.path.exists())
    @rule(keep=st.integers(1, 40))
    def die_while_writing(self, keep: int) -> None:
        line = json.dumps({"kind": "closed", "position_id": "c-3", "at_ms": self.now_ms}).encode()
        with self.path.open("ab") as file:
            file.write(line[:keep])
        self.reader.catch_up()
        self.journal = Intents(self.path)
        assert "set aside" in self.journal.notes[0]

    @invariant()
    def both_know_the_same(self) -> None:
        self.reader.catch_up()
        for seen in (self.journal, self.reader):
            assert {record.order.client_id: record for record in seen.orders()} == self.book
            assert {record.id: record for record in seen.moves()} == self.moved
            assert all(seen.intent(intent_id) == intent for intent_id, intent in self.known.items())
            assert {record.order.client_id for record in seen.unresolved()} == {
                client_id for client_id, record in self.book.items() if not record.status.is_final
            }
            assert {intent.id for intent in seen.unfinished()} == {
                i.id for i in self.known.values() if not i.outcome and i.position_id not in self.closed
            }
            for position in seen.position_ids():
                assert seen.is_closed(position) == (position in self.closed)
                assert seen.held(position) == (self._held(position, Market.SPOT), self._held(position, Market.PERP))

    def _held(self, position: str, market: Market) -> Decimal:
        ours = (r for r in self.book.values() if self.known[r.intent_id].position_id == position)
        return sum((r.filled_base * r.order.side.sign for r in ours if r.order.market is market), D(0))


TestIntents = IntentsMachine.TestCase
TestIntents.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)

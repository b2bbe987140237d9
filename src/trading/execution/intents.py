"""Written ahead: what is meant is on disk, fsynced, before an order leaves.

`state/intents.jsonl` holds one JSON object a line, appended only:

    intent   a saga begins: what it wants on both legs
    order    an order is about to be sent, with the client id it will carry
    status   what became of an order, as the venue said
    state    the saga moved on
    done     the saga ended, and how
    closed   a position is over; its id can never be opened again
    move     collateral is about to be moved between the wallets or into the position
    moved    what became of that, as the venue said

An order's life: meant -> open | filled | cancelled | rejected | expired | unknown | absent. `meant` and `unknown` must
be looked up at the venue by their client id; they are never sent again. `absent`: the venue says it never had it, asked
for long enough that it cannot arrive any more.

The client id is a function of intent, leg, slice and attempt: `lab-7f3a9c12-p0-a1` is the first attempt of slice 0 of
the perpetual leg. The intent's id is a hash over the position, its own number and its time, so that it stays unique
even when the folder of state is lost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from trading.domain.errors import StateFileError
from trading.domain.instrument import Market
from trading.domain.market import Quote
from trading.domain.orders import Order, OrderState, Purse
from trading.execution.intent_records import (
    OF_VENUE,
    PREFIX,
    Intent,
    IntentStatus,
    MoveRecord,
    OrderRecord,
    Purpose,
    move_with_status,
    parse_intent,
    parse_move,
    parse_order,
    with_state,
    with_status,
)
from trading.execution.journal_file import JournalFile


class Intents:
    """The journal of intents with its index in memory.

    A last line torn by a crash is set aside and named in `notes`: it was being written, so its order had not left.

    Args:
        path: The file.
        mends: False for who reads beside a living writer: a line that is half there is left alone until it is whole.

    Raises:
        StateFileError: the file cannot be read, or a line before the last is not ours.
    """

    def __init__(self, path: Path, *, mends: bool = True) -> None:
        self._path = path
        self._file = JournalFile(path, mends=mends)
        self._intents: dict[str, Intent] = {}
        self._orders: dict[str, OrderRecord] = {}
        self._moves: dict[str, MoveRecord] = {}
        self._closed: set[str] = set()
        self.catch_up()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was set aside when the file was read."""
        return self._file.notes

    def catch_up(self, *, alone: bool = False) -> None:
        """Read what another process (the stop script) has appended since; cheap when nothing was.

        Args:
            alone: The account's lock is held, so nobody is writing: from now on a torn line is set aside.

        Raises:
            StateFileError: the file cannot be read, was shortened, or holds a line that is not ours.
        """
        for number, line in self._file.new_lines(alone=alone):
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError, ArithmeticError) as error:
                raise StateFileError(
                    f"{self._path}: line {number} is not of the journal ({type(error).__name__}: {error}); "
                    "restore the file from a backup before trading"
                ) from error

    # What is meant

    def begin(
        self,
        position_id: str,
        purpose: Purpose,
        symbol: str,
        bases: tuple[Decimal, Decimal],
        *,
        leverage: int,
        at_ms: int,
    ) -> Intent:
        """Write a saga's intent; `bases` are the quantities of the spot and the perpetual leg.

        Raises:
            StateFileError: it could not be written: nothing may be sent.
        """
        if position_id in self._closed and purpose is Purpose.OPEN:
            raise StateFileError(f"{self._path}: position {position_id} is closed for good; a new one needs a new id")
        seed = f"{len(self._intents)}|{position_id}|{purpose}|{at_ms}"
        intent = Intent(
            hashlib.sha256(seed.encode()).hexdigest()[:8], position_id, purpose, symbol, *bases, leverage, at_ms
        )
        self._write(
            {
                "kind": "intent",
                "id": intent.id,
                "position_id": position_id,
                "purpose": purpose.value,
                "symbol": symbol,
                "spot_base": str(bases[0]),
                "perp_base": str(bases[1]),
                "leverage": leverage,
                "at_ms": at_ms,
            }
        )
        return self._intents[intent.id]

    def write_ahead(
        self, intent_id: str, draft: Order, *, slice_number: int, at_ms: int, seen: Quote | None = None
    ) -> OrderRecord:
        """Give a draft its client id and write it; when this returns, a crash can neither lose nor repeat it.

        Args:
            intent_id: Whose.
            draft: The order without its client id.
            slice_number: Part of the client id.
            at_ms: Lab time.
            seen: What the order was decided on, to hold its fill against later; None: no quote was read for it.

        Raises:
            StateFileError: it could not be written: it must not be sent.
        """
        leg = "s" if draft.market is Market.SPOT else "p"
        stem = f"{PREFIX}{intent_id}-{leg}{slice_number}-a"
        attempt = 1 + sum(1 for client_id in self._orders if client_id.startswith(stem))
        order = replace(draft, client_id=f"{stem}{attempt}")
        self._write(
            {
                "kind": "order",
                "intent": intent_id,
                "client_id": order.client_id,
                "market": order.market.value,
                "symbol": order.symbol,
                "side": order.side.value,
                "type": order.type.value,
                "quantity_base": str(order.quantity_base),
                "price": None if order.price is None else str(order.price),
                "reduce_only": order.reduce_only,
                **({} if seen is None else {"bid": str(seen.bid), "ask": str(seen.ask)}),
                "at_ms": at_ms,
            }
        )
        return self._orders[order.client_id]

    def move_ahead(self, intent_id: str, asset: str, amount: Decimal, *, to: Purse, at_ms: int) -> MoveRecord:
        """Write a move of collateral; when this returns, a crash cannot lose it.

        Raises:
            StateFileError: it could not be written: it must not be sent.
        """
        number = 1 + sum(1 for record in self._moves.values() if record.intent_id == intent_id)
        move_id = f"{PREFIX}{intent_id}-m{number}"
        entry = {"kind": "move", "id": move_id, "intent": intent_id, "asset": asset, "amount": str(amount)}
        self._write({**entry, "to": to.value, "at_ms": at_ms})
        return self._moves[move_id]

    # What became of it

    def move_ended(self, move_id: str, status: IntentStatus, *, at_ms: int, venue_id: str = "", note: str = "") -> None:
        """What became of a move: `filled` is done."""
        entry = {"kind": "moved", "id": move_id, "status": status.value, "venue_id": venue_id, "note": note}
        self._write({**entry, "at_ms": at_ms})

    def learned(self, client_id: str, state: OrderState, *, at_ms: int) -> OrderRecord:
        """The venue said what became of an order. What has filled never shrinks."""
        return self._status(client_id, OF_VENUE[state.status], at_ms=at_ms, state=state)

    def marked(self, client_id: str, status: IntentStatus, *, note: str, at_ms: int) -> OrderRecord:
        """No state from the venue: refused, in doubt, or never there."""
        return self._status(client_id, status, at_ms=at_ms, note=note)

    def moved(self, intent_id: str, state: str, *, at_ms: int) -> None:
        """The saga moved on."""
        self._write({"kind": "state", "intent": intent_id, "state": state, "at_ms": at_ms})

    def finish(self, intent_id: str, outcome: str, *, at_ms: int) -> None:
        """The saga ended."""
        self._write({"kind": "done", "intent": intent_id, "outcome": outcome, "at_ms": at_ms})

    def close_position(self, position_id: str, *, at_ms: int) -> None:
        """The position is over; no file restored later can bring it back."""
        if position_id not in self._closed:
            self._write({"kind": "closed", "position_id": position_id, "at_ms": at_ms})

    # Questions

    def intent(self, intent_id: str) -> Intent:
        """An intent as it stands now."""
        return self._intents[intent_id]

    def record(self, client_id: str) -> OrderRecord | None:
        """An order of ours; None: not ours."""
        return self._orders.get(client_id)

    def orders(self, *, intent_id: str | None = None, position_id: str | None = None) -> tuple[OrderRecord, ...]:
        """Orders in the order of writing, all or of one intent or position."""
        return tuple(
            record
            for record in self._orders.values()
            if (intent_id is None or record.intent_id == intent_id)
            and (position_id is None or self._intents[record.intent_id].position_id == position_id)
        )

    def unresolved(self) -> tuple[OrderRecord, ...]:
        """Orders that may rest or fill at the venue: to be looked up, never sent again."""
        return tuple(record for record in self._orders.values() if not record.status.is_final)

    def move_of(self, move_id: str) -> MoveRecord:
        """A move of collateral as it stands now."""
        return self._moves[move_id]

    def moves(self) -> tuple[MoveRecord, ...]:
        """Every move of collateral, in the order of writing."""
        return tuple(self._moves.values())

    def unfinished(self) -> tuple[Intent, ...]:
        """Sagas that began and did not end; with its position each is over, however it was cut short."""
        begun = (intent for intent in self._intents.values() if intent.position_id not in self._closed)
        return tuple(intent for intent in begun if not intent.outcome)

    def positions(self) -> tuple[str, ...]:
        """Ids of positions that were begun and are not closed, oldest first."""
        seen = dict.fromkeys(intent.position_id for intent in self._intents.values())
        return tuple(position_id for position_id in seen if position_id not in self._closed)

    def position_ids(self) -> tuple[str, ...]:
        """Ids of all positions that were ever begun."""
        return tuple(dict.fromkeys(intent.position_id for intent in self._intents.values()))

    def symbol_of(self, position_id: str) -> str:
        """The symbol a position was begun in."""
        return next(intent.symbol for intent in self._intents.values() if intent.position_id == position_id)

    def is_closed(self, position_id: str) -> bool:
        """The position is over for good."""
        return position_id in self._closed

    def held(self, position_id: str) -> tuple[Decimal, Decimal]:
        """What a position's orders left on the spot leg (gross of fees in base) and the perpetual leg, signed, base."""
        legs = {Market.SPOT: Decimal(0), Market.PERP: Decimal(0)}
        for record in self.orders(position_id=position_id):
            legs[record.order.market] += record.signed_base
        return legs[Market.SPOT], legs[Market.PERP]

    # The file

    def _status(
        self, client_id: str, status: IntentStatus, *, at_ms: int, state: OrderState | None = None, note: str = ""
    ) -> OrderRecord:
        old = self._orders[client_id]
        filled = old.filled_base if state is None else max(old.filled_base, state.filled_base)
        price = old.average_price if state is None else (state.average_price or old.average_price)
        venue_id = old.venue_id if state is None else (state.venue_id or old.venue_id)
        new = replace(
            old, status=status, filled_base=filled, average_price=price, venue_id=venue_id, note=note or old.note
        )
        if new != old:
            self._write(
                {
                    "kind": "status",
                    "client_id": client_id,
                    "status": status.value,
                    "filled_base": str(filled),
                    "average_price": None if price is None else str(price),
                    "venue_id": venue_id,
                    "note": new.note,
                    "at_ms": at_ms,
                }
            )
        return self._orders[client_id]

    def _write(self, entry: dict[str, object]) -> None:
        self._file.append(json.dumps(entry, separators=(",", ":")).encode())
        self._take(entry)

    def _take(self, entry: Mapping[str, object]) -> None:
        match entry["kind"]:
            case "intent":
                intent = parse_intent(entry)
                self._intents[intent.id] = intent
            case "order":
                record = parse_order(entry)
                self._orders[record.order.client_id] = record
            case "status":
                client_id = str(entry["client_id"])
                self._orders[client_id] = with_status(self._orders[client_id], entry)
            case "state":
                intent = self._intents[str(entry["intent"])]
                self._intents[intent.id] = with_state(intent, entry)
            case "done":
                self._intents[str(entry["intent"])] = replace(
                    self._intents[str(entry["intent"])], outcome=str(entry["outcome"])
                )
            case "move":
                move = parse_move(entry)
                self._moves[move.id] = move
            case "moved":
                move_id = str(entry["id"])
                self._moves[move_id] = move_with_status(self._moves[move_id], entry)
            case "closed":
                self._closed.add(str(entry["position_id"]))
            case kind:
                raise ValueError(f"kind={kind!r}")

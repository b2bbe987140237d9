"""The live broker: written ahead, sent once, looked up when in doubt, never sent again."""

from __future__ import annotations

import structlog

from trading.domain.clock import Clock
from trading.domain.errors import (
    DataProviderError,
    ExecutionError,
    OrderRejectedError,
    OrderValidationError,
    OutcomeUnknownError,
    RateLimitError,
)
from trading.domain.market import Quote
from trading.domain.orders import Order, OrderState
from trading.domain.venue import Venue
from trading.execution.intent_records import IntentStatus, OrderRecord
from trading.execution.intents import Intents
from trading.execution.settings import ExecutionSettings

log = structlog.get_logger(__name__)

FIRST_LOOK_S = 0.2
LONGEST_PAUSE_S = 2.0
LONGEST_WAIT_MS = 10_000
"""How long an order may wait for a place in the budget of requests before it leaves (docs/rate-limits.md)."""


class LiveBroker:
    """Carries orders to a venue. Retries only what may happen twice: looking and cancelling."""

    def __init__(self, venue: Venue, intents: Intents, *, clock: Clock, settings: ExecutionSettings) -> None:
        self._venue = venue
        self._intents = intents
        self._clock = clock
        self._settings = settings
        self._born_ms = clock.now_ms()
        self._stay_away_until_s = 0.0

    async def place(
        self, intent_id: str, draft: Order, *, slice_number: int = 0, waits: bool = True, seen: Quote | None = None
    ) -> OrderRecord:
        """See `Broker.place`."""
        left_s = self._stay_away_until_s - self._clock.monotonic_s()
        if left_s > 0:
            await self._clock.sleep_s(left_s)
        now_ms = self._clock.now_ms()
        record = self._intents.write_ahead(intent_id, draft, slice_number=slice_number, at_ms=now_ms, seen=seen)
        client_id = record.order.client_id
        try:
            state = await self._venue.place(record.order)
        except (OrderRejectedError, OrderValidationError) as error:
            return self._mark(client_id, IntentStatus.REJECTED, str(error))
        except RateLimitError as error:
            self._stay_away_until_s = self._clock.monotonic_s() + error.retry_after_s
            return self._mark(client_id, IntentStatus.REJECTED, str(error))
        except (ExecutionError, DataProviderError) as error:
            # Whatever is not a definite no leaves doubt, a refused connection included: a proxy may have passed it on.
            log.warning("order.in_doubt", client_id=client_id, error=str(error))
            unknown = self._mark(client_id, IntentStatus.UNKNOWN, str(error))
            return await self.settle(unknown) if waits else unknown
        return self._intents.learned(client_id, state, at_ms=self._clock.now_ms())

    async def refresh(self, record: OrderRecord) -> OrderRecord:
        """See `Broker.refresh`."""
        order = record.order
        state = await self._venue.find(order.market, order.symbol, order.client_id)
        if state is None:
            return await self.settle(record)
        return self._intents.learned(order.client_id, state, at_ms=self._clock.now_ms())

    async def look(self, record: OrderRecord) -> OrderRecord:
        """See `Broker.look`."""
        state = await self._ask(record.order, cancel=True)
        if state is not None:
            return self._intents.learned(record.order.client_id, state, at_ms=self._clock.now_ms())
        if self._may_arrive_for_s(record) > 0:
            return record
        return self._mark(record.order.client_id, IntentStatus.ABSENT, "the venue never had it")

    async def cancel(self, record: OrderRecord) -> OrderRecord:
        """See `Broker.cancel`."""
        return await self._until_known(record, cancel=True)

    async def settle(self, record: OrderRecord) -> OrderRecord:
        """Ask for an order in doubt until the venue says what it is, or that it cannot arrive any more.

        Raises:
            OutcomeUnknownError: the venue could not be asked within `lookup_budget_s`.
        """
        return await self._until_known(record, cancel=False)

    async def _until_known(self, record: OrderRecord, *, cancel: bool) -> OrderRecord:
        order, started_s, pause_s = record.order, self._clock.monotonic_s(), FIRST_LOOK_S
        last = "no answer"
        while True:
            wait_s = pause_s
            try:
                state = await self._ask(order, cancel=cancel)
            except RateLimitError as error:
                last, wait_s = str(error), error.retry_after_s
            except (ExecutionError, DataProviderError) as error:
                last = str(error)
            else:
                if state is not None and not (cancel and not state.status.is_final):
                    return self._intents.learned(order.client_id, state, at_ms=self._clock.now_ms())
                may_arrive_s = self._may_arrive_for_s(record) if state is None else wait_s
                if may_arrive_s <= 0:
                    return self._mark(order.client_id, IntentStatus.ABSENT, "the venue never had it")
                last = "the venue does not know it yet" if state is None else f"still {state.status}"
                wait_s = min(wait_s, may_arrive_s)
            if self._clock.monotonic_s() - started_s + wait_s > self._settings.lookup_budget_s:
                self._mark(order.client_id, IntentStatus.UNKNOWN, last)
                raise OutcomeUnknownError(
                    f"order {order.client_id} ({order.market} {order.side} {order.quantity_base} {order.symbol}): "
                    f"not known after {self._settings.lookup_budget_s:g} s: {last}; it is asked for again next cycle"
                )
            await self._clock.sleep_s(wait_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _ask(self, order: Order, *, cancel: bool) -> OrderState | None:
        if cancel:
            try:
                cancelled = await self._venue.cancel(order.market, order.symbol, order.client_id)
            except OrderRejectedError:
                cancelled = None  # too late to cancel: what it became is asked for below
            # A fill can cross the cancel and be missing in its answer: what the order became is asked for once more.
            return await self._venue.find(order.market, order.symbol, order.client_id) or cancelled
        return await self._venue.find(order.market, order.symbol, order.client_id)

    def _may_arrive_for_s(self, record: OrderRecord) -> float:
        """Seconds until an order in doubt cannot arrive any more; 0 or less: it cannot.

        Of a process before this one only that is known: it has died since, and it had waited at most so long for a
        place in the budget of requests after the order was written ahead.
        """
        left_ms = max(record.at_ms, min(self._born_ms, record.at_ms + LONGEST_WAIT_MS))
        return self._settings.absent_after_s - (self._clock.now_ms() - left_ms) / 1000

    def _mark(self, client_id: str, status: IntentStatus, note: str) -> OrderRecord:
        return self._intents.marked(client_id, status, note=note, at_ms=self._clock.now_ms())

"""What a saga needs of whoever carries its orders to a venue."""

from __future__ import annotations

from typing import Protocol

from trading.domain.market import Quote
from trading.domain.orders import Order
from trading.execution.intent_records import OrderRecord


class Broker(Protocol):
    """Places an order at most once and always learns what became of it."""

    async def place(
        self, intent_id: str, draft: Order, *, slice_number: int = 0, waits: bool = True, seen: Quote | None = None
    ) -> OrderRecord:
        """Write a draft ahead (its client id is given here) and send it once.

        Args:
            intent_id: Whose.
            draft: The order without its client id.
            slice_number: Part of the client id.
            waits: Where the answer leaves doubt, ask until the order is known. False: it comes back `unknown` at once,
                for who can go on without knowing.
            seen: The quote it was decided on, for the journal.

        Returns:
            The order as the venue knows it; `rejected` for a definite no; `absent` when the venue never had it.

        Raises:
            OutcomeUnknownError: the venue could not be asked in time; the order stays unresolved in the journal.
            StateFileError: it could not be written ahead; it was not sent.
        """

    async def refresh(self, record: OrderRecord) -> OrderRecord:
        """What the venue says of the order now; may raise whatever a read may raise."""

    async def look(self, record: OrderRecord) -> OrderRecord:
        """Cancel and ask once; not final while the venue does not know it and it may still arrive. May raise whatever
        a read may raise.
        """

    async def cancel(self, record: OrderRecord) -> OrderRecord:
        """Make it final: cancelled, or filled if that came first.

        Raises:
            OutcomeUnknownError: the venue could not be asked in time.
        """

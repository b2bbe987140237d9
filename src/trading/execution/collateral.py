"""Collateral is moved as orders are sent: written ahead, sent once, looked up when in doubt, never sent again blind.

A move whose answer was lost is looked for in the venue's own history by place, amount and time; it counts as not done
only when the venue cannot accept it any more. Money in either wallet is ours, so a move in doubt holds nothing else up.
"""

from __future__ import annotations

from decimal import Decimal

import structlog

from trading.domain.clock import Clock
from trading.domain.errors import (
    DataProviderError,
    ExecutionError,
    OrderRejectedError,
    OutcomeUnknownError,
    RateLimitError,
)
from trading.domain.orders import CollateralMove, Purse
from trading.domain.venue import Venue
from trading.execution.intent_records import IntentStatus, MoveRecord
from trading.execution.intents import Intents
from trading.execution.settings import ExecutionSettings

log = structlog.get_logger(__name__)

REFUSED_FOR_S = 3_600.0
"""After a refusal no money is moved between the wallets for so long, lab seconds: the key may not, or too little was
free."""
LOOK_BACK_MS = 2_000
"""A venue's record may be stamped a little before our clock wrote the move."""


class Collateral:
    """Moves collateral of one account and remembers whether the key may."""

    def __init__(self, venue: Venue, intents: Intents, *, clock: Clock, settings: ExecutionSettings) -> None:
        self._venue, self._intents = venue, intents
        self._clock, self._settings = clock, settings
        self._refused_until_s = 0.0

    @property
    def between_wallets(self) -> bool:
        """Money may be moved between the wallets: the settings say so, and the venue has not refused it lately."""
        return self._settings.moves_collateral and self._clock.monotonic_s() >= self._refused_until_s

    async def move(self, intent_id: str, asset: str, amount: Decimal, *, to: Purse) -> MoveRecord:
        """Move it once; the record with status `filled`, `rejected` for a definite no, `absent` when it never arrived.

        Raises:
            OutcomeUnknownError: not known within `lookup_budget_s`; it is asked for again next cycle.
            StateFileError: it could not be written ahead; it was not sent.
        """
        symbol = self._intents.intent(intent_id).symbol
        record = self._intents.move_ahead(intent_id, asset, amount, to=to, at_ms=self._clock.now_ms())
        try:
            venue_id = await self._venue.move_collateral(asset, amount, to=to, symbol=symbol)
        except RateLimitError as error:
            return self._end(record, IntentStatus.REJECTED, note=str(error))
        except OrderRejectedError as error:
            if to is not Purse.POSITION:
                self._refused_until_s = self._clock.monotonic_s() + REFUSED_FOR_S
            return self._end(record, IntentStatus.REJECTED, note=str(error))
        except (ExecutionError, DataProviderError) as error:
            log.warning("collateral.in_doubt", move=record.id, error=str(error))
            return await self._settle(record)
        return self._end(record, IntentStatus.FILLED, venue_id=venue_id)

    async def look(self) -> None:
        """Ask once for every move that is in doubt; one that cannot be asked for is left for the next cycle."""
        for record in self._intents.moves():
            if not record.status.is_final:
                try:
                    await self._once(record)
                except (ExecutionError, DataProviderError) as error:
                    log.warning("collateral.in_doubt", move=record.id, error=str(error))

    async def _settle(self, record: MoveRecord) -> MoveRecord:
        started_s, last = self._clock.monotonic_s(), "no answer"
        while self._clock.monotonic_s() - started_s <= self._settings.lookup_budget_s:
            try:
                known = await self._once(record)
            except (ExecutionError, DataProviderError) as error:
                last = str(error)
            else:
                if known.status.is_final:
                    return known
                last = "the venue does not know it yet"
            await self._clock.sleep_s(self._settings.poll_s)
        what = f"{record.id} ({record.amount} {record.asset} to {record.to})"
        raise OutcomeUnknownError(f"move {what}: not known: {last}; it is asked for again next cycle")

    async def _once(self, record: MoveRecord) -> MoveRecord:
        symbol = self._intents.intent(record.intent_id).symbol
        found = await self._venue.collateral_moves(record.to, symbol, start_ms=record.at_ms - LOOK_BACK_MS)
        taken = {known.venue_id for known in self._intents.moves() if known.venue_id and known.to is record.to}
        for move in found:
            if _is_it(move, record) and move.venue_id not in taken:
                return self._end(record, IntentStatus.FILLED, venue_id=move.venue_id)
        waited_s = (self._clock.now_ms() - record.at_ms) / 1000
        if waited_s > self._settings.absent_after_s:
            return self._end(record, IntentStatus.ABSENT, note="the venue never had it")
        return record

    def _end(self, record: MoveRecord, status: IntentStatus, *, venue_id: str = "", note: str = "") -> MoveRecord:
        self._intents.move_ended(record.id, status, at_ms=self._clock.now_ms(), venue_id=venue_id, note=note)
        return self._intents.move_of(record.id)


def _is_it(move: CollateralMove, record: MoveRecord) -> bool:
    return move.to is record.to and move.asset == record.asset and move.amount == record.amount

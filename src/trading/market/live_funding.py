"""The settled funding of live perpetuals: fetched when a settlement falls due, by what the venue says of the next one.

A contract's interval changes while it trades, between 1, 2, 4 and 8 h. So what is due is never counted from an interval
read once: when a bar closes in a new hour the venue is asked for the next settlement, and for those that passed since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from trading.domain.clock import HOUR_MS, MINUTE_MS, Clock
from trading.domain.errors import TradingEngineError
from trading.domain.market import FundingNow
from trading.domain.venue import MarketData
from trading.market.bar_sequence import Subscription
from trading.market.missed_candles import PAGE
from trading.market.patience import Patience
from trading.market.rolling import RollingBars

log = structlog.get_logger()

_WAIT_S = 0.25
"""The venue takes a moment to list what it has just settled: it is asked again so many lab seconds later."""


@dataclass(slots=True)
class _Contract:
    """What is known of one tape's settlements."""

    due_ms: int | None = None
    """The next settlement that is not held; None: not known."""
    asked_hour: int = -1
    patience: Patience = field(default_factory=Patience)


class LiveFunding:
    """Keeps the settlements of rolling tapes complete.

    Args:
        data: The venue's public side.
        clock: Lab time.
        tapes: Whose settlements to keep, by subscription.
    """

    def __init__(self, data: MarketData, clock: Clock, tapes: Mapping[Subscription, RollingBars]) -> None:
        self._data, self._clock, self._tapes = data, clock, tapes
        self._contracts = {key: _Contract() for key in tapes}

    def until_due_ms(self, key: Subscription) -> int | None:
        """From the last settlement held to the next; None: not known."""
        due_ms, last_ms = self._contracts[key].due_ms, self._tapes[key].last_funding_ms
        return None if due_ms is None or last_ms is None or due_ms <= last_ms else due_ms - last_ms

    async def read(self, key: Subscription) -> bool:
        """Ask for the next settlement, and fetch those before it that the tape does not have.

        Returns:
            Whether the settlement before the next is held.

        Raises:
            DataProviderError: the venue does not answer, or with nonsense.
            ExecutionError: it refuses to.
        """
        contract, tape = self._contracts[key], self._tapes[key]
        told = await self._data.funding_now(key[1])
        if not _is_held(tape.last_funding_ms, told):
            await self._fetch(key)
        contract.due_ms = next_due_ms(tape.last_funding_ms, contract.due_ms, told)
        contract.asked_hour = max(told.at_ms, tape.closed_until_ms or 0) // HOUR_MS
        return _is_held(tape.last_funding_ms, told)

    async def read_if_due(self, key: Subscription, *, tries: int) -> None:
        """After a settlement the venue takes a moment to list it: ask a few times, then with later candles."""
        contract, until_ms = self._contracts[key], self._tapes[key].closed_until_ms or 0
        is_due = contract.due_ms is None or until_ms >= contract.due_ms or until_ms // HOUR_MS > contract.asked_hour
        if not is_due or not contract.patience.may_ask(self._clock.now_ms()):
            return
        for left in reversed(range(tries)):
            try:
                is_complete = await self.read(key)
            except TradingEngineError as error:
                log.warning("funding.not_read", symbol=key[1], error=str(error))
                break
            if is_complete:
                contract.patience.answered()
                return
            if left:
                await self._clock.sleep_s(_WAIT_S)
        if contract.due_ms is None or until_ms >= contract.due_ms:
            contract.patience.failed(self._clock.now_ms())

    async def _fetch(self, key: Subscription) -> None:
        """The settlements after the last one held; of an empty tape those after its start suffice."""
        tape = self._tapes[key]
        start_ms = tape.last_funding_ms
        if start_ms is None:
            start_ms = tape.tape().start_ms
        while True:
            page = await self._data.funding_history(key[1], start_ms=start_ms + 1, limit=PAGE)
            if not tape.settle(page) or len(page) < PAGE or tape.last_funding_ms is None:
                return
            start_ms = tape.last_funding_ms


def next_due_ms(last_ms: int | None, due_ms: int | None, told: FundingNow) -> int:
    """The next settlement that is not held.

    It is the one that the venue names, unless the one before that should be held and is not: then it is listed late.
    Where the interval has just been made shorter, the one before was never due; it comes with the next if it was.

    Args:
        last_ms: The last settlement held.
        due_ms: What was due next before this.
        told: What the venue says now.
    """
    passed_ms = told.next_ms - told.interval_ms
    if last_ms is None or _is_held(last_ms, told):
        return told.next_ms
    if due_ms is None or due_ms <= last_ms:
        return passed_ms
    return due_ms if due_ms <= passed_ms + MINUTE_MS else told.next_ms


def _is_held(last_ms: int | None, told: FundingNow) -> bool:
    """Whether nothing is missing between the last that is held and the next; stamps are some ms off.

    The venue names the next one for itself and the interval in terms that may be old: where the one before would lie
    ahead of us, there is none.
    """
    passed_ms = told.next_ms - told.interval_ms
    return last_ms is not None and (last_ms + MINUTE_MS >= passed_ms or passed_ms > told.at_ms)

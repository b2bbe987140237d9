"""By which terms each contract settles its funding, as the venue says now: one answer tells of all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from trading.domain.clock import HOUR_MS, MINUTE_MS, Clock
from trading.exchange.answer import Answer
from trading.exchange.parse_market import FundingTerms, funding_terms

KEPT_MS = HOUR_MS
AGAIN_MS = MINUTE_MS
"""An answer this young is believed against a next settlement that does not fit it, lab milliseconds."""
Ask = Callable[[], Awaitable[object]]
"""Asks for `fundingInfo`."""


class KnownTerms:
    """`fundingInfo`, read once an hour for all symbols, and anew where a contract's next settlement contradicts it.

    Args:
        ask: Reads the document.
        clock: Lab time.
    """

    def __init__(self, ask: Ask, clock: Clock) -> None:
        self._ask, self._clock = ask, clock
        self._kept: tuple[int, object] | None = None
        self._reading = asyncio.Lock()

    async def of(self, premium: Answer, where: str) -> FundingTerms:
        """The terms of the symbol whose `premiumIndex` was just read."""
        symbol, next_ms, at_ms = premium.text("symbol"), premium.whole("nextFundingTime"), premium.whole("time")
        terms = funding_terms(await self._document(KEPT_MS), symbol, where)
        if _fit(terms, next_ms, at_ms):
            return terms
        return funding_terms(await self._document(AGAIN_MS), symbol, where)

    async def read(self) -> object:
        """The document as it is now; every symbol follows it from here on."""
        document = await self._ask()
        self._kept = self._clock.now_ms(), document
        return document

    async def _document(self, kept_ms: int) -> object:
        async with self._reading:  # coins are read side by side, and one answer does for all
            if self._kept is None or self._clock.now_ms() > self._kept[0] + kept_ms:
                return await self.read()
            return self._kept[1]


def _fit(terms: FundingTerms, next_ms: int, at_ms: int) -> bool:
    """Whether a contract with these terms could settle next at that time; it does so on multiples of its interval."""
    off_ms = (next_ms + MINUTE_MS) % terms.interval_ms
    return off_ms <= 2 * MINUTE_MS and next_ms - at_ms <= terms.interval_ms + MINUTE_MS

"""History from the exchange's own REST pages: what the venue lists, with a list of what it does not have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import structlog

from trading.domain.clock import Clock, iso
from trading.domain.errors import DataProviderError, NetworkDownError, RateLimitError
from trading.domain.in_bulk import in_bulk
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS, Bar, FundingRate
from trading.domain.venue import MarketData
from trading.market.columns import Columns
from trading.market.importers import tape_of
from trading.market.rolling import funding_of
from trading.market.tape import Tape

log = structlog.get_logger()

PAGE = 1000
TRIES = 4
"""Times a page is asked for before the fetch gives up."""
FIRST_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Want:
    """A stretch of history."""

    market: Market
    symbol: str
    interval: str
    start_ms: int
    """Open time of the first bar."""
    end_ms: int
    """Bars open before this."""

    def __str__(self) -> str:
        return f"{self.market} {self.symbol} {self.interval} {iso(self.start_ms)}..{iso(self.end_ms)}"


async def fetch_history(data: MarketData, want: Want, *, clock: Clock) -> Tape:
    """Closed candles of a stretch, page by page, with settled funding for a perpetual; origin `downloaded`.

    `Tape.gaps` lists what the venue does not have.

    Raises:
        DataProviderError: nothing is listed in the stretch, or a page cannot be had.
    """
    if want.interval not in INTERVAL_MS or want.end_ms <= want.start_ms:
        raise DataProviderError(f"{want}: not a stretch of history; the end must come after the start")
    bars: dict[int, Bar] = {}
    start_ms = want.start_ms
    while start_ms < want.end_ms:
        page = await _page(data, want, start_ms, clock)
        for bar in page:
            if bar.is_closed and bar.open_time_ms < want.end_ms:
                bars[bar.open_time_ms] = bar
        if len(page) < PAGE or max(bars, default=0) < start_ms:
            break
        start_ms = max(bars) + INTERVAL_MS[want.interval]  # the last of a page is not known to be closed
    if not bars:
        raise DataProviderError(f"{want}: the venue lists no closed candle there; choose a later stretch")
    ordered = [bars[ms] for ms in sorted(bars)]
    rates = await _funding(data, want, clock) if want.market is Market.PERP else []
    first_ms, last_ms = ordered[0].open_time_ms, ordered[-1].close_time_ms
    settled = funding_of(rate for rate in rates if first_ms < rate.time_ms <= last_ms)
    columns: Columns = {
        "open_time": np.array([bar.open_time_ms for bar in ordered], dtype=np.int64),
        "open": np.array([bar.open for bar in ordered]),
        "high": np.array([bar.high for bar in ordered]),
        "low": np.array([bar.low for bar in ordered]),
        "close": np.array([bar.close for bar in ordered]),
        "volume": np.array([bar.volume_base for bar in ordered]),
    }
    return tape_of(columns, want.market, want.symbol, want.interval, origin="downloaded", funding=settled)


async def _page(data: MarketData, want: Want, start_ms: int, clock: Clock) -> list[Bar]:
    """One page; a read may happen twice, so it is tried again, within bounds."""
    wait_s = FIRST_WAIT_S
    for left in range(TRIES - 1, -1, -1):
        try:
            with in_bulk():
                return await data.klines(want.market, want.symbol, want.interval, start_ms=start_ms, limit=PAGE)
        except (NetworkDownError, RateLimitError) as error:
            if not left:
                raise
            due_s = max(wait_s, error.retry_after_s) if isinstance(error, RateLimitError) else wait_s
            log.warning("history.page_again", want=str(want), wait_s=due_s, error=str(error))
            await clock.sleep_s(due_s)
            wait_s *= 2.0
    raise DataProviderError(f"{want}: no page after {TRIES} tries")


async def _funding(data: MarketData, want: Want, clock: Clock) -> list[FundingRate]:
    rates: list[FundingRate] = []
    start_ms = want.start_ms
    while start_ms < min(want.end_ms, clock.now_ms()):
        with in_bulk():
            page = await data.funding_history(want.symbol, start_ms=start_ms, limit=PAGE)
        rates += page
        if len(page) < PAGE:
            break
        start_ms = page[-1].time_ms + 1
    return rates

"""The order book of one symbol, kept from a snapshot and the changes after it; it knows when it has missed one. Pure.

Every change of a book carries the range of update ids it covers. Spot numbers a symbol's updates without holes, so the
next change begins at our last id plus one. Futures number all symbols together: there a change names the id it follows.

Source:
    Binance, "How to manage a local order book correctly", spot and USD-M futures, each its own page.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import Enum, auto

from trading.domain.instrument import Market
from trading.domain.market import Book, BookDiff, BookSnapshot, Level

MOST_WAITING = 5_000
"""Changes kept while a snapshot is on its way: minutes of the busiest symbol. The oldest go first."""


class Applied(Enum):
    """What became of a change."""

    DONE = auto()
    """The book has moved on."""
    OLD = auto()
    """The book already contains it."""
    WAITING = auto()
    """Kept until a snapshot comes."""
    BROKEN = auto()
    """A change before it is missing: the book is not whole until a new snapshot."""


class OrderBook:
    """One symbol's book.

    Args:
        market: Spot or perpetual; they number their updates differently.
        symbol: `BTCUSDT`.
    """

    def __init__(self, market: Market, symbol: str) -> None:
        self.market, self.symbol = market, symbol
        self._bids: dict[float, float] = {}
        self._asks: dict[float, float] = {}
        self._best_bid: float | None = None
        self._best_ask: float | None = None
        self._last_id: int | None = None
        self._is_joined = False
        self._waiting: deque[BookDiff] = deque(maxlen=MOST_WAITING)
        self.at_ms = 0
        """Time of the newest change, UTC milliseconds."""
        self.breaks = 0
        """How often a change was missing."""

    @property
    def is_whole(self) -> bool:
        """Nothing is missing between the snapshot and the newest change, and both sides have a price."""
        return self._last_id is not None and self._best_bid is not None and self._best_ask is not None

    @property
    def last_id(self) -> int | None:
        """Update id that the book stands at; None: it has no snapshot, or lost one."""
        return self._last_id

    def lose(self) -> None:
        """The stream broke: what the book knows is no longer the market."""
        self._last_id = None
        self._is_joined = False
        self._waiting.clear()

    def restart(self, snapshot: BookSnapshot) -> Applied:
        """Begin from a snapshot, then apply what came while it was on its way.

        Returns:
            DONE, or BROKEN: the snapshot is older than the first change that was kept; fetch another.
        """
        self._bids, self._asks = _side(snapshot.bids), _side(snapshot.asks)
        self._best_bid, self._best_ask = max(self._bids, default=None), min(self._asks, default=None)
        self._last_id, self._is_joined, self.at_ms = snapshot.last_id, False, snapshot.at_ms
        waiting = list(self._waiting)
        self._waiting.clear()
        for diff in waiting:
            if self.apply(diff) is Applied.BROKEN:
                # the later ones are still good for the next snapshot
                self._waiting.extend(later for later in waiting if later.last_id > diff.last_id)
                return Applied.BROKEN
        return Applied.DONE

    def apply(self, diff: BookDiff) -> Applied:
        """Take one change."""
        if self._last_id is None:
            self._waiting.append(diff)
            return Applied.WAITING
        if self._contains(diff):
            return Applied.OLD
        if not self._follows(diff):
            self.lose()
            self.breaks += 1
            self._waiting.append(diff)
            return Applied.BROKEN
        self._best_bid = _changed(self._bids, diff.bids, self._best_bid, highest=True)
        self._best_ask = _changed(self._asks, diff.asks, self._best_ask, highest=False)
        self._last_id, self._is_joined, self.at_ms = diff.last_id, True, diff.at_ms
        return Applied.DONE

    def top(self) -> tuple[Level, Level] | None:
        """Best bid and best ask as (price, quantity in base); None: the book is not whole."""
        if not self.is_whole or self._best_bid is None or self._best_ask is None:
            return None
        return (self._best_bid, self._bids[self._best_bid]), (self._best_ask, self._asks[self._best_ask])

    def levels(self, depth: int) -> Book | None:
        """The first `depth` levels of each side, best first; None: the book is not whole."""
        if not self.is_whole:
            return None
        bids = sorted(self._bids.items(), reverse=True)[:depth]
        asks = sorted(self._asks.items())[:depth]
        return Book(self.market, self.symbol, tuple(bids), tuple(asks), self.at_ms)

    def _contains(self, diff: BookDiff) -> bool:
        last_id = self._last_id or 0
        if self.market is Market.SPOT or self._is_joined:
            return diff.last_id <= last_id
        return diff.last_id < last_id

    def _follows(self, diff: BookDiff) -> bool:
        """The change begins where the book ends; at a snapshot it may begin before that."""
        last_id = self._last_id or 0
        if self.market is Market.SPOT:
            return diff.first_id <= last_id + 1
        previous_id = diff.first_id - 1 if diff.previous_id is None else diff.previous_id
        return previous_id == last_id if self._is_joined else previous_id <= last_id


def _side(levels: tuple[Level, ...]) -> dict[float, float]:
    return {price: size for price, size in levels if size > 0.0}


def _changed(side: dict[float, float], levels: tuple[Level, ...], best: float | None, *, highest: bool) -> float | None:
    """Apply changed levels (quantity 0: gone); the best price after it, looked for only when it is gone itself."""
    for price, size in levels:
        if size > 0.0:
            side[price] = size
            if best is None or (price > best if highest else price < best):
                best = price
        else:
            side.pop(price, None)
    return best if best in side else _best(side, highest=highest)


def _best(side: Mapping[float, float], *, highest: bool) -> float | None:
    return max(side, default=None) if highest else min(side, default=None)

"""Bid, ask and a ladder of levels around the path.

The half spread is half a tick or a seeded part of half a basis point, whichever is wider; the sizes of the levels grow
with the bar's volume and with the distance from the price. The book fills up again after each moment.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from sandbox.exchange.feed import Feed
from sandbox.exchange.instruments import Instrument

LEVELS = 50
"""Levels a side."""
_WIDEST_HALF_SPREAD = 0.5e-4  # fraction of price
_LEVEL_SPACING = 2e-5  # fraction of price, mean distance between levels
_TOP_SHARE = 0.01  # of a minute's volume, at the best price

Level = tuple[Decimal, Decimal]
"""Price in quote, quantity in base."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """Both sides of the book, best first."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class _Grain:
    """What a bar's book is made from; the same for the whole bar."""

    half_rate: float
    sizes: list[float]
    spacings: list[int]


class Book:
    """The order book of one symbol on one market.

    Args:
        feed: Its prices.
        instrument: Its grid.
        key: Seeds spreads and sizes.
    """

    def __init__(self, feed: Feed, instrument: Instrument, *, key: list[int]) -> None:
        self._feed, self._instrument, self._key = feed, instrument, key
        self._tick, self._lot = float(instrument.tick), float(instrument.lot)
        self._grain: tuple[int, _Grain] | None = None

    def best(self, ms: float) -> tuple[Decimal, Decimal]:
        """Best bid and best ask, quote."""
        bid, ask = self._top(self._feed.price(ms), self._grain_of(self._feed.bar_index(ms)))
        return bid * self._instrument.tick, ask * self._instrument.tick

    def ladder(self, ms: float) -> Ladder:
        """All levels at a moment."""
        index, price = self._feed.bar_index(ms), self._feed.price(ms)
        grain = self._grain_of(index)
        bid, ask = self._top(price, grain)
        apart = max(1, round(price * _LEVEL_SPACING / self._tick))
        unit = self._feed.bar_volume(index) / (self._feed.step_ms / 60_000) * _TOP_SHARE / self._lot
        bids: list[Level] = []
        asks: list[Level] = []
        offset = 0
        for i in range(LEVELS):
            size = unit * (1.0 + 0.2 * i)
            quantity_bid = max(1, round(size * grain.sizes[i])) * self._instrument.lot
            quantity_ask = max(1, round(size * grain.sizes[-1 - i])) * self._instrument.lot
            if bid - offset > 0:
                bids.append(((bid - offset) * self._instrument.tick, quantity_bid))
            asks.append(((ask + offset) * self._instrument.tick, quantity_ask))
            offset += 1 + grain.spacings[i] % apart if apart > 1 else 1
        return Ladder(tuple(bids), tuple(asks))

    def _top(self, price: float, grain: _Grain) -> tuple[int, int]:
        """Best bid and ask in ticks; the price lies between them or on the bid's side of the tick."""
        half = max(self._tick / 2.0, price * grain.half_rate)
        bid = max(1, math.floor((price - half) / self._tick + 1e-9))
        return bid, max(bid + 1, math.ceil((price + half) / self._tick - 1e-9))

    def _grain_of(self, index: int) -> _Grain:
        if self._grain is None or self._grain[0] != index:
            generator = np.random.Generator(np.random.PCG64([*self._key, max(index, 0)]))
            half_rate = float(generator.uniform(0.02, 1.0)) * _WIDEST_HALF_SPREAD
            sizes = [float(x) for x in generator.uniform(0.5, 1.5, LEVELS)]
            spacings = [int(x) for x in generator.integers(0, 1_000_000, LEVELS)]
            self._grain = index, _Grain(half_rate, sizes, spacings)
        return self._grain[1]

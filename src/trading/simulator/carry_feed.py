"""From two tapes to carry columns: the bars that both legs have, each once, in order.

A bar that only one leg has is not stepped, for there is nothing to mark the other leg with; its funding is settled at
the next joined open, and its perpetual high counts there, so that no liquidation is slept through.
"""

from __future__ import annotations

from math import nan

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from trading.domain.clock import DAY_MS, HOUR_MS
from trading.domain.errors import StateFileError
from trading.market.tape import Funding, Tape
from trading.simulator.carry_outlook import outlooks
from trading.simulator.carry_records import CarryColumns
from trading.simulator.carry_weights import CarryWeights
from trading.simulator.chunk import frozen
from trading.simulator.indicators import bar_sigma
from trading.simulator.settlements import joined, lay_settlements, not_before, on_minutes

NOTHING_SEEN_MS = -1


class CarryFeeder:
    """Feeds the carry kernel with growing or rolling pairs of tapes."""

    def __init__(self, weights: CarryWeights) -> None:
        self._weights = weights
        self.last_open_ms = NOTHING_SEEN_MS
        """Open time of the last joined bar; -1: none yet."""
        self.ahead = Funding.none()
        """Settlements seen at or after that bar's close, which meet the next bar."""
        self.spot_sigma, self.perp_sigma = np.zeros(2), np.zeros(2)
        self.settled_ms: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        """Recent settlements on the minute, as far back as the expectation needs them."""
        self.settled_rate: NDArray[np.float64] = np.empty(0)

    def columns(self, spot: Tape, perp: Tape) -> CarryColumns:
        """The joined bars not seen yet."""
        common, in_spot, in_perp = np.intersect1d(
            spot.open_time_ms, perp.open_time_ms, assume_unique=True, return_indices=True
        )
        fresh = common > self.last_open_ms
        open_ms, s, p = _frozen(common[fresh]), in_spot[fresh], in_perp[fresh]
        funding = joined(self.ahead, perp.funding)
        times, rates = self._learn(funding)
        seen = self.last_open_ms != NOTHING_SEEN_MS
        since_ms = self.last_open_ms + perp.interval_ms if seen or not len(open_ms) else int(open_ms[0])
        perp_open = frozen(perp.open[p])
        settled = lay_settlements(funding, open_ms, perp_open, perp.interval_ms, since_ms=since_ms, rate_before=nan)
        spot_open, spot_close, perp_close = frozen(spot.open[s]), frozen(spot.close[s]), frozen(perp.close[p])
        closes = _frozen(open_ms + perp.interval_ms)
        expected, error = outlooks(times, rates, closes, self._weights)
        columns = CarryColumns(
            open_ms,
            spot_open,
            frozen(spot.low[s]),
            spot_close,
            frozen(spot.volume_base[s] * spot_close),
            frozen(bar_sigma(spot_open, spot_close, self.spot_sigma)),
            perp_open,
            self._perp_high(perp, p),
            perp_close,
            frozen(perp.volume_base[p] * perp_close),
            frozen(bar_sigma(perp_open, perp_close, self.perp_sigma)),
            frozen(expected),
            frozen(error),
            settled.at_open,
            settled.long_pays,
            settled.short_pays,
            settled.count_open,
            settled.count_inside,
        )
        if len(open_ms):
            self.last_open_ms = int(open_ms[-1])
            self.ahead = not_before(funding, self.last_open_ms + perp.interval_ms)
            self._forget()
        return columns

    def _perp_high(self, perp: Tape, bars: NDArray[np.intp]) -> NDArray[np.float64]:
        """Highest price of the perpetual since the joined bar before, bars that spot does not have included."""
        if len(bars) == 0:
            return frozen(perp.high[bars])
        seen = self.last_open_ms != NOTHING_SEEN_MS
        first = int(np.searchsorted(perp.open_time_ms, self.last_open_ms, side="right")) if seen else int(bars[0])
        starts = np.concatenate(([first], bars[:-1] + 1))
        return frozen(np.maximum.reduceat(perp.high[: bars[-1] + 1], starts))

    def _learn(self, funding: Funding) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Settlements known so far, old ones from memory, new ones from the tape."""
        times = on_minutes(funding.time_ms)
        new = times > (self.settled_ms[-1] if len(self.settled_ms) else -1)
        self.settled_ms = _frozen(np.concatenate((self.settled_ms, times[new])))
        self.settled_rate = frozen(np.concatenate((self.settled_rate, funding.rate[new])))
        return self.settled_ms, self.settled_rate

    def remember(self, plain: JsonValue, *, where: str) -> None:
        """Put saved settlements back.

        Raises:
            StateFileError: not a list of (time, rate).
        """
        try:
            table = np.array(plain, dtype=np.float64).reshape(-1, 2)
        except (TypeError, ValueError) as error:
            raise StateFileError(f"{where}: not a list of times and rates; restore it from a backup") from error
        self.settled_ms = _frozen(table[:, 0].astype(np.int64))
        self.settled_rate = frozen(np.ascontiguousarray(table[:, 1]))

    def _forget(self) -> None:
        """Drop what no later expectation reads; one that shows the window to be covered stays."""
        kept = self.settled_ms >= self.last_open_ms - self._weights.lookback_hours * HOUR_MS - DAY_MS
        self.settled_ms = _frozen(self.settled_ms[kept])
        self.settled_rate = frozen(self.settled_rate[kept])


def _frozen(times: NDArray[np.int64]) -> NDArray[np.int64]:
    times.flags.writeable = False
    return times

"""Bars of a longer interval, made of a tape's own bars as they come: UTC-aligned, and seen only once they have closed.

A longer bar closes with the bar that ends at its end. Where that one is missing it closes with the next bar there is,
made of what exists; one without any bar does not exist. The one a tape begins inside of was not seen whole: dropped.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trading.simulator.chunk import Chunk, Memory, frozen

OPEN, HIGH, LOW, CLOSE, VOLUME, FUNDING, START, IS_WHOLE = range(8)
"""Places in a state, the first seven also rows of closed bars: quote per base, base, fraction, UTC ms; IS_WHOLE is 1
while the bar being made has been seen from its beginning and was not told yet."""
STATE_SIZE = 8
BASIS = 7
"""Row of the basis in closed bars; it stands after those of the state."""
NOTHING_BEGUN = -1.0
"""START before the first bar."""


@njit(cache=True, nogil=True, error_model="numpy")
def longer_bars(
    chunk: Chunk, interval_ms: int, longer_ms: int, state: NDArray[np.float64], basis: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Add bars, in order, to the longer bar that is being made, and tell which ones they close.

    Args:
        chunk: The next bars, (m,) each; volume is summed bar by bar, so that cuts do not show in the last bit.
        interval_ms: Length of a bar; divides `longer_ms`.
        longer_ms: Length of a longer bar.
        state: (8,) the bar being made; START is -1 to begin with.
        basis: (1,) its basis so far, fraction; nan where that is not known.

    Returns:
        (8, k) longer bars closed, oldest first, and (m,) how many of them had closed at the close of each bar.
    """
    open_ms, m = chunk.open_ms, len(chunk.open_ms)
    most = 0 if m == 0 else min(m + 1, (open_ms[m - 1] - open_ms[0]) // longer_ms + 3)
    made, closed = np.empty((BASIS + 1, most)), np.empty(m, dtype=np.int64)
    k, i = 0, 0
    while i < m:
        start = open_ms[i] - open_ms[i] % longer_ms
        if state[START] != start:
            if state[IS_WHOLE] == 1.0:
                for j in range(BASIS):
                    made[j, k] = state[j]
                made[BASIS, k] = basis[0]
                k += 1
            is_seen_whole = state[START] != NOTHING_BEGUN or open_ms[i] == start
            state[OPEN], state[HIGH], state[LOW] = chunk.open[i], chunk.high[i], chunk.low[i]
            state[VOLUME], state[START], state[IS_WHOLE] = 0.0, start, 1.0 if is_seen_whole else 0.0
        high, low, volume = state[HIGH], state[LOW], state[VOLUME]
        last_ms = start + longer_ms - interval_ms
        while i < m and open_ms[i] <= last_ms:
            high, low, volume = max(high, chunk.high[i]), min(low, chunk.low[i]), volume + chunk.volume[i]
            closed[i] = k
            i += 1
        state[HIGH], state[LOW], state[VOLUME] = high, low, volume
        state[CLOSE], state[FUNDING], basis[0] = chunk.close[i - 1], chunk.funding[i - 1], chunk.basis[i - 1]
        if open_ms[i - 1] == last_ms and state[IS_WHOLE] == 1.0:
            for j in range(BASIS):
                made[j, k] = state[j]
            made[BASIS, k] = basis[0]
            k += 1
            closed[i - 1] = k
            state[IS_WHOLE] = 0.0  # told
    return made[:, :k], closed


class LongerBars:
    """The longer bars of one interval, over any cuts of the tape."""

    def __init__(self, memory: Memory, interval_ms: int, longer_ms: int) -> None:
        self._interval_ms, self._longer_ms = interval_ms, longer_ms
        self._state = memory.new(STATE_SIZE, NOTHING_BEGUN)
        self._basis = np.full(1, np.nan)
        self._keeps_basis = False

    def keep_basis(self, memory: Memory) -> None:
        """Remember the basis between feeds too; rules that do not read it have no place for it in their memory."""
        if not self._keeps_basis:
            self._basis, self._keeps_basis = memory.new(1, np.nan), True

    def closed_by(self, bars: Chunk) -> tuple[Chunk | None, NDArray[np.int64]]:
        """The longer bars that the next bars close, None: none; and (m,) how many had closed at each bar's close."""
        made, closed = longer_bars(bars, self._interval_ms, self._longer_ms, self._state, self._basis)
        if made.shape[1] == 0:
            return None, closed
        starts = made[START].astype(np.int64)
        starts.flags.writeable = False
        opens, high, low, close, volume, funding = (frozen(row) for row in made[:START])
        return Chunk(starts, opens, high, low, close, volume, funding, frozen(made[BASIS])), closed

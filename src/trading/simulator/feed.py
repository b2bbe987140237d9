"""From tape to kernel columns: the bars not seen yet with their signals, volatility and funding."""

from __future__ import annotations

from math import nan

import numpy as np
from numpy.typing import NDArray

from trading.market.tape import Funding, Tape
from trading.simulator.chunk import Chunk, frozen
from trading.simulator.compile import Program, Signals
from trading.simulator.indicators import bar_sigma
from trading.simulator.records import Columns
from trading.simulator.settlements import joined, lay_settlements, not_before, settled_at

NOTHING_SEEN_MS = -1


class Feeder:
    """Feeds a program with the bars of growing or rolling tapes, each bar once, in order."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.last_open_ms = NOTHING_SEEN_MS
        """Open time of the last bar fed; -1: none yet."""
        self.last_rate = nan
        """Funding rate known at that bar's close; nan: none."""
        self.ahead = Funding.none()
        """Settlements seen at or after that close, which meet the next bar."""
        self._sigma_state = program.memory.new(2, 0.0)

    def fresh(self, tape: Tape) -> int:
        """Index of the first bar of a tape that was not fed yet; its length when there is none."""
        return int(np.searchsorted(tape.open_time_ms, self.last_open_ms, side="right"))

    def signals(self, tape: Tape) -> Signals:
        """What the rules say at the bars not seen yet."""
        return self._next(tape)[0]

    def columns(self, tape: Tape) -> Columns:
        """The bars not seen yet with everything the step needs to know of them."""
        return self._next(tape)[1]

    def _next(self, tape: Tape) -> tuple[Signals, Columns]:
        first = self.fresh(tape)
        open_ms = tape.open_time_ms[first:]
        if len(open_ms) == 0:
            opens = tape.open[first:]
            since_ms = tape.end_ms
        else:
            opens = tape.open[first:]
            seen = self.last_open_ms != NOTHING_SEEN_MS
            since_ms = self.last_open_ms + tape.interval_ms if seen else int(open_ms[0])
        funding = joined(self.ahead, tape.funding)
        settled = lay_settlements(
            funding, open_ms, opens, tape.interval_ms, since_ms=since_ms, rate_before=self.last_rate
        )
        bars = Chunk(
            open_ms,
            opens,
            tape.high[first:],
            tape.low[first:],
            tape.close[first:],
            tape.volume_base[first:],
            settled.last_rate,
            settled_at(
                funding,
                open_ms + tape.interval_ms,
                since_ms=0 if self.last_open_ms == NOTHING_SEEN_MS else since_ms,
            ),
        )
        answer = self.program.feed(bars)
        columns = Columns(
            open_ms,
            bars.open,
            bars.high,
            bars.low,
            bars.close,
            frozen(bars.volume * bars.close),
            frozen(bar_sigma(bars.open, bars.close, self._sigma_state)),
            _read_only_copy(answer.atr),
            answer.flags(),
            settled.at_open,
            settled.long_pays,
            settled.short_pays,
        )
        if len(open_ms):
            self.last_open_ms = int(open_ms[-1])
            self.last_rate = float(settled.last_rate[-1])
            self.ahead = not_before(funding, self.last_open_ms + tape.interval_ms)
        return answer, columns


def _read_only_copy(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """Contiguous and read-only, as the kernel was compiled for."""
    return frozen(np.ascontiguousarray(array))

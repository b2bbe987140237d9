"""From tape to kernel columns: the bars not seen yet with their volatility and funding, and what the rules say."""

from __future__ import annotations

from collections import OrderedDict
from math import nan
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from trading.market.tape import Funding, Tape
from trading.simulator.chunk import Chunk, Column, Memory, frozen
from trading.simulator.compile import Program, Signals
from trading.simulator.indicators import bar_sigma
from trading.simulator.records import Columns
from trading.simulator.settlements import joined, lay_settlements, not_before, settled_at

NOTHING_SEEN_MS = -1
KEPT_BARS, KEPT_TAPES = 30_000, 8
"""Three years of hours; about 150 bytes a bar."""


class BarFeed:
    """Gives the bars of growing or rolling tapes, each once, in order, with volatility and settled funding."""

    def __init__(self, memory: Memory) -> None:
        self.last_open_ms = NOTHING_SEEN_MS
        """Open time of the last bar fed; -1: none yet."""
        self.last_rate = nan
        """Funding rate known at that bar's close; nan: none."""
        self.ahead = Funding.none()
        """Settlements seen at or after that close, which meet the next bar."""
        self._sigma_state = memory.new(2, 0.0)

    def fresh(self, tape: Tape) -> int:
        """Index of the first bar of a tape that was not fed yet; its length when there is none."""
        return int(np.searchsorted(tape.open_time_ms, self.last_open_ms, side="right"))

    def next(self, tape: Tape) -> tuple[Chunk, Columns]:
        """The bars not seen yet, for rules and for the step; ATR and flags are the rules' to fill in."""
        first = self.fresh(tape)
        open_ms, opens = tape.open_time_ms[first:], tape.open[first:]
        if len(open_ms) == 0:
            since_ms = tape.end_ms
        else:
            seen = self.last_open_ms != NOTHING_SEEN_MS
            since_ms = self.last_open_ms + tape.interval_ms if seen else int(open_ms[0])
        funding = joined(self.ahead, tape.funding)
        settled = lay_settlements(
            funding, open_ms, opens, tape.interval_ms, since_ms=since_ms, rate_before=self.last_rate
        )
        unknown = frozen(np.full(len(open_ms), nan))
        bars = Chunk(
            open_ms,
            opens,
            tape.high[first:],
            tape.low[first:],
            tape.close[first:],
            tape.volume_base[first:],
            settled.last_rate,
            _basis(tape, first) if len(tape.spot_close) else unknown,
            settled_at(
                funding,
                open_ms + tape.interval_ms,
                since_ms=0 if self.last_open_ms == NOTHING_SEEN_MS else since_ms,
            ),
        )
        columns = Columns(
            open_ms,
            bars.open,
            bars.high,
            bars.low,
            bars.close,
            frozen(bars.volume * bars.close),
            frozen(bar_sigma(bars.open, bars.close, self._sigma_state)),
            unknown,
            _no_flags(len(open_ms)),
            settled.at_open,
            settled.long_pays,
            settled.short_pays,
        )
        if len(open_ms):
            self.last_open_ms = int(open_ms[-1])
            self.last_rate = float(settled.last_rate[-1])
            self.ahead = not_before(funding, self.last_open_ms + tape.interval_ms)
        return bars, columns


class LatestBars:
    """The bars of the tapes last simulated as a whole: every strategy of a search meets the same few.

    Only short tapes are kept, so that it stays below 40 MB whatever is simulated. Safe with many threads.
    """

    def __init__(self) -> None:
        self._kept = OrderedDict[str, tuple[Chunk, Columns]]()
        self._lock = Lock()

    def of(self, tape: Tape) -> tuple[Chunk, Columns]:
        """All bars of a tape, as a feed that saw nothing before gives them; read-only."""
        key = tape.content_hash
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = BarFeed(Memory()).next(tape)
        if len(tape) <= KEPT_BARS and key:
            with self._lock:
                self._kept[key] = found
                while len(self._kept) > KEPT_TAPES:
                    self._kept.popitem(last=False)
        return found


LATEST_BARS = LatestBars()


class Feeder(BarFeed):
    """Feeds one strategy's program."""

    def __init__(self, program: Program) -> None:
        super().__init__(program.memory)
        self.program = program

    def signals(self, tape: Tape) -> Signals:
        """What the rules say at the bars not seen yet."""
        return self.program.feed(self.next(tape)[0])

    def columns(self, tape: Tape) -> Columns:
        """The bars not seen yet with everything the step needs to know of them."""
        bars, columns = self.next(tape)
        answer = self.program.feed(bars)
        return columns._replace(atr=_read_only_copy(answer.atr), flags=answer.flags())


def whole_signals(program: Program, tape: Tape) -> Signals:
    """What a program that saw nothing before says at every bar of a tape."""
    return program.feed(LATEST_BARS.of(tape)[0])


def whole_columns(program: Program, tape: Tape) -> Columns:
    """All bars of a tape with everything the step needs to know, of a program that saw nothing before."""
    bars, columns = LATEST_BARS.of(tape)
    answer = program.feed(bars)
    return columns._replace(atr=_read_only_copy(answer.atr), flags=answer.flags())


def _basis(tape: Tape, first: int) -> Column:
    return frozen(tape.close[first:] / tape.spot_close[first:] - 1.0)


def _no_flags(count: int) -> NDArray[np.int64]:
    flags = np.zeros(count, dtype=np.int64)
    flags.flags.writeable = False
    return flags


def _read_only_copy(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """Contiguous and read-only, as the kernel was compiled for."""
    return frozen(np.ascontiguousarray(array))

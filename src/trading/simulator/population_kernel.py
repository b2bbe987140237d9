"""Many strategies over one stretch of bars: the kernel that steps only where something can happen. No validation.

A strategy is stepped (`kernel.act`, the step's own) on the bars where something fills: what was decided before, a
protective price that is met, a settlement or a hole while something is held. On every other bar the step would do
nothing but mark the equity and decide, and that is all that is done here, with the step's own expressions: so the
trades are those of `kernel.run` to the last bit, and metrics differ from `metrics.py` only in how their sums are added.

t      bar of the stretch; a strategy's own count of bars, `state.bar`, runs on from stretch to stretch
words  64 bars a word, see `bits.py`
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trading.simulator.bits import BARS_A_WORD, next_bit
from trading.simulator.costs import CostRates
from trading.simulator.kernel import act, decide, take
from trading.simulator.population_marks import account, close_day, count, mark_held
from trading.simulator.population_records import (
    ATR,
    ATR_BEFORE,
    CLOSE,
    HIGH,
    LISTS,
    LOW,
    OPEN,
    QUOTE_VOLUME_BEFORE,
    SIGMA_BEFORE,
    Closed,
    Plans,
    Stretch,
)
from trading.simulator.position_kernel import row_of
from trading.simulator.records import FILLS_A_BAR, Bar


@njit(cache=True, nogil=True, error_model="numpy")
def advance(
    first: int,
    last: int,
    stretch: Stretch,
    plans: Plans,
    costs: CostRates,
    margin: NDArray[np.void],
    state: NDArray[np.void],
    score: NDArray[np.void],
    closed: Closed,
    fills: NDArray[np.void],
    resume: NDArray[np.int64],
) -> int:
    """Take strategies `first` to `last` (exclusive) over the stretch; returns how many closed trades it wrote.

    Stops early when `closed` could overflow: `resume` is (strategy, bar) to go on from; strategy = `last` when done.
    """
    # Arrays go from hand to hand one by one: a tuple of them costs two atomic counts an array at each call.
    rows, words, special, day_starts = stretch.rows, stretch.words, stretch.special, stretch.day_starts
    open_ms, bars = stretch.open_ms, stretch.bars
    funding_open, long_pays, short_pays = stretch.funding_open, stretch.funding_long_pays, stretch.funding_short_pays
    terms, starts, numbers = plans.terms, plans.starts, plans.numbers
    trades, owners = closed.trades, closed.owners
    table, room = margin[0], fills[0]
    width = words.shape[1]
    lists = np.empty((LISTS, width), dtype=np.uint64)
    watched = np.empty((3, width), dtype=np.uint64)
    found = np.empty(3, dtype=np.int64)
    written = 0
    t = resume[1]
    for k in range(max(first, resume[0]), last):
        for i in range(LISTS):
            _all_of(words, terms, starts[LISTS * k + i], starts[LISTS * k + i + 1], lists[i])
        _watch(lists, watched)
        s, sums, rules = state[k], score[k], numbers[k]
        # Where the next bit is, kept until it is passed: one far ahead must not be looked for again at every trade.
        found[:] = -1
        next_special, next_day = -1, next_bit(day_starts, t, bars)
        while True:
            if len(trades) > 0 and written + FILLS_A_BAR > len(trades):
                resume[0], resume[1] = k, t
                return written
            if t < bars and s.pending_side == 0 and s.pending_exit == 0:
                if found[s.side] < t:
                    found[s.side] = next_bit(watched[s.side], t, bars)
                deciding, until = found[s.side], t
                if s.side == 0:
                    until = min(deciding + 1, bars)
                    while next_day < until:
                        close_day(sums)
                        next_day = next_bit(day_starts, next_day + 1, bars)
                else:
                    if rules.max_hold_bars > 0:
                        # The close on which the step says MAX_HOLD; `s.bar` is this bar's count.
                        deciding = min(deciding, max(t, t + s.entry_bar + rules.max_hold_bars - 1 - s.bar))
                    if next_special < t:
                        next_special = next_bit(special, t, bars)
                    if t == next_day:
                        close_day(sums)
                        next_day = next_bit(day_starts, t + 1, bars)
                    until = mark_held(s, sums, rows, t, min(deciding + 1, next_special, next_day), rules)
                if until > t:
                    s.bar += until - 1 - t
                    if until == deciding + 1:
                        decide(s, _flags(lists, deciding), rows[deciding + 1, ATR_BEFORE], rules)
                    s.bar += 1
                    t = until
                    if until == deciding + 1 or until == next_day:
                        continue
            if t > 0:
                s.sigma, s.quote_volume = rows[t, SIGMA_BEFORE], rows[t, QUOTE_VOLUME_BEFORE]
            if t >= bars:
                s.last_open_ms = open_ms[bars - 1]
                break
            if next_special < t:
                next_special = next_bit(special, t, bars)
            if next_special == t:
                if t > 0:
                    s.last_open_ms = open_ms[t - 1]
                bar = Bar(
                    open_ms[t],
                    rows[t, OPEN],
                    rows[t, HIGH],
                    rows[t, LOW],
                    rows[t, CLOSE],
                    rows[t + 1, QUOTE_VOLUME_BEFORE],
                    rows[t + 1, SIGMA_BEFORE],
                    rows[t, ATR],
                    _flags(lists, t),
                    funding_open[t],
                    long_pays[t],
                    short_pays[t],
                )
                made = take(s, bar, rules, costs, table, room)
            else:
                bar_open, bar_high, bar_low, bar_close = rows[t, OPEN], rows[t, HIGH], rows[t, LOW], rows[t, CLOSE]
                made = act(s, bar_open, bar_high, bar_low, bar_close, 0.0, 0.0, rules, costs, table, room)
                decide(s, _flags(lists, t), rows[t, ATR], rules)
                s.bar += 1
            for i in range(made):
                row = row_of(room, i)
                if row.is_close == 1:
                    count(sums, row)
                    if len(trades) > 0:
                        trades[written] = row
                        owners[written] = k
                        written += 1
            if t == next_day:
                close_day(sums)
                next_day = next_bit(day_starts, t + 1, bars)
            account(s, sums)
            t += 1
        t = 0
    resume[0], resume[1] = last, 0
    return written


@njit(cache=True, nogil=True, error_model="numpy")
def _all_of(words: NDArray[np.uint64], terms: NDArray[np.int64], a: int, b: int, out: NDArray[np.uint64]) -> None:
    """Bars on which all terms hold; none hold where there are no terms."""
    if a == b:
        out[:] = np.uint64(0)
        return
    row = words[terms[a]]
    for w in range(len(out)):
        out[w] = row[w]
    for i in range(a + 1, b):
        row = words[terms[i]]
        for w in range(len(out)):
            out[w] &= row[w]


@njit(cache=True, nogil=True, error_model="numpy")
def _watch(lists: NDArray[np.uint64], watched: NDArray[np.uint64]) -> None:
    """Bars whose close decides something, by side: 0 flat, 1 long, -1 (the last row) short."""
    for w in range(lists.shape[1]):
        long, short = lists[0, w], lists[1, w]
        watched[0, w] = long ^ short
        watched[1, w] = lists[2, w] | (short & ~long)
        watched[2, w] = lists[3, w] | (long & ~short)


@njit(cache=True, nogil=True, error_model="numpy")
def _flags(lists: NDArray[np.uint64], t: int) -> int:
    """A bar's four answers as the step takes them."""
    w, j = t // BARS_A_WORD, np.uint64(t % BARS_A_WORD)
    flags = 0
    for i in range(LISTS):
        if (lists[i, w] >> j) & np.uint64(1) != 0:
            flags |= 1 << i
    return flags

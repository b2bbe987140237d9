"""Many strategies over one stretch of bars: the kernel that steps only where something can happen. No validation.

A strategy is stepped (`kernel.act`, the step's own) on the bars where something fills: what was decided before, a
protective price that is met, a settlement or a hole while something is held. On every other bar the step would do
nothing but mark the equity and decide, and that is all that is done here, with the step's own expressions: so the
trades are those of `kernel.run` to the last bit, and metrics differ from `metrics.py` only in how their sums are added.

t      bar of the stretch; a strategy's own count of bars, `state.bar`, runs on from stretch to stretch
words  64 bars a word, see `bits.py`
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trading.simulator.bits import BARS_A_WORD, next_bit
from trading.simulator.costs import CostRates
from trading.simulator.kernel import SURELY, act, adverse_level, decide, row_of, take
from trading.simulator.records import (
    FILLS_A_BAR,
    Bar,
    FillRow,
    RulesRow,
    StateRow,
    record,
)

TOUCHED = 0.999999
"""As in the step."""

LISTS = 4
"""Of terms a strategy, in the order of the flags' bits: entry long, entry short, exit long, exit short."""


OPEN, HIGH, LOW, CLOSE, SIGMA, QUOTE_VOLUME, ATR = range(7)
"""Places in a row of bars."""
ROW = 8
"""Numbers a row, the last unused: 64 bytes."""


class ScoreRow:
    """What a strategy's metrics are made of, up to the last bar marked."""

    equity: float
    """At the last close."""
    sum_1: float
    """Of returns per bar."""
    sum_2: float
    """Of their squares, and so on."""
    sum_3: float
    sum_4: float
    sum_2_down: float
    """Of the squares of the negative ones."""
    drawdown: float
    """Largest fall on closes, fraction."""
    day_equity: float
    """At the end of the day before."""
    days: int
    """Closed ones."""
    day_sum_1: float
    day_sum_2: float
    day_lowest: float
    day_highest: float
    won: float
    """Sum of net results above 0, quote."""
    lost: float
    """Of those below 0, as a positive number."""
    wins: int
    bars_held: int
    """Bars with a position at their close."""


SCORE = record(ScoreRow)


class Stretch(NamedTuple):
    """What all strategies of a population see of the bars."""

    rows: NDArray[np.float64]
    """(n, ROW) one bar a row, its places below; a row is a line of the processor's cache, as a bar is what is met."""
    high: NDArray[np.float64]
    """This and the next two again as columns, for bars that only pass."""
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    open_ms: NDArray[np.int64]
    funding_open: NDArray[np.float64]
    """This and the next two as in `records.Columns`; read on special bars only."""
    funding_long_pays: NDArray[np.float64]
    funding_short_pays: NDArray[np.float64]
    special: NDArray[np.uint64]
    """Bars with a settlement, or after a hole: they concern whoever holds."""
    day_starts: NDArray[np.uint64]
    """Bars of another UTC day than the bar before."""
    words: NDArray[np.uint64]
    """(c, w) one row a comparison."""
    bars: int


class Plans(NamedTuple):
    """What each strategy is, by its place in the population."""

    terms: NDArray[np.int64]
    """Rows of `words`, list after list."""
    starts: NDArray[np.int64]
    """(LISTS * n + 1,) where each list of terms begins."""
    numbers: NDArray[np.void]
    """(n,) of RULES."""


class Closed(NamedTuple):
    """Where closed trades go."""

    trades: NDArray[np.void]
    """(m,) of FILL; m = 0: they are counted, not kept."""
    owners: NDArray[np.int64]
    """(m,) place of the strategy."""


@njit(cache=True, nogil=True)
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
    high, low, close = stretch.high, stretch.low, stretch.close
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
                        _close_day(sums)
                        next_day = next_bit(day_starts, next_day + 1, bars)
                else:
                    if rules.max_hold_bars > 0:
                        # The close on which the step says MAX_HOLD; `s.bar` is this bar's count.
                        deciding = min(deciding, max(t, t + s.entry_bar + rules.max_hold_bars - 1 - s.bar))
                    if next_special < t:
                        next_special = next_bit(special, t, bars)
                    if t != next_day or not _is_met(s, high[t], low[t], rules):
                        if t == next_day:
                            _close_day(sums)
                            next_day = next_bit(day_starts, t + 1, bars)
                        until = _mark_held(
                            s, sums, high, low, close, t, min(deciding + 1, next_special, next_day), rules
                        )
                if until > t:
                    s.bar += until - 1 - t
                    if until == deciding + 1:
                        decide(s, _flags(lists, deciding), rows[deciding, ATR], rules)
                    s.bar += 1
                    t = until
                    if until == deciding + 1 or until == next_day:
                        continue
            if t > 0:
                s.sigma, s.quote_volume = rows[t - 1, SIGMA], rows[t - 1, QUOTE_VOLUME]
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
                    rows[t, QUOTE_VOLUME],
                    rows[t, SIGMA],
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
                    _count(sums, row)
                    if len(trades) > 0:
                        trades[written] = row
                        owners[written] = k
                        written += 1
            if t == next_day:
                _close_day(sums)
                next_day = next_bit(day_starts, t + 1, bars)
            _account(s, sums)
            t += 1
        t = 0
    resume[0], resume[1] = last, 0
    return written


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def _watch(lists: NDArray[np.uint64], watched: NDArray[np.uint64]) -> None:
    """Bars whose close decides something, by side: 0 flat, 1 long, -1 (the last row) short."""
    for w in range(lists.shape[1]):
        long, short = lists[0, w], lists[1, w]
        watched[0, w] = long ^ short
        watched[1, w] = lists[2, w] | (short & ~long)
        watched[2, w] = lists[3, w] | (long & ~short)


@njit(cache=True, nogil=True)
def _flags(lists: NDArray[np.uint64], t: int) -> int:
    """A bar's four answers as the step takes them."""
    w, j = t // BARS_A_WORD, np.uint64(t % BARS_A_WORD)
    flags = 0
    for i in range(LISTS):
        if (lists[i, w] >> j) & np.uint64(1) != 0:
            flags |= 1 << i
    return flags


@njit(cache=True, nogil=True)
def _is_met(s: StateRow, high: float, low: float, rules: RulesRow) -> bool:
    """Whether a bar meets a protective price: then it is the step's."""
    worst, best = (low, high) if s.side > 0 else (high, low)
    if s.side * (worst - adverse_level(s, rules)) <= 0.0:
        return True
    return bool(s.side * (best - s.target_price) >= rules.tick * TOUCHED)


@njit(cache=True, nogil=True)
def _mark_held(
    s: StateRow,
    sums: ScoreRow,
    high: NDArray[np.float64],
    low: NDArray[np.float64],
    close: NDArray[np.float64],
    t: int,
    stop: int,
    rules: RulesRow,
) -> int:
    """Mark bars of one day up to the first that meets a protective price; returns that one, or `stop`.

    Whatever moves with a price, rounded or not, is at its worst where the price is: so where equity makes no new peak
    the drawdowns of all these bars are those of their lowest and highest prices.
    """
    if s.trail_distance == s.trail_distance:
        return _mark_each(s, sums, high, low, close, t, stop, rules)
    at = _first_met(s, high, low, t, stop, rules)
    if at == t:
        return t
    lowest_close, highest_close, worst = _extremes(close, low if s.side > 0 else high, s.side, t, at)
    signed, wallet, entry = s.side * s.quantity, s.wallet, s.entry_price
    least = wallet + signed * ((lowest_close if s.side > 0 else highest_close) - entry)
    most = wallet + signed * ((highest_close if s.side > 0 else lowest_close) - entry)
    if not (most <= s.peak and least > 0.0 and sums.equity > 0.0):
        return _mark_each(s, sums, high, low, close, t, at, rules)
    equity = sums.equity
    # Added up bar by bar from where they were: no cut of the bars, into tiles or days, shows in the last bit.
    sum_1, sum_2, sum_3, sum_4, down = sums.sum_1, sums.sum_2, sums.sum_3, sums.sum_4, sums.sum_2_down
    for i in range(np.uint64(t), np.uint64(at)):  # an unsigned index is not asked whether it counts from the end
        before = equity
        equity = wallet + signed * (close[i] - entry)
        r = (equity - before) / before
        square = r * r
        sum_1 += r
        sum_2 += square
        sum_3 += square * r
        sum_4 += square * square
        down += 0.5 * (square - r * abs(r))  # exactly the square below 0 and exactly 0 above; a branch would be guessed
    s.worst_drawdown = max(s.worst_drawdown, 1.0 - (wallet + signed * (worst - entry)) / s.peak)
    sums.drawdown = max(sums.drawdown, (s.peak - least) / s.peak)
    s.equity = sums.equity = equity
    sums.bars_held += at - t
    sums.sum_1, sums.sum_2, sums.sum_3, sums.sum_4, sums.sum_2_down = sum_1, sum_2, sum_3, sum_4, down
    return at


@njit(cache=True, nogil=True)
def _first_met(
    s: StateRow, high: NDArray[np.float64], low: NDArray[np.float64], t: int, stop: int, rules: RulesRow
) -> int:
    """The first bar from t on that meets a protective price which does not move; `stop` when none before it does."""
    level, target, through = adverse_level(s, rules), s.target_price, rules.tick * TOUCHED
    at, end = np.uint64(t), np.uint64(stop)
    if s.side > 0:
        while at < end and not (low[at] - level <= 0.0 or high[at] - target >= through):
            at += np.uint64(1)
    else:
        while at < end and not (level - high[at] <= 0.0 or target - low[at] >= through):
            at += np.uint64(1)
    return np.int64(at)


@njit(cache=True, nogil=True)
def _extremes(
    close: NDArray[np.float64], adverse: NDArray[np.float64], side: int, t: int, stop: int
) -> tuple[float, float, float]:
    """Lowest and highest close, and the worst price against a side, of bars t to `stop` (exclusive)."""
    lowest, highest, worst = close[t], close[t], side * adverse[t]
    for i in range(np.uint64(t), np.uint64(stop)):
        lowest = min(lowest, close[i])
        highest = max(highest, close[i])
        worst = min(worst, side * adverse[i])
    return lowest, highest, side * worst


@njit(cache=True, nogil=True)
def _mark_each(
    s: StateRow,
    sums: ScoreRow,
    high: NDArray[np.float64],
    low: NDArray[np.float64],
    close: NDArray[np.float64],
    t: int,
    stop: int,
    rules: RulesRow,
) -> int:
    """The same where the stop trails or equity makes new peaks: everything bar by bar."""
    side = s.side
    signed = s.side * s.quantity
    wallet, entry, target = s.wallet, s.entry_price, s.target_price
    through = rules.tick * TOUCHED
    level = adverse_level(s, rules)
    trails = s.trail_distance == s.trail_distance
    peak, worst_drawdown, drawdown = s.peak, s.worst_drawdown, sums.drawdown
    # Equity above these is no new worst; kept, because a product and a quotient a bar cost more than the bar itself.
    worst_floor, floor = peak * (1.0 - worst_drawdown) * SURELY, peak * (1.0 - drawdown) * SURELY
    equity = sums.equity
    sum_1, sum_2, sum_3, sum_4, down = sums.sum_1, sums.sum_2, sums.sum_3, sums.sum_4, sums.sum_2_down
    at = t
    while at < stop:
        i = np.uint64(at)
        worst, best = (low[i], high[i]) if side > 0 else (high[i], low[i])
        if side * (worst - level) <= 0.0 or side * (best - target) >= through:
            break
        if trails and side * (best - s.trail_best) > 0.0:
            s.trail_best = best
            level = adverse_level(s, rules)
        mark = wallet + signed * (worst - entry)
        if mark < worst_floor and peak > 0.0:
            worst_drawdown = max(worst_drawdown, 1.0 - mark / peak)
            worst_floor = peak * (1.0 - worst_drawdown) * SURELY
        before = equity
        equity = wallet + signed * (close[i] - entry)
        r = (equity - before) / before if before > 0.0 else 0.0
        square = r * r
        sum_1 += r
        sum_2 += square
        sum_3 += square * r
        sum_4 += square * square
        down += 0.5 * (square - r * abs(r))
        if equity > peak:
            peak = equity
            worst_floor, floor = peak * (1.0 - worst_drawdown) * SURELY, peak * (1.0 - drawdown) * SURELY
        elif equity < floor:
            drawdown = max(drawdown, (peak - equity) / peak)
            floor = peak * (1.0 - drawdown) * SURELY
        at += 1
    if at > t:
        s.peak, s.worst_drawdown, s.equity = peak, worst_drawdown, equity
        sums.equity, sums.drawdown = equity, drawdown
        sums.bars_held += at - t
        sums.sum_1, sums.sum_2, sums.sum_3, sums.sum_4, sums.sum_2_down = sum_1, sum_2, sum_3, sum_4, down
    return at


@njit(cache=True, nogil=True)
def _account(s: StateRow, sums: ScoreRow) -> None:
    """The return of a bar that was stepped."""
    before = sums.equity
    r = (s.equity - before) / before if before > 0.0 else 0.0
    square = r * r
    sums.sum_1 += r
    sums.sum_2 += square
    sums.sum_3 += square * r
    sums.sum_4 += square * square
    if r < 0.0:
        sums.sum_2_down += square
    sums.equity = s.equity
    if s.equity < s.peak * (1.0 - sums.drawdown) * SURELY:
        sums.drawdown = max(sums.drawdown, (s.peak - s.equity) / s.peak)
    if s.side != 0:
        sums.bars_held += 1


@njit(cache=True, nogil=True)
def _close_day(sums: ScoreRow) -> None:
    """The return of a UTC day that is over."""
    before = sums.day_equity
    r = (sums.equity - before) / before if before > 0.0 else 0.0
    sums.days += 1
    sums.day_sum_1 += r
    sums.day_sum_2 += r * r
    sums.day_lowest = min(sums.day_lowest, r)
    sums.day_highest = max(sums.day_highest, r)
    sums.day_equity = sums.equity


@njit(cache=True, nogil=True)
def _count(sums: ScoreRow, fill: FillRow) -> None:
    if fill.pnl > 0.0:
        sums.wins += 1
        sums.won += fill.pnl
    elif fill.pnl < 0.0:
        sums.lost -= fill.pnl

"""Many strategies over one stretch of bars: the kernel that steps only where something can happen. No validation.

A strategy is stepped (`kernel.step`, the same one) on the bars where something fills: what was decided before, a
protective price that is met, a settlement or a hole while something is held. On every other bar the step would do
nothing but mark the equity and decide, and that is all that is done here, with the step's own expressions: so the
trades are those of `kernel.run` to the last bit, and equity sums differ from it only in the order they were added up.

t      bar of the stretch; a strategy's own count of bars, `state.bar`, runs on from stretch to stretch
words  64 bars a word, see `bits.py`
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trading.simulator.bits import BARS_A_WORD, next_bit
from trading.simulator.costs import CostRates, Margin
from trading.simulator.kernel import adverse_level, decide, step
from trading.simulator.records import (
    FILLS_A_BAR,
    Bar,
    Columns,
    FillRow,
    Rules,
    StateRow,
    record,
)

TOUCHED = 0.999999
"""As in the step."""

LISTS = 4
"""Of terms a strategy, in the order of the flags' bits: entry long, entry short, exit long, exit short."""


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
    lowest: float
    """Smallest return."""
    highest: float
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

    columns: Columns
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
    """(n,) of `Rules`' fields."""


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
    margin: Margin,
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
    c, words, special, day_starts, bars = (
        stretch.columns,
        stretch.words,
        stretch.special,
        stretch.day_starts,
        stretch.bars,
    )
    open_ms, opens, high, low, close = c.open_ms, c.open, c.high, c.low, c.close
    quote_volume, sigma, atr = c.quote_volume, c.sigma, c.atr
    funding_open, long_pays, short_pays = c.funding_open, c.funding_long_pays, c.funding_short_pays
    terms, starts, numbers = plans.terms, plans.starts, plans.numbers
    trades, owners = closed.trades, closed.owners
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
        rules = _rules(numbers[k])
        s, sums = state[k], score[k]
        found[:] = -1
        next_special = -1
        while True:
            if t < bars and s.pending_side == 0 and s.pending_exit == 0:
                if found[s.side] < t:
                    # Kept until it is passed: a bit far ahead must not be looked for again at every trade.
                    found[s.side] = next_bit(watched[s.side], t, bars)
                deciding = found[s.side]
                if s.side == 0:
                    until = min(deciding + 1, bars)
                    _idle(sums, day_starts, t, until)
                else:
                    if rules.max_hold_bars > 0:
                        # The close on which the step says MAX_HOLD; `s.bar` is this bar's count.
                        deciding = min(deciding, max(t, t + s.entry_bar + rules.max_hold_bars - 1 - s.bar))
                    if next_special < t:
                        next_special = next_bit(special, t, bars)
                    until = _hold(s, sums, day_starts, high, low, close, t, min(deciding + 1, next_special), rules)
                if until > t:
                    s.bar += until - 1 - t
                    if until == deciding + 1:
                        decide(s, _flags(lists, deciding), atr[deciding], rules)
                    s.bar += 1
                    s.sigma = sigma[until - 1]
                    s.quote_volume = quote_volume[until - 1]
                    s.last_open_ms = open_ms[until - 1]
                    t = until
                    if until == deciding + 1:
                        continue
            if t >= bars:
                break
            if len(trades) > 0 and written + FILLS_A_BAR > len(trades):
                resume[0], resume[1] = k, t
                return written
            bar = Bar(
                open_ms[t],
                opens[t],
                high[t],
                low[t],
                close[t],
                quote_volume[t],
                sigma[t],
                atr[t],
                _flags(lists, t),
                funding_open[t],
                long_pays[t],
                short_pays[t],
            )
            made = step(state[k : k + 1], bar, rules, costs, margin, fills)
            for i in range(made):
                if fills[i].is_close == 1:
                    _count(sums, fills[i])
                    if len(trades) > 0:
                        trades[written] = fills[i]
                        owners[written] = k
                        written += 1
            _account(s, sums, day_starts, t)
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
def _rules(n: Rules) -> Rules:
    """A row of numbers as the step takes it."""
    return Rules(
        n.position_fraction,
        n.leverage,
        n.stop_atr,
        n.target_atr,
        n.trail_atr,
        n.max_hold_bars,
        n.entry_delay_bars,
        n.is_margined,
        n.tick,
        n.ticks_per_quote,
        n.lots_per_base,
        n.min_notional,
        n.liquidation_fee_rate,
        n.interval_ms,
    )


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
def _idle(sums: ScoreRow, day_starts: NDArray[np.uint64], t: int, stop: int) -> None:
    """Bars without a position: the equity stays; days may end."""
    if stop == t:
        return
    if sums.lowest > 0.0:
        sums.lowest = 0.0
    if sums.highest < 0.0:
        sums.highest = 0.0
    day = next_bit(day_starts, t, stop)
    while day < stop:
        _close_day(sums)
        day = next_bit(day_starts, day + 1, stop)


@njit(cache=True, nogil=True)
def _hold(
    s: StateRow,
    sums: ScoreRow,
    day_starts: NDArray[np.uint64],
    high: NDArray[np.float64],
    low: NDArray[np.float64],
    close: NDArray[np.float64],
    t: int,
    stop: int,
    rules: Rules,
) -> int:
    """The first bar before `stop` that meets a protective price, else `stop`; the bars before it are marked."""
    day = next_bit(day_starts, t, stop)
    at = t
    while at < stop:
        if day == at:
            if _is_met(s, high[at], low[at], rules):
                break
            _close_day(sums)
            day = next_bit(day_starts, at + 1, stop)
        until = _mark_held(s, sums, high, low, close, at, min(day, stop), rules)
        is_met = until < min(day, stop)
        at = until
        if is_met:
            break
    sums.bars_held += at - t
    return at


@njit(cache=True, nogil=True)
def _is_met(s: StateRow, high: float, low: float, rules: Rules) -> bool:
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
    rules: Rules,
) -> int:
    """Mark bars of one day up to the first that meets a protective price; returns that one, or `stop`."""
    side = s.side
    signed = s.side * s.quantity
    wallet, entry, target = s.wallet, s.entry_price, s.target_price
    through = rules.tick * TOUCHED
    level = adverse_level(s, rules)
    trails = s.trail_distance == s.trail_distance
    peak, worst_drawdown, drawdown = s.peak, s.worst_drawdown, sums.drawdown
    equity = sums.equity
    sum_1, sum_2, sum_3, sum_4, down = 0.0, 0.0, 0.0, 0.0, 0.0
    lowest, highest = sums.lowest, sums.highest
    at = t
    while at < stop:
        worst, best = (low[at], high[at]) if side > 0 else (high[at], low[at])
        if side * (worst - level) <= 0.0 or side * (best - target) >= through:
            break
        if trails and side * (best - s.trail_best) > 0.0:
            s.trail_best = best
            level = adverse_level(s, rules)
        before = equity
        equity = wallet + signed * (close[at] - entry)
        r = (equity - before) / before if before > 0.0 else 0.0
        square = r * r
        sum_1 += r
        sum_2 += square
        sum_3 += square * r
        sum_4 += square * square
        if r < 0.0:
            down += square
        lowest, highest = min(lowest, r), max(highest, r)
        mark = wallet + signed * (worst - entry)
        if peak > 0.0 and mark < peak * (1.0 - worst_drawdown) and 1.0 - mark / peak > worst_drawdown:
            worst_drawdown = 1.0 - mark / peak
        if equity > peak:
            peak = equity
        elif equity < peak * (1.0 - drawdown):
            drawdown = max(drawdown, (peak - equity) / peak)
        at += 1
    if at > t:
        s.peak, s.worst_drawdown, s.equity = peak, worst_drawdown, equity
        sums.equity, sums.drawdown = equity, drawdown
        sums.sum_1 += sum_1
        sums.sum_2 += sum_2
        sums.sum_3 += sum_3
        sums.sum_4 += sum_4
        sums.sum_2_down += down
        sums.lowest, sums.highest = lowest, highest
    return at


@njit(cache=True, nogil=True)
def _account(s: StateRow, sums: ScoreRow, day_starts: NDArray[np.uint64], t: int) -> None:
    """The return of a bar that was stepped."""
    if next_bit(day_starts, t, t + 1) == t:
        _close_day(sums)
    before = sums.equity
    r = (s.equity - before) / before if before > 0.0 else 0.0
    square = r * r
    sums.sum_1 += r
    sums.sum_2 += square
    sums.sum_3 += square * r
    sums.sum_4 += square * square
    if r < 0.0:
        sums.sum_2_down += square
    sums.lowest = min(sums.lowest, r)
    sums.highest = max(sums.highest, r)
    sums.equity = s.equity
    if s.peak > 0.0:
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

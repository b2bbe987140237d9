"""How often the best of several strategies in one half of the past is a poor one in the other half.

Combinatorially symmetric cross-validation (CSCV): the past is cut into S equal blocks, and every choice of S/2 of them
is once the half that is looked at and once, as the complement of another choice, the half that is judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MAX_BLOCKS = 20
"""184,756 splits; two blocks more are four times as many, and say nothing new."""
ROUNDING = 1e-12
"""Squares around the mean below this share of the squares around zero are what rounding leaves of a constant."""
PIECE = 1 << 18
"""Sharpe ratios held at a time: 2 MiB an array, which stays in the cache."""


@dataclass(frozen=True, slots=True, eq=False)
class BacktestOverfitting:
    """What choosing the best in sample was worth out of sample, over all splits."""

    pbo: float
    """Probability of backtest overfitting: share of the splits whose logit is <= 0, 0 to 1."""
    logits: Floats
    """(c,) ln(w / (1 - w)), w = the chosen one's rank out of sample / (n + 1), 1 the worst; read-only. In the order
    of the splits as binary numbers, bit s for block s in sample; `logits[c - 1 - i]` is split i, halves exchanged."""
    loss_probability: float
    """Share of the splits in which the chosen one lost out of sample, 0 to 1; what did not move did not lose."""
    slope: float | None
    """Of a line through the chosen ones' Sharpe ratios, out of sample on in sample. In noise it is negative too: what
    one half has above the whole, the other lacks. None: the same Sharpe ratio in sample in every split."""
    rows: int
    """Used: blocks x rows a block, the newest ones."""


def backtest_overfitting(returns: Floats, *, blocks: int = 16) -> BacktestOverfitting:
    """Probability of backtest overfitting of a family of strategies by CSCV.

    Args:
        returns: (t, n) net returns per bar, fractions, oldest first; a column is a strategy that could have been
            chosen, on the same bars as the others.
        blocks: S, even, 2 to 20. When t is no multiple of S, the oldest t mod S rows are left out.

    Returns:
        Sharpe ratios are mean / standard deviation (ddof 1) per bar; a strategy whose returns in a half are all alike
        has 0 there, so that what never traded ranks below what won. Ties: of several best in sample the one that does
        worst out of sample is chosen, and equal ones out of sample share the mean of their ranks. So copies of one
        strategy alone give logits of 0 and a pbo of 1: choosing told nothing.
        Worthless strategies give about 1/2 with a wide spread over samples (0.14 to 0.18): never a verdict by itself.

    Raises:
        ValueError: Not two columns, `blocks` odd or out of range, under 2 rows a block, or a value is not finite.

    Source:
        Bailey, Borwein, López de Prado & Zhu (2017), The Probability of Backtest Overfitting, Journal of Computational
        Finance 20(4).
    """
    _refuse_unfit(returns, blocks)
    rows_a_block = len(returns) // blocks
    newest = np.ascontiguousarray(returns[len(returns) - blocks * rows_a_block :])  # else sums round by memory order
    halves = _Halves(newest, blocks)
    splits = comb(blocks, blocks // 2)
    chosen_in, chosen_out, ranks = np.empty(splits), np.empty(splits), np.empty(splits)
    step = max(1, PIECE // returns.shape[1])
    for start in range(0, splits // 2, step):  # the second half of the splits are the complements of the first
        piece = np.arange(start, min(start + step, splits // 2))
        mirrored = splits - 1 - piece
        one, other = halves.sharpe(piece), halves.sharpe(mirrored)
        chosen_in[piece], chosen_out[piece], ranks[piece] = _choose(one, other)
        chosen_in[mirrored], chosen_out[mirrored], ranks[mirrored] = _choose(other, one)
    share = ranks / (returns.shape[1] + 1)
    logits = np.log(share / (1.0 - share))
    logits.flags.writeable = False
    return BacktestOverfitting(
        pbo=float(np.mean(share <= 0.5)),  # the logit's sign, without its rounding
        logits=logits,
        loss_probability=float(np.mean(chosen_out < 0.0)),
        slope=_slope(chosen_in, chosen_out),
        rows=len(newest),
    )


class _Halves:
    """Sharpe ratios of all strategies over any half of the blocks.

    Sums and squares add up over blocks. The sums of every choice among the lower and among the upper S/2 blocks are
    tabled once, so that a half is one row of each table added. Unlike a matrix product this adds in the same order for
    every column: what is equal stays equal to the last bit, and no tie depends on where a column stands.
    """

    def __init__(self, returns: Floats, blocks: int) -> None:
        self.rows = len(returns) // 2
        sums, squares = np.empty((blocks, returns.shape[1])), np.empty((blocks, returns.shape[1]))
        for i, block in enumerate(np.split(returns, blocks)):
            sums[i] = block.sum(axis=0)
            within = block - sums[i] / len(block)  # nothing of other blocks: the same returns in sample tie exactly
            squares[i] = (within * within).sum(axis=0) + sums[i] * sums[i] / len(block)
        self.half = blocks // 2
        self.sums = _subset_sums(sums[: self.half]), _subset_sums(sums[self.half :])
        self.squares = _subset_sums(squares[: self.half]), _subset_sums(squares[self.half :])
        choices = np.arange(1 << blocks)
        self.splits = choices[np.bitwise_count(choices) == self.half]

    def sharpe(self, splits: NDArray[np.int64]) -> Floats:
        """Per bar, of the blocks in sample: (len(splits), n)."""
        chosen = self.splits[splits]
        low, high = chosen & ((1 << self.half) - 1), chosen >> self.half
        mean: Floats = self.sums[0][low]
        mean += self.sums[1][high]
        mean /= self.rows
        squares = self.squares[0][low]
        squares += self.squares[1][high]
        spread = squares - self.rows * mean * mean
        alike = spread <= ROUNDING * squares
        spread /= self.rows - 1
        spread[alike] = np.inf  # and the ratio 0
        mean /= np.sqrt(spread, out=spread)
        return mean


def _subset_sums(blocks: Floats) -> Floats:
    """(2**b, n): row m is the sum of the blocks whose bit is set in m; blocks is (b, n)."""
    table = np.zeros((1 << len(blocks), blocks.shape[1]))
    for bit, block in enumerate(blocks):
        size = 1 << bit
        np.add(table[:size], block, out=table[size : 2 * size])
    return table


def _choose(seen: Floats, judged: Floats) -> tuple[Floats, Floats, Floats]:
    """For each split the best Sharpe ratio in sample, the chosen one's out of sample, and its rank there."""
    best = seen.max(axis=1, keepdims=True)
    outcome = np.where(seen == best, judged, np.inf).min(axis=1, keepdims=True)
    below = np.count_nonzero(judged < outcome, axis=1)
    not_above = np.count_nonzero(judged <= outcome, axis=1)
    return best[:, 0], outcome[:, 0], (below + not_above + 1) / 2.0


def _slope(seen: Floats, judged: Floats) -> float | None:
    """Least squares."""
    if (seen == seen[0]).all():
        return None
    centred = seen - seen.mean()
    return float(centred @ (judged - judged.mean()) / (centred @ centred))


def _refuse_unfit(returns: Floats, blocks: int) -> None:
    """In one line, with the value."""
    if returns.ndim != 2 or returns.shape[1] < 2:
        raise ValueError(
            f"backtest overfitting: returns of shape {returns.shape}: give (t, n) with at least 2 strategies"
        )
    if blocks % 2 or not 2 <= blocks <= MAX_BLOCKS:
        raise ValueError(f"backtest overfitting: blocks={blocks}: give an even number from 2 to {MAX_BLOCKS}")
    if len(returns) < 2 * blocks:
        raise ValueError(
            f"backtest overfitting: {len(returns)} rows in blocks={blocks}: "
            f"give at least {2 * blocks} rows, or fewer blocks"
        )
    if not (finite := np.isfinite(returns)).all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(
            f"backtest overfitting: returns[{row}, {column}]={returns[row, column]}: not a finite number; "
            "leave that bar out for all strategies"
        )

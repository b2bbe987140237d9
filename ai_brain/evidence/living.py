"""What a judged strategy promised of each result, and what its own results have made of that since.

A result is a fraction: of a rule strategy the net profit of one closed trade over its notional at the entry; of a carry
what equity did over `SETTLEMENTS_A_RESULT` settlements in position, over the equity before each. Whatever is told here
is a pure function of the promise and of the results in their order, so it is derived anew each time and no restart can
change it.

Funding comes in runs longer than weeks, and results that come in runs break the test (`sequential_test.py`). Of carries
on recorded funding, promised by 292 days and tested on the next two years, 46 of 146 expired by sums of 21 settlements,
26 of 146 by sums of 42, 7 of 143 by sums of 63, and none of 142 by sums of 90 (`python -m benchmarks.living`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeInt, model_validator

from ai_brain.evidence.run import Run
from ai_brain.evidence.sequential_test import Promise, e_values, promise_of
from trading.domain.counted import counted

SETTLEMENTS_A_RESULT = 90
"""Thirty days in position, where funding is settled every eight hours."""
STANDARD_ERRORS = 2.0
"""How much less is promised than was seen: a backtest's mean is an estimate, and was chosen for being high."""
SPREADS = 3.0
"""Results are clipped so many standard deviations from the judged mean. With the ends of what was judged instead, a
strategy of a few large winners was caught a third as often."""
FEWEST_RESULTS = 5
"""Fewer judged results promise nothing: their spread is not known."""


class LivingSettings(BaseModel):
    """How a living strategy is held to what its evidence promised."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Probability of expiring a strategy that keeps its promise, over its life on paper and again over its live one."""


class LifePromise(BaseModel):
    """What one result should bring on average, as the evidence holds it; fractions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    expectancy: FiniteFloat
    """What is held against it: the judged mean less `STANDARD_ERRORS`, not below 0 where the mean is above."""
    low: FiniteFloat
    """A result below counts as this."""
    high: FiniteFloat
    """A result above counts as this."""
    results: NonNegativeInt
    """Judged results it was drawn from."""
    mean: FiniteFloat
    """Of them, clipped."""
    settlements_a_result: NonNegativeInt
    """Of a carry; 0: a result is one closed trade."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        self.as_tested()
        return self

    def as_tested(self) -> Promise:
        """The numbers that the sequential test asks for."""
        return Promise(expectancy=self.expectancy, low=self.low, high=self.high)

    @property
    def unit(self) -> str:
        """What one result is."""
        return f"{self.settlements_a_result} settlements" if self.settlements_a_result else "trade"


@dataclass(frozen=True, slots=True)
class Life:
    """One life of a strategy, on paper or live, against its promise."""

    where: str
    """`paper` or `live`."""
    promise: LifePromise
    results: int
    mean: float
    """Of the results as they came, fraction; 0.0 before the first."""
    e_value: float
    """Now: 1 is no evidence against the promise."""
    highest_e_value: float
    """Ever, which is what is held against the limit."""
    limit: float
    """1 / alpha."""

    @property
    def has_failed(self) -> bool:
        """The evidence has expired; it stays so."""
        return self.highest_e_value >= self.limit

    def __str__(self) -> str:
        e_value = f"e-value {self.e_value:.1f} of {self.limit:g}"
        if self.has_failed:
            e_value = f"e-value reached {self.highest_e_value:.1f} of {self.limit:g}"
        came = f"{counted(self.results, 'result')}, mean {_pct(self.mean)}" if self.results else "no result yet"
        return f"promise {_pct(self.promise.expectancy)}/{self.promise.unit}, {came}, {e_value}"


def life_of(where: str, promise: LifePromise, results: NDArray[np.float64], *, alpha: float) -> Life:
    """A life after its results; a pure function of them.

    Args:
        where: `paper` or `live`.
        promise: From the evidence.
        results: (n,) oldest first, of the promise's unit: `trade_result` of each trade, or `sums` of a carry.
        alpha: Probability of a false alarm over the whole life.

    Raises:
        ValueError: a result is not finite.
    """
    evidence = e_values(results, promise=promise.as_tested()) if len(results) else np.ones(1)
    return Life(
        where=where,
        promise=promise,
        results=len(results),
        mean=float(results.mean()) if len(results) else 0.0,
        e_value=float(evidence[-1]),
        highest_e_value=max(1.0, float(evidence.max())),
        limit=1.0 / alpha,
    )


def promise_of_run(run: Run, *, is_carry: bool) -> LifePromise | None:
    """What the judged chain promises of the strategy's life; None: too few results, or all alike.

    Trades left open at the end of a stretch are no results, as an open position is none in a life.
    """
    if is_carry:
        return promised(settlement_results(run), settlements_a_result=SETTLEMENTS_A_RESULT)
    trades = [trade_result(t.pnl_quote, t.quantity_base, t.entry_price) for t in run.trades]
    return promised(np.array(trades), settlements_a_result=0)


def promised(results: NDArray[np.float64], *, settlements_a_result: int) -> LifePromise | None:
    """What judged results promise; None: fewer than `FEWEST_RESULTS`, or all alike, so that nothing is known of losses.

    Args:
        results: (n,) one a trade, or one a settlement of a carry.
        settlements_a_result: How many settlements make a result; 0: trades.
    """
    judged = sums(results, settlements_a_result) if settlements_a_result else results
    spread = float(judged.std(ddof=1)) if len(judged) >= FEWEST_RESULTS else 0.0
    if spread <= 1e-12 * max(1.0, float(np.abs(judged).max(initial=0.0))):
        return None
    low, high = float(judged.mean()) - SPREADS * spread, float(judged.mean()) + SPREADS * spread
    careful = promise_of(judged, low=low, high=high, standard_errors=STANDARD_ERRORS).expectancy
    mean = float(np.clip(judged, low, high).mean())
    return LifePromise(
        expectancy=max(careful, 0.0) if mean > 0.0 else careful,
        low=low,
        high=high,
        results=len(judged),
        mean=mean,
        settlements_a_result=settlements_a_result,
    )


def trade_result(pnl_quote: float, quantity_base: float, entry_price: float) -> float:
    """Net profit of a closed trade, fraction of its notional at the entry."""
    return pnl_quote / (quantity_base * entry_price)


def settlement_results(run: Run) -> NDArray[np.float64]:
    """(n,) what equity did up to the close of each bar with a settlement, as a paper account notes it; of a carry."""
    bars = np.unique(np.array([line.bar_ms for line in run.settled], dtype=np.int64))
    marks = run.equity[np.searchsorted(run.open_time_ms, bars)]
    changes = np.diff(np.concatenate(([run.starting_quote], marks))) / run.starting_quote
    return of_equity_before(changes.tolist())


def sums(settled: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """(n // count,) sums of `count` settlements each, oldest first; those that do not fill one are still waited for."""
    found: NDArray[np.float64] = settled[: len(settled) // count * count].reshape(-1, count).sum(axis=1)
    return found


def of_equity_before(changes: Sequence[float]) -> NDArray[np.float64]:
    """Changes of an account's equity, fractions of what it began with, as fractions of the equity before each.

    An account of which nothing is left loses all again: -1.
    """
    made = np.array(changes, dtype=np.float64)
    before = 1.0 + np.concatenate(([0.0], np.cumsum(made)[:-1])) if len(made) else made
    whole = before > 0.0
    found: NDArray[np.float64] = np.where(whole, made / np.where(whole, before, 1.0), -1.0)
    return found


def _pct(fraction: float) -> str:
    return f"{fraction * 100.0:.2f} %"

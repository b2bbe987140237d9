"""Is a living strategy still what its evidence promised? A question that may be asked after every result.

A gambler who doubts the promise bets that each result falls short of it, with what was won so far: a result x turns a
fortune into itself times 1 - bet (x - expectancy), never below zero because x is capped. While the promise holds, no
way of betting wins on average, so a fortune that began at 1 ever reaches 1 / alpha with probability at most alpha
(Ville's inequality), however often one looks. That fortune is the e-value.

It is spread evenly over six sizes of bet, and within each half is staked at the first result, the rest bit by bit
at every later one (1 / (2 t (t + 1)) at the t-th). So a break after years of good results is seen without their being
lost again first: what is staked after them knows nothing of them. A sum of fortunes of a fixed total is a fortune.

What is taken for granted:

* Results are clipped to [low, high], and the expectancy is that of results clipped alike (`promise_of`). A loss beyond
  `low` counts as `low`. A wide range costs power, a narrow one hides tails.
* The mean of each result, *given all results before it*, is at least the expectancy. Nothing else: not one shape, not
  one spread, not independence. But where good and bad results come in runs (funding rates do) that mean is below the
  expectancy for a while even if it holds over the years, and alarms come more often than alpha. Sum such results over
  stretches long enough to forget each other.
* The expectancy is a number, not an estimate. A backtest's own mean has an error and was chosen for being high; promise
  less than it (`standard_errors`).

Source: Waudby-Smith & Ramdas (2024), Estimating means of bounded random variables by betting, JRSS B 86(1), section 4;
staking at many beginnings: Shin, Ramdas & Rinaldo (2024), E-detectors, New England J. of Statistics in Data Science 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, sqrt
from typing import Annotated, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeFloat, NonNegativeInt, model_validator

BETS = (0.9, 0.6, 0.4, 0.27, 0.18, 0.12)
"""Bets as shares of 1 / (high - expectancy), the one that a single result at `high` would ruin. The best bet on a
shortfall is shortfall / variance: with a standard deviation of a third of high - expectancy these are the best bets on
shortfalls of 0.04 to 0.3 standard deviations."""
STAKED_LATER = 0.5
"""Share of the fortune that is kept for all beginnings, the first among them: 3/4 is staked at the first result, so
the e-value of a life without a break is at worst 3/4 of what it would be with everything staked there."""
FORTUNE_CAP = 1e300
"""A fortune is not counted further: it stays a number, and an e-value can only be lower for it."""

Fortune = TypeVar("Fortune", float, NDArray[np.float64])
Fortunes = Annotated[
    tuple[Annotated[NonNegativeFloat, Field(le=FORTUNE_CAP)], ...], Field(min_length=len(BETS), max_length=len(BETS))
]


class Promise(BaseModel):
    """What one result of the strategy should bring on average; any unit, one for all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    expectancy: FiniteFloat
    """Mean of one result, clipped, strictly between low and high."""
    low: FiniteFloat
    """A result below counts as this."""
    high: FiniteFloat
    """A result above counts as this."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low < self.expectancy < self.high:
            raise ValueError(
                f"promise: expectancy={self.expectancy} is not between low={self.low} and high={self.high}; "
                "widen the range that results are clipped to"
            )
        return self


def promise_of(results: NDArray[np.float64], *, low: float, high: float, standard_errors: float) -> Promise:
    """What the judged results of a backtest promise, as a number to be held against.

    Args:
        results: (n,) one a trade or one a settlement, after all costs, n >= 2.
        low: They are clipped to it from below, as the living ones will be.
        high: And to it from above.
        standard_errors: How many standard errors of the clipped mean (of independent results) to promise less.

    Raises:
        ValueError: n < 2, a result is not finite (names its index), or what remains is not between low and high.
    """
    if len(results) < 2:
        raise ValueError(f"promise: n={len(results)}: at least 2 results are needed")
    _require_finite(results)
    clipped = np.clip(results, low, high)
    error = float(clipped.std(ddof=1)) / sqrt(len(clipped))
    return Promise(expectancy=float(clipped.mean()) - standard_errors * error, low=low, high=high)


class SequentialTest(BaseModel):
    """The test of one promise after some results; `SequentialTest(promise=...)` before the first.

    `model_dump_json` and `model_validate_json` bring it to a file and back, every bit the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    promise: Promise
    results: NonNegativeInt = 0
    """How many it has seen."""
    fortunes: Fortunes = (0.0,) * len(BETS)
    """What was staked so far, as the results have left it, one a size of bet; a fortune of 1 was set aside for each."""
    highest_e_value: Annotated[float, Field(ge=1.0, allow_inf_nan=False)] = 1.0
    """The highest e-value ever seen, the 1 before the first result included."""

    @property
    def e_value(self) -> float:
        """The evidence against the promise now: 1 is none, 20 would be seen by chance once in 20 lives at most."""
        return _total(self.fortunes) / len(BETS) + _not_yet_staked(self.results)

    def updated(self, result: float) -> SequentialTest:
        """The test after one more result, in the promise's unit.

        Raises:
            ValueError: the result is no finite number.
        """
        if not isfinite(result):
            raise ValueError(f"sequential test: result {self.results + 1} is {result}: not a finite number")
        promise, number = self.promise, self.results + 1
        excess = min(max(result, promise.low), promise.high) - promise.expectancy
        fortunes = tuple(
            min((fortune + _staked_at(number)) * (1.0 - bet * excess), FORTUNE_CAP)
            for fortune, bet in zip(self.fortunes, _bets(promise), strict=True)
        )
        after = self.model_copy(update={"results": number, "fortunes": fortunes})
        return after.model_copy(update={"highest_e_value": max(self.highest_e_value, after.e_value)})

    def has_failed(self, alpha: float) -> bool:
        """True from the first result on at which the e-value reached 1 / alpha; it stays so.

        Args:
            alpha: The probability, over its whole life, of failing a strategy that keeps its promise; between 0 and 1.

        Raises:
            ValueError: alpha out of range.
        """
        if not 0.0 < alpha < 1.0:
            raise ValueError(f"sequential test: alpha={alpha}: a probability between 0 and 1")
        return self.highest_e_value * alpha >= 1.0


def e_values(results: NDArray[np.float64], *, promise: Promise) -> NDArray[np.float64]:
    """The e-value after each result, the same floats as `SequentialTest` gives one by one.

    Args:
        results: (..., n) oldest first; more axes are lives of their own.
        promise: What they are held against.

    Returns:
        (..., n).

    Raises:
        ValueError: a result is not finite; names its index.
    """
    _require_finite(results)
    excess = np.clip(results, promise.low, promise.high) - promise.expectancy
    fortunes = [np.zeros(results.shape[:-1]) for _ in BETS]
    evidence = np.empty(results.shape)
    for index in range(results.shape[-1]):
        staked, now = _staked_at(index + 1), excess[..., index]
        fortunes = [
            np.minimum((fortune + staked) * (1.0 - bet * now), FORTUNE_CAP)
            for fortune, bet in zip(fortunes, _bets(promise), strict=True)
        ]
        evidence[..., index] = _total(fortunes) / len(BETS) + _not_yet_staked(index + 1)
    return evidence


def _bets(promise: Promise) -> tuple[float, ...]:
    span = promise.high - promise.expectancy
    return tuple(bet / span for bet in BETS)


def _staked_at(number: int) -> float:
    later = STAKED_LATER / (number * (number + 1))
    return later + (1.0 - STAKED_LATER) if number == 1 else later


def _not_yet_staked(results: int) -> float:
    return STAKED_LATER / (results + 1) if results else 1.0


def _total(fortunes: Sequence[Fortune]) -> Fortune:
    # One after the other: np.sum would add in another order and leave the step in the last bit.
    total = fortunes[0]
    for fortune in fortunes[1:]:
        total = total + fortune
    return total


def _require_finite(results: NDArray[np.float64]) -> None:
    if (bad := ~np.isfinite(results)).any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"sequential test: results{list(index)}={results[index]}: not a finite number")

"""What the Sharpe statistics need to know of a return series: length, Sharpe, skewness, kurtosis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROUNDING = 1e-9
"""Room for the last bits when moments are held against each other."""


@dataclass(frozen=True, slots=True)
class ReturnMoments:
    """Four numbers of a return series, all per bar.

    Raises:
        ValueError: n < 2, a number that is not finite, or a kurtosis below skew² + 1, which no distribution has.
    """

    n: int
    """Bars."""
    sharpe: float
    """Mean / standard deviation (ddof 1), not annualised."""
    skew: float = 0.0
    """Biased third standardised moment; 0 for a normal."""
    kurtosis: float = 3.0
    """Biased fourth standardised moment, Pearson's: 3 for a normal."""

    def __post_init__(self) -> None:
        if self.n < 2:
            raise ValueError(f"return moments: n={self.n}: at least 2 returns are needed")
        if not np.isfinite([self.sharpe, self.skew, self.kurtosis]).all():
            raise ValueError(f"return moments: {self.sharpe}, {self.skew}, {self.kurtosis}: not finite numbers")
        if self.kurtosis < self.skew**2 + 1.0 - ROUNDING * (1.0 + self.skew**2):
            raise ValueError(
                f"return moments: kurtosis={self.kurtosis} with skew={self.skew}: no distribution has it; "
                "give Pearson's kurtosis (normal = 3), not the excess"
            )

    def sharpe_variance(self) -> float:
        """The asymptotic variance of the estimated Sharpe times (n - 1), >= 0.

        Source:
            Mertens (2002); Bailey & López de Prado (2012), eq. 9.
        """
        s = self.sharpe
        return max(0.0, 1.0 - self.skew * s + (self.kurtosis - 1.0) / 4.0 * s**2)


def return_moments(returns: NDArray[np.float64]) -> ReturnMoments:
    """The moments of a return series.

    Args:
        returns: (n,) simple returns per bar, fractions.

    Returns:
        Sharpe with ddof 1, biased skewness and Pearson kurtosis. Constant returns: 0, 0 and 3, so that what never
        traded ranks below what won.

    Raises:
        ValueError: n < 2, or a value is not finite; names its index.
    """
    if len(returns) < 2:
        raise ValueError(f"return moments: n={len(returns)}: at least 2 returns are needed")
    if (bad := ~np.isfinite(returns)).any():
        index = int(np.argmax(bad))
        raise ValueError(f"return moments: returns[{index}]={returns[index]}: not a finite number")
    if (returns == returns[0]).all():
        return ReturnMoments(len(returns), 0.0)
    centred = returns - returns.mean()
    spread = float(np.sqrt(np.mean(centred**2)))
    if spread <= 0.0:  # squares below the smallest float: as good as constant
        return ReturnMoments(len(returns), 0.0)
    z = centred / spread
    squared = z * z  # numpy's powers above two take ten times as long
    skew, kurtosis = float(np.mean(squared * z)), float(np.mean(squared * squared))
    return ReturnMoments(len(returns), float(returns.mean() / returns.std(ddof=1)), skew, max(kurtosis, skew**2 + 1.0))

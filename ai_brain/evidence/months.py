"""Net results of calendar months, and what is left of a record without its best or its worst one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trading.domain.clock import DAY_MS

MIN_DAYS = 90
"""A shorter record cannot do without a month."""


@dataclass(frozen=True, slots=True)
class WithoutMonths:
    """Net return of a record with one UTC calendar month taken out, fractions."""

    months: int
    best: str
    """`2024-11`."""
    without_best: float
    worst: str
    without_worst: float


def without_months(open_time_ms: NDArray[np.int64], returns: NDArray[np.float64]) -> WithoutMonths | None:
    """Take the best and the worst month out of a record.

    Args:
        open_time_ms: (n,) of the bars, ascending, UTC.
        returns: (n,) per bar, fractions above -1; the months' returns compound theirs.

    Returns:
        None: it is shorter than `MIN_DAYS`.
    """
    month = open_time_ms.astype("datetime64[ms]").astype("datetime64[M]")
    if int(open_time_ms[-1] - open_time_ms[0]) < MIN_DAYS * DAY_MS:
        return None
    names, place = np.unique(month, return_inverse=True)
    growth = np.bincount(place, weights=np.log1p(returns))
    best, worst = int(np.argmax(growth)), int(np.argmin(growth))
    left = np.expm1(growth.sum() - growth)
    return WithoutMonths(
        months=len(names),
        best=str(names[best]),
        without_best=float(left[best]),
        worst=str(names[worst]),
        without_worst=float(left[worst]),
    )

"""The Sharpe ratios of all ideas at their first look, kept in memory in the order of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Kind = TypeVar("Kind", bound=np.generic)


class FirstLooks:
    """Grows with the ledger and knows the variance: 10 bytes an idea, up to twice that while growing.

    The variance is always taken over all values anew, in the ledger's order, so it is the same float whether the ideas
    were read at once or one by one, by this process or another.
    """

    def __init__(self) -> None:
        self._annual = np.empty(0)
        self._family = np.empty(0, dtype=np.int16)
        self._numbers = dict[str, int]()
        self._variances = dict[str | None, float | None]()
        self._n = 0

    def add(self, families: Sequence[str], annual: Sequence[float]) -> None:
        """Append ideas, oldest first; `annual` are Sharpe ratios a year."""
        end = self._n + len(annual)
        if end > len(self._annual):
            self._annual = _grown(self._annual, self._n, room=max(end, 2 * self._n))
            self._family = _grown(self._family, self._n, room=len(self._annual))
        self._annual[self._n : end] = annual
        self._family[self._n : end] = [self._numbers.setdefault(name, len(self._numbers)) for name in families]
        self._n = end
        self._variances.clear()

    def variance(self, family: str | None) -> float | None:
        """Variance (ddof 1) of the annual Sharpe ratios of a family, None: of all. None: fewer than two ideas."""
        if family not in self._variances:
            annual = self._annual[: self._n]
            if family is not None:
                annual = annual[self._family[: self._n] == self._numbers.get(family, -1)]
            self._variances[family] = float(annual.var(ddof=1)) if len(annual) >= 2 else None
        return self._variances[family]


def _grown(old: NDArray[Kind], used: int, *, room: int) -> NDArray[Kind]:
    new = np.empty(room, dtype=old.dtype)
    new[:used] = old[:used]
    return new

"""How good the best of all worthless ideas looks, when many of them are nearly the same.

The expected maximum of N independent normals overstates it for variations of one idea, and a count of clusters
understates it, since the best of many near copies still gains by being chosen. Here the ideas' own correlations decide:
the cosine of two return sketches is their correlation, so the products of all sketches with one random direction are
normal values that go together as the ideas do. Their maximum, averaged over many directions, is what is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import exp, lgamma, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ai_brain.evidence.return_sketch import NUMBERS, decoded

DIRECTIONS, SEED = 1_024, 2_014
"""The mean of the maximum is known to about 0.02 of a standard deviation; half of them are the others mirrored, so that
a single idea gives exactly zero."""
GRAIN = 256.0
"""Directions are whole multiples of 1 / 256: with the sketches' whole numbers all products are exact, and whoever adds
the ideas in whatever order finds the same."""
NOTHING = -1e9


class CorrelatedMaximum:
    """Grows with the ledger in constant memory; what was added once is never asked for again."""

    def __init__(self) -> None:
        self._best = np.full(DIRECTIONS, NOTHING)
        self._known, self._unknown = 0, 0

    def add(self, sketches: Sequence[bytes | None]) -> None:
        """Take ideas in, in any order; one whose sketch is not known, None, goes with no other.

        Raises:
            ValueError: a sketch has the wrong length.
        """
        known = [sketch for sketch in sketches if sketch is not None]
        self._unknown += len(sketches) - len(known)
        vectors = decoded(known)["values"].astype(np.float64) if known else np.empty((0, NUMBERS))
        norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        moved = norms > 0.0  # what never moved has nothing to be chosen for
        self._known += int(moved.sum())
        for piece in np.array_split(np.flatnonzero(moved), max(1, int(moved.sum()) // 4_096)):
            if len(piece):
                values = (vectors[piece] @ _directions()) / norms[piece, None]
                np.maximum(self._best, values.max(axis=0), out=self._best)

    def expected(self, *, more: int = 0) -> float:
        """Expected maximum, in standard deviations of one: 0 of one idea or none.

        Args:
            more: Ideas to come that are like none so far.
        """
        alone = self._unknown + more
        best = self._best * _narrowness(self._known) if self._known else self._best
        if alone:
            best = np.maximum(best, _best_of(alone))
        return max(0.0, float(best.mean())) if best.max() > NOTHING else 0.0


@lru_cache(maxsize=64)
def _narrowness(count: int) -> float:
    """What the best of `count` unrelated ideas loses by being drawn in 64 dimensions, where some always lie alike.

    Their best has the mean E|g| E[max cosine], and the cosine of a random direction the density (1 - x²)^30.5.
    """
    if count < 2:
        return 1.0
    x = np.linspace(-1.0, 1.0, 20_001)
    density = (1.0 - x**2) ** ((NUMBERS - 3) / 2)
    share = np.cumsum(density) / density.sum()
    largest = 1.0 - float(np.mean(share**count)) * 2.0
    length = sqrt(2.0) * exp(lgamma((NUMBERS + 1) / 2) - lgamma(NUMBERS / 2))
    return float(_best_of(count).mean()) / (length * largest)


@lru_cache(maxsize=1)
def _directions() -> NDArray[np.float64]:
    """(64, DIRECTIONS) normal values; the second half mirrors the first."""
    half = np.random.default_rng(SEED).standard_normal((NUMBERS, DIRECTIONS // 2))
    grains = np.rint(half * GRAIN) / GRAIN
    return np.concatenate((grains, -grains), axis=1)


@lru_cache(maxsize=64)
def _best_of(count: int) -> NDArray[np.float64]:
    """The best of `count` independent normals, once for each direction: quantiles of its distribution, shuffled."""
    levels = (np.arange(DIRECTIONS) + 0.5) / DIRECTIONS
    values = np.array([NormalDist().inv_cdf(float(level) ** (1.0 / count)) for level in levels])
    np.random.default_rng(SEED + 1).shuffle(values)
    return values

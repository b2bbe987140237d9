"""How many different things were tried: strategies whose returns go together are one trial, not many.

Leader clustering of return sketches (Hartigan 1975, Clustering Algorithms, ch. 3): each sketch in turn joins the oldest
leader it is alike to, or else becomes a leader; the number of leaders is the effective N. No sketch is merged with one
it is not alike to itself, as chains of neighbours would be, so N is rather too high than too low.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai_brain.evidence.return_sketch import NUMBERS, decoded

ALIKE_CORRELATION = 0.7
"""From here on two are one idea: half of the variance is shared. Unrelated sketches reach it by chance once in 10^10
pairs; of strategies that correlate at 0.9 about one in 10^5 fails to reach it. Between 0.5 and 0.85 the error of a
sketch decides: of such a group some lead for themselves, and N is too high."""

MAX_LEADERS = 32_768
"""Leaders kept to compare with: 8 MiB. What is like none of them counts as an idea of its own and is not kept, so that
cost stays linear; from here on copies of such late ideas are counted again, and N is too high."""

_ROWS, _COLUMNS = 1024, 1024
"""Sketches and leaders compared at once."""
_TILE_ROWS, _TILE_COLUMNS = 32, 128
"""Of one matrix product: so small that OpenBLAS keeps to one thread; two wait for each other on a machine that is busy,
and a product of 1024 x 1024 took three times as long."""


@dataclass(frozen=True, slots=True)
class EffectiveTrials:
    """The clusters of a set of strategies."""

    count: int
    """Effective number of trials: 1 to the number of strategies; 0 of none."""
    labels: NDArray[np.int64]
    """(n,) cluster of each, from 0 to count - 1."""


def effective_trials(sketches: Sequence[bytes | None], *, alike: float = ALIKE_CORRELATION) -> EffectiveTrials:
    """Cluster a set of strategies by how their returns go together.

    Args:
        sketches: Of `return_sketch`; None: not known, then it is like no other.
        alike: Cosine of two sketches from which on they are one idea, in (0, 1). It is one-sided: a strategy and its
            mirror image are two trials. Strategies that share few of their days have a low cosine and stay apart.

    Returns:
        The count does not depend on the order given: leaders are taken in the order of the sketches' bytes. Labels are
        numbered in that order.

    Raises:
        ValueError: a sketch has the wrong length, or `alike` is out of its range.
    """
    order = sorted(range(len(sketches)), key=lambda index: sketches[index] or b"")
    leaders = Leaders(alike=alike)
    labels = np.empty(len(sketches), dtype=np.int64)
    labels[order] = leaders.add([sketches[index] for index in order])
    return EffectiveTrials(leaders.count, labels)


class Leaders:
    """Clustering that goes on: what is added later is compared with leaders alone; the count never falls.

    The order of adding matters a little: which of two neighbours leads. Adding in one call or in many does not.
    Sketches are integers and their products exact, so every machine finds the same. It keeps leaders only: at most
    9 MiB, and 12 MiB while it works, however many are added.

    Args:
        alike: Correlation of daily returns from which on two trials are one, above 0 and below 1.
        max_leaders: Most that are kept.

    Raises:
        ValueError: `alike` is no such correlation.
    """

    def __init__(self, *, alike: float = ALIKE_CORRELATION, max_leaders: int = MAX_LEADERS) -> None:
        if not 0.0 < alike < 1.0:
            raise ValueError(f"effective trials: alike={alike}: a correlation above 0 and below 1")
        self._alike = np.float32(alike)
        self._max_leaders = max_leaders
        self._count = 0
        self._still: int | None = None
        self._vectors = np.empty((0, NUMBERS), dtype=np.float32)
        self._norms = np.empty(0, dtype=np.float32)
        self._names = np.empty(0, dtype=np.int64)
        self._kept = 0

    @property
    def count(self) -> int:
        """Clusters so far."""
        return self._count

    def add(self, sketches: Sequence[bytes | None]) -> NDArray[np.int64]:
        """Take more strategies in, in this order.

        Returns:
            (n,) the cluster of each, numbered from 0 in the order in which clusters began.

        Raises:
            ValueError: a sketch has the wrong length; nothing was taken in.
        """
        values = decoded([sketch for sketch in sketches if sketch is not None])["values"]
        known = np.array([sketch is not None for sketch in sketches], dtype=bool)
        place = np.cumsum(known) - 1
        labels = np.empty(len(sketches), dtype=np.int64)
        for first in range(0, len(sketches), _ROWS):
            rows = slice(first, min(first + _ROWS, len(sketches)))
            vectors = np.zeros((rows.stop - first, NUMBERS), dtype=np.float32)
            vectors[known[rows]] = values[place[rows][known[rows]]]
            labels[rows] = self._add_rows(vectors, known[rows])
        return labels

    def _add_rows(self, vectors: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.int64]:
        norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        labels = self._oldest_alike(vectors, norms)
        left = np.flatnonzero(labels < 0)
        alike = self._are_alike(vectors[left], norms[left], vectors[left], norms[left])
        began = np.zeros(len(left), dtype=bool)  # which of those left have become leaders
        for number, row in enumerate(left):
            if known[row] and norms[row] == 0.0:
                labels[row] = self._label_of_still()
            elif norms[row] > 0.0 and (near := alike[number] & began).any():
                labels[row] = labels[left[int(np.argmax(near))]]
            else:
                labels[row] = self._new_label()
                began[number] = norms[row] > 0.0 and self._kept + int(began.sum()) < self._max_leaders
        self._keep(vectors[left[began]], norms[left[began]], labels[left[began]])
        return labels

    def _oldest_alike(self, vectors: NDArray[np.float32], norms: NDArray[np.float32]) -> NDArray[np.int64]:
        """The cluster of the oldest leader that each row is alike to; -1: none, or a sketch of zeros."""
        labels, pending = np.full(len(vectors), -1, dtype=np.int64), np.flatnonzero(norms > 0.0)
        for first in range(0, self._kept, _COLUMNS):
            if len(pending) == 0:
                break
            block = slice(first, min(first + _COLUMNS, self._kept))
            alike = self._are_alike(vectors[pending], norms[pending], self._vectors[block], self._norms[block])
            oldest = alike.argmax(axis=1)
            is_found = alike[np.arange(len(pending)), oldest]
            labels[pending[is_found]] = self._names[first + oldest[is_found]]
            pending = pending[~is_found]
        return labels

    def _are_alike(
        self,
        rows: NDArray[np.float32],
        row_norms: NDArray[np.float32],
        columns: NDArray[np.float32],
        column_norms: NDArray[np.float32],
    ) -> NDArray[np.bool_]:
        """Whether cosines reach the limit: (rows, columns). Products of int8 add up below 2^24, exact in float32."""
        alike = np.empty((len(rows), len(columns)), dtype=bool)
        limits = row_norms * self._alike
        tiles = np.zeros((-(-len(rows) // _TILE_ROWS), _TILE_ROWS, NUMBERS), dtype=np.float32)
        tiles.reshape(-1, NUMBERS)[: len(rows)] = rows
        for first in range(0, len(columns), _TILE_COLUMNS):
            part = slice(first, first + _TILE_COLUMNS)
            products = (tiles @ columns[part].T).reshape(tiles.shape[0] * _TILE_ROWS, -1)[: len(rows)]
            np.greater_equal(products, np.multiply.outer(limits, column_norms[part]), out=alike[:, part])
        return alike

    def _label_of_still(self) -> int:
        """The one cluster of all that never moved."""
        if self._still is None:
            self._still = self._new_label()
        return self._still

    def _new_label(self) -> int:
        self._count += 1
        return self._count - 1

    def _keep(self, vectors: NDArray[np.float32], norms: NDArray[np.float32], names: NDArray[np.int64]) -> None:
        """Remember leaders, in room that doubles."""
        kept = self._kept + len(vectors)
        if kept > len(self._vectors):
            room = max(_COLUMNS, 2 * len(self._vectors), kept)
            for name, shape in (("_vectors", (room, NUMBERS)), ("_norms", (room,)), ("_names", (room,))):
                old = getattr(self, name)
                grown = np.empty(shape, dtype=old.dtype)
                grown[: self._kept] = old[: self._kept]
                setattr(self, name, grown)
        new = slice(self._kept, kept)
        self._vectors[new], self._norms[new], self._names[new] = vectors, norms, names
        self._kept = kept

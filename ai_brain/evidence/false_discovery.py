"""How strictly the next candidate is tested, so that of all that ever pass at most a share q is worthless.

Candidates come one after the other, without end, and each is decided before the next is known. A procedure starts with
a wealth `w0`, spends a level on every test and earns when it rejects ("rejects": the null, that the candidate is
worthless; so a rejection is a discovery). Both read p-values in the order they came and never change an earlier answer.

* `lord_plus_plus`: the level depends on the places of the earlier rejections only. The one that is kept on record, by
  `candidate_stream`.
* `saffron`: also looks at how many p-values are at or below 0.5, and does not pay for those.

What is proved for both: FDR <= q at every place if the p-values of the worthless are no smaller than uniform and
independent of all others; E[false rejections] / E[rejections] <= q already if each is no smaller than uniform given
everything before it. Nothing is proved of either for p-values that share their data. Measured there (docs/evidence.md),
SAFFRON goes above q and LORD++ stays far below: that is why LORD++ was chosen, though SAFFRON finds more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, fsum, log, sqrt

LORD_GAMMA = 0.07720838
"""Javanmard & Montanari (2018), eq. 31. With it the sequence sums to 0.976; 0.0722, the figure in Ramdas et al. (2017),
gives 0.913 and spends that much less."""
SAFFRON_GAMMA = 0.4374901658
"""1 / zeta(1.6), cut so that the sequence sums to no more than 1."""
CANDIDATE_P = 0.5
"""SAFFRON's lambda: at or below it a p-value is a candidate and costs nothing; a level never exceeds it."""


@dataclass(frozen=True, slots=True)
class StreamDecisions:
    """What a procedure said to a stream of p-values."""

    levels: tuple[float, ...]
    """The level each was tested at, one a p-value."""
    rejected: tuple[bool, ...]
    """p <= level."""
    next_level: float
    """What the next one, not yet known, will be tested at."""


def lord_plus_plus(
    p_values: Sequence[float],
    *,
    q: float,
    w0: float | None = None,
    spending: Callable[[int], float] | None = None,
) -> StreamDecisions:
    """LORD++ over a stream.

    Args:
        p_values: In the order they were tested, each 0 to 1.
        q: The false-discovery rate not to exceed, between 0 and 1.
        w0: Starting wealth, as in `lord_level`.
        spending: As in `lord_level`.

    Raises:
        ValueError: q or w0 out of range, or a p-value is none; names its index.

    Source:
        Ramdas, Yang, Wainwright & Jordan (2017), Online control of the false discovery rate with decaying memory, NIPS.
    """
    levels: list[float] = []
    rejections: list[int] = []
    for place, p_value in enumerate(p_values, 1):
        _require_p_value(p_value, place - 1)
        levels.append(lord_level(place, rejections, q=q, w0=w0, spending=spending))
        if p_value <= levels[-1]:
            rejections.append(place)
    places = set(rejections)
    return StreamDecisions(
        levels=tuple(levels),
        rejected=tuple(place in places for place in range(1, len(levels) + 1)),
        next_level=lord_level(len(levels) + 1, rejections, q=q, w0=w0, spending=spending),
    )


def lord_level(
    place: int,
    rejections: Sequence[int],
    *,
    q: float,
    w0: float | None = None,
    spending: Callable[[int], float] | None = None,
) -> float:
    """The level LORD++ gives to one place of the stream, from the earlier rejections alone.

    Args:
        place: 1 for the first candidate.
        rejections: Places before it at which the null was rejected, ascending.
        q: The false-discovery rate not to exceed, between 0 and 1.
        w0: Starting wealth, above 0 and at most q; all levels before the first rejection sum to at most w0, and that
            rejection earns q - w0, each later one q. None: q / 10, as in the R package onlineFDR.
        spending: Share of a wealth spent j tests after it was earned, falling, in all at most 1; the procedure holds
            for any such sequence. None: the published one, made for streams of thousands.

    Raises:
        ValueError: a place, q or w0 out of range.
    """
    spent = lord_spending if spending is None else spending
    wealth = _checked_wealth(q, w0, default_share=0.1)
    if place < 1 or any(not 0 < earlier < place for earlier in rejections):
        raise ValueError(f"LORD++: place={place} after rejections at {list(rejections)}: places count up from 1")
    terms = [wealth * spent(place)]
    for number, earlier in enumerate(rejections):
        terms.append((q - wealth if number == 0 else q) * spent(place - earlier))
    return fsum(terms)  # rounded once, so that one more rejection can never lower a level by its last bit


def saffron(p_values: Sequence[float], *, q: float, w0: float | None = None) -> StreamDecisions:
    """SAFFRON over a stream, with lambda 0.5.

    Args:
        p_values: In the order they were tested, each 0 to 1.
        q: The false-discovery rate not to exceed, between 0 and 1.
        w0: Starting wealth, above 0 and at most q. None: q / 2, as in the R package onlineFDR.

    Raises:
        ValueError: q or w0 out of range, or a p-value is none; names its index.

    Source:
        Ramdas, Zrnic, Wainwright & Jordan (2018), SAFFRON: an adaptive algorithm for online control of the false
        discovery rate, ICML, algorithm 1.
    """
    wealth = _checked_wealth(q, w0, default_share=0.5)
    levels: list[float] = []
    rejected: list[bool] = []
    paid_since = [0]  # [0]: p-values above lambda so far; [j]: those after the j-th rejection
    for index, p_value in enumerate(p_values):
        _require_p_value(p_value, index)
        levels.append(_saffron_level(paid_since, q, wealth))
        rejected.append(p_value <= levels[-1])
        if p_value > CANDIDATE_P:
            paid_since = [paid + 1 for paid in paid_since]
        if rejected[-1]:
            paid_since.append(0)
    return StreamDecisions(tuple(levels), tuple(rejected), _saffron_level(paid_since, q, wealth))


def _saffron_level(paid_since: Sequence[int], q: float, wealth: float) -> float:
    # The paper's index t - tau_j - C_j+, tests since less candidates since, is one more than the tests paid for since.
    earned = [wealth, q - wealth]
    terms = [(earned[j] if j < 2 else q) * early_spending(paid + 1) for j, paid in enumerate(paid_since)]
    return min(CANDIDATE_P, (1.0 - CANDIDATE_P) * fsum(terms))


def lord_spending(j: int) -> float:
    """Javanmard & Montanari (2018), eq. 31: 6 % at once, and still something at the thousandth."""
    return LORD_GAMMA * log(max(j, 2)) / (j * exp(sqrt(log(j))))


def early_spending(j: int) -> float:
    """Proportional to j^-1.6, as in SAFFRON: 44 % at once; more than the published sequence for the first hundred."""
    return float(SAFFRON_GAMMA * j**-1.6)


def _checked_wealth(q: float, w0: float | None, *, default_share: float) -> float:
    if not 0.0 < q < 1.0:
        raise ValueError(f"false discovery: q={q}: a rate between 0 and 1")
    wealth = q * default_share if w0 is None else w0
    if not 0.0 < wealth <= q:
        raise ValueError(f"false discovery: w0={w0} with q={q}: the starting wealth is above 0 and at most q")
    return wealth


def _require_p_value(p_value: float, index: int) -> None:
    if not 0.0 <= p_value <= 1.0:
        raise ValueError(f"false discovery: p_values[{index}]={p_value}: a p-value lies between 0 and 1")

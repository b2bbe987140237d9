"""A share counted on campaigns, with what chance leaves open."""

from __future__ import annotations

from math import exp, fsum, lgamma, log, log1p


def share_interval(count: int, of: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a share.

    Args:
        count: Hits, 0 to `of`.
        of: Trials, >= 1.
        confidence: That the true share lies inside, at least.

    Raises:
        ValueError: no such count.

    Source:
        Clopper & Pearson (1934), Biometrika 26(4).
    """
    if not 0 <= count <= of or of < 1 or not 0.0 < confidence < 1.0:
        raise ValueError(f"share: {count} of {of} at {confidence}: give 0 <= count <= of and a confidence below 1")
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if count == 0 else 1.0 - _share_at(of - count, of, tail)
    return low, 1.0 if count == of else _share_at(count, of, tail)


def _share_at(count: int, of: int, tail: float) -> float:
    """The share at which `count` hits or fewer have the probability `tail`; bisected to the last bit."""
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2.0) < high:
        if _at_most(count, of, middle) > tail:
            low = middle
        else:
            high = middle
    return high


def _at_most(count: int, of: int, share: float) -> float:
    """P(hits <= count), binomial."""
    ways = (lgamma(of + 1) - lgamma(k + 1) - lgamma(of - k + 1) for k in range(count + 1))
    logs = (way + k * log(share) + (of - k) * log1p(-share) for k, way in enumerate(ways))
    return min(1.0, fsum(exp(value) for value in logs))

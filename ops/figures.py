"""Numbers as a person reads them, one way in every message: no sign before a zero, and no `nan`."""

from __future__ import annotations

from math import isfinite

NOT_KNOWN = "not known"
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400


def figure(value: float, spec: str) -> str:
    """A number in a format of Python; what rounds to zero has no sign, what is no number is not known."""
    if not isfinite(value):
        return NOT_KNOWN
    text = format(float(value), spec)
    return text if any(digit in text for digit in "123456789") else text.lstrip("+-")


def paid(fees_quote: float) -> str:
    """Fees as what they did to the account: `-0.4321`; a rebate is `+0.2500`, none is `0.0000`."""
    return figure(-fees_quote, "+,.4f")


def each_on_average(low: float, high: float) -> str:
    """What a trade or settlement brings, as the interval of its mean: never told without its n."""
    return f"each on average {figure(low, '+.4%')} to {figure(high, '+.4%')} (95 %)"


def age(seconds: float) -> str:
    """How long ago, in the largest unit that fits: `40 s`, `12 min`, `5 h`, `3 d`."""
    if seconds < 2 * MINUTE_S:
        return f"{max(0.0, seconds):.0f} s"
    if seconds < 2 * HOUR_S:
        return f"{seconds // MINUTE_S:.0f} min"
    return f"{seconds // HOUR_S:.0f} h" if seconds < 2 * DAY_S else f"{seconds // DAY_S:.0f} d"


def size(of_bytes: float) -> str:
    """Bytes in the largest unit that says them: `0.3 kB`, `2.4 MB`, `1.0 GB`; none is `0`."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if of_bytes >= unit:
            return f"{of_bytes / unit:,.1f} {name}"
    return f"{of_bytes / 1e3:,.1f} kB" if of_bytes else "0"


class Figure(float):
    """A number that words take in as `figure` writes it."""

    def __format__(self, spec: str) -> str:
        return figure(float(self), spec)

"""What a live carry was paid at each settlement, against what the recorded rate, mark and position make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate

from ops.pictures.style import BLUE, FAINT, INK, ORANGE, RED, SIZE, date_axis, dress, figure, png
from trading.domain.clock import as_datetime

MARGIN = timedelta(hours=8)
"""Left and right of the settlements, so that a single one has an axis."""


@dataclass(frozen=True, slots=True)
class Payment:
    """One settlement; quote, received is positive."""

    at_ms: int
    paid_quote: float
    expected_quote: float | None
    """-position × mark × rate; None: the settlement is not in the store of recorded markets."""


def carry_chart(payments: Sequence[Payment], *, is_synthetic: bool) -> bytes:
    """Both sums over time, and the difference at each settlement below.

    Raises:
        ValueError: no payment.
    """
    if not payments:
        raise ValueError("carry_chart: no settlement yet: there is nothing to draw")
    made = figure(7.2)
    top, bottom = made.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    moments = [as_datetime(one.at_ms) for one in payments]
    paid = list(accumulate(one.paid_quote for one in payments))
    top.plot(moments, paid, color=BLUE, linewidth=2.6, marker="o", label=f"paid by the exchange, {paid[-1]:+,.4f}")
    known = [one for one in payments if one.expected_quote is not None]
    if known:
        sums = list(accumulate(one.expected_quote or 0.0 for one in known))
        label = f"expected: position × mark × rate, {sums[-1]:+,.4f}"
        if len(known) < len(payments):
            label += f"\n(of the {len(known)} on record; paid for these {sum(one.paid_quote for one in known):+,.4f})"
        when = [as_datetime(one.at_ms) for one in known]
        top.plot(when, sums, color=ORANGE, linewidth=2.2, linestyle="--", marker="x", label=label)
        off = [one.paid_quote - (one.expected_quote or 0.0) for one in known]
        bottom.axhline(0.0, color=FAINT, linewidth=1)
        bottom.stem(when, off, linefmt=RED, markerfmt="D", basefmt=" ")
        widest = max(map(abs, off))
        bottom.set_ylim(-max(widest * 1.3, 1e-4), max(widest * 1.3, 1e-4))
    else:
        bottom.set_yticks([])
        bottom.text(0.5, 0.5, "nothing to compare with", transform=bottom.transAxes, ha="center", fontsize=SIZE)
    top.set_xlim(moments[0] - MARGIN, moments[-1] + MARGIN)
    top.set_ylabel("funding, USDT", fontsize=SIZE)
    bottom.set_ylabel("paid less\nexpected", fontsize=SIZE)
    for axes in (top, bottom):
        dress(axes)
    date_axis(bottom)
    made.suptitle(_title(payments, known), x=0.02, ha="left", fontsize=SIZE + 2, color=INK)
    made.legend(*top.get_legend_handles_labels(), loc="outside lower left", frameon=False, fontsize=SIZE - 1)
    return png(made, is_synthetic=is_synthetic)


def _title(payments: Sequence[Payment], known: Sequence[Payment]) -> str:
    n = f"{len(payments)} settlement{'s' if len(payments) > 1 else ''}"
    unknown = len(payments) - len(known)
    return f"Carry, live: {n}" + (f"; of {unknown} the rate or mark is not on record" if unknown else "")

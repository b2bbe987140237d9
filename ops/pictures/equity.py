"""Equity over time, and how far each account is below its own highest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ops.pictures.style import INK, LINES, SIZE, date_axis, dress, figure, png
from trading.domain.clock import as_datetime


def equity_chart(
    times_ms: Sequence[int],
    series: Mapping[str, Sequence[float]],
    *,
    title: str,
    is_synthetic: bool,
    unit: str = "equity, USDT",
) -> bytes:
    """Equity over time as PNG bytes, one line a series, drawn down from its own peak below.

    Args:
        times_ms: (n,) UTC milliseconds.
        series: Name to (n,) equity; nan where the account did not exist.
        title: Above the chart.
        is_synthetic: Stamps the picture.
        unit: Of the upper axis.

    Raises:
        ValueError: a series has another length than the times.
    """
    made = figure(7.2)
    top, bottom = made.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    moments = [as_datetime(ms) for ms in times_ms]
    for number, (name, values) in enumerate(series.items()):
        if len(values) != len(moments):
            raise ValueError(f"equity_chart: {name} has {len(values)} values for {len(moments)} times")
        color, dash = LINES[number % len(LINES)]
        top.plot(moments, values, label=name, linewidth=2.2, color=color, linestyle=dash)
        bottom.plot(moments, drawdown_pct(values), linewidth=1.8, color=color, linestyle=dash)
    made.suptitle(title, x=0.02, ha="left", fontsize=SIZE + 2, color=INK)
    top.set_ylabel(unit, fontsize=SIZE)
    top.ticklabel_format(axis="y", useOffset=False)
    bottom.set_ylabel("below its\nhighest, %", fontsize=SIZE)
    for axes in (top, bottom):
        dress(axes)
    date_axis(bottom)
    if len(series) > 1:
        made.legend(
            *top.get_legend_handles_labels(), loc="outside lower left", ncols=2, frameon=False, fontsize=SIZE - 2
        )
    return png(made, is_synthetic=is_synthetic)


def drawdown_pct(values: Sequence[float]) -> list[float]:
    """Percent below the highest so far, of values above zero; nan where there is none."""
    peak, falls = float("-inf"), []
    for value in values:
        peak = max(peak, value) if value == value else peak
        falls.append((value / peak - 1.0) * 100.0 if value == value and peak > 0 else float("nan"))
    return falls

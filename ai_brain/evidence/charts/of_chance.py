"""Charts of what chance can do: the best of as many worthless ideas, and how often a good one would be seen."""

from __future__ import annotations

from math import isfinite, sqrt
from typing import TYPE_CHECKING

import numpy as np

from ai_brain.evidence.charts.chart import Chart, LeftOut
from ai_brain.evidence.charts.inline_svg import Paint, inline_svg
from ai_brain.evidence.charts.numbers import (
    Floats,
    best_of_density,
    best_of_quantile,
    best_of_reaches,
    chance_of_passing,
    unrelated,
)
from ai_brain.evidence.expected_maximum_sharpe import expected_maximum_sharpe
from ai_brain.evidence.power import provable_sharpe
from ai_brain.evidence.verdict import Power, Statistics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 301
EDGE = 1e-5
"""Share of the null distribution cut off on each side."""
ALIKE = 0.95
"""Ideas that count for less than this part of their number are said to go together."""
MOST_SHARPE = 5.0
"""Right end of the power chart, a year."""


def null_chart(s: Statistics, *, bars_per_year: float) -> Chart | LeftOut:
    """What the best of as many worthless ideas would show, and this one beside it."""
    if not s.trial_sharpe_variance > 0.0:
        return LeftOut("Luck alone", f"The variance of the ideas is {s.trial_sharpe_variance:g}.")
    year = sqrt(bars_per_year)
    scale, own, hurdle = sqrt(s.trial_sharpe_variance) * year, s.sharpe_bar * year, s.hurdle_sharpe_bar * year
    count = float(s.trials) if s.expected_maximum is None else unrelated(s.expected_maximum)
    low, high = (best_of_quantile(share, trials=count, scale=scale) for share in (EDGE, 1.0 - EDGE))
    room = 0.05 * (max(high, own) - min(low, own))
    values = np.linspace(min(low, own - room), max(high, own + room), POINTS)
    density = best_of_density(values, trials=count, scale=scale)
    reach = best_of_reaches(own, trials=count, scale=scale)

    def draw(axes: Axes) -> None:
        top = float(density.max())
        axes.fill_between(values, density, 0.0, color=Paint.BAND, alpha=0.35, linewidth=0)
        axes.plot(values, density, color=Paint.BAND, linewidth=1.3)
        _mark(axes, hurdle, 1.24 * top, f"hurdle {hurdle:.2f}", Paint.MARK, dashed=True, left=hurdle < own)
        _mark(axes, own, 1.24 * top, f"this one {own:.2f}", Paint.MAIN, dashed=False, left=hurdle >= own)
        axes.set_ylim(0.0, 1.3 * top)
        axes.set_yticks([])
        axes.set_xlabel("Sharpe a year")
        axes.set_ylabel("density")

    words = (
        f"The best of {s.trials:,} worthless ideas is expected at a Sharpe of {hurdle:.2f} a year; this one has "
        f"{own:.2f}, which {reach:.1%} of such bests reach."
    )
    alike = f", which go together as {count:,.0f} unrelated ones do," if count < ALIKE * s.trials else ""
    caption = (
        f"Annual Sharpe ratio of the best of N = {s.trials:,} worthless ideas{alike} on n = {s.bars:,} bars (normal, "
        f"standard deviation {scale:.2f}): {reach:.1%} of such bests reach what this one has."
    )
    return Chart("Luck alone", inline_svg("luck", words, draw), caption)


def power_chart(power: Power, *, bars_per_year: float) -> Chart | LeftOut:
    """How often a strategy of that worth would pass."""
    title, year = "Power", sqrt(bars_per_year)
    best = power.expected_maximum
    if best is None:
        best = expected_maximum_sharpe(power.trials)
    hurdle = best * sqrt(power.trial_sharpe_variance)
    needed = provable_sharpe(power.bars, hurdle=hurdle, confidence=power.confidence)
    if not isfinite(needed):
        return LeftOut(title, f"With {power.bars:,} bars no Sharpe ratio reaches the threshold.")
    true = np.linspace(0.0, MOST_SHARPE, POINTS)
    lines: list[tuple[str, str, Floats]]
    lines = [("deflated Sharpe", "-", 100.0 * chance_of_passing(true / year, needed_bar=needed, bars=power.bars))]
    if power.vault_bars is not None and power.vault_level:
        alone = provable_sharpe(power.vault_bars, hurdle=0.0, confidence=1.0 - power.vault_level)
        if isfinite(alone):
            chance = 100.0 * chance_of_passing(true / year, needed_bar=alone, bars=power.vault_bars)
            lines.append(("vault", "--", chance))

    def draw(axes: Axes) -> None:
        axes.axhline(50.0, color=Paint.MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
        for (name, dashes, chance), paint in zip(lines, (Paint.MAIN, Paint.MARK), strict=False):
            axes.plot(true, chance, color=paint, linewidth=1.8, linestyle=dashes, label=name)
        axes.set_xlim(0.0, MOST_SHARPE)
        axes.set_ylim(0.0, 101.0)
        axes.set_xlabel("true Sharpe a year")
        axes.set_ylabel("% that pass")
        if len(lines) > 1:
            axes.legend(loc="lower right", frameon=False, labelcolor=Paint.MUTED)

    half = needed * year
    at = ", ".join(f"{s:g}: {np.interp(s, true, lines[0][2]):.0f} %" for s in (1, 2, 3, 4, 5))
    words = f"Chance of passing the deflated Sharpe ratio at a true Sharpe of {at}; half of them at {half:.2f}."
    vault = f"; dashed, that the vault's {power.vault_bars:,} bars confirm it" if len(lines) > 1 else ""
    caption = (
        f"Chance in per cent that a strategy of that true Sharpe ratio a year reaches a deflated Sharpe of "
        f"{power.confidence:.2f} on n = {power.bars:,} bars after N = {power.trials:,} ideas, one half at "
        f"{half:.2f}{vault}."
    )
    return Chart(title, inline_svg("power", words, draw), caption)


def _mark(axes: Axes, at: float, height: float, name: str, paint: Paint, *, dashed: bool, left: bool) -> None:
    """An upright line with its name beside it."""
    axes.plot([at, at], [0.0, height], color=paint, linewidth=2.0, linestyle=(0, (4, 3)) if dashed else "solid")
    axes.annotate(
        name,
        (at, height),
        (-5 if left else 5, 0),
        textcoords="offset points",
        color=Paint.INK,
        ha="right" if left else "left",
        va="top",
        size=10,
    )

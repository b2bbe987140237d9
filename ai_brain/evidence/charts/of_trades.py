"""Charts of the judged trades: where the money went, and when they were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ai_brain.evidence.charts.chart import Chart
from ai_brain.evidence.charts.inline_svg import Paint, inline_svg
from ai_brain.evidence.charts.numbers import cost_split, months_of
from ai_brain.evidence.run import LEFT_OPEN, TradeLine

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENDS = ("gross", "net")
"""Bars of the cost split that begin at 0."""
TICKS = 6
"""Most months that are named under a chart."""


def cost_chart(trades: Sequence[TradeLine]) -> Chart:
    """From the gross result to the net one, step by step.

    Args:
        trades: At least one.
    """
    bars = cost_split(trades).steps

    def draw(axes: Axes) -> None:
        for place, (name, begin, amount) in enumerate(bars):
            step = Paint.GAIN if amount >= 0.0 else Paint.LOSS
            axes.barh(place, amount, left=begin, color=Paint.MAIN if name in ENDS else step, height=0.62)
            _write(axes, amount, (begin + amount, place))
        axes.axvline(0.0, color=Paint.MUTED, linewidth=0.8)
        axes.set_yticks(range(len(bars)), [name for name, _, _ in bars])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.use_sticky_edges = False  # else the first bar's end is the chart's, and the amounts lie on the names
        axes.margins(x=0.24)
        axes.set_xlabel("USDT")
        axes.locator_params(axis="x", nbins=5)

    told = ", ".join(f"{name} {amount:+,.2f}" for name, _, amount in bars)
    words = f"From gross to net, USDT: {told}."
    caption = (
        f"What the prices brought and what fees, slippage and funding made of it, in USDT, n = {len(trades):,} judged "
        "trades; each stretch in an account of its own."
    )
    return Chart("Cost split", inline_svg("costs", words, draw, height_in=2.6), caption)


def months_chart(trades: Sequence[TradeLine]) -> Chart:
    """Trades a month, those that earned apart from those that did not.

    Args:
        trades: At least one.
    """
    months = months_of(trades)
    earned, lost = [m.earned for m in months], [m.lost for m in months]
    from matplotlib.ticker import MaxNLocator

    most = max(months, key=lambda month: month.earned + month.lost)

    def draw(axes: Axes) -> None:
        _stack(axes, earned, lost)
        every = -(-len(months) // TICKS)
        axes.set_xticks(range(len(months))[::every], [month.name for month in months][::every])
        axes.set_xlim(-0.6, len(months) - 0.4)
        axes.grid(visible=False, axis="x")
        axes.set_ylabel("trades")
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))

    left = sum(trade.reason == LEFT_OPEN for trade in trades)
    words = (
        f"{len(trades)} trades in {len(months)} months, {sum(earned)} earned; most in {most.name}, "
        f"{most.earned + most.lost}."
    )
    caption = (
        f"Judged trades by the UTC month they began in, n = {len(trades):,} in {len(months)} months"
        + (f" ({left} left open at the end of a stretch)" if left else "")
        + f", of which {sum(earned):,} earned after costs."
    )
    return Chart("Trades a month", inline_svg("months", words, draw, height_in=2.6), caption)


def _write(axes: Axes, amount: float, at: tuple[float, float]) -> None:
    """An amount beside the end of its bar, on the side it goes to."""
    is_right = amount >= 0.0
    axes.annotate(
        f"{amount:+,.2f}",
        at,
        (5 if is_right else -5, 0),
        textcoords="offset points",
        ha="left" if is_right else "right",
        va="center",
        color=Paint.INK,
        size=10,
    )


def _stack(axes: Axes, earned: Sequence[int], lost: Sequence[int]) -> None:
    """The lost ones hatched, on the earned ones."""
    places = range(len(earned))
    axes.bar(places, earned, color=Paint.GAIN, width=0.8, label="earned")
    axes.bar(
        places, lost, bottom=earned, color=Paint.LOSS, width=0.8, label="lost", hatch="////", edgecolor=Paint.PAPER,
        linewidth=0,
    )  # fmt: skip
    axes.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, labelcolor=Paint.MUTED, borderpad=0.1
    )

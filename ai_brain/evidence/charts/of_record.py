"""Charts of the record over time: equity with what chance alone could have made of it, drawdown, rolling Sharpe."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ai_brain.evidence.charts.chart import Chart
from ai_brain.evidence.charts.inline_svg import Paint, calendar, inline_svg
from ai_brain.evidence.charts.numbers import (
    BAND,
    DRAWS,
    EquityBand,
    Floats,
    drawdown,
    equity_band,
    extremes,
    rolling_bars,
    rolling_sharpe,
)
from ai_brain.evidence.curve import Curve
from ai_brain.evidence.verdict import SEARCH, VAULT, WALK_FORWARD
from trading.domain.clock import iso
from trading.domain.market import INTERVAL_MS, YEAR_MS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABEL_SHARE = 0.13
"""A stretch that takes less of the width gets no name of its own on the chart."""
SHADES = {SEARCH: Paint.SEARCH, VAULT: Paint.VAULT}


@dataclass(frozen=True)
class Record:
    """A curve and what is needed to read it."""

    curve: Curve
    interval: str
    """`1h`."""
    starting_quote: float
    seed: int
    """Of the band."""

    @cached_property
    def returns(self) -> Floats:
        """(n,) per bar."""
        return self.curve.returns(self.starting_quote)

    @property
    def interval_ms(self) -> int:
        """Of a bar."""
        return INTERVAL_MS[self.interval]

    @property
    def closes(self) -> NDArray[np.datetime64]:
        """(n,) UTC close of each bar."""
        return _moments(self.curve.open_time_ms + self.interval_ms)

    @property
    def told(self) -> str:
        """How much of it there is."""
        return f"n = {len(self.curve):,} bars of {self.interval}"


def equity_chart(record: Record) -> Chart:
    """Equity, the stretches it was made on, and its bootstrap band."""
    equity, start = record.curve.equity, record.starting_quote
    band = equity_band(record.returns, starting_quote=start, seed=record.seed)
    rows = extremes(equity)

    def draw(axes: Axes) -> None:
        _shade(axes, record, named=True)
        if band is not None:
            at = record.closes[band.row]
            axes.fill_between(at, band.low, band.high, color=Paint.BAND, alpha=0.28, linewidth=0)
        axes.axhline(start, color=Paint.MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
        axes.plot(record.closes[rows], equity[rows], color=Paint.MAIN, linewidth=1.4)
        axes.set_ylabel("USDT")
        axes.yaxis.set_major_formatter("{x:,.0f}")

    end, last = float(equity[-1]), iso(int(record.curve.open_time_ms[-1]) + record.interval_ms)
    words = (
        f"Equity from {start:,.0f} to {end:,.0f} USDT on {last}, between {equity.min():,.0f} and {equity.max():,.0f}. "
        + ("" if band is None else f"The band ends between {band.low[-1]:,.0f} and {band.high[-1]:,.0f} USDT.")
    )
    caption = (
        f"Equity in USDT at each close, all costs in it, {record.told}, {_band_told(band)}; shaded are the stretches, "
        "purged bars are left bare."
    )
    return Chart("Equity", inline_svg("equity", words, draw, height_in=3.4), caption)


def drawdown_chart(record: Record) -> Chart:
    """How far below its peak it was."""
    falls = 100.0 * drawdown(record.curve.equity, starting_quote=record.starting_quote)
    worst, rows = int(falls.argmin()), extremes(falls)

    def draw(axes: Axes) -> None:
        _shade(axes, record, named=False)
        axes.fill_between(record.closes[rows], falls[rows], 0.0, color=Paint.LOSS, alpha=0.35, linewidth=0)
        axes.plot(record.closes[rows], falls[rows], color=Paint.LOSS, linewidth=0.9)
        axes.set_ylabel("% from peak")
        axes.set_ylim(top=0.0)

    when = iso(int(record.curve.open_time_ms[worst]) + record.interval_ms)
    words = f"Deepest {-falls[worst]:.2f} % below the highest equity before, on {when}; at the end {-falls[-1]:.2f} %."
    caption = f"Equity in per cent below its highest close so far, {record.told}; the deepest is {-falls[worst]:.2f} %."
    return Chart("Drawdown", inline_svg("drawdown", words, draw), caption)


def rolling_chart(record: Record) -> Chart:
    """Whether it earned all along or once."""
    per_year = YEAR_MS / record.interval_ms
    window = rolling_bars(len(record.curve), record.interval_ms)
    rows, values = rolling_sharpe(record.returns, window=window, bars_per_year=per_year)
    below = float((values < 0.0).mean())

    def draw(axes: Axes) -> None:
        _shade(axes, record, named=False)
        axes.axhline(0.0, color=Paint.MUTED, linewidth=0.8)
        axes.plot(record.closes[rows], values, color=Paint.MAIN, linewidth=1.2)
        axes.set_ylabel("Sharpe a year")

    days = window * record.interval_ms / 86_400_000
    words = f"Between {values.min():.2f} and {values.max():.2f}, at the end {values[-1]:.2f}; below 0 in {below:.0%}."
    caption = (
        f"Annual Sharpe ratio of the {days:.3g} days ({window:,} bars) up to each moment, n = {len(rows)} windows over "
        f"{len(record.curve):,} bars; below 0 in {below:.0%} of them."
    )
    return Chart("Rolling Sharpe", inline_svg("rolling", words, draw), caption)


def _band_told(band: EquityBand | None) -> str:
    if band is None:
        return "too few for a band"
    share = BAND[1] - BAND[0]
    return (
        f"and the band that holds {share:.0%} of {DRAWS:,} resamplings of its own returns (stationary bootstrap, mean "
        f"block {band.block_bars:,.3g} bars)"
    )


def _shade(axes: Axes, record: Record, *, named: bool) -> None:
    """The stretches behind the curve, and their names where there is room."""
    curve, step = record.curve, record.interval_ms
    first, whole = int(curve.open_time_ms[0]), int(curve.open_time_ms[-1]) + step - int(curve.open_time_ms[0])
    groups = dict[str, tuple[int, int]]()
    for number, span in enumerate(curve.spans):
        begin, end = int(curve.open_time_ms[span.first]), int(curve.open_time_ms[span.stop - 1]) + step
        paint = SHADES.get(span.name, (Paint.ODD, Paint.EVEN)[number % 2])
        axes.axvspan(*_moments(np.array([begin, end])), color=paint, linewidth=0)
        kind = WALK_FORWARD if span.name.startswith(WALK_FORWARD) else span.name
        groups[kind] = groups.get(kind, (begin, end))[0], end
    for kind, (begin, end) in groups.items() if named else ():
        if (end - begin) / whole >= LABEL_SHARE:
            place = ((begin + end) / 2 - first) / whole
            axes.text(place, 1.01, kind, transform=axes.transAxes, ha="center", va="bottom", color=Paint.MUTED, size=10)
    calendar(axes)
    axes.set_xlim(*_moments(np.array([first, first + whole])))


def _moments(ms: NDArray[np.int64]) -> NDArray[np.datetime64]:
    return ms.astype("datetime64[ms]")

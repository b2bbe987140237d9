"""A view as text, for people who live in a terminal: the same blocks, words and signs as on the page."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from ops.dashboard.view import (
    SIGNS,
    Block,
    Cell,
    Chart,
    Facts,
    Figures,
    Line,
    Meters,
    Table,
    Tone,
    View,
)

STYLES = {
    Tone.PLAIN: "",
    Tone.GOOD: "bright_blue",
    Tone.CAUTION: "yellow",
    Tone.BAD: "bold red",
    Tone.QUIET: "dim",
    Tone.MONEY: "magenta",
}
BARS = "▁▂▃▄▅▆▇█"
BAR_CELLS = 20
SPARK_CELLS = 72
LEAST_CELLS = 10
"""Of a column of words, however narrow the terminal is."""
ROWS_SHOWN = 40
"""Of a table; the page has more, and a filter."""


def view_text(view: View) -> RenderableType:
    """The whole view, as long as it is."""
    banners = [_signed(banner.text, banner.tone, always=True) for banner in view.banners]
    return Group(Text(view.title, style="bold"), *banners, *(part for block in view.blocks for part in _block(block)))


def _block(block: Block) -> Sequence[RenderableType]:
    match block:
        case Figures():
            grid = Grid.grid(padding=(0, 3), expand=False)
            for _ in block.figures:
                grid.add_column()
            grid.add_row(*(Text(figure.label, style="dim") for figure in block.figures))
            grid.add_row(*(Text(figure.value, style=f"bold {STYLES[figure.tone]}") for figure in block.figures))
            grid.add_row(*(Text(figure.beside, style="dim") for figure in block.figures))
            return (Padding(grid, (1, 0, 0, 0)),)
        case Facts():
            grid = Grid.grid(padding=(0, 2))
            for name, cell in block.rows:
                grid.add_row(Text(name, style="dim"), _cell(cell))
            return _titled(block.title, grid, block.note)
        case Table():
            return _titled(block.title, _table(block), block.note if block.rows else "")
        case Meters():
            return _titled(block.title, _meters(block), block.note)
        case Chart():
            return _titled(block.title, _chart(block), block.note if block.times_ms else "")
        case _:
            return ()  # a filter, and where a page leads to: a terminal has neither


def _titled(title: str, inner: RenderableType, note: str) -> Sequence[RenderableType]:
    told = [Text(note, style="dim")] if note else []
    return (Padding(Text(title, style="bold underline"), (1, 0, 0, 0)), inner, *told)


def _signed(text: str, tone: Tone, *, always: bool) -> Text:
    sign = f"{SIGNS[tone]} " if always and SIGNS[tone] else ""
    return Text(f"{sign}{text}", style=STYLES[tone])


def _cell(cell: Cell) -> Text:
    return _signed(cell.text, cell.tone, always=cell.signed)


def _table(table: Table) -> RenderableType:
    if not table.rows:
        return Text(table.empty, style="dim")
    grid = Grid(box=None, pad_edge=False, header_style="dim")
    for column in table.columns:
        whole = column.is_number or column.is_whole
        least = None if whole else LEAST_CELLS
        grid.add_column(column.name, justify="right" if column.is_number else "left", no_wrap=whole, min_width=least)
    for row in table.rows[:ROWS_SHOWN]:
        grid.add_row(*map(_cell, row))
    if len(table.rows) <= ROWS_SHOWN:
        return grid
    return Group(grid, Text(f"… and {len(table.rows) - ROWS_SHOWN} more", style="dim"))


def _meters(meters: Meters) -> RenderableType:
    if not meters.meters:
        return Text(meters.empty, style="dim")
    grid = Grid.grid(padding=(0, 2))
    for meter in meters.meters:
        full = round(BAR_CELLS * max(0.0, min(1.0, meter.share or 0.0)))
        bar = Text("█" * full + "░" * (BAR_CELLS - full) if meter.share is not None else "", style=STYLES[meter.tone])
        grid.add_row(_signed(meter.name, meter.tone, always=True), bar, Text(meter.told), Text(meter.note, style="dim"))
    return grid


def _chart(chart: Chart) -> RenderableType:
    if not chart.times_ms:
        return Text(chart.empty, style="dim")
    grid = Grid.grid(padding=(0, 2))
    for line in chart.lines:
        known = [value for value in line.values if value is not None]
        ends = f"{min(known):,.2f} to {max(known):,.2f}, now {known[-1]:,.2f} {chart.unit}" if known else "nothing"
        grid.add_row(Text(line.name, style="dim"), Text(spark(line)), Text(ends))
    return grid


def spark(line: Line) -> str:
    """A line of bars, oldest first: each the last value of its share of the times; a gap where nothing was."""
    known = [value for value in line.values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    cells = min(SPARK_CELLS, len(line.values))
    told = []
    for cell in range(cells):
        part = line.values[cell * len(line.values) // cells : (cell + 1) * len(line.values) // cells]
        last = next((value for value in reversed(part) if value is not None), None)
        step = 0 if last is None or high == low else round((last - low) / (high - low) * (len(BARS) - 1))
        told.append(" " if last is None else BARS[step])
    return "".join(told)

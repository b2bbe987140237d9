"""A view as text, for people who live in a terminal: the same blocks, words and signs as on the page.

What a page leads to can be chosen here too: a line of a table, and where a long list goes on. A table that is wider
than the terminal is told row by row, with the column's name before each cell, so that nothing is cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
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
    Filter,
    Leads,
    Line,
    Meters,
    Table,
    Tone,
    View,
    in_one_step,
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
LEAST_CELLS = 16
"""Of a column of words; where a table has less room than that for one, it is told row by row."""
GAP = 2
"""Between two columns, or two cells of a row that is told by itself."""
CHOSEN = "reverse"
"""How the line looks that Enter opens."""
ROWS_SHOWN = 40
"""Of a table; the page has more, and a filter."""


def view_text(view: View, *, chosen: str = "") -> RenderableType:
    """The whole view, as long as it is; `chosen`: the link whose line is marked."""
    banners = [_signed(banner.text, banner.tone, always=True) for banner in view.banners]
    parts = (part for block in view.blocks for part in _block(block, chosen))
    return Group(Text(view.title, style="bold"), *banners, *parts)


def links(view: View) -> tuple[str, ...]:
    """Where the lines of a view lead, from its top."""
    found = dict[str, None]()
    for block in view.blocks:
        if isinstance(block, Table):
            found |= dict.fromkeys(link for row in block.rows[:ROWS_SHOWN] if (link := _link(row)))
        elif isinstance(block, Leads):
            found |= dict.fromkeys(cell.link for cell in block.links)
    return tuple(found)


def _link(row: Sequence[Cell]) -> str:
    """Where a row leads: of its cells, the first that leads anywhere."""
    return next((cell.link for cell in row if cell.link), "")


def _block(block: Block, chosen: str) -> Sequence[RenderableType]:
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
            return _titled(block.title, _table(block, chosen), block.note if block.rows else "")
        case Meters():
            return _titled(block.title, _meters(block), block.note if block.meters else "")
        case Chart():
            return _titled(block.title, _chart(block), block.note if block.times_ms else "")
        case Filter():
            words = [f"{choice.label}: {choice.value}" for choice in block.choices if choice.value]
            return _titled(block.title, Text("; ".join(words)), "") if words else ()
        case Leads():
            return [_marked(Text(f"→ {cell.text}"), is_chosen=cell.link == chosen) for cell in block.links]


def _titled(title: str, inner: RenderableType, note: str) -> Sequence[RenderableType]:
    told = [Text(note, style="dim")] if note else []
    return (Padding(Text(title, style="bold underline"), (1, 0, 0, 0)), inner, *told)


def _signed(text: str, tone: Tone, *, always: bool) -> Text:
    sign = f"{SIGNS[tone]} " if always and SIGNS[tone] else ""
    return Text(f"{sign}{text}", style=STYLES[tone])


def _cell(cell: Cell) -> Text:
    return _signed(cell.text, cell.tone, always=cell.signed)


def _marked(text: Text, *, is_chosen: bool) -> Text:
    return Text.assemble((text.plain, CHOSEN)) if is_chosen else text


def _table(table: Table, chosen: str) -> RenderableType:
    if not table.rows:
        return Text(table.empty, style="dim")
    if len(table.rows) <= ROWS_SHOWN:
        return _Rows(table, chosen)
    return Group(_Rows(table, chosen), Text(f"… and {len(table.rows) - ROWS_SHOWN} more", style="dim"))


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a table: in columns where there is room for them, and else each by itself."""

    table: Table
    chosen: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What the terminal's width allows."""
        rows = [self._cells(row) for row in self.table.rows[:ROWS_SHOWN]]
        if self._needs(rows) <= options.max_width:
            yield self._grid(rows)
        else:
            for row in rows:
                yield from self._by_itself(row, options.max_width)

    def _cells(self, row: Sequence[Cell]) -> list[Text]:
        is_chosen = bool(self.chosen) and _link(row) == self.chosen
        return [_marked(_cell(row[0]), is_chosen=is_chosen), *map(_cell, row[1:])]

    def _needs(self, rows: Sequence[Sequence[Text]]) -> int:
        """Cells of the narrowest terminal in which no cell that stays whole is cut."""
        needed = GAP * len(self.table.columns)
        for n, column in enumerate(self.table.columns):
            longest = max(cell_len(column.name), *(row[n].cell_len for row in rows))
            needed += longest if column.is_number or column.is_whole else min(longest, LEAST_CELLS)
        return needed

    def _grid(self, rows: Sequence[Sequence[Text]]) -> Grid:
        grid = Grid(box=None, pad_edge=False, header_style="dim", padding=(0, GAP, 0, 0))
        for column in self.table.columns:
            whole = column.is_number or column.is_whole
            grid.add_column(
                column.name, justify="right" if column.is_number else "left", no_wrap=whole, overflow="fold"
            )
        for row in rows:
            grid.add_row(*row)
        return grid

    def _by_itself(self, row: Sequence[Text], width: int) -> Iterator[RenderableType]:
        """The row's name; what stays whole, as many as fit on a line; and words beneath."""
        yield Text.assemble(row[0], style="bold")
        line = Text()
        for column, cell in zip(self.table.columns[1:], row[1:], strict=True):
            told = Text.assemble((f"{column.name} ", "dim"), cell)
            if not cell.plain:
                continue
            is_whole = column.is_number or column.is_whole
            if line and (not is_whole or line.cell_len + GAP + told.cell_len > width - GAP):
                yield Padding(line, (0, 0, 0, GAP))
                line = Text()
            if is_whole:
                line = Text.assemble(line, " " * GAP if line else "", told)
            else:
                yield Padding(told, (0, 0, 0, GAP))
        if line:
            yield Padding(line, (0, 0, 0, GAP))


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
    told: list[Text] = []
    for line in chart.lines:
        known = [value for value in line.values if value is not None]
        low, high, now = in_one_step((min(known), max(known), known[-1])) if known else ("", "", "")
        ends = f"{low} to {high}, now {now} {chart.unit}" if known else "nothing"
        told += [Text.assemble((f"{line.name}  ", "dim"), ends), Text(spark(line))]
    return Group(*told)


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

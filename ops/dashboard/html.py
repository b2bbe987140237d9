"""A view as HTML: every word escaped, no style and no script in it but the numbers of its charts as data.

The order of the blocks is the order in which they are read aloud; where they stand beside each other is the sheet's. On
a narrow screen the sheet makes a card of each row, with the column's name before each cell.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from ops.dashboard.view import (
    SIGNS,
    Banner,
    Block,
    Cell,
    Chart,
    Column,
    Facts,
    Figure,
    Figures,
    Filter,
    Leads,
    Meter,
    Meters,
    Table,
    Tone,
    View,
    in_one_step,
)

NARROW_COLUMNS = 3
"""A table with more columns takes the whole width."""


def view_html(view: View) -> str:
    """What stands in the page's `main`."""
    banners = "".join(map(_banner, view.banners))
    parts = [f"<h1>{escape(view.title)}</h1>", f'<div class="banners">{banners}</div>']
    parts += ['<div class="blocks">', *(block_html(block, f"b{n}") for n, block in enumerate(view.blocks)), "</div>"]
    return "\n".join(part for part in parts if part)


def block_html(block: Block, name: str) -> str:
    """One block; `name` is its own on the page."""
    match block:
        case Figures():
            return f'<section class="figures wide">{"".join(map(_figure, block.figures))}</section>'
        case Facts():
            return _section(block.title, name, _facts(block), note=block.note)
        case Table():
            wide = len(block.columns) > NARROW_COLUMNS
            note = block.note if block.rows else ""
            return _section(block.title, name, _table(block, name), note=note, wide=wide)
        case Meters():
            return _section(block.title, name, _meters(block), note=block.note if block.meters else "")
        case Chart():
            note = block.note if block.times_ms else ""
            return _section(block.title, name, _chart(block, name), note=note, wide=True)
        case Filter():
            return _section(block.title, name, _filter(block), wide=True)
        case Leads():
            return f'<nav class="leads wide" aria-label="Further">{"".join(map(_lead, block.links))}</nav>'


def _section(title: str, name: str, inner: str, *, note: str = "", wide: bool = False) -> str:
    told = f'<p class="note">{escape(note)}</p>' if note else ""
    kind = "card wide" if wide else "card"
    return (
        f'<section class="{kind}" aria-labelledby="{name}"><h2 id="{name}">{escape(title)}</h2>{inner}{told}</section>'
    )


def _banner(banner: Banner) -> str:
    return f'<p class="banner {banner.tone}">{_sign(banner.tone)}{escape(banner.text)}</p>'


def _sign(tone: Tone) -> str:
    return f'<span class="sign" aria-hidden="true">{SIGNS[tone]}</span> ' if SIGNS[tone] else ""


def _figure(figure: Figure) -> str:
    beside = f'<span class="beside">{escape(figure.beside)}</span>' if figure.beside else ""
    return (
        f'<div class="figure"><span class="label">{escape(figure.label)}</span>'
        f'<span class="value {figure.tone}">{escape(figure.value)}</span>{beside}</div>'
    )


def _facts(facts: Facts) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{cell_html(cell)}</dd>" for name, cell in facts.rows)
    return f"<dl>{rows}</dl>"


def _table(table: Table, name: str) -> str:
    if not table.rows:
        return f'<p class="empty">{escape(table.empty)}</p>'
    head = "".join(f'<th scope="col"{_aligned(column)}>{escape(column.name)}</th>' for column in table.columns)
    rows = "".join(f"<tr>{_row(table.columns, row)}</tr>" for row in table.rows)
    wide = len(table.columns) > NARROW_COLUMNS
    scrolls = f' role="region" tabindex="0" aria-labelledby="{name}"' if wide else ""
    is_typed = any(cell.is_command for row in table.rows for cell in row)
    cards = " cards" if wide or is_typed or any(column.is_whole for column in table.columns) else ""
    return (
        f'<div class="scroll{cards}"{scrolls}><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _row(columns: Sequence[Column], row: Sequence[Cell]) -> str:
    cells = [f'<th scope="row"{_aligned(columns[0])}>{cell_html(row[0])}</th>']
    cells += [
        f'<td data-label="{escape(column.name)}"{_aligned(column)}>{cell_html(cell)}</td>'
        for column, cell in zip(columns[1:], row[1:], strict=True)
    ]
    return "".join(cells)


def _aligned(column: Column) -> str:
    return ' class="n"' if column.is_number else ' class="w"' if column.is_whole else ""


def cell_html(cell: Cell) -> str:
    """A cell's words, with its sign, its tone, and where it leads."""
    words = escape(cell.text)
    if cell.is_command:
        words = f"<code>{words}</code>"
    if cell.link:
        words = f'<a href="{escape(quote(cell.link, safe="/?=&:%"))}">{words}</a>'
    sign = _sign(cell.tone) if cell.signed else ""
    return words if cell.tone is Tone.PLAIN else f'<span class="{cell.tone}">{sign}{words}</span>'


def _meters(meters: Meters) -> str:
    if not meters.meters:
        return f'<p class="empty">{escape(meters.empty)}</p>'
    return f'<ul class="meters">{"".join(map(_meter, meters.meters))}</ul>'


def _meter(meter: Meter) -> str:
    sign = _sign(meter.tone) if meter.tone is not Tone.PLAIN else ""
    words = f'<span class="name">{sign}{escape(meter.name)}</span><span class="told">{escape(meter.told)}</span>'
    note = f'<span class="note">{escape(meter.note)}</span>' if meter.note else ""
    if meter.share is None:
        return f"<li>{words}{note}</li>"
    width = max(0.0, min(1.0, meter.share)) * 100
    bar = (
        f'<svg class="bar {meter.tone}" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="all" width="100" height="4"/><rect class="part" width="{width:.2f}" height="4"/></svg>'
    )
    return f"<li>{words}{bar}{note}</li>"


def _chart(chart: Chart, name: str) -> str:
    if not chart.times_ms:
        return f'<p class="empty">{escape(chart.empty)}</p>'
    ends = "; ".join(_ends(line.name, [v for v in line.values if v is not None], chart.unit) for line in chart.lines)
    return (
        f'<div class="chart" data-chart="{name}" data-unit="{escape(chart.unit)}" '
        f'data-source="{escape(chart.source)}" role="img" aria-label="{escape(chart.title)}: {escape(ends)}"></div>'
        f'<script type="application/json" id="{name}-data">{chart_json(chart)}</script>'
        f'<p class="note ends">{escape(ends)}</p>'
    )


def _ends(name: str, values: Sequence[float], unit: str) -> str:
    if not values:
        return f"{name}: nothing in this stretch"
    first, last, low, high = in_one_step((values[0], values[-1], min(values), max(values)))
    return f"{name}: {first} to {last} {unit}, lowest {low}, highest {high}"


def chart_json(chart: Chart) -> str:
    """The numbers of a chart: seconds, then one list a line; safe between the tags of a script."""
    data = {
        "x": [at_ms / 1000 for at_ms in chart.times_ms],
        "lines": [{"name": line.name, "y": line.values} for line in chart.lines],
        "note": chart.note,
    }
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _filter(block: Filter) -> str:
    fields = []
    for choice in block.choices:
        if choice.options:
            options = "".join(_option(option, choice.value) for option in ("", *choice.options))
            field = f'<select name="{escape(choice.name)}">{options}</select>'
        else:
            field = f'<input name="{escape(choice.name)}" value="{escape(choice.value)}" maxlength="80">'
        fields.append(f"<label>{escape(choice.label)} {field}</label>")
    return f'<form method="get">{"".join(fields)}<button>Show</button></form>'


def _option(option: str, chosen: str) -> str:
    selected = " selected" if option == chosen else ""
    return f'<option value="{escape(option)}"{selected}>{escape(option or "any")}</option>'


def _lead(cell: Cell) -> str:
    return f'<a class="button" href="{escape(quote(cell.link, safe="/?=&:%"))}">{escape(cell.text)}</a>'

"""The evidence page as one HTML file: the words of `page.py`, and charts. No script, nothing fetched from anywhere.

Every word is escaped when it is written: the thesis and the name come from a language model. The page also tells the
browser to load and run nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ai_brain.evidence.charts.chart import Chart, LeftOut
from ai_brain.evidence.charts.gallery import gallery
from ai_brain.evidence.curve import Curve
from ai_brain.evidence.page import page_parts
from ai_brain.evidence.page_parts import Bullets, Heading, Paragraph, Part, Said, Table, Title, Tone
from ai_brain.evidence.page_style import STYLE
from ai_brain.evidence.run import TradeLine
from ai_brain.evidence.verdict import Evidence

TALL_COLUMNS = 5
"""A table with more columns scrolls on a phone; others are told row by row."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
CLASSES = {
    Tone.STRONG: "strong",
    Tone.GOOD: "good-said",
    Tone.CAUTION: "caution-said",
    Tone.BAD: "bad",
}


def evidence_html(evidence: Evidence, curve: Curve | None, trades: Sequence[TradeLine]) -> str:
    """The page.

    Args:
        evidence: What was judged.
        curve: Its equity bar by bar; None: it was not kept, and what is drawn from it is left out.
        trades: Of the judged stretches, those left open too.

    Returns:
        A whole document; the same for the same arguments, byte for byte.
    """
    parts = page_parts(evidence)
    headings = [place for place, part in enumerate(parts) if isinstance(part, Heading)]
    top, asked = headings[0], headings[1]
    title = next(part.text for part in parts if isinstance(part, Title))
    return "\n".join(
        (
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            f'<header class="{escape(evidence.verdict.lower())}">',
            *map(_html, parts[:top]),
            "</header>",
            "<main>",
            *map(_html, parts[top:asked]),
            *_charts(gallery(evidence, curve, trades)),
            *map(_html, parts[asked:]),
            "</main>",
            "</body>",
            "</html>",
            "",
        )
    )


def _charts(drawn: Sequence[Chart | LeftOut]) -> list[str]:
    figures = [_figure(chart) for chart in drawn if isinstance(chart, Chart)]
    missing = [f"{chart.title}: not drawn. {chart.why}" for chart in drawn if isinstance(chart, LeftOut)]
    return [
        "<h2>In pictures</h2>",
        *(['<div class="charts">', *figures, "</div>"] if figures else []),
        *([_html(Bullets(tuple(missing)))] if missing else []),
    ]


def _figure(chart: Chart) -> str:
    return (
        f"<figure>\n<h3>{escape(chart.title)}</h3>\n{chart.svg}\n"
        f"<figcaption>{escape(chart.caption)}</figcaption>\n</figure>"
    )


def _html(part: Part) -> str:
    match part:
        case Title(text):
            return f"<h1>{escape(text)}</h1>"
        case Heading(text):
            return f"<h2>{escape(text)}</h2>"
        case Paragraph(words):
            return f"<p>{' '.join(_said(said) for said in words)}</p>"
        case Bullets(items):
            return "<ul>\n" + "\n".join(f"<li>{escape(item)}</li>" for item in items) + "\n</ul>"
        case Table():
            return _table(part)


def _table(part: Table) -> str:
    kind = "tall" if len(part.head) <= TALL_COLUMNS else "wide"
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in part.head)
    rows = "\n".join(f"<tr>{_row(part.head, row)}</tr>" for row in part.rows)
    focus = ' tabindex="0"' if kind == "wide" else ""
    return (
        f'<div class="{kind}"{focus}>\n<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n'
        "</div>"
    )


def _row(head: Sequence[str], row: Sequence[Said]) -> str:
    first, *rest = zip(head, row, strict=True)
    cells = [f'<th scope="row">{_said(first[1])}</th>']
    for name, said in rest:
        label = f' data-head="{escape(name)}"' if name else ""
        cells.append(f"<td{label}>{_said(said)}</td>")
    return "".join(cells)


def _said(said: Said) -> str:
    style = CLASSES.get(said.tone)
    return escape(said.text) if style is None else f'<span class="{style}">{escape(said.text)}</span>'

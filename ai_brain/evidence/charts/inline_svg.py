"""A drawing as SVG to stand in a page: its colours are the page's, its words are text, same drawing, same bytes.

Colours are drawn under numbers of their own and then named by the page's CSS variables, so that one drawing serves
light and dark.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_IN = 5.6
"""Of a chart; small, so that its words can be read on a phone."""
HEIGHT_IN = 3.0
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ai-trading-lab",
    "font.family": ["DejaVu Sans"],
    "font.size": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "axes.formatter.use_mathtext": False,
    "axes.xmargin": 0.01,
    "text.usetex": False,
    "text.parse_math": False,
    "timezone": "UTC",
}


class Paint(StrEnum):
    """Colours by what they are for; each becomes the CSS variable of its name in lower case."""

    INK = "#010101"
    MUTED = "#020202"
    GRID = "#030303"
    SEARCH = "#040404"
    ODD = "#050505"
    EVEN = "#060606"
    VAULT = "#070707"
    MAIN = "#080808"
    BAND = "#090909"
    GAIN = "#0a0a0a"
    LOSS = "#0b0b0b"
    MARK = "#0c0c0c"
    PAPER = "#0d0d0d"


def inline_svg(name: str, alternative: str, draw: Callable[[Axes], None], *, height_in: float = HEIGHT_IN) -> str:
    """One drawing.

    Args:
        name: Of the drawing, unique in its page; letters and hyphens.
        alternative: What it shows, for who does not see it.
        draw: Draws on the axes, in `Paint` only.
        height_in: Inches; the width is `WIDTH_IN`.

    Returns:
        An `<svg>` element as wide as its surroundings. matplotlib's settings are process-wide while it draws: do not
        call it from two threads at once.
    """
    import matplotlib as mpl  # a third of a second, and only a chart needs it
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)  # type: ignore[arg-type]  # its stub lists every key there is
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        figure.patch.set_visible(False)
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        _dress(axes)
        draw(axes)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _as_element(out.getvalue(), name, alternative)


def calendar(axes: Axes) -> None:
    """Few dates under a chart, as short as they can be."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.xaxis.offsetText.set_color(Paint.MUTED)


def _dress(axes: Axes) -> None:
    axes.patch.set_visible(False)
    axes.grid(color=Paint.GRID, linewidth=0.7)
    axes.tick_params(colors=Paint.MUTED, length=3)
    for side in axes.spines.values():
        side.set_color(Paint.MUTED)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(Paint.MUTED)


def _as_element(text: str, name: str, alternative: str) -> str:
    body = text[text.index("<svg") : text.rindex("</svg>")]
    body = body[body.index(">") + 1 :]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r' id="', f' id="{name}-', body)
    body = re.sub(r'xlink:href="#', f'href="#{name}-', body).replace("url(#", f"url(#{name}-")
    body = re.sub(r"font-family: [^;\"]*;? ?|(?<=font: )([0-9.]+px) [^;\"]*(?=[;\"])", r"\1", body)
    body = re.sub(r'(?<= d=")[^"]*', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path.group()), body)
    for paint in Paint:
        body = body.replace(paint.value, f"var(--{paint.name.lower()})")
    view = re.search(r'viewBox="[^"]*"', text)
    box = view.group(0) if view else ""
    body = re.sub(r"\n\s*", "\n", body).strip()
    return f'<svg role="img" aria-label="{html.escape(alternative)}" {box}>{body}</svg>'

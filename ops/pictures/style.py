"""How every picture looks: as wide as a phone shows sharp, large type, light ground, colours that the colour-blind tell
apart (Okabe and Ito) and never the only thing that tells.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PURPLE, SKY, RED = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
INK, FAINT, GROUND = "#1b1f24", "#8a8f98", "#ffffff"
LINES = ((BLUE, "-"), (ORANGE, "--"), (GREEN, "-."), (PURPLE, ":"), (SKY, (0, (6, 1))), (RED, (0, (1, 1))))
"""Colour and dash of one line after another: told apart without the colour too."""
DPI = 120
WIDTH_IN = 9.0
"""1080 pixels."""
SIZE = 15
"""Points of ordinary type."""


def figure(height_in: float) -> Figure:
    """An empty picture, 1080 pixels wide. matplotlib is loaded here: a third of a second that only pictures need."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI, layout="constrained", facecolor=GROUND)
    FigureCanvasAgg(made)
    return made


def dress(axes: Axes) -> None:
    """Grid, type and frame of one pair of axes."""
    axes.grid(alpha=0.25)
    axes.tick_params(labelsize=SIZE - 2, colors=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def date_axis(axes: Axes) -> None:
    """Days below, few and short; UTC."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=6)  # type: ignore[no-untyped-call]  # has no annotations
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]  # as above


def png(made: Figure, *, is_synthetic: bool) -> bytes:
    """The picture's bytes; that its market is made up stands across it."""
    if is_synthetic:
        made.text(
            0.5, 0.5, "SYNTHETIC MARKET", fontsize=42, color=RED, alpha=0.16, ha="center", va="center", rotation=18
        )
    out = io.BytesIO()
    made.savefig(out, format="png")
    return out.getvalue()

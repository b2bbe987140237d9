"""The chart of `docs/performance.md`: `python benchmarks/performance.py FIGURES.json CHART.png`.

FIGURES is what `python benchmarks/simulator.py [--peers]` printed on its last line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

PANELS = (("bars", "1,000 strategies"), ("strategies", "525,600 bars"))
PEERS = ("vectorbt", "backtesting")
STRATEGIES, BARS = 1_000, 525_600


def draw(figures: dict[str, object], path: Path) -> None:
    """Seconds against bars and against strategies, with the machine's limit, and the peers where they were timed."""
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (what, other) in zip(figure.subplots(1, 2, sharey=True), PANELS, strict=True):
        for peer in PEERS:
            if f"{peer}_mbars_s" in figures:
                _peer(axes, figures, peer, what)
        for name, label, style in (("seconds", "the lab", "o-"), ("limit", "limit: four ANDs of packed words", "k--")):
            sizes, seconds = zip(*figures[f"{name}_by_{what}"], strict=True)  # type: ignore[call-overload]  # JSON
            axes.loglog(sizes, seconds, style, label=label)
        axes.set_xlabel(f"{what}, {other}")
        axes.set_title(f"cost grows as {what}^{figures[f'{what}_exponent']}", fontsize=10)
        axes.grid(visible=True, which="both", alpha=0.3)
    figure.axes[0].set_ylabel("seconds, from specs to metrics")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    figure.savefig(path, format="png", dpi=110, metadata={"Software": None})


def _peer(axes: Axes, figures: dict[str, object], peer: str, what: str) -> None:
    """A peer's measured speed, drawn as if its cost grew in proportion."""
    sizes = [size for size, _ in figures[f"seconds_by_{what}"]]  # type: ignore[attr-defined]  # JSON
    per_s = 1e6 * float(figures[f"{peer}_mbars_s"])  # type: ignore[arg-type]  # JSON
    fixed = STRATEGIES if what == "bars" else BARS
    axes.loglog(sizes, [size * fixed / per_s for size in sizes], ":", label=f"{peer}, at its measured speed")


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text().splitlines()[-1]), Path(sys.argv[2]))

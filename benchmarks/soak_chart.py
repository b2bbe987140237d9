"""The picture of a soak: memory, open files and tasks over its life."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.soak_eyes import Sample
from ops.pictures.style import BLUE, GREEN, ORANGE, SIZE, dress, figure, png


def draw_soak(samples: Sequence[Sample], path: Path) -> None:
    """Draw all samples: fast days first, real hours behind them, one beside the other by real minutes."""
    made = figure(7.5)
    upper, lower = made.subplots(2, 1, sharex=True)
    minutes = [(one.real_s - samples[0].real_s) / 60 for one in samples]
    with_helpers = [one.rss_mb + one.helpers_mb for one in samples]
    upper.plot(minutes, with_helpers, color=ORANGE, linewidth=0.5, label="with what works for them now and then")
    upper.plot(minutes, [one.rss_mb for one in samples], color=BLUE, label="service and guardian")
    upper.set_ylim(bottom=0)
    upper.legend(fontsize=SIZE - 3, frameon=False, loc="lower right")
    upper.set_title("Resident memory, MB", loc="left", fontsize=SIZE)
    lower.plot(minutes, [one.files for one in samples], color=ORANGE, label="open files")
    lower.plot(minutes, [one.tasks for one in samples], color=GREEN, linestyle="--", label="threads and tasks")
    lower.set_ylim(bottom=0)
    lower.legend(fontsize=SIZE - 3, frameon=False, loc="lower right")
    lower.set_xlabel("real minutes", fontsize=SIZE - 2)
    began = next((minute for minute, one in zip(minutes, samples, strict=True) if one.is_real), None)
    for axes in (upper, lower):
        dress(axes)
        if began is not None:
            axes.axvline(began, color=GREEN, linewidth=1)
    path.write_bytes(png(made, is_synthetic=True))

"""The one page of an approval: what the gate says, the equity it rests on, the seven conditions, then all it asked."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ai_brain.evidence.curve import Curve
from ai_brain.evidence.seven_conditions import OF_CONDITIONS, Condition, conditions, how_many_hold
from ai_brain.evidence.verdict import Evidence, Finding, Verdict
from ai_brain.paper.performance import PaperPerformance
from ops.pictures.style import BLUE, FAINT, GREEN, INK, ORANGE, RED, SIZE, date_axis, dress, figure, png
from trading.domain.clock import DAY_MS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

TITLES = {
    Verdict.APPROVED: ("Gate passed - waits for you", BLUE),
    Verdict.CAUTION: ("! Gate: CAUTION", ORANGE),
    Verdict.REJECTED: ("✗ Gate: REJECTED", RED),
}
"""What the gate says is no approval: that is the reader's."""
COLORS = {"✓": GREEN, "✗": RED, "!": ORANGE, "–": FAINT}
WRAP, NOTE = 92, 74
"""Signs of a line of text, and of a finding's note."""
HEIGHT_IN = 15.5
ROW = 0.034
"""Of the height of the lowest part."""
NOTHING, LARGE = 1e-6, 1000.0
"""Told as 0, and without decimals."""
SHOWN = 17
"""Findings beside the seven conditions; those that did not pass come first."""


OLD_REMEDY = "; fetch more history."
"""Evidence from before says it of what was enough, too."""


@dataclass(frozen=True, slots=True)
class Case:
    """What stands on the page."""

    evidence: Evidence
    curve: Curve | None
    """None: it was not kept."""
    paper: str
    """Paper trading in words, with n and interval."""
    refutation: str
    shown: PaperPerformance | None = None
    """The same in numbers; None: there is no paper account."""


def verdict_page(case: Case, *, is_synthetic: bool) -> bytes:
    """The page as PNG bytes, upright as a phone is."""
    made = figure(HEIGHT_IN)
    grid = made.add_gridspec(3, 1, height_ratios=(2.7, 3.6, 9.2))
    head, middle, foot = (made.add_subfigure(grid[row]) for row in range(3))
    _head(head, case)
    _equity(middle, case)
    below = _conditions(foot, conditions(case.evidence, case.shown))
    _findings(foot, case.evidence.findings, below)
    return png(made, is_synthetic=is_synthetic)


def _head(part: SubFigure, case: Case) -> None:
    evidence = case.evidence
    title, color = TITLES[evidence.verdict]
    part.text(0.03, 0.86, title, fontsize=SIZE + 9, color=color, weight="bold")
    part.text(0.03, 0.72, evidence.name, fontsize=SIZE + 3, color=INK, weight="bold")
    about = f"{evidence.spec_id} · {evidence.family.replace('_', ' ')} · {evidence.market}"
    part.text(0.03, 0.62, about, fontsize=SIZE - 2, color=FAINT)
    told = [f"Thesis: {evidence.thesis}", f"Paper: {case.paper}", f"Would refute it: {case.refutation or 'not said'}"]
    if evidence.deciding is not None:
        told.insert(0, f"Because of: {str(evidence.deciding).lower().replace('_', ' ')}")
    lines = [line for text in told for line in _wrapped(text, 2)]
    part.text(0.03, 0.55, "\n".join(lines), fontsize=SIZE - 3, color=INK, va="top", linespacing=1.35)


def _equity(part: SubFigure, case: Case) -> None:
    axes = part.subplots()
    dress(axes)
    axes.set_title("Equity after all costs, on every bar it was judged on", loc="left", fontsize=SIZE, color=INK)
    curve = case.curve
    if curve is None:
        axes.text(0.5, 0.5, "its curve was not kept", transform=axes.transAxes, ha="center", fontsize=SIZE, color=FAINT)
        axes.set_axis_off()
        return
    days = curve.open_time_ms / DAY_MS  # what matplotlib's dates are
    step = max(1, len(days) // 2000)
    axes.plot(days[::step], curve.equity[::step], color=BLUE, linewidth=1.8)
    axes.axhline(case.evidence.starting_quote, color=FAINT, linewidth=1, linestyle=":")
    axes.set_ylabel("USDT", fontsize=SIZE - 2)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.xaxis_date()
    date_axis(axes)
    _name_spans(axes, curve, days)


def _name_spans(axes: Axes, curve: Curve, days: NDArray[np.float64]) -> None:
    """Search, judged stretches and vault, shaded in turn and named."""
    kinds: list[tuple[str, int, int]] = []
    for span in curve.spans:
        kind = "judged" if span.name.startswith("walk-forward") else span.name
        if kinds and kinds[-1][0] == kind:
            kinds[-1] = (kind, kinds[-1][1], span.stop)
        else:
            kinds.append((kind, span.first, span.stop))
    for number, (kind, first, stop) in enumerate(kinds):
        start, end = float(days[first]), float(days[stop - 1])
        if number % 2:
            axes.axvspan(start, end, color=FAINT, alpha=0.12, linewidth=0)
        axes.annotate(
            kind,
            (start, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(6, -16),
            textcoords="offset points",
            fontsize=SIZE - 3,
            color=INK,
        )


def _conditions(part: SubFigure, asked: Sequence[Condition]) -> float:
    """The seven under which a human is asked at all; returns where the next line goes."""
    _heading(part, 0.985, f"Its conditions: {how_many_hold(asked)}", "measured | needed")
    for number, one in enumerate(asked):
        y = 0.985 - (number + 1.3) * ROW
        numbers = f"{one.measured} | {one.needed}" if one.needed else one.measured
        _row(part, y, one.sign, one.asks, numbers)
    return 0.985 - (len(asked) + 1.9) * ROW


def _findings(part: SubFigure, findings: Sequence[Finding], top: float) -> None:
    """What else the gate asked, each answer once."""
    others = [finding for finding in findings if finding.reason not in OF_CONDITIONS]
    once = list({(finding.reason, finding.note): finding for finding in others}.values())
    passed = sum(finding.passed for finding in once)
    _heading(part, top, f"What else it was asked: {passed} of {len(once)} answers hold", "measured | limit")
    shown = sorted(once, key=lambda finding: finding.passed)[:SHOWN]
    for number, finding in enumerate(shown):
        sign = "✓" if finding.passed else "✗" if finding.refuses else "!"
        note = finding.note.replace(OLD_REMEDY, ".") if finding.passed else finding.note
        _row(part, top - (number + 1.3) * ROW, sign, note, _numbers(finding))
    if len(once) > SHOWN:
        hidden = sum(not finding.passed for finding in once) - sum(not finding.passed for finding in shown)
        rest = f"and {len(once) - SHOWN} more" + (f", {hidden} of them do not hold" if hidden else " that hold")
        part.text(0.03, top - (SHOWN + 1.3) * ROW, rest, fontsize=SIZE - 3, color=FAINT, va="top")


def _heading(part: SubFigure, y: float, title: str, columns: str) -> None:
    part.text(0.03, y, title, fontsize=SIZE, color=INK, va="top")
    part.text(0.985, y - 0.004, columns, fontsize=SIZE - 4, color=FAINT, va="top", ha="right")


def _row(part: SubFigure, y: float, sign: str, text: str, numbers: str) -> None:
    part.text(0.03, y, sign, fontsize=SIZE - 1, color=COLORS[sign], va="top", weight="bold")
    told = textwrap.shorten(text, NOTE, placeholder=" …")
    part.text(0.065, y, told, fontsize=SIZE - 3, color=INK, va="top")
    part.text(0.985, y, numbers, fontsize=SIZE - 3, color=INK, va="top", ha="right", family="monospace")


def _numbers(finding: Finding) -> str:
    """Both of them; a return as the note tells it."""
    if finding.value is None:
        return ""
    if f"{finding.value:+.3%}" in finding.note:
        return f"{finding.value:+.3%} | {f'{finding.limit:+.3%}' if finding.limit else '0'}"
    return f"{_number(finding.value)} | {_number(finding.limit)}"


def _number(value: float) -> str:
    if abs(value) < NOTHING:
        return "0"
    return f"{value:,.0f}" if abs(value) >= LARGE else f"{value:.4g}"


def _wrapped(text: str, lines: int) -> list[str]:
    return textwrap.wrap(text, WRAP, max_lines=lines, placeholder=" …")

"""Equity over time, from the audit file: every account that a cycle marked, live in one chart, paper in another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import orjson

from ops.dashboard.view import Chart, Line
from trading.domain.clock import LAST_MS
from trading.journal.audit_window import time_of
from trading.storage.home import Home
from trading.storage.long_files import RawLine, Sample, offset_at, sample, size_of

PLACES = 600
"""Points of a chart; more than most screens can tell apart."""
LIVE, PAPER = "live", "paper"
LINES_AT_MOST = 5
"""Paper accounts drawn: those that were marked last."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What accounts were worth at one cycle, quote, by name."""

    at_ms: int
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks of a stretch of the audit file, oldest first."""

    marks: tuple[Mark, ...]
    note: str
    """What was looked at of what there is."""


def read_marks(home: Home, *, start_ms: int | None = None, end_ms: int | None = None) -> Marks:
    """What every account was worth between two moments; None: from the beginning, to the end."""
    path = home.audit_file
    begin = 0 if start_ms is None else offset_at(path, start_ms, time_of)
    end = size_of(path) if end_ms is None else offset_at(path, end_ms, time_of)
    found = sample(path, begin, end, places=PLACES)
    looked = thinned(found)
    marks = tuple(mark for mark in map(_mark, looked) if mark is not None)
    if not found.is_all:
        note = f"{len(looked):,} cycles, evenly from {(end - begin) / 1e6:,.0f} MB; zoom in for what lies between"
    elif len(looked) < len(found.lines):
        note = f"{len(looked):,} of {len(found.lines):,} cycles, evenly; zoom in for what lies between"
    else:
        note = f"every cycle, {len(looked):,}"
    return Marks(marks, note)


def equity_charts(found: Marks) -> tuple[Chart, ...]:
    """One chart of the live account, one of those on paper; of those that were ever marked."""
    return tuple(chart for chart in (equity_chart(found, of) for of in (LIVE, PAPER)) if chart.lines)


def equity_chart(found: Marks, of: str) -> Chart:
    """The live account, or those on paper: without a line where nothing was marked."""
    names = dict.fromkeys(
        name for mark in reversed(found.marks) for name in mark.values if (name == LIVE) == (of == LIVE)
    )
    shown = sorted(list(names)[:LINES_AT_MOST])
    marks = [mark for mark in found.marks if any(name in mark.values for name in shown)]
    lines = tuple(Line(name, tuple(mark.values.get(name) for mark in marks)) for name in shown)
    note = found.note
    if len(names) > len(shown):
        note += f"; {len(names) - len(shown)} older paper accounts are not drawn"
    title = "Equity, live" if of == LIVE else "Equity on paper"
    return Chart(title, "USDT", tuple(mark.at_ms for mark in marks), lines, source=f"/series/equity?of={of}", note=note)


def thinned(found: Sample) -> Sequence[RawLine]:
    """At most about `PLACES` of them, the newest among them; what was sampled is so few already."""
    step = max(1, -(-len(found.lines) // PLACES)) if found.is_all else 1
    return found.lines[::-1][::step][::-1]


def _mark(line: RawLine) -> Mark | None:
    """None: a line that makes no sense, or that marked nothing."""
    try:
        told = orjson.loads(line.raw)
        live = told["equity"].get("equity_quote")
        values = {} if live is None else {LIVE: float(live)}
        values |= {mark["strategy_id"]: float(mark["equity_quote"]) for mark in told["signals"]}
        at_ms = int(told["at_ms"])
        makes_sense = 0 <= at_ms <= LAST_MS and all(map(isfinite, values.values()))
        return Mark(at_ms, values) if values and makes_sense else None
    except (ValueError, OverflowError, KeyError, TypeError, AttributeError):
        return None

"""A benchmark that times nothing whole says nothing: it must go on working when what it times changes."""

from __future__ import annotations

from pathlib import Path

from benchmarks.evidence_verdict import verdict_figures
from benchmarks.streams import figures as stream_figures
from benchmarks.streams_server import Load


def test_the_verdict_that_is_timed_goes_through_the_whole_gate(tmp_path: Path) -> None:
    figures = verdict_figures(tmp_path / "no recorded data")
    assert figures["verdict_looks"] >= 10  # type: ignore[operator]  # a count
    assert figures["verdict_tape"] == "made of synthetic BTCUSDT 1h"


def test_the_streams_that_are_measured_break_and_lose_nothing() -> None:
    load = Load(symbols=20, messages_s=400, seconds=1.0, disconnects=2, minute_s=0.25, silent_after_share=0.99)
    found = stream_figures(load)
    assert found["stream_disconnects"] == 2
    assert (found["stream_lost"], found["stream_holes"], found["stream_minutes_missing"]) == (0, 0, 0)
    assert found["stream_closed_bars"] >= 40  # type: ignore[operator]  # a count
    assert found["recording_lost"] == 0

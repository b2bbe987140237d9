"""A benchmark that times nothing whole says nothing: it must go on working when what it times changes."""

from __future__ import annotations

from pathlib import Path

from benchmarks.evidence_verdict import verdict_figures


def test_the_verdict_that_is_timed_goes_through_the_whole_gate(tmp_path: Path) -> None:
    figures = verdict_figures(tmp_path / "no recorded data")
    assert figures["verdict_looks"] >= 10  # type: ignore[operator]  # a count
    assert figures["verdict_tape"] == "made of synthetic BTCUSDT 1h"

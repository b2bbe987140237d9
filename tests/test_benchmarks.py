"""A benchmark that times nothing whole says nothing: it must go on working when what it times changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.evidence_verdict import verdict_figures
from benchmarks.soak_eyes import Sample
from benchmarks.soak_figures import Soak
from benchmarks.soak_figures import figures as soak_figures
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


def test_memory_that_a_soak_loses_slowly_is_told_by_the_hour_and_the_first_hour_is_not_counted() -> None:
    def looked(hour: float, rss_mb: float) -> Sample:
        return Sample(hour * 3600, hour * 3.6e6, True, rss_mb, 0.0, 20, 10)

    warming = [looked(hour / 10, 300.0 + 10 * hour) for hour in range(10)]
    leaking = [looked(1 + hour / 10, 400.0 + 0.4 * hour) for hour in range(20)]
    found = soak_figures(Soak(real_hours=3.0, samples=warming + leaking))
    assert found["real_rss_mb_per_hour"] == pytest.approx(4.0)
    assert (found["rss_start_mb"], found["rss_end_mb"]) == (400.2, 407.4)
    assert soak_figures(Soak(samples=[looked(0, 300.0)]))["real_rss_mb_per_hour"] is None

"""What a soak comes to: everything that was noted, and the figures that are printed of it."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.soak_eyes import Sample

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
WARM_DAYS, WARM_HOURS = 1.0, 1.0
"""Of fast days and of real hours, before which memory is not counted."""


@dataclass(slots=True)
class Soak:
    """What became of it."""

    faults: int = 0
    struck: int = 0
    lab_days: float = 0.0
    real_hours: float = 0.0
    unhandled: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    reports: Counter[int] = field(default_factory=Counter)
    """How often the report of each full hour, lab ms, arrived."""
    due: list[int] = field(default_factory=list)
    """Full hours, lab ms, of which a report was due."""
    disk_mb: dict[str, float] = field(default_factory=dict)
    """By folder of the home, at the end."""
    lag_p99_ms: float | None = None
    idle_cpu_share: float | None = None
    helpers_cpu_share: float | None = None


def figures(soak: Soak) -> dict[str, object]:
    """What is printed."""
    real = [one for one in soak.samples if one.is_real]
    fast = [one for one in soak.samples if not one.is_real]
    warm_fast = [one for one in fast if one.lab_ms - fast[0].lab_ms >= WARM_DAYS * DAY_MS] or fast
    warm_real = [one for one in real if one.real_s - real[0].real_s >= WARM_HOURS * 3600] or real
    return {
        "lab_days": round(soak.lab_days, 2),
        "real_hours": round(soak.real_hours, 2),
        "faults": soak.faults,
        "faults_struck": soak.struck,
        "unhandled": len(soak.unhandled),
        "reports_due": len(soak.due),
        "reports_sent": sum(1 for hour in soak.due if soak.reports[hour]),
        "reports_twice": sum(1 for count in soak.reports.values() if count > 1),
        **_growth(warm_fast or warm_real),
        **({f"real_{name}": value for name, value in _growth(warm_real).items()} if fast and real else {}),
        "real_rss_mb_per_hour": _mb_per_hour(warm_real),
        "helpers_peak_mb": round(max(one.helpers_mb for one in soak.samples), 1),
        "loop_lag_p99_ms": soak.lag_p99_ms,
        "idle_cpu_share": soak.idle_cpu_share,
        "helpers_cpu_share": soak.helpers_cpu_share,
        "disk_mb": soak.disk_mb,
        "failures": soak.unhandled + [f"no report of {hour}" for hour in soak.due if not soak.reports[hour]][:20],
    }


def _growth(samples: Sequence[Sample]) -> dict[str, float]:
    """Medians of the first and the last tenth."""
    tenth = max(1, len(samples) // 10)
    first, last = samples[:tenth], samples[-tenth:]
    rss, rss_end = (statistics.median(one.rss_mb for one in part) for part in (first, last))
    files, files_end = (statistics.median(one.files for one in part) for part in (first, last))
    tasks, tasks_end = (statistics.median(one.tasks for one in part) for part in (first, last))
    return {
        "rss_start_mb": round(rss, 1),
        "rss_end_mb": round(rss_end, 1),
        "rss_growth_pct": round((rss_end / rss - 1) * 100, 1),
        "open_files_growth": files_end - files,
        "tasks_growth": tasks_end - tasks,
    }


def _mb_per_hour(samples: Sequence[Sample]) -> float | None:
    """The least-squares slope of memory: what more hours than were played would add. None of less than two looks."""
    if len(samples) < 2:
        return None
    hours = [one.real_s / 3600 for one in samples]
    return round(statistics.linear_regression(hours, [one.rss_mb for one in samples]).slope, 2)

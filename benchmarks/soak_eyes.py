"""What a soak sees of the processes it watches: /proc, and the service's own metrics."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ops.resident import resident_bytes

TICKS_S = os.sysconf("SC_CLK_TCK")
_BUCKET = re.compile(r'lab_event_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)')
_TASKS = re.compile(r"^lab_tasks (\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at all processes together."""

    real_s: float
    lab_ms: float
    is_real: bool
    """At normal speed."""
    rss_mb: float
    helpers_mb: float
    """Of the processes that they started for a piece of work and that are at it now."""
    files: int
    """Open descriptors."""
    tasks: int
    """Threads of all, and the service's own tasks on its loop where it told them."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process that is watched."""

    popen: subprocess.Popen[bytes]

    @property
    def _folder(self) -> Path:
        return Path(f"/proc/{self.popen.pid}")

    def rss_mb(self) -> float:
        """Resident memory."""
        return _rss_mb(self.popen.pid)

    def helpers_mb(self) -> float:
        """Resident memory of its children together."""
        return sum(_rss_mb(int(pid)) for task in (self._folder / "task").iterdir() for pid in _children(task))

    def files(self) -> int:
        """Open descriptors."""
        return sum(1 for _ in (self._folder / "fd").iterdir())

    def threads(self) -> int:
        """Threads."""
        return sum(1 for _ in (self._folder / "task").iterdir())

    def cpu_s(self) -> float:
        """Processor seconds so far, its children's not among them."""
        return self._ticks(11) / TICKS_S

    def helpers_cpu_s(self) -> float:
        """Processor seconds of the children that have ended."""
        return self._ticks(13) / TICKS_S

    def _ticks(self, first: int) -> int:
        """Of user and system, which stand side by side."""
        words = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return int(words[first]) + int(words[first + 1])


def _rss_mb(pid: int) -> float:
    return (resident_bytes(pid) or 0) / 1e6  # nothing: it ended between two looks


def _children(task: Path) -> list[str]:
    try:
        return (task / "children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):  # the thread ended between two looks
        return []


def sample(processes: Iterable[Process], lab_ms: float, metrics: Callable[[], str], *, is_real: bool) -> Sample:
    """Look at all of them now."""
    found = list(processes)
    tasks = sum(process.threads() for process in found)
    told = _TASKS.search(metrics())
    return Sample(
        time.monotonic(),
        lab_ms,
        is_real,
        sum(process.rss_mb() for process in found),
        sum(process.helpers_mb() for process in found),
        sum(process.files() for process in found),
        tasks + (int(float(told[1])) if told else 0),
    )


def lag_p99_ms(before: str, after: str) -> float | None:
    """The upper edge of the bucket in which the 99th percentile of the loop's lag lies, between two looks, ms."""
    earlier = dict(_BUCKET.findall(before))
    counts = [(float(edge), float(count) - float(earlier.get(edge, 0.0))) for edge, count in _BUCKET.findall(after)]
    if not counts or counts[-1][1] <= 0:
        return None
    return next(edge for edge, count in counts if count >= 0.99 * counts[-1][1]) * 1000

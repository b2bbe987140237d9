"""What a process takes of the memory, as the kernel tells it; see proc_pid_statm(5), proc_pid_status(5)."""

from __future__ import annotations

import os
from pathlib import Path


def resident_bytes(pid: int) -> int | None:
    """Resident memory of a process; None: it does not live."""
    try:
        words = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
        return int(words[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def peak_rss_mb(pid: int | str = "self") -> float:
    """Highest resident memory of a process so far, MB of 1,000,000 bytes; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    line = next((line for line in status.splitlines() if line.startswith("VmHWM")), "VmHWM: 0 kB")
    return int(line.split()[1]) * 1024 / 1e6

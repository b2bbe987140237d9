"""How old a file is."""

from __future__ import annotations

from pathlib import Path

from trading.domain.clock import Clock


def file_age_s(path: Path, clock: Clock) -> float | None:
    """Real seconds since it was written, its stamp and now both by the system's clock; None: there is none."""
    try:
        return max(0.0, clock.system_ms() / 1000.0 - path.stat().st_mtime)
    except OSError:
        return None

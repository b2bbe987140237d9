"""What the person who starts the demo chose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The flags of `./lab demo`."""

    tape: Path | None
    """Folder of recorded files; None: download, else synthesise."""
    days: int
    symbol: str
    speed: float
    """Lab seconds per real second between the hours."""
    keep: bool
    json_file: Path | None
    picture: Path | None
    seed: int
    archive: str | None
    """Base URL of a mirror of Binance's public archive; None: the archive itself."""

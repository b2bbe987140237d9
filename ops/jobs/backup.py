"""Sunday: the weekly summary, and one archive of all that is needed to begin again."""

from __future__ import annotations

import asyncio
import tarfile
from pathlib import Path

from ops import reports
from ops.gather import gather
from ops.lab import Lab
from trading.domain.clock import iso
from trading.domain.errors import StateFileError
from trading.storage.home import Home

KEPT = 8
"""Archives; older ones are removed."""
PARTS = (".env", "lab.yaml", "strategies", "state", "logs")


async def weekly(lab: Lab) -> None:
    """Back up, then tell."""
    archive = await asyncio.to_thread(back_up, lab.home, iso(lab.clock.now_ms())[:10])
    text = reports.summary(gather(lab), title="Weekly summary") + f"\nBackup: backups/{archive.name}"
    lab.messenger.tell("summary", text)


def back_up(home: Home, day: str) -> Path:
    """Write `backups/lab-DAY.tar.gz` of a home, readable by its owner only.

    Raises:
        StateFileError: it cannot be written.
    """
    folder = home.root / "backups"
    archive, temporary = folder / f"lab-{day}.tar.gz", folder / f".lab-{day}.tmp"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with tarfile.open(temporary, "w:gz") as tar:
            for part in PARTS:
                if (home.root / part).exists():
                    tar.add(home.root / part, arcname=part)
        temporary.chmod(0o600)
        temporary.replace(archive)
        for old in sorted(folder.glob("lab-*.tar.gz"))[:-KEPT]:
            old.unlink()
    except OSError as error:
        raise StateFileError(f"{archive}: cannot be written: {error.strerror}; check space and permissions") from error
    return archive

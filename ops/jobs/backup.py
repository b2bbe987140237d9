"""Sunday: an archive of all that is needed to begin again, looked through, and the weekly summary."""

from __future__ import annotations

from ops import reports
from ops.apart import apart
from ops.backup.keep import back_up
from ops.jobs.reports import checked_numbers, pictures
from ops.service.lab import Lab
from trading.domain.clock import iso


async def weekly(lab: Lab) -> None:
    """Back up, then tell."""
    now_ms = lab.clock.now_ms()
    async with lab.turn:
        archive = await apart(back_up, lab.home, now_ms)
    numbers = checked_numbers(lab)
    text = reports.summary(numbers, title="Weekly summary") + f"\nBackup: backups/{archive.name}"
    photos, why = await pictures(lab, numbers)
    lab.messenger.tell("summary", text + why, photos=photos, dedup_key=f"weekly:{iso(now_ms)[:10]}")

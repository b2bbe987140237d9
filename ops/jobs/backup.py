"""Sunday: an archive of all that is needed to begin again, looked through, and the weekly summary."""

from __future__ import annotations

from ops.apart import apart
from ops.backup.keep import back_up
from ops.jobs.reports import after_parity, checked_numbers, pictures, summary
from ops.period import week_ended
from ops.service.lab import Lab
from trading.domain.clock import DAY_MS


async def weekly(lab: Lab) -> None:
    """Back up, then tell."""
    async with lab.turn:
        archive = await apart(back_up, lab.home, lab.clock.now_ms())
    await after_parity(lab)
    numbers = checked_numbers(lab)
    week = week_ended(numbers.at_ms)
    text = await summary(lab, numbers, week, title="Weekly summary") + f"\nBackup: backups/{archive.name}"
    photos, why = await pictures(lab, numbers)
    lab.messenger.tell("summary", text + why, photos=photos, dedup_key=f"weekly:{week.end_ms // DAY_MS}")

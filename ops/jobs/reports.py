"""The messages of the schedule: hourly report, heartbeat, insights, daily summary; each from `gather` alone."""

from __future__ import annotations

from ops import reports
from ops.gather import gather
from ops.lab import Lab


async def hourly(lab: Lab) -> None:
    """`📊 Hourly Report` at every full hour."""
    numbers = gather(lab)
    lab.messenger.tell("report", reports.hourly_report(numbers), dedup_key=f"hourly:{numbers.at_ms // 3_600_000}")


async def heartbeat(lab: Lab) -> None:
    """`💚` four times a day."""
    numbers = gather(lab)
    lab.messenger.tell("heartbeat", reports.heartbeat(numbers), dedup_key=f"heartbeat:{numbers.at_ms // 21_600_000}")


async def insights(lab: Lab) -> None:
    """What was learned from refusals."""
    numbers = gather(lab)
    refused = sorted(lab.bench.graveyard.count_by_reason().items(), key=lambda pair: -pair[1])[:5]
    lab.messenger.tell("insights", reports.insights(numbers, refused))


async def daily(lab: Lab) -> None:
    """The day's summary, with the audit's root so that nobody can rewrite the day later."""
    numbers = gather(lab)
    text = reports.summary(numbers, title="Daily summary") + f"\nAudit root {lab.audit.head_hash[:16]}"
    lab.messenger.tell("summary", text, dedup_key=f"daily:{numbers.at_ms // 86_400_000}")

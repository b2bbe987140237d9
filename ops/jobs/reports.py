"""The messages of the schedule: hourly report, heartbeat, insights, daily summary; each from `gather` alone."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable

from ai_brain.ideas import IdeaReason
from ops import reports
from ops.gather import gather
from ops.numbers import Numbers
from ops.performance_log import note_day
from ops.period import Period, Span, day_ended, read_period
from ops.pictures.commission import Album, drawn
from ops.service.lab import Lab
from trading.domain.clock import DAY_MS, HOUR_MS
from trading.domain.errors import StateFileError, TradingEngineError
from trading.domain.events import Severity
from trading.journal.audit_roots import note_root

CYCLE_PATIENCE_S = 45.0
"""How long a report waits for the cycle of its own hour, lab seconds."""
PARITY_PATIENCE_S = 300.0
"""How long the day's summary waits for the night's comparison of paper with its backtest, lab seconds."""
POLL_S = 0.25
PARTS_DIFFER = "report.parts_differ"
"""The event of a report whose equity is not the sum of its parts."""


async def hourly(lab: Lab) -> None:
    """`📊 Hourly Report` at every full hour, after that hour's cycle."""
    await _after_the_cycle(lab)
    numbers = checked_numbers(lab)
    lab.messenger.tell("report", reports.hourly_report(numbers), dedup_key=f"hourly:{numbers.at_ms // 3_600_000}")


async def heartbeat(lab: Lab) -> None:
    """`💚` four times a day."""
    numbers = checked_numbers(lab)
    lab.messenger.tell("heartbeat", reports.heartbeat(numbers), dedup_key=f"heartbeat:{numbers.at_ms // 21_600_000}")


async def insights(lab: Lab) -> None:
    """What was learned from refusals; the same refusals as before are no insight, whatever else has changed."""
    refused = refusals(lab).most_common()
    key = hashlib.sha256(repr(refused).encode()).hexdigest()[:16]
    if refused:
        lab.messenger.tell("insights", reports.insights(gather(lab), refused), dedup_key=f"insights:{key}")


async def daily(lab: Lab) -> None:
    """The summary of the UTC day that ended, with the audit's root so that nobody can rewrite it later."""
    await after_parity(lab)
    numbers = checked_numbers(lab)
    root = note_root(lab.home.audit_roots_file, lab.audit.head_hash, at_ms=numbers.at_ms)
    try:
        note_day(lab.home, lab.repository.living(), numbers.at_ms)
    except StateFileError as error:
        lab.failed("performance log", error)  # the summary is told all the same
    text = await summary(lab, numbers, day_ended(numbers.at_ms), title="Daily summary") + f"\nAudit root {root}"
    photos, why = await pictures(lab, numbers)
    lab.messenger.tell("summary", text + why, photos=photos, dedup_key=f"daily:{numbers.at_ms // 86_400_000}")


async def summary(lab: Lab, numbers: Numbers, span: Span, *, title: str) -> str:
    """The text of a summary; where its records cannot be read it comes without what they would tell, and says why."""
    on_paper = [position.spec_id for position in lab.paper.positions()]
    try:
        held = lab.holdings()
        period = await asyncio.to_thread(read_period, lab.home, span, on_paper, held)
        return reports.summary(numbers, period, title=title)
    except StateFileError as error:
        lab.failed("summary", error)
        return reports.summary(numbers, Period(span), title=title) + f"\nNot counted: {error}"


def refusals(lab: Lab) -> Counter[str]:
    """Ideas refused before paper, by reason; those that became no strategy too."""
    refused = Counter(lab.bench.graveyard.count_by_reason())
    refused.update({reason: n for reason, n in lab.memory.refused_ideas.items() if reason in set(IdeaReason)})
    return refused


async def pictures(lab: Lab, numbers: Numbers) -> tuple[tuple[bytes, ...], str]:
    """Equity, carry and funnel, and a line that says why there are none: a text is not lost for its pictures."""
    asked = Album(
        home=lab.home.root,
        is_synthetic=numbers.market == "synthetic",
        refused=dict(refusals(lab)),
        tried=numbers.ideas_tried,
        now_ms=numbers.at_ms,
        start_quote=lab.memory.live_start_quote,
    )
    try:
        return await drawn(asked), ""
    except TradingEngineError as error:
        lab.failed("pictures", error)
        return (), f"\nNo pictures: {error}"


def checked_numbers(lab: Lab) -> Numbers:
    """The numbers of a message; an account whose parts do not make its equity is told in it, and is an alert."""
    numbers = gather(lab)
    for account in numbers.accounts:
        facts = {"account": account.whose, "error": account.parts_error_quote, "equity": account.equity_quote}
        facts["alert_key"] = f"{PARTS_DIFFER}:{account.whose}"
        if not account.adds_up:
            lab.tell(PARTS_DIFFER, facts, Severity.ALERT)
        else:
            lab.messenger.resolve(str(facts["alert_key"]))
    return numbers


async def _after_the_cycle(lab: Lab) -> None:
    """Wait until the loop has decided in this hour; a loop that hangs does not silence the report."""
    hour_ms = lab.clock.now_ms() // HOUR_MS * HOUR_MS
    await _until(lab, lambda: lab.memory.last is not None and lab.memory.last.at_ms >= hour_ms, CYCLE_PATIENCE_S)


async def after_parity(lab: Lab) -> None:
    """Wait until paper was compared this night; a night without it has its summary all the same."""
    day_ms = lab.clock.now_ms() // DAY_MS * DAY_MS
    await _until(lab, lambda: lab.memory.parity_ms is not None and lab.memory.parity_ms >= day_ms, PARITY_PATIENCE_S)


async def _until(lab: Lab, is_there: Callable[[], bool], patience_s: float) -> None:
    until_ms = lab.clock.now_ms() + patience_s * 1000
    while lab.clock.now_ms() < until_ms and not is_there():
        await lab.clock.sleep_s(POLL_S)

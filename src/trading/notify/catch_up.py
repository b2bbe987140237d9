"""After hours without a channel: what only told of its moment comes as one message; the rest comes whole, dated.

Reports, heartbeats, insights and notices are folded, all but the newest report; so are all but the newest few
summaries, each of which comes with pictures, and alerts that are over by now, a line for each thing that was wrong.
What is still wrong and approvals are never folded. Nothing is lost: each stands in the record of what was told, under
the id that the message names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from trading.domain.events import Severity
from trading.notify.alerts import Local
from trading.notify.message import ID_LINE, Message
from trading.notify.spool import Waiting

FOLDED_KINDS = ("report", "heartbeat", "insights", "notice")
PLURALS = {"insights": "insights", "summary": "summaries"}
SUMMARIES = 7
"""That come whole, the newest: a week of days."""
FOLD_ABOVE = 6
"""Fewer that wait are sent as they are."""
FOLD_AGE_MS = 3_600_000
"""The oldest has waited at least so long."""
LINE = 140
"""Signs of a notice's first line."""
LINES = 20
"""Notices, or alerts that are over, with a line of their own, the newest; of the others the count."""


OF = "Of "
"""How a message begins that says of when it is."""
LATE_MS = 600_000
"""What has waited so long says of when it is."""


def to_fold(waiting: Sequence[Waiting], real_ms: int) -> list[Waiting]:
    """Those that become one message; empty: nothing does. Oldest first, as they came."""
    old = {one.name for one in [one for one in waiting if one.message.kind == "summary"][:-SUMMARIES]}
    found = [
        one
        for one in waiting
        if (one.message.kind in FOLDED_KINDS and one.message.severity is not Severity.ALERT) or one.name in old
    ]
    reports = [one for one in found if one.message.kind == "report"]
    found = [one for one in found if not reports or one is not reports[-1]]
    if len(found) <= FOLD_ABOVE or real_ms - found[0].queued_real_ms < FOLD_AGE_MS:
        return []
    return found


def folded(waiting: Sequence[Waiting], local: Local) -> Message:
    """One message for many."""
    first, last = (f"{local(one.queued_ms):%Y-%m-%d %H:%M}" for one in (waiting[0], waiting[-1]))
    zone = f"{local(waiting[-1].queued_ms):%Z}"
    counts = Counter(one.message.kind for one in waiting)
    told = ", ".join(
        f"{count} {PLURALS.get(kind, f'{kind}s') if count > 1 else kind}" for kind, count in counts.items()
    )
    lines = [f"📬 Not delivered from {first} to {last} {zone}, now in one: {told}"]
    notices = [one for one in waiting if one.message.kind == "notice"]
    lines += [f"({len(notices) - LINES} earlier notices not shown)"] if len(notices) > LINES else []
    lines += [f"{local(one.queued_ms):%d %H:%M} {_told(one.message)}" for one in notices[-LINES:]]
    numbers = sorted({number for one in waiting for number in _ids(one.message)})
    lines += [f"Each whole: ./lab explain ID, of {_ranges(numbers)}"] if numbers else []
    return Message("catch_up", "\n".join(lines))


def are_over(waiting: Sequence[Waiting], open_ids: Collection[str], real_ms: int) -> list[Waiting]:
    """Late alerts whose state has changed since: more than one of them become one message.

    Args:
        waiting: What waits, oldest first.
        open_ids: Of the alerts that are open now.
        real_ms: The system's time.
    """
    return [one for one in waiting if is_late(one, real_ms) and _is_over(one.message, open_ids)]


def over(waiting: Sequence[Waiting], local: Local) -> Message:
    """One message for many alerts that are over: a line for each key."""
    first, last = (f"{local(one.queued_ms):%Y-%m-%d %H:%M}" for one in (waiting[0], waiting[-1]))
    zone = f"{local(waiting[-1].queued_ms):%Z}"
    by_key: dict[str, list[Waiting]] = {}
    for one in waiting:
        by_key.setdefault(one.message.dedup_key or _told(one.message), []).append(one)
    groups = sorted(by_key.values(), key=lambda group: (not group[-1].message.is_money, group[-1].queued_ms))
    lines = [f"📬 Not delivered from {first} to {last} {zone}, and over by now: {len(waiting)} alerts"]
    lines += [_over_line(group, local) for group in groups[:LINES]]
    lines += [f"({len(groups) - LINES} more not shown)"] if len(groups) > LINES else []
    numbers = sorted({number for one in waiting for number in _ids(one.message)})
    return Message("catch_up", "\n".join([*lines, f"Each whole: ./lab explain ID, of {_ranges(numbers)}"]))


def _over_line(group: Sequence[Waiting], local: Local) -> str:
    first, last = (f"{local(one.queued_ms):%d %H:%M}" for one in (group[0], group[-1]))
    when = first if len(group) == 1 else f"{len(group)}× from {first} to {last}"
    return f"• {_told(group[-1].message).removeprefix('🚨 ')} ({when})"


def dated(one: Waiting, open_ids: Collection[str], real_ms: int, local: Local) -> Message:
    """A message as it is sent: one that is late says of when it is, and whether its alert is over."""
    if not is_late(one, real_ms) or one.message.text.startswith(OF):
        return one.message
    is_over = ", over by now" if _is_over(one.message, open_ids) else ""
    return replace(one.message, text=f"{OF}{local(one.queued_ms):%Y-%m-%d %H:%M %Z}{is_over}: {one.message.text}")


def is_late(one: Waiting, real_ms: int) -> bool:
    """It has waited so long that a reader would take it for something of now."""
    return real_ms - one.queued_real_ms >= LATE_MS


def _is_over(message: Message, open_ids: Collection[str]) -> bool:
    """An alert that is not open any more; one without an id of its own is not known to be over."""
    ids = _ids(message)
    return message.severity is Severity.ALERT and len(ids) == 1 and f"m-{ids[0]}" not in open_ids


def _told(message: Message) -> str:
    line = message.plain_text.partition("\n")[0]
    return line if len(line) <= LINE else line[: LINE - 1] + "…"


def _ids(message: Message) -> list[int]:
    last = message.plain_text.rpartition("\n")[2]
    return [int(number) for number in re.findall(r"m-(\d+)", last)] if last.startswith(ID_LINE) else []


def _ranges(numbers: Sequence[int]) -> str:
    """`m-3 to m-9, m-12`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"m-{a}" if a == b else f"m-{a} to m-{b}" for a, b in runs)

"""After hours without a channel: what only told of its moment comes as one message; the rest comes whole.

Reports, heartbeats, insights and notices are folded, all but the newest report. Alerts, approvals and summaries are
never folded. Nothing is lost: each stands in the record of what was told, under the id that the message names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from trading.domain.events import Severity
from trading.notify.alerts import Local
from trading.notify.message import ID_LINE, Message

FOLDED_KINDS = ("report", "heartbeat", "insights", "notice")
FOLD_ABOVE = 6
"""Fewer that wait are sent as they are."""
FOLD_AGE_MS = 3_600_000
"""The oldest has waited at least so long."""
LINE = 140
"""Signs of a notice's first line."""
LINES = 20
"""Notices with a line of their own, the newest; of the others the count."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message on disk."""

    name: str
    """Of its file."""
    message: Message
    queued_ms: int
    """Lab time."""
    queued_real_ms: int
    """The system's time: how long a person has waited, also in a lab that runs faster than life."""


def to_fold(waiting: Sequence[Waiting], real_ms: int) -> list[Waiting]:
    """Those that become one message; empty: nothing does. Oldest first, as they came."""
    found = [one for one in waiting if one.message.kind in FOLDED_KINDS and one.message.severity is not Severity.ALERT]
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
        f"{count} {kind}{'s' if count > 1 and kind != 'insights' else ''}" for kind, count in counts.items()
    )
    lines = [f"📬 Not delivered from {first} to {last} {zone}, now in one: {told}"]
    notices = [one for one in waiting if one.message.kind == "notice"]
    lines += [f"({len(notices) - LINES} earlier notices not shown)"] if len(notices) > LINES else []
    lines += [f"{local(one.queued_ms):%d %H:%M} {_told(one.message)}" for one in notices[-LINES:]]
    numbers = sorted({number for one in waiting for number in _ids(one.message)})
    lines += [f"Each whole: ./lab explain ID, of {_ranges(numbers)}"] if numbers else []
    return Message("catch_up", "\n".join(lines))


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

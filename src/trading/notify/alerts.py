"""Which alerts are open and when each is told again: a pure ledger; `outbox` keeps it on disk.

An alert is told at once, then again after growing gaps, until the state it tells of has changed and it is resolved.
What comes in between is counted, not told. When more than `STORM_FREE` alerts are told within `STORM_S`, the next ones
wait for the end of that time and come as one message with their count; so do alerts that are due again together. Those
about money are counted by themselves: a storm of others holds none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

Local = Callable[[int], datetime]
"""UTC milliseconds as the reader's clock has them."""
GAPS_S = (300, 900, 3600, 14_400, 86_400)
"""Lab seconds from one telling to the next; the last one for ever."""
STORM_FREE, STORM_S = 5, 60
"""So many alerts are told by themselves within so many lab seconds."""
COVERS: Mapping[str, tuple[str, ...]] = {
    "stop.not_flat": ("stop", "risk.halted", "carry.close_incomplete"),
    "risk.not_flat": ("stop", "risk.halted", "carry.close_incomplete"),
    "guardian:not_flat": ("stop", "risk.halted", "carry.close_incomplete"),
    "stop": ("cycle.degraded",),
}
"""Alert -> alerts whose repetitions say nothing that it does not: while it is open each of them is told once. By key,
or by the event's name.
"""
LINE = 240
"""Signs of an alert's first line in a message of many."""


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """Something that is wrong since a while."""

    kind: str
    text: str
    """As raised last."""
    since_ms: int
    told_ms: int
    """When it was told last."""
    told: int
    """How often it was told; 1 is the first, 0: it waits for the end of a storm."""
    raised: int
    """How often it was raised, the tellings by time not counted."""
    id: str = ""
    """Of the message that told of it first; each repetition carries it."""
    is_over: bool = False
    """It was resolved before it could be told: told once, as such."""
    is_money: bool = False
    """It is about money: quiet hours do not hold it."""

    @property
    def due_ms(self) -> int:
        """When it is told, or told again."""
        gap_s = STORM_S if self.told == 0 else GAPS_S[min(self.told, len(GAPS_S)) - 1]
        return self.told_ms + gap_s * 1000

    def raised_again(self, text: str) -> OpenAlert:
        """The same thing was found wrong once more."""
        return replace(self, text=text, raised=self.raised + 1, is_over=False)

    def told_again(self, now_ms: int) -> OpenAlert:
        """It has been told once more."""
        return replace(self, told_ms=now_ms, told=self.told + 1)


def covered(alerts: Mapping[str, OpenAlert]) -> set[str]:
    """Keys of the open alerts that another open one covers: they are not repeated meanwhile."""
    standing = {key for key, alert in alerts.items() if not alert.is_over}
    names = {name for key in standing for name in _names(key)}
    silent = {name for cover, quiet in COVERS.items() if cover in names for name in quiet}
    return {key for key in standing if not silent.isdisjoint(_names(key))}


def _names(key: str) -> tuple[str, str]:
    return key, key.partition(":")[0]


def is_storm(recent_ms: Sequence[int], now_ms: int) -> bool:
    """So many alerts were told within the last minute that the next one waits; moments told, oldest first."""
    return sum(at_ms > now_ms - STORM_S * 1000 for at_ms in recent_ms) >= STORM_FREE


def told_alone(alert: OpenAlert, local: Local) -> str:
    """The text of an alert that was told before, or whose storm was none."""
    if alert.told == 0:
        return alert.text + (f"\n(over by now, raised {alert.raised}×)" if alert.is_over else "")
    return f"{alert.text}\n(again: since {local(alert.since_ms):%Y-%m-%d %H:%M %Z}, raised {alert.raised}×)"


def told_together(alerts: Mapping[str, OpenAlert], local: Local) -> str:
    """One text for many: how many of what, then the first line of each with its id; those of money first."""
    counts: dict[str, int] = {}
    for key in alerts:
        name = key.partition(":")[0]
        counts[name] = counts.get(name, 0) + 1
    most = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    head = f"🚨 {len(alerts)} alerts in one: " + ", ".join(f"{name} {count}×" for name, count in most)
    first = sorted(alerts.values(), key=lambda alert: (not alert.is_money, alert.since_ms))
    return "\n".join([head, *(_line(alert, local) for alert in first)])


def _line(alert: OpenAlert, local: Local) -> str:
    said = alert.text.partition("\n")[0].removeprefix("🚨 ")
    said = said if len(said) <= LINE else said[: LINE - 1] + "…"
    state = "over by now, " if alert.is_over else "again, " if alert.told else ""
    about = f"{state}{alert.raised}× since {local(alert.since_ms):%H:%M %Z}"
    return f"• {said} ({about}{', ' + alert.id if alert.id else ''})"

"""What is wrong cycle after cycle, and the halts: told once it lasts, and over as soon as it is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from ops.service.lab import Lab
from ops.telling.alert_keys import alert_key_of
from trading.domain.events import Event, Severity
from trading.funding.report import CycleReport
from trading.journal.audit import CycleStatus

FAILURES_IN_ROW = 5
"""More than so many cycles without an answer, or on old data, are told to the human."""


def degraded(lab: Lab, report: CycleReport | None) -> list[dict[str, object]]:
    """What a cycle that could not decide has to tell; nothing where it could."""
    if report is None or report.status is not CycleStatus.DEGRADED:
        return []
    last = lab.memory.last
    return [{"reason": last.reason if last else "", "note": last.note if last else ""}]


def stale(lab: Lab, late: Collection[str]) -> list[dict[str, object]]:
    """Whose due candles did not come, each by itself; where none came, that is one thing and not many."""
    if len(late) > 1 and len(late) == len(lab.symbols):
        return [{"symbol": f"all {len(late)} coins"}]
    return [{"symbol": symbol} for symbol in sorted(late)]


def alert_when_it_lasts(lab: Lab, name: str, bad: Iterable[Mapping[str, object]]) -> None:
    """What is bad for more than five cycles in a row is an alert of its own; the first good one ends it."""
    now_ms, rows = lab.clock.now_ms(), lab.memory.bad_cycles
    keys = {alert_key_of(Event(now_ms, name, facts)): facts for facts in bad}
    rows[name] = {key: rows.get(name, {}).get(key, 0) + 1 for key in keys}
    for key, in_row in rows[name].items():
        if in_row > FAILURES_IN_ROW:
            lab.tell(name, {"cycles": in_row, **keys[key]}, Severity.ALERT)
    for key in lab.messenger.open_of(name) - keys.keys():
        lab.messenger.resolve(key)


def tell_halts(lab: Lab) -> None:
    """Halts and their alerts agree, also where the lab died, or the disk was full, between the two."""
    if lab.desk is None:
        return
    now_ms, told = lab.clock.now_ms(), lab.messenger.open_of("risk.halted")
    halts = [Event(now_ms, "risk.halted", one.facts, Severity.ALERT) for one in lab.desk.counters.memory.halts]
    standing = {alert_key_of(event): event for event in halts}
    for key in told - standing.keys():
        lab.messenger.resolve(key)
    for key in standing.keys() - told:
        lab.publish(standing[key])

"""What is wrong cycle after cycle, halts, files set aside, a missed guardian: told once it lasts, over with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from ops.aside import set_aside_files
from ops.service.lab import Lab
from ops.telling.alert_keys import alert_key_of
from trading.domain.events import Event, Severity
from trading.funding.report import CycleReport
from trading.journal.audit import CycleStatus
from trading.storage.file_age import file_age_s

FAILURES_IN_ROW = 5
"""More than so many cycles without an answer, or on old data, are told to the human."""
GUARDIAN_MISSED_S = 300.0
"""Real seconds without a look of the guardian, of this service's life, after which it is missed."""


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


def unguarded(lab: Lab) -> list[dict[str, object]]:
    """What is held live while no guardian looks, which closes it when the lab cannot; nothing while one does."""
    if lab.desk is None or not (lives := lab.desk.store.lives):
        return []
    looks = (lab.home.guardian_pulse_file, lab.home.lock_file)  # the lock is taken when the service starts
    missed_s = min((age for file in looks if (age := file_age_s(file, lab.clock)) is not None), default=0.0)
    if missed_s < GUARDIAN_MISSED_S:
        return []
    return [{"held": ", ".join(live.symbol for live in lives), "minutes": int(missed_s // 60)}]


def alert_when_it_lasts(
    lab: Lab, name: str, bad: Iterable[Mapping[str, object]], *, cycles: int = FAILURES_IN_ROW
) -> None:
    """What is bad for more than so many cycles in a row is an alert of its own; the first good one ends it."""
    now_ms, rows = lab.clock.now_ms(), lab.memory.bad_cycles
    keys = {alert_key_of(Event(now_ms, name, facts)): facts for facts in bad}
    rows[name] = {key: rows.get(name, {}).get(key, 0) + 1 for key in keys}
    for key, in_row in rows[name].items():
        if in_row > cycles:
            lab.tell(name, {"cycles": in_row, **keys[key]}, Severity.ALERT)
    for key in lab.messenger.open_of(name) - keys.keys():
        lab.messenger.resolve(key)


def tell_halts(lab: Lab) -> None:
    """Halts and their alerts agree, also where the lab died, or the disk was full, between the two."""
    if lab.desk is None:
        return
    now_ms, halts = lab.clock.now_ms(), lab.desk.counters.memory.halts
    _agree(lab, "risk.halted", [Event(now_ms, "risk.halted", halt.facts, Severity.ALERT) for halt in halts])


def tell_set_aside(lab: Lab) -> None:
    """A human hears of each file that lies aside until it is moved away, also where the lab died of it first."""
    now_ms, files = lab.clock.now_ms(), set_aside_files(lab.home)
    _agree(
        lab, "state.lies_aside", [Event(now_ms, "state.lies_aside", {"file": file}, Severity.ALERT) for file in files]
    )


def _agree(lab: Lab, name: str, standing: Iterable[Event]) -> None:
    """What stands and is not told is told; what is told and does not stand any more is over."""
    told, stands = lab.messenger.open_of(name), {alert_key_of(event): event for event in standing}
    for key in told - stands.keys():
        lab.messenger.resolve(key)
    for key in stands.keys() - told:
        lab.publish(stands[key])

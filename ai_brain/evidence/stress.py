"""Three hard stretches of the past: a crash, a failure of an exchange, and a summer in which nothing moved."""

from __future__ import annotations

from ai_brain.evidence.case import Case, Look
from ai_brain.evidence.findings import of_stress
from ai_brain.evidence.verdict import Finding, Stress
from ai_brain.evidence.windows import Window
from trading.domain.clock import parse_iso

STRETCHES = (
    ("crash of March 2020", "2020-03-01", "2020-04-01"),
    ("failure of FTX, November 2022", "2022-11-01", "2022-12-01"),
    ("quiet summer of 2023", "2023-07-01", "2023-09-01"),
)
"""From, to (UTC days): 12 March 2020 fell by half in a day; FTX stopped paying on 8 November 2022; July and August 2023
had the smallest daily range of bitcoin since 2018."""


def under_stress(case: Case, *, before: int) -> tuple[tuple[Stress, ...], list[Finding]]:
    """The spec on each stretch that lies on its tape before bar `before`: told; a liquidation there refuses.

    A stretch that is not on the tape, or lies in the vault, is told as such.
    """
    found, asked, times = list[Stress](), list[Finding](), case.main.open_time_ms
    for name, start, end in STRETCHES:
        first, stop = (int(times.searchsorted(parse_iso(day))) for day in (start, end))
        whole = stop > first and times[first] - parse_iso(start) < case.main.interval_ms
        if not whole or stop >= before:
            found.append(Stress(name=name, bars=0))
            continue
        run = case.run(Window(first, stop), case.tapes.conditions)
        case.look(Look(name, run))
        asked += of_stress(name, run)
        found.append(Stress(name=name, bars=run.bars, net_return=run.net_return, max_drawdown=run.max_drawdown))
    return tuple(found), asked

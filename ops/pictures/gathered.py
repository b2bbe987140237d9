"""The numbers of the pictures, read from the files that the lab keeps: audit, paper accounts, positions, specs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from pydantic import ValidationError

from ai_brain.evidence.curve import read_curve
from ai_brain.evidence.filing import evidence_folder, load_evidence
from ai_brain.paper.account import load_account
from ops.pictures.carry import Payment
from ops.pictures.funnel import Funnel
from ops.pictures.verdict import Case
from ops.trace.live_records import CycleLine, read_holdings
from ops.trace.money import funding_rows
from trading.domain.clock import DAY_MS
from trading.journal.audit_window import AuditWindow
from trading.storage.home import Home
from trading.strategy.lifecycle import Stage
from trading.strategy.spec import StrategySpec

POINTS = 240
"""Of an equity line."""
DAYS = 30
"""Shown of the past."""
PAPER_SHOWN = 4
"""Paper accounts with a line of their own, those that are ahead."""
NAN = float("nan")
LIVE = "live"

Series = Mapping[str, Sequence[float]]


def equity_series(
    home: Home, specs: Sequence[StrategySpec], *, now_ms: int, start_quote: float
) -> tuple[list[int], Series]:
    """Times, and each account in percent of where it began: what was put in or taken out is in no line.

    Args:
        home: Whose.
        specs: Whose paper accounts may be shown.
        now_ms: The end; 30 days before is the start, or the first that is known.
        start_quote: Of the live account; 0: there is none.
    """
    lines: dict[str, list[tuple[int, float]]] = {}
    live = _live_line(AuditWindow(home.audit_file), now_ms, start_quote) if start_quote > 0 else []
    for spec in specs:
        account = load_account(home, spec.id)
        if account is not None and account.curve:
            grown = [(at, equity / account.starting_quote * 100.0) for at, equity in account.curve]
            lines[f"paper {spec.id}"] = [point for point in grown if now_ms - DAYS * DAY_MS <= point[0] <= now_ms]
    ahead = sorted((line for line in lines.items() if line[1]), key=lambda line: -line[1][-1][1])[:PAPER_SHOWN]
    shown = ([(LIVE, live)] if live else []) + ahead
    if not shown:
        return [], {}
    first_ms = min(points[0][0] for _, points in shown)
    step_ms = max(1, (now_ms - first_ms) // POINTS)
    times = list(range(first_ms, now_ms + 1, step_ms))
    return times, {name: _on(times, points, step_ms) for name, points in shown}


def _live_line(window: AuditWindow, now_ms: int, start_quote: float) -> list[tuple[int, float]]:
    """From the audit file, a line for each point: it is bisected, not read."""
    points: list[tuple[int, float]] = []
    step_ms = DAYS * DAY_MS // POINTS
    for at_ms in range(now_ms - DAYS * DAY_MS, now_ms + 1, step_ms):
        raw = next(window.before_ms(at_ms + 1), None)
        try:
            cycle = None if raw is None else CycleLine.model_validate_json(raw)
        except ValidationError:
            continue  # the line of another lab, or a broken one, which `verify-audit` names: no point of the picture
        if cycle is None or cycle.equity.equity_quote is None or at_ms - cycle.at_ms > step_ms:
            continue
        flows = float(cycle.equity.flows_quote or 0)
        earned = float(cycle.equity.equity_quote) - start_quote - flows
        points.append((cycle.at_ms, 100.0 + earned / (start_quote + max(0.0, flows)) * 100.0))
    return points


def _on(times: Sequence[int], points: Sequence[tuple[int, float]], step_ms: int) -> list[float]:
    """The newest value at each time; nan before the first, and where nothing was written for long.

    The first shown is where the line begins, however much came within one step after it: a fall is measured from there.
    """
    stamps = [at for at, _ in points]
    widest = 3 * max(step_ms, min((b - a for a, b in pairwise(stamps)), default=0))
    found, has_begun = [], False
    for at_ms in times:
        n = bisect_right(stamps, at_ms) - 1
        is_known = n >= 0 and at_ms - stamps[n] <= widest
        found.append(points[n if has_begun else 0][1] if is_known else NAN)
        has_begun = has_begun or is_known
    return found


def payments(home: Home) -> list[Payment]:
    """Every settlement of live positions, oldest first."""
    rows = funding_rows(home, (), read_holdings(home))
    found = [
        Payment(row.at_ms, float(row.amount_quote), None if row.expected_quote is None else float(row.expected_quote))
        for row in rows
    ]
    return sorted(found, key=lambda one: one.at_ms)


def funnel_of(specs: Sequence[StrategySpec], refused: Mapping[str, int], *, tried: int) -> Funnel:
    """Where every idea is; what was retired before paper is among the refused.

    Args:
        specs: Every strategy file.
        refused: By reason, ideas that became no file too.
        tried: The trial ledger's count.
    """
    at = {stage: sum(spec.stage is stage for spec in specs) for stage in Stage}
    given_up = sum(
        spec.stage is Stage.RETIRED and any(move.to is Stage.DRY_RUN for move in spec.history) for spec in specs
    )
    return Funnel(
        tried=tried,
        refused={reason: count for reason, count in refused.items() if count},
        given_up=given_up,
        under_test=at[Stage.GENERATED] + at[Stage.BACKTESTING],
        on_paper=at[Stage.DRY_RUN],
        in_review=at[Stage.REVIEW],
        live=at[Stage.LIVE_TESTING] + at[Stage.SCALING],
    )


def case_of(home: Home, spec_id: str, *, paper: str, refutation: str) -> Case | None:
    """The page of an approval; None: there is no evidence.

    Raises:
        StateFileError: a file of it makes no sense.
    """
    evidence = load_evidence(home, spec_id)
    if evidence is None:
        return None
    path: Path = evidence_folder(home) / f"{spec_id}.curve.csv"
    is_kept = evidence.curve_sha256 is not None and path.exists()
    account = load_account(home, spec_id)
    shown = None if account is None else account.performance()
    return Case(evidence, read_curve(path.read_bytes()) if is_kept else None, paper, refutation, shown)

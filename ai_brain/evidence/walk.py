"""The walk after the search: judged stretches one by one, the same under worse conditions, and next to it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np

from ai_brain.evidence.case import Case, Look
from ai_brain.evidence.chain import chained
from ai_brain.evidence.fitted_paths import fitted_paths
from ai_brain.evidence.neighbours import neighbours
from ai_brain.evidence.random_entries import random_entries
from ai_brain.evidence.run import Run
from ai_brain.evidence.verdict import SLIPPAGE, VAULT, WALK_FORWARD, Neighbours
from ai_brain.evidence.windows import Window, purged, shares
from trading.strategy.spec import RuleParameters


def longest_holding(case: Case, *runs: Run) -> int:
    """Longest holding known, bars: what the spec allows, or what was seen."""
    parameters = case.spec.parameters
    allowed = parameters.risk.max_hold_bars if isinstance(parameters, RuleParameters) else None
    return max(allowed or 0, *(run.longest_holding_bars for run in runs))


def walk_forward(case: Case, between: Window, searched: Run) -> tuple[list[Window], list[Run]]:
    """The judged stretches and their runs; what is purged before one rests on what came before it only."""
    count, holding = case.bench.settings.stretches, longest_holding(case, searched)
    windows, looks = list[Window](), list[Look]()
    for number, share in enumerate(shares(between, count), start=1):
        window = purged(share, holding_bars=holding)
        run = case.run(window, case.tapes.conditions)
        looks.append(Look(f"{WALK_FORWARD} {number}/{count}", run, window.first - share.first, holding))
        holding = max(holding, run.longest_holding_bars)
        windows.append(window)
    case.look(*looks)
    return windows, [look.run for look in looks]


def look_into_vault(case: Case, share: Window, *before: Run) -> Run:
    """The vault's run; its opening is in the book by now."""
    holding = longest_holding(case, *before)
    window = purged(share, holding_bars=holding)
    run = case.run(window, case.tapes.conditions)
    case.look(Look(VAULT, run, window.first - share.first, holding))
    return run


def worse(case: Case, windows: Sequence[Window]) -> tuple[Run, Run]:
    """Everything before the vault again, with all costs doubled, and with entries one bar late."""
    conditions = case.tapes.conditions
    doubled, late = (chained([case.run(w, c) for w in windows]) for c in (conditions.dear(), conditions.late()))
    case.look(Look("costs doubled", doubled), Look("one bar late", late))
    return doubled, late


def slippage_ends(case: Case, windows: Sequence[Window], known: Run) -> None:
    """Everything before the vault at both ends of what is known of the slippage; `known`: as charged."""
    conditions = case.tapes.conditions
    if conditions.slippage is None:
        return
    legs = conditions.slippage.legs
    ends = [[leg.low for leg in legs], [leg.high for leg in legs]]
    low, high = (chained([case.run(w, conditions.slipping(*end)) for w in windows]) for end in ends)
    case.look(*map(Look, SLIPPAGE, (low, known, high)))


def next_to(case: Case, windows: Sequence[Window]) -> Neighbours | None:
    """The strategies with one number a tenth away, each over the judged stretches as one; the spec itself stays."""
    whole = Window(windows[0].first, windows[-1].stop)
    runs = {name: case.run(whole, case.tapes.conditions, spec) for name, spec in neighbours(case.spec).items()}
    if not runs:
        return None
    own = case.run(whole, case.tapes.conditions)
    case.record({"in one piece": own} | {f"next to it, {name}": run for name, run in runs.items()})
    case.fitted_paths = fitted_paths(
        np.column_stack([run.returns for run in (own, *runs.values())]),
        holding_bars=longest_holding(case, own, *runs.values()),
        bars_per_year=own.bars_per_year,
    )
    returns = {name: run.net_return for name, run in runs.items()}
    worst = min(returns, key=lambda name: returns[name])
    return Neighbours(
        count=len(returns),
        earning=sum(value > 0.0 for value in returns.values()),
        median_net_return=median(returns.values()),
        worst=worst,
        worst_net_return=returns[worst],
    )


def benchmarks(case: Case, judged: Run) -> None:
    """What the judged bars gave to who just held, and to who traded alike at other times."""
    opens, times = case.main.open, case.main.open_time_ms
    bars = np.searchsorted(times, judged.open_time_ms)
    case.buy_and_hold_return = float(case.main.close[bars[-1]] / opens[bars[0]] - 1.0)
    if not case.is_carry:
        case.random_entries = random_entries(
            judged.table,
            opens,
            bars,
            interval_ms=judged.interval_ms,
            starting_quote=judged.starting_quote,
            seed=case.seed,
        )

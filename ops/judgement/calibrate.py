"""`./lab calibrate`: the gate on markets where the answer is known. Does it cry wolf, does it see one?

Markets are made of real bars: from `--tape` those of bitcoin, ether and solana, else what the lab's store holds of its
own symbol. Nothing of it touches the lab's own ledger.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from ai_brain.calibration.null_market import after_the_wildest, null_market
from ai_brain.calibration.planted_edge import drift_for, planted_spec
from ai_brain.calibration.report import as_json, calibration_of, draw
from ai_brain.calibration.trials_of_the_gate import Outcome, Plan, noise_campaign, planted_campaign
from ai_brain.evidence.run_conditions import Conditions
from ops.environment import find_home
from ops.settings import read_settings
from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError, SettingsError
from trading.domain.instrument import Market
from trading.market.importers import import_recorded
from trading.market.store import TapeStore
from trading.market.tape import Tape
from trading.simulator.costs import MarketRules
from trading.storage.files import write_json
from trading.storage.home import Home

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
IDEAS, BARS = 200, 26_280
"""A campaign: so many ideas over three years of hours."""
EDGES = (0.0, 1.0, 2.0, 2.5, 3.0, 3.5, 4.0)
"""Annual net Sharpe ratios that are planted; 0 earns exactly its costs."""
DRIFT_MARKETS, FIRST_DRIFT_SEED = 20, 900_000_000
"""Markets on which a drift is measured to give the Sharpe ratio wanted; never those of a campaign."""
FIRST_PLANTED = 500_000
"""Number of the first campaign with an edge; apart from those without."""
CORES = len(os.sched_getaffinity(0))
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Task:
    """One campaign to be run."""

    number: int
    source: int
    """Index among the recorded markets."""
    edge: float | None
    """Annual net Sharpe ratio of what is planted; None: nothing is."""
    drift: float | None
    """None: the edge holds on this very market; else on average over markets that have this drift."""


def run_calibrate(
    tape: Path | None, *, campaigns: int, planted: int, json_file: Path | None, picture: Path | None
) -> int:
    """Run the campaigns and print the figures.

    Args:
        tape: Folder of recorded files; None: the lab's own store.
        campaigns: Where there is nothing to find.
        planted: For each size of edge; half as many again where the size holds on average over markets only.
        json_file: Where the figures go besides the screen.
        picture: Where the chart goes, PNG.

    Returns:
        0: no more false alarms than q allows; 1: more.

    Raises:
        DataProviderError: no recorded market.
        SettingsError: there is no folder for a file asked for; half an hour later would be late to say so.
    """
    for wanted in (json_file, picture):
        if wanted is not None and not wanted.parent.is_dir():
            raise SettingsError(f"calibrate: {wanted}: there is no folder {wanted.parent}; make it, or name another")
    home = find_home()
    gate = read_settings(home.settings_file).gate
    sources, plan, clock = _sources(home, tape), Plan(IDEAS, BARS, gate, Conditions(MarketRules())), Clock()
    began_s = clock.real_s()
    drifts = [{edge: _drift(source, edge, plan) for edge in EDGES if planted} for source in sources]
    noise, found, expected = list[Outcome](), dict[float, list[Outcome]](), dict[float, list[Outcome]]()
    noise_wall_s = 0.0
    tasks = list(_tasks(len(sources), drifts, campaigns=campaigns, planted=planted))
    for number, (task, outcome) in enumerate(_outcomes(sources, plan, tasks), start=1):
        if task.edge is None:
            noise.append(outcome)
            noise_wall_s = clock.real_s() - began_s
        else:
            (found if task.drift is None else expected).setdefault(task.edge, []).append(outcome)
        _progress(number, len(tasks), clock.real_s() - began_s, sum(each.sent > 0 for each in noise), len(noise))
    wall_s = clock.real_s() - began_s
    figures = calibration_of(noise, found, expected, bars=BARS, noise_wall_s=noise_wall_s, wall_s=wall_s)
    told = as_json(figures)
    for name, value in told.items():
        print(f"{name:22} {value}")
    if json_file is not None:
        write_json(json_file, told, schema=SCHEMA)
    if picture is not None:
        draw(figures, picture)
    return 0 if figures.false_review_share <= gate.false_discovery_q else 1


def _sources(home: Home, folder: Path | None) -> list[Tape]:
    if folder is None:
        settings = read_settings(home.settings_file)
        symbol, interval = settings.venue.symbol, settings.research.timeframe
        return [after_the_wildest(TapeStore(home.tapes).load(Market.PERP, symbol, interval))]
    found, missing = list[Tape](), list[str]()
    for symbol in SYMBOLS:
        try:
            tape = after_the_wildest(import_recorded(folder, Market.PERP, symbol, "1h"))
        except DataProviderError as error:
            missing.append(str(error))
            continue
        if len(tape) < BARS:
            missing.append(
                f"{symbol}: {len(tape):,} recorded bars make no market of {BARS:,} without repeating themselves"
            )
        else:
            found.append(tape)
    if not found:
        raise DataProviderError(f"calibrate: no recorded market: {missing[0]}")
    for line in missing:
        print(f"lab: without it: {line}", file=sys.stderr)
    return found


def _drift(source: Tape, edge: float, plan: Plan) -> float:
    markets = [null_market(source, bars=plan.bars, seed=FIRST_DRIFT_SEED + k) for k in range(DRIFT_MARKETS)]
    spec, c = planted_spec(source.symbol, markets[0].start_ms), plan.conditions
    return drift_for(markets, spec, sharpe_annual=edge, costs=c.costs, rules=c.rules)


def _tasks(sources: int, drifts: Sequence[dict[float, float]], *, campaigns: int, planted: int) -> Iterator[Task]:
    for number in range(campaigns):
        yield Task(number, number % sources, None, None)
    for number in range(planted):
        for edge in EDGES:
            source = number % sources
            yield Task(FIRST_PLANTED + number, source, edge, None)
            if number // sources % 2 == 0:
                yield Task(FIRST_PLANTED + number, source, edge, drifts[source][edge])


def _outcomes(sources: list[Tape], plan: Plan, tasks: Sequence[Task]) -> Iterator[tuple[Task, Outcome]]:
    """Campaigns as they end, on all cores."""
    with ProcessPoolExecutor(CORES, get_context("spawn"), _prepare, (sources, plan)) as pool:
        waiting = {pool.submit(_run, task): task for task in tasks}
        for done in as_completed(waiting):
            yield waiting.pop(done), done.result()


_PREPARED = list[tuple[list[Tape], Plan]]()
"""Of a worker process: what every campaign needs, sent once."""


def _prepare(sources: list[Tape], plan: Plan) -> None:
    _PREPARED.append((sources, plan))


def _run(task: Task) -> Outcome:
    sources, plan = _PREPARED[0]
    if task.edge is None:
        return noise_campaign(sources[task.source], task.number, plan)
    return planted_campaign(sources[task.source], task.number, task.edge, plan, drift=task.drift)


def _progress(done: int, of: int, elapsed_s: float, false: int, noise: int) -> None:
    left_s = elapsed_s / done * (of - done)
    line = f"lab: {done:,} of {of:,} campaigns, {false} of {noise:,} sent something where nothing was, "
    end = "\n" if done == of or not sys.stderr.isatty() else "\r"
    if end == "\r" or done == of or done % 50 == 0:
        print(f"{line}{left_s / 60:.0f} min left  ", end=end, file=sys.stderr, flush=True)

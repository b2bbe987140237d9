"""What the validator catches, and what it raises for nothing: `python -m benchmarks.validator [FOLDER]` prints JSON.

Every rule is given the fault it exists for, put into a clean recorded stretch (`validator_faults`). False alarms are
counted over every recorded candle file, settlement and replayed book in FOLDER (default `../shared/data`): bars at
which orders would have been blocked outside of the labelled outages (`validator_outages`). Each blocked bar counts.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.validator_faults import FAULTS, looks_until_caught
from benchmarks.validator_outages import Outage, outages
from benchmarks.validator_stretches import SETTINGS, Clean, clean_stretches, watch_books, watch_quotes
from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.market.beside import beside_spot
from trading.market.checks.moves import RECENT, robust_scales
from trading.market.checks.rules import RULES, Action, RuleId
from trading.market.data_integrity_validator import scan_funding, scan_tape
from trading.market.importers import CANDLE, read_funding, tape_of
from trading.market.parquet import read_parquet
from trading.market.tape import Tape, make_tape

DATA = Path(__file__).parents[2] / "shared" / "data"
DAY_MS = 86_400_000
STEPS = (RuleId.TICK, RuleId.LOT)
SAMPLED = 97
"""Every so many bars the spike rule's limit is noted."""


@dataclass(frozen=True, slots=True)
class Alarms:
    """What one file's bars raised."""

    name: str
    days: float
    scan_ms: float
    """Real milliseconds of looking at all its bars."""
    labelled: Counter[RuleId]
    """Findings inside of labelled outages."""
    false: Counter[RuleId]
    """Blocking findings outside of them."""
    noted: Counter[RuleId]
    """Findings outside of them that block nothing."""
    blocked_bars: int
    """Bars with a blocking finding outside of them."""
    spike_limit_pct: float
    """Median of what one bar may move before it is a spike."""


def fault_figures(clean: Clean) -> dict[str, object]:
    """Every fault, and how soon it is caught."""
    found = [(fault, looks_until_caught(fault, clean)) for fault in FAULTS]
    caught = [(fault, looks) for fault, looks in found if looks is not None and looks <= RULES[fault.rule].within]
    missed = [f"{fault.rule}: {fault.does}" for fault, _ in found if fault not in [kept for kept, _ in caught]]
    worst = {rule: max(looks for fault, looks in caught if fault.rule is rule) for rule in {f.rule for f, _ in caught}}
    return {
        "rules": len(RULES),
        "rules_with_a_fault": len({fault.rule for fault in FAULTS}),
        "faults_injected": len(FAULTS),
        "faults_caught": len(caught),
        "faults_missed": missed,
        "catch_time_worst": {rule: f"{worst[rule]} of {RULES[rule].within} looks" for rule in RULES if rule in worst},
    }


def alarms_of(tape: Tape, second: Tape | None, labels: Iterable[Outage], name: str) -> Alarms:
    """Every finding of a file's bars, told apart by the labels."""
    clock = Clock()
    closes = None if second is None else _beside(tape, second)
    started_s = clock.real_s()
    findings = scan_tape(tape, SETTINGS, second_close=closes)
    spent_ms = (clock.real_s() - started_s) * 1000.0
    known = [label for label in labels if label.symbol in (None, tape.symbol)]
    labelled, false, noted, blocked = Counter[RuleId](), Counter[RuleId](), Counter[RuleId](), set[int]()
    for found in findings:
        rule, at_ms = found.finding.rule, found.open_time_ms
        if any(label.covers(tape.market, tape.symbol, at_ms, tape.interval_ms) for label in known):
            labelled[rule] += 1
        elif found.finding.action is Action.WARN:
            noted[rule] += 1
        else:
            false[rule] += 1
            blocked.add(at_ms)
    days = len(tape) * tape.interval_ms / DAY_MS
    return Alarms(name, days, spent_ms, labelled, false, noted, len(blocked), _spike_limit_pct(tape))


def alarm_figures(alarms: list[Alarms]) -> dict[str, object]:
    """The sum over files, and the worst of them."""
    days, blocked = sum(a.days for a in alarms), sum(a.blocked_bars for a in alarms)
    limits = {span: [a.spike_limit_pct for a in alarms if a.name.split("_")[2] == span] for span in ("1m", "5m", "1h")}
    return {
        "symbol_days": round(days),
        "false_alarms": blocked,
        "false_alarms_per_30_symbol_days": round(30.0 * blocked / days, 3),
        "by_rule": {rule: _three(alarms, rule) for rule in RULES if any(_three(alarms, rule).values())},
        "by_file": {a.name: round(30.0 * a.blocked_bars / a.days, 2) for a in alarms},
        "spike_limit_pct_median": {span: round(float(np.median(kept)), 1) for span, kept in limits.items() if kept},
        "scan_ms_year_of_minutes": next((round(a.scan_ms) for a in alarms if a.name == "spot_BTCUSDT_1m_2024"), None),
    }


def recorded_alarms(data: Path, names: Iterable[str] | None = None) -> list[Alarms]:
    """Of every candle file in a folder, or of those named."""
    labels, files = list(outages()), candle_files(data)
    wanted = files if names is None else {name: files[name] for name in names}
    return [alarms_of(_tape(path), _other(path), labels, name) for name, path in wanted.items()]


def candle_files(data: Path) -> dict[str, Path]:
    """Candle files by name."""
    return {path.stem: path for path in sorted(data.glob("*.parquet")) if path.stem.startswith(("spot_", "perp_"))}


def step_figures(data: Path, clean: Clean) -> dict[str, object]:
    """Bars off the contract's tick or lot, where the filters of the time are those recorded in March 2025."""
    tape = _tape(data / "perp_BTCUSDT_5m.parquet")
    off = [found for found in scan_tape(tape, SETTINGS, instrument=clean.instrument) if found.finding.rule in STEPS]
    return {"step_bars": len(tape), "off_steps": len(off)}


def settlement_figures(data: Path) -> dict[str, object]:
    """Every recorded settlement: missing ones, and rates beyond what a contract's cap has ever been."""
    files = sorted(data.glob("funding_*.parquet"))
    funding = [(path, read_funding(path, start_ms=0, end_ms=2**62)) for path in files]
    missing = 0
    for path, settled in funding:
        perp = data / f"perp_{path.stem.removeprefix('funding_')}_1h.parquet"
        missing += sum(gap.count for gap in scan_funding(replace(_tape(perp), funding=settled)))
    days = sum(float(settled.time_ms[-1] - settled.time_ms[0]) / DAY_MS for _, settled in funding)
    return {"settlement_days": round(days), "settlements": sum(len(f.rate) for _, f in funding), "missing": missing}


def stream_figures(clean: Clean) -> dict[str, object]:
    """The replayed streams: looks at quotes and books, and how many would have blocked orders."""
    verdicts = [*watch_quotes(clean, clean.quotes), *watch_books(clean, clean.books)]
    return {"stream_looks": len(verdicts), "stream_blocked": sum(not verdict.ok_for_orders for verdict in verdicts)}


def main(arguments: list[str]) -> int:
    """Print every figure; without recorded data say so."""
    data = Path(arguments[0]) if arguments else DATA
    try:
        clean = clean_stretches(data)
    except (DataProviderError, FileNotFoundError) as error:
        sys.stdout.write(json.dumps({"skipped": f"no recorded data: {error}"}) + "\n")
        return 0
    figures = {**fault_figures(clean), **alarm_figures(recorded_alarms(data))}
    figures |= {**step_figures(data, clean), **settlement_figures(data), **stream_figures(clean)}
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")
    return 0


def _tape(path: Path) -> Tape:
    market, symbol, interval = path.stem.split("_")[:3]
    return tape_of(read_parquet([path], CANDLE), Market(market), symbol, interval, origin="recorded")


def _other(path: Path) -> Tape | None:
    """The same stretch of the other market, where it was recorded."""
    sides = {"spot": "perp", "perp": "spot"}
    side = path.stem.split("_")[0]
    other = path.with_name(path.name.replace(side, sides[side], 1))
    return _tape(other) if other.exists() else None


def _beside(tape: Tape, second: Tape) -> np.ndarray:
    """The second tape's closes at the first one's bars, nan where it has none."""
    own, other = (make_tape(replace(t, market=m)) for t, m in ((tape, Market.PERP), (second, Market.SPOT)))
    return beside_spot(own, other).spot_close


def _spike_limit_pct(tape: Tape) -> float:
    places = np.arange(RECENT, len(tape), SAMPLED)
    scales = robust_scales(tape.open_time_ms, tape.close, places) * np.sqrt(tape.interval_ms / 60_000)
    return float(np.median(np.clip(100.0 * SETTINGS.spike_scales_max * scales, SETTINGS.spike_min_pct, None)))


def _three(alarms: list[Alarms], rule: RuleId) -> dict[str, int]:
    return {
        "labelled": sum(a.labelled[rule] for a in alarms),
        "false": sum(a.false[rule] for a in alarms),
        "noted": sum(a.noted[rule] for a in alarms),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

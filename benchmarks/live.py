"""Deaths, faults, stops and audit of the live carry: `python -m benchmarks.live [--quick]`; JSON on the last line.

The whole matrices take half an hour on two idle cores, the 200 trials of the kill switch seven seconds each. `--quick`
strikes an even sample of both matrices, the same each time, and takes six trials and a tenth of a year of audit lines.
`--table FILE` writes the counts into a document, between its `<!-- matrix -->` marks.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np

from benchmarks.audit import YEAR_LINES, audit_figures
from benchmarks.kill_switch import QUICK, TRIALS, kill_figures
from benchmarks.live_crash import count_points, kill_at
from benchmarks.live_faults import cases, strike
from benchmarks.live_plots import Plot, plots
from benchmarks.live_world import Json, Lab, lab_process, new_world, open_exchange, warm_up

QUICK_POINTS, QUICK_CASES, QUICK_ENTRIES = 16, 40, 5
"""Every so manieth is struck by `--quick`."""
ENTRIES = 30
QUICK_LINES = YEAR_LINES // 10
KILL_FIGURES = tuple(
    f"{what}_p{share}_s" for what in ("kill_detect", "cancel_all", "flat_verified") for share in (50, 99)
)
MARK = "<!-- matrix -->\n"


@dataclass
class Matrix:
    """What was struck and what did not hold, by row and plot."""

    struck: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: Counter[tuple[str, str]] = field(default_factory=Counter)
    whole: Counter[str] = field(default_factory=Counter)
    """How many there are by plot, struck or not."""
    duplicates: int = 0
    lost: int = 0
    apart_s: list[float] = field(default_factory=list)
    """How long the legs stood apart, of each."""

    def note(self, row: str, plot: Plot, told: Json) -> None:
        """One more result; what does not hold is told at once."""
        self.struck[row, plot.name] += 1
        self.failed[row, plot.name] += bool(told["wrong"])
        self.duplicates += int(told["duplicates"])
        self.lost += int(told["lost"])
        self.apart_s.append(float(told["apart_s"]))
        for line in told["wrong"]:
            sys.stderr.write(f"{plot.name}: {row}: {line}\n")

    def add(self, other: Matrix) -> None:
        """What another process struck of the same plots."""
        self.struck += other.struck
        self.failed += other.failed
        self.whole |= other.whole
        self.duplicates += other.duplicates
        self.lost += other.lost
        self.apart_s += other.apart_s


@dataclass(frozen=True, slots=True)
class Sample:
    """What is struck: every so manieth, from a place on."""

    points: int
    cases: int
    first_point: int = 0
    first_case: int = 0

    def share(self, number: int, jobs: int) -> Sample:
        """One of several equal parts of the sample."""
        first_point, first_case = self.first_point + number * self.points, self.first_case + number * self.cases
        return Sample(self.points * jobs, self.cases * jobs, first_point, first_case)


def matrices(played: Sequence[Plot], folder: Path, sample: Sample, *, jobs: int) -> tuple[Matrix, Matrix]:
    """Both matrices, struck by so many processes side by side; most of what each does is waiting."""
    readers = []
    for number in range(jobs):
        read, write = os.pipe()
        if os.fork() == 0:
            os.close(read)
            _strike_share(played, folder / f"run-{number}", sample.share(number, jobs), write)
        os.close(write)
        readers.append(read)
    crash, faults = Matrix(), Matrix()
    for read in readers:
        with os.fdopen(read, "rb") as told:
            content = told.read()
        os.wait()
        if not content:
            raise RuntimeError("a process of the matrices died; its error is above")
        for mine, part in zip((crash, faults), pickle.loads(content), strict=True):  # noqa: S301 - our own child's
            mine.add(part)
    return crash, faults


def _strike_share(played: Sequence[Plot], folder: Path, sample: Sample, write: int) -> NoReturn:
    """Strike in this process, tell through the pipe, and leave at once: nothing of the parent's is closed here."""
    status = 1
    try:
        crash = crash_matrix(played, folder, every=sample.points, offset=sample.first_point)
        faults = fault_matrix(played, folder, every=sample.cases, offset=sample.first_case)
        with os.fdopen(write, "wb") as out:
            pickle.dump((crash, faults), out)
        status = 0
    finally:
        if status:
            traceback.print_exc(file=sys.stderr)
        os._exit(status)


def crash_matrix(played: Sequence[Plot], folder: Path, *, every: int, offset: int = 0) -> Matrix:
    """Kill the lab at every so manieth point of every plot."""
    matrix = Matrix()
    for plot in played:
        places = count_points(plot, folder)
        matrix.whole[plot.name] = len(places)
        for number in range(1 + offset % every, len(places) + 1, every):
            row = "kill -9 at an await" if places[number - 1].startswith("await") else "kill -9 at a write"
            matrix.note(row, plot, kill_at(plot, folder, number))
    return matrix


def fault_matrix(played: Sequence[Plot], folder: Path, *, every: int, offset: int = 0) -> Matrix:
    """Strike every so manieth (call, fault) of every plot."""
    matrix = Matrix()
    for plot in played:
        found = list(cases(plot, folder))
        matrix.whole[plot.name] = len(found)
        for case in found[offset % every :: every]:
            matrix.note(case.fault, plot, strike(case, folder))
    return matrix


def unhedged(entry: Plot, folder: Path, *, entries: int) -> list[float]:
    """The time unhedged that undisturbed entries report, lab seconds."""
    found = []
    for _ in range(entries):
        world = entry.world.copied(folder)
        with open_exchange(world) as ready:
            told = lab_process(world, ready, lambda lab: _enter(lab, entry)) or {}
        found.append(float(told["unhedged_s"]))
    return found


async def _enter(lab: Lab, entry: Plot) -> Json:
    report = await entry.play(lab, lab.desk())
    return {"unhedged_s": report.max_unhedged_s}


def figures(crash: Matrix, faults: Matrix, apart_s: Sequence[float]) -> Json:
    """The published figures."""
    return {
        "crash_points": crash.struck.total(),
        "crash_points_there_are": crash.whole.total(),
        "crash_failures": crash.failed.total(),
        "crash_apart_max_s": max(crash.apart_s, default=0.0),
        "fault_cases": faults.struck.total(),
        "fault_cases_there_are": faults.whole.total(),
        "fault_failures": faults.failed.total(),
        "unhedged_n": len(apart_s),
        "unhedged_p50_s": round(float(np.percentile(apart_s, 50)), 3),
        "unhedged_p99_s": round(float(np.percentile(apart_s, 99)), 3),
        "unhedged_max_s": round(max(apart_s), 3),
        "duplicate_orders": crash.duplicates + faults.duplicates,
        "lost_fills": crash.lost + faults.lost,
    }


def of_the_stop(trials: int) -> Json:
    """How the kill switch did; every figure None without a trial."""
    if trials < 1:
        return {"kill_trials": 0, "kill_failures": 0, "duplicate_orders": 0} | dict.fromkeys(KILL_FIGURES)
    found = kill_figures(trials)
    counts = {"kill_trials": trials, "kill_failures": found["failures"], "duplicate_orders": found["duplicate_orders"]}
    return counts | {name: found[name] for name in KILL_FIGURES}


def of_the_audit(lines: int) -> Json:
    """How long a year of minute cycles takes to verify; a shorter chain is told for a year's."""
    found = audit_figures(lines)
    return {name: found[name] for name in ("audit_lines", "audit_ok", "audit_year_verify_s")}


def table(*matrices: Matrix) -> str:
    """Rows are what went wrong, columns what the desk was doing: failed of struck."""
    columns = list(dict.fromkeys(name for matrix in matrices for name in matrix.whole))
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for matrix in matrices:
        for row in dict.fromkeys(row for row, _ in matrix.struck):
            cells = (f"{matrix.failed[row, c]} of {matrix.struck[row, c]}" for c in columns)
            lines.append(f"| {row} | {' | '.join(cells)} |".replace(" 0 of 0 ", " - "))
    return "\n".join(lines) + "\n"


def write_table(path: Path, text: str) -> None:
    """Put the table between the document's marks."""
    before, _, rest = path.read_text(encoding="utf-8").partition(MARK)
    path.write_text(before + MARK + text + MARK.replace("<!-- ", "<!-- /") + rest.partition("<!-- /matrix -->\n")[2])


def main(arguments: list[str] | None = None) -> int:
    """Both matrices and the time unhedged; 1 when anything did not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="an even sample of both matrices")
    parser.add_argument("--every", type=int, help="kill at every so manieth point; --quick chooses its own")
    parser.add_argument("--cases-every", type=int, help="strike every so manieth case of the faults")
    parser.add_argument("--entries", type=int, help="undisturbed entries whose time unhedged is measured")
    parser.add_argument("--offset", type=int, default=0, help="where an even sample begins")
    parser.add_argument(
        "--jobs", type=int, default=1, help="processes that strike side by side; three keep two cores busy"
    )
    parser.add_argument("--trials", type=int, help="kills whose way to flat is timed")
    parser.add_argument("--audit-lines", type=int, help="length of the audit chain that is verified")
    parser.add_argument("--table", type=Path, help="document whose matrix is renewed")
    chosen = parser.parse_args(arguments)
    warm_up()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        played, run = plots(new_world(folder), folder), folder / "run"
        sample = Sample(
            chosen.every or (QUICK_POINTS if chosen.quick else 1),
            chosen.cases_every or (QUICK_CASES if chosen.quick else 1),
            chosen.offset,
            chosen.offset,
        )
        crash, faults = matrices(played, folder, sample, jobs=chosen.jobs)
        entries = chosen.entries or (QUICK_ENTRIES if chosen.quick else ENTRIES)
        apart_s = unhedged(played[0], run, entries=entries)
    if chosen.table is not None:
        write_table(chosen.table, table(crash, faults))
    found = figures(crash, faults, apart_s)
    stops = of_the_stop(_number(chosen.trials, QUICK if chosen.quick else TRIALS))
    found["duplicate_orders"] += stops.pop("duplicate_orders")
    found |= stops
    found |= of_the_audit(chosen.audit_lines or (QUICK_LINES if chosen.quick else YEAR_LINES))
    sys.stdout.write(table(crash, faults) + json.dumps(found) + "\n")
    failed = found["crash_failures"] or found["fault_failures"] or found["kill_failures"] or not found["audit_ok"]
    return int(bool(failed))


def _number(chosen: int | None, otherwise: int) -> int:
    return otherwise if chosen is None else chosen


if __name__ == "__main__":
    sys.exit(main())

"""The machine and the processes: do they live, what do they take, when did each job last run, what would one lose."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ops.dashboard.cycles import parse_cycle
from ops.dashboard.reading import NUMBERS, as_told, read_as, read_loop_s
from ops.dashboard.view import Banner, Cell, Column, Facts, Meter, Meters, Table, Tone, View, ago, when
from ops.figures import size
from ops.numbers import Numbers
from ops.resident import resident_bytes
from ops.schedule import SCHEDULE, rows_for
from ops.status import ALIVE_S, Status, read_status, running_pid
from trading.domain.clock import LAST_MS, Clock
from trading.storage.file_age import file_age_s
from trading.storage.home import Home
from trading.storage.long_files import backwards, size_of

CYCLES_LOOKED = 240
FULL_DISK = 0.9
HOUSE_MB = 450.0
"""What service and guardian together may take of memory."""


class _Budget(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    day: str = ""
    usd: float = 0.0
    calls: int = 0


_BUDGET = TypeAdapter(_Budget)
_STAMPS = TypeAdapter(dict[str, Annotated[int, Field(ge=0, le=LAST_MS)]])


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the lab."""

    name: str
    pid: int
    rss_mb: float


@dataclass(frozen=True, slots=True)
class Stage:
    """How long one stage of a cycle takes, real seconds."""

    name: str
    median_s: float
    worst_s: float
    n: int


@dataclass(frozen=True, slots=True)
class Health:
    """What the files and the machine say."""

    status: Status
    numbers: Numbers | None
    pulse_age_s: float | None
    """Of the service's loop; None: there never was one."""
    guardian_age_s: float | None
    """Of the guardian's last look; None: it never ran here."""
    processes: tuple[Process, ...]
    stages: tuple[Stage, ...]
    loop_s: int | None
    """Between two cycles, as `lab.yaml` has it; None: it cannot be read."""
    last_runs: Mapping[str, int]
    """By job, lab time, UTC milliseconds."""
    budget: _Budget | None
    disk_used: float
    """Fraction of the disk the home lies on."""
    disk_free_gb: float
    sizes: tuple[tuple[str, int], ...]
    newest_backup: Path | None
    backup_age_s: float | None
    problems: tuple[str, ...]


def read_health(home: Home, clock: Clock) -> Health:
    """Read it; what cannot be read is among the problems."""
    status = read_status(home, clock)
    problems = list(status.problems)
    stamps = read_as(home.state / "schedule.json", _STAMPS, problems) or {}
    disk = shutil.disk_usage(home.root)
    backups = sorted((home.root / "backups").glob("lab-*.tar.gz"))
    pids = (("service", status.pid), ("guardian", running_pid(home.guardian_lock_file)))
    return Health(
        status=status,
        numbers=as_told(status.heartbeat, NUMBERS, str(home.heartbeat_file), problems),
        pulse_age_s=file_age_s(home.pulse_file, clock),
        guardian_age_s=file_age_s(home.guardian_pulse_file, clock),
        processes=tuple(found for name, pid in pids if (found := _process(name, pid)) is not None),
        stages=tuple(_stages(home)),
        loop_s=read_loop_s(home, problems),
        last_runs={name: at_ms for name, at_ms in stamps.items() if name != "schema"},
        budget=read_as(home.state / "model_budget.json", _BUDGET, problems),
        disk_used=disk.used / disk.total,
        disk_free_gb=disk.free / 1e9,
        sizes=tuple(_sizes(home)),
        newest_backup=backups[-1] if backups else None,
        backup_age_s=file_age_s(backups[-1], clock) if backups else None,
        problems=tuple(problems),
    )


def _process(name: str, pid: int | None) -> Process | None:
    """A process with its memory, as the kernel tells it; None: it does not live."""
    if pid is None or (resident := resident_bytes(pid)) is None:
        return None
    return Process(name, pid, resident / 1e6)


def _stages(home: Home) -> Iterator[Stage]:
    seen = dict[str, list[float]]()
    for line in islice(backwards(home.audit_file), CYCLES_LOOKED):
        cycle = parse_cycle(line.raw)
        for name, taken_s in (cycle.stage_s if cycle is not None else {}).items():
            seen.setdefault(name, []).append(taken_s)
    for name, taken in sorted(seen.items(), key=lambda pair: -max(pair[1])):
        yield Stage(name, sorted(taken)[len(taken) // 2], max(taken), len(taken))


def _sizes(home: Home) -> Iterator[tuple[str, int]]:
    yield "audit file", size_of(home.audit_file)
    yield "intents", size_of(home.intents_file)
    yield "memory of ideas", size_of(home.learning_db)
    yield "logs", sum(map(size_of, home.logs.glob("*")))
    yield "raw record of the stream", sum(map(size_of, home.recordings.glob("*")))
    yield "backups", sum(map(size_of, (home.root / "backups").glob("*")))


def health(read: Health) -> View:
    """The screen."""
    banners = [Banner(f"Cannot be read: {problem}", Tone.BAD) for problem in read.problems]
    blocks = (_processes(read), _machine(read), _stages_block(read), _jobs(read), _disk(read))
    return View("health", "System health", blocks, tuple(banners))


def _processes(read: Health) -> Facts:
    is_alive = read.status.pid is not None
    rows = [
        ("Pulse of the service", _age_cell(read.pulse_age_s, 5.0)),
        ("Heartbeat", _age_cell(read.status.heartbeat_age_s, ALIVE_S if is_alive else 0.0)),
        ("Guardian's last look", _age_cell(read.guardian_age_s, 60.0)),
    ]
    rows += [(f"Memory of the {p.name}", Cell(f"{p.rss_mb:,.0f} MB, process {p.pid}")) for p in read.processes]
    if read.numbers is not None:
        rows.append(("Up for" if is_alive else "Was up for", Cell(ago(read.numbers.uptime_s))))
        rows.append(("Peak memory it told", Cell(f"{read.numbers.rss_mb:,.0f} MB")))
        errors = read.numbers.errors
        rows.append(("Cycles with an error since the start", Cell(str(errors), Tone.CAUTION if errors else Tone.PLAIN)))
        rows.append(("Parity, last night", Cell(read.numbers.parity or "nobody has looked")))
    rows.append(("Drills", Cell(read.status.drills)))
    return Facts("Processes", tuple(rows))


def _age_cell(age_s: float | None, fresh_s: float) -> Cell:
    if age_s is None:
        return Cell("never", Tone.QUIET, signed=True)
    return Cell(f"{ago(age_s)} ago", Tone.GOOD if age_s <= fresh_s else Tone.BAD, signed=True)


def _machine(read: Health) -> Meters:
    disk_tone = Tone.BAD if read.disk_used >= FULL_DISK else Tone.PLAIN
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    meters = [
        _memory(read.processes),
        Meter("Disk", read.disk_used, f"{read.disk_used:.0%} full, {read.disk_free_gb:,.1f} GB free", disk_tone),
        Meter("Load, one minute", load / cores, f"{load:.2f} on {cores} cores"),
    ]
    return Meters("Machine", tuple(meters))


def _memory(processes: Sequence[Process]) -> Meter:
    name, taken_mb = "Memory of service and guardian", sum(process.rss_mb for process in processes)
    if not processes:
        return Meter(name, None, "neither runs")
    is_over = taken_mb > HOUSE_MB
    told = f"{taken_mb:,.0f} of {HOUSE_MB:,.0f} MB{': more than they should take' if is_over else ''}"
    return Meter(name, taken_mb / HOUSE_MB, told, Tone.CAUTION if is_over else Tone.PLAIN)


def _stages_block(read: Health) -> Table:
    columns = (
        Column("Stage"),
        Column("Median", is_number=True),
        Column("Worst", is_number=True),
        Column("n", is_number=True),
    )
    rows = tuple(
        (Cell(s.name), Cell(f"{s.median_s * 1000:,.1f} ms"), Cell(f"{s.worst_s * 1000:,.1f} ms"), Cell(str(s.n)))
        for s in read.stages
    )
    return Table(f"Stages of the last {CYCLES_LOOKED} cycles, real time", columns, rows, empty="no cycle yet")


def _jobs(read: Health) -> Table:
    columns = (Column("Job"), Column("Every", is_number=True), Column("Last run, UTC", is_number=True))
    every = {row.name: row.every_s for row in (SCHEDULE if read.loop_s is None else rows_for(read.loop_s))}
    names = sorted({*every, *read.last_runs}, key=lambda name: (every.get(name, 0), name))
    rows = []
    for name in names:
        at_ms = read.last_runs.get(name)
        ran = Cell("never", Tone.QUIET) if at_ms is None else Cell(when(at_ms))
        rows.append((Cell(name), Cell(ago(every[name]) if name in every else "–"), ran))
    return Table("Jobs", columns, tuple(rows), note="Lab time, the time each was due.")


def _disk(read: Health) -> Facts:
    rows = [(name, Cell(size(taken))) for name, taken in read.sizes]
    if read.newest_backup is None or read.backup_age_s is None:
        rows.append(("Newest backup", Cell("none yet: the weekly one comes on Sunday", Tone.CAUTION, signed=True)))
    else:
        rows.append(("Newest backup", Cell(f"{read.newest_backup.name}, {ago(read.backup_age_s)} ago")))
    if read.budget is not None:
        rows.append(("Language model", Cell(f"${read.budget.usd:.4f}, {read.budget.calls} calls on {read.budget.day}")))
    return Facts("On disk", tuple(rows))

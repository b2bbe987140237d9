"""The lab's state as its files tell it: no network, no lock, nothing written, whether the service lives or not."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ops.aside import set_aside_files
from ops.drill.filed import read_drills, standing
from ops.environment import read_environment
from ops.object_file import living_files, read_object, retired_count
from trading.domain.clock import Clock
from trading.domain.errors import SettingsError
from trading.risk.kill_switch import Stop, StopKind, read_stop
from trading.storage.file_age import file_age_s
from trading.storage.home import Home

ALIVE_S = 300.0
"""A heartbeat older than this means that nobody is at home."""

START_S = 1800.0
"""A start may take so long until its first heartbeat: it compiles, and fetches years of candles. As the watchman's."""

BOOT_S = 2.0
"""The kernel tells when it booted in whole seconds."""
STARTED_WORD = 19
"""Of `/proc/PID/stat` behind the name: clock ticks from boot to the start of the process."""


@dataclass(frozen=True, slots=True)
class StrategyLine:
    """One strategy file in short."""

    id: str
    name: str
    type: str
    stage: str
    status: str
    approved_at: str | None


@dataclass(frozen=True, slots=True)
class Signs:
    """Whether anybody is at home, and what stops the lab."""

    pid: int | None
    """Of the running service; None: it does not run."""
    heartbeat_age_s: float | None
    """None: there never was one."""
    stop: str | None
    """What stops the lab now, in words; None: nothing does."""
    paused: bool
    switch: str
    """The stop or the pause by its source, as `to_release` takes it; empty: neither."""
    started_s_ago: float | None
    """Of the running service; None: it does not run."""

    @property
    def is_starting(self) -> bool:
        """It runs, and has not ended its first cycle yet; any heartbeat there is is one of before."""
        if self.started_s_ago is None or (self.heartbeat_age_s is not None and self.heartbeat_age_s <= ALIVE_S):
            return False
        is_of_before = self.heartbeat_age_s is None or self.heartbeat_age_s > self.started_s_ago
        return is_of_before and self.started_s_ago <= START_S


@dataclass(frozen=True, slots=True)
class Status(Signs):
    """What `get_status.py` shows."""

    at_ms: int
    heartbeat: dict[str, object]
    """The numbers of the last cycle, as the service wrote them; empty before the first, or where it cannot be read."""
    is_armed: bool
    """A strategy is armed for live trading."""
    in_force: tuple[str, ...]
    """What forbids live entries until a human releases it: the stop or the pause, then each halt."""
    strategies: tuple[StrategyLine, ...]
    """Those that are not retired."""
    retired: int
    drills: str
    """When stop, crash, a failed leg and a lost key were last rehearsed, in words."""
    problems: tuple[str, ...]
    """Files that could not be read, one line each."""

    @property
    def is_unread(self) -> bool:
        """There is a heartbeat, and what it says cannot be read."""
        return self.heartbeat_age_s is not None and not self.heartbeat

    @property
    def stages(self) -> dict[str, int]:
        """Strategies by stage."""
        return dict(Counter(line.stage for line in self.strategies) + Counter(retired=self.retired))

    @property
    def pending(self) -> tuple[StrategyLine, ...]:
        """What waits for the human."""
        return tuple(line for line in self.strategies if line.stage == "review" and line.approved_at is None)

    @property
    def unarmed(self) -> tuple[StrategyLine, ...]:
        """Carries that a human has approved and that wait for the second gate, `go_live.py`; what is in a live stage
        waits for it only where nothing is armed.
        """
        carries = (line for line in self.approved if line.type == "funding_carry")
        return tuple(line for line in carries if line.stage == "review" or not self.is_armed)

    @property
    def approved(self) -> tuple[StrategyLine, ...]:
        """What the human has approved and is not retired."""
        return tuple(line for line in self.strategies if line.approved_at is not None)


def read_signs(home: Home, clock: Clock, problems: list[str]) -> Signs:
    """Look at the lock, the heartbeat's age and every switch, and at nothing else."""
    stop, pid = _stop(home, problems), running_pid(home.lock_file)
    return Signs(
        pid=pid,
        heartbeat_age_s=file_age_s(home.heartbeat_file, clock),
        stop=_in_words(stop) if stop.kind in (StopKind.KILL, StopKind.STOPPED) else None,
        paused=stop.kind is StopKind.PAUSED,
        switch=stop.source,
        started_s_ago=None if pid is None else file_age_s(home.lock_file, clock),
    )


def read_status(home: Home, clock: Clock) -> Status:
    """Read every file that tells something; what cannot be read is a problem line, never an exception."""
    problems: list[str] = []
    heartbeat = read_object(home.heartbeat_file, problems)
    signs = read_signs(home, clock, problems)
    return Status(
        pid=signs.pid,
        heartbeat_age_s=signs.heartbeat_age_s,
        stop=signs.stop,
        paused=signs.paused,
        switch=signs.switch,
        started_s_ago=signs.started_s_ago,
        at_ms=clock.now_ms(),
        heartbeat=heartbeat,
        is_armed=home.armed_file.exists(),
        in_force=tuple(_in_force(home, signs, heartbeat, problems)),
        strategies=tuple(_strategies(home, problems)),
        retired=retired_count(home),
        drills=standing(read_drills(home), now_ms=clock.system_ms()).words,
        problems=(*problems, *(f"{home.root / file}: set aside, it could not be read" for file in _aside(home))),
    )


def _in_force(home: Home, signs: Signs, heartbeat: dict[str, object], problems: list[str]) -> Iterator[str]:
    """By the files as they are now: of a heartbeat, which may be old, only what a running service alone can know."""
    told, counters = heartbeat.get("in_force"), read_object(home.state / "risk_counters.json", problems)
    if signs.switch:
        yield signs.switch
    elif signs.pid is not None and isinstance(told, list):
        yield from (name for name in map(str, told) if name.startswith("KILL="))
    halts = counters.get("halts")
    for halt in halts if isinstance(halts, list) else []:
        if isinstance(halt, dict):
            yield f"{halt.get('reason', '?')} {halt.get('subject', '')}".rstrip()


def _aside(home: Home) -> list[str]:
    """Of state: the repository tells of strategies itself."""
    return [file for file in set_aside_files(home) if file.startswith("state/")]


def _strategies(home: Home, problems: list[str]) -> list[StrategyLine]:
    lines = []
    for path in living_files(home):
        data = read_object(path, problems)
        if not data:
            continue
        approved_at = data.get("approved_at")
        lines.append(
            StrategyLine(
                id=str(data.get("id", path.stem)),
                name=str(data.get("name", "?")),
                type=str(data.get("type", "?")),
                stage=str(data.get("stage", "?")),
                status=str(data.get("status", "?")),
                approved_at=None if approved_at is None else str(approved_at),
            )
        )
    return lines


def running_pid(lock_file: Path) -> int | None:
    """The living process that holds a lock; None: nobody does, whoever has got the number of a dead one since."""
    try:
        pid = int(lock_file.read_text())
        os.kill(pid, 0)
    except PermissionError:
        return pid  # it runs, as another user
    except (OSError, ValueError):
        return None
    return None if _began_after(pid, lock_file) else pid


def _began_after(pid: int, lock_file: Path) -> bool:
    """Whether a process is younger than the lock that names it: another one that got the number of a dead one."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        booted = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
        began_s = int(booted.split()[1]) + int(words[STARTED_WORD]) / os.sysconf("SC_CLK_TCK")
        return began_s > lock_file.stat().st_mtime + BOOT_S
    except (OSError, ValueError, IndexError, StopIteration):
        return False


def _stop(home: Home, problems: list[str]) -> Stop:
    """As the lab itself reads it; `KILL=1` in `.env` too."""
    kill = os.environ.get("KILL", "")
    try:
        with warnings.catch_warnings(action="ignore"):
            kill = "1" if read_environment(home).kill else kill
    except (SettingsError, OSError) as error:
        problems.append(str(error))
    return read_stop(home, {"KILL": kill})


def _in_words(stop: Stop) -> str:
    kept = ", positions are kept" if stop.keep_positions else ""
    return stop.source if "=" in stop.source else f"{stop.source} is there{kept}"

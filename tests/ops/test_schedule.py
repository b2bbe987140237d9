"""The schedule follows the lab's clock, tells of failures, survives a restart, and drains before it ends."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ops.schedule
from ops.schedule import DAY_S, SCHEDULE, SUNDAY_S, Row, Schedule
from tests.set_clock import SetClock
from trading.domain.clock import Clock, Timeline, parse_iso
from trading.domain.errors import DataProviderError, StateFileError
from trading.domain.events import Event, Severity

START_MS = parse_iso("2024-11-01T00:00:30Z")


class Bench:
    """One schedule under test, with what it published."""

    def __init__(self, folder: Path, *, scale: float = 600.0) -> None:
        self.clock = Clock(scale=scale, origin_ms=START_MS)
        self.events: list[Event] = []
        self.stop = asyncio.Event()
        self.file = folder / "schedule.json"

    def schedule(self, rows: tuple[Row, ...], jobs: dict[str, Callable[[], Awaitable[None]]]) -> Schedule:
        return Schedule(rows, jobs, clock=self.clock, publish=self.events.append, last_runs_file=self.file)

    def names(self) -> list[str]:
        return [event.name for event in self.events]


async def test_jobs_run_at_their_due_times_of_lab_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    seen: list[int] = []

    async def job() -> None:
        seen.append(bench.clock.now_ms())
        if len(seen) == 3:
            bench.stop.set()

    await asyncio.wait_for(bench.schedule((Row("loop", 60),), {"loop": job}).run(bench.stop, grace_s=1), 10)
    assert [ms // 60_000 for ms in seen] == [START_MS // 60_000 + n for n in (1, 2, 3)]
    assert all(ms % 60_000 < 30_000 for ms in seen)


async def test_a_bend_in_the_clock_moves_every_due_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path, scale=1.0)
    ran = asyncio.Event()

    async def job() -> None:
        ran.set()

    schedule = bench.schedule((Row("loop", 3600),), {"loop": job})
    task = asyncio.create_task(schedule.run(bench.stop, grace_s=1))
    await asyncio.sleep(0.05)
    assert not ran.is_set()
    bench.clock.follow(Timeline(bench.clock.real_s(), START_MS, 36_000.0))
    await asyncio.wait_for(ran.wait(), 5)
    assert bench.clock.now_ms() >= START_MS // 3_600_000 * 3_600_000 + 3_600_000
    bench.stop.set()
    await task


@pytest.mark.parametrize("set_by_s", [-7200.0, 7200.0])
async def test_a_system_clock_that_is_set_or_a_server_that_slept_stops_no_job(
    tmp_path: Path, set_by_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops.schedule, "LOOK_S", 0.02)
    bench, ran = Bench(tmp_path), asyncio.Event()
    bench.clock = clock = SetClock()

    async def job() -> None:
        ran.set()

    schedule = bench.schedule((Row("loop", 1), Row("hourly", 3600)), {"loop": job})
    task = asyncio.create_task(schedule.run(bench.stop, grace_s=1))
    await asyncio.wait_for(ran.wait(), 3)
    clock.ahead_s = set_by_s
    for _ in range(2):
        ran.clear()
        await asyncio.wait_for(ran.wait(), 3)
    bench.stop.set()
    await task


async def test_an_expected_failure_ends_the_cycle_only(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    runs = 0

    async def job() -> None:
        nonlocal runs
        runs += 1
        if runs == 2:
            bench.stop.set()
        raise DataProviderError("quote BTCUSDT: 75 s old")

    await asyncio.wait_for(bench.schedule((Row("loop", 60),), {"loop": job}).run(bench.stop, grace_s=1), 10)
    assert runs == 2
    assert bench.names() == ["job.failed", "job.failed"]
    assert "75 s old" in str(bench.events[0].facts["error"])


async def test_a_job_that_keeps_failing_is_one_alert_until_it_succeeds_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    runs = 0

    async def job() -> None:
        nonlocal runs
        runs += 1
        if runs in (3, 12):
            return
        if runs == 13:
            bench.stop.set()
        raise DataProviderError("feeds: none answers")

    await asyncio.wait_for(bench.schedule((Row("news", 60),), {"news": job}).run(bench.stop, grace_s=1), 10)
    loud = [event for event in bench.events if event.name != "job.failed"]
    assert [event.name for event in loud] == ["job.failing", "job.recovered"]
    assert loud[0].severity is Severity.ALERT
    assert (loud[0].facts["job"], loud[0].facts["failures"], loud[0].facts["limit"]) == ("news", 6, 5)
    assert bench.names().index("job.failing") == 8  # two failures, a success that counts anew, six failures
    assert bench.names().count("job.failed") == 11


async def test_a_rare_job_that_failed_is_tried_again_in_an_hour_and_once_it_has_succeeded_no_more(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, scale=30_000.0)
    seen: list[int] = []

    async def backup() -> None:
        seen.append(bench.clock.now_ms())
        if len(seen) in (1, 2):
            raise StateFileError("backups: no space left")
        if len(seen) == 4:
            bench.stop.set()

    row = Row("weekly_backup", DAY_S, offset_s=3600)
    await asyncio.wait_for(bench.schedule((row,), {"weekly_backup": backup}).run(bench.stop, grace_s=1), 20)
    hours = [round((ms - seen[0]) / 3_600_000, 1) for ms in seen]
    assert hours[1] >= 1.0
    assert hours[2] >= hours[1] + 1.0
    assert hours[2] < 23
    assert hours[3] >= 23  # the next time that it was due


async def test_a_rare_job_that_failed_before_a_restart_is_tried_at_its_start(tmp_path: Path) -> None:
    bench, ran = Bench(tmp_path, scale=150_000.0), 0

    async def backup() -> None:
        nonlocal ran
        ran += 1
        bench.stop.set()
        if ran == 1:
            raise StateFileError("backups: no space left")

    row = Row("weekly_backup", DAY_S)
    await asyncio.wait_for(bench.schedule((row,), {"weekly_backup": backup}).run(bench.stop, grace_s=1), 20)
    bench.clock.follow(Timeline(bench.clock.real_s(), bench.clock.now_ms(), 1.0))
    for _ in range(2):  # the second start finds it done
        bench.stop = asyncio.Event()
        task = asyncio.create_task(bench.schedule((row,), {"weekly_backup": backup}).run(bench.stop, grace_s=1))
        await asyncio.sleep(0.1)
        bench.stop.set()
        await asyncio.wait_for(task, 10)
    assert ran == 2


async def test_a_bug_where_money_is_touched_ends_the_service(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    async def job() -> None:
        raise KeyError("fills")

    with pytest.raises(KeyError, match="fills"):
        await asyncio.wait_for(
            bench.schedule((Row("loop", 60, touches_money=True),), {"loop": job}).run(bench.stop, grace_s=1), 10
        )
    assert bench.names() == ["job.ended_service"]


async def test_a_bug_elsewhere_parks_that_job_and_the_others_go_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    good = 0

    async def bad_job() -> None:
        raise ValueError("thoughts")

    async def good_job() -> None:
        nonlocal good
        good += 1
        if good == 3:
            bench.stop.set()

    schedule = bench.schedule((Row("think", 60), Row("loop", 60)), {"think": bad_job, "loop": good_job})
    await asyncio.wait_for(schedule.run(bench.stop, grace_s=1), 10)
    assert bench.names() == ["job.parked"]
    assert list(schedule.parked) == ["think"]


async def test_a_due_time_missed_while_down_is_made_up_once_after_a_restart(tmp_path: Path) -> None:
    bench = Bench(tmp_path, scale=1.0)
    day = Row("daily", DAY_S)
    last_due = day.last_due_ms(START_MS)
    bench.file.write_text(json.dumps({"schema": 1, "daily": last_due - DAY_S * 1000, "weekly": last_due}))
    ran: list[str] = []

    async def daily() -> None:
        ran.append("daily")
        bench.stop.set()

    async def weekly() -> None:
        ran.append("weekly")

    schedule = bench.schedule((day, Row("weekly", DAY_S)), {"daily": daily, "weekly": weekly})
    await asyncio.wait_for(schedule.run(bench.stop, grace_s=1), 5)
    assert ran == ["daily"]
    assert json.loads(bench.file.read_text())["daily"] == last_due


async def test_an_unreadable_record_of_last_runs_is_set_aside_and_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.file.write_text("{not json")

    async def job() -> None:
        bench.stop.set()

    await asyncio.wait_for(bench.schedule((Row("loop", 60),), {"loop": job}).run(bench.stop, grace_s=1), 10)
    assert [(event.name, event.severity) for event in bench.events] == [("state.set_aside", Severity.NOTICE)]
    assert bench.file.with_name("schedule.json.bad-1").read_text() == "{not json"


async def test_a_record_of_last_runs_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    bench, runs, unheard = Bench(tmp_path), list[int](), list[object]()
    bench.file = tmp_path / "gone" / "schedule.json"
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))

    async def job() -> None:
        runs.append(bench.clock.now_ms())
        if len(runs) == 3:
            bench.stop.set()

    await asyncio.wait_for(bench.schedule((Row("loop", 60),), {"loop": job}).run(bench.stop, grace_s=1), 10)
    gc.collect()  # what nobody caught is told when it goes
    await asyncio.sleep(0)
    assert len(runs) == 3
    assert unheard == []


@pytest.mark.parametrize("touches_money", [True, False])
async def test_a_running_job_that_touches_money_gets_the_grace_at_the_end_and_another_none(
    touches_money: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(tmp_path)
    finished: list[str] = []

    async def quick() -> None:
        bench.stop.set()
        await asyncio.sleep(0.05)
        finished.append("quick")

    async def stuck() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            finished.append("cancelled")

    rows = (Row("quick", 60, touches_money=True), Row("stuck", 60, touches_money=touches_money))
    schedule = bench.schedule(rows, {"quick": quick, "stuck": stuck})
    began_s = bench.clock.real_s()
    await asyncio.wait_for(schedule.run(bench.stop, grace_s=0.3 if touches_money else 600.0), 10)
    assert finished == (["quick", "cancelled"] if touches_money else ["cancelled", "quick"])
    assert bench.clock.real_s() - began_s >= (0.3 if touches_money else 0.05)
    kept = json.loads(bench.file.read_bytes())
    assert kept["stuck"] < kept["quick"], "what was cut off is due after the next start"
    assert "Traceback" not in caplog.text, "a job that is cut off at the end is no error of anybody's"


async def test_settled_means_all_that_was_due_is_done(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    gate = asyncio.Event()
    started = asyncio.Event()

    async def job() -> None:
        started.set()
        await gate.wait()

    row = Row("loop", 60)
    schedule = bench.schedule((row,), {"loop": job})
    task = asyncio.create_task(schedule.run(bench.stop, grace_s=1))
    await asyncio.wait_for(started.wait(), 5)
    due_ms = row.last_due_ms(bench.clock.now_ms())
    assert not schedule.settled(due_ms)
    gate.set()
    await asyncio.sleep(0.05)
    assert schedule.settled(due_ms)
    assert not schedule.settled(due_ms + 10 * 60_000 * 60)
    bench.stop.set()
    await task


@given(every_s=st.integers(1, 700_000), offset_s=st.integers(0, 700_000), now_ms=st.integers(0, 2_000_000_000_000))
def test_due_times_lie_around_now_on_the_grid(every_s: int, offset_s: int, now_ms: int) -> None:
    row = Row("any", every_s, offset_s)
    last, following = row.last_due_ms(now_ms), row.next_due_ms(now_ms)
    assert last <= now_ms < following == last + every_s * 1000
    assert (last - offset_s * 1000) % (every_s * 1000) == 0


@given(
    every_s=st.integers(1, 700_000),
    offset_s=st.integers(0, 700_000),
    began_ms=st.integers(10**12, 2 * 10**12),
    steps_ms=st.lists(st.integers(-(10**10), 10**10) | st.integers(-5000, 5000), max_size=30),
)
def test_however_the_clock_is_set_a_job_goes_on_within_two_periods_and_no_due_time_comes_twice_by_a_small_step(
    every_s: int, offset_s: int, began_ms: int, steps_ms: list[int]
) -> None:
    row, now_ms = Row("any", every_s, offset_s), began_ms
    started_ms = row.last_due_ms(now_ms)
    for step_ms in steps_ms:
        now_ms, before_ms = now_ms + step_ms, started_ms
        started_ms = row.started_ms(before_ms, now_ms)
        assert started_ms >= row.last_due_ms(now_ms), "what was due is done, or counts as done"
        assert row.next_due_ms(started_ms) - now_ms <= 2 * every_s * 1000, "it goes on by what the clock says now"
        assert started_ms >= before_ms or before_ms > row.next_due_ms(now_ms), "only one far off begins anew"


def test_the_weekly_backup_is_due_on_sundays_just_after_midnight() -> None:
    weekly = next(row for row in SCHEDULE if row.name == "weekly_backup")
    sunday_ms = parse_iso("2024-11-03T00:00:00Z")
    assert weekly.next_due_ms(sunday_ms - 1000) == sunday_ms + (weekly.offset_s - SUNDAY_S) * 1000

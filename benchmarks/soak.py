"""Weeks without a hand on it: `python -m benchmarks.soak [--days 30] [--hours 8] [--quick] [--chart FILE]`; JSON.

Service and guardian, as processes, with an approved carry that may trade, against the sandbox. First lab days at 1,000
times the speed of life with a fault every few seconds, then, started anew, real hours at normal speed with one every
few minutes. Every two seconds it is noted what both processes hold: memory, open files, threads, tasks. At the end the
sandbox's Telegram is asked which hourly reports reached the chat, and the logs whether anything happened that nobody
caught.

`unhandled`: exceptions nobody caught, parked jobs, processes that ended by themselves. `reports_due`: full hours while
they ran. `rss_*_mb`, `open_files_growth`, `tasks_growth`: service and guardian together, medians after the first lab
day and at the end; `real_*`: the same of the real hours, after the first, and `real_rss_mb_per_hour` the slope of all
looks there. `helpers_peak_mb`: the most that processes which they start for a piece of work (research, a picture) held
beside them at one look. At normal speed, research
included, null without real hours: `loop_lag_p99_ms`; `idle_cpu_share` of one core, and `helpers_cpu_share` of those
helpers that have ended.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from benchmarks.misfortune import FEEDS, KINDS, ORDERS, READS, SOCKETS
from benchmarks.soak_chart import draw_soak
from benchmarks.soak_eyes import Process, lag_p99_ms, sample
from benchmarks.soak_figures import DAY_MS, HOUR_MS, Soak, figures
from ops.door import ROOT, kernels_version
from tests.ops.world import World, approved_carry, end, furnish, open_world, start_service
from trading.journal.audit import verify_audit
from trading.storage.home import Home

SCALE, CALM = 1000.0, 60.0
"""Lab seconds per real second: in the fast days, and while the processes start and end."""
START_S, END_S, SAMPLE_S = 60.0, 15.0, 2.0
"""Real seconds: of the calm start, of the calm end, between two samples."""
FAULT_EVERY_S, SLOW_FAULT_EVERY_S = (1.0, 6.0), (60.0, 300.0)
TELEGRAM_KINDS = ["429", "5xx", "500", "502", "drop_socket", "html", "timeout_before"]
"""None after which a message may have arrived without an answer: it is sent again then, which nobody can avoid."""
UNCAUGHT = ("Traceback", "job.parked", "never retrieved")
REPORT = re.compile(r"^📊 Hourly Report - (\d\d):(\d\d) UTC")


def main() -> None:
    """Play it and print the figures."""
    parser = argparse.ArgumentParser(description="Weeks without a hand on it.")
    parser.add_argument("--days", type=float, default=30.0, help="lab days at 1,000 times the speed of life")
    parser.add_argument("--hours", type=float, default=8.0, help="real hours at normal speed after them")
    parser.add_argument("--symbols", type=int, default=1, help="markets, 1 to 20")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="two lab days, five real minutes")
    parser.add_argument("--chart", type=Path, help="draw memory, files and tasks into this PNG")
    options = parser.parse_args()
    if options.quick:
        options.days, options.hours = 2.0, 1 / 12
    os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".numba_cache" / kernels_version()))  # as `./lab` does
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")
    # also as `./lab` does: what the compiler takes of memory, the service need not keep
    subprocess.run([sys.executable, "-m", "trading.simulator.compiled"], check=True, stdout=subprocess.DEVNULL)
    folder, soak = Path(tempfile.mkdtemp(prefix="soak-")), Soak()
    symbols = ["BTCUSDT", *(f"LAB{letter}USDT" for letter in "ABCDEFGHIJKLMNOPQRS")][: options.symbols]
    ahead = int(options.days + options.hours / 24) + 4
    world = open_world(folder / "tape", scale=CALM, symbols=symbols, more_days=ahead)
    try:
        played = _Played(world, Home(folder / "home").make(), soak, options.seed, symbols)
        try:
            played.play(options.days, options.hours)
        finally:
            played.end_processes()
    finally:
        world.close()
    if options.chart:
        draw_soak(soak.samples, options.chart)
    if soak.unhandled or soak.reports.total() != len(soak.due):
        print(f"files in {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    print(json.dumps(figures(soak)))


class _Played:
    """The whole of it as it goes on."""

    def __init__(self, world: World, home: Home, soak: Soak, seed: int, symbols: Sequence[str]) -> None:
        self._world, self._home, self._soak, self._chance = world, home, soak, random.Random(seed)
        self._http = httpx.Client(base_url=world.url, timeout=10.0)
        furnish(home, world.url)
        more = f", more_symbols: [{', '.join(symbols[1:])}]" if symbols[1:] else ""
        text = home.settings_file.read_text().replace("follow_sandbox_clock: true", f"follow_sandbox_clock: true{more}")
        self._port = 9000 + os.getpid() % 1000
        home.settings_file.write_text(f"{text}metrics: {{port: {self._port}}}\n")
        with home.env_file.open("a") as env:
            env.write("TELEGRAM_TOKEN=123456:sandbox-telegram-token\nTELEGRAM_CHAT_ID=1\n")
        approved_carry(home)
        self._processes: dict[str, Process] = {}
        self._next_fault_s = 0.0

    def play(self, days: float, hours: float) -> None:
        """Fast days, then real hours; each by processes of its own: a lab learns the sandbox's pace when it starts."""
        if days:
            self._fast(days)
        if hours:
            self._real(hours)
        self._judge()

    def _fast(self, days: float) -> None:
        first_ms = self._now_ms() + START_S * CALM * 1000.0
        until_ms = first_ms + days * DAY_MS
        self._turn(scale=CALM, until_ms=first_ms, scale_after=SCALE)
        self._start()
        self._watch(START_S, lambda: None)
        if not self._home.heartbeat_file.exists():
            self._fail(f"no heartbeat after {START_S:g} s: this machine is too busy, hours would be due before it runs")
        while self._now_ms() < until_ms and not self._soak.unhandled:
            self._watch(5.0, lambda: self._strike(FAULT_EVERY_S))
        self._soak.lab_days = (self._now_ms() - first_ms) / DAY_MS
        self._end(first_ms, is_real=False)

    def _real(self, hours: float) -> None:
        """Real hours: what a loop's turn and an idle hour cost is measured here, and here alone."""
        self._turn(scale=1.0, until_ms=None, scale_after=1.0)
        self._start()
        self._watch(START_S, lambda: None, is_real=True)
        first_ms, before, began_s = self._now_ms(), self._metrics(), time.monotonic()
        cpu_s, helpers_s = self._cpu_s()
        until_s = began_s + hours * 3600
        while time.monotonic() < until_s and not self._soak.unhandled:
            rest_s = min(60.0, until_s - time.monotonic())
            self._watch(rest_s, lambda: self._strike(SLOW_FAULT_EVERY_S), is_real=True)
        took_s = time.monotonic() - began_s
        self._soak.real_hours = took_s / 3600
        self._soak.lag_p99_ms = lag_p99_ms(before, self._metrics())
        until_cpu_s, until_helpers_s = self._cpu_s()
        self._soak.idle_cpu_share = round((until_cpu_s - cpu_s) / took_s, 4)
        self._soak.helpers_cpu_share = round((until_helpers_s - helpers_s) / took_s, 4)
        self._end(first_ms, is_real=True)

    def _cpu_s(self) -> tuple[float, float]:
        found = self._processes.values()
        return sum(process.cpu_s() for process in found), sum(process.helpers_cpu_s() for process in found)

    def _end(self, first_ms: float, *, is_real: bool) -> None:
        """The world behaves, what waits for Telegram goes out, the processes end."""
        left = self._http.get("/sandbox/faults").json()
        self._soak.struck -= sum(fault["times"] for fault in left)
        self._http.delete("/sandbox/faults").raise_for_status()
        behaves_ms = self._now_ms()
        self._watch(END_S, lambda: None, is_real=is_real)
        self._soak.due += range(int(first_ms) // HOUR_MS * HOUR_MS + HOUR_MS, int(behaves_ms), HOUR_MS)
        self.end_processes()

    def end_processes(self) -> None:
        """Service and guardian are gone after it, also where the soak itself failed."""
        for process in self._processes.values():
            if process.popen.poll() is None:
                end(process.popen, signal.SIGTERM)
        self._processes.clear()

    def _start(self) -> None:
        self._processes["service"] = Process(start_service(self._home))
        environment = {**os.environ, "LAB_HOME": str(self._home.root)}
        with (self._home.logs / "guardian.out").open("ab") as out:
            words = [sys.executable, "-m", "ops.cli", "guardian"]
            self._processes["guardian"] = Process(subprocess.Popen(words, env=environment, stdout=out, stderr=out))

    def _watch(self, real_s: float, strike: Callable[[], None], *, is_real: bool = False) -> None:
        until_s = time.monotonic() + real_s
        while time.monotonic() < until_s:
            for name, process in self._processes.items():
                if (code := process.popen.poll()) is not None:
                    self._fail(f"the {name} ended by itself with {code}")
                    return
            strike()
            found = sample(self._processes.values(), self._now_ms(), self._metrics, is_real=is_real)
            self._soak.samples.append(found)
            time.sleep(SAMPLE_S)

    def _strike(self, every_s: tuple[float, float]) -> None:
        """One more fault, when it is time for one."""
        now_s = time.monotonic()
        if now_s < self._next_fault_s:
            return
        self._next_fault_s = now_s + self._chance.uniform(*every_s)
        draw = self._chance.random()
        match = self._chance.choice(ORDERS if draw < 0.4 else [*READS, *FEEDS])
        kind = self._chance.choice(KINDS)
        if draw > 0.92:
            match, kind = "WS /*", self._chance.choice(SOCKETS)
        elif draw > 0.8:
            match, kind = "POST /bot*", self._chance.choice(TELEGRAM_KINDS)
        times = self._chance.randint(1, 2)
        self._http.post("/sandbox/faults", json=[{"match": match, "kind": kind, "times": times}]).raise_for_status()
        self._soak.faults += times

    def _judge(self) -> None:
        self._soak.struck += self._soak.faults
        for one in self._ask("/sandbox/telegram"):
            if (found := REPORT.match(one["text"])) is not None:
                hour_ms = one["at_ms"] // DAY_MS * DAY_MS + int(found[1]) * HOUR_MS
                self._soak.reports[hour_ms if hour_ms <= one["at_ms"] else hour_ms - DAY_MS] += 1
        if not (check := verify_audit(self._home.audit_file)).ok:
            self._fail(f"audit: {check.why}")
        for path in self._home.logs.iterdir():
            text = path.read_text(encoding="utf-8", errors="replace")
            for word in UNCAUGHT:
                if word in text:
                    self._fail(f"{path.name}: {word} {text.count(word)} times")
        folders = (self._home.logs, self._home.state, self._home.recordings, self._home.tapes)
        self._soak.disk_mb = {folder.name: round(_size_mb(folder), 1) for folder in folders}

    def _metrics(self) -> str:
        """The service's own numbers; empty while it cannot answer."""
        try:
            return httpx.get(f"http://127.0.0.1:{self._port}/metrics", timeout=2.0).text
        except httpx.HTTPError:
            return ""

    def _turn(self, **clock: float | None) -> None:
        self._http.post("/sandbox/clock", json=clock).raise_for_status()

    def _now_ms(self) -> float:
        return float(self._ask("/sandbox/clock")["now_ms"])

    def _ask(self, path: str) -> Any:
        return self._http.get(path).raise_for_status().json()

    def _fail(self, why: str) -> None:
        if why not in self._soak.unhandled:
            self._soak.unhandled.append(why)


def _size_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


if __name__ == "__main__":
    main()

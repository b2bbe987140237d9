"""Days on which everything goes wrong: `python -m benchmarks.bad_days [--seeds 10] [--hours 24]`; JSON at the end.

The service, as a process with an approved carry, against the sandbox at 1,000 times the speed of life. By seed: faults
of every kind at any endpoint, one kill -9, one stop by the kill file with a release by a human's hand. A service that
does not come up because the exchange stumbles is started again, as the watchman would. After the day the world behaves,
a last stop is given, and the exchange is asked what became of it: nothing doubled, every fill known, everything flat,
the audit whole, no exception that nobody caught.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from benchmarks.misfortune import FEEDS, KINDS, ORDERS, READS, SOCKETS
from ops.stop_trading import release
from tests.ops.world import World, approved_carry, end, furnish, open_world, start_service
from trading.execution.intents import Intents
from trading.journal.audit import verify_audit
from trading.risk.arming import write_armed
from trading.storage.home import Home
from trading.strategy.spec import StrategySpec

SCALE, CALM = 1000.0, 60.0
"""Lab seconds per real second: in the day, and while the service starts and is looked at."""
START_S = 25.0
"""Real seconds at the calm pace before the day begins."""
FAULT_EVERY_S = (0.2, 1.5)
FLAT_LIMIT_S = 90.0
"""Real seconds at the calm pace."""
REFUSED = (2, 3)
"""Exit statuses of a service that did not start, and said why."""
LOT_BASE = Decimal("0.001")
OTHERS = ["POST /bot*", *FEEDS]


@dataclass(slots=True)
class Day:
    """What became of one seed."""

    seed: int
    faults: int = 0
    struck: int = 0
    fills: int = 0
    opened: int = 0
    duplicates: int = 0
    lost_fills: int = 0
    refused_starts: int = 0
    """The service ended in one line: the exchange did not answer at its start."""
    failures: list[str] = field(default_factory=list)


def main() -> None:
    """Run the days and print the figures."""
    parser = argparse.ArgumentParser(description="Days on which everything goes wrong.")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--hours", type=float, default=24.0, help="lab hours of a day")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    options = parser.parse_args()
    days = [one_day(seed, options.hours) for seed in range(options.first, options.first + options.seeds)]
    figures = {
        "days": len(days),
        "day_hours": options.hours,
        "faults_set": sum(day.faults for day in days),
        "faults_struck": sum(day.struck for day in days),
        "positions_opened": sum(day.opened for day in days),
        "fills": sum(day.fills for day in days),
        "duplicate_orders": sum(day.duplicates for day in days),
        "lost_fills": sum(day.lost_fills for day in days),
        "refused_starts": sum(day.refused_starts for day in days),
        "days_failed": sum(bool(day.failures) for day in days),
        "failures": [f"seed {day.seed}: {failure}" for day in days for failure in day.failures],
    }
    print(json.dumps(figures))


def one_day(seed: int, hours: float) -> Day:
    """A day, in a folder of its own that stays only where something failed."""
    folder = Path(tempfile.mkdtemp(prefix=f"bad-day-{seed}-"))
    world, day = open_world(folder / "tape", scale=CALM), Day(seed)
    try:
        _Played(world, Home(folder / "home").make(), day, random.Random(seed)).play(hours)
    finally:
        world.close()
    if day.failures:
        print(f"seed {seed}: {'; '.join(day.failures)}; files in {folder}", flush=True)
    else:
        shutil.rmtree(folder)
    return day


class _Played:
    """One day as it goes on."""

    def __init__(self, world: World, home: Home, day: Day, chance: random.Random) -> None:
        self._world, self._home, self._day, self._chance = world, home, day, chance
        self._http = httpx.Client(base_url=world.url, timeout=10.0)
        furnish(home, world.url)
        self._spec: StrategySpec = approved_carry(home)
        self._service: subprocess.Popen[bytes] | None = None
        self._waiting: Counter[str] = Counter()

    def play(self, hours: float) -> None:
        start_ms = self._now_ms()
        day_ms = start_ms + START_S * CALM * 1000.0
        end_ms = day_ms + hours * 3_600_000.0
        self._turn(scale=CALM, until_ms=day_ms, scale_after=SCALE)
        self._service = start_service(self._home)
        moments = sorted(self._chance.uniform(0.15, 0.85) for _ in range(2))
        first, second = (day_ms + moment * (end_ms - day_ms) for moment in moments)
        deeds = [(first, self._killed), (second, self._stopped)]
        if self._chance.random() < 0.5:
            deeds = [(first, self._stopped), (second, self._killed)]
        while (now_ms := self._now_ms()) < end_ms:
            if deeds and now_ms > deeds[0][0]:
                deeds.pop(0)[1]()
            if now_ms > day_ms:
                self._strike()
            self._alive()
            time.sleep(self._chance.uniform(*FAULT_EVERY_S))
        self._end_of_day()
        self._judge()

    def _strike(self) -> None:
        """One more fault."""
        draw = self._chance.random()
        match = self._chance.choice(ORDERS if draw < 0.5 else READS if draw < 0.85 else OTHERS)
        kind = self._chance.choice(KINDS)
        if draw > 0.95:
            match, kind = "WS /*", self._chance.choice(SOCKETS)
        times = self._chance.randint(1, 3)
        self._http.post("/sandbox/faults", json=[{"match": match, "kind": kind, "times": times}]).raise_for_status()
        self._day.faults += times

    def _killed(self) -> None:
        self._end(signal.SIGKILL)
        self._service = start_service(self._home)

    def _stopped(self) -> None:
        """The kill file, then some time, then a human's release and a new arming."""
        (self._home.state / "KILL_SWITCH").touch()
        time.sleep(8.0)
        release(self._home, lambda _: None)
        write_armed(self._home, self._spec, operator="benchmark", at_ms=int(self._now_ms()), keeps_others=False)

    def _end_of_day(self) -> None:
        """The world behaves, time goes slower, the lab begins anew, is stopped, and must be flat."""
        left = self._http.get("/sandbox/faults").json()
        self._day.struck = self._day.faults - sum(fault["times"] for fault in left)
        self._http.delete("/sandbox/faults").raise_for_status()
        self._turn(scale=CALM, until_ms=None, scale_after=CALM)
        self._end(signal.SIGTERM)
        (self._home.state / "KILL_SWITCH").touch()
        self._service = start_service(self._home)
        until_s = time.monotonic() + FLAT_LIMIT_S
        while time.monotonic() < until_s and not self._is_flat():
            self._alive()
            time.sleep(0.5)
        if not self._is_flat():
            ledger = self._ask("/sandbox/ledger")
            self._fail(f"not flat: {ledger['positions']} {ledger['spot'].get('BTC')}, open {ledger['open_orders']}")
        self._end(signal.SIGTERM)

    def _is_flat(self) -> bool:
        ledger = self._ask("/sandbox/ledger")
        coin = ledger["spot"].get("BTC", {"free": "0", "locked": "0"})
        held = Decimal(coin["free"]) + Decimal(coin["locked"])
        ours = [order for order in ledger["open_orders"] if str(order["clientOrderId"]).startswith("lab-")]
        return not ledger["positions"] and held < LOT_BASE and not ours

    def _judge(self) -> None:
        seen, ledger = self._ask("/sandbox/seen"), self._ask("/sandbox/ledger")
        journal = Intents(self._home.intents_file)
        filled: Counter[tuple[str, str]] = Counter()
        for fill in ledger["fills"]:
            filled[fill["market"], str(fill["orderId"])] += Decimal(fill["qty"])  # type: ignore[assignment]
        known = {
            (record.order.market.value, str(record.venue_id)): record.filled_base
            for record in journal.orders()
            if record.venue_id is not None
        }
        self._day.fills, self._day.duplicates = len(ledger["fills"]), len(seen["duplicate_orders"])
        self._day.opened = len({record.intent_id for record in journal.orders() if not record.order.reduce_only})
        lost = {key: base for key, base in filled.items() if known.get(key) != base}
        self._day.lost_fills = len(lost)
        if lost:
            self._fail(f"fills that the journal lacks: {lost}")
        if seen["duplicate_orders"]:
            self._fail(f"orders sent twice: {seen['duplicate_orders']}")
        if not ledger["equity"]["adds_up"]:
            self._fail(f"the exchange's own books: {ledger['equity']}")
        if open_intents := journal.unfinished():
            self._fail(f"intents without an end: {open_intents}")
        if not (check := verify_audit(self._home.audit_file)).ok:
            self._fail(f"audit: {check.why}")
        for path in (self._home.logs / "service.out", self._home.log_file):
            text = path.read_text(encoding="utf-8")
            for word in ("Traceback", "job.parked", "never retrieved"):
                if word in text:
                    self._fail(f"{path.name}: {word}")

    def _alive(self) -> None:
        """A service that ends by itself is told, and started again as the watchman would."""
        if self._service is not None and (code := self._service.poll()) is not None:
            self._day.refused_starts += code in REFUSED
            if code not in REFUSED:
                self._fail(f"the service ended by itself with {code}")
            self._service = start_service(self._home)

    def _end(self, number: signal.Signals) -> None:
        if self._service is not None:
            end(self._service, number)
            self._service = None

    def _turn(self, **clock: float | None) -> None:
        self._http.post("/sandbox/clock", json=clock).raise_for_status()

    def _now_ms(self) -> float:
        return float(self._ask("/sandbox/clock")["now_ms"])

    def _ask(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._http.get(path).json()
        return answer

    def _fail(self, why: str) -> None:
        if why not in self._day.failures:
            self._day.failures.append(why)


if __name__ == "__main__":
    main()

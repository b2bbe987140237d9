"""How long the spot stands alone after the exchange has closed the perpetual, at real speed.

`python -m benchmarks.forced_close [--quick] [--trials N]` prints one JSON object. A lab with its account's stream and
no schedule, so that nothing but the stream can wake it: it opens a carry, the sandbox closes the contract as a
liquidation, an auto-deleveraging or a settlement does, and the seconds count from that moment to the last sale of spot,
both by the sandbox's ledger. What is not flat in time is a failure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import tempfile
from pathlib import Path
from typing import cast

import httpx
import numpy as np
import structlog

from ops.account_watch import AccountWatch
from ops.demo.story import is_flat
from ops.environment import read_environment
from ops.jobs import trading_loop
from ops.lab_clock import lab_clock
from ops.service.lab import Lab, Setting
from ops.service.wiring import open_lab
from ops.settings import config_hash, read_settings
from tests.ops.world import World, approved_carry, furnish, open_world
from trading.journal.bus import Bus
from trading.storage.home import Home

KINDS = ("LIQUIDATION", "ADL", "SETTLEMENT")
TRIALS, QUICK = 30, 3
PATIENCE_S = 30.0
SEED = 6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.forced_close")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} trials in place of {TRIALS}")
    parser.add_argument("--trials", type=int, help="so many")
    options = parser.parse_args()
    trials = options.trials or (QUICK if options.quick else TRIALS)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory() as folder:
        world = open_world(Path(folder) / "tape", scale=1.0)
        try:
            home = Home(Path(folder) / "home").make()
            os.environ["LAB_HOME"] = str(home.root)
            took = asyncio.run(_trials(world, home, trials))
            duplicates = len(cast(list[object], world.ask("/sandbox/seen")["duplicate_orders"]))
        finally:
            world.close()
    sold = [seconds for _, seconds in took if seconds is not None] or [float("nan")]
    figures: dict[str, object] = {"trials": trials, "failures": sum(seconds is None for _, seconds in took)}
    for share in (50, 99):
        figures[f"forced_close_sold_p{share}_s"] = round(float(np.percentile(sold, share)), 2)
    for kind in KINDS:
        of_kind = [seconds for name, seconds in took if name == kind and seconds is not None]
        figures[f"forced_close_sold_max_s_{kind.lower()}"] = round(max(of_kind), 2) if of_kind else None
    print(json.dumps({**figures, "duplicate_orders": duplicates}, indent=2))


async def _trials(world: World, home: Home, trials: int) -> list[tuple[str, float | None]]:
    furnish(home, world.url)
    words = home.settings_file.read_text().replace("maker_budget_s: 20", "maker_budget_s: 0.5")
    limits = "cooldown_after_fill_s: 0, cooldown_after_loss_s: 0, live_scale_pct: 100, trades_per_day: 1000"
    home.settings_file.write_text(f"{words}risk: {{{limits}}}\n")
    approved_carry(home)
    settings, environment = read_settings(home.settings_file), read_environment(home)
    setting, chance = (
        Setting(home, settings, environment, config_hash(settings), "synthetic"),
        np.random.default_rng(SEED),
    )
    stop, took = asyncio.Event(), list[tuple[str, float | None]]()
    async with open_lab(setting, lab_clock(settings), Bus(), wake=asyncio.Event()) as lab:
        await lab.market.open()
        watching = asyncio.create_task(AccountWatch(lab, stop).run())
        try:
            for n in range(trials):
                kind = KINDS[n % len(KINDS)]
                took.append((kind, await _trial(world, lab, kind, wait_s=float(chance.uniform(0.2, 1.2)))))
        finally:
            stop.set()
            await watching
    return took


async def _trial(world: World, lab: Lab, kind: str, *, wait_s: float) -> float | None:
    """Seconds from the forced close to the last sale of spot; None: nothing was open, or it was not flat in time."""
    if lab.desk is None:
        return None
    lab.desk.release_halts()
    await trading_loop.at_once(lab)
    await lab.clock.real_sleep_s(wait_s)
    if lab.desk.store.lives == ():
        return None
    async with httpx.AsyncClient(base_url=world.url) as http:
        closed_ms = int((await http.post("/sandbox/force-close", json={"kind": kind})).json()["at_ms"])
        until_s = lab.clock.real_s() + PATIENCE_S
        while lab.clock.real_s() < until_s:
            ledger = (await http.get("/sandbox/ledger")).json()
            if lab.desk.store.lives == () and is_flat(ledger):
                sales = [f["time"] for f in ledger["fills"] if f["market"] == "spot" and not f["isBuyer"]]
                return (int(sales[-1]) - closed_ms) / 1000
            await lab.clock.real_sleep_s(0.05)
    return None


if __name__ == "__main__":
    main()

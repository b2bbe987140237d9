"""A stage for rehearsals: a sandbox at a chosen speed on a made-up market that pays funding, and a home beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import numpy as np

from ops.sandbox_process import API_KEY, API_SECRET
from trading.domain.clock import parse_iso
from trading.domain.errors import DataProviderError
from trading.market.synthetic import Plan, synthetic_market, write_layout
from trading.market.tape import Funding, make_tape
from trading.storage.home import Home
from trading.strategy.spec import StrategySpec, load_spec

START_MS = parse_iso("2024-01-01")
HOURS = 24 * 40
NOW_MS = START_MS + 24 * 30 * 3_600_000 + 1_000
FUNDING_RATE = 0.0003
"""Of every settlement: enough for any carry to be worth opening."""
SYMBOL = "BTCUSDT"
CARRY = """{
  "id": "fc-20240101-000000", "name": "Rehearsed carry", "type": "funding_carry",
  "market": {"exchange": "binance", "symbol": "BTC/USDT:USDT", "timeframe": "1h"},
  "parameters": {"entry_apr_pct": 1, "exit_apr_pct": -5, "max_basis_bps": 200, "leverage": 1,
                 "rebalance_delta_pct": 5, "min_hold_fundings": 3, "capital_pct": 90},
  "performance": {"backtest": {}, "dry_run": {}, "live": {}}, "status": "testing", "stage": "generated",
  "created_at": "2024-01-01T00:00:00Z", "approved_at": null,
  "origin": {"author": "drill", "thesis": "longs pay shorts"}, "history": []
}"""


@dataclass(frozen=True, slots=True)
class Stage:
    """The sandbox's address and the home that points at it."""

    url: str
    home: Home

    def ask(self, path: str) -> dict[str, object]:
        """A witness endpoint of the sandbox."""
        answer: dict[str, object] = httpx.get(self.url + path, timeout=10).json()
        return answer

    def strike(self, *faults: dict[str, object]) -> None:
        """Faults of the exchange, from now on; none: it behaves again."""
        httpx.delete(f"{self.url}/sandbox/faults", timeout=10).raise_for_status()
        if faults:
            httpx.post(f"{self.url}/sandbox/faults", json=list(faults), timeout=10).raise_for_status()

    @contextmanager
    def process(self, *words: str, says: str) -> Iterator[subprocess.Popen[str]]:
        """A process of this home, from the moment its first line begins with `says` until the block ends.

        Raises:
            DataProviderError: it ended, or said something else.
        """
        environment = {**os.environ, "LAB_HOME": str(self.home.root)}
        with (self.home.logs / "drill.err").open("ab") as errors:
            process = subprocess.Popen(  # noqa: S603  # our own modules
                [sys.executable, "-m", *words], env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line.startswith(says):
                said = (self.home.logs / "drill.err").read_text().strip()[-500:]
                raise DataProviderError(f"{' '.join(words)}: said {line.strip()!r} where {says!r} was due: {said}")
            yield process
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


@contextmanager
def open_stage(folder: Path, *, scale: float = 1.0) -> Iterator[Stage]:
    """A sandbox on a new market, and an empty home with keys for it.

    Raises:
        DataProviderError: the sandbox does not start.
    """
    tape, home = folder / "tape", Home(folder / "home")
    home.root.mkdir(parents=True)
    home.make()
    made = synthetic_market(Plan(start_ms=START_MS, bars=HOURS, seed=11))
    settled = made.perp.funding
    paying = Funding(settled.time_ms, np.full(len(settled.rate), FUNDING_RATE), settled.mark_price)
    write_layout(tape, [made.spot, make_tape(replace(made.perp, funding=paying))])
    words = ["--tape", str(tape), "--symbol", SYMBOL, "--start", str(NOW_MS), "--scale", str(scale)]
    sandbox = subprocess.Popen([sys.executable, "-m", "sandbox", *words], stdout=subprocess.PIPE, text=True)  # noqa: S603
    try:
        line = sandbox.stdout.readline() if sandbox.stdout else ""
        if not line:
            raise DataProviderError("the sandbox did not start; run it alone: python -m sandbox --help")
        url = str(json.loads(line)["url"])
        home.settings_file.write_text(
            f"venue: {{base_url: '{url}', follow_sandbox_clock: true}}\n"
            "execution: {maker_budget_s: 0.5, poll_s: 0.2}\n"
            "risk: {cooldown_after_fill_s: 0, cooldown_after_loss_s: 0, live_scale_pct: 100, trades_per_day: 1000}\n"
            "guardian: {look_s: 1.0}\n"
        )
        home.env_file.touch(0o600)
        home.env_file.write_text(f"BINANCE_API_KEY={API_KEY}\nBINANCE_API_SECRET={API_SECRET}\nLIVE_TRADING=YES\n")
        yield Stage(url, home)
    finally:
        sandbox.terminate()
        sandbox.wait(5)
        if sandbox.stdout is not None:
            sandbox.stdout.close()


def rehearsed_carry() -> StrategySpec:
    """What the rehearsal trades."""
    return load_spec(CARRY.encode(), where="drill")

"""A world for tests of the whole service: a made-up market, a sandbox, a home whose approved carry may trade."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import numpy as np

from trading.domain.clock import parse_iso
from trading.market.synthetic import Plan, synthetic_market, write_layout
from trading.market.tape import Funding, make_tape
from trading.risk.arming import approval_key, write_armed
from trading.storage.home import Home
from trading.strategy.approval import sign
from trading.strategy.lifecycle import Stage, approve, move
from trading.strategy.repository import StrategyRepository
from trading.strategy.spec import StrategySpec, load_spec, spec_sha256

HOURS = 24 * 200
START_MS = parse_iso("2024-01-01")
FUNDING_RATE = 0.0003
"""Of every settlement: enough for any carry to be worth opening."""
NOW_MS = START_MS + (HOURS - 24 * 3) * 3_600_000
"""Three days before the tape ends."""
SETTLED_MS = NOW_MS + 1_000
"""When the sandbox opens: the last candle before has settled, so that every machine, however fast, is told of it."""

CARRY = """{
  "id": "fc-20240601-000000", "name": "Funding carry", "type": "funding_carry",
  "market": {"exchange": "binance", "symbol": "BTC/USDT:USDT", "timeframe": "1h"},
  "parameters": {"entry_apr_pct": 1, "exit_apr_pct": -5, "max_basis_bps": 200, "leverage": 1,
                 "rebalance_delta_pct": 5, "min_hold_fundings": 3, "capital_pct": 90},
  "performance": {"backtest": {}, "dry_run": {}, "live": {}}, "status": "testing", "stage": "generated",
  "created_at": "2024-06-01T00:00:00Z", "approved_at": null,
  "origin": {"author": "test", "thesis": "longs pay shorts"}, "history": []
}"""

RULES = """{
  "id": "mr-20240601-000000", "name": "Dips", "type": "mean_reversion",
  "market": {"exchange": "binance", "symbol": "BTC/USDT:USDT", "timeframe": "1h"},
  "parameters": {"entry_long": ["rsi(14) < 35"], "entry_short": [], "exit_long": ["rsi(14) > 50"], "exit_short": [],
    "filters": [], "risk": {"position_pct": 20, "leverage": 1, "stop_loss_atr": 2, "take_profit_atr": 3,
    "trailing_atr": null, "max_hold_bars": 24}},
  "performance": {"backtest": {}, "dry_run": {}, "live": {}}, "status": "testing", "stage": "generated",
  "created_at": "2024-06-01T00:00:00Z", "approved_at": null,
  "origin": {"author": "test", "thesis": "panic passes"}, "history": []
}"""

BASIS = (
    RULES.replace("mr-20240601-000000", "mr-20240601-00ba51")
    .replace("rsi(14) < 35", "basis_zscore(48) < -1")
    .replace("rsi(14) > 50", "basis > basis_mean(24)")
)


@dataclass(slots=True)
class World:
    """A sandbox process and its address."""

    process: subprocess.Popen[str]
    url: str

    def ask(self, path: str) -> dict[str, object]:
        """A witness endpoint."""
        answer: dict[str, object] = httpx.get(self.url + path, timeout=10).json()
        return answer

    def close(self) -> None:
        """End the sandbox."""
        self.process.terminate()
        self.process.wait(5)
        if self.process.stdout is not None:
            self.process.stdout.close()


def open_world(
    folder: Path,
    *,
    scale: float,
    words: Sequence[str] = (),
    symbols: Sequence[str] = ("BTCUSDT",),
    more_days: int = 0,
) -> World:
    """Make a market, `more_days` longer than ours, and start a sandbox on it, with more words on its command line."""
    for seed, symbol in enumerate(symbols, start=11):
        made = synthetic_market(Plan(symbol=symbol, start_ms=START_MS, bars=HOURS + 24 * more_days, seed=seed))
        settled = made.perp.funding
        paying = Funding(settled.time_ms, np.full(len(settled.rate), FUNDING_RATE), settled.mark_price)
        write_layout(folder, [made.spot, make_tape(replace(made.perp, funding=paying))])
    named = [word for symbol in symbols for word in ("--symbol", symbol)]
    all_words = ["--tape", str(folder), *named, "--start", str(SETTLED_MS), "--scale", str(scale), *words]
    process = subprocess.Popen([sys.executable, "-m", "sandbox", *all_words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return World(process, json.loads(process.stdout.readline())["url"])


def approved_carry(home: Home) -> StrategySpec:
    """A carry that a human has signed and armed."""
    spec = load_spec(CARRY.encode(), where="test")
    for stage in (Stage.BACKTESTING, Stage.DRY_RUN, Stage.REVIEW):
        spec = move(spec, stage, by="test", why="test", at_ms=NOW_MS - 3_600_000)
    key = approval_key(home, create=True)
    at_ms = NOW_MS - 1_800_000
    signature = sign(key, spec_sha256=spec_sha256(spec), evidence_sha256="0" * 64, operator="test", at_ms=at_ms)
    spec = approve(spec, by="test", at_ms=at_ms, evidence_sha256="0" * 64, signature=signature)
    spec = move(spec, Stage.LIVE_TESTING, by="test", why="armed", at_ms=NOW_MS - 900_000)
    StrategyRepository(home.strategies).save(spec)
    write_armed(home, spec, operator="test", at_ms=NOW_MS - 900_000, keeps_others=True)
    return spec


def furnish(home: Home, url: str) -> None:
    """Settings and keys that point at the sandbox."""
    home.settings_file.write_text(
        f"venue: {{base_url: '{url}', follow_sandbox_clock: true}}\n"
        f"telegram: {{base_url: '{url}'}}\n"
        f"news: {{feeds: ['{url}/feed.xml']}}\n"
        f"onchain: {{mempool_url: '{url}', charts_url: '{url}', blocks_url: '{url}', gap_s: 0}}\n"
        f"sentiment: {{fear_greed_url: '{url}/fng/'}}\n"
        "research: {history_days: 150, live_bars: 800}\n"
        "execution: {maker_budget_s: 20}\n"
    )
    home.env_file.write_text("BINANCE_API_KEY=sandbox-key\nBINANCE_API_SECRET=sandbox-secret\nLIVE_TRADING=YES\n")
    home.env_file.chmod(0o600)


def start_service(home: Home) -> subprocess.Popen[bytes]:
    """`./lab run` in that home."""
    environment = {**os.environ, "LAB_HOME": str(home.root)}
    out = (home.logs / "service.out").open("ab")
    with out:
        return subprocess.Popen([sys.executable, "-m", "ops.cli", "run"], env=environment, stdout=out, stderr=out)


def wait_for_beat(home: Home, service: subprocess.Popen[bytes], *, after: float, limit_s: float = 60.0) -> None:
    """Wait until the service has written a heartbeat after a real moment."""
    until = time.time() + limit_s
    while time.time() < until:
        assert service.poll() is None, (home.logs / "service.out").read_text()[-2000:]
        if home.heartbeat_file.exists() and home.heartbeat_file.stat().st_mtime > after:
            return
        time.sleep(0.05)
    raise AssertionError((home.log_file.read_text() if home.log_file.exists() else "no log")[-3000:])


def end(service: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> float:
    """Signal the service and wait; the real seconds it took."""
    began = time.monotonic()
    service.send_signal(number)
    service.wait(15)
    return time.monotonic() - began

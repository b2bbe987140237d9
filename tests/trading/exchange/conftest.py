"""One sandbox on a made-up tape with a hole in it, for the tests of exchanges that need no more than that."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from trading.domain.clock import Clock, Timeline
from trading.domain.instrument import Market
from trading.market.synthetic import Plan, synthetic_market, write_layout
from trading.market.tape import make_tape

SYMBOL, HOUR_MS = "BTCUSDT", 3_600_000
PLAN = Plan(bars=24 * 60)
START_MS = PLAN.start_ms + 40 * 24 * HOUR_MS
BEGIN_MS = START_MS + 600_000
"""Sandbox time at the start: ten minutes into a candle."""
HOLE = slice(24 * 40 + 9, 24 * 40 + 13)
"""Spot bars that the tape lacks, some hours after the sandbox's start."""


@dataclass(frozen=True)
class Box:
    """The running sandbox, and the switches on it."""

    http: httpx.Client
    tape: Path

    def follow(self, clock: Clock, scale: float) -> None:
        said = self.http.post("/sandbox/clock", json={"scale": scale, "until_ms": None, "scale_after": None}).json()
        clock.follow(Timeline(said["anchor_s"], said["origin_ms"], said["scale"]))

    def fault(self, match: str, kind: str, *, times: int = 1) -> None:
        self.http.post("/sandbox/faults", json=[{"match": match, "kind": kind, "times": times}]).raise_for_status()

    def clear(self) -> None:
        self.http.delete("/sandbox/faults")
        self.http.post("/sandbox/reset-seen")

    def limit(self, *, weight: int) -> None:
        """So much weight a minute in each market, nothing counted yet."""
        self.http.post("/sandbox/limits", json={"spot": weight, "perp": weight}).raise_for_status()

    def weighed(self, market: Market) -> dict[str, int]:
        return dict(self.http.get("/sandbox/limits").json()[market])

    def burn(self, weight: int) -> None:
        """Another program on this address uses spot's budget; also when the minute turns meanwhile."""
        while self.weighed(Market.SPOT)["used"] < weight:
            self.http.get("/api/v3/account")

    def seen(self) -> dict[str, int]:
        return dict(self.http.get("/sandbox/seen").json()["requests"])

    def asked(self, what: str) -> int:
        return self.seen().get(what, 0)


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    folder = tmp_path_factory.mktemp("tape")
    made = synthetic_market(PLAN)
    kept = np.delete(np.arange(PLAN.bars), HOLE)
    names = ("open_time_ms", "open", "high", "low", "close", "volume_base")
    holed = make_tape(replace(made.spot, **{name: getattr(made.spot, name)[kept] for name in names}))
    write_layout(folder, [holed, made.perp])
    command = [
        sys.executable,
        "-m",
        "sandbox",
        "--tape",
        str(folder),
        "--symbol",
        SYMBOL,
        "--start",
        str(BEGIN_MS),
        "--limits",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        with httpx.Client(base_url=json.loads(process.stdout.readline())["url"]) as http:
            assert http.get("/sandbox/limits").json()["perp"]["limit"] == 2400
            yield Box(http, folder)
        process.terminate()
        process.wait(timeout=5)

"""A tape of our own making, a sandbox process on it, and the real ccxt client pointed there."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import duckdb
import numpy as np
import pytest
import pytest_asyncio

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
DAY_ONE_MS = 1_704_067_200_000
"""2024-01-01, when the made tape's fine bars begin; its hourly ones reach ten days further back."""
START_MS = DAY_ONE_MS + 2 * DAY_MS
GAP_MS = START_MS + 7 * HOUR_MS
"""Where the spot tape has no bars for thirty minutes."""


def walk(first_ms: int, step_ms: int, count: int, *, seed: int, price: float, tick: float) -> np.ndarray:
    """(6, n) bars of a random walk on a tick: time, open, high, low, close, volume."""
    generator = np.random.default_rng(seed)
    closes = price * np.exp(np.cumsum(generator.standard_normal(count) * 0.0006))
    opens = np.r_[price, closes[:-1]]
    spread = np.abs(generator.standard_normal((2, count))) * 0.0004
    highs, lows = np.maximum(opens, closes) * (1 + spread[0]), np.minimum(opens, closes) * (1 - spread[1])
    grid = np.round(np.vstack((opens, highs, lows, closes)) / tick) * tick
    times = first_ms + np.arange(count) * step_ms
    return np.vstack((times, grid.round(2), generator.uniform(5, 50, count)))


def save(file: Path, columns: dict[str, np.ndarray]) -> None:
    """Write columns as the recorded files have them."""
    fields = ", ".join(f"column{i:02d} as {name}" for i, name in enumerate(columns))
    table = np.vstack([np.asarray(c, dtype=np.float64) for c in columns.values()]).T
    csv = file.with_suffix(".csv")
    np.savetxt(csv, table, delimiter=",", fmt="%.10f")
    whole = "replace (open_time::bigint as open_time)" if "open_time" in columns else ""
    with duckdb.connect() as connection:
        names = [f"column{i:02d}" for i in range(len(columns))]
        types = "{" + ", ".join(f"'{n}': 'DOUBLE'" for n in names) + "}"
        connection.execute(
            f"copy (select * {whole} from (select {fields} from read_csv('{csv}', header=false, columns={types}))) "  # noqa: S608
            f"to '{file}' (format parquet)"
        )
    csv.unlink()


def save_bars(file: Path, bars: np.ndarray) -> None:
    """Write bars."""
    save(file, dict(zip(("open_time", "open", "high", "low", "close", "volume"), bars, strict=True)))


def hourly(bars: np.ndarray) -> np.ndarray:
    """Whole hours of minute bars, written without the code under test."""
    hours = []
    for at in range(0, bars.shape[1], 60):
        part = bars[:, at : at + 60]
        hours.append([part[0, 0], part[1, 0], part[2].max(), part[3].min(), part[4, -1], part[5].sum()])
    return np.array(hours).T


def make_tape(folder: Path) -> Path:
    """Six days of BTCUSDT: spot by the minute with a gap, perpetual by five, mark by the hour, funding every 8 h."""
    minutes = walk(DAY_ONE_MS, 60_000, 6 * 1440, seed=1, price=42_000.0, tick=0.01)
    older = walk(DAY_ONE_MS - 10 * DAY_MS, HOUR_MS, 240, seed=2, price=41_000.0, tick=0.01)
    save_bars(folder / "spot_BTCUSDT_1h.parquet", np.hstack((older, hourly(minutes))))
    whole = (minutes[0] < GAP_MS) | (minutes[0] >= GAP_MS + 1_800_000)
    save_bars(folder / "spot_BTCUSDT_1m_made.parquet", minutes[:, whole])
    fives = minutes.reshape(6, -1, 5)
    perp = np.vstack((fives[0, :, 0], fives[1, :, 0] + 15.0, fives[2].max(axis=1) + 15.0, fives[3].min(axis=1) + 15.0,
                      fives[4, :, -1] + 15.0, fives[5].sum(axis=1)))  # fmt: skip
    perp[1:5] = perp[1:5].round(1)
    perp[2], perp[3] = perp[1:5].max(axis=0), perp[1:5].min(axis=0)
    save_bars(folder / "perp_BTCUSDT_5m.parquet", perp)
    mark = hourly(np.repeat(perp, 5, axis=1))
    mark[5] = 0.0
    save_bars(folder / "mark_BTCUSDT_1h.parquet", mark)
    times = DAY_ONE_MS + np.arange(18) * 8 * HOUR_MS
    rates = np.round(np.random.default_rng(3).normal(1e-4, 2e-4, 18), 8)
    save(folder / "funding_BTCUSDT.parquet", {"funding_time": times, "funding_rate": rates})
    return folder


@pytest.fixture(scope="session")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made tape."""
    return make_tape(tmp_path_factory.mktemp("tape"))


@dataclass
class Town:
    """A running sandbox."""

    process: subprocess.Popen[str]
    url: str
    segment: dict[str, Any]

    @property
    def port(self) -> int:
        return int(urlsplit(self.url).port or 0)

    def now_ms(self) -> int:
        """Sandbox time, from the segment's five numbers alone."""
        s = self.segment
        straight = s["origin_ms"] + (time.monotonic() - s["anchor_s"]) * 1000 * s["scale"]
        until_ms = s["until_ms"]
        if until_ms is None or straight <= until_ms:
            return int(straight)
        return int(until_ms + (straight - until_ms) / s["scale"] * s["scale_after"])

    async def call(self, method: str, path: str, body: object = None) -> Any:
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, self.url + path, json=body) as response,
        ):
            return await response.json()

    async def turn(self, **numbers: float | None) -> None:
        self.segment = await self.call("POST", "/sandbox/clock", numbers)

    async def until(self, ms: float) -> None:
        """Wait for a moment of the present segment."""
        while self.now_ms() < ms:  # noqa: ASYNC110 - time is not an event one could be told of
            await asyncio.sleep(0.01)

    async def jump(self, to_ms: float, *, in_s: float = 0.1) -> None:
        """Be at a later moment soon, at normal speed from there on."""
        now_ms = self.now_ms()
        await self.turn(scale=max(1.0, (to_ms - now_ms) / 1000 / in_s), until_ms=to_ms, scale_after=1.0)
        await self.until(to_ms)
        await self.turn(scale=1.0)


def start_town(tape: Path, *more: str, start_ms: int = START_MS) -> Town:
    """Start a sandbox process and wait for its line."""
    command = [sys.executable, "-m", "sandbox", "--tape", str(tape), "--symbol", "BTCUSDT", "--start", str(start_ms)]
    process = subprocess.Popen([*command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.stderr.read() if process.stderr else ""
    return Town(process, json.loads(line)["url"], {})


def stop_town(town: Town) -> None:
    """End it."""
    town.process.terminate()
    town.process.communicate(timeout=5)


@pytest.fixture(scope="module")
def running(tape: Path) -> Iterator[Town]:
    town = start_town(tape)
    yield town
    stop_town(town)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(running: Town) -> AsyncIterator[Town]:
    """One sandbox for a module."""
    running.segment = await running.call("GET", "/sandbox/clock")
    yield running


def point(client: Any, port: int) -> None:
    """Keep every path of a ccxt client, replace scheme and host."""
    http, ws, api = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}", client.urls["api"]
    for name, value in list(api.items()):
        if isinstance(value, str):
            api[name] = http + urlsplit(value).path
    for name, value in list(api["ws"].items()):
        if name == "ws-api":
            for kind, url in value.items():
                value[kind] = f"{ws}/wsapi-{kind}" + urlsplit(url).path
        elif isinstance(value, str):
            api["ws"][name] = ws + {"spot": "/spot", "linear": "/fut"}.get(name, f"/{name}") + urlsplit(value).path


def make_client(name: str, town: Town) -> Any:
    """The real client; only its URLs, its clock, and the error table's choice by host are set."""
    import ccxt.pro

    class Client(getattr(ccxt.pro, name)):  # type: ignore[misc]
        def milliseconds(self) -> int:
            return town.now_ms()

        def get_exceptions_by_url(self, url: str, exact_or_broad: str) -> Any:
            market = "linear" if "/fapi/" in url else "spot"
            return self.exceptions[market].get(exact_or_broad, {})

    types = {"binance": ["spot"], "binanceusdm": ["linear"]}[name]
    options = {"fetchCurrencies": False, "fetchMargins": False, "fetchMarkets": {"types": types}}
    client = Client({"apiKey": "sandbox-key", "secret": "sandbox-secret", "options": options, "timeout": 3000,
                     "enableRateLimit": False})  # fmt: skip
    point(client, town.port)
    return client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def spot(town: Town) -> AsyncIterator[Any]:
    client = make_client("binance", town)
    await client.load_markets()
    yield client
    await client.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def perp(town: Town) -> AsyncIterator[Any]:
    client = make_client("binanceusdm", town)
    await client.load_markets()
    yield client
    await client.close()

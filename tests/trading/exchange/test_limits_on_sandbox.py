"""The adapter under a shared budget, against a sandbox that weighs requests and bans as Binance does."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from trading.domain.clock import Clock, Timeline
from trading.domain.errors import RateLimitError
from trading.domain.instrument import Market
from trading.exchange import rate_budget
from trading.exchange.binance import Binance
from trading.exchange.rate_plan import RatePlan
from trading.exchange.rate_window import Priority
from trading.market.synthetic import Plan, synthetic_market, write_layout

SYMBOL, HOUR_MS = "BTCUSDT", 3_600_000
PLAN = Plan(bars=24 * 30)
START_MS = PLAN.start_ms + 20 * 24 * HOUR_MS


@dataclass(frozen=True)
class Box:
    """The running sandbox, and the switches on it."""

    http: httpx.Client

    def begin(self) -> Timeline:
        """A small budget, nothing counted, no fault; its clock."""
        self.http.post("/sandbox/limits", json={"spot": 300, "perp": 300}).raise_for_status()
        self.http.delete("/sandbox/faults")
        self.http.post("/sandbox/reset-seen")
        now = self.http.get("/sandbox/clock").json()
        return Timeline(now["anchor_s"], now["origin_ms"], now["scale"])

    def weighed(self, market: Market) -> dict[str, int]:
        return dict(self.http.get("/sandbox/limits").json()[market])

    def seen(self) -> dict[str, int]:
        return dict(self.http.get("/sandbox/seen").json()["requests"])

    def fault(self, match: str, kind: str) -> None:
        self.http.post("/sandbox/faults", json=[{"match": match, "kind": kind}])

    def burn(self, weight: int) -> None:
        """Another program on this address uses spot's budget; also when the minute turns meanwhile."""
        while self.weighed(Market.SPOT)["used"] < weight:
            self.http.get("/api/v3/account")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    folder = tmp_path_factory.mktemp("tape")
    made = synthetic_market(PLAN)
    write_layout(folder, [made.spot, made.perp])
    command = [sys.executable, "-m", "sandbox", "--tape", str(folder), "--symbol", SYMBOL, "--start", str(START_MS)]
    with subprocess.Popen([*command, "--limits"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        with httpx.Client(base_url=json.loads(process.stdout.readline())["url"]) as http:
            box = Box(http)
            assert box.weighed(Market.PERP)["limit"] == 2400
            yield box
        process.terminate()
        process.wait(timeout=5)


@pytest_asyncio.fixture
async def venues(
    sandbox: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Binance, Binance]]:
    """Two doors of one lab to the same sandbox, as two processes have them."""
    monkeypatch.setattr(rate_budget, "PATIENCE_S", dict.fromkeys(Priority, 0.1))
    clock = Clock()
    clock.follow(sandbox.begin())
    keys = {"api_key": SecretStr("sandbox-key"), "api_secret": SecretStr("sandbox-secret")}
    made = [
        Binance(clock, base_url=str(sandbox.http.base_url), rate=RatePlan(tmp_path / "rate", on_loopback=True), **keys)
        for _ in range(2)
    ]
    yield made[0], made[1]
    for venue in made:
        await venue.close()


async def fetch_until_refused(venue: Binance, market: Market) -> int:
    """Pages of history until the budget has no place for more; how many there were."""
    for count in range(1000):
        try:
            await venue.klines(market, SYMBOL, "1h", start_ms=PLAN.start_ms, limit=100)
        except RateLimitError:
            return count
    return 1000


@pytest.mark.parametrize("market", Market)
async def test_fetchers_share_the_budget_are_never_told_429_and_leave_a_stop_its_reserve(
    venues: tuple[Binance, Binance], sandbox: Box, market: Market
):
    await venues[0].instrument(market, SYMBOL)
    pages = await asyncio.gather(*(fetch_until_refused(venue, market) for venue in venues))
    weighed = sandbox.weighed(market)
    assert sum(pages) >= 70, "of 300 learned from exchangeInfo, 180 are for history, a page weighs 2"
    assert weighed["most_used"] <= 180
    assert "429" not in weighed
    for venue in venues:
        await venue.cancel_all(market, SYMBOL)
        assert await venue.find(market, SYMBOL, "never-sent") is None
        assert (await venue.quote(market, SYMBOL)).bid > 0
    assert "429" not in sandbox.weighed(market)


async def test_what_another_program_used_is_heard_in_the_first_answer(venues: tuple[Binance, Binance], sandbox: Box):
    await venues[0].instrument(Market.SPOT, SYMBOL)
    sandbox.burn(240)
    await venues[0].quote(Market.SPOT, SYMBOL)
    with pytest.raises(RateLimitError, match="used up for normal calls"):
        await venues[1].book(Market.SPOT, SYMBOL, depth=5)


@pytest.mark.parametrize("kind", ["429", "418"])
async def test_a_ban_that_one_process_was_told_keeps_all_from_sending(
    venues: tuple[Binance, Binance], sandbox: Box, kind: str
):
    first, second = venues
    for venue in venues:
        await venue.quote(Market.SPOT, SYMBOL)
    sandbox.fault("GET /api/v3/ticker/bookTicker", kind)
    with pytest.raises(RateLimitError):
        await first.quote(Market.SPOT, SYMBOL)
    asked = sandbox.seen()
    for call in (second.quote(Market.SPOT, SYMBOL), second.cancel_all(Market.SPOT, SYMBOL)):
        with pytest.raises(RateLimitError, match="no process of the lab sends before that, a stop neither"):
            await call
    assert sandbox.seen() == asked
    await second.quote(Market.PERP, SYMBOL)

"""The adapter under a shared budget, against a sandbox that weighs requests and bans as Binance does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import SecretStr

from tests.trading.exchange.conftest import PLAN, SYMBOL, Box
from trading.domain.clock import Clock
from trading.domain.errors import RateLimitError
from trading.domain.in_bulk import in_bulk
from trading.domain.instrument import Market
from trading.exchange import rate_budget
from trading.exchange.access import Access
from trading.exchange.binance import Binance
from trading.exchange.open_venue import open_account
from trading.exchange.rate_plan import RatePlan
from trading.exchange.rate_window import Priority


@pytest_asyncio.fixture
async def venues(box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Binance, Binance]]:
    """Two doors of one lab to the same sandbox, as two processes have them."""
    monkeypatch.setattr(rate_budget, "PATIENCE_S", dict.fromkeys(Priority, 0.1))
    box.clear()
    box.limit(weight=100)
    clock = Clock()
    box.follow(clock, 1.0)
    keys = {"api_key": SecretStr("sandbox-key"), "api_secret": SecretStr("sandbox-secret")}
    access = Access(clock, str(box.http.base_url), rate=RatePlan(tmp_path / "rate", on_loopback=True), **keys)
    made = [Binance(access) for _ in range(2)]
    yield made[0], made[1]
    for venue in made:
        await venue.close()
    box.limit(weight=1_000_000)


async def fetch_until_refused(venue: Binance, market: Market) -> int:
    """Pages of history until the budget has no place for more; how many there were."""
    for count in range(1000):
        try:
            with in_bulk():
                await venue.klines(market, SYMBOL, "1h", start_ms=PLAN.start_ms, limit=100)
        except RateLimitError:
            return count
    return 1000


@pytest.mark.parametrize("market", Market)
async def test_fetchers_share_the_budget_are_never_told_429_and_leave_a_stop_its_reserve(
    venues: tuple[Binance, Binance], box: Box, market: Market
):
    await venues[0].instrument(market, SYMBOL)
    pages = await asyncio.gather(*(fetch_until_refused(venue, market) for venue in venues))
    weighed = box.weighed(market)
    assert sum(pages) >= 20, "of 100 learned from exchangeInfo, 60 are for history, a page weighs 2"
    assert weighed["most_used"] <= 60
    assert "429" not in weighed
    assert await venues[0].klines(market, SYMBOL, "1h", start_ms=PLAN.start_ms, limit=100), "the running lab's own look"
    for venue in venues:
        await venue.cancel_all(market, SYMBOL)
        assert await venue.find(market, SYMBOL, "never-sent") is None
        assert (await venue.quote(market, SYMBOL)).bid > 0
    assert "429" not in box.weighed(market)


async def test_what_another_program_used_is_heard_in_the_first_answer(venues: tuple[Binance, Binance], box: Box):
    await venues[0].instrument(Market.SPOT, SYMBOL)
    box.burn(80)
    await venues[0].quote(Market.SPOT, SYMBOL)
    with pytest.raises(RateLimitError, match="used up for normal calls"):
        await venues[1].book(Market.SPOT, SYMBOL, depth=5)


@pytest.mark.parametrize("kind", ["429", "418"])
async def test_a_ban_that_one_process_was_told_keeps_all_from_sending(
    venues: tuple[Binance, Binance], box: Box, kind: str
):
    first, second = venues
    for venue in venues:
        await venue.quote(Market.SPOT, SYMBOL)
    box.fault("GET /api/v3/ticker/bookTicker", kind)
    with pytest.raises(RateLimitError):
        await first.quote(Market.SPOT, SYMBOL)
    asked = box.seen()
    for call in (second.quote(Market.SPOT, SYMBOL), second.cancel_all(Market.SPOT, SYMBOL)):
        with pytest.raises(RateLimitError, match="no process of the lab sends before that, a stop neither"):
            await call
    assert box.seen() == asked
    await second.quote(Market.PERP, SYMBOL)


async def cancel_for_ever(venue: Binance) -> None:
    while True:
        await venue.cancel_all(Market.SPOT, SYMBOL)


async def test_what_a_lab_that_runs_wild_leaves_is_the_guardians(venues: tuple[Binance, Binance], box: Box):
    await venues[0].instrument(Market.SPOT, SYMBOL)
    with pytest.raises(RateLimitError, match="used up for urgent calls"):
        await cancel_for_ever(venues[0])
    guardian = open_account(replace(venues[1]._access, is_guardian=True))
    assert (await guardian.quote(Market.SPOT, SYMBOL)).bid > 0
    await guardian.close()
    assert "429" not in box.weighed(Market.SPOT)

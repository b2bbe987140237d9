"""A budget shared by real processes: together they never exceed it, none of them blocks another, and all obey a ban."""

from __future__ import annotations

import asyncio
import fcntl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from trading.domain.clock import Clock
from trading.domain.errors import RateLimitError
from trading.domain.instrument import Market
from trading.exchange import rate_budget
from trading.exchange.rate_budget import RateBudget
from trading.exchange.rate_file import Limits, RateFile
from trading.exchange.rate_plan import RatePlan, budget_of, is_here
from trading.exchange.rate_window import Priority
from trading.exchange.request_weights import FUTURES, SPOT, UNKNOWN_WEIGHT, Request, request_of

LIMITS = Limits(weight=1000, orders=20, orders_span_s=10)
PAGE, LOOK, CANCEL = (Request(10, priority) for priority in (Priority.BULK, Priority.NORMAL, Priority.URGENT))

HAMMER = """
import asyncio, sys
from pathlib import Path
from trading.domain.clock import Clock
from trading.domain.errors import RateLimitError
from trading.exchange import rate_budget
from trading.exchange.rate_file import Limits, RateFile
from trading.exchange.rate_window import Priority
from trading.exchange.request_weights import Request

async def hammer():
    budget = rate_budget.RateBudget(RateFile(Path(sys.argv[1]), Limits(4_000, 20, 10)), Clock())
    granted = 0
    while True:
        try:
            await budget.take(Request(1, Priority[sys.argv[2]]), where="hammer")
        except RateLimitError:
            return granted
        granted += 1

rate_budget.PATIENCE_S = dict.fromkeys(Priority, 0.2)
print("ready", flush=True)
sys.stdin.readline()
print(asyncio.run(hammer()), flush=True)
"""
HOLD = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
fcntl.flock(file, fcntl.LOCK_EX)
file.seek(0)
file.write(b"LRB1 half of a rec")
file.flush()
print("held", flush=True)
sys.stdin.readline()
"""


@contextmanager
def process(script: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has said its first word and waits for ours."""
    with subprocess.Popen(
        [sys.executable, "-c", script, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline().strip() in ("ready", "held")
        yield running
        running.kill()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rate" / "binance-spot"


@pytest_asyncio.fixture
async def budget(path: Path) -> AsyncIterator[RateBudget]:
    budget = RateBudget(RateFile(path, LIMITS), Clock())
    yield budget
    budget.close()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_budget, "PATIENCE_S", dict.fromkeys(Priority, 0.2))
    monkeypatch.setattr(rate_budget, "_LOCK_PATIENCE_S", 0.05)


async def drain(budget: RateBudget, request: Request) -> int:
    """Take until there is no place; how often there was one."""
    for count in range(1000):
        try:
            await budget.take(request, where="drain")
        except RateLimitError:
            return count
    return 1000


def test_processes_that_hammer_one_budget_together_never_exceed_it(path: Path):
    with process(HAMMER, str(path), "NORMAL") as a, process(HAMMER, str(path), "NORMAL") as b, \
         process(HAMMER, str(path), "NORMAL") as c:  # fmt: skip
        for one in (a, b, c):
            assert one.stdin is not None
            one.stdin.write("go\n")
            one.stdin.flush()
        granted = [int(one.communicate(timeout=20)[0]) for one in (a, b, c)]
    assert sum(granted) == 3200, granted


async def test_when_fetchers_have_drained_the_rest_a_cancel_and_an_order_find_their_place(
    budget: RateBudget, hasty: None
):
    assert await drain(budget, PAGE) == 60
    assert await drain(budget, LOOK) == 20
    with pytest.raises(RateLimitError, match="used up for normal calls; there is a place in") as told:
        await budget.take(LOOK, where="spot BTCUSDT quote")
    assert 50 < told.value.retry_after_s <= 62
    await budget.take(CANCEL, where="cancel")
    assert await drain(budget, Request(10, Priority.URGENT, orders=1)) == 14
    assert await drain(budget, Request(10, Priority.GUARDIAN, orders=1)) == 5, "the guardian's own share"


async def test_orders_have_a_limit_of_their_own_and_cancels_are_none(budget: RateBudget, hasty: None):
    assert await drain(budget, Request(1, Priority.URGENT, orders=1)) == LIMITS.orders - 1
    assert await drain(budget, Request(1, Priority.GUARDIAN, orders=1)) == 1, "the guardian's own share"
    await budget.take(Request(1, Priority.URGENT), where="cancel")


async def test_a_cancel_does_not_stand_in_line_behind_an_order_that_waits_for_its_place(path: Path):
    class Standing(Clock):
        """Three seconds before a span of orders ends."""

        def system_ms(self) -> int:
            return 1_700_000_007_000

    budget = RateBudget(RateFile(path, LIMITS), Standing())
    budget.heard(200, {"x-mbx-order-count-10s": "20"}, was_order=True)
    order = asyncio.create_task(budget.take(Request(1, Priority.URGENT, orders=1), where="order"))
    await asyncio.sleep(0)
    async with asyncio.timeout(1.0):
        await budget.take(CANCEL, where="cancel")
    assert not order.done()
    order.cancel()
    budget.close()


async def test_a_place_that_comes_back_in_time_is_waited_for(path: Path):
    class Waiting(Clock):
        """A minute in which nothing happens passes at once."""

        ahead_ms = 0

        def system_ms(self) -> int:
            return super().system_ms() + self.ahead_ms

        async def real_sleep_s(self, real_s: float) -> None:
            self.ahead_ms += int(real_s * 1000) + 1

    clock = Waiting()
    budget = RateBudget(RateFile(path, LIMITS), clock)
    began_ms = clock.system_ms()
    for _ in range(61):
        await budget.take(PAGE, where="page")
    assert 60_000 <= clock.system_ms() - began_ms <= 63_000
    budget.close()


async def test_a_holder_that_was_killed_half_way_blocks_nobody_and_costs_all_but_the_reserve(
    path: Path, budget: RateBudget, hasty: None
):
    await budget.take(LOOK, where="first")
    with process(HOLD, str(path)) as holder:
        holder.kill()
        holder.wait()
        with capture_logs() as logs:
            assert await drain(budget, LOOK) == 0
    assert [line["event"] for line in logs if "file" in line["event"]] == ["rate.file_unreadable"]
    assert await drain(budget, CANCEL) == 15


async def test_a_holder_that_was_frozen_stops_a_look_but_not_a_cancel(path: Path, budget: RateBudget, hasty: None):
    await budget.take(LOOK, where="first")
    with process(HOLD, str(path)):
        with pytest.raises(RateLimitError, match="another process holds it"):
            await budget.take(LOOK, where="look")
        await budget.take(CANCEL, where="cancel")


async def test_a_folder_that_cannot_be_written_stops_a_look_but_not_a_cancel(tmp_path: Path):
    (tmp_path / "rate").write_text("a file where a folder should be")
    budget = RateBudget(RateFile(tmp_path / "rate" / "spot", LIMITS), Clock())
    with pytest.raises(RateLimitError, match="cannot be used"):
        await budget.take(LOOK, where="look")
    await budget.take(CANCEL, where="cancel")
    budget.heard(418, {"Retry-After": "120"}, was_order=False)
    with pytest.raises(RateLimitError, match="a stop neither"):
        await budget.take(CANCEL, where="cancel")


@pytest.mark.parametrize("status", [418, 429])
async def test_what_one_process_was_told_stops_every_other_and_a_stop_too(
    path: Path, budget: RateBudget, status: int, hasty: None
):
    with process(HAMMER, str(path), "URGENT") as other:
        budget.heard(status, {"retry-after": "30"}, was_order=True)
        assert other.communicate("go\n", timeout=20)[0].strip() == "0"
    with pytest.raises(RateLimitError, match="asked us to stay away") as told:
        await budget.take(CANCEL, where="cancel")
    assert 25 < told.value.retry_after_s <= 30


async def test_a_ban_that_is_heard_while_another_process_has_the_lock_is_not_forgotten(
    path: Path, budget: RateBudget, hasty: None
):
    await budget.take(LOOK, where="first")
    other = RateBudget(RateFile(path, LIMITS), Clock())
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        budget.heard(418, {"Retry-After": "30"}, was_order=False)
        with pytest.raises(RateLimitError, match="a stop neither"):
            await budget.take(CANCEL, where="cancel")
    await other.take(CANCEL, where="not told yet")
    with pytest.raises(RateLimitError, match="a stop neither"):
        await budget.take(LOOK, where="the file can be written again")
    with pytest.raises(RateLimitError, match="a stop neither"):
        await other.take(CANCEL, where="told now")
    budget.stay_away(40.0)
    with pytest.raises(RateLimitError, match="a stop neither") as told:
        await other.take(CANCEL, where="cancel")
    assert told.value.retry_after_s > 30
    other.close()


async def test_a_ban_that_is_over_is_over(budget: RateBudget):
    budget.heard(429, {"Retry-After": "0.05"}, was_order=False)
    with pytest.raises(RateLimitError):
        await budget.take(LOOK, where="look")
    await asyncio.sleep(0.06)
    await budget.take(LOOK, where="look")


async def test_too_many_orders_stop_orders_and_nothing_else(budget: RateBudget, hasty: None):
    budget.heard(429, {}, was_order=True)
    with pytest.raises(RateLimitError, match="used up"):
        await budget.take(Request(1, Priority.URGENT, orders=1), where="order")
    await budget.take(CANCEL, where="cancel")
    budget.heard(429, {}, was_order=False)
    with pytest.raises(RateLimitError, match="stay away"):
        await budget.take(CANCEL, where="cancel")


async def test_the_venues_count_is_the_truth_also_for_what_other_programs_used(budget: RateBudget, hasty: None):
    budget.heard(200, {"X-MBX-USED-WEIGHT-1M": "785", "x-mbx-used-weight": "1"}, was_order=False)
    assert await drain(budget, LOOK) == 1
    budget.heard(200, {"x-mbx-order-count-10s": "18"}, was_order=True)
    assert await drain(budget, Request(1, Priority.GUARDIAN, orders=1)) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"x-mbx-used-weight-1m": "lots", "x-mbx-order-count-10s": "-1"},
        {"x-mbx-used-weight-1m": "²", "date": "yesterday"},
        {"x-mbx-used-weight-1m": "9" * 5000},
        {"x-mbx-used-weight-1m": "1", "date": "Fri, 31 Dec 9999 23:59:59 GMT"},
        {"x-mbx-used-weight-1m": "1", "date": "Sat, 01 Jan 0001 00:00:00 +2300"},
    ],
)
async def test_headers_that_make_no_sense_change_nothing(budget: RateBudget, hasty: None, headers: dict[str, str]):
    budget.heard(200, headers, was_order=True)
    assert await drain(budget, LOOK) in (79, 80)
    budget.heard(429, {**headers, "retry-after": "9" * 400}, was_order=True)
    with pytest.raises(RateLimitError) as told:
        await budget.take(CANCEL, where="cancel")
    assert told.value.retry_after_s <= 3 * 86_400


async def test_limits_are_learned_from_the_venue_by_all(path: Path, budget: RateBudget, hasty: None):
    rules = [
        {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 61000},
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 100},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 3},
        "nonsense", {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": "many"},
    ]  # fmt: skip
    budget.learn({"rateLimits": rules})
    budget.learn({"rateLimits": None})
    other = RateBudget(RateFile(path, LIMITS), Clock())
    assert await drain(other, LOOK) == 8
    assert await drain(budget, Request(1, Priority.GUARDIAN, orders=1)) == 3
    other.close()


async def test_a_file_that_was_deleted_is_made_anew(path: Path, budget: RateBudget, hasty: None):
    await drain(budget, LOOK)
    path.unlink()
    await budget.take(LOOK, where="look")
    assert path.stat().st_size < 400


async def test_a_wait_that_is_called_off_takes_nothing(budget: RateBudget):
    for _ in range(60):
        await budget.take(PAGE, where="page")
    waiting = [asyncio.ensure_future(budget.take(PAGE, where="page")) for _ in range(3)]
    await asyncio.sleep(0.01)
    for one in waiting:
        one.cancel()
    assert all(
        isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*waiting, return_exceptions=True)
    )
    await budget.take(Request(200, Priority.NORMAL), where="the rest is still there")


@pytest.mark.parametrize(
    ("market", "section", "call", "params", "weight", "priority"),
    [
        (Market.SPOT, "public", "GET klines", {"limit": 1000}, 2, Priority.NORMAL),
        (Market.SPOT, "public", "GET depth", {"limit": 500}, 25, Priority.NORMAL),
        (Market.SPOT, "public", "GET depth", {}, 5, Priority.NORMAL),
        (Market.SPOT, "public", "GET ticker/24hr", {}, 80, Priority.NORMAL),
        (Market.SPOT, "sapi", "GET account/apiRestrictions", {}, 1, Priority.NORMAL),
        (Market.SPOT, "private", "DELETE order", {"symbol": "BTCUSDT"}, 1, Priority.URGENT),
        (Market.SPOT, "private", "GET order", {"symbol": "BTCUSDT"}, 4, Priority.URGENT),
        (Market.PERP, "fapiPublic", "GET klines", {"limit": 1500}, 10, Priority.NORMAL),
        (Market.PERP, "fapiPublic", "GET klines", {"limit": "99"}, 1, Priority.NORMAL),
        (Market.PERP, "fapiPublic", "GET klines", {}, 5, Priority.NORMAL),
        (Market.PERP, "fapiPrivateV3", "GET positionRisk", {"symbol": "BTCUSDT"}, 5, Priority.URGENT),
        (Market.PERP, "fapiPrivate", "GET brandNew", {}, UNKNOWN_WEIGHT, Priority.NORMAL),
        (Market.PERP, "fapiPrivate", "DELETE brandNew", {}, UNKNOWN_WEIGHT, Priority.URGENT),
    ],
)
def test_requests_cost_what_the_venue_documents(
    market: Market, section: str, call: str, params: dict[str, object], weight: int, priority: Priority
):
    method, path = call.split()
    found = request_of(market, section, method, path, params)
    assert (found.weight, found.priority) == (weight, priority)


def test_only_orders_count_as_orders():
    counted = {(table is SPOT, name) for table in (SPOT, FUTURES) for name, cost in table.items() if cost.orders}
    assert counted == {(True, "POST order"), (False, "POST order")}


def test_each_host_and_market_has_a_budget_and_a_rehearsal_has_none(tmp_path: Path):
    plan, clock = RatePlan(tmp_path), Clock()
    assert budget_of(None, "binance", Market.SPOT, LIMITS, base_url=None, clock=clock) is None
    for url in ("http://127.0.0.1:8000", "http://localhost:1", "http://[::1]:1"):
        assert is_here(url)
        assert budget_of(plan, "binance", Market.SPOT, LIMITS, base_url=url, clock=clock) is None
        assert (
            budget_of(RatePlan(tmp_path, on_loopback=True), "x", Market.SPOT, LIMITS, base_url=url, clock=clock)
            is not None
        )
    assert (
        budget_of(plan, "binance", Market.PERP, LIMITS, base_url="https://mirror.example:8443", clock=clock) is not None
    )
    assert not is_here("https://mirror.example")
    assert not is_here(None)

"""Readings come from the chain's pages or not at all: no zero for what failed, no value before it could be known."""

from __future__ import annotations

import json

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from ai_brain.senses.onchain_monitor import MAX_BYTES, OnChain, OnChainMonitor, OnChainSettings
from ai_brain.senses.onchain_pages import read_chart, read_difficulty, read_fees, read_height
from ai_brain.senses.onchain_transfers import NewestBlock, read_transfers
from sandbox.chain import ChainDesk
from tests.loopback import serving
from trading.domain.clock import Clock, Timeline
from trading.domain.errors import DataProviderError

NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000
TODAY_S = NOW_MS // DAY_MS * 86_400
FEES = "/api/v1/fees/recommended"


class Page:
    """Every page of the chain at once: answers what it is told."""

    def __init__(self, body: bytes, *, status: int = 200) -> None:
        self.body, self.status = body, status

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/{page:.*}", self.answer)

    async def answer(self, _: web.Request) -> web.Response:
        return web.Response(body=self.body, status=self.status)


@pytest.fixture
def clock() -> Clock:
    return Clock(scale=1.0, origin_ms=NOW_MS)


def jump(clock: Clock, lab_s: float) -> None:
    clock.follow(Timeline(clock.real_s(), clock.now_ms() + lab_s * 1000, 1.0))


def settings_for(url: str, **changed: object) -> OnChainSettings:
    fields = {"mempool_url": url, "charts_url": url, "blocks_url": None, "gap_s": 0.0, **changed}
    return OnChainSettings(**fields)  # type: ignore[arg-type]


async def test_every_page_gives_its_readings_with_the_moment_they_were_fetched(clock: Clock) -> None:
    async with serving(ChainDesk(clock)) as url, OnChainMonitor(settings_for(url), clock) as monitor:
        found = await monitor.fetch()
    assert found.failures == {}
    by_name = {reading.name: reading for reading in found.readings}
    assert len(by_name) == 9
    assert by_name["fee for the next block"].unit == "sat/vB"
    assert by_name["height of the newest block"].value == (NOW_MS - 1_231_006_505_000) // 600_000
    assert all(NOW_MS <= reading.fetched_at_ms < NOW_MS + 10_000 for reading in found.readings)
    assert all(reading.value > 0 for name, reading in by_name.items() if "change" not in name)


async def test_a_daily_value_is_used_a_whole_day_after_its_day_has_ended(clock: Clock) -> None:
    async with serving(ChainDesk(clock)) as url, OnChainMonitor(settings_for(url), clock) as monitor:
        found = await monitor.fetch()
    (rate,) = [reading for reading in found.readings if reading.name == "hash-rate of a day"]
    assert rate.at_ms == (TODAY_S - 86_400) * 1000  # the end of the day before yesterday
    assert NOW_MS - rate.at_ms >= DAY_MS


@given(now_s=st.integers(TODAY_S, TODAY_S + 3 * 86_400), days=st.integers(1, 20))
def test_no_day_is_known_before_a_day_after_its_end(now_s: int, days: int) -> None:
    values = [{"x": TODAY_S + 3 * 86_400 - day * 86_400, "y": float(day)} for day in range(days)]
    body = json.dumps({"status": "ok", "values": values}).encode()
    try:
        (reading,) = read_chart(body, now_s * 1000, name="hash-rate", max_lag_d=30)
    except DataProviderError:
        assert all(value["x"] + 2 * 86_400 > now_s for value in values)
        return
    assert now_s * 1000 - reading.at_ms >= DAY_MS


async def test_one_page_that_fails_is_a_reason_beside_the_readings_of_the_others(clock: Clock) -> None:
    async with serving(ChainDesk(clock)) as url:
        settings = settings_for(url).model_copy(update={"charts_url": "http://127.0.0.1:9"})
        async with OnChainMonitor(settings, clock) as monitor:
            found = await monitor.fetch()
    assert len(found.readings) == 6
    assert len(found.failures) == 3
    assert all("charts" in address and "Connect" in why for address, why in found.failures.items())


async def test_what_was_read_before_a_failure_is_told_until_it_is_stale(clock: Clock) -> None:
    page = Page(b"850000")
    async with serving(page) as url, OnChainMonitor(settings_for(url, charts=()), clock) as monitor:
        (height,) = (await monitor.fetch()).readings
        page.status = 503
        jump(clock, 3600)
        assert (await monitor.fetch()).readings == (height,)
        jump(clock, 2 * 3600)
        assert monitor.fresh() == ()
        assert (await monitor.fetch()).readings == ()


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (b"<html>Are you human?</html>", 200, "Invalid JSON"),
        (b"", 200, "Invalid JSON"),
        (b"{}", 200, "fastestFee"),
        (b'{"fastestFee": 0, "hourFee": 3}', 200, "fastestFee=0"),
        (b'{"fastestFee": "12", "hourFee": 3}', 200, "fastestFee='12'"),
        (b'{"fastestFee": 12, "economyFee": 2, "hourFee": null}', 200, "hourFee=None"),
        (b'{"fastestFee": 12, "economyFee": 0, "hourFee": 3}', 200, "economyFee=0"),
        (b'{"fastestFee": NaN, "hourFee": 3}', 200, "fastestFee"),
        (b" " * (MAX_BYTES + 1), 200, "larger than"),
        (b"{}", 429, "status 429"),
    ],
)
async def test_an_answer_that_makes_no_sense_is_a_reason_and_no_reading(
    clock: Clock, body: bytes, status: int, why: str
) -> None:
    async with serving(Page(body, status=status)) as url, OnChainMonitor(settings_for(url), clock) as monitor:
        found = await monitor.fetch()
    assert found.readings == ()
    assert why in found.failures[url + FEES]
    assert len(found.failures) == monitor.sources


async def test_a_page_that_never_answers_is_given_up(clock: Clock) -> None:
    class Silent(Page):
        async def answer(self, request: web.Request) -> web.Response:
            await clock.real_sleep_s(0.5)
            return await super().answer(request)

    async with (
        serving(Silent(b"{}")) as url,
        OnChainMonitor(settings_for(url, timeout_s=0.05, charts=()), clock) as monitor,
    ):
        found = await monitor.fetch()
    assert set(found.failures.values()) <= {"ReadTimeout", "slower than 0.05 s"}
    assert len(found.failures) == 4


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([], "no day that ended by"),
        ([{"x": TODAY_S - 86_400, "y": 1.0}], "no day that ended by"),
        ([{"x": TODAY_S - 9 * 86_400, "y": 1.0}], "newest usable day ended"),
        ([{"x": TODAY_S - 2 * 86_400, "y": None}], "y=None"),
        ([{"y": 1.0}], "values.0.x"),
    ],
)
def test_a_series_without_a_usable_day_is_a_reason(values: list[object], why: str) -> None:
    body = json.dumps({"status": "ok", "values": values}).encode()
    with pytest.raises(DataProviderError, match=why):
        read_chart(body, NOW_MS, name="hash-rate", max_lag_d=5)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_readers(body: bytes) -> None:
    for read in (read_fees, read_difficulty, read_height):
        try:
            readings = read(body, NOW_MS)
        except DataProviderError:
            continue
        assert all(reading.at_ms == NOW_MS for reading in readings)


@pytest.mark.parametrize(
    "text",
    ["mempool.space", "ftp://mempool.space", "https://", "https://mempool.space/", "https://a b", "https://x/?q"],
)
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="mempool_url"):
        OnChainSettings(mempool_url=text)


async def test_large_transfers_of_the_newest_block_are_counted_and_the_block_is_read_once(clock: Clock) -> None:
    asked: list[str] = []

    class Watched(ChainDesk):
        def add_routes(self, app: web.Application) -> None:
            super().add_routes(app)

            async def note(request: web.Request, _: web.StreamResponse) -> None:
                asked.append(request.path)

            app.on_response_prepare.append(note)

    async with serving(Watched(clock)) as url:
        settings = settings_for(url, blocks_url=url, large_transfer_btc=500)
        async with OnChainMonitor(settings, clock) as monitor:
            first = {r.name: r for r in (await monitor.fetch()).readings}
            again = {r.name: r for r in (await monitor.fetch()).readings}
    name = "transfers of at least 500 BTC in the newest block (outputs, change included)"
    assert 0 < first[name].value < 19
    assert (first[name].unit, first[name].source) == ("of 19", "127.0.0.1")
    assert first["sum of the transfers of at least 500 BTC"].value >= 500 * first[name].value
    assert again[name].value == first[name].value
    assert sum("rawblock" in path for path in asked) == 1


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (b"[]", "TypeError"),
        (b'{"hash": "00", "tx": []}', "another block"),
        (b'{"tx": []}', "KeyError"),
        (b'{"hash": "' + b"a" * 64 + b'", "tx": [{}, {"out": [{"value": -5}]}]}', "not an amount of satoshi"),
        (b'{"hash": "' + b"a" * 64 + b'", "tx": [{}, {"out": [{"value": 1e30}]}]}', "not an amount of satoshi"),
    ],
)
def test_a_block_that_makes_no_sense_is_a_reason(block: bytes, why: str) -> None:
    with pytest.raises(DataProviderError, match=why):
        read_transfers(block, NewestBlock("a" * 64, NOW_MS), 500.0)


async def test_the_mempool_is_held_against_its_own_last_day_once_that_is_known(clock: Clock) -> None:
    async with serving(ChainDesk(clock)) as url, OnChainMonitor(settings_for(url, charts=()), clock) as monitor:
        names = [{r.name for r in (await monitor.fetch()).readings if "median" in r.name} for _ in range(14)]
    assert names[:12] == [set()] * 12
    assert names[13] == {"mempool beside its median of 13 readings"}


async def test_a_site_that_refuses_is_left_alone_as_long_as_it_asks(clock: Clock) -> None:
    page, asked = Page(b"", status=429), 0

    class Refusing(Page):
        async def answer(self, request: web.Request) -> web.Response:
            nonlocal asked
            asked += 1
            return web.Response(status=429, headers={"Retry-After": "120"})

    async with serving(Refusing(page.body)) as url, OnChainMonitor(settings_for(url), clock) as monitor:
        found = await monitor.fetch()
        assert asked == 1
        assert sum("asked us to stay away for" in why for why in found.failures.values()) == len(found.failures) - 1


async def test_what_is_read_later_is_in_no_earlier_view_and_a_sense_that_is_off_asks_nobody(clock: Clock) -> None:
    async with serving(ChainDesk(clock)) as url, OnChainMonitor(settings_for(url), clock) as monitor:
        before_ms = clock.now_ms() - 1
        await monitor.fetch()
        assert monitor.as_of(before_ms) == ()
        assert monitor.as_of(clock.now_ms())
    async with OnChainMonitor(settings_for("http://127.0.0.1:9", enabled=False), clock) as off:
        assert await off.fetch() == OnChain()

"""Readings come from the chain's pages or not at all: no zero for what failed, no value before it could be known."""

from __future__ import annotations

import json

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from ai_brain.senses.onchain_monitor import (
    MAX_BYTES,
    OnChainMonitor,
    OnChainSettings,
    read_chart,
    read_difficulty,
    read_fees,
    read_height,
)
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
    return OnChainSettings(mempool_url=url, charts_url=url, **changed)  # type: ignore[arg-type]


async def test_every_page_gives_its_readings_with_the_moment_they_were_fetched(clock: Clock) -> None:
    async with serving(ChainDesk(clock)) as url, OnChainMonitor(settings_for(url), clock) as monitor:
        found = await monitor.fetch()
    assert found.failures == {}
    by_name = {reading.name: reading for reading in found.readings}
    assert len(by_name) == 7
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
    assert len(found.readings) == 4
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
        (b'{"fastestFee": 12, "hourFee": null}', 200, "hourFee=None"),
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
    assert set(found.failures.values()) == {"ReadTimeout"}


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

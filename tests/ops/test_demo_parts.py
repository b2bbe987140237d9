"""The demo's parts: time that waits for the lab, a screen that says what market it shows, and who is flat."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rich.console import Console

from ops.demo.conductor import Conductor, Pace
from ops.demo.screen import SYNTHETIC, ActState, Screen
from ops.demo.story import is_flat
from ops.demo.summary import percent_of_start, told
from ops.demo.words import on_screen
from ops.sandbox_process import SandboxPlan, SandboxProcess
from trading.domain.clock import HOUR_MS, Clock, parse_iso
from trading.domain.errors import DataProviderError
from trading.domain.events import Event
from trading.market.synthetic import Plan, synthetic_market, write_layout

START_MS = parse_iso("2024-01-01")
NOW_MS = START_MS + 60 * HOUR_MS + 20 * 60_000
PACE = Pace(racing=20_000.0, walking=20.0, trading=10.0)


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[SandboxProcess]:
    made = synthetic_market(Plan(start_ms=START_MS, bars=24 * 10, seed=3))
    write_layout(tmp_path, [made.spot, made.perp])
    process = await SandboxProcess.start(SandboxPlan(tmp_path, ["BTCUSDT"], NOW_MS, seed=3))
    yield process
    await process.close()


async def followed(outside: SandboxProcess) -> Clock:
    clock = Clock()
    await outside.follow(clock)
    return clock


async def test_time_waits_at_the_full_hour_until_the_lab_has_digested_it(outside: SandboxProcess) -> None:
    clock, digested, asked = await followed(outside), asyncio.Event(), list[int]()
    asked_often = asyncio.Event()

    def is_digested(hour_ms: int) -> bool:
        asked.append(hour_ms)
        if len(asked) == 100:
            asked_often.set()
        return digested.is_set()

    conductor = Conductor(outside, clock, pace=PACE, digested=is_digested)
    going = asyncio.create_task(conductor.next_hour())
    await asyncio.wait_for(asked_often.wait(), 20)
    hour_ms = NOW_MS // HOUR_MS * HOUR_MS + HOUR_MS
    assert not going.done()
    assert set(asked) == {hour_ms}
    assert 0 <= clock.now_ms() - hour_ms < 60_000, "time ran on without the lab"
    theirs = float(str((await outside.ask("/sandbox/clock"))["now_ms"]))
    assert abs(theirs - clock.now_ms()) < 2_000, "the two clocks are apart"
    digested.set()
    assert await going == hour_ms
    assert await conductor.next_hour() == hour_ms + HOUR_MS


async def test_time_races_between_the_hours(outside: SandboxProcess) -> None:
    clock = await followed(outside)
    conductor = Conductor(outside, clock, pace=PACE, digested=lambda _: True)
    began_s = clock.real_s()
    for _ in range(5):
        await conductor.next_hour()
    assert clock.real_s() - began_s < 5.0, "five hours in less than five seconds"


async def test_where_orders_rest_time_goes_as_slowly_as_they_need(outside: SandboxProcess) -> None:
    clock = await followed(outside)
    conductor = Conductor(outside, clock, pace=PACE, digested=lambda _: True)
    await conductor.trade_pace()
    assert clock.timeline is not None
    assert clock.timeline.scale == PACE.trading
    await conductor.walk()
    assert clock.timeline.scale == PACE.walking


async def test_a_lab_that_never_digests_ends_the_demo_with_words(outside: SandboxProcess) -> None:
    clock = await followed(outside)
    conductor = Conductor(outside, clock, pace=PACE, digested=lambda _: False, patience_s=0.2)
    with pytest.raises(DataProviderError, match=r"the hour \d{4}-.*Z was not digested in .* run ./lab demo again"):
        await conductor.next_hour()


async def test_a_sandbox_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataProviderError, match=r"sandbox did not start: \S"):
        await SandboxProcess.start(SandboxPlan(tmp_path / "nowhere", ["BTCUSDT"], NOW_MS, seed=1))


def test_an_answer_without_a_name_leaves_no_gap_on_the_screen() -> None:
    facts = {"name": "", "reason": "NOT_JSON", "detail": "no object"}
    assert on_screen(Event(1, "idea.refused", facts)) == "no idea: NOT_JSON: no object"


def shown(market: str, *, terminal: bool = False) -> tuple[Screen, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, width=150, height=44, force_terminal=terminal, color_system=None)
    return Screen(("first act", "second act"), market=market, console=console), out


def play(screen: Screen) -> None:
    """A bit of everything."""
    with screen:
        screen.act("first act", ActState.PLAYING)
        screen.event(NOW_MS, "idea: [not markup] RSI washout")
        screen.message("📊 Hourly Report\nEquity (live) 1.00 USDT")
        screen.numbers({"ideas tried": "7"}, lab_ms=NOW_MS)
        screen.act("first act", ActState.DONE, "all went well")
        screen.act("second act", ActState.FAILED)


def test_without_a_terminal_every_line_says_that_the_market_is_made_up() -> None:
    screen, out = shown("synthetic")
    play(screen)
    lines = out.getvalue().splitlines()
    assert lines
    assert all(line.startswith(f"[{SYNTHETIC}] ") for line in lines)


def test_without_a_terminal_a_recorded_market_is_told_in_plain_lines() -> None:
    screen, out = shown("recorded")
    play(screen)
    assert SYNTHETIC not in out.getvalue()
    assert [line.rstrip() for line in out.getvalue().splitlines()] == [
        "▶ first act",
        "    2024-01-03T12:20:00Z idea: [not markup] RSI washout",
        "    ┌ Telegram (the sandbox's)",
        "    │ 📊 Hourly Report",
        "    │ Equity (live) 1.00 USDT",
        "✔ first act: all went well",
        "✘ second act",
    ]


@pytest.mark.parametrize(("market", "words"), [("synthetic", SYNTHETIC), ("recorded", "recorded market")])
def test_the_live_screen_shows_the_market_the_acts_and_the_chat(market: str, words: str) -> None:
    screen, out = shown(market, terminal=True)
    play(screen)
    screen.console.print(screen.draw())
    for told_words in (words, "no real money", "first act", "all went well", "Hourly Report", "ideas tried"):
        assert told_words in out.getvalue()


def test_the_picture_is_an_svg_that_says_what_market_it_shows(tmp_path: Path) -> None:
    screen, _ = shown("synthetic")
    play(screen)
    screen.save_picture(tmp_path / "last.svg")
    svg = (tmp_path / "last.svg").read_text()
    assert svg.startswith("<svg")
    assert "SYNTHETIC" in svg


FLAT = {"spot": {"USDT": {"free": "9999", "locked": "0"}, "BTC": {"free": "0.0004", "locked": "0"}}}


@pytest.mark.parametrize(
    ("change", "flat"),
    [
        ({}, True),
        ({"positions": [{"symbol": "BTCUSDT", "quantity": "-0.001"}]}, False),
        ({"open_orders": [{"symbol": "BTCUSDT"}]}, False),
        ({"spot": {"BTC": {"free": "0.0004", "locked": "0.0007"}}}, False),
    ],
)
def test_flat_is_no_position_no_order_and_dust_at_most(change: dict[str, object], flat: bool) -> None:
    assert is_flat({**FLAT, "positions": [], "open_orders": [], **change}) is flat


def test_accounts_of_any_size_share_one_axis() -> None:
    nan = float("nan")
    assert percent_of_start([nan, 50.0, 55.0])[1:] == pytest.approx([100.0, 110.0])
    assert all(value != value for value in percent_of_start([nan, nan]))


def test_figures_are_told_as_people_read_them() -> None:
    assert told({"NO_TRADES": 2, "TOO_COMPLEX": 5}) == "TOO_COMPLEX 5\nNO_TRADES 2"
    assert told({}) == "-"
    assert (told(True), told(False), told(12345.5), told("recorded")) == ("yes", "no", "12,345.5", "recorded")

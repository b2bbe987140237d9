"""Paper against its backtest on the candles as they were told: another word later is no difference."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from ai_brain.paper.parity import ParityStatus
from ops.gather import gather
from ops.jobs import parity, universe
from ops.nightly.parity_command import run_parity
from ops.service.lab import DAY_MS
from tests.ops.papers import carry_in
from tests.ops.test_parity import bend, lab_at_night, named, play_on_paper, without_recording
from tests.ops.world import NOW_MS, World, furnish, open_world
from trading.domain.clock import StandingClock, iso
from trading.domain.errors import SettingsError, SpecError
from trading.domain.events import Severity
from trading.domain.instrument import Market
from trading.exchange.recording import Recorder
from trading.funding.position import ClosedPosition
from trading.market.as_told import COLUMNS
from trading.market.tape import Tape, make_tape
from trading.storage import raw_log
from trading.storage.home import Home
from trading.storage.raw_log import RawLog
from trading.strategy.lifecycle import Stage

HOUR_MS = 3_600_000
YESTERDAY_MS = NOW_MS - DAY_MS
ODD_MS = NOW_MS - 9 * HOUR_MS
"""Of the candle that was told otherwise."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    opened = open_world(tmp_path_factory.mktemp("tape"), scale=1.0)
    yield opened
    opened.close()


@pytest.fixture
def lab_home(tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home that points at the sandbox, records nothing itself, and is the one of commands."""
    monkeypatch.setattr(raw_log, "FLUSH_S", 0.01)
    home = Home(tmp_path / "home").make()
    furnish(home, world.url)
    without_recording(home)
    monkeypatch.setenv("LAB_HOME", str(home.root))
    return home


def told_otherwise(tape: Tape) -> Tape:
    """The same market with another close at one bar."""
    close = tape.close.copy()
    at = int(np.searchsorted(tape.open_time_ms, ODD_MS))
    close[at] *= 1.0005
    return make_tape(replace(tape, close=close, high=np.maximum(tape.high, close)))


def record(home: Home, tape: Tape) -> None:
    """Yesterday's candles of a market as the venue streams them."""
    clock = StandingClock(YESTERDAY_MS, real_s=0.0)
    out = RawLog(home.recordings, clock, max_bytes=10**9, keep_days=9999)
    recorder, connection = Recorder(out, clock), f"{tape.market}/market/0"
    for at, opened in enumerate(tape.open_time_ms):
        if not YESTERDAY_MS <= opened < NOW_MS:
            continue
        cells = {name: repr(float(getattr(tape, column)[at])) for name, column in zip("ohlcv", COLUMNS, strict=True)}
        candle = {"t": int(opened), "s": tape.symbol, "i": tape.interval, **cells, "x": True}
        clock.put(int(opened) + HOUR_MS + 200, 0.0)
        text = json.dumps({"stream": "btcusdt@kline_1h", "data": {"e": "kline", "k": candle}}, separators=(",", ":"))
        recorder.message(connection, clock.now_ms(), text)
    out.close()


async def test_what_the_exchange_tells_otherwise_later_is_told_and_is_no_difference_now_or_on_a_later_night(
    lab_home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    async with lab_at_night(lab_home) as (lab, heard):
        await universe.run(lab)
        spec = carry_in(Stage.DRY_RUN)
        shelf = await lab.history.tape(Market.PERP, "BTCUSDT", "1h")
        then = told_otherwise(shelf)
        await play_on_paper(lab, spec, told={Market.PERP: then})
        await parity.run(lab)
        assert lab.memory.parity[0].status is ParityStatus.DIFFERENT, "the recording would prove nothing otherwise"
        record(lab_home, then)
        await parity.run(lab)
        assert (lab.memory.parity[0].status, lab.memory.parity[0].bars) == (ParityStatus.SAME, 48)
        assert gather(lab).parity == "1 of 1 the same to the bit"
        day = named(heard, "parity.day")[-1]
        assert day.facts == {"id": spec.id, "told": 24, "untold": 24, "otherwise": 1}, "spot was not recorded"
        assert day.severity is Severity.NOTICE
        assert run_parity(spec.id, iso(YESTERDAY_MS)[:10]) == 0
        said = capsys.readouterr().out
        assert "perp BTCUSDT 1h: 24 candles told live, 0 on the shelf only, 1 told otherwise" in said
        assert f"than the shelf has them, the first {iso(ODD_MS)}" in said
        assert "SAME to the bit: 48 bars" in said
        shutil.rmtree(lab_home.recordings)
        await parity.run(lab)
        assert lab.memory.parity[0].status is ParityStatus.SAME, "what was told otherwise is remembered"


async def test_a_real_difference_is_found_on_a_recorded_day_too_and_the_command_says_no(
    lab_home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    async with lab_at_night(lab_home) as (lab, heard):
        spec = carry_in(Stage.DRY_RUN)
        await play_on_paper(lab, spec)
        for market in Market:
            record(lab_home, await lab.history.tape(market, "BTCUSDT", "1h"))
        bent, true = bend(lab_home, spec)
        await universe.run(lab)
        await parity.run(lab)
        capsys.readouterr()
        assert lab.memory.parity[0].status is ParityStatus.DIFFERENT
        assert named(heard, "parity.day")[-1].facts["otherwise"] == 0
        assert run_parity(None, None) == 1
        said = capsys.readouterr().out
        assert iso(YESTERDAY_MS)[:10] in said.splitlines()[0], "the last whole day that paper has"
        assert f"DIFFERENT: equity at the close of {iso(NOW_MS)}: paper {bent!r}, backtest {true!r}" in said


async def test_a_day_without_a_recording_is_the_shelfs_and_the_command_says_so(
    lab_home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    async with lab_at_night(lab_home) as (lab, heard):
        spec = carry_in(Stage.DRY_RUN)
        await play_on_paper(lab, spec)
        await universe.run(lab)
        await parity.run(lab)
        assert named(heard, "parity.day")[-1].facts == {"id": spec.id, "told": 0, "untold": 48, "otherwise": 0}
        assert run_parity(None, None) == 0
        assert "nothing was recorded of that day" in capsys.readouterr().out


async def test_a_damaged_recording_is_told_and_the_night_goes_on_with_the_shelf(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, heard):
        spec = carry_in(Stage.DRY_RUN)
        await play_on_paper(lab, spec)
        shelf = await lab.history.tape(Market.PERP, "BTCUSDT", "1h")
        record(lab_home, shelf)
        clock = StandingClock(YESTERDAY_MS + HOUR_MS, real_s=0.0)
        out = RawLog(lab_home.recordings, clock, max_bytes=10**9, keep_days=9999)
        text = '{"stream":"btcusdt@kline_1h","data":{"e":"kline","k":{"x":true,"t":"soon"}}}'
        Recorder(out, clock).message("perp/market/0", clock.now_ms(), text)
        out.close()
        await parity.run(lab)
        assert "perp candle stream: s=None" in str(named(heard, "parity.no_recording")[0].facts["why"])
        assert lab.memory.parity[0].status is ParityStatus.SAME


async def test_what_is_remembered_is_set_aside_when_it_is_broken(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, _):
        spec = carry_in(Stage.DRY_RUN)
        await play_on_paper(lab, spec)
        (lab_home.state / "told_otherwise.json").write_text('{"schema": 1, "candles": {"perp BTCUSDT 1h": {"1": [1]}}}')
        await parity.run(lab)
        assert lab.memory.parity[0].status is ParityStatus.NOT_COMPARABLE
        assert "set aside as told_otherwise.json.bad-1" in lab.memory.parity[0].why
        await parity.run(lab)
        assert lab.memory.parity[0].status is ParityStatus.SAME


def test_wrong_words_on_the_command_line_are_one_line(lab_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_parity(None, None) == 1
    assert "no strategy has a paper account" in capsys.readouterr().out
    with pytest.raises(SpecError, match="nobody"):
        run_parity("nobody", None)


async def test_a_day_that_is_not_over_is_refused(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, _):
        await play_on_paper(lab, carry_in(Stage.DRY_RUN))
        with pytest.raises(SettingsError, match="--date 2999-01-01: that day is not over"):
            run_parity(None, "2999-01-01")


async def test_a_live_position_that_was_closed_yesterday_is_held_against_its_backtest(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, heard):
        spec = carry_in(Stage.DRY_RUN)
        await play_on_paper(lab, spec)
        opened, closed = NOW_MS - 20 * HOUR_MS, NOW_MS - 5 * HOUR_MS
        amounts = Decimal("-1.5"), Decimal("0.3"), Decimal("1.2")
        position = ClosedPosition("c-000001", spec.id, "BTCUSDT", opened, closed, "MARGIN", *amounts, 2, 0.1)
        position = replace(position, capital_quote=Decimal(500))
        await parity.run(lab)
        assert named(heard, "parity.live") == []
        kept = {"schema": 3, "sequence": 1, "closed": [TypeAdapter(ClosedPosition).dump_python(position, mode="json")]}
        lab_home.positions_file.write_text(json.dumps(kept))
        await parity.run(lab)
        (told,) = named(heard, "parity.live")
        assert told.facts["position"] == "c-000001"
        assert "live c-000001" in str(told.facts["words"])
        assert "-1.5000 USDT" in str(told.facts["words"])

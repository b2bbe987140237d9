"""Paper against its backtest on the candles as they were told: another word later is no difference."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from pydantic import TypeAdapter

from ai_brain.evidence.filing import Judgement, save_evidence
from ai_brain.evidence.verdict import Band
from ai_brain.paper.account import LearnedTerms, load_account, save_account
from ai_brain.paper.books import terms_sha256
from ai_brain.paper.parity import Parity, ParityStatus
from ops.gather import gather
from ops.jobs import parity, review, universe
from ops.nightly import parity_command
from ops.nightly.parity_command import run_parity
from ops.nightly.tapes_as_told import TapesAsTold
from ops.nightly.verdict import settled
from ops.nightly.verdicts_file import read_verdicts
from ops.service.lab import Lab
from ops.universe.rules_as_of import RulesAsOf, rules_as_of
from tests.ai_brain.paper_lab import without
from tests.ops.at_night import (
    HOUR_MS,
    basis_in_dry_run,
    bend,
    lab_at_night,
    named,
    play_on_paper,
    record,
    record_all,
    without_recording,
)
from tests.ops.papers import TABLE, carry_in, evidence_of, file_of
from tests.ops.world import NOW_MS, approved_carry
from trading.domain.clock import DAY_MS, StandingClock, iso
from trading.domain.errors import FarmError, SettingsError, SpecError
from trading.domain.events import Severity
from trading.domain.instrument import Market
from trading.exchange.recording import Recorder
from trading.execution.intents import Intents
from trading.funding.position import ClosedPosition, PositionStore
from trading.market.as_told import COLUMNS
from trading.market.tape import Tape, make_tape
from trading.market.universe import Universe
from trading.simulator.costs import MarketRules
from trading.storage import raw_log
from trading.storage.home import Home
from trading.storage.raw_log import RawLog
from trading.strategy.lifecycle import Stage
from trading.strategy.spec import StrategySpec

YESTERDAY_MS = NOW_MS - DAY_MS
ODD_MS = NOW_MS - 9 * HOUR_MS
"""Of the candle that was told otherwise."""


@pytest.fixture
def lab_home(lab_home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home that points at the sandbox, records nothing itself, and is the one of commands."""
    monkeypatch.setattr(raw_log, "FLUSH_S", 0.01)
    monkeypatch.setattr(parity, "STEP_PATIENCE_S", 0.0)
    without_recording(lab_home)
    monkeypatch.setenv("LAB_HOME", str(lab_home.root))
    return lab_home


def told_otherwise(tape: Tape, ms: int = ODD_MS) -> Tape:
    """The same market with another close at one bar."""
    close = tape.close.copy()
    at = int(np.searchsorted(tape.open_time_ms, ms))
    close[at] *= 1.0005
    return make_tape(replace(tape, close=close, high=np.maximum(tape.high, close)))


def at_night(lab: Lab, *, nights_ago: int) -> None:
    """Have the lab's clock stand a minute after that midnight; 0: the midnight after yesterday."""
    lab.clock = StandingClock(NOW_MS + 60_000 - nights_ago * DAY_MS, real_s=0.0)


def status(lab: Lab) -> tuple[ParityStatus, int]:
    (found,) = lab.memory.parity
    return found.status, found.bars


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
        assert lab.memory.parity[0].status is ParityStatus.NOT_COMPARABLE, "nobody knows what paper was told"
        assert "it is not known how paper was told them" in lab.memory.parity[0].why
        record(lab_home, then, YESTERDAY_MS)
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
        await record_all(lab)
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


async def test_a_line_that_is_no_candle_is_told_and_the_others_are_taken_in(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, heard):
        spec = carry_in(Stage.DRY_RUN)
        await play_on_paper(lab, spec)
        await record_all(lab)
        clock = StandingClock(YESTERDAY_MS + HOUR_MS, real_s=0.0)
        out = RawLog(lab_home.recordings, clock, max_bytes=10**9, keep_days=9999)
        text = '{"stream":"btcusdt@kline_1h","data":{"e":"kline","k":{"x":true,"t":"soon"}}}'
        Recorder(out, clock).message("perp/market/0", clock.now_ms(), text)
        out.close()
        await parity.run(lab)
        assert "perp candle stream: s=None" in str(named(heard, "parity.no_recording")[0].facts["why"])
        assert named(heard, "parity.day")[-1].facts["told"] == 48
        assert status(lab) == (ParityStatus.SAME, 48)


@pytest.mark.parametrize("broken", ["recording read on the second night only", "shelf", "file"])
async def test_a_night_that_was_missed_or_could_not_read_is_made_good_by_the_next(lab_home: Home, broken: str) -> None:
    async with lab_at_night(lab_home) as (lab, heard):
        spec = carry_in(Stage.DRY_RUN)
        shelf = await lab.history.tape(Market.PERP, "BTCUSDT", "1h")
        then, tape = told_otherwise(shelf, NOW_MS - 30 * HOUR_MS), lab.history.tape
        await play_on_paper(lab, spec, told={Market.PERP: then})
        file_of(lab_home, spec).unlink()
        approved_carry(lab_home)
        record(lab_home, then, NOW_MS - 2 * DAY_MS)
        if broken == "shelf":

            async def away(market: Market, symbol: str, interval: str) -> Tape:
                raise FarmError("_on_shelf: the process that does it was ended by SIGKILL")

            lab.history.tape = away  # type: ignore[method-assign]
        if broken != "recording read on the second night only":
            at_night(lab, nights_ago=1)
            await parity.run(lab)
            lab.history.tape = tape  # type: ignore[method-assign]
        if broken == "file":
            (lab_home.state / "told" / "perp-BTCUSDT-1h.json").write_text('{"schema": 1, "candles": {"1": "x"}}')
        at_night(lab, nights_ago=0)
        await parity.run(lab)
        assert status(lab) == (ParityStatus.SAME, 48)
        assert lab.repository.get(spec.id).stage is Stage.LIVE_TESTING
        assert lab_home.armed_file.exists()
        assert gather(lab).parity.endswith(f"{spec.id} off paper since, its account ends {iso(NOW_MS)}")
        said = [str(event.facts["why"]) for event in named(heard, "parity.no_recording")]
        assert len(said) == (broken == "file")
        assert all("set aside as perp-BTCUSDT-1h.json.bad-1; built anew" in why for why in said)


async def test_what_the_shelf_says_of_an_old_candle_later_is_no_difference(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, _):
        spec = carry_in(Stage.DRY_RUN)
        await play_on_paper(lab, spec)
        await record_all(lab)
        await parity.run(lab)
        shutil.rmtree(lab_home.recordings)
        key = Market.PERP, "BTCUSDT", "1h"
        lab.history._kept[key] = told_otherwise(await lab.history.tape(*key), NOW_MS - 40 * HOUR_MS)
        await parity.run(lab)
        assert status(lab) == (ParityStatus.SAME, 48)


async def test_candles_before_an_account_began_are_taken_in_though_nobody_was_on_paper_then(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, _):
        spec, began_ms = basis_in_dry_run(), NOW_MS - 2 * DAY_MS
        shelf = {market: await lab.history.tape(market, "BTCUSDT", "1h") for market in Market}
        then = told_otherwise(shelf[Market.PERP], began_ms - 5 * HOUR_MS)
        record(lab_home, then, end_ms=began_ms)
        record(lab_home, shelf[Market.SPOT], end_ms=began_ms)
        at_night(lab, nights_ago=2)
        await parity.run(lab)
        assert lab.memory.parity == ()
        shutil.rmtree(lab_home.recordings)
        await play_on_paper(lab, spec, told={Market.PERP: then})
        at_night(lab, nights_ago=0)
        await parity.run(lab)
        assert status(lab) == (ParityStatus.SAME, 48)


async def test_a_day_that_paper_did_not_step_is_not_called_the_same(
    lab_home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    async with lab_at_night(lab_home) as (lab, heard):
        await universe.run(lab)
        spec = carry_in(Stage.DRY_RUN)
        whole = {market: await lab.history.tape(market, "BTCUSDT", "1h") for market in Market}
        await record_all(lab)
        until_ms = NOW_MS - 30 * HOUR_MS
        cut = {market: tape.window(tape.start_ms, until_ms) for market, tape in whole.items()}
        await play_on_paper(lab, spec, told=cut)
        for night in range(1, 4):
            await parity.run(lab)
            event = named(heard, "parity.not_comparable")[-1]
            assert (event.facts["nights"], event.severity) == (night, Severity.ALERT if night == 3 else Severity.NOTICE)
        assert lab.memory.parity[0].why == f"paper has stepped no bar that closed after {iso(until_ms)}"
        assert run_parity(spec.id, iso(YESTERDAY_MS)[:10]) == 1
        assert "NOT_COMPARABLE: paper has stepped no bar" in capsys.readouterr().out
        await play_on_paper(lab, spec)
        await parity.run(lab)
        assert status(lab) == (ParityStatus.SAME, 48)
        assert lab.outbox.open_alerts() == {}


async def test_a_bar_that_paper_went_without_is_left_out_of_both_and_what_is_left_is_compared(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, heard):
        spec = carry_in(Stage.DRY_RUN)
        whole = await lab.history.tape(Market.PERP, "BTCUSDT", "1h")
        holed = {Market.PERP: without(whole, len(whole) - 30)}
        await play_on_paper(lab, spec, told=holed)
        await play_on_paper(lab, spec, told=holed, at_ms=NOW_MS)  # six hours later the hole is taken as a gap
        await record_all(lab)
        await parity.run(lab)
        assert status(lab) == (ParityStatus.SAME, 47)
        assert named(heard, "parity.same")[-1].facts["missed"] == 1
        bend(lab_home, spec)
        await parity.run(lab)
        assert status(lab) == (ParityStatus.DIFFERENT, 47)


async def test_a_human_is_asked_only_after_a_night_that_compared_and_found_the_same_lately(lab_home: Home) -> None:
    with lab_home.settings_file.open("a") as file:
        file.write("paper: {review_settlements: 1, review_hours: 1}\n")
    async with lab_at_night(lab_home) as (lab, _):
        spec = carry_in(Stage.DRY_RUN)
        await play_on_paper(lab, spec)
        await record_all(lab)
        wide = (Band(bars=24, low=-1.0, high=1.0),)
        save_evidence(lab_home, Judgement(evidence_of(spec).model_copy(update={"prediction": wide}), TABLE))

        async def asked() -> bool:
            await review.promote(lab)
            return lab.repository.get(spec.id).stage is Stage.REVIEW

        assert not await asked(), "no night has looked"
        account = load_account(lab_home, spec.id)
        assert account is not None
        save_account(lab_home, replace(account, terms_sha256="0" * 64))
        await parity.run(lab)
        assert status(lab) == (ParityStatus.NOT_COMPARABLE, 0)
        assert not await asked()
        save_account(lab_home, account)
        await parity.run(lab)
        (lab_home.state / "parity.json").write_text(
            json.dumps({"schema": 1, "differing": [], "verdicts": {spec.id: "SAME"}})
        )
        assert not await asked(), "an older lab did not note of which day it spoke"
        await parity.run(lab)
        lab.clock = StandingClock(NOW_MS + 3 * DAY_MS, real_s=0.0)
        assert not await asked(), "that was days ago"
        at_night(lab, nights_ago=0)
        assert await asked()


async def test_what_an_older_lab_remembered_is_known_still(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, _):
        spec = carry_in(Stage.DRY_RUN)
        shelf = await lab.history.tape(Market.PERP, "BTCUSDT", "1h")
        then = told_otherwise(shelf)
        await play_on_paper(lab, spec, told={Market.PERP: then})
        at = int(np.searchsorted(then.open_time_ms, ODD_MS))
        cells = [float(getattr(then, column)[at]) for column in COLUMNS]
        kept = {"schema": 1, "candles": {"perp BTCUSDT 1h": {str(ODD_MS): cells}}}
        (lab_home.state / "told_otherwise.json").write_text(json.dumps(kept))
        await parity.run(lab)
        assert status(lab) == (ParityStatus.SAME, 48)


def test_wrong_words_on_the_command_line_are_one_line(lab_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_parity(None, None) == 1
    assert "no strategy has a paper account" in capsys.readouterr().out
    with pytest.raises(SpecError, match="nobody"):
        run_parity("nobody", None)
    with pytest.raises(SettingsError, match="--date 'nonsense': not a date"):
        run_parity(None, "nonsense")


@pytest.mark.parametrize(("ends_ms", "status"), [(NOW_MS, "DIFFERENT"), (NOW_MS - DAY_MS, "NOT_COMPARABLE")])
def test_what_may_be_a_settlement_that_the_shelf_has_not_yet_is_no_difference(ends_ms: int, status: str) -> None:
    spec = carry_in(Stage.DRY_RUN)
    found = Parity(spec.id, ParityStatus.DIFFERENT, paper=9996.3, backtest=9995.9, differs_ms=NOW_MS)
    told = TapesAsTold(None, (), (), ends_ms)  # type: ignore[arg-type]  # no bar is looked at
    assert settled(found, spec, None, told, NOW_MS).status == status  # type: ignore[arg-type]


async def test_a_day_that_is_not_over_is_refused(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, _):
        await play_on_paper(lab, carry_in(Stage.DRY_RUN))
        with pytest.raises(SettingsError, match="--date 2999-01-01: that day is not over"):
            run_parity(None, "2999-01-01")


def closed_live(lab: Lab, spec: StrategySpec, profit: str) -> None:
    """A live position of yesterday, in the desk's books."""
    opened, closed = NOW_MS - 20 * HOUR_MS, NOW_MS - 5 * HOUR_MS
    amounts = Decimal(profit), Decimal("0.3"), Decimal("1.2")
    position = ClosedPosition("c-000001", spec.id, "BTCUSDT", opened, closed, "MARGIN", *amounts, 2, 0.1)
    position = replace(position, capital_quote=Decimal(500))
    kept = {"schema": 3, "sequence": 1, "closed": [TypeAdapter(ClosedPosition).dump_python(position, mode="json")]}
    lab.home.positions_file.write_text(json.dumps(kept))
    learn_of(lab)


def learn_of(lab: Lab) -> None:
    """The desk has the positions file as it lies there now."""
    assert lab.desk is not None
    store = PositionStore(lab.home.positions_file, Intents(lab.home.intents_file))
    lab.desk._room = replace(lab.desk._room, store=store)


async def test_a_live_position_that_was_closed_is_held_against_its_backtest_once(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, heard):
        spec = carry_in(Stage.DRY_RUN)
        await play_on_paper(lab, spec)
        at_night(lab, nights_ago=1)
        await parity.run(lab)
        assert named(heard, "parity.live") == []
        closed_live(lab, spec, "-1.5")
        lab.clock = StandingClock(NOW_MS + 2 * DAY_MS + 60_000, real_s=0.0)  # two nights were missed
        await parity.run(lab)
        (told,) = named(heard, "parity.live")
        assert told.facts["position"] == "c-000001"
        assert "live c-000001" in str(told.facts["words"])
        assert "-1.5000 USDT" in str(told.facts["words"])
        lab.clock = StandingClock(NOW_MS + 3 * DAY_MS + 60_000, real_s=0.0)
        await parity.run(lab)
        assert len(named(heard, "parity.live")) == 1


async def test_a_live_result_that_its_backtest_did_not_make_takes_the_strategy_back_to_paper(
    lab_home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    async with lab_at_night(lab_home) as (lab, heard):
        await universe.run(lab)
        spec = carry_in(Stage.DRY_RUN)
        await play_on_paper(lab, spec)
        file_of(lab_home, spec).unlink()
        approved_carry(lab_home)
        closed_live(lab, spec, "-100")
        await parity.run(lab)
        (told,) = named(heard, "parity.live_differs")
        assert told.severity is Severity.ALERT
        moved = lab.repository.get(spec.id)
        assert (moved.stage, moved.approved_at, lab_home.armed_file.exists()) == (Stage.DRY_RUN, None, False)
        assert "live c-000001" in moved.history[-1].why
        assert read_verdicts(lab_home).differing == {spec.id}
        assert run_parity(spec.id, iso(YESTERDAY_MS)[:10]) == 1
        assert "BEYOND THE BOUND: live c-000001" in capsys.readouterr().out
        lab_home.positions_file.unlink()
        learn_of(lab)
        await parity.run(lab)
        assert (read_verdicts(lab_home).differing, lab.outbox.open_alerts()) == (set(), {})


async def test_the_command_finds_the_rules_of_an_account_that_has_learned(
    lab_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with lab_at_night(lab_home) as (lab, _):
        spec = carry_in(Stage.DRY_RUN)
        await play_on_paper(lab, spec)
        account = load_account(lab_home, spec.id)
        assert account is not None
        then, now = MarketRules(min_notional=50.0), MarketRules(min_notional=20.0)
        learned = LearnedTerms(slippage=2.0, impact_rate=0.0001, version="v")
        terms = terms_sha256(spec, lab.settings.paper, now, lab.settings.carry.weights(), learned)
        account = replace(account, learned=learned, terms_sha256=terms)

        def as_of(_universe: object, _spec: object, at_ms: int, _until_ms: int) -> RulesAsOf:
            found = rules_as_of(Universe(()), spec, at_ms, at_ms + 1)
            return replace(found, rules=then if at_ms == account.started_ms else now)

        monkeypatch.setattr(parity_command, "rules_as_of", as_of)
        assert parity_command._rules_of(lab_home, spec, account, lab.settings, NOW_MS) == now

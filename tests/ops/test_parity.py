"""The night's check of a whole lab: recorded bars from the shelf, verdicts told, and what a difference costs."""

from __future__ import annotations

import base64
import json
import shutil

import pytest

import ops.history.shelf
from ai_brain.evidence.filing import Judgement, save_evidence
from ai_brain.evidence.verdict import Band
from ai_brain.paper.account import load_account
from ai_brain.paper.parity import ParityStatus
from ops.apart import apart
from ops.gather import gather
from ops.jobs import evaluation, parity, reports, review
from ops.nightly.verdicts_file import read_verdicts
from ops.service.lab import Lab
from tests.ai_brain.paper_lab import without
from tests.ops.at_night import (
    basis_in_dry_run,
    bend,
    lab_at_night,
    mend,
    named,
    play_on_paper,
    record_all,
    without_recording,
)
from tests.ops.papers import TABLE, carry_in, evidence_of, file_of
from tests.ops.world import NOW_MS, approved_carry
from trading.domain.errors import FarmError
from trading.domain.events import Severity
from trading.domain.instrument import Market
from trading.market.tape import Tape
from trading.notify.message import Message
from trading.storage import raw_log
from trading.storage.home import Home
from trading.strategy.lifecycle import Stage, move


@pytest.fixture
def lab_home(lab_home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home that points at the sandbox and records nothing itself: each test says what was told."""
    monkeypatch.setattr(raw_log, "FLUSH_S", 0.01)
    monkeypatch.setattr(parity, "STEP_PATIENCE_S", 0.0)
    without_recording(lab_home)
    return lab_home


class Chat:
    """A notifier that remembers."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def send(self, message: Message) -> None:
        self.texts.append(message.text)


async def told(lab: Lab) -> str:
    """Every message that waits, as it is delivered."""
    chat = Chat()
    await lab.outbox.drain(chat, lab.clock)
    return "\n".join(chat.texts)


async def test_paper_is_the_backtest_of_the_shelfs_bars_and_the_days_summary_says_so(
    lab_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (parity, ops.history.shelf):  # this once in processes of their own, as the service has it
        monkeypatch.setattr(module, "apart", apart)
    async with lab_at_night(lab_home) as (lab, heard):
        spec = carry_in(Stage.DRY_RUN)
        await play_on_paper(lab, spec)
        await parity.run(lab)
        (found,) = lab.memory.parity
        assert (found.status, found.bars) == (ParityStatus.SAME, 48)
        account = load_account(lab_home, spec.id)
        assert account is not None
        assert len({quote for _, quote in account.curve}) > 5, "an account that never moved proves nothing"
        assert named(heard, "parity.same")[0].severity is Severity.INFO
        await reports.daily(lab)
        assert "Paper against its backtest: 1 of 1 the same to the bit" in await told(lab)


async def test_rules_of_the_basis_are_judged_and_replayed_over_both_markets_of_the_shelf(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, _):
        spec = basis_in_dry_run()
        tapes = await evaluation.tapes_for(lab, spec)
        shelf = [await lab.history.tape(market, "BTCUSDT", "1h") for market in (Market.PERP, Market.SPOT)]
        assert tapes.spot is not None
        assert [tapes.main.content_hash, tapes.spot.content_hash] == [tape.content_hash for tape in shelf]
        await play_on_paper(lab, spec)
        await parity.run(lab)
        (found,) = lab.memory.parity
        assert (found.status, found.bars, found.why) == (ParityStatus.SAME, 48, "")
        account = load_account(lab_home, spec.id)
        assert account is not None
        assert account.trades, "an account that never traded proves nothing"
        await record_all(lab)
        bend(lab_home, spec)
        await parity.run(lab)
        assert read_verdicts(lab_home).differing == {spec.id}


async def test_one_other_bit_is_an_alert_with_both_numbers_and_no_human_is_asked_until_a_night_finds_it_the_same(
    lab_home: Home,
) -> None:
    async with lab_at_night(lab_home) as (lab, heard):
        spec = carry_in(Stage.DRY_RUN)
        await play_on_paper(lab, spec)
        await record_all(lab)
        bent, true = bend(lab_home, spec)
        await parity.run(lab)
        (event,) = named(heard, "parity.differs")
        assert event.severity is Severity.ALERT
        assert (event.facts["paper"], event.facts["backtest"]) == (bent, true)
        assert lab.repository.get(spec.id).stage is Stage.DRY_RUN
        assert read_verdicts(lab_home).differing == {spec.id}
        assert f"parity.differs:{spec.id}" in lab.outbox.open_alerts()
        words = gather(lab).parity
        assert words.startswith("0 of 1 the same to the bit")
        assert repr(bent) in words
        assert repr(true) in words
        mend(lab_home, spec, true)
        await parity.run(lab)
        assert read_verdicts(lab_home).differing == set()
        assert lab.outbox.open_alerts() == {}


async def test_what_has_shown_enough_is_put_before_the_human_only_when_paper_does_not_differ(
    lab_home: Home,
) -> None:
    with lab_home.settings_file.open("a") as file:
        file.write("paper: {review_settlements: 1, review_hours: 1}\n")
    async with lab_at_night(lab_home) as (lab, _):
        spec = carry_in(Stage.DRY_RUN)
        await play_on_paper(lab, spec)
        wide = (Band(bars=24, low=-1.0, high=1.0),)
        save_evidence(lab_home, Judgement(evidence_of(spec).model_copy(update={"prediction": wide}), TABLE))
        await record_all(lab)
        _, true = bend(lab_home, spec)
        await parity.run(lab)
        assert lab.paper.ready_for_review(spec).allowed
        await review.promote(lab)
        assert lab.repository.get(spec.id).stage is Stage.DRY_RUN
        mend(lab_home, spec, true)
        await parity.run(lab)
        await review.promote(lab)
        assert lab.repository.get(spec.id).stage is Stage.REVIEW
        await review.ask(lab)
        (asked,) = [path for path in lab_home.outbox.glob("0*.json") if "Approval Needed" in path.read_text()]
        (page,) = json.loads(asked.read_text())["photos"]
        assert base64.b64decode(page).startswith(b"\x89PNG"), "the verdict's page is under the question"


async def test_what_traded_live_goes_back_to_paper_with_the_reason_and_is_disarmed(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, _):
        spec = carry_in(Stage.DRY_RUN)
        await play_on_paper(lab, spec)
        file_of(lab_home, spec).unlink()
        signed = approved_carry(lab_home)
        assert signed.id == spec.id
        await parity.run(lab)
        assert lab.repository.get(spec.id).stage is Stage.LIVE_TESTING
        assert lab_home.armed_file.exists()
        await record_all(lab)
        bent, true = bend(lab_home, spec)
        await parity.run(lab)
        moved = lab.repository.get(spec.id)
        assert (moved.stage, moved.approved_at) == (Stage.DRY_RUN, None)
        assert moved.history[-1].by == "parity"
        assert repr(bent) in moved.history[-1].why
        assert repr(true) in moved.history[-1].why
        assert not lab_home.armed_file.exists()


async def test_another_strategys_arming_is_left_alone(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, _):
        armed, spec = approved_carry(lab_home), carry_in(Stage.DRY_RUN, number=0xB2)
        await play_on_paper(lab, spec)
        lab.repository.save(carry_in(Stage.REVIEW, number=0xB2))
        await record_all(lab)
        bend(lab_home, spec)
        await parity.run(lab)
        assert lab.repository.get(spec.id).stage is Stage.DRY_RUN
        assert lab.repository.get(armed.id).stage is Stage.LIVE_TESTING
        assert lab_home.armed_file.exists()


async def test_the_alert_of_a_retired_strategy_ends(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, heard):
        spec = carry_in(Stage.DRY_RUN)
        await play_on_paper(lab, spec)
        await record_all(lab)
        bend(lab_home, spec)
        await parity.run(lab)
        lab.repository.save(move(spec, Stage.RETIRED, by="test", why="test", at_ms=NOW_MS))
        await parity.run(lab)
        assert [event.facts["id"] for event in named(heard, "parity.ended")] == [spec.id]
        assert lab.outbox.open_alerts() == {}
        assert gather(lab).parity == "no paper account"


async def test_bars_the_shelf_has_not_are_told_and_are_neither_passed_nor_a_difference(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, heard):
        spec = carry_in(Stage.DRY_RUN)
        await play_on_paper(lab, spec)
        await record_all(lab)
        _, true = bend(lab_home, spec)
        await parity.run(lab)
        mend(lab_home, spec, true)
        shutil.rmtree(lab_home.recordings)
        shutil.rmtree(lab_home.state / "told")
        key = (Market.SPOT, spec.market.native_symbol, spec.market.timeframe)
        whole = await lab.history.tape(*key)
        lab.history._kept[key] = without(whole, len(whole) - 10)
        await parity.run(lab)
        (found,) = lab.memory.parity
        assert found.status is ParityStatus.NOT_COMPARABLE
        assert "paper stepped 48 bars" in found.why
        assert "the shelf has 47" in found.why
        assert named(heard, "parity.same") == []
        assert read_verdicts(lab_home).differing == {spec.id}, "doubt does not lift what a night found"
        assert "not comparable" in gather(lab).parity


async def test_a_lab_without_an_answer_of_parity_waits_a_while_and_tells_its_day_all_the_same(
    lab_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "PARITY_PATIENCE_S", 0.5)
    async with lab_at_night(lab_home) as (lab, _):
        await reports.daily(lab)
        assert "Paper against its backtest: nobody has looked" in await told(lab)


async def test_an_account_whose_bars_cannot_be_read_now_is_not_compared_and_the_others_are(
    lab_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with lab_at_night(lab_home) as (lab, _):
        first, second = carry_in(Stage.DRY_RUN), carry_in(Stage.DRY_RUN, number=1)
        await play_on_paper(lab, first, second)
        tape, asked = lab.history.tape, list[Market]()

        async def once(market: Market, symbol: str, interval: str) -> Tape:
            asked.append(market)
            if len(asked) == 1:
                raise FarmError("_on_shelf: the process that does it was ended by SIGKILL")
            return await tape(market, symbol, interval)

        monkeypatch.setattr(lab.history, "tape", once)
        await parity.run(lab)
        found = {one.strategy_id: (one.status, one.why) for one in lab.memory.parity}
        assert found[first.id] == (
            ParityStatus.NOT_COMPARABLE,
            "_on_shelf: the process that does it was ended by SIGKILL",
        )
        assert found[second.id] == (ParityStatus.SAME, "")

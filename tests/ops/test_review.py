"""What waits for the human is asked about, whatever the lab died of between a move and its message."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from ai_brain.evidence.filing import Judgement, evidence_folder, save_evidence
from ops.gather import gather
from ops.jobs import backup, reports, review
from ops.numbers import to_release
from ops.reports import hourly_report
from ops.service.lab import Lab
from ops.service.lasting import tell_halts
from ops.stop_trading import release
from tests.ops.at_night import lab_at_night, play_on_paper
from tests.ops.papers import TABLE, carry_in, evidence_of
from tests.ops.world import approved_carry
from trading.domain.clock import DAY_MS, Clock
from trading.domain.decisions import Decision, Reason
from trading.risk.counters import RiskCounters
from trading.risk.kill_switch import stop_trading
from trading.storage.home import Home
from trading.strategy.lifecycle import Stage, move
from trading.strategy.spec import StrategySpec

LOSS = Decision(False, Reason.DAILY_LOSS, 0.031, 0.03, "since midnight")


async def in_review(lab: Lab, *, number: int = 0) -> StrategySpec:
    """A strategy that paper has put into review, as its file says; nobody was asked yet."""
    spec = carry_in(Stage.DRY_RUN, number=number)
    await play_on_paper(lab, spec)
    save_evidence(lab.home, Judgement(evidence_of(spec), TABLE))
    moved = move(spec, Stage.REVIEW, by="paper", why="31 settlements", at_ms=lab.clock.now_ms())
    lab.repository.save(moved)
    return moved


def questions(home: Home) -> list[str]:
    return [path.name for path in home.outbox.glob("0*.json") if "Approval Needed" in path.read_text()]


async def test_a_lab_that_died_before_it_asked_asks_after_its_next_start_and_once(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, _):
        await in_review(lab)
    for _ in range(2):
        async with lab_at_night(lab_home) as (lab, _):
            await review.ask(lab)
            await review.ask(lab)
    (asked,) = questions(lab_home)
    assert "31 settlements" in (lab_home.outbox / asked).read_text()


async def test_a_question_that_the_disk_refused_is_asked_in_the_next_cycle(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, _):
        await in_review(lab)
        in_the_way = lab_home.outbox / "told.jsonl"
        in_the_way.mkdir()
        await review.ask(lab)
        assert questions(lab_home) == []
        in_the_way.rmdir()
        await review.ask(lab)
        await review.ask(lab)
        assert len(questions(lab_home)) == 1


async def test_a_strategy_that_comes_back_to_review_is_asked_about_again(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, _):
        spec = await in_review(lab)
        await review.ask(lab)
        now_ms = lab.clock.now_ms()
        back = move(spec, Stage.DRY_RUN, by="parity", why="paper is not its backtest", at_ms=now_ms)
        lab.repository.save(move(back, Stage.REVIEW, by="paper", why="enough", at_ms=now_ms + 3 * DAY_MS))
        await review.ask(lab)
        assert len(questions(lab_home)) == 2


async def test_broken_evidence_of_one_keeps_no_other_from_being_asked_about(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, heard):
        await in_review(lab, number=1)
        broken = carry_in(Stage.REVIEW)
        lab.repository.save(broken)
        (evidence_folder(lab_home) / f"{broken.id}.json").write_text("{")
        await review.ask(lab)
        assert len(questions(lab_home)) == 1
        assert any(event.facts.get("where") == "review" for event in heard)


async def test_a_halt_that_was_filed_and_never_told_is_told_after_the_next_start(lab_home: Home) -> None:
    RiskCounters(lab_home.state / "risk_counters.json").halt(LOSS, 1)
    for _ in range(2):
        async with lab_at_night(lab_home) as (lab, heard):
            tell_halts(lab)
            tell_halts(lab)
            assert lab.outbox.open_alerts()["risk.halted:DAILY_LOSS"].raised == 1
    assert [event.name for event in heard if event.name == "risk.halted"] == []


async def test_the_alert_of_a_halt_that_is_released_ends_though_the_release_was_not_told(lab_home: Home) -> None:
    RiskCounters(lab_home.state / "risk_counters.json").halt(LOSS, 1)
    async with lab_at_night(lab_home) as (lab, _):
        tell_halts(lab)
    RiskCounters(lab_home.state / "risk_counters.json").release()
    async with lab_at_night(lab_home) as (lab, _):
        tell_halts(lab)
        assert lab.outbox.open_alerts() == {}


async def test_a_stop_and_each_halt_wait_for_the_human_with_what_to_type(lab_home: Home) -> None:
    approved_carry(lab_home)
    async with lab_at_night(lab_home) as (lab, _):
        assert gather(lab).in_force == ()
        assert gather(lab).next_action == "the next live cycle"
        assert lab.desk is not None
        lab.desk.counters.halt(LOSS, 1)
        lab.desk.counters.halt(replace(LOSS, reason=Reason.STRATEGY_DRAWDOWN), 1, subject="fc-1")
        stop_trading(lab_home, by="ada", why="test", at_ms=1, keep_positions=True)
        told = hourly_report(gather(lab)).splitlines()
        reasons = "TRADING_STOPPED.json, DAILY_LOSS, STRATEGY_DRAWDOWN fc-1"
        assert f"Waits for you: python stop_trading.py --release ({reasons})" in told
        assert "Next: nothing is opened live until what is in force is released" in told
        release(lab_home, lambda _: None)
        lab.desk.release_halts()
        assert "Waits for you" not in hourly_report(gather(lab))


def test_what_the_environment_stops_is_taken_back_there() -> None:
    assert to_release(["KILL=1"]) == "unset KILL=1, then python stop_trading.py --release (KILL=1)"


def test_a_pause_is_taken_back_by_hand_for_a_release_would_disarm() -> None:
    assert to_release(["PAUSED"]).startswith("remove state/PAUSED")
    assert to_release(["PAUSED", "DAILY_LOSS"]) == "python stop_trading.py --release (PAUSED, DAILY_LOSS)"


async def test_refusals_are_an_insight_once_and_none_is_no_insight(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, _):
        await reports.insights(lab)
        lab.memory.refused_ideas["BAD_SPEC"] = 2
        for _ in range(2):
            await reports.insights(lab)
            await play_on_paper(lab, carry_in(Stage.DRY_RUN))  # another leader is no refusal
    told = [path.read_text() for path in lab_home.outbox.glob("0*.json")]
    assert [text.count("BAD_SPEC 2×") for text in told] == [1]


async def test_a_week_is_told_once_though_its_job_ran_twice_and_after_the_nights_comparison(lab_home: Home) -> None:
    async with lab_at_night(lab_home, Clock()) as (lab, _):
        weekly = asyncio.create_task(backup.weekly(lab))
        await asyncio.sleep(0)
        async with lab.turn:  # the archive is there
            lab.memory.parity_ms = lab.clock.now_ms()
        await weekly
        await backup.weekly(lab)
    told = [path for path in lab_home.outbox.glob("0*.json") if "Weekly summary" in path.read_text()]
    assert len(told) == 1
    assert "Paper against its backtest: no paper account" in told[0].read_text(), "it tells of this night"

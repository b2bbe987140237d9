"""The tuner in a lab: what it has rest does rest, is told with its numbers, and goes on when its cause is gone."""

from __future__ import annotations

import pytest

from ai_brain.desk.tuner import CycleMark, Rule
from ops import reports
from ops.gather import gather
from ops.jobs import evaluation, research, tuner
from ops.schedule import rows_for
from ops.service.lab import Lab
from tests.ops.at_night import lab_at_night, named
from tests.ops.papers import carry_in
from tests.ops.world import World
from trading.domain.events import Severity
from trading.domain.instrument import Market
from trading.storage.files import read_json, write_json
from trading.storage.home import Home
from trading.strategy.lifecycle import Stage

SLOW, QUICK, BLIND = CycleMark(100.0, 45.0), CycleMark(100.0, 0.2), CycleMark(0.0, 0.2)


@pytest.fixture
def lab_home(lab_home: Home, world: World) -> Home:
    """A home that points at the sandbox, its model too."""
    with lab_home.settings_file.open("a") as file:
        file.write(f"gemini: {{base_url: '{world.url}'}}\n")
    with lab_home.env_file.open("a") as file:
        file.write("GEMINI_API_KEY=sandbox-key\n")
    return lab_home


def calls_today(home: Home) -> object:
    return (read_json(home.state / "model_budget.json", schema=1) or {"calls": 0})["calls"]


async def look(lab: Lab, mark: CycleMark) -> None:
    """Ten cycles of a kind, and the tuner's look at them."""
    lab.memory.cycles.extend([mark] * 10)
    await tuner.run(lab)


async def test_the_model_is_told_what_the_labs_history_could_prove_after_so_many_ideas(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, _):
        alone = research.provable(lab)
        spec = carry_in(Stage.GENERATED)
        lab.repository.save(spec.model_validate({**dict(spec), "stage": Stage.GENERATED, "history": ()}))
        await evaluation.run(lab)
        assert "With 0.41 years of bars and 1 idea tried, only a net Sharpe of 4.34 a year" in alone
        assert "and 2 ideas tried, only a net Sharpe of" in research.provable(lab)


async def test_a_slow_loop_has_the_judging_of_ideas_wait_and_a_quick_one_takes_it_up_again(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, heard):
        spec = carry_in(Stage.GENERATED)
        spec = spec.model_validate({**dict(spec), "stage": Stage.GENERATED, "history": ()})
        lab.repository.save(spec)
        await look(lab, SLOW)
        (event,) = named(heard, "tuner.rests")
        assert event.severity is Severity.INFO
        assert event.facts["rule"] == Rule.CYCLE_LATENCY
        assert (event.facts["value"], event.facts["limit"]) == (45.0 / 60.0, 0.5)
        await evaluation.run(lab)
        assert lab.repository.get(spec.id).stage is Stage.GENERATED
        assert named(heard, "evaluation.rests")
        await tuner.run(lab)
        assert len(named(heard, "tuner.rests")) == 1, "told when it begins, not at every look"
        await look(lab, QUICK)
        assert [event.facts["rule"] for event in named(heard, "tuner.ended")] == [Rule.CYCLE_LATENCY]
        await evaluation.run(lab)
        assert lab.repository.get(spec.id).stage is not Stage.GENERATED


async def test_on_refused_data_the_model_is_not_asked_and_on_good_data_it_is(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, heard):
        await lab.market.open()
        await look(lab, BLIND)
        await research.hypothesis(lab)
        await research.crazy_idea(lab)
        assert [event.facts["reason"] for event in named(heard, "ideas.not_asked")] == [Rule.DATA_QUALITY] * 2
        assert calls_today(lab_home) == 0
        await look(lab, QUICK)
        await research.hypothesis(lab)
        assert calls_today(lab_home) == 1


async def test_the_model_is_asked_about_the_perpetual_with_spot_beside_it(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, _):
        await lab.market.open()
        tape = research.live_tape(lab, lab.settings.venue.symbol)
        spot = lab.market.tape(Market.SPOT, "BTCUSDT", "1h")
        assert (tape.market, len(tape)) == (Market.PERP, len(tape.spot_close))
        assert tape.spot_close[-300:].tolist() == spot.close[-300:].tolist()


async def test_near_the_end_of_the_models_day_only_the_crazy_question_rests(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, _):
        await lab.market.open()
        day = {"day": "2024-07-16", "usd": 0.0, "calls": 49}
        write_json(lab_home.state / "model_budget.json", day, schema=1)
        await tuner.run(lab)
        assert [adjustment.rule for adjustment in lab.memory.tuned] == [Rule.MODEL_BUDGET]
        await research.crazy_idea(lab)
        assert calls_today(lab_home) == 49
        await research.hypothesis(lab)
        assert calls_today(lab_home) == 50


async def test_failing_jobs_are_advice_with_numbers_in_the_hourly_report_until_they_work_again(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, heard):
        lab.failures = lambda: {"news": 3}
        await tuner.run(lab)
        (event,) = named(heard, "tuner.advice")
        assert (event.facts["value"], event.facts["limit"], event.facts["rests"]) == (3.0, 2.0, [])
        line = "Tuner: JOB_FAILURES 3.00 against 2.00, advice only: news failed 3 times in a row"
        assert line in reports.hourly_report(gather(lab)).splitlines()
        lab.failures = dict
        await tuner.run(lab)
        assert named(heard, "tuner.ended")
        assert "Tuner" not in reports.hourly_report(gather(lab))


def test_the_tuner_looks_every_five_minutes_and_never_oftener_than_the_loop() -> None:
    for loop_s, every_s in ((60, 300), (240, 300), (3600, 3600)):
        rows = {row.name: row for row in rows_for(loop_s)}
        assert (rows["loop"].every_s, rows["tuner"].every_s) == (loop_s, every_s)
        assert rows["loop"].touches_money

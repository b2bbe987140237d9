"""What waits on one market is judged as one search: each is weighed against all, and the choice is known."""

from __future__ import annotations

import pytest

from ai_brain.evidence.filing import load_evidence
from ai_brain.research_library import library_specs
from ops.jobs import evaluation
from ops.service.lab import Lab
from tests.ops.at_night import lab_at_night, named
from tests.ops.papers import file_of
from trading.domain.errors import FarmError
from trading.storage.home import Home
from trading.strategy.lifecycle import Stage
from trading.strategy.spec import CarryParameters, RuleParameters, StrategySpec


def rules_of(lab: Lab, count: int) -> list[StrategySpec]:
    """Of the library, those that need the one tape only."""
    found = library_specs(lab.setting.settings.venue.symbol, lab.clock.now_ms())
    return [s for s in found if not isinstance(s.parameters, CarryParameters) and not s.reads_basis][:count]


async def test_ideas_that_wait_on_one_market_are_weighed_together_and_each_gets_its_verdict(
    lab_home: Home,
) -> None:
    async with lab_at_night(lab_home) as (lab, heard):
        specs = rules_of(lab, 3)
        for spec in specs:
            lab.repository.save(spec)
        await evaluation.run(lab)
        found = [load_evidence(lab_home, spec.id) for spec in specs]
        assert [each.power.trials for each in found if each is not None and each.power is not None] == [3, 3, 3]
        told = {event.facts["id"] for event in named(heard, "strategy.judged") + named(heard, "strategy.not_judged")}
        assert told == {spec.id for spec in specs}
        stages = {lab.repository.get(spec.id).stage for spec in specs}
        assert Stage.BACKTESTING not in stages


async def test_what_these_bars_cannot_prove_is_not_asked_of_them_again_every_hour(lab_home: Home) -> None:
    short = lab_home.settings_file.read_text().replace("history_days: 150", "history_days: 30")
    lab_home.settings_file.write_text(short)
    async with lab_at_night(lab_home) as (lab, heard):
        for spec in rules_of(lab, 3):
            lab.repository.save(spec)
        await evaluation.run(lab)
        waiting = lab.repository.by_stage(Stage.GENERATED)
        assert waiting, "the market is too short for them"
        assert set(lab.memory.not_judged) == {spec.id for spec in waiting}
        before = {spec.id: file_of(lab_home, spec).read_bytes() for spec in waiting}
        evidence = sorted((lab_home.state / "evidence").iterdir())
        for _ in range(3):
            await evaluation.run(lab)
        assert {spec.id: file_of(lab_home, spec).read_bytes() for spec in waiting} == before
        assert sorted((lab_home.state / "evidence").iterdir()) == evidence
        told = len(named(heard, "strategy.not_judged"))
        lab.memory.not_judged[waiting[0].id] = ("of yesterday",)
        await evaluation.run(lab)
        assert len(named(heard, "strategy.not_judged")) == told + 1, "with other bars it is asked again"
        assert file_of(lab_home, waiting[0]).read_bytes() == before[waiting[0].id], "and the same answer is not filed"
        assert sorted((lab_home.state / "evidence").iterdir()) == evidence
        lab_home.settings_file.write_text(short.replace("history_days: 30", "history_days: 150"))
    async with lab_at_night(lab_home) as (lab, heard):
        await evaluation.run(lab)
        judged = lab.repository.get(waiting[0].id)
        assert [move.to for move in judged.history[-2:]] == [Stage.BACKTESTING, judged.stage], "another one is"


async def test_a_twin_waits_for_the_verdict_of_its_like_and_then_gets_its_own(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, heard):
        (first,) = rules_of(lab, 1)
        assert isinstance(first.parameters, RuleParameters)
        risk = first.parameters.risk.model_copy(update={"position_pct": first.parameters.risk.position_pct / 2.0})
        smaller = first.parameters.model_copy(update={"risk": risk})
        number = int(first.id[-6:], 16)
        twin = first.model_copy(update={"id": f"{first.id[:-6]}{number ^ 1:06x}", "parameters": smaller})
        for spec in (first, twin):
            lab.repository.save(spec)
        await evaluation.run(lab)
        (waiting,) = named(heard, "strategy.not_judged")
        assert waiting.facts["reason"] == "DUPLICATE"
        left = lab.repository.by_stage(Stage.GENERATED)
        assert [spec.id for spec in left] == [waiting.facts["id"]]
        await evaluation.run(lab)
        assert not lab.repository.by_stage(Stage.GENERATED, Stage.BACKTESTING)
        told = [event.facts["reason"] for event in named(heard, "strategy.judged")]
        assert told == [told[0], "ALREADY_REFUSED"]


async def test_a_search_whose_process_was_ended_fails_the_job_and_comes_again(
    lab_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ended(*_: object) -> None:
        raise FarmError("searched: the process that does it was ended by SIGKILL; is there memory enough (dmesg)?")

    async with lab_at_night(lab_home) as (lab, heard):
        (spec,) = rules_of(lab, 1)
        lab.repository.save(spec)
        with monkeypatch.context() as patched:
            patched.setattr(evaluation, "apart", ended)
            with pytest.raises(FarmError, match="1 idea for BTC/USDT:USDT 1h: searched"):
                await evaluation.run(lab)  # told by the schedule, and an alert when it lasts
        (failed,) = named(heard, "cycle.failed")
        assert "ended by SIGKILL" in str(failed.facts["error"])
        assert load_evidence(lab_home, spec.id) is None
        await evaluation.run(lab)
        assert load_evidence(lab_home, spec.id) is not None

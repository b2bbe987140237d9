"""What waits on one market is judged as one search: each is weighed against all, and the choice is known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ai_brain.evidence.filing import load_evidence
from ai_brain.research_library import library_specs
from ops.jobs import evaluation
from tests.ops.test_parity import lab_at_night, named
from tests.ops.world import World, furnish, open_world
from trading.storage.home import Home
from trading.strategy.lifecycle import Stage
from trading.strategy.spec import CarryParameters


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    opened = open_world(tmp_path, scale=1.0)
    yield opened
    opened.close()


async def test_ideas_that_wait_on_one_market_are_weighed_together_and_each_gets_its_verdict(
    tmp_path: Path, world: World
) -> None:
    home = Home(tmp_path / "home").make()
    furnish(home, world.url)
    async with lab_at_night(home) as (lab, heard):
        specs = [
            spec
            for spec in library_specs(lab.setting.settings.venue.symbol, lab.clock.now_ms())
            if not isinstance(spec.parameters, CarryParameters) and not spec.reads_basis
        ][:3]
        for spec in specs:
            lab.repository.save(spec)
        await evaluation.run(lab)
        found = [load_evidence(home, spec.id) for spec in specs]
        assert [each.power.trials for each in found if each is not None and each.power is not None] == [3, 3, 3]
        told = {event.facts["id"] for event in named(heard, "strategy.judged") + named(heard, "strategy.not_judged")}
        assert told == {spec.id for spec in specs}
        stages = {lab.repository.get(spec.id).stage for spec in specs}
        assert Stage.BACKTESTING not in stages

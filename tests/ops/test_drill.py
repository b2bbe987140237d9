"""The rehearsals, played on the sandbox at the speed of life, and one that must not pass."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from ops.cli import app
from ops.drill.filed import drills_file, read_drills
from ops.drill.rehearsals import Played, rehearse
from ops.drill.stage import DEMO, WRONG_SECRET, Outside, open_sandbox, open_stage
from ops.drill.witness import Account, is_even, is_flat
from ops.settings import LabSettings
from trading.execution.settings import ExecutionSettings
from trading.storage.home import Home

SURE_AT_ONCE = ExecutionSettings(absent_after_s=0.5)
"""A sandbox takes an order at once or never: what it does not know need not be waited for."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Played]:
    """Every rehearsal but the crash, on one sandbox; two of them as the demo venue plays them, of which nothing but its
    exchange may be asked; and one with limits under which nothing can be opened.
    """
    folder = tmp_path_factory.mktemp("drill")
    lab = Home(folder)

    async def play() -> dict[str, Played]:
        async with open_sandbox(LabSettings(execution=SURE_AT_ONCE), folder / "tape") as outside:
            keys = replace(outside.environment, binance_testnet=True)
            demo = replace(outside, name=DEMO, environment=keys, sandbox=None)
            risk = outside.settings.risk.model_copy(update={"first_live_usdt": 20.0})
            poor = replace(outside, name="poor", settings=outside.settings.model_copy(update={"risk": risk}))
            found = {name: await played(outside, lab, name) for name in ("stop", "leg", "key")}
            found |= {f"demo {name}": await played(demo, lab, name) for name in ("leg", "key")}
            return found | {f"poor {name}": await played(poor, lab, name) for name in ("leg", "key")}

    found = asyncio.run(play())
    kept = "".join(path.read_text() for path in lab.state.rglob("*.json*"))
    assert "does not take the trading key" in kept
    assert WRONG_SECRET not in kept
    return found


async def played(outside: Outside, lab: Home, name: str) -> Played:
    async with open_stage(outside, lab, name) as stage:
        return await rehearse(name, stage)


def test_a_crash_is_rehearsed_from_the_command_line_and_filed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    home.settings_file.write_text("execution: {absent_after_s: 0.5}\n")
    done = CliRunner().invoke(app, ["drill", "--only", "crash"])
    assert done.exit_code == 0, done.output
    (drill,) = read_drills(home)
    assert (drill.rehearsal, drill.venue, drill.passed, drill.why_not) == ("crash", "sandbox", True, "")
    assert set(drill.seconds) == {"killed", "up", "even", "settled", "flat"}
    assert "crash      yes" in done.output
    assert not home.intents_file.exists(), "the lab's own journal was touched"
    facts = json.loads(drills_file(home).read_text())
    assert set(facts) == {"schema", "at", "venue", "version", "rehearsal", "passed", "seconds", "why_not"}


def test_a_stop_is_detected_cancels_and_is_flat_before_it_is_verified(told: Mapping[str, Played]) -> None:
    assert told["stop"].wrong == []
    assert list(told["stop"].seconds) == ["detected", "cancelled", "flat", "verified"]
    assert max(told["stop"].seconds.values()) == told["stop"].seconds["verified"]


@pytest.mark.parametrize("name", ["leg", "demo leg"])
def test_a_leg_whose_hedge_fails_is_given_back_and_told(told: Mapping[str, Played], name: str) -> None:
    assert told[name].wrong == []
    assert 0 < told[name].seconds["unhedged"] < 20


@pytest.mark.parametrize("name", ["key", "demo key"])
def test_a_lost_key_halts_is_told_with_what_is_held_and_is_taken_again(told: Mapping[str, Played], name: str) -> None:
    assert told[name].wrong == []
    assert list(told[name].seconds) == ["refused", "told", "back"]


def test_a_rehearsal_without_a_carry_does_not_pass(told: Mapping[str, Played]) -> None:
    assert "a failed leg was due, and it ended with" in told["poor leg"].wrong[0]
    assert "nobody was told" in told["poor leg"].wrong
    (why,) = told["poor key"].wrong
    assert why.startswith("no carry was opened, so there was nothing to rehearse with: ")


def test_the_witness_counts_what_was_there_before() -> None:
    lot, before = Decimal("0.0011"), Account(0, Decimal(2), Decimal(0))
    assert is_even(Account(0, Decimal("2.02100799"), Decimal("-0.021")), before, lot)
    assert not is_even(Account(0, Decimal("2.021"), Decimal(0)), before, lot)
    assert is_flat(Account(0, Decimal("2.00000799"), Decimal(0)), before, lot)
    assert not is_flat(Account(1, Decimal(2), Decimal(0)), before, lot)
    assert not is_flat(Account(0, Decimal(2), Decimal("-0.001")), before, lot)

"""No state is without a timed way out: each is held where nothing it wants ever comes, and leaves within its budget."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from tests.trading.execution.fake_venue import FakeVenue
from tests.trading.execution.rig import Rig, VirtualClock
from trading.execution.intent_records import Purpose
from trading.execution.saga_table import TABLE, SagaState
from trading.execution.settings import ExecutionSettings

S = SagaState
SETTINGS = ExecutionSettings()
SLACK_S = 5.0
"""A call or a pause that was under way when the budget ended."""
BUDGET_S = {
    S.PREFLIGHT: SLACK_S,
    S.PAYING: SETTINGS.lookup_budget_s + SLACK_S,
    S.MAKING: SETTINGS.maker_budget_s + SLACK_S,
    S.HEDGING: SETTINGS.max_unhedged_s + SLACK_S,
    S.TAKING: SETTINGS.attempts * SETTINGS.poll_s + SLACK_S,
    S.PAUSING: SETTINGS.slice_pause_s + SLACK_S,
    S.RETREATING: SETTINGS.lookup_budget_s + SLACK_S,
    S.UNWINDING: SETTINGS.unwind_budget_s + SLACK_S,
}
DEAF = ["down"] * 500
NOTHING_COMES: dict[SagaState, dict[str, object]] = {
    S.PREFLIGHT: {"fault_on": {"book": list(DEAF)}},
    S.PAYING: {"futures_usdt": 10, "fault_on": {"move_collateral": ["lost_after"], "collateral_moves": list(DEAF)}},
    S.MAKING: {"maker_fills": ("0",)},
    S.HEDGING: {"maker_fills": ("1",), "liquidity": 0},
    S.TAKING: {"refuse_post_only": True, "liquidity": 0},
    S.PAUSING: {"price": 6_000_000, "spot_usdt": 10**6, "futures_usdt": 10**6},
    S.RETREATING: {"fault_on": {"find": list(DEAF), "cancel": list(DEAF)}},
    S.UNWINDING: {"maker_fills": ("1",), "liquidity": 0},
}


def test_every_state_that_is_no_end_is_held_here() -> None:
    resumed_by_the_next_cycle = {S.IN_DOUBT}
    assert set(NOTHING_COMES) == set(BUDGET_S) == {s for s, row in TABLE.items() if row.to} - resumed_by_the_next_cycle


@pytest.mark.parametrize("held", NOTHING_COMES, ids=str)
async def test_a_state_in_which_nothing_comes_ends_within_its_budget(held: SagaState, tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeVenue(VirtualClock(), **NOTHING_COMES[held]))  # type: ignore[arg-type]  # by name
    await rig.run(Purpose.OPEN, "0.01002", "0.010")
    spent_s = _spent(tmp_path / "intents.jsonl", end_ms=rig.venue.clock.now_ms())
    assert held in spent_s
    assert all(spent_s[state] <= BUDGET_S[state] for state in spent_s if state in BUDGET_S), spent_s


async def test_a_saga_in_doubt_is_taken_up_by_the_next_run(tmp_path: Path) -> None:
    venue = FakeVenue(VirtualClock(), maker_fills=("0.4",), fault_on={"find": list(DEAF), "cancel": list(DEAF)})
    rig = Rig(tmp_path, venue)
    report = await rig.run(Purpose.OPEN, "0.01002", "0.010")
    assert report.state is S.IN_DOUBT
    venue.fault_on.clear()
    (report,) = await rig.reborn().resume()
    assert report.state is S.BALANCED


def _spent(journal: Path, *, end_ms: int) -> dict[SagaState, float]:
    """The longest single stay in each state, lab seconds, by the journal."""
    spent: dict[SagaState, float] = defaultdict(float)
    state, since_ms = S.PREFLIGHT, 0
    for line in journal.read_text().splitlines():
        entry = json.loads(line)
        if entry["kind"] == "intent":
            since_ms = entry["at_ms"]
        elif entry["kind"] == "state":
            spent[state] = max(spent[state], (entry["at_ms"] - since_ms) / 1000)
            state, since_ms = S(entry["state"]), entry["at_ms"]
    spent[state] = max(spent[state], (end_ms - since_ms) / 1000)
    return spent

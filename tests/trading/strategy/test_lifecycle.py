"""A strategy's life: only legal moves, only signed money, and a file that always says where it stands."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.trading.strategy.examples import AT_MS, TO_REVIEW, approved, moved, rule_spec
from trading.domain.errors import SpecError
from trading.strategy.lifecycle import (
    KEEPS_APPROVAL,
    LEGAL_MOVES,
    TRADING,
    Move,
    Stage,
    Status,
    approve,
    folder_of,
    move,
    standing_approval,
)
from trading.strategy.spec import StrategySpec, dump_spec, load_spec

ROADS: dict[Stage, StrategySpec] = {
    Stage.GENERATED: rule_spec(),
    Stage.BACKTESTING: moved(rule_spec(), Stage.BACKTESTING),
    Stage.DRY_RUN: moved(rule_spec(), Stage.BACKTESTING, Stage.DRY_RUN),
    Stage.REVIEW: approved(rule_spec()),
    Stage.LIVE_TESTING: moved(approved(rule_spec()), Stage.LIVE_TESTING),
    Stage.SCALING: moved(approved(rule_spec()), Stage.LIVE_TESTING, Stage.SCALING),
    Stage.RETIRED: moved(rule_spec(), Stage.RETIRED),
}
"""An approved strategy of each stage, where the stage allows it."""


@pytest.mark.parametrize(("start", "to"), list(itertools.product(Stage, Stage)))
def test_exactly_the_moves_of_the_table_are_possible(start: Stage, to: Stage) -> None:
    spec = ROADS[start]
    if to in LEGAL_MOVES[start]:
        after = move(spec, to, by="job", why="because", at_ms=AT_MS, evidence_sha256="e" * 64)
        assert after.stage is to
        assert after.history == (
            *spec.history,
            Move(from_=start, to=to, at="2026-01-21T09:14:03Z", by="job", why="because", evidence_sha256="e" * 64),
        )
        assert load_spec(dump_spec(after), where="x") == after
    else:
        with pytest.raises(SpecError, match=f"stage={start}: cannot move to {to}; possible from here:"):
            move(spec, to, by="job", why="because", at_ms=AT_MS)


def test_the_main_road_and_retirement_from_anywhere_are_in_the_table() -> None:
    road = [*TO_REVIEW, Stage.LIVE_TESTING, Stage.SCALING]
    assert all(after in LEGAL_MOVES[before] for before, after in itertools.pairwise([Stage.GENERATED, *road]))
    assert all(Stage.RETIRED in LEGAL_MOVES[stage] for stage in Stage if stage is not Stage.RETIRED)


@pytest.mark.parametrize(
    ("stage", "status", "folder"),
    [
        (Stage.GENERATED, Status.TESTING, "testing"),
        (Stage.DRY_RUN, Status.TESTING, "testing"),
        (Stage.REVIEW, Status.APPROVED, "active"),
        (Stage.LIVE_TESTING, Status.LIVE, "active"),
        (Stage.SCALING, Status.LIVE, "active"),
        (Stage.RETIRED, Status.RETIRED, "retired"),
    ],
)
def test_the_status_and_the_folder_follow_the_stage(stage: Stage, status: Status, folder: str) -> None:
    assert ROADS[stage].status is status
    assert folder_of(status) == folder


def test_a_strategy_in_review_without_signature_is_still_testing_and_cannot_go_live() -> None:
    spec = moved(rule_spec(), *TO_REVIEW)
    assert spec.status is Status.TESTING
    with pytest.raises(SpecError, match=f"not approved; python approve_strategy.py {spec.id}"):
        move(spec, Stage.LIVE_TESTING, by="job", why="", at_ms=AT_MS)


def test_an_approval_is_a_signed_line_of_the_history_and_the_stage_stays() -> None:
    spec = approved(rule_spec(), "f" * 64)
    assert (spec.stage, spec.status, spec.approved_at) == (Stage.REVIEW, Status.APPROVED, "2026-01-21T09:14:03Z")
    assert spec.history[-1].is_approval
    assert standing_approval(spec.history) == spec.history[-1]


def test_an_approval_needs_review_evidence_and_signature_and_is_given_once() -> None:
    waiting = moved(rule_spec(), *TO_REVIEW)
    with pytest.raises(SpecError, match="only a strategy in review"):
        approve(rule_spec(), by="owner", at_ms=AT_MS, evidence_sha256="e", signature="s")
    for evidence, signature in (("", "s"), ("e", "")):
        with pytest.raises(SpecError, match="needs the hash of its evidence and a signature"):
            approve(waiting, by="owner", at_ms=AT_MS, evidence_sha256=evidence, signature=signature)
    with pytest.raises(SpecError, match="already approved"):
        approve(approved(rule_spec()), by="owner", at_ms=AT_MS, evidence_sha256="e", signature="s")


@pytest.mark.parametrize("start", [Stage.REVIEW, Stage.LIVE_TESTING, Stage.SCALING])
def test_a_step_back_to_paper_voids_the_approval(start: Stage) -> None:
    back = moved(ROADS[start], Stage.DRY_RUN)
    assert (back.approved_at, back.status) == (None, Status.TESTING)
    again = moved(back, Stage.REVIEW)
    assert again.approved_at is None
    with pytest.raises(SpecError, match="not approved"):
        moved(again, Stage.LIVE_TESTING)


def test_scaling_down_keeps_the_approval() -> None:
    assert moved(ROADS[Stage.SCALING], Stage.LIVE_TESTING).approved_at is not None


def test_a_retired_strategy_says_that_it_is_retired_for_good() -> None:
    with pytest.raises(SpecError, match="nothing: it is retired for good"):
        moved(ROADS[Stage.RETIRED], Stage.GENERATED)


def test_a_move_nobody_made_is_refused() -> None:
    with pytest.raises(SpecError, match=r'move to backtesting: by="": string should have at least 1 character'):
        move(rule_spec(), Stage.BACKTESTING, by="", why="", at_ms=AT_MS)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ((b'"to": "review"', b'"to": "scaling"'), "history[2]: dry_run -> scaling is not a legal move"),
        ((b'"from": "dry_run"', b'"from": "generated"'), "history[2].from=generated: the record before ends in"),
        ((b'"from": "generated"', b'"from": "live_testing"'), "history[0].from=live_testing: a life begins in"),
        ((b'"signature": "signed"', b'"signature": ""'), "an approval without signature or evidence"),
        ((b'"stage": "live_testing"', b'"stage": "scaling"'), "stage=scaling, but the history ends in live_testing"),
        (
            (b'"status": "live"', b'"status": "testing"'),
            "status=testing does not go with stage=live_testing: write live",
        ),
        ((b'"approved_at": "2026-01-21T09:14:03Z"', b'"approved_at": null'), "approved_at=None: the approval that"),
    ],
)
def test_a_file_whose_life_does_not_add_up_is_refused(change: tuple[bytes, bytes], says: str) -> None:
    raw = dump_spec(ROADS[Stage.LIVE_TESTING])
    assert change[0] in raw
    with pytest.raises(SpecError) as refused:
        load_spec(raw.replace(*change, 1), where="x.json")
    assert says in str(refused.value)


def test_an_approval_cannot_be_written_in_by_repeating_it_or_leaving_it_out() -> None:
    live = ROADS[Stage.LIVE_TESTING]
    approval = next(record for record in live.history if record.is_approval)
    at = live.history.index(approval)
    for history, says in (
        ((*live.history[:at], approval, *live.history[at:]), "approved twice"),
        (live.history[:at] + live.history[at + 1 :], "live_testing without a standing approval"),
    ):
        forged = live.model_copy(update={"history": history})
        with pytest.raises(SpecError, match=says):
            load_spec(dump_spec(forged), where="x")


class Life(RuleBasedStateMachine):
    """Any mixture of moves and approvals, tried whether legal or not."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = rule_spec()
        self.now_ms = AT_MS
        self.signed = False

    @rule(to=st.sampled_from(Stage))
    def moves(self, to: Stage) -> None:
        before = self.spec
        self.now_ms += 1000
        legal = to in LEGAL_MOVES[before.stage] and (to not in TRADING or self.signed)
        try:
            self.spec = move(before, to, by="machine", why="tried", at_ms=self.now_ms)
        except SpecError:
            assert not legal
        else:
            assert legal
            self.signed = self.signed and to in KEEPS_APPROVAL

    @precondition(lambda self: self.spec.stage is Stage.REVIEW or self.now_ms % 5000 == 0)
    @rule()
    def approves(self) -> None:
        legal = self.spec.stage is Stage.REVIEW and not self.signed
        try:
            self.spec = approve(self.spec, by="owner", at_ms=self.now_ms, evidence_sha256="e", signature="s")
        except SpecError:
            assert not legal
        else:
            assert legal
            self.signed = True

    @invariant()
    def the_file_says_where_it_stands(self) -> None:
        assert load_spec(dump_spec(self.spec), where="x") == self.spec
        assert (self.spec.approved_at is not None) is self.signed
        assert (self.spec.status is Status.LIVE) is (self.spec.stage in TRADING)
        assert not (self.spec.stage in TRADING and not self.signed)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)

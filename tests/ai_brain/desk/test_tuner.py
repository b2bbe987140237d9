"""What the record asks to be made smaller: each rule with its numbers, at its limit and beyond, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ai_brain.desk.tuner import (
    BAD_SHARE_LIMIT,
    ENOUGH_CYCLES,
    ENOUGH_RESULTS,
    FAILURES_LIMIT,
    RESTS,
    WINDOW_CYCLES,
    Adjustment,
    CycleMark,
    PaperMark,
    Record,
    Rule,
    Work,
    resting,
    tune,
)

GOOD, BAD, SLOW = CycleMark(100.0, 0.4), CycleMark(0.0, 0.4), CycleMark(100.0, 31.0)
WELL = Record(cycles=[GOOD] * WINDOW_CYCLES, budget_share=0.5, paper=[PaperMark(0.01, 100)] * 3)


def only(record: Record) -> Adjustment:
    (found,) = tune(record)
    return found


def test_a_lab_that_is_well_or_of_which_nothing_is_known_is_left_alone() -> None:
    assert tune(WELL) == ()
    assert tune(Record()) == ()


def test_on_refused_data_no_model_is_paid_to_look_at_it() -> None:
    half = replace(WELL, cycles=[GOOD] * 5 + [BAD] * 5)
    assert tune(half) == (), "the limit itself is still allowed"
    found = only(replace(WELL, cycles=[GOOD] * 4 + [BAD] * 6))
    assert (found.rule, found.value, found.limit) == (Rule.DATA_QUALITY, 0.6, BAD_SHARE_LIMIT)
    assert found.rests == {Work.IDEAS, Work.CRAZY_IDEAS}
    assert "6 of the last 10 cycles saw data below 50 of 100" in found.note


def test_when_cycles_take_half_their_time_everything_that_only_thinks_rests() -> None:
    found = only(replace(WELL, cycles=[GOOD] * 4 + [SLOW] * 6))
    assert (found.rule, found.value) == (Rule.CYCLE_LATENCY, 31.0 / 60.0)
    assert found.rests == set(Work)
    assert tune(replace(WELL, cycles=[GOOD] * 6 + [SLOW] * 4)) == (), "a few slow ones are no state"


@pytest.mark.parametrize("bad", [BAD, SLOW])
def test_few_cycles_say_nothing_and_old_ones_are_forgotten(bad: CycleMark) -> None:
    assert tune(replace(WELL, cycles=[bad] * (ENOUGH_CYCLES - 1))) == ()
    assert tune(replace(WELL, cycles=[bad] * ENOUGH_CYCLES)) != ()
    assert tune(replace(WELL, cycles=[bad] * 50 + [GOOD] * WINDOW_CYCLES)) == ()


def test_the_end_of_the_models_day_is_kept_for_the_usual_question() -> None:
    assert tune(replace(WELL, budget_share=0.8)) == ()
    found = only(replace(WELL, budget_share=0.81))
    assert (found.rule, found.value, found.limit, found.rests) == (Rule.MODEL_BUDGET, 0.81, 0.8, {Work.CRAZY_IDEAS})
    assert tune(replace(WELL, budget_share=None)) == ()


def test_jobs_that_keep_failing_are_advice_by_name_before_they_are_an_alert() -> None:
    assert tune(replace(WELL, failures={"news": FAILURES_LIMIT})) == ()
    found = only(replace(WELL, failures={"news": 3, "evaluation": 4, "onchain": 1}))
    assert (found.rule, found.value, found.limit, found.rests) == (Rule.JOB_FAILURES, 4.0, 2.0, frozenset())
    assert found.note == "evaluation failed 4 times in a row, news failed 3 times in a row"


def test_paper_that_mostly_loses_is_advice_and_short_accounts_do_not_count() -> None:
    short, losing, winning = PaperMark(-0.5, ENOUGH_RESULTS - 1), PaperMark(-0.01, ENOUGH_RESULTS), PaperMark(0.01, 99)
    assert tune(replace(WELL, paper=[short] * 5)) == ()
    assert tune(replace(WELL, paper=[losing, winning])) == ()
    found = only(replace(WELL, paper=[losing, losing, winning, short]))
    assert (found.rule, found.value, found.rests) == (Rule.PAPER_LOSING, 2 / 3, frozenset())


def test_what_rests_is_thinking_only_and_every_rule_says_what_it_does() -> None:
    assert set(RESTS) == set(Rule)
    assert {str(work) for work in Work} == {"ideas", "crazy_ideas", "evaluation"}
    found = tune(replace(WELL, budget_share=1.0, cycles=[SLOW] * 10))
    assert {adjustment.rule for adjustment in found} == {Rule.CYCLE_LATENCY, Rule.MODEL_BUDGET}
    rest = resting(found, Work.EVALUATION)
    assert rest is not None
    assert rest.rule is Rule.CYCLE_LATENCY
    assert resting((), Work.EVALUATION) is None

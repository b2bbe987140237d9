"""The day's purse: counted before it is spent, kept over restarts, refilled at midnight UTC."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from ai_brain.llm.budget import Budget, BudgetSettings
from ai_brain.llm.provider import Prompt
from trading.domain.clock import Clock, Timeline
from trading.domain.errors import StateFileError


class Shape(BaseModel):
    ideas: list[str]


PROMPT = Prompt("s" * 300, "u" * 300, Shape, temperature=0.5, max_output_tokens=1000)
SETTINGS = BudgetSettings(
    usd_per_day=0.01, calls_per_day=3, usd_per_million_tokens_in=1.0, usd_per_million_tokens_out=2.0
)


@pytest.fixture
def clock() -> Clock:
    return Clock(scale=1.0, origin_ms=1_700_000_000_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "llm_budget.json"


def test_a_call_is_booked_at_its_worst_and_settled_at_its_cost(path, clock):
    budget = Budget(path, SETTINGS, clock)
    booked = budget.book(PROMPT)
    assert 0.0022 < booked < 0.0025
    assert Budget(path, SETTINGS, clock).spent().usd == pytest.approx(booked)  # a crash here leaves it booked
    assert budget.settle(booked, tokens_in=100, tokens_out=50) == pytest.approx(0.0002)
    assert budget.spent().usd == pytest.approx(0.0002)
    assert budget.spent().calls == 1


def test_calls_and_dollars_both_run_out_and_come_back_at_midnight(path, clock):
    budget = Budget(path, SETTINGS, clock)
    for _ in range(3):
        assert budget.refusal(PROMPT) == ""
        budget.settle(budget.book(PROMPT), tokens_in=1, tokens_out=1)
    assert "3 calls today, limit 3" in budget.refusal(PROMPT)
    clock.follow(Timeline(clock.real_s(), clock.now_ms() + 86_400_000, 1.0))
    assert budget.refusal(PROMPT) == ""
    budget.settle(budget.book(PROMPT), tokens_in=0, tokens_out=4500)
    assert "limit 0.01" in budget.refusal(PROMPT)


def test_a_restart_does_not_refill_the_purse(path, clock):
    for _ in range(3):
        Budget(path, SETTINGS, clock).book(PROMPT)
    assert Budget(path, SETTINGS, clock).refusal(PROMPT) != ""


def test_a_file_with_nonsense_in_it_counts_as_spent(path, clock):
    path.write_text(json.dumps({"schema": 1, "day": "2023-11-14", "usd": "none", "calls": 0}))
    assert Budget(path, SETTINGS, clock).refusal(PROMPT) != ""


def test_an_unreadable_file_is_set_aside_and_reported(path, clock):
    path.write_text("{")
    with pytest.raises(StateFileError, match=r"set aside as llm_budget\.json\.bad-1"):
        Budget(path, SETTINGS, clock).refusal(PROMPT)


def test_a_budget_of_nothing_allows_nothing(path, clock):
    assert Budget(path, BudgetSettings(usd_per_day=0), clock).refusal(PROMPT) != ""


@given(calls=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 1000)), max_size=12))
def test_what_was_spent_is_never_above_the_limit(tmp_path_factory, calls):
    budget = Budget(tmp_path_factory.mktemp("b") / "b.json", SETTINGS, Clock(scale=1.0, origin_ms=1_700_000_000_000))
    for tokens_in, tokens_out in calls:
        if budget.refusal(PROMPT):
            break
        worst_in = int(budget.worst_usd(PROMPT) * 1e6) - 2000
        budget.settle(budget.book(PROMPT), tokens_in=min(tokens_in, worst_in), tokens_out=tokens_out)
        assert budget.spent().usd <= SETTINGS.usd_per_day


def test_a_prompt_is_named_by_all_that_is_told():
    names = {
        PROMPT.sha256,
        Prompt("s", "u", Shape, temperature=0.5, max_output_tokens=1000).sha256,
        Prompt("s", "u", Shape, temperature=0.6, max_output_tokens=1000).sha256,
        Prompt("s", "v", Shape, temperature=0.5, max_output_tokens=1000).sha256,
    }
    assert len(names) == 4
    assert PROMPT.sha256 == Prompt("s" * 300, "u" * 300, Shape, temperature=0.5, max_output_tokens=1000).sha256

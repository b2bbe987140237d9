"""A promise drawn from judged results, and what a life makes of it: how often it is wrong, and that it is seen."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from math import sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from ai_brain.evidence.carry_run import run_carry
from ai_brain.evidence.case import Bench, Tapes
from ai_brain.evidence.gate_settings import GateSettings
from ai_brain.evidence.living import (
    FEWEST_RESULTS,
    LifePromise,
    life_of,
    of_equity_before,
    promise_of_run,
    promised,
    settlement_results,
    sums,
)
from ai_brain.evidence.page import evidence_markdown
from ai_brain.evidence.run_conditions import Conditions
from ai_brain.evidence.verdict import Evidence
from ai_brain.learning_db import LearningDb
from ai_brain.paper.account import load_account
from ai_brain.paper.books import terms
from ai_brain.strategy_evaluator import evaluate
from tests.ai_brain.markets import HOUR_MS, START_MS, carry_spec, planted, rule_spec
from tests.ai_brain.paper_lab import HISTORY, carry_lab
from trading.domain.clock import Clock
from trading.domain.instrument import Market
from trading.simulator.costs import CarryCosts, MarketRules
from trading.storage.home import Home

ALPHA = 0.05
LIVES = 150
Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
PROMISE = LifePromise(expectancy=0.0012, low=-0.03, high=0.034, results=44, mean=0.002, settlements_a_result=0)


@pytest.fixture
def bench(home: Home) -> Iterator[Bench]:
    db, clock = LearningDb(home.learning_db), Clock(scale=1e-6, origin_ms=START_MS)
    yield Bench.of(db, clock, GateSettings())
    db.close()


def normal(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    return 0.01 * (rng.standard_normal(n) + 0.35)


def few_large_winners(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    return 0.01 * ((rng.lognormal(size=n) - np.exp(0.5)) / 2.16 + 0.35)


def stop_and_target(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    return np.where(rng.random(n) < 0.4, 0.03, -0.01)


@pytest.mark.parametrize("draw", [normal, few_large_winners, stop_and_target])
def test_a_strategy_that_goes_on_as_it_was_judged_expires_in_at_most_a_share_alpha_of_lives(draw: Draw) -> None:
    rng, failed = np.random.default_rng(3), 0
    for _ in range(LIVES):
        judged = draw(rng, 40)
        while judged.mean() < 2.0 * judged.std(ddof=1) / sqrt(40):  # the gate approves no other
            judged = draw(rng, 40)
        promise = promised(judged, settlements_a_result=0)
        assert promise is not None
        failed += life_of("paper", promise, draw(rng, 200), alpha=ALPHA).has_failed
    assert failed / LIVES <= ALPHA


@pytest.mark.parametrize("draw", [normal, few_large_winners, stop_and_target])
def test_a_strategy_that_has_begun_to_lose_is_found_in_most_lives(draw: Draw) -> None:
    rng, failed = np.random.default_rng(4), 0
    for _ in range(50):
        judged = draw(rng, 60)
        promise = promised(judged, settlements_a_result=0)
        assert promise is not None
        failed += life_of("paper", promise, draw(rng, 200) - 0.7 * judged.std(), alpha=ALPHA).has_failed
    assert failed > 40


def test_less_is_promised_than_was_seen_and_nothing_below_zero_where_the_mean_is_above() -> None:
    judged = np.array([0.03, -0.01, 0.02, 0.01, 0.0, 0.025])
    promise = promised(judged, settlements_a_result=0)
    assert promise is not None
    error = judged.std(ddof=1) / sqrt(6)
    assert promise.mean == pytest.approx(0.0125)
    assert promise.expectancy == pytest.approx(max(0.0, 0.0125 - 2 * error))
    assert promised(judged - 0.012, settlements_a_result=0).expectancy == 0.0  # type: ignore[union-attr]
    losing = promised(judged - 0.02, settlements_a_result=0)
    assert losing is not None
    assert losing.expectancy == pytest.approx(0.0125 - 0.02 - 2 * error)


@pytest.mark.parametrize("judged", [np.linspace(-0.01, 0.02, FEWEST_RESULTS - 1), np.full(40, 0.01), np.array([])])
def test_too_few_results_and_results_all_alike_promise_nothing(judged: NDArray[np.float64]) -> None:
    assert promised(judged, settlements_a_result=0) is None


def test_a_life_in_words() -> None:
    assert str(life_of("paper", PROMISE, np.array([]), alpha=ALPHA)) == (
        "promise 0.12 %/trade, no result yet, e-value 1.0 of 20"
    )
    lost = life_of("paper", PROMISE, np.full(30, -0.01), alpha=ALPHA)
    assert str(lost).startswith("promise 0.12 %/trade, 30 results, mean -1.00 %, e-value reached ")
    carry = PROMISE.model_copy(update={"settlements_a_result": 90})
    assert "promise 0.12 %/90 settlements, 1 result, mean 0.50 %" in str(
        life_of("live", carry, np.array([0.005]), alpha=ALPHA)
    )


def test_a_life_that_failed_once_has_failed_whatever_comes_later() -> None:
    lost = np.full(30, -0.01)
    assert life_of("paper", PROMISE, lost, alpha=ALPHA).has_failed
    later = life_of("paper", PROMISE, np.concatenate((lost, np.full(200, 0.02))), alpha=ALPHA)
    assert later.e_value < 1.0
    assert later.has_failed


def test_settlements_are_summed_and_those_that_fill_no_sum_are_waited_for() -> None:
    assert sums(np.arange(8.0), 3).tolist() == [3.0, 12.0]
    assert sums(np.arange(2.0), 3).tolist() == []


def test_changes_of_equity_are_measured_by_the_equity_before_each() -> None:
    assert of_equity_before([0.1, 0.11, -0.121]).tolist() == pytest.approx([0.1, 0.1, -0.1])
    assert of_equity_before([-1.0, 0.5]).tolist() == [-1.0, -1.0]
    assert of_equity_before([]).tolist() == []


def test_runs_that_a_single_settlement_shows_are_gone_from_the_sums_that_are_judged() -> None:
    """Funding remembers for days: alone, settlements as promised expire; their sums do not."""
    rng, alone, summed = np.random.default_rng(5), 0, 0
    for _ in range(20):
        noise = rng.standard_normal(270 * 12)
        for t in range(1, len(noise)):
            noise[t] = 0.95 * noise[t - 1] + sqrt(1 - 0.95**2) * noise[t]
        judged, life = np.split(0.0001 * (1.0 + noise), [270 * 4])
        one, many = promised(judged, settlements_a_result=1), promised(judged, settlements_a_result=90)
        assert one is not None
        assert many is not None
        alone += life_of("paper", one, life, alpha=ALPHA).has_failed
        summed += life_of("paper", many, sums(life, 90), alpha=ALPHA).has_failed
    assert alone > 8
    assert summed <= 1


def test_a_rule_strategys_promise_can_be_followed_to_its_table_of_trades(bench: Bench) -> None:
    judgement = evaluate(
        rule_spec(position_pct=25.0), Tapes(planted(8000, 6, edge=0.0045), Conditions(MarketRules())), bench
    )
    evidence = judgement.evidence
    lines = list(csv.DictReader(io.StringIO(judgement.trades_csv.decode())))
    closed = [line for line in lines if line["reason"] != "LEFT_OPEN"]
    told = [float(line["pnl_quote"]) / (float(line["quantity_base"]) * float(line["entry_price"])) for line in closed]
    assert evidence.promise == promised(np.array(told), settlements_a_result=0)
    assert evidence.promise is not None
    assert evidence.promise.results == len(told) > 30
    assert "- each trade: +" in evidence_markdown(evidence)
    assert Evidence.model_validate_json(evidence.model_dump_json()) == evidence


def test_a_carrys_record_is_cut_into_the_results_that_its_paper_account_notes(home: Home) -> None:
    lab = carry_lab(home)
    spec = lab.add(carry_spec())
    lab.engine.on_closed_bar(lab.live)
    lab.play(160)
    account = load_account(home, spec.id)
    assert account is not None
    assert account.warm_from_ms is not None
    perp, spot = (lab.live.tape(market, "", "", start_ms=account.warm_from_ms) for market in (Market.PERP, Market.SPOT))
    assert perp is not None
    assert spot is not None
    costs, rules = terms(lab.settings, MarketRules())
    conditions = Conditions(rules, carry_costs=CarryCosts(costs, costs), starting_quote=lab.settings.starting_usdt)
    run = run_carry(spec, spot, perp, conditions, begin_ms=START_MS + HISTORY * HOUR_MS)
    assert len(account.results) > 15
    paper = of_equity_before(account.results)
    assert settlement_results(run).tolist() == pytest.approx(paper.tolist(), rel=1e-9, abs=1e-15)
    assert promise_of_run(run, is_carry=True) is None, "a week says nothing"


def test_evidence_from_before_lives_were_tested_keeps_its_hash(evidence: Evidence) -> None:
    assert evidence.promise is None
    assert "promise" not in evidence.to_json()
    later = evidence.model_copy(update={"promise": PROMISE})
    assert later.evidence_sha256 != evidence.evidence_sha256

"""What the human is asked about a strategy, from evidence and paper to the text: n and interval with every rate."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ai_brain.evidence import findings
from ai_brain.evidence.gate_reasons import GateReason
from ai_brain.evidence.gate_settings import GateSettings
from ai_brain.evidence.seven_conditions import conditions, how_many_hold
from ai_brain.evidence.verdict import Band, Confirmation, Expectancy, Overfitting, Statistics, Stretch
from ai_brain.paper.performance import PaperPerformance
from ops.telling.messages import approval_request
from ops.telling.question import _expectancy, _sharpe, paper_words, question
from tests.ops.papers import carry_in, evidence_of
from trading.strategy.lifecycle import Stage
from trading.strategy.spec import StrategySpec, spec_sha256

YEAR_MS = int(365.25 * 86_400_000)
STRETCH = Stretch(
    name="search", start_ms=0, end_ms=YEAR_MS, bars=8766, entries=1, trades=0, settlements=1095, net_return=0.032,
    sharpe_annual=2.1, max_drawdown=0.0121, fees_quote=20.0, slippage_quote=5.0, funding_quote=350.0,
)  # fmt: skip
STATISTICS = Statistics(
    bars=12_272, sharpe_bar=0.02, skew=0.1, kurtosis=4.0, probabilistic_sharpe=0.997, deflated_sharpe=0.981,
    trials=118, trial_sharpe_variance=1e-4, hurdle_sharpe_bar=0.01, minimum_track_record_bars=6_000.0,
    expectancy=Expectancy(trades=42, mean_quote=1.234, low_quote=0.1, high_quote=2.5, confidence=0.95),
)  # fmt: skip
PAPER = PaperPerformance(
    trades=0, settlements=31, bars=240, hours=240.0, net_return=0.0031, sharpe_annual=3.0, max_drawdown=0.001,
    win_rate=0.9, fees_quote=2.0, slippage_quote=0.5, funding_quote=40.0, equity_quote=10_031.0, results=31,
    mean_low=0.000001, mean_high=0.00019,
)  # fmt: skip


def asked_about() -> StrategySpec:
    spec = carry_in(Stage.DRY_RUN)
    return spec.model_copy(
        update={"origin": spec.origin.model_copy(update={"refutation": "ninety settlements below zero"})}
    )


def request() -> str:
    spec = asked_about()
    chain = STRETCH.model_copy(
        update={"name": "walk-forward", "end_ms": YEAR_MS * 4 // 10, "bars": 3506, "settlements": 438}
    )
    parts = [
        chain.model_copy(update={"name": f"walk-forward {n}/4", "net_return": 0.02 - n * 0.006}) for n in range(1, 5)
    ]
    update = {"stretches": (STRETCH, chain, *parts), "statistics": STATISTICS, **answers(spec)}
    evidence = evidence_of(spec).model_copy(update=update)
    note = "31 settlements in 10.0 days, inside what the backtest predicts."
    return approval_request(question(spec, evidence, paper_words(PAPER, note), PAPER))


def answers(spec: StrategySpec) -> dict[str, object]:
    """What the gate was answered, by a strategy that passed it."""
    settings = GateSettings()
    record = findings.of_significance(STATISTICS, settings)
    confirmation = Confirmation(
        opening=9, opened_ms=0, family=spec_sha256(spec), p_value=0.0021, level=0.0158, place=9, confirmed=True
    )  # fmt: skip
    double = findings.above(GateReason.LOST_AT_DOUBLE_COST, 0.0216, 0.0, "Net return with all costs doubled +2.160%.")
    bands = (Band(bars=24, low=-0.001, high=0.004), Band(bars=720, low=-0.002, high=0.02))
    return {"findings": (double, *record), "confirmation": confirmation, "prediction": bands}


def test_the_request_word_for_word() -> None:
    spec = asked_about()
    assert request().splitlines() == [
        "🎯 Strategy Approval Needed!",
        f"{spec.name} ({spec.id})",
        f"Thesis: {spec.origin.thesis}",
        "Backtest: +3.20% net over 8,766 bars, n = 1,095 settlements, deepest fall 1.21%, "
        "Sharpe 2.10 a year, 95 % 0.14 to 4.06",
        "Walk-forward with the vault: +3.20% net over 3,506 bars, n = 438 settlements, deepest fall 1.21%, "
        "Sharpe 2.10 a year, 95 % -1.00 to 5.20; 3 of 4 judged stretches positive; "
        "deflated Sharpe 0.981 against the best of 118 ideas; a judged trade +1.23 USDT, n = 42, 95% +0.10 to +2.50",
        "Paper: +0.310% in 10.0 days, n = 31 settlements, each on average +0.0001% to +0.0190% (95 %). "
        "31 settlements in 10.0 days, inside what the backtest predicts.",
        "Gate: 6 of 7 hold, 1 not asked",
        "✓ Deflated Sharpe, N = 118 ideas tried by then: 0.981 (at least 0.95)",
        "– Overfitting of its search (PBO): not asked",
        "✓ Vault, online test of all candidates, place 9: p 0.0021 (at most 0.0158)",
        "✓ Track record, n = 438 settlements: 12,272 bars (at least 6,000)",
        "✓ Net return with all costs doubled: +2.160% (above 0)",
        "✓ No copy of an idea of its market judged before: none alike (correlation below 0.7)",
        "✓ Paper inside what the backtest predicts: +0.310% (-0.131% to +0.897%)",
        f"Would refute it: {spec.origin.refutation}",
        f"To read and decide: python approve_strategy.py {spec.id}",
    ]


@pytest.mark.parametrize(("monthly", "months", "error"), [(0.5, 12, 0.306), (0.5, 60, 0.137), (1.0, 60, 0.158)])
def test_the_interval_is_that_of_lo_table_1(monthly: float, months: int, error: float) -> None:
    """Lo (2002), The Statistics of Sharpe Ratios, Table 1: standard errors of independent normal returns."""
    annual, years = monthly * 12**0.5, (months + 1) / 12
    stretch = STRETCH.model_copy(update={"bars": months + 1, "end_ms": int(YEAR_MS * years), "sharpe_annual": annual})
    low, high = (float(word) for word in _sharpe(stretch).partition("95 % ")[2].split(" to "))
    assert (high - low) / 2 / 1.96 / 12**0.5 == pytest.approx(error, abs=0.002)


def test_what_a_judged_trade_brings_has_its_n_and_interval_or_says_that_there_is_none() -> None:
    of = Expectancy(trades=42, mean_quote=1.234, low_quote=0.1, high_quote=2.5, confidence=0.95)
    assert _expectancy(of) == "a judged trade +1.23 USDT, n = 42, 95% +0.10 to +2.50"
    open_ended = of.model_copy(update={"low_quote": None})
    assert _expectancy(open_ended) == "a judged trade +1.23 USDT, n = 42, which chance leaves wide open"


def test_a_condition_that_fails_is_told_as_failing_and_a_relative_of_an_older_idea_as_no_sure_pass() -> None:
    spec = asked_about()
    evidence = evidence_of(spec).model_copy(update={"statistics": STATISTICS, **answers(spec)})
    confirmation = evidence.confirmation
    assert confirmation is not None
    search = Overfitting(strategies=40, blocks=16, probability=0.35)
    found = findings.of_luck(STATISTICS.model_copy(update={"deflated_sharpe": 0.3}), search, GateSettings())
    relative = confirmation.model_copy(update={"family": "f" * 64, "p_value": 1e-12})
    worse = evidence.model_copy(update={"findings": (*evidence.findings, *found), "confirmation": relative})
    above = replace(PAPER, net_return=0.05)
    asked = conditions(worse, above)
    assert how_many_hold(asked) == "4 of 7 hold, 2 not"
    told = {one.asks.split(",")[0]: (one.sign, one.measured, one.needed) for one in asked}
    assert told["Overfitting of its search (PBO)"] == ("✗", "0.35", "at most 0.2")
    assert told["Vault"] == ("✓", "p < 0.000001", "at most 0.0158")
    assert told["Goes with an idea judged before"][0] == "!"
    assert told["Paper inside what the backtest predicts"][:2] == ("✗", "+5.000%")

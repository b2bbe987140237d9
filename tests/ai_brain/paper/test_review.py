"""When paper has shown enough, and when it contradicts the backtest."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_brain.evidence.verdict import Band, Evidence, Verdict
from ai_brain.paper.performance import PaperPerformance, RunningReturns, mean_interval
from ai_brain.paper.review import ReviewReason, decide_review
from ai_brain.paper.settings import PaperSettings

SETTINGS = PaperSettings()
SHA = "a" * 64
DONE = PaperPerformance(
    trades=30,
    settlements=30,
    bars=240,
    hours=240.0,
    net_return=0.005,
    sharpe_annual=2.0,
    max_drawdown=0.01,
    win_rate=0.5,
    fees_quote=10.0,
    slippage_quote=1.0,
    funding_quote=0.0,
    equity_quote=10_050.0,
    results=30,
    mean_low=-0.001,
    mean_high=0.002,
)


def judged(family: str = "momentum", verdict: Verdict = Verdict.APPROVED) -> Evidence:
    return Evidence(
        spec_id="x",
        spec_sha256=SHA,
        name="n",
        family=family,
        market="m",
        thesis="",
        at_ms=0,
        verdict=verdict,
        deciding=None,
        quarantined=False,
        findings=(),
        data=(),
        stretches=(),
        statistics=None,
        prediction=(Band(bars=240, low=-0.01, high=0.02),),
        suspicious=(),
        costs={},
        starting_quote=10_000.0,
        settings_sha256="",
        code_sha256="",
        trades_sha256=None,
        settlements_sha256=None,
    )


def test_thirty_trades_two_days_and_a_result_as_predicted_ask_the_human() -> None:
    decision = decide_review(DONE, judged(), spec_sha256=SHA, settings=SETTINGS)
    assert (decision.allowed, decision.reason) == (True, ReviewReason.OK)


@pytest.mark.parametrize(
    ("performance", "evidence", "reason"),
    [
        (DONE, None, ReviewReason.EVIDENCE_NOT_APPROVED),
        (DONE, judged(verdict=Verdict.CAUTION), ReviewReason.EVIDENCE_NOT_APPROVED),
        (DONE, judged().model_copy(update={"spec_sha256": "b" * 64}), ReviewReason.EVIDENCE_VOID),
        (replace(DONE, trades=29), judged(), ReviewReason.TOO_FEW_TRADES),
        (replace(DONE, settlements=29), judged("funding_carry"), ReviewReason.TOO_FEW_SETTLEMENTS),
        (replace(DONE, hours=47.9), judged(), ReviewReason.TOO_FEW_HOURS),
        (DONE, judged().model_copy(update={"prediction": ()}), ReviewReason.NOTHING_PREDICTED),
        (replace(DONE, net_return=-0.011), judged(), ReviewReason.BELOW_PREDICTION),
        (replace(DONE, net_return=0.021), judged(), ReviewReason.ABOVE_PREDICTION),
    ],
)
def test_each_reason_not_to_ask_yet(
    performance: PaperPerformance, evidence: Evidence | None, reason: ReviewReason
) -> None:
    decision = decide_review(performance, evidence, spec_sha256=SHA, settings=SETTINGS)
    assert not decision.allowed
    assert decision.reason is reason
    assert decision.note.endswith(".")
    assert decision.refuted == (reason in (ReviewReason.BELOW_PREDICTION, ReviewReason.ABOVE_PREDICTION))


def test_a_carry_is_asked_for_settlements_not_for_trades() -> None:
    held = replace(DONE, trades=0)
    assert decide_review(held, judged("funding_carry"), spec_sha256=SHA, settings=SETTINGS).allowed
    assert decide_review(replace(DONE, settlements=0), judged(), spec_sha256=SHA, settings=SETTINGS).allowed


@given(st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=50))
def test_running_returns_are_what_the_whole_curve_says(returns: list[float]) -> None:
    equity = 10_000.0 * np.cumprod(1.0 + np.array([0.0, *returns]))
    running = RunningReturns()
    for before, after in pairwise(equity):
        running.add(float(before), float(after))
    values = np.diff(equity) / equity[:-1]
    assert running.mean == pytest.approx(values.mean(), abs=1e-12)
    assert running.squares == pytest.approx(((values - values.mean()) ** 2).sum(), abs=1e-12)
    assert running.max_drawdown == pytest.approx(float(np.max(1 - equity / np.maximum.accumulate(equity))), abs=1e-12)
    if values.std() > 1e-9:
        wanted = values.mean() / values.std(ddof=1) * sqrt(8760)
        assert running.sharpe_annual(8760.0) == pytest.approx(wanted, rel=1e-6, abs=1e-9)


def test_a_constant_equity_has_sharpe_zero() -> None:
    running = RunningReturns()
    for _ in range(5):
        running.add(10_000.0, 10_000.0)
    assert (running.sharpe_annual(8760.0), running.max_drawdown) == (0.0, 0.0)


def test_the_interval_of_a_mean_needs_two_results() -> None:
    assert mean_interval(np.array([0.01])) == (0.0, 0.0)
    low, high = mean_interval(np.array([0.01, 0.03]))
    assert (low + high) / 2 == pytest.approx(0.02)
    assert high - low == pytest.approx(2 * 1.959964 * 0.01, rel=1e-6)


def test_percent_in_the_file_is_a_fraction_in_the_core() -> None:
    assert SETTINGS.fee_rate == 0.001

"""A backtest whose slippage is an estimate tells its net return at both ends of the interval."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ai_brain.evidence.case import Bench, Tapes
from ai_brain.evidence.graveyard import NoGraveyard
from ai_brain.evidence.page import evidence_markdown
from ai_brain.evidence.run_conditions import Conditions
from ai_brain.evidence.verdict import SLIPPAGE, Evidence, SlippageEnd, SlippageEnds
from tests.ai_brain.gate import gate_at, judged
from tests.ai_brain.markets import carry_spec, funded_pair, planted, rule_spec
from tests.ai_brain.test_walk_forward import BELIEVING
from trading.simulator.costs import Costs, MarketRules
from trading.strategy.spec import StrategySpec

PERP = SlippageEnd(market="perp", n=57, is_enough=True, charged=1.5, low=0.5, high=2.0)
SPOT = PERP.model_copy(update={"market": "spot", "n": 0, "is_enough": False})


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with gate_at(tmp_path / "ai_learning.db") as opened:
        yield replace(opened, graveyard=NoGraveyard())


def evidence_of(spec: StrategySpec, tapes: Tapes, bench: Bench) -> Evidence:
    return judged(spec, tapes, bench, settings=BELIEVING).evidence


def net(evidence: Evidence) -> list[float]:
    runs = [evidence.stretch(name) for name in SLIPPAGE]
    return [run.net_return for run in runs if run is not None]


def test_the_record_before_the_vault_is_told_cheaper_as_charged_and_dearer(bench: Bench) -> None:
    tape, ends = planted(3000, 6, edge=0.006), SlippageEnds(legs=(PERP,), source="57 own orders")
    known = Conditions(MarketRules(), slippage=ends)
    evidence = evidence_of(rule_spec(), Tapes(tape, known), bench)
    low, charged, high = net(evidence)
    assert low > charged > high
    assert evidence.slippage == ends
    # the dear end is what a backtest at twice the slippage gives, stretch by stretch
    dear = evidence_of(rule_spec(), Tapes(tape, Conditions(MarketRules(), costs=Costs().slipping(2.0))), bench)
    before_vault = [s for s in dear.stretches if s.name == "search" or s.name.startswith("walk-forward ")]
    grown = 1.0
    for stretch in before_vault:
        grown *= 1.0 + stretch.net_return
    assert high == pytest.approx(grown - 1.0, rel=1e-9)
    page = evidence_markdown(evidence)
    assert "What slippage leaves open" in page
    assert f"{charged:+.3%} as charged, {low:+.3%} at the low end of its interval, {high:+.3%} at the high end" in page
    assert "perp: 1.5 times the fitted law was charged, n = 57 own orders; 95 % 0.75 to 3 times" in page
    assert "from: 57 own orders" in page


def test_a_carry_is_told_with_each_legs_own_ends(bench: Bench) -> None:
    spot, perp = funded_pair(3000, 3, rate=0.0002)
    conditions = Conditions(MarketRules(), slippage=SlippageEnds(legs=(SPOT, PERP), source="both"))
    evidence = evidence_of(carry_spec(), Tapes(perp, conditions, spot), bench)
    low, charged, high = net(evidence)
    assert low >= charged >= high
    assert low > high
    legs = conditions.slipping(2.0, 3.0).carry_costs
    assert (legs.spot, legs.perp) == (
        conditions.carry_costs.spot.slipping(2.0),
        conditions.carry_costs.perp.slipping(3.0),
    )
    assert "spot: 1.5 times the fitted law was charged, n = 0 own orders, not enough data; 95 %" in evidence_markdown(
        evidence
    )


def test_costs_that_are_given_have_no_ends_and_evidence_says_nothing_of_them(bench: Bench) -> None:
    evidence = evidence_of(rule_spec(), Tapes(planted(3000, 6, edge=0.006), Conditions(MarketRules())), bench)
    assert net(evidence) == []
    assert "slippage" not in evidence.to_json()
    assert "What slippage leaves open" not in evidence_markdown(evidence)


def test_a_ratio_of_one_is_the_same_costs_to_the_bit() -> None:
    costs = Costs(taker_rate=0.0007, maker_rate=0.0001, half_spread_rate=0.00013, impact_k=0.77)
    assert costs.slipping(1.0) == costs
    assert costs.slipping(2.0) == replace(costs, half_spread_rate=0.00026, impact_k=1.54)

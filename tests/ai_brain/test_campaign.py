"""A search of many specs: all are looked at before any is judged, copies cost nothing, and the choice is told."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import select

from ai_brain.campaign import MIN_FAMILY, Campaign, campaign
from ai_brain.evidence.backtest_overfitting import backtest_overfitting
from ai_brain.evidence.case import Bench, Tapes
from ai_brain.evidence.fingerprint import fingerprint
from ai_brain.evidence.gate_reasons import GateReason
from ai_brain.evidence.gate_settings import GateSettings
from ai_brain.evidence.rule_run import run_rules
from ai_brain.evidence.run_conditions import Conditions
from ai_brain.evidence.trial_ledger import TRIALS, TrialLedger
from ai_brain.evidence.verdict import Evidence, Verdict
from ai_brain.learning_db import LearningDb
from tests.ai_brain.markets import carry_spec, noise, planted, rule_spec
from trading.domain.errors import StateFileError
from trading.simulator.costs import MarketRules
from trading.strategy.spec import StrategySpec, spec_sha256

CONDITIONS = Conditions(MarketRules())
BARS = 8000
EDGE = Tapes(planted(BARS, 6, edge=0.0045), CONDITIONS)
DIPS = [rule_spec(f"roc(1) < -{0.9 + 0.04 * n:.2f}", position_pct=25.0, name=f"dip {n}") for n in range(12)]
RISES = [rule_spec(f"roc({2 + n}) > {1.2 + 0.1 * n:.1f}", position_pct=25.0, name=f"rise {n}") for n in range(12)]
TWIN = rule_spec("close < close[1] * 0.991", position_pct=25.0, name="in other words")
"""What the first of the dips does."""


def by_name(found: Campaign) -> dict[str, Evidence]:
    return {judgement.evidence.name: judgement.evidence for judgement in found.judgements}


def test_every_first_look_is_in_the_ledger_before_the_first_verdict_and_each_verdict_counts_them_all(
    db: LearningDb, bench: Bench
) -> None:
    found = by_name(campaign([*DIPS, *RISES], EDGE, bench))
    with db.reading() as connection:
        rows = connection.execute(select(TRIALS.c.stretch, TRIALS.c.spec_sha256).order_by(TRIALS.c.id)).all()
    first = [row.spec_sha256 for row in rows if row.stretch == "search"]
    assert [row.stretch for row in rows[: len(first)]] == ["search"] * 24
    assert first == [spec_sha256(spec) for spec in (*DIPS, *RISES)]
    counted = {evidence.statistics.trials for evidence in found.values() if evidence.statistics}
    assert counted == {24}
    assert {evidence.power.trials for evidence in found.values() if evidence.power} == {24}
    assert any(evidence.verdict is Verdict.APPROVED for evidence in found.values())


def test_the_best_on_the_search_is_judged_first_and_its_copies_find_the_vault_spent(bench: Bench) -> None:
    found = by_name(campaign(DIPS, EDGE, bench))
    (approved,) = [evidence for evidence in found.values() if evidence.verdict is Verdict.APPROVED]
    spent = [evidence for evidence in found.values() if evidence.deciding is GateReason.VAULT_SPENT]

    def searched(evidence: Evidence) -> float:
        stretch = evidence.stretch("search")
        assert stretch is not None
        return stretch.sharpe_annual

    assert len(spent) >= 3
    assert all(searched(evidence) < searched(approved) for evidence in spent)
    assert len(bench.candidates.candidates()) == 1


def test_a_twin_in_other_words_is_refused_costs_no_trial_and_is_not_buried(bench: Bench) -> None:
    found = campaign(
        [DIPS[0], TWIN, rule_spec("roc(1) < -0.9", position_pct=40.0, name="in another size")], EDGE, bench
    )
    for name in ("in other words", "in another size"):
        twin = by_name(found)[name]
        assert (twin.verdict, twin.deciding, twin.stretches) == (Verdict.REJECTED, GateReason.DUPLICATE, ())
        assert twin.findings[-1].note.endswith("what 'dip 0' of this search does.")
    assert (bench.ledger.count(), bench.ledger.looks()) == (1, 1)
    assert bench.graveyard.count_by_reason() == {"LOST_ON_SEARCH": 1}


def test_a_spec_given_twice_is_looked_at_once_though_it_does_nothing_on_the_probe_market(bench: Bench) -> None:
    rare = rule_spec("roc(1) < -1.2", filters=("close > 45000",), position_pct=25.0, name="one")
    assert fingerprint(rare) is None
    found = by_name(campaign([rare, rare.model_copy(update={"name": "same"})], EDGE, bench))
    assert found["same"].deciding is GateReason.DUPLICATE
    assert bench.ledger.count() == 1


def test_what_was_refused_before_any_look_is_told_by_reason(bench: Bench) -> None:
    wordy = rule_spec(filters=tuple(f"close > sma({n})" for n in range(2, 10)), name="wordy")
    never = rule_spec("roc(1) < -9", name="never")
    found = campaign([*DIPS[:4], TWIN, wordy, never, rule_spec("basis > 0", name="basis")], EDGE, bench)
    assert found.refused_cheaply == {"DUPLICATE": 1, "TOO_COMPLEX": 1, "TOO_FEW_SIGNALS": 1, "DATA_MISSING": 1}
    assert bench.ledger.count() == 4


def test_a_search_of_none_brings_nothing(bench: Bench) -> None:
    found = campaign([], EDGE, bench)
    assert (found.judgements, found.overfitting, found.refused_cheaply) == ((), None, {})


def test_the_overfitting_of_the_whole_search_is_in_the_evidence_of_what_it_found(bench: Bench) -> None:
    found = campaign([*DIPS, *RISES], EDGE, bench)
    assert found.overfitting is not None
    searched = EDGE.main.window(EDGE.main.start_ms, int(EDGE.main.open_time_ms[int(BARS * 0.4)]))
    returns = [run_rules(spec, searched, CONDITIONS).returns for spec in (*DIPS, *RISES)]
    assert found.overfitting.strategies == 24
    assert found.overfitting.probability == backtest_overfitting(np.column_stack(returns), blocks=16).pbo < 0.2
    approved = next(e for e in by_name(found).values() if e.verdict is Verdict.APPROVED)
    assert approved.overfitting == found.overfitting
    asked = next(f for f in approved.findings if f.reason is GateReason.OVERFITTED_SEARCH)
    assert (asked.passed, asked.value) == (True, found.overfitting.probability)
    assert asked.limit in (0.2, 1.0)


def test_of_too_few_no_overfitting_is_told(bench: Bench) -> None:
    found = campaign([*DIPS, *RISES][: MIN_FAMILY - 1], EDGE, bench)
    assert found.overfitting is None
    asked = {finding.reason for evidence in by_name(found).values() for finding in evidence.findings}
    assert GateReason.NO_BETTER_THAN_LUCK in asked
    assert GateReason.OVERFITTED_SEARCH not in asked


def test_what_an_overfitted_search_chose_is_not_shown_the_vault(db: LearningDb, bench: Bench) -> None:
    strict = Bench.of(db, bench.clock, GateSettings(max_overfitting=1e-9, overfitted_deflated_sharpe=0.999))
    found = by_name(campaign([*DIPS, *RISES], EDGE, strict))
    refused = [evidence for evidence in found.values() if evidence.deciding is GateReason.OVERFITTED_SEARCH]
    assert refused
    for evidence in refused:
        note = next(f.note for f in evidence.findings if f.reason is GateReason.OVERFITTED_SEARCH)
        assert "ways to halve the search stretch the best of its 24 strategies" in note
        assert evidence.stretch("vault") is None
    opened = {str(row["spec_sha256"]) for row in strict.candidates.candidates()}
    for evidence in found.values():
        if evidence.spec_sha256 in opened:  # sure by itself before the vault, it is not refused for its company
            forgiven = next(f for f in evidence.findings if f.reason is GateReason.OVERFITTED_SEARCH)
            assert (forgiven.passed, forgiven.limit) == (True, 1.0)


def test_a_search_of_noise_finds_nothing(bench: Bench) -> None:
    specs = [rule_spec(f"roc({1 + n}) < -{1.0 + 0.1 * n:.1f}", position_pct=25.0, name=f"{n}") for n in range(24)]
    found = campaign(specs, Tapes(noise(BARS, 2), CONDITIONS), bench)
    assert {judgement.evidence.verdict for judgement in found.judgements} == {Verdict.REJECTED}
    assert bench.candidates.candidates() == []
    assert found.overfitting is not None
    assert found.overfitting.probability > 0.2


def test_the_verdicts_come_in_the_order_of_the_specs_and_an_error_of_one_stops_no_other(bench: Bench) -> None:
    specs: list[StrategySpec] = [DIPS[8], carry_spec(), DIPS[0]]
    other_market = DIPS[3].model_copy(
        update={"market": DIPS[3].market.model_copy(update={"symbol": "ETH/USDT:USDT"}), "name": "elsewhere"}
    )
    found = campaign([*specs, other_market], EDGE, bench)
    assert [judgement.evidence.name for judgement in found.judgements] == [
        "dip 8",
        "Collect funding",
        "dip 0",
        "elsewhere",
    ]
    assert [judgement.evidence.deciding for judgement in found.judgements] == [
        None,
        GateReason.DATA_MISSING,
        GateReason.LOST_ON_SEARCH,
        GateReason.ERROR,
    ]


def test_a_ledger_that_cannot_be_written_shows_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise StateFileError("disk full")

    monkeypatch.setattr(TrialLedger, "record", refuse)
    with pytest.raises(StateFileError, match="disk full"):
        campaign(DIPS[:2], EDGE, bench)

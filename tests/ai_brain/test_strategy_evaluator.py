"""What the gate does with noise, with an edge, with traps, and with its own failures."""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

from ai_brain.evidence import carry_run, rule_run
from ai_brain.evidence import findings as gate
from ai_brain.evidence.case import Bench, Tapes
from ai_brain.evidence.expected_maximum_sharpe import expected_maximum_sharpe
from ai_brain.evidence.filing import Judgement, load_evidence, save_evidence, tables_match
from ai_brain.evidence.gate_reasons import GateReason
from ai_brain.evidence.gate_settings import GateSettings
from ai_brain.evidence.graveyard import NoGraveyard
from ai_brain.evidence.page import evidence_markdown
from ai_brain.evidence.return_moments import ReturnMoments
from ai_brain.evidence.rule_run import run_rules
from ai_brain.evidence.run_conditions import Conditions
from ai_brain.evidence.significance import significance
from ai_brain.evidence.trial_ledger import Trial
from ai_brain.evidence.verdict import Statistics, Verdict
from ai_brain.learning_db import LearningDb
from ai_brain.strategy_evaluator import evaluate
from tests.ai_brain.markets import (
    carry_spec,
    funded_pair,
    noise,
    planted,
    rule_spec,
)
from tests.conftest import DATA, needs_data
from trading.domain.clock import parse_iso
from trading.domain.instrument import Market
from trading.market.beside import beside_spot
from trading.market.importers import import_recorded
from trading.market.tape import Funding, Tape, make_tape
from trading.simulator.carry_numbers import CARRY_RULES
from trading.simulator.costs import Costs, MarketRules
from trading.storage.home import Home
from trading.strategy.spec import StrategySpec, spec_sha256

CONDITIONS = Conditions(MarketRules())
EDGE = 0.0045
"""Size of the planted rise that the gate finds without calling it a bug."""
WASHOUT = rule_spec(position_pct=25.0)
"""What finds it."""


def on(tape_seed: int = 6, *, edge: float = EDGE, bars: int = 8000) -> Tapes:
    return Tapes(planted(bars, tape_seed, edge=edge), CONDITIONS)


def reasons(judgement: Judgement) -> set[GateReason]:
    return {finding.reason for finding in judgement.evidence.findings if not finding.passed}


def test_a_planted_edge_is_approved_with_every_number_on_the_page(bench: Bench) -> None:
    judgement = evaluate(WASHOUT, on(), bench)
    evidence = judgement.evidence
    assert (evidence.verdict, evidence.deciding) == (Verdict.APPROVED, None)
    assert all(finding.passed for finding in evidence.findings)
    assert evidence.statistics is not None
    assert evidence.statistics.deflated_sharpe >= 0.95
    assert evidence.statistics.trials == 1
    page = evidence_markdown(evidence)
    for words in ("Falls overshoot", evidence.data[0].content_hash, "costs doubled", "one bar late", "48 bars:"):
        assert words in page


def basis_tapes(*, with_spot: bool = True) -> Tapes:
    spot, perp = funded_pair(6000, 5, rate=0.0001)
    return Tapes(perp, CONDITIONS, spot if with_spot else None)


def test_rules_of_the_basis_are_judged_over_both_markets_and_each_is_in_the_evidence_with_its_own_hash(
    bench: Bench,
) -> None:
    spec, tapes = rule_spec("basis_zscore(24) < -1.5"), basis_tapes()
    evidence = evaluate(spec, tapes, bench).evidence
    assert tapes.spot is not None
    hashes = [tapes.spot.content_hash, tapes.main.content_hash]
    assert [(used.market, used.content_hash) for used in evidence.data] == list(
        zip(("spot", "perp"), hashes, strict=True)
    )
    (searched, *_) = bench.ledger.trials_of(spec_sha256(spec))
    assert searched["data_sha256"] == "+".join(hashes)
    assert searched["entries"] > 50
    over_both = run_rules(spec, beside_spot(tapes.main, tapes.spot).window(0, evidence.stretches[0].end_ms), CONDITIONS)
    assert (searched["entries"], searched["net_return"]) == (over_both.entries, over_both.net_return)


def test_rules_of_the_basis_without_the_spot_tape_are_not_judged_and_nothing_is_counted(bench: Bench) -> None:
    evidence = evaluate(rule_spec("basis_zscore(24) < -1.5"), basis_tapes(with_spot=False), bench).evidence
    assert evidence.deciding is GateReason.DATA_MISSING
    assert "needs the spot tape too" in evidence.findings[-1].note
    assert (bench.ledger.looks(), bench.graveyard.count_by_reason()) == (0, {})


def test_what_could_be_proven_is_known_before_the_first_look(bench: Bench) -> None:
    first = evaluate(rule_spec("roc(1) < -1.1"), Tapes(noise(6000, 3), CONDITIONS), bench).evidence
    second = evaluate(rule_spec("roc(1) < -1.2"), Tapes(noise(6000, 3), CONDITIONS), bench).evidence
    assert first.power is not None
    assert second.power is not None
    assert (first.power.trials, second.power.trials) == (1, 2)
    assert (first.power.bars, first.power.vault_bars) == (6000, 2400)
    z = NormalDist().inv_cdf(1.0 - bench.candidates.next_level())  # the vault asks for more than one idea's record
    assert first.power.provable_sharpe_annual == pytest.approx(z * (8760 / 2400) ** 0.5, rel=1e-3)
    assert "With 0.68 years of bars and 2 ideas tried, only a net Sharpe of" in evidence_markdown(second)


def test_a_tape_that_could_prove_only_a_bug_is_not_looked_at_and_buries_nothing(bench: Bench) -> None:
    evidence = evaluate(WASHOUT, on(bars=2500), bench).evidence
    assert (evidence.verdict, evidence.deciding) == (Verdict.REJECTED, GateReason.NOTHING_PROVABLE)
    assert evidence.power is not None
    assert evidence.power.provable_sharpe_annual == pytest.approx(5.21, abs=0.01)
    assert "only a net Sharpe of 5.21 a year or more can be proven" in evidence.findings[-1].note
    assert "Above 5 a result is taken for a bug" in evidence_markdown(evidence)
    assert (bench.ledger.looks(), bench.graveyard.count_by_reason(), evidence.stretches) == (0, {}, ())
    generous = replace(bench, settings=GateSettings(max_sharpe_annual=6.0))
    assert evaluate(WASHOUT, on(bars=2500), generous).evidence.stretches


def test_the_interval_of_a_trades_result_is_in_the_evidence_and_the_same_for_whoever_asks(bench: Bench) -> None:
    evidence = evaluate(WASHOUT, on(), bench).evidence
    again = evaluate(WASHOUT, on(), bench).evidence
    assert evidence.statistics is not None
    assert again.statistics is not None
    told, judged = evidence.statistics.expectancy, evidence.stretch("walk-forward")
    assert told is not None
    assert judged is not None
    assert told == again.statistics.expectancy
    assert told.low_quote is not None
    assert told.high_quote is not None
    assert 0.0 < told.low_quote < told.mean_quote < told.high_quote
    assert told.trades == judged.trades
    assert f", n = {told.trades}\n" in evidence_markdown(evidence)


def test_copies_under_other_numbers_are_told_as_one_idea_and_still_count_each(bench: Bench) -> None:
    for number in range(6):  # thresholds that no bar lies between
        spec = rule_spec(f"roc(1) < -{1.2 + number / 1e7:.7f}", position_pct=25.0)
        evidence = evaluate(spec, on(), bench).evidence
    assert evidence.statistics is not None
    assert (evidence.statistics.trials, evidence.statistics.effective_trials) == (6, 1)
    assert "N = 6 ideas tried (1 of them unlike each other)" in evidence_markdown(evidence)


def test_a_needle_among_its_neighbours_is_cautioned_for_that_with_the_worst_of_them(bench: Bench) -> None:
    evidence = evaluate(WASHOUT, on(), bench).evidence
    found = next(finding for finding in evidence.findings if finding.reason is GateReason.FRAGILE_PARAMETERS)
    assert (found.passed, found.refuses, found.value) == (True, False, 100.0)
    assert evidence.neighbours is not None
    needle = evidence.neighbours.model_copy(update={"earning": 1})
    (lonely,) = gate.of_neighbours(needle, GateSettings())
    assert (lonely.passed, lonely.refuses, lonely.value, lonely.limit) == (False, False, 50.0, 80.0)
    assert evidence.neighbours.worst in lonely.note
    assert evidence.neighbours.worst in evidence_markdown(evidence)


def test_an_edge_is_told_from_the_same_trades_begun_at_random_and_noise_is_not(bench: Bench) -> None:
    edge = evaluate(WASHOUT, on(), bench).evidence
    assert edge.random_entries is not None
    assert edge.random_entries.as_good_share < 0.01
    assert edge.random_entries.actual_return > edge.random_entries.high_return > edge.random_entries.median_return
    assert "the same trades begun at random, 1,000 times" in evidence_markdown(edge)
    marked = sum(stretch.net_return for stretch in edge.judged)  # each of its own account, the vault among them
    assert edge.random_entries.actual_return == pytest.approx(marked, abs=1e-9)
    held = on().main.window(edge.judged[0].start_ms, edge.judged[-1].end_ms)
    assert edge.buy_and_hold_return == held.close[-1] / held.open[0] - 1.0


def test_noise_is_refused(bench: Bench) -> None:
    for seed in range(12):
        judgement = evaluate(rule_spec(f"roc({1 + seed}) < -1.2"), Tapes(noise(6000, seed), CONDITIONS), bench)
        assert judgement.evidence.verdict is Verdict.REJECTED
    assert bench.ledger.count() == 12


def test_the_more_was_tried_the_less_the_same_result_is_worth(bench: Bench) -> None:
    market = on(3, edge=0.004)
    first = evaluate(WASHOUT, market, bench).evidence
    assert first.verdict is Verdict.APPROVED
    looked_at = bench.ledger.trials_of(spec_sha256(WASHOUT))[0]
    values = {key: value for key, value in looked_at.items() if key not in ("id", "at_ms")}
    by_chance = np.random.default_rng(1).normal(0.0, looked_at["bars"] ** -0.5, 4500)  # type: ignore[operator]  # an int
    worthless = [
        Trial(**values | {"spec_sha256": f"worthless {number}", "sharpe_bar": float(ratio)})  # type: ignore[arg-type]
        for number, ratio in enumerate(by_chance)
    ]
    bench.ledger.record(worthless[:190])
    later = evaluate(WASHOUT, market, bench).evidence
    assert first.statistics is not None
    assert later.statistics is not None
    assert later.statistics.trials == 191
    assert later.statistics.sharpe_bar == first.statistics.sharpe_bar
    assert later.statistics.deflated_sharpe < first.statistics.deflated_sharpe - 0.05
    assert (later.verdict, later.deciding) == (Verdict.CAUTION, GateReason.DEFLATED_SHARPE_LOW)
    bench.ledger.record(worthless[190:])
    generous = replace(bench, settings=GateSettings(max_sharpe_annual=9.0))
    last = evaluate(WASHOUT, market, generous).evidence
    assert (last.verdict, last.deciding) == (Verdict.REJECTED, GateReason.NO_BETTER_THAN_LUCK)
    assert last.findings[-1].note.endswith("with N = 4,501 ideas tried.")
    assert last.findings[-1].value < 0.25  # type: ignore[operator]  # a number
    assert last.stretch("vault") is None


def test_a_refused_idea_is_not_paid_for_again_even_under_another_name(bench: Bench) -> None:
    tapes = Tapes(noise(6000, 1), CONDITIONS)
    evaluate(rule_spec(), tapes, bench)
    looks = bench.ledger.looks()
    again = evaluate(rule_spec(name="A bright new idea"), tapes, bench)
    assert again.evidence.deciding is GateReason.ALREADY_REFUSED
    assert "LOST_ON_SEARCH" in again.evidence.findings[0].note
    assert bench.ledger.looks() == looks
    asked = evaluate(rule_spec(), tapes, replace(bench, graveyard=NoGraveyard(), origin="backtest"))
    assert asked.evidence.deciding is GateReason.LOST_ON_SEARCH
    assert (bench.ledger.looks(), bench.ledger.count()) == (looks + 1, 1)
    assert bench.graveyard.count_by_reason() == {"LOST_ON_SEARCH": 1}


def test_a_refused_idea_in_other_words_is_not_paid_for_again_unless_a_person_asks(bench: Bench) -> None:
    tapes = Tapes(noise(6000, 1), CONDITIONS)
    evaluate(rule_spec("roc(1) < -1.2"), tapes, bench)
    reworded = rule_spec("close < close[1] * 0.988", position_pct=30.0)
    looks = bench.ledger.looks()
    evidence = evaluate(reworded, tapes, bench).evidence
    assert evidence.deciding is GateReason.ALREADY_REFUSED
    assert "bar for bar, what was refused before, LOST_ON_SEARCH" in evidence.findings[-1].note
    assert bench.ledger.looks() == looks
    asked = evaluate(reworded, tapes, replace(bench, graveyard=NoGraveyard())).evidence
    assert asked.deciding is GateReason.LOST_ON_SEARCH


def test_who_does_in_few_words_what_was_refused_for_its_many_is_judged(bench: Bench) -> None:
    wordy = rule_spec(filters=tuple(f"close > {n / 100}" for n in range(1, 9)))
    assert evaluate(wordy, on(), bench).evidence.deciding is GateReason.TOO_COMPLEX
    assert evaluate(WASHOUT, on(), bench).evidence.verdict is Verdict.APPROVED


@pytest.mark.parametrize(
    ("spec", "tapes", "reason"),
    [
        (rule_spec(), on(bars=400), GateReason.DATA_TOO_SHORT),
        (
            rule_spec(filters=tuple(f"close > sma({n})" for n in range(2, 10))),
            on(),
            GateReason.TOO_COMPLEX,
        ),
        (rule_spec("roc(1) < -3"), on(), GateReason.TOO_FEW_SIGNALS),
        (rule_spec(), Tapes(noise(6000, 1, sigma=0.0001), CONDITIONS), GateReason.MOVE_BELOW_COST),
        (carry_spec(), Tapes(funded_pair(2000, 1, rate=0.0001)[1], CONDITIONS), GateReason.DATA_MISSING),
    ],
)
def test_a_cheap_refusal_costs_no_trial(bench: Bench, spec: StrategySpec, tapes: Tapes, reason: GateReason) -> None:
    evidence = evaluate(spec, tapes, bench).evidence
    assert (evidence.verdict, evidence.deciding) == (Verdict.REJECTED, reason)
    assert (bench.ledger.looks(), bench.ledger.count()) == (0, 0)
    assert evidence.stretches == ()


@pytest.mark.parametrize(
    ("lost", "told"),
    [
        (slice(30, 31), "Settlements of BTCUSDT missing: 1, the first at 2023-11-25T08:00:00Z (between two"),
        (slice(-4, None), "Settlements of BTCUSDT missing: 4, the first at"),
    ],
    ids=["a hole", "the end"],
)
def test_a_missing_settlement_is_never_a_payment_of_zero_the_carry_is_not_judged(
    bench: Bench, lost: slice, told: str
) -> None:
    spot, perp = funded_pair(2000, 1, rate=0.0001)
    f = perp.funding
    left = Funding(*(np.delete(column, lost) for column in (f.time_ms, f.rate, f.mark_price)))
    evidence = evaluate(carry_spec(), Tapes(make_tape(replace(perp, funding=left)), CONDITIONS, spot), bench).evidence
    assert (evidence.verdict, evidence.deciding) == (Verdict.REJECTED, GateReason.DATA_MISSING)
    assert told in evidence.findings[-1].note
    assert (bench.ledger.looks(), bench.graveyard.count_by_reason()) == (0, {})


def test_books_that_are_off_by_two_cents_are_quarantined(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def off(*args: object, **kwargs: object) -> object:
        result = original(*args, **kwargs)  # type: ignore[arg-type]
        return replace(result, equity=result.equity + 0.02)

    original = rule_run.simulate
    monkeypatch.setattr(rule_run, "simulate", off)
    evidence = evaluate(rule_spec(), on(), bench).evidence
    assert (evidence.deciding, evidence.quarantined) == (GateReason.EQUITY_IDENTITY, True)


def test_too_good_to_be_true_is_quarantined_with_its_three_largest_trades(bench: Bench) -> None:
    evidence = evaluate(rule_spec(), on(edge=0.03), bench).evidence
    assert evidence.verdict is Verdict.REJECTED
    assert evidence.quarantined
    assert {
        GateReason.SHARPE_IMPLAUSIBLE,
        GateReason.RETURN_IMPLAUSIBLE,
        GateReason.DRAWDOWN_IMPLAUSIBLE,
        GateReason.WIN_RATE_IMPLAUSIBLE,
    } <= {finding.reason for finding in evidence.findings if not finding.passed}
    assert len(evidence.suspicious) == 3
    assert "bug until proven otherwise" in evidence_markdown(evidence)


def test_costs_above_the_edge_refuse_it_and_doubling_them_is_asked(bench: Bench) -> None:
    evidence = evaluate(WASHOUT, on(), bench).evidence
    doubled = evidence.stretch("costs doubled")
    assert doubled is not None
    known = [stretch for stretch in evidence.stretches if stretch.name == "search" or stretch in evidence.judged[:-1]]
    before_the_vault = np.prod([1.0 + stretch.net_return for stretch in known]) - 1.0
    assert 0.0 < doubled.net_return < before_the_vault - 0.02
    dearer = replace(CONDITIONS, costs=Costs(taker_rate=0.0017))
    evidence = evaluate(WASHOUT, replace(on(), conditions=dearer), bench).evidence
    assert (evidence.verdict, evidence.deciding) == (Verdict.REJECTED, GateReason.LOST_AT_DOUBLE_COST)
    far_dearer = replace(CONDITIONS, costs=Costs(taker_rate=0.004))
    evidence = evaluate(rule_spec("roc(1) < -1.19"), replace(on(), conditions=far_dearer), bench).evidence
    assert (evidence.verdict, evidence.deciding) == (Verdict.REJECTED, GateReason.LOST_ON_SEARCH)


def test_a_trade_in_the_table_can_be_followed_to_its_bars(home: Home, bench: Bench) -> None:
    tapes = on()
    judgement = evaluate(WASHOUT, tapes, bench)
    save_evidence(home, judgement)
    loaded = load_evidence(home, judgement.evidence.spec_id)
    assert loaded == judgement.evidence
    assert tables_match(home, loaded)
    header, first, *_ = judgement.trades_csv.decode().splitlines()
    row = dict(zip(header.split(","), first.split(","), strict=True))
    tape = tapes.main
    entry, leave = (int(np.searchsorted(tape.open_time_ms, parse_iso(row[name]))) for name in ("entry_bar", "exit_bar"))
    assert float(row["entry_price"]) == pytest.approx(tape.open[entry], rel=0.002)
    assert float(row["exit_price"]) == pytest.approx(tape.open[leave], rel=0.002)
    assert tape.close[entry - 1] / tape.close[entry - 2] - 1 < -0.012  # the decision bar before it
    quantity = float(row["quantity_base"])
    moved = quantity * (float(row["exit_price"]) - float(row["entry_price"]))
    assert float(row["pnl_quote"]) == pytest.approx(moved - float(row["fees_quote"]), abs=1e-9)


def test_the_same_inputs_give_the_same_evidence_to_the_bit(home: Home, bench: Bench) -> None:
    other = LearningDb(home.state / "another.db")
    one, two = (evaluate(WASHOUT, on(), each) for each in (bench, Bench.of(other, bench.clock, bench.settings)))
    other.close()
    assert one.evidence.evidence_sha256 == two.evidence.evidence_sha256
    assert one.trades_csv == two.trades_csv
    again = evaluate(WASHOUT, on(), bench).evidence
    assert again.power != one.evidence.power, "the stream has gone on: the next would be asked for another level"
    assert again.model_copy(update={"power": None}) == one.evidence.model_copy(update={"power": None})


def funded(seed: int = 1, *, rate: float = 0.0002, bars: int = 4000) -> Tapes:
    spot, perp = funded_pair(bars, seed, rate=rate)
    return Tapes(perp, CONDITIONS, spot)


def test_a_carry_with_a_very_high_sharpe_is_judged_by_its_funding_not_refused_for_its_sharpe(
    home: Home, bench: Bench
) -> None:
    judgement = evaluate(carry_spec(), funded(), bench)
    evidence = judgement.evidence
    judged = evidence.stretch("walk-forward")
    assert judged is not None
    assert judged.sharpe_annual > 5
    assert (evidence.verdict, evidence.quarantined) == (Verdict.APPROVED, False)
    assert judged.settlements >= 30
    header, *lines = judgement.settlements_csv.decode().splitlines()
    rows = [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]
    assert len(rows) == judged.settlements
    assert sum(float(row["funding_quote"]) for row in rows) == pytest.approx(judged.funding_quote, rel=1e-9)
    row = rows[7]
    product = float(row["short_base"]) * float(row["price"]) * float(row["rate"])
    assert float(row["funding_quote"]) == pytest.approx(product, rel=1e-12)
    save_evidence(home, judgement)
    assert tables_match(home, evidence)


def test_funding_booked_that_the_tape_does_not_hold_is_quarantined(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def generous(*args: object, **kwargs: object) -> object:
        result = original(*args, **kwargs)  # type: ignore[arg-type]
        extra = 0.05 * result.funding_quote
        return replace(result, funding_quote=result.funding_quote + extra, equity=result.equity + extra)

    original = carry_run.simulate_carry
    monkeypatch.setattr(carry_run, "simulate_carry", generous)
    evidence = evaluate(carry_spec(), funded(), bench).evidence
    assert evidence.verdict is Verdict.REJECTED
    assert evidence.quarantined
    assert GateReason.FUNDING_MISMATCH in {finding.reason for finding in evidence.findings if not finding.passed}


@pytest.mark.parametrize(
    ("rate", "bars", "reason"),
    [
        (0.00001, 4000, GateReason.TOO_FEW_SIGNALS),
        (0.0002, 1300, GateReason.DATA_TOO_SHORT),
    ],
)
def test_a_carry_that_cannot_be_shown_costs_no_trial(bench: Bench, rate: float, bars: int, reason: GateReason) -> None:
    picky = replace(bench, settings=GateSettings(min_settlements=100))  # 97 are settled in 60 % of 1,300 hours
    evidence = evaluate(carry_spec(entry_apr_pct=12.0), funded(rate=rate, bars=bars), picky).evidence
    assert (evidence.verdict, evidence.deciding) == (Verdict.REJECTED, reason)
    assert bench.ledger.looks() == 0


@needs_data
def test_the_carry_on_recorded_bitcoin_is_paid_what_was_recorded(bench: Bench) -> None:
    def recorded(market: Market) -> Tape:
        return import_recorded(
            DATA, market, "BTCUSDT", "1h", start_ms=parse_iso("2023-01-01"), end_ms=parse_iso("2025-01-01")
        )

    tapes = Tapes(recorded(Market.PERP), Conditions(CARRY_RULES), recorded(Market.SPOT))
    evidence = evaluate(carry_spec(), tapes, bench).evidence
    judged = evidence.stretch("walk-forward")
    assert judged is not None
    assert judged.settlements > 500
    assert judged.funding_quote > 200
    assert GateReason.FUNDING_MISMATCH in {finding.reason for finding in evidence.findings if finding.passed}
    assert {data.origin for data in evidence.data} == {"recorded"}


def of_record(moments: ReturnMoments, *, trials: int = 1, confidence: float = 0.95) -> Statistics:
    return significance(
        moments,
        trials=trials,
        effective_trials=trials,
        expected_maximum=expected_maximum_sharpe(trials),
        confidence=confidence,
    )


def test_a_record_shorter_than_its_minimum_is_refused_with_both_lengths() -> None:
    settings = GateSettings()
    for bars, passes in ((2000, False), (4000, True)):
        moments = ReturnMoments(bars, 0.03)
        told = of_record(moments, confidence=settings.confidence)
        length = gate.of_significance(told, settings)[0]
        assert (length.reason, length.passed) == (GateReason.TRACK_RECORD_TOO_SHORT, passes)
        assert length.value == pytest.approx(3008, abs=2)
    hopeless = of_record(ReturnMoments(4000, -0.01))
    assert not gate.of_significance(hopeless, settings)[0].passed


def test_the_hurdle_is_what_the_best_of_so_many_worthless_ideas_shows_by_chance() -> None:
    moments = ReturnMoments(4001, 0.03)
    told = of_record(moments, trials=50)
    assert told.trial_sharpe_variance == 1 / 4000
    assert told.hurdle_sharpe_bar == pytest.approx(expected_maximum_sharpe(50) / 4000**0.5, rel=1e-12)
    best = np.random.default_rng(1).normal(0.0, 1.0, (2000, 50, 1)).max(axis=1) / 4000**0.5
    assert told.hurdle_sharpe_bar == pytest.approx(float(best.mean()), rel=0.02)


@pytest.mark.parametrize(("deflated", "passes"), [(0.96, True), (0.90, False), (0.70, False)])
def test_a_deflated_sharpe_between_the_thresholds_asks_for_caution(deflated: float, passes: bool) -> None:
    told = of_record(ReturnMoments(4000, 0.03))
    finding = gate.of_significance(told.model_copy(update={"deflated_sharpe": deflated}), GateSettings())[1]
    assert (finding.passed, finding.refuses) == (passes, deflated < 0.80)

"""The vault as the gate uses it: opened last, for what stands, once for all that are alike, and written down first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import func, select

from ai_brain.evidence import rule_run
from ai_brain.evidence.case import Bench, Tapes
from ai_brain.evidence.gate_reasons import GateReason
from ai_brain.evidence.gate_settings import GateSettings
from ai_brain.evidence.graveyard import NoGraveyard
from ai_brain.evidence.page import evidence_markdown
from ai_brain.evidence.probabilistic_sharpe import probabilistic_sharpe
from ai_brain.evidence.return_moments import return_moments
from ai_brain.evidence.rule_run import run_rules
from ai_brain.evidence.run_conditions import Conditions
from ai_brain.evidence.vault import OPENINGS, Opening
from ai_brain.evidence.verdict import Evidence, Verdict
from ai_brain.learning_db import LearningDb
from ai_brain.strategy_evaluator import evaluate
from tests.ai_brain.markets import noise, planted, rule_spec, tape_of
from trading.market.tape import Tape
from trading.simulator.costs import Costs, MarketRules
from trading.storage.home import Home
from trading.strategy.spec import StrategySpec, spec_sha256

CONDITIONS = Conditions(MarketRules())
BARS = 8000
VAULT_FIRST = 4800
WASHOUT = rule_spec(position_pct=25.0)


def market(*, before: float = 0.0045, within: float = 0.0045, seed: int = 6) -> Tape:
    """A planted edge of one size before the vault and of another in it, over the same noise."""
    steps = [
        np.diff(np.log(planted(BARS, seed, edge=edge).close), prepend=np.log(30_000.0)) for edge in (before, within)
    ]
    return tape_of(30_000.0 * np.exp(np.cumsum(np.concatenate((steps[0][:VAULT_FIRST], steps[1][VAULT_FIRST:])))))


def judged(bench: Bench, tape: Tape | None = None, spec: StrategySpec = WASHOUT) -> Evidence:
    return evaluate(spec, Tapes(market() if tape is None else tape, CONDITIONS), bench).evidence


def opened(db: LearningDb) -> int:
    with db.reading() as connection:
        return connection.execute(select(func.count()).select_from(OPENINGS)).scalar_one()


def test_the_vault_stays_shut_for_whoever_lost_before_it(db: LearningDb, bench: Bench) -> None:
    dear = replace(CONDITIONS, costs=Costs(taker_rate=0.0017))
    lost = [
        judged(bench, noise(BARS, 3)),
        judged(bench, market(before=0.0035, seed=4)),
        evaluate(WASHOUT, Tapes(market(), dear), replace(bench, graveyard=NoGraveyard())).evidence,
    ]
    assert {evidence.deciding for evidence in lost} == {
        GateReason.LOST_ON_SEARCH,
        GateReason.ALREADY_REFUSED,
        GateReason.LOST_AT_DOUBLE_COST,
    }
    assert all(evidence.stretch("vault") is None and evidence.confirmation is None for evidence in lost)
    assert (opened(db), bench.candidates.candidates()) == (0, [])


def test_the_vault_stays_shut_for_whoever_is_only_fragile(db: LearningDb, bench: Bench) -> None:
    needle = rule_spec("roc(1) < -1.2", position_pct=25.0, filters=("close[2] > close[3] * 0.997",))
    strict = replace(bench, settings=GateSettings(min_neighbours_earning_pct=100.0))
    evidence = judged(strict, market(before=0.004), needle)
    assert (evidence.verdict, evidence.deciding) == (Verdict.CAUTION, GateReason.FRAGILE_PARAMETERS)
    assert evidence.stretch("vault") is None
    assert opened(db) == 0


def test_what_lies_in_the_vault_changes_nothing_before_it_is_opened(home: Home, bench: Bench) -> None:
    other_db = LearningDb(home.state / "other.db")
    other = Bench.of(other_db, bench.clock, bench.settings)
    one, two = judged(bench), judged(other, market(within=-0.01))
    last = [finding.reason for finding in one.findings].index(GateReason.NO_BETTER_THAN_LUCK)
    assert one.findings[: last + 1] == two.findings[: last + 1]
    assert [s.name for s in one.stretches[:8]] == [s.name for s in two.stretches[:8]]
    assert one.stretches[:7] == two.stretches[:7]
    assert one.stretches[7] != two.stretches[7]
    assert (one.power, one.neighbours, one.stress) == (two.power, two.neighbours, two.stress)
    other_db.close()


def test_a_confirmed_one_has_its_opening_its_place_and_a_p_value_of_the_vault_alone(
    db: LearningDb, bench: Bench
) -> None:
    tape = market()
    evidence, vault = judged(bench, tape), None
    assert evidence.verdict is Verdict.APPROVED
    found, vault = evidence.confirmation, evidence.stretch("vault")
    assert found is not None
    assert vault is not None
    assert (found.opening, found.place, found.confirmed, found.family) == (1, 1, True, spec_sha256(WASHOUT))
    assert vault.start_ms == tape.open_time_ms[VAULT_FIRST + vault.purge_bars]
    alone = run_rules(WASHOUT, tape, CONDITIONS, begin_ms=vault.start_ms)
    assert found.p_value == found.p_value_now == 1.0 - probabilistic_sharpe(return_moments(alone.returns))
    (book,) = bench.vault.openings(found.family)
    assert (book.number, book.at_ms) == (found.opening, found.opened_ms)
    assert (book.stretch.start_ms, book.stretch.end_ms) == (tape.open_time_ms[VAULT_FIRST], tape.end_ms)
    (row,) = bench.candidates.candidates()
    assert (row["spec_sha256"], row["p_value"], row["level"]) == (evidence.spec_sha256, found.p_value, found.level)


def test_the_opening_is_in_the_book_before_a_bar_is_read_and_stays_when_the_reading_fails(
    db: LearningDb, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[tuple[int, list[Opening]]]()

    def failing(tape: Tape, *args: object, **kwargs: object) -> object:
        if tape.end_ms > whole.open_time_ms[VAULT_FIRST]:
            seen.append((len(tape), bench.vault.openings(spec_sha256(WASHOUT))))
            raise ValueError("the machine is out of memory")
        return original(tape, *args, **kwargs)  # type: ignore[arg-type]

    whole, original = market(), rule_run.simulate
    with monkeypatch.context() as broken:
        broken.setattr(rule_run, "simulate", failing)
        evidence = judged(bench, whole)
    assert (evidence.verdict, evidence.deciding) == (Verdict.REJECTED, GateReason.ERROR)
    ((bars, book),) = seen
    assert (bars, len(book)) == (BARS, 1)
    assert (opened(db), bench.candidates.candidates(), bench.graveyard.count_by_reason()) == (1, [], {})
    again = judged(bench, whole)
    assert again.verdict is Verdict.APPROVED
    assert again.confirmation is not None
    assert (again.confirmation.opening, again.confirmation.opened_ms) == (book[0].number, book[0].at_ms)
    assert opened(db) == 1


def test_a_near_copy_of_what_was_opened_is_not_shown_the_vault_and_is_neither_buried_nor_confirmed(
    db: LearningDb, bench: Bench
) -> None:
    assert judged(bench).verdict is Verdict.APPROVED
    copy = rule_spec("roc(1) < -1.21", position_pct=30.0, name="Not a copy at all")
    for _ in range(2):
        evidence = judged(bench, spec=copy)
        assert (evidence.verdict, evidence.deciding) == (Verdict.REJECTED, GateReason.VAULT_SPENT)
        assert (evidence.stretch("vault"), evidence.confirmation) == (None, None)
        note = evidence.findings[-1].note
        assert note.startswith("Vault: BTC/USDT:USDT 1h 2024-06-02T00:00:00Z to ")
        assert f"opening 1 of 2027-01-15T08:00:00Z showed {spec_sha256(WASHOUT)}" in note
    assert (opened(db), len(bench.candidates.candidates()), bench.graveyard.count_by_reason()) == (1, 1, {})


def test_what_the_vault_does_not_confirm_is_refused_with_both_numbers_and_buried(bench: Bench) -> None:
    evidence = judged(bench, market(within=0.0))
    assert (evidence.verdict, evidence.deciding) == (Verdict.REJECTED, GateReason.NOT_CONFIRMED)
    found = next(finding for finding in evidence.findings if finding.reason is GateReason.NOT_CONFIRMED)
    vault, told = evidence.stretch("vault"), evidence.confirmation
    assert vault is not None
    assert told is not None
    assert (found.value, found.limit, told.confirmed) == (told.p_value, told.level, False)
    assert found.note == (
        f"Vault: net return {vault.net_return:+.3%}, p = {told.p_value:.4g} at level 0.03937, candidate 1."
    )
    assert told.p_value > 0.5
    assert bench.graveyard.count_by_reason() == {"NOT_CONFIRMED": 1}


def test_the_first_answer_of_the_stream_stands_whatever_a_later_tape_shows(db: LearningDb, bench: Bench) -> None:
    first = judged(bench, market(within=0.0)).confirmation
    later = judged(replace(bench, graveyard=NoGraveyard()), market())
    assert first is not None
    assert later.confirmation is not None
    assert later.deciding is GateReason.NOT_CONFIRMED
    assert later.confirmation.p_value_now is not None
    assert later.confirmation.p_value_now < later.confirmation.level
    assert later.confirmation.model_copy(update={"p_value_now": first.p_value_now}) == first
    assert (opened(db), len(bench.candidates.candidates())) == (1, 1)


def test_after_a_confirmation_the_next_candidate_is_tested_at_a_higher_level_than_after_a_refusal(
    home: Home, bench: Bench
) -> None:
    start = bench.candidates.next_level()
    judged(bench)
    after_confirmed = bench.candidates.next_level()
    other_db = LearningDb(home.state / "other.db")
    other = Bench.of(other_db, bench.clock, bench.settings)
    judged(other, market(within=0.0))
    assert other.candidates.next_level() < after_confirmed
    assert other.candidates.next_level() < start
    other_db.close()


def test_the_record_that_is_deflated_is_search_walk_forward_and_vault_in_one(bench: Bench) -> None:
    evidence = judged(bench)
    record, s = evidence.stretch("record"), evidence.statistics
    assert record is not None
    assert s is not None
    parts = [stretch for stretch in (evidence.stretch("search"), *evidence.judged) if stretch is not None]
    assert s.bars == record.bars == sum(part.bars for part in parts)
    assert 1.0 + record.net_return == pytest.approx(np.prod([1.0 + part.net_return for part in parts]), rel=1e-12)
    assert s.sharpe_bar * 8760**0.5 == pytest.approx(record.sharpe_annual, rel=1e-9)
    assert f"n = {s.bars:,} bars" in evidence_markdown(evidence)

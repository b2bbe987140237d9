"""From findings to a verdict, from a verdict to a file and a page."""

from __future__ import annotations

import hashlib
import json

import pytest
from pydantic import ValidationError

from ai_brain.evidence.filing import Judgement, evidence_folder, load_evidence, save_evidence, tables_match
from ai_brain.evidence.gate_reasons import CHEAP, NOT_THE_IDEAS_FAULT, ONLY_CAUTION, QUARANTINE, GateReason
from ai_brain.evidence.gate_settings import GateSettings
from ai_brain.evidence.page import evidence_markdown, headline
from ai_brain.evidence.prediction import band_over
from ai_brain.evidence.verdict import Evidence, Finding, Verdict, judge
from trading.domain.errors import StateFileError
from trading.storage.home import Home


def finding(reason: GateReason, *, passed: bool, refuses: bool = True) -> Finding:
    return Finding(reason=reason, passed=passed, refuses=refuses, value=1.0, limit=2.0, note="Words.")


def test_evidence_written_before_a_field_was_added_keeps_the_hash_that_was_signed(evidence: Evidence) -> None:
    written = json.loads(json.dumps(evidence.to_json()))
    assert not {"power", "neighbours", "random_entries", "buy_and_hold_return"} & set(written)
    signed = hashlib.sha256(json.dumps(written, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    again = Evidence.model_validate(written)
    assert again.neighbours is None
    assert again.to_json() == written
    assert again.evidence_sha256 == evidence.evidence_sha256 == signed


def test_nothing_shown_is_a_refusal() -> None:
    assert judge(()) == (Verdict.REJECTED, GateReason.ERROR)


def test_one_refusing_finding_outweighs_every_pass_and_every_caution() -> None:
    findings = (
        finding(GateReason.TOO_FEW_TRADES, passed=True),
        finding(GateReason.LOST_ONE_BAR_LATE, passed=False, refuses=False),
        finding(GateReason.DEFLATED_SHARPE_LOW, passed=False),
    )
    assert judge(findings) == (Verdict.REJECTED, GateReason.DEFLATED_SHARPE_LOW)
    assert judge(findings[:2]) == (Verdict.CAUTION, GateReason.LOST_ONE_BAR_LATE)
    assert judge(findings[:1]) == (Verdict.APPROVED, None)


def test_the_groups_of_reasons_do_not_contradict() -> None:
    assert not CHEAP & QUARANTINE
    assert not ONLY_CAUTION & (CHEAP | QUARANTINE)
    assert GateReason.ERROR in NOT_THE_IDEAS_FAULT


def test_evidence_survives_the_file_byte_for_byte(home: Home, evidence: Evidence) -> None:
    path = save_evidence(home, Judgement(evidence, b""))
    loaded = load_evidence(home, evidence.spec_id)
    assert loaded == evidence
    assert loaded.evidence_sha256 == evidence.evidence_sha256
    before = path.read_bytes()
    save_evidence(home, Judgement(loaded, b""))
    assert path.read_bytes() == before
    assert [p.name for p in evidence_folder(home).iterdir()] == [path.name]


def test_changing_any_number_changes_the_hash_that_is_signed(evidence: Evidence) -> None:
    changed = evidence.model_copy(update={"starting_quote": 10_000.01})
    assert changed.evidence_sha256 != evidence.evidence_sha256


def test_newer_evidence_never_overwrites_older(home: Home, evidence: Evidence) -> None:
    older = evidence.model_copy(update={"trades_sha256": hashlib.sha256(b"old").hexdigest()})
    save_evidence(home, Judgement(older, b"old"))
    newer = evidence.model_copy(update={"at_ms": evidence.at_ms + 1, "trades_sha256": hashlib.sha256(b"x").hexdigest()})
    save_evidence(home, Judgement(newer, b"new"))
    stamp, folder = older.evidence_sha256[:12], evidence_folder(home)
    assert (folder / f"{evidence.spec_id}.{stamp}.trades.csv").read_bytes() == b"old"
    kept = json.loads((folder / f"{evidence.spec_id}.{stamp}.json").read_bytes())
    assert kept["at_ms"] == evidence.at_ms
    assert load_evidence(home, evidence.spec_id) == newer


def test_a_trades_file_that_was_touched_no_longer_matches(home: Home, evidence: Evidence) -> None:
    table = b"entry_bar_ms\n1\n"
    judged = evidence.model_copy(update={"trades_sha256": hashlib.sha256(table).hexdigest()})
    save_evidence(home, Judgement(judged, table))
    assert tables_match(home, judged)
    (evidence_folder(home) / f"{judged.spec_id}.trades.csv").write_bytes(table + b"2\n")
    assert not tables_match(home, judged)


def test_evidence_never_given_is_none(home: Home) -> None:
    assert load_evidence(home, "mo-20240101-000000") is None


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"{", "not JSON"), (b'{"schema": 9}', "schema=9"), (b'{"schema": 1, "verdict": "FINE"}', "set aside")],
)
def test_a_file_that_is_no_evidence_is_set_aside_and_named(home: Home, content: bytes, words: str) -> None:
    evidence_folder(home).mkdir()
    path = evidence_folder(home) / "x.json"
    path.write_bytes(content)
    with pytest.raises(StateFileError, match=words):
        load_evidence(home, "x")
    assert (path.parent / "x.json.bad-1").read_bytes() == content


def test_the_page_begins_with_the_verdict_and_the_deciding_number(evidence: Evidence) -> None:
    page = evidence_markdown(evidence)
    assert page.splitlines()[0] == "# APPROVED: Slow breakout (mo-20240101-aaaaaa)"
    assert "Deflated Sharpe 0.700, N = 14 ideas tried" in page.splitlines()[2]
    for number in ("d" * 64, "2,777 bars", "+1.230%", "3,800 bars", "48 bars: -1.000% to +2.000%"):
        assert number in page


def test_the_page_of_a_refusal_leads_with_what_refused_it(evidence: Evidence) -> None:
    bad = Finding(
        reason=GateReason.TOO_FEW_TRADES, passed=False, refuses=True, value=2.0, limit=30.0, note="2 trades, 30 needed."
    )
    refused = evidence.model_copy(
        update={"verdict": Verdict.REJECTED, "deciding": bad.reason, "findings": (bad,), "statistics": None}
    )
    assert headline(refused).startswith("**TOO_FEW_TRADES: 2 trades, 30 needed.** Verdict REJECTED")
    assert "| TOO_FEW_TRADES | **NO** | 2 | 30 |" in evidence_markdown(refused)


def test_a_synthetic_market_and_a_quarantine_are_said_at_the_top(evidence: Evidence) -> None:
    made_up = evidence.data[0].model_copy(update={"origin": "synthetic"})
    page = evidence_markdown(
        evidence.model_copy(update={"data": (made_up,), "quarantined": True, "suspicious": ("one trade",)})
    )
    assert (
        page.index("SYNTHETIC MARKET") < page.index("Quarantined") < page.index("- one trade") < page.index("## What")
    )


def test_a_prediction_is_interpolated_between_its_horizons_and_grows_beyond(evidence: Evidence) -> None:
    assert band_over(evidence.prediction, 10) == evidence.prediction[0]
    for bars, low, high in ((72, -0.0125, 0.025), (192, -0.03, 0.06)):
        band = band_over(evidence.prediction, bars)
        assert (band.bars, band.low, band.high) == (bars, pytest.approx(low), pytest.approx(high))
    assert band_over((), 72) is None


def test_a_gate_whose_caution_lies_above_its_approval_is_refused() -> None:
    with pytest.raises(ValidationError, match="lower it"):
        GateSettings(caution_deflated_sharpe=0.99)


def test_more_stretches_than_the_shortest_tape_can_be_cut_into_are_refused_at_the_door() -> None:
    with pytest.raises(ValidationError, match="stretches=24 leaves 4 bars for each on a tape of min_bars=500"):
        GateSettings(stretches=24)
    assert GateSettings(stretches=24, min_bars=2500).stretches == 24
    with pytest.raises(ValidationError, match="search_pct=60 and vault_pct=40, and 20 are needed"):
        GateSettings(search_pct=60.0)

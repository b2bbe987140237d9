"""The signature under an approval: it fits one strategy, one evidence, one person, one moment, one key."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from pydantic import SecretBytes

from tests.trading.strategy.examples import AT_MS, TO_REVIEW, moved, rule_spec, rules
from trading.domain.decisions import Reason
from trading.domain.errors import StateFileError
from trading.strategy.approval import load_key, sign, verify
from trading.strategy.lifecycle import Stage, approve
from trading.strategy.spec import StrategySpec, dump_spec, load_spec, spec_sha256

EVIDENCE = "e" * 64


@pytest.fixture
def key(tmp_path: Path) -> SecretBytes:
    return load_key(tmp_path / "approval.key")


def signed(key: SecretBytes, spec: StrategySpec | None = None) -> StrategySpec:
    waiting = moved(spec or rule_spec(), *TO_REVIEW)
    signature = sign(
        key, spec_sha256=spec_sha256(waiting), evidence_sha256=EVIDENCE, operator="owner", at_ms=AT_MS + 999
    )
    return approve(waiting, by="owner", at_ms=AT_MS + 999, evidence_sha256=EVIDENCE, signature=signature)


def tampered(spec: StrategySpec, **changes: object) -> StrategySpec:
    record = spec.history[-1].model_copy(update=changes)
    return spec.model_copy(update={"history": (*spec.history[:-1], record)})


def test_a_signed_strategy_is_allowed_now_and_after_a_round_trip_and_while_live(key: SecretBytes) -> None:
    spec = signed(key)
    live = moved(spec, Stage.LIVE_TESTING, Stage.SCALING)
    for one in (spec, load_spec(dump_spec(spec), where="x"), live):
        assert verify(one, key).allowed


def test_changing_one_parameter_voids_the_approval(key: SecretBytes) -> None:
    spec = signed(key)
    for parameters in (rules("rsi(14) < 29"), rules(stop_loss_atr=2.1), rules(stop_loss_atr=None)):
        decision = verify(spec.model_copy(update={"parameters": parameters}), key)
        assert (decision.allowed, decision.reason) == (False, Reason.APPROVAL_VOID)
        assert "parameters, evidence or key have changed" in decision.note
    timeframe = spec.market.model_copy(update={"timeframe": "4h"})
    assert not verify(spec.model_copy(update={"market": timeframe}), key).allowed


def test_another_spelling_of_the_same_strategy_keeps_it(key: SecretBytes) -> None:
    spec = signed(key)
    assert verify(spec.model_copy(update={"parameters": rules("rsi( 14)<28"), "name": "another"}), key).allowed


@pytest.mark.parametrize(
    "changes", [{"evidence_sha256": "f" * 64}, {"by": "somebody"}, {"signature": "0" * 64}, {"signature": "ä"}]
)
def test_changing_evidence_operator_or_signature_voids_it(key: SecretBytes, changes: dict[str, object]) -> None:
    assert verify(tampered(signed(key), **changes), key).reason is Reason.APPROVAL_VOID


def test_changing_the_moment_voids_it(key: SecretBytes) -> None:
    later = "2026-01-22T09:14:03Z"
    forged = tampered(signed(key), at=later).model_copy(update={"approved_at": later})
    assert not verify(forged, key).allowed


def test_another_key_voids_it(key: SecretBytes, tmp_path: Path) -> None:
    assert not verify(signed(key), load_key(tmp_path / "other.key")).allowed


def test_what_was_never_approved_or_stepped_back_is_not_approved(key: SecretBytes) -> None:
    for spec in (rule_spec(), moved(rule_spec(), *TO_REVIEW), moved(signed(key), Stage.DRY_RUN, Stage.REVIEW)):
        decision = verify(spec, key)
        assert (decision.allowed, decision.reason) == (False, Reason.APPROVAL_VOID)
        assert f"python approve_strategy.py {spec.id}" in decision.note
    assert not verify(moved(signed(key), Stage.RETIRED), key).allowed
    assert not verify(signed(key).model_copy(update={"approved_at": None}), key).allowed


def test_a_signature_of_one_strategy_does_not_fit_another(key: SecretBytes) -> None:
    one, other = signed(key), moved(rule_spec("rsi(14) < 20"), *TO_REVIEW)
    stolen = approve(
        other, by="owner", at_ms=AT_MS + 999, evidence_sha256=EVIDENCE, signature=one.history[-1].signature
    )
    assert not verify(stolen, key).allowed


def test_the_key_is_made_once_for_its_owner_alone_and_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "approval.key"
    first = load_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_key(path) == first
    assert [file.name for file in tmp_path.iterdir()] == ["approval.key"]
    assert len(first.get_secret_value()) == 32
    assert path.read_text().strip() not in repr(first) + str(first)


def test_a_key_made_by_another_process_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "approval.key"
    theirs = load_key(path)
    looks = iter([False])
    real = Path.exists
    monkeypatch.setattr(Path, "exists", lambda self: next(looks, True) if self == path else real(self))
    assert load_key(path) == theirs
    assert [file.name for file in tmp_path.iterdir()] == ["approval.key"]


@pytest.mark.parametrize("mode", [0o644, 0o620, 0o604])
def test_a_key_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "approval.key"
    load_key(path)
    path.chmod(mode)
    with pytest.raises(StateFileError, match=f"mode={mode:o}: others may read or write the key; chmod 600"):
        load_key(path)


@pytest.mark.parametrize("content", [b"", b"abc", b"g" * 64, b"\xff" * 64, b"A" * 64])
def test_what_is_no_key_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "approval.key"
    path.touch(mode=0o600)
    path.write_bytes(content)
    with pytest.raises(StateFileError, match="not a key of 64 hex digits"):
        load_key(path)
    assert path.read_bytes() == content


def test_a_missing_key_is_not_made_by_who_only_reads(tmp_path: Path) -> None:
    with pytest.raises(StateFileError, match="No such file"):
        load_key(tmp_path / "approval.key", create=False)
    with pytest.raises(StateFileError, match="No such file"):
        load_key(tmp_path / "nowhere" / "approval.key")
    assert os.listdir(tmp_path) == []  # noqa: PTH208  # hidden files too

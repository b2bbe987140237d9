"""Nobody edits, removes or reorders a line of the audit file unnoticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.domain.decisions import Reason
from trading.domain.errors import StateFileError
from trading.journal.audit import GENESIS, AuditLine, AuditLog, CycleStatus, verify_audit
from trading.journal.audit_roots import ToldRoot, checked_root, note_root, read_roots


def line(number: int, **changes: object) -> AuditLine:
    plain: dict[str, object] = {
        "at_ms": 1_700_000_000_000 + number * 60_000,
        "mode": "live",
        "status": CycleStatus.NO_TRADE,
        "reason": Reason.HOLDING,
        "config_sha256": "c" * 64,
    }
    return AuditLine(**{**plain, **changes})  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    log = AuditLog(tmp_path / "audit.jsonl")
    for number in range(10):
        log.append(line(number, risk={"value": number, "limit": 7.5}, note="Größe ≥ 5"))
    return tmp_path / "audit.jsonl"


def test_an_untouched_chain_verifies_and_goes_on_after_a_restart(path: Path) -> None:
    head = AuditLog(path).append(line(10))
    check = verify_audit(path)
    assert (check.ok, check.lines, check.head_hash) == (True, 11, head)


def test_every_line_carries_what_a_cycle_must_write(path: Path) -> None:
    entry = json.loads(path.read_text().splitlines()[0])
    wanted = (
        "time mode status reason config_sha256 data_sha256 data_quality stage_s regime signals proposals risk intents"
    )
    assert set(f"{wanted} orders fills equity prev hash schema at_ms note".split()) == set(entry)
    assert entry["prev"] == GENESIS


@given(victim=st.integers(0, 9), how=st.sampled_from(["edit", "remove", "swap", "repeat", "rehash"]))
def test_any_edited_removed_or_moved_line_is_found(
    tmp_path_factory: pytest.TempPathFactory, victim: int, how: str
) -> None:
    path = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    log = AuditLog(path)
    for number in range(10):
        log.append(line(number, risk={"value": number}))
    lines = path.read_text().splitlines()
    if how == "edit":
        lines[victim] = lines[victim].replace('"value":' + str(victim), '"value":99')
    elif how == "rehash":
        entry = json.loads(lines[victim])
        entry["hash"] = "0" * 64
        lines[victim] = json.dumps(entry)
    elif how == "remove":
        if victim == 9:
            return  # the last line's absence shows against a root that was told, not in the chain
        del lines[victim]
    elif how == "swap":
        other = (victim + 1) % 10
        lines[victim], lines[other] = lines[other], lines[victim]
    else:
        lines.insert(victim, lines[victim])
    path.write_text("\n".join(lines) + "\n")
    check = verify_audit(path)
    assert not check.ok
    assert check.first_bad_line is not None
    assert check.why


def test_a_line_torn_by_a_crash_is_set_aside_and_the_chain_goes_on_noted(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b'{"at_ms": 17000')
    assert not verify_audit(path).ok
    AuditLog(path).append(line(11, note="hello"))
    assert verify_audit(path).ok
    assert path.with_name("audit.jsonl.torn-1").read_bytes() == b'{"at_ms": 17000'
    last = json.loads(path.read_text().splitlines()[-1])
    assert last["note"] == "hello; a line torn by a crash was set aside as audit.jsonl.torn-1"


def test_a_last_line_that_was_edited_refuses_to_be_continued(path: Path) -> None:
    path.write_text(path.read_text().replace('"value":9', '"value":8'))
    with pytest.raises(StateFileError, match="verify-audit"):
        AuditLog(path)


def test_a_missing_file_is_a_chain_of_no_lines(tmp_path: Path) -> None:
    assert verify_audit(tmp_path / "none.jsonl").ok
    assert AuditLog(tmp_path / "none.jsonl").head_hash == GENESIS


def test_a_number_that_is_none_is_refused_instead_of_written(path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        AuditLog(path).append(line(12, risk={"value": float("nan")}))
    assert verify_audit(path).ok


def test_lines_cut_off_at_the_end_show_against_a_root_that_was_told(path: Path, tmp_path: Path) -> None:
    roots, head = tmp_path / "audit_roots.jsonl", AuditLog(path).head_hash
    assert note_root(roots, head, at_ms=1_700_000_000_000) == head[:16]
    AuditLog(path).append(line(10))
    assert verify_audit(path, read_roots(roots)).ok, "what came after it does not matter"
    assert verify_audit(path, [ToldRoot(head[:16], "a message")]).ok
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:9]))
    assert verify_audit(path).ok, "by itself the chain looks whole"
    check = verify_audit(path, read_roots(roots))
    assert (check.ok, check.first_bad_line, check.lines) == (False, None, 9)
    assert check.why.startswith(f"the root {head[:16]}, told in the summary of 2023-11-14, is not of this chain")


def test_a_chain_that_was_rewritten_whole_shows_against_a_root_that_was_told(path: Path, tmp_path: Path) -> None:
    told = ToldRoot(AuditLog(path).head_hash[:16], "a message")
    forged = AuditLog(tmp_path / "forged.jsonl")
    for number in range(10):
        forged.append(line(number, note="nothing happened"))
    assert verify_audit(tmp_path / "forged.jsonl").ok
    assert not verify_audit(tmp_path / "forged.jsonl", [told]).ok


def test_a_root_told_before_the_first_cycle_asks_for_nothing(tmp_path: Path) -> None:
    assert verify_audit(tmp_path / "none.jsonl", [ToldRoot(GENESIS[:16], "a message")]).ok


@pytest.mark.parametrize("text", ["", "12345", "g" * 16, "a" * 65])
def test_what_is_no_root_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a root; give the 16 digits"):
        checked_root(text)


def test_a_line_written_otherwise_than_the_lab_writes_is_judged_by_what_it_says(path: Path) -> None:
    lines = path.read_text().splitlines()
    lines[4] = json.dumps(json.loads(lines[4]), indent=None)
    path.write_text("\n".join(lines) + "\n")
    assert verify_audit(path).ok, "spaces are no edit"
    moved = json.loads(lines[3])
    moved["risk"]["hash"] = moved.pop("hash")
    lines[3] = json.dumps(moved, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    path.write_text("\n".join(lines) + "\n")
    assert verify_audit(path).first_bad_line == 4


def test_an_emptied_file_is_not_begun_anew_where_a_root_was_told(path: Path) -> None:
    root = ToldRoot(verify_audit(path).head_hash, "the summary of 2024-01-02")
    path.write_bytes(b"")
    with pytest.raises(StateFileError, match=r"has no line, and the summary of 2024-01-02 told of some"):
        AuditLog(path, roots=[root])
    AuditLog(path, roots=[ToldRoot(GENESIS, "the summary of 2024-01-01")])

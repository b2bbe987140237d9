"""An archive put back: beside nobody, looked through first, what was there set aside, no stop undone, nothing armed."""

from __future__ import annotations

import fcntl
import os
import tarfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from ai_brain.evidence.trial_ledger import TrialLedger
from ai_brain.learning_db import LearningDb
from ops.backup.commands import run_backup
from ops.backup.keep import back_up, newest
from ops.backup.look import Found, rehearse
from ops.backup.restore import restore
from tests.ai_brain.evidence.test_trial_ledger import TRIAL
from tests.ops.papers import put_in_review
from tests.ops.world import CARRY
from trading.domain.clock import Clock, parse_iso
from trading.domain.decisions import Reason
from trading.domain.errors import StateFileError
from trading.domain.instrument import Market
from trading.domain.orders import Order, OrderType, Side
from trading.execution.intent_records import Purpose
from trading.execution.intents import Intents
from trading.funding.books import Baseline
from trading.funding.position import CarryPosition, PositionStatus, PositionStore
from trading.journal.audit import AuditLine, AuditLog, CycleStatus, verify_audit
from trading.risk.kill_switch import StopKind, read_stop, stop_trading
from trading.storage.files import write_json
from trading.storage.home import Home
from trading.strategy.parameters import CarryParameters
from trading.strategy.repository import StrategyRepository
from trading.strategy.spec import load_spec

AT_MS = parse_iso("2024-06-02")
LATER_MS = parse_iso("2024-06-05")
WRITTEN_S = 1_700_000_000


@pytest.fixture
def archive(home: Home) -> Path:
    """Of a lab with a strategy, two cycles, a database and live trading armed."""
    home.env_file.write_text("TELEGRAM_TOKEN=t\nTELEGRAM_CHAT_ID=1\n")
    home.env_file.chmod(0o600)
    os.utime(home.env_file, (WRITTEN_S, WRITTEN_S))
    put_in_review(home)
    LearningDb(home.learning_db).close()
    cycle(home, LATER_MS - 86_400_000)
    cycle(home, LATER_MS - 86_340_000)
    home.armed_file.write_text("{}")
    return back_up(home, AT_MS)


def cycle(home: Home, at_ms: int) -> None:
    AuditLog(home.audit_file).append(AuditLine(at_ms, "paper", CycleStatus.NO_TRADE, Reason.NOT_ARMED, "abc"))


def put_back(archive: Path, home: Home) -> tuple[Found, str]:
    told: list[str] = []
    found = restore(archive, home, at_ms=LATER_MS, say=told.append)
    return found, "\n".join(told)


def damaged(archive: Path, name: str, content: bytes, tmp_path: Path) -> Path:
    """The same archive with one file of another content."""
    folder = tmp_path / "damaged"
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (folder / name).write_bytes(content)
    spoilt = tmp_path / "spoilt.tar.gz"
    with tarfile.open(spoilt, "w:gz") as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, str(path.relative_to(folder)), recursive=False)
    return spoilt


def test_what_was_lost_is_back_and_what_was_there_is_set_aside(home: Home, archive: Path) -> None:
    strategies = StrategyRepository(home.strategies).all()
    (home.strategies / "testing" / f"{strategies[0].id}.json").unlink()
    cycle(home, LATER_MS)
    found, told = put_back(archive, home)
    assert (found.audit_lines, found.strategies, found.databases) == (2, 1, 1)
    assert StrategyRepository(home.strategies).all() == strategies
    assert verify_audit(home.audit_file).lines == 2
    aside = home.root / "before-restore-2024-06-05T000000Z"
    assert verify_audit(aside / "state" / "audit.jsonl").lines == 3
    assert f"what was there before is in {aside}" in told
    assert home.env_file.stat().st_mode & 0o777 == 0o600
    assert archive.exists(), "backups stay where they are"
    assert not list(home.root.glob(".restore-*"))


def test_a_restore_says_what_it_takes_back_and_can_be_taken_back_itself(
    home: Home, archive: Path, tmp_path: Path
) -> None:
    cycle(home, LATER_MS)
    write_json(home.heartbeat_file, {"at_ms": LATER_MS}, schema=1)
    _, told = put_back(archive, home)
    assert "gone:     what the lab did after the archive, until 2024-06-05T00:00:00Z, is in there alone" in told
    with tarfile.open(tmp_path / "undo.tar.gz", "w:gz") as tar:  # as the page of the server says it
        tar.add(home.root / "before-restore-2024-06-05T000000Z", ".")
    found = restore(tmp_path / "undo.tar.gz", home, at_ms=LATER_MS + 60_000, say=lambda _: None)
    assert (found.audit_lines, found.as_of_ms) == (3, LATER_MS)


def test_an_empty_folder_becomes_the_lab(archive: Path, tmp_path: Path) -> None:
    elsewhere = Home(tmp_path / "elsewhere")
    found, _ = put_back(archive, elsewhere)
    assert found.strategies == 1
    assert elsewhere.env_file.stat().st_mtime == WRITTEN_S, "how old a heartbeat is, its file says"
    assert verify_audit(elsewhere.audit_file).ok


@pytest.mark.parametrize("lock", ["lab.lock", "guardian.lock"])
def test_beside_a_running_lab_nothing_is_put_back(home: Home, archive: Path, lock: str) -> None:
    cycle(home, LATER_MS)
    with (home.state / lock).open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StateFileError, match="already runs"):
            put_back(archive, home)
        assert rehearse(archive, home, say=lambda _: None).audit_lines == 2, "a drill may run beside it"
    assert verify_audit(home.audit_file).lines == 3
    assert home.armed_file.exists()


@pytest.mark.parametrize("switch", ["TRADING_STOPPED.json", "KILL_SWITCH", "PAUSED", ".env"])
def test_a_stop_of_after_the_backup_stays_in_force(home: Home, archive: Path, switch: str) -> None:
    if switch == "TRADING_STOPPED.json":
        stop_trading(home, by="test", why="test", at_ms=LATER_MS, keep_positions=True)
    elif switch == ".env":
        home.env_file.write_text("KILL=1\n")
    else:
        (home.state / switch).write_text("")
    before = read_stop(home, {})
    _, told = put_back(archive, home)
    after = read_stop(home, {})
    assert after.blocks_entries
    if switch != ".env":
        assert after == before
    else:
        assert after.kind is StopKind.KILL, "the archive's .env knows nothing of it"
    assert "stops:    kept in force" in told


def test_live_trading_must_be_armed_anew(home: Home, archive: Path) -> None:
    _, told = put_back(archive, home)
    assert not home.armed_file.exists()
    assert "python go_live.py arms live trading again" in told


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("state/audit.jsonl", b'{"hash":"0","prev":"0"}\n', "audit.jsonl of the archive: line 1"),
        ("state/ai_learning.db", b"not a database" * 100, "ai_learning.db of the archive: file is not a database"),
        ("state/heartbeat.json", b"{torn", "heartbeat.json: cannot be read"),
        ("strategies/testing/mo-1.json", b"{}", "mo-1.json"),
    ],
)
def test_an_archive_that_is_not_whole_changes_nothing(
    home: Home, archive: Path, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    spoilt = damaged(archive, name, content, tmp_path)
    before = {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file() and path.suffix != ".lock"}
    with pytest.raises(StateFileError, match=said):
        put_back(spoilt, home)
    assert {path: path.read_bytes() for path in before} == before
    assert not list(home.root.glob(".restore-*"))
    assert not list(home.root.glob("before-restore-*"))


def test_a_file_that_is_no_archive_and_no_archive_at_all_are_one_line(home: Home, tmp_path: Path) -> None:
    with pytest.raises(StateFileError, match=r"no archive; \./lab backup writes one"):
        newest(home)
    (tmp_path / "text.tar.gz").write_text("text")
    with pytest.raises(StateFileError, match=r"text\.tar\.gz: cannot be unpacked") as told:
        put_back(tmp_path / "text.tar.gz", home)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "state/link"])
def test_an_archive_that_reaches_outside_is_refused(home: Home, tmp_path: Path, name: str) -> None:
    evil = tmp_path / "evil.tar.gz"
    with tarfile.open(evil, "w:gz") as tar:
        info = tarfile.TarInfo(name)
        if name.endswith("link"):
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(StateFileError, match="is not a file of the lab's"):
        put_back(evil, home)
    assert not (tmp_path.parent / "outside").exists()


def test_what_was_held_at_the_backup_is_named(home: Home) -> None:
    spec = load_spec(CARRY.encode(), where="a test")
    assert isinstance(spec.parameters, CarryParameters)
    nothing = Baseline(LATER_MS, *[Decimal(0)] * 5)
    PositionStore(home.positions_file, Intents(home.intents_file)).open(
        CarryPosition(
            "c-000001", 1, spec.id, "0" * 64, "BTCUSDT", spec.parameters, PositionStatus.OPEN, LATER_MS,
            Decimal(200), nothing,
        )
    )  # fmt: skip
    found, told = put_back(back_up(home, AT_MS), home)
    assert found.holds == ("BTCUSDT c-000001",)
    assert "look at the exchange before you start the lab" in told


def test_a_backup_by_hand_is_also_copied_and_no_one_else_may_read_it(
    home: Home, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    (tmp_path / "copies").mkdir()
    assert run_backup(tmp_path / "copies") == 0
    (copy,) = (tmp_path / "copies").iterdir()
    assert copy.stat().st_mode & 0o777 == 0o600
    assert newest(home).read_bytes() == copy.read_bytes()
    told = capsys.readouterr().out
    assert "it holds your keys" in told
    assert "that is the same disk" in told


def test_a_copy_onto_a_disk_that_is_not_there_is_refused_before_anything_is_written(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    with pytest.raises(StateFileError, match="no such folder; mount the disk"):
        run_backup(tmp_path / "not-mounted")
    assert not (home.root / "backups").exists()


def test_what_was_tried_after_the_backup_stays_counted(home: Home, archive: Path) -> None:
    tried(home, "after the backup")
    _, told = put_back(archive, home)
    assert "tried:    1 idea of after the archive stays counted" in told
    assert tried(home) == 1
    assert home.learning_db.stat().st_mode & 0o777 == 0o600
    assert "tried:" not in put_back(newest(home), Home(home.root / "elsewhere"))[1]


def test_what_was_tried_stays_counted_also_where_the_archive_has_no_memory_at_all(home: Home) -> None:
    cycle(home, AT_MS)
    archive = back_up(home, AT_MS)
    tried(home, "one", "two")
    assert "tried:    2 ideas of after the archive stay counted" in put_back(archive, home)[1]
    assert tried(home) == 2


def test_a_memory_that_did_not_go_on_from_the_archives_is_replaced_and_that_is_said(home: Home) -> None:
    tried(home, "before the backup")
    archive = back_up(home, AT_MS)
    home.learning_db.unlink()
    tried(home, "another lab's", "and another")
    _, told = put_back(archive, home)
    assert "tried:    what was tried after the archive is counted no more: ai_learning.db: it lacks" in told
    assert tried(home) == 1


def tried(home: Home, *names: str) -> int:
    """Count ideas as tried; how many are."""
    db = LearningDb(home.learning_db)
    try:
        ledger = TrialLedger(db, Clock())
        ledger.record([replace(TRIAL, spec_sha256=name) for name in names])
        return ledger.count()
    finally:
        db.close()


def test_what_was_traded_after_the_backup_is_named(home: Home, archive: Path) -> None:
    assert "OPEN:" not in put_back(archive, home)[1]
    journal = Intents(home.intents_file)
    intent = journal.begin("c-000001", Purpose.OPEN, "BTCUSDT", (Decimal(1), Decimal(1)), leverage=1, at_ms=AT_MS)
    order = Order("", Market.PERP, "BTCUSDT", Side.SELL, OrderType.MARKET, Decimal(1))
    journal.write_ahead(intent.id, order, slice_number=0, at_ms=AT_MS)
    told: list[str] = []
    restore(archive, home, at_ms=LATER_MS + 1_000, say=told.append)
    assert any("OPEN:     c-000001: traded after the backup" in line for line in told), told

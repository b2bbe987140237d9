"""The weekly archive: all that is needed to begin again, taken while the lab goes on writing, for its owner only."""

from __future__ import annotations

import sqlite3
import tarfile
import threading
import tracemalloc
from pathlib import Path

import pytest

from ai_brain.learning_db import LearningDb
from ops.jobs.backup import KEPT, back_up
from tests.ops.papers import put_in_review
from trading.domain.decisions import Reason
from trading.domain.errors import StateFileError
from trading.journal.audit import AuditLine, AuditLog, CycleStatus, verify_audit
from trading.storage.files import write_json
from trading.storage.home import Home
from trading.strategy.repository import StrategyRepository

DAY = "2024-06-02"


def furnished(home: Home) -> Home:
    """A home with a bit of everything."""
    home.env_file.write_text("BINANCE_API_KEY=k\nBINANCE_API_SECRET=s\n")
    home.settings_file.write_text("venue: {symbol: BTCUSDT}\n")
    home.log_file.write_text("a line\n")
    home.tapes.mkdir()
    (home.tapes / "large.parquet").write_bytes(b"x" * 1000)
    (home.tapes / "universe").mkdir()
    (home.tapes / "universe" / "perp-20240101T000000Z-0123456789ab.json.gz").write_bytes(b"what the venue listed")
    (home.state / "lab.lock").write_text("4711")
    (home.state / ".heartbeat.json.1.tmp").write_text("half")
    audit = AuditLog(home.audit_file)
    audit.append(AuditLine(1_700_000_000_000, "paper", CycleStatus.NO_TRADE, Reason.NOT_ARMED, "abc"))
    return home


def test_a_restored_archive_is_a_lab(home: Home, tmp_path: Path) -> None:
    spec = put_in_review(furnished(home))
    database = LearningDb(home.learning_db)
    archive = back_up(home, DAY)
    database.close()
    elsewhere = Home(tmp_path / "elsewhere")
    with tarfile.open(archive) as tar:
        tar.extractall(elsewhere.root, filter="data")
    assert StrategyRepository(elsewhere.strategies).get(spec.id) == spec
    assert verify_audit(elsewhere.audit_file).lines == 1
    assert elsewhere.env_file.read_bytes() == home.env_file.read_bytes()
    assert elsewhere.settings_file.exists()
    assert elsewhere.log_file.exists()
    LearningDb(elsewhere.learning_db).close()


def test_it_holds_no_tapes_no_locks_and_nothing_half_written(home: Home) -> None:
    with tarfile.open(back_up(furnished(home), DAY)) as tar:
        names = tar.getnames()
    assert not [name for name in names if name.endswith((".lock", ".tmp", ".parquet", "-wal", "-shm"))]
    assert {".env", "lab.yaml", "state/audit.jsonl", "logs/ai_lab.log"} <= set(names)
    assert [name for name in names if name.startswith("market")] == [
        "market/universe/perp-20240101T000000Z-0123456789ab.json.gz"
    ], "what the venue once listed cannot be fetched again"
    assert not any(name.startswith("backups") for name in names)


def test_only_its_owner_may_read_it_and_old_ones_go(home: Home) -> None:
    furnished(home)
    archives = [back_up(home, f"2024-06-{day:02d}") for day in range(1, KEPT + 3)]
    assert archives[-1].stat().st_mode & 0o777 == 0o600
    assert archives[-1].parent.stat().st_mode & 0o777 == 0o700
    kept = sorted(path.name for path in archives[-1].parent.iterdir())
    assert kept == [path.name for path in archives[2:]]


def test_a_database_in_use_is_copied_with_its_last_transaction(home: Home, tmp_path: Path) -> None:
    open_one = sqlite3.connect(home.learning_db)
    open_one.execute("PRAGMA journal_mode=WAL")
    open_one.execute("CREATE TABLE trials (name TEXT)")
    open_one.execute("INSERT INTO trials VALUES ('the last one')")
    open_one.commit()
    with tarfile.open(back_up(home, DAY)) as tar:
        tar.extract("state/ai_learning.db", tmp_path / "out", filter="data")
    open_one.close()
    restored = sqlite3.connect(tmp_path / "out" / "state" / "ai_learning.db")
    assert restored.execute("SELECT name FROM trials").fetchall() == [("the last one",)]
    restored.close()


def test_files_that_come_and_go_meanwhile_do_not_break_it(home: Home) -> None:
    furnished(home)
    done = threading.Event()

    def restless() -> None:
        number = 0
        while not done.is_set():
            number += 1
            write_json(home.heartbeat_file, {"n": number}, schema=1)
            message = home.outbox / f"{number % 20:012d}.json"
            message.write_text("{}")
            (home.outbox / f"{(number + 10) % 20:012d}.json").unlink(missing_ok=True)

    writer = threading.Thread(target=restless)
    writer.start()
    try:
        for _ in range(15):
            with tarfile.open(back_up(home, DAY)) as tar:
                assert "state/audit.jsonl" in tar.getnames()
    finally:
        done.set()
        writer.join()


def test_a_log_that_is_emptied_under_its_hands_keeps_the_archive_whole(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watchman's rotation copies and empties; the archive has told the size already."""
    furnished(home).log_file.write_text("a line\n" * 1000)
    add = tarfile.TarFile.addfile

    def emptied_first(tar: tarfile.TarFile, info: tarfile.TarInfo, content: object) -> None:
        if info.name.endswith(home.log_file.name):
            home.log_file.write_text("new\n")
        add(tar, info, content)  # type: ignore[arg-type]

    monkeypatch.setattr(tarfile.TarFile, "addfile", emptied_first)
    with tarfile.open(back_up(home, DAY)) as tar:
        log = tar.extractfile(f"logs/{home.log_file.name}")
        assert log is not None
        assert log.read().startswith(b"new\n\n")
        assert "state/audit.jsonl" in tar.getnames(), "what comes behind it"


def test_a_large_file_is_not_held_in_memory(home: Home) -> None:
    large = furnished(home).state / "large.jsonl"
    with large.open("wb") as file:
        file.truncate(100_000_000)
    tracemalloc.start()
    back_up(home, DAY)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def test_a_folder_that_cannot_be_made_is_one_clear_line(home: Home) -> None:
    (home.root / "backups").write_text("in the way")
    with pytest.raises(StateFileError, match=r"backups/lab-.*cannot be written"):
        back_up(home, DAY)

"""The weekly archive: all that is needed to begin again, taken while the lab goes on writing, for its owner only."""

from __future__ import annotations

import errno
import os
import sqlite3
import tarfile
import threading
import time
import tracemalloc
from pathlib import Path

import pytest

from ai_brain.learning_db import LearningDb
from ops.backup.keep import KEPT, UNSOUND_KEPT, archives, back_up
from ops.backup.look import NoRoomError, rehearse
from tests.ops.papers import put_in_review
from trading.domain.clock import parse_iso
from trading.domain.decisions import Reason
from trading.domain.errors import StateFileError
from trading.journal.audit import AuditLine, AuditLog, CycleStatus, verify_audit
from trading.journal.audit_roots import note_root, read_roots
from trading.storage.files import write_json
from trading.storage.home import Home
from trading.storage.lock import only_one
from trading.strategy.repository import StrategyRepository

AT_MS = parse_iso("2024-06-02")


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
    archive = back_up(home, AT_MS)
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
    with tarfile.open(back_up(furnished(home), AT_MS)) as tar:
        names = tar.getnames()
    assert not [name for name in names if name.endswith((".lock", ".tmp", ".parquet", "-wal", "-shm"))]
    assert {".env", "lab.yaml", "state/audit.jsonl", "logs/ai_lab.log"} <= set(names)
    assert [name for name in names if name.startswith("market")] == [
        "market/universe/perp-20240101T000000Z-0123456789ab.json.gz"
    ], "what the venue once listed cannot be fetched again"
    assert not any(name.startswith("backups") for name in names)


def test_only_its_owner_may_read_it_and_old_ones_go(home: Home) -> None:
    furnished(home)
    archives = [back_up(home, AT_MS + day * 1000) for day in range(1, KEPT + 3)]
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
    with tarfile.open(back_up(home, AT_MS)) as tar:
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
            with tarfile.open(back_up(home, AT_MS)) as tar:
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
    with tarfile.open(back_up(home, AT_MS)) as tar:
        log = tar.extractfile(f"logs/{home.log_file.name}")
        assert log is not None
        assert log.read().startswith(b"new\n\n")
        assert "state/audit.jsonl" in tar.getnames(), "what comes behind it"


def test_a_large_file_is_not_held_in_memory(home: Home) -> None:
    large = furnished(home).state / "large.jsonl"
    with large.open("wb") as file:
        file.truncate(100_000_000)
    tracemalloc.start()
    back_up(home, AT_MS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def test_a_folder_that_cannot_be_made_is_one_clear_line(home: Home) -> None:
    (home.root / "backups").write_text("in the way")
    with pytest.raises(StateFileError, match=r"backups/lab-.*cannot be written"):
        back_up(home, AT_MS)


def test_a_root_told_while_the_chain_is_copied_does_not_spoil_the_archive(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daily summary tells the chain's root at the very minute of the weekly archive."""
    add, log = tarfile.TarFile.addfile, AuditLog(furnished(home).audit_file)

    def told_meanwhile(tar: tarfile.TarFile, info: tarfile.TarInfo, content: object) -> None:
        add(tar, info, content)  # type: ignore[arg-type]
        if info.name == f"state/{home.audit_file.name}":
            log.append(AuditLine(AT_MS, "paper", CycleStatus.NO_TRADE, Reason.NOT_ARMED, "abc"))
            note_root(home.audit_roots_file, verify_audit(home.audit_file).head_hash, at_ms=AT_MS)

    monkeypatch.setattr(tarfile.TarFile, "addfile", told_meanwhile)
    archive = back_up(home, AT_MS)
    assert verify_audit(home.audit_file, read_roots(home.audit_roots_file)).ok
    assert archives(home) == [archive], "it was looked through"


def test_archives_that_cannot_be_restored_are_named_and_crowd_no_sound_one_out(home: Home) -> None:
    sound = back_up(furnished(home), AT_MS)
    home.audit_file.write_bytes(home.audit_file.read_bytes().replace(b"abc", b"abd"))
    for day in range(1, KEPT + 3):
        with pytest.raises(StateFileError, match=r"unsound-lab-.*could not be restored: audit\.jsonl"):
            back_up(home, AT_MS + day * 1000)
    assert archives(home) == [sound]
    assert len(list(sound.parent.iterdir())) == 1 + UNSOUND_KEPT


def test_a_database_that_is_none_any_more_is_named_and_all_else_is_kept(home: Home) -> None:
    furnished(home)
    home.learning_db.write_bytes(b"torn" * 1000)
    with pytest.raises(StateFileError, match=r"unsound-lab-.*ai_learning\.db of the archive: file is not a database"):
        back_up(home, AT_MS)
    (kept,) = (home.root / "backups").iterdir()
    with tarfile.open(kept) as tar:
        assert {".env", "state/audit.jsonl", "state/ai_learning.db"} <= set(tar.getnames())


def test_a_home_in_which_nothing_ran_yet_is_kept_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("BINANCE_API_KEY=k\nBINANCE_API_SECRET=s\n")
    with tarfile.open(back_up(Home(tmp_path), AT_MS)) as tar:
        assert tar.getnames() == [".env"]


def test_two_of_one_day_do_not_replace_each_other(home: Home) -> None:
    assert back_up(furnished(home), AT_MS) != back_up(home, AT_MS + 1000)
    assert len(archives(home)) == 2


def test_a_disk_that_fills_up_leaves_nothing_behind_and_an_earlier_leaving_is_swept(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home.root / "backups"
    folder.mkdir()
    (folder / ".lab-2024-06-01.tmp").write_bytes(b"of a process that was killed")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    furnished(home)
    with monkeypatch.context() as patched:
        patched.setattr(tarfile.TarFile, "addfile", full)
        with pytest.raises(StateFileError, match="No space left on device"):
            back_up(home, AT_MS)
    assert list(folder.iterdir()) == []


def test_what_a_killed_look_left_unpacked_goes_after_a_day_and_what_is_looked_through_now_stays(home: Home) -> None:
    left, busy = home.root / ".restore-left", home.root / ".restore-busy"
    for folder in (left, busy):
        folder.mkdir()
        (folder / ".env").write_text("BINANCE_API_KEY=k")
    os.utime(left, (0, time.time() - 90_000))
    back_up(furnished(home), AT_MS)
    assert list(home.root.glob(".restore-*")) == [busy]


def test_an_archive_with_no_room_to_unpack_it_is_kept_and_that_is_said(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnished(home)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("shutil.copyfileobj", full)
        with pytest.raises(StateFileError, match="written, but not looked through"):
            back_up(home, AT_MS)
    assert len(archives(home)) == 1


@pytest.mark.parametrize(("number", "way_out"), [(errno.ENOSPC, "make room"), (errno.EROFS, "make it writable")])
def test_a_look_where_no_folder_can_be_made_is_one_clear_line(
    home: Home, monkeypatch: pytest.MonkeyPatch, number: int, way_out: str
) -> None:
    archive = back_up(furnished(home), AT_MS)
    make = os.mkdir

    def refused(path: str | Path, *rest: int, **more: int) -> None:
        if Path(path).name.startswith(".restore-"):
            raise OSError(number, os.strerror(number), str(path))
        make(path, *rest, **more)

    monkeypatch.setattr("os.mkdir", refused)
    with pytest.raises(StateFileError, match=f"{home.root}: .*{os.strerror(number)}; {way_out}") as told:
        rehearse(archive, home, say=print)
    assert isinstance(told.value, NoRoomError) == (number == errno.ENOSPC)
    assert "\n" not in str(told.value)


def test_two_at_once_are_one(home: Home) -> None:
    furnished(home)
    with only_one(home.state / "backup.lock", what="a backup"), pytest.raises(StateFileError, match="a backup already"):
        back_up(home, AT_MS)

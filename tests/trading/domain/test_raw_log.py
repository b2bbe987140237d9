"""Raw lines on disk: whole after a kill, bounded in size and age, never in the way of who writes them."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from trading.domain.clock import Clock
from trading.storage import raw_log
from trading.storage.raw_log import SUFFIX, RawLog, Reading, raw_files, read_lines

DAY_MS = 86_400_000
NOW_MS = 1_704_067_200_000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_log, "FLUSH_S", 0.01)


def test_what_was_written_is_read_again_in_order(tmp_path: Path) -> None:
    out = RawLog(tmp_path / "new", Clock(), max_bytes=10**9, keep_days=1)
    lines = [f"{i}\t{'é' * (i % 7)}" for i in range(1000)]
    for line in lines:
        out.write(line)
    out.close()
    reading = Reading()
    assert list(read_lines(tmp_path / "new", reading)) == lines
    assert (reading.files, reading.lines, reading.torn, out.lost) == (1, 1000, [], 0)
    assert reading.bytes == out.written_bytes


@pytest.mark.parametrize("cut", [1, 9, 200])
def test_a_torn_end_loses_only_itself(tmp_path: Path, cut: int) -> None:
    out = RawLog(tmp_path, Clock(), max_bytes=10**9, keep_days=1)
    lines = [os.urandom(20).hex() for _ in range(500)]
    for line in lines:
        out.write(line)
    out.close()
    (path,) = raw_files(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    reading = Reading()
    found = list(read_lines(tmp_path, reading))
    assert found == lines[: len(found)]
    assert len(found) > 480
    assert reading.torn == [path.name]


@pytest.mark.parametrize(("lost", "tail"), [(40, b"\0" * 4096), (40, b"\0" * 3_000_000), (0, b"\xff" * 500)])
def test_a_tail_that_was_never_written_loses_its_block_and_no_line_before_it(
    tmp_path: Path, lost: int, tail: bytes
) -> None:
    stream = zlib.compressobj(6, zlib.DEFLATED, 31)
    blocks = [[f"{NOW_MS}\tline {block} {i}" for i in range(100)] for block in range(20)]
    packed = [stream.compress(("\n".join(block) + "\n").encode()) + stream.flush(zlib.Z_SYNC_FLUSH) for block in blocks]
    path = tmp_path / f"20240101T000000-000{SUFFIX}"
    path.write_bytes(
        b"".join(packed)[: -lost or None] + tail
    )  # what a power cut leaves: the file's length, and no content
    reading = Reading()
    found = list(read_lines(tmp_path, reading))
    assert found == [line for block in blocks for line in block][: len(found)]
    assert (reading.lines, reading.torn) == (len(found), [path.name])
    assert len(found) >= 1700


def test_a_damaged_file_gives_what_comes_before_the_damage_and_the_next_file_all(tmp_path: Path) -> None:
    for day in range(2):
        out = RawLog(tmp_path, Clock(origin_ms=NOW_MS + day * 3_600_000), max_bytes=10**9, keep_days=9999)
        for i in range(20_000):
            out.write(f"{day} {i} {hash((day, i))}")
        out.close()
    first, second = raw_files(tmp_path)
    data = bytearray(first.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 50] = bytes(50)
    first.write_bytes(bytes(data))
    reading = Reading()
    found = list(read_lines(tmp_path, reading))
    assert first.name in reading.torn
    assert second.name not in reading.torn
    assert sum(line.startswith("1 ") for line in found) == 20_000


def test_a_process_that_is_killed_leaves_all_but_the_last_moment(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from trading.domain.clock import Clock\n"
        "from trading.storage import raw_log; raw_log.FLUSH_S = 0.01\n"
        "out = raw_log.RawLog(Path(sys.argv[1]), Clock(), max_bytes=10**9, keep_days=1)\n"
        "[out.write(f'line {i}') for i in range(100)]\n"
        "while not out.written_bytes: pass\n"
        "print('written', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.kill()
    reading = Reading()
    assert list(read_lines(tmp_path, reading)) == [f"line {i}" for i in range(100)]
    assert len(reading.torn) == 1


def test_the_oldest_files_make_room(tmp_path: Path) -> None:
    with capture_logs() as told:
        for hour in range(6):
            out = RawLog(tmp_path, Clock(origin_ms=NOW_MS + hour * 3_600_000), max_bytes=40_000, keep_days=9999)
            out.write(os.urandom(10_000).hex())
            out.close()
    assert sum(path.stat().st_size for path in raw_files(tmp_path)) <= 40_000
    assert [path.name[9:11] for path in raw_files(tmp_path)] == ["03", "04", "05"]
    assert "recording.removed" in {line["event"] for line in told}


def test_files_that_are_too_old_are_removed(tmp_path: Path) -> None:
    old = tmp_path / "20200101T000000-000.lines.gz"
    old.touch()
    os.utime(old, (0, 0))
    out = RawLog(tmp_path, Clock(), max_bytes=10**9, keep_days=1)
    out.write("new")
    out.close()
    assert not old.exists()
    assert list(read_lines(tmp_path)) == ["new"]


def test_a_disk_that_refuses_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    with capture_logs() as told:
        out = RawLog(folder, Clock(), max_bytes=10**9, keep_days=1)
        folder.rmdir()
        out.write("nowhere to go")
        out.close()
    assert out.lost == 1
    assert "recording.failed" in {line["event"] for line in told}


def test_lines_that_wait_too_long_are_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_log, "FLUSH_S", 60.0)
    monkeypatch.setattr(raw_log, "MOST_WAITING", 10)
    out = RawLog(tmp_path, Clock(), max_bytes=10**9, keep_days=1)
    for _ in range(5):
        out.write("12345678")
    out.close()
    assert out.lost == 3
    assert len(list(read_lines(tmp_path))) == 2


@pytest.mark.parametrize(("limit", "value"), [("FILE_S", 0.0), ("LARGEST_FILE", 0)])
def test_the_next_file_begins_after_an_hour_or_when_one_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: float
) -> None:
    monkeypatch.setattr(raw_log, limit, value)
    out = RawLog(tmp_path, Clock(), max_bytes=10**9, keep_days=1)
    for line in ("one", "two"):
        before = out.written_bytes
        out.write(line)
        while out.written_bytes == before:
            pass
    out.close()
    reading = Reading()
    assert list(read_lines(tmp_path, reading)) == ["one", "two"]
    assert (reading.files, reading.torn) == (2, [])

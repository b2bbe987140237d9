"""A stretch of the audit file is found by bisecting, and is what reading the whole file would have found."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trading.domain.decisions import Reason
from trading.journal.audit import AuditLine, AuditLog, CycleStatus
from trading.journal.audit_window import AuditWindow, cycle_id


def line(at_ms: int, note: str = "") -> bytes:
    return b'{"at_ms":%d,"note":"%s"}\n' % (at_ms, note.encode())


def window_of(folder: Path, data: bytes) -> AuditWindow:
    (folder / "audit.jsonl").write_bytes(data)
    return AuditWindow(folder / "audit.jsonl")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    gaps=st.lists(st.integers(0, 5), max_size=40),
    lengths=st.lists(st.integers(0, 60), min_size=40, max_size=40),
    wanted=st.integers(-1, 130),
)
def test_every_line_is_on_the_side_where_its_time_puts_it(
    tmp_path: Path, gaps: list[int], lengths: list[int], wanted: int
) -> None:
    times, now = [], 0
    for gap in gaps:
        now += gap
        times.append(now)
    lines = [line(at, "x" * length) for at, length in zip(times, lengths, strict=False)]
    window = window_of(tmp_path, b"".join(lines))
    whole = [one.rstrip(b"\n") for one in lines]
    older = sum(at < wanted for at in times)
    assert list(window.from_ms(wanted)) == whole[older:]
    assert list(window.before_ms(wanted)) == whole[:older][::-1]


def test_a_line_that_is_being_written_and_one_that_is_damaged_are_stepped_over(tmp_path: Path) -> None:
    data = line(1) + b"\x00\x00 damaged\n" + line(3) + line(4) + b'{"at_ms":5,"no'
    window = window_of(tmp_path, data)
    assert list(window.from_ms(3)) == [line(3)[:-1], line(4)[:-1]]
    assert list(window.from_ms(5)) == []
    assert next(window.before_ms(9)) == line(4)[:-1]


def test_no_file_and_an_empty_one_have_no_lines(tmp_path: Path) -> None:
    empty = tmp_path / "audit.jsonl"
    for path in (tmp_path / "none.jsonl", empty):
        window = AuditWindow(path)
        assert list(window.from_ms(0)) == list(window.before_ms(9)) == []
        empty.touch()


def test_what_the_lab_writes_is_found_by_the_minute_and_named_by_minute_and_hash(tmp_path: Path) -> None:
    log, path = AuditLog(tmp_path / "audit.jsonl"), tmp_path / "audit.jsonl"
    digests = [log.append(AuditLine(n * 60_000, "paper", CycleStatus.NO_TRADE, Reason.HOLDING, "c")) for n in range(50)]
    (found, *_) = AuditWindow(path).from_ms(31 * 60_000)
    assert digests[31].encode() in found
    assert cycle_id(31 * 60_000, digests[31]) == f"d-700101-0031-{digests[31][:4]}"

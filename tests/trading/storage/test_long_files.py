"""Long files from their end and at a moment: the same lines as reading all of it, and never all of it."""

from __future__ import annotations

import json
from itertools import islice, pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trading.journal.audit_window import time_of
from trading.storage import long_files as lines
from trading.storage.long_files import backwards, offset_at, sample


def written(path: Path, count: int, *, pad: int = 0) -> list[bytes]:
    """So many lines, a minute apart."""
    raws = [
        json.dumps({"at_ms": n * 60_000, "pad": "x" * (pad * (n % 3))}, separators=(",", ":")).encode()
        for n in range(count)
    ]
    path.write_bytes(b"".join(raw + b"\n" for raw in raws))
    return raws


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b"")), max_size=12),
    st.binary(max_size=9),
    st.integers(1, 64),
)
def test_backwards_is_forwards_turned_round_whatever_the_blocks_cut(
    tmp_path: Path, raws: list[bytes], torn: bytes, block: int
) -> None:
    torn = torn.replace(b"\n", b"")
    path = tmp_path / "lines"
    path.write_bytes(b"".join(raw + b"\n" for raw in raws) + torn)
    whole, at = [], 0
    for raw in raws:
        whole += [(at, raw)] if raw else []
        at += len(raw) + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK_BYTES", block)
        assert [(line.offset, line.raw) for line in backwards(path)] == whole[::-1]
        for number, (offset, _) in list(enumerate(whole))[::4]:
            earlier = [at for at, _ in whole[:number]]
            assert offset == 0 or [line.offset for line in backwards(path, before=offset)] == earlier[::-1]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 300])
def test_a_moment_is_found_as_by_reading_every_line(tmp_path: Path, count: int) -> None:
    path = tmp_path / "audit.jsonl"
    raws = written(path, count, pad=30)
    offsets = [sum(len(raw) + 1 for raw in raws[:n]) for n in range(count + 1)]
    for at_ms in (-1, 0, 1, 60_000, 60_001, 120_000, count * 30_000 + 7, (count - 1) * 60_000, count * 60_000, 10**12):
        first = next((n for n in range(count) if n * 60_000 >= at_ms), count)
        assert offset_at(path, at_ms, time_of) == offsets[first], at_ms


def test_a_line_that_is_being_written_is_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    raws = written(path, 3)
    end = path.stat().st_size
    with path.open("ab") as file:
        file.write(b'{"at_ms":180000')
    assert [line.raw for line in backwards(path)] == raws[::-1]
    assert [line.raw for line in sample(path, 0, path.stat().st_size, places=5).lines] == raws
    assert offset_at(path, 180_000, time_of) == end, "nor is anything before it, which `backwards` may be told"
    assert [line.raw for line in backwards(path, before=end)] == raws[::-1]


def test_a_long_file_is_sampled_evenly_with_its_newest_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "audit.jsonl"
    raws = written(path, 5000, pad=20)
    monkeypatch.setattr(lines, "WHOLE_BYTES", 1000)
    found = sample(path, 0, path.stat().st_size, places=50)
    told = [time_of(line.raw) for line in found.lines]
    assert not found.is_all
    assert len(told) == 51
    assert told[0] == 0
    assert told[-1] == 4999 * 60_000
    gaps = [(b - a) / 60_000 for a, b in pairwise(told) if a is not None and b is not None]
    assert max(gaps) <= 110
    assert {line.raw for line in found.lines} <= set(raws)


def test_the_newest_lines_of_a_long_file_are_read_from_its_last_blocks_only(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with path.open("wb") as file:
        file.truncate(1 << 34)  # sixteen gigabytes that take no room; reading them would take the test's day
        file.seek(0, 2)
        file.write(b'\n{"at_ms":1}\n{"at_ms":2}\n')
    assert [line.raw for line in islice(backwards(path), 2)] == [b'{"at_ms":2}', b'{"at_ms":1}']


def test_a_file_that_is_not_there_has_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "none"
    assert list(backwards(path)) == []
    assert offset_at(path, 0, time_of) == 0
    assert sample(path, 0, 10, places=3).lines == ()

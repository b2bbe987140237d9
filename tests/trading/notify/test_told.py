"""What was told is on record under its id, whatever happens to the file's end."""

from __future__ import annotations

from pathlib import Path

import pytest

from trading.notify.told import FILE, Told, ToldLog, number_of


def told(number: int, text: str = "x") -> Told:
    return Told(f"m-{number}", 1_700_000_000_000 + number, "report", "notice", "", text)


@pytest.mark.parametrize("typed", ["m-1742", "M-1742", "id m-1742", " m1742 ", "ID M-1742"])
def test_an_id_is_known_however_it_is_typed(typed: str) -> None:
    assert number_of(typed) == 1742


@pytest.mark.parametrize("typed", ["1742", "m-", "m-17x", "d-260121-1400-7f3a", ""])
def test_what_is_no_id_is_none(typed: str) -> None:
    assert number_of(typed) is None


def test_ids_count_up_over_restarts_and_over_a_torn_end(tmp_path: Path) -> None:
    for number in (1, 2):
        log = ToldLog(tmp_path)
        assert log.next_id() == f"m-{number}"
        log.note(told(number))
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"id": "m-3", "at')
    log = ToldLog(tmp_path)
    assert log.next_id() == "m-3"
    assert (tmp_path / f"{FILE}.torn-1").read_bytes() == b'{"id": "m-3", "at'
    log.note(told(3))
    assert [one.id for one in ToldLog(tmp_path)] == ["m-1", "m-2", "m-3"]


def test_a_damaged_line_is_left_out_and_no_number_is_given_twice(tmp_path: Path) -> None:
    log = ToldLog(tmp_path)
    log.note(told(7))
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"another": "thing"}\n\x00\n[]\n')
    assert log.next_id() == "m-8"
    assert [one.id for one in log] == ["m-7"]


def test_the_record_is_bounded_and_the_newest_stay(tmp_path: Path) -> None:
    log = ToldLog(tmp_path, max_bytes=4000)
    for number in range(1, 101):
        log.note(told(number, "y" * 100))
    kept = [number_of(one.id) for one in log]
    assert (tmp_path / FILE).stat().st_size <= 4000
    assert kept[-1] == 100
    assert kept == list(range(kept[0] or 0, 101))
    assert log.next_id() == "m-101"

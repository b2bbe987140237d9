from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from trading.domain.errors import StateFileError
from trading.storage.checked import read_checked
from trading.storage.files import write_json


@dataclass(frozen=True)
class _Book:
    equity_quote: float
    curve: tuple[float, ...] = ()


BOOK = TypeAdapter(_Book)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "book.json"


def test_a_file_that_fits_is_what_it_holds_and_none_is_none(path: Path) -> None:
    assert read_checked(path, BOOK, schema=1) is None
    write_json(path, {"equity_quote": 2.5, "curve": [1.0]}, schema=1)
    assert read_checked(path, BOOK, schema=1) == _Book(2.5, (1.0,))


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({"equity_quote": "much"}, "equity_quote='much': Input should be a valid number"),
        ({"curve": [0.0] * 5000}, "equity_quote: Field required"),
        ({"equity_quote": 1.0, "curve": ["1 " * 5000]}, "curve.0='1 1 1 "),
    ],
)
def test_one_that_does_not_fit_is_set_aside_and_named_in_a_line_that_never_holds_the_file(
    path: Path, held: dict[str, object], said: str
) -> None:
    write_json(path, held, schema=1)
    content = path.read_bytes()
    with pytest.raises(StateFileError) as told:
        read_checked(path, BOOK, schema=1, mend="restore it from a backup")
    line = str(told.value)
    assert line.startswith(f"{path}: {said}")
    assert line.endswith("; set aside as book.json.bad-1, restore it from a backup")
    assert len(line) < len(str(path)) + 300
    assert path.with_name("book.json.bad-1").read_bytes() == content

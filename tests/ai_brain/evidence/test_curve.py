"""The equity of everything that was looked at, into its file and back to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from ai_brain.evidence.chain import chained
from ai_brain.evidence.curve import CURVE_COLUMNS, Span, curve_csv, read_curve
from ai_brain.evidence.run import Run
from tests.ai_brain.markets import HOUR_MS, START_MS
from trading.domain.errors import StateFileError

HEAD = ",".join(CURVE_COLUMNS)
GOOD = f"{HEAD}\n2024-01-01T00:00:00Z,10000.0,search\n"


def run_of(first_bar: int, equity: list[float], *, starting_quote: float = 10_000.0) -> Run:
    return Run(
        open_time_ms=START_MS + HOUR_MS * np.arange(first_bar, first_bar + len(equity)),
        interval_ms=HOUR_MS,
        equity=np.array(equity),
        starting_quote=starting_quote,
        trades=(),
        entries=0,
        left_open=(),
        settled=(),
        fees_quote=0.0,
        slippage_quote=0.0,
        funding_quote=0.0,
        expected_funding_quote=0.0,
        traded_quote=0.0,
        liquidations=0,
        identity_error_quote=0.0,
    )


RUNS = {
    "search": run_of(0, [10_000.0, 10_100.0 / 3.0 * 3.1]),
    "walk-forward 1/2": run_of(5, [9_900.0, 10_000.0 / 7.0 * 6.9, 9_950.0]),
    "walk-forward 2/2": run_of(9, [10_500.0]),
    "vault": run_of(12, [10_000.0, 10_001.0]),
}


def test_a_curve_survives_its_file_to_the_last_bit_with_its_stretches_and_its_holes() -> None:
    curve, whole = read_curve(curve_csv(RUNS)), chained(list(RUNS.values()))
    assert curve.open_time_ms.dtype == np.int64
    assert curve.open_time_ms.tolist() == whole.open_time_ms.tolist()
    assert curve.equity.tolist() == whole.equity.tolist()
    assert curve.spans == (
        Span("search", 0, 2),
        Span("walk-forward 1/2", 2, 5),
        Span("walk-forward 2/2", 5, 6),
        Span("vault", 6, 8),
    )
    assert curve.returns(10_000.0) == pytest.approx(whole.returns, abs=0.0)


def test_each_stretch_goes_on_with_what_the_one_before_it_ended_with() -> None:
    curve = read_curve(curve_csv(RUNS))
    ends = np.cumprod([run.equity[-1] / run.starting_quote for run in RUNS.values()])
    assert [curve.equity[span.stop - 1] / 10_000.0 for span in curve.spans] == pytest.approx(ends, rel=1e-14)


def test_a_line_names_its_bar_by_the_open_time_and_its_stretch() -> None:
    lines = curve_csv(RUNS).decode().splitlines()
    assert lines[:2] == [HEAD, "2023-11-15T00:00:00Z,10000.0,search"]
    assert lines[-1].startswith("2023-11-15T13:00:00Z,")
    assert lines[-1].endswith(",vault")


def test_no_stretch_is_no_file_and_a_stretch_of_another_name_is_refused() -> None:
    assert curve_csv({}) == b""
    with pytest.raises(ValueError, match="stretch='costs doubled'"):
        curve_csv({"costs doubled": RUNS["search"]})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "line 1"),
        (b"\xff\xfe", "byte 0 is no UTF-8"),
        (b"bar,equity,stretch\n", "line 1: 'bar,equity,stretch'"),
        (f"{HEAD}\n".encode(), "it has no bar"),
        (f"{GOOD}2024-01-01T01:00:00Z,1.0\n".encode(), "line 3: 2 fields, expected 3"),
        (f"{HEAD}\nnoon,1.0,search\n".encode(), "line 2: bar='noon': not a time"),
        (f"{HEAD}\n2024-01-01,ten,search\n".encode(), "line 2: equity_quote='ten': not a number"),
        (f"{HEAD}\n2024-01-01,nan,search\n".encode(), "line 2: equity_quote='nan': not an equity above 0"),
        (f"{HEAD}\n2024-01-01,0.0,search\n".encode(), "equity_quote='0.0': not an equity above 0"),
        (f"{HEAD}\n2024-01-01,1.0,<script>\n".encode(), "stretch='<script>': none of search"),
        (f"{GOOD}2024-01-01T00:00:00Z,1.0,search\n".encode(), "line 3: bar='2024-01-01T00:00:00Z': not after"),
        (
            f"{GOOD}2024-01-02,1.0,vault\n2024-01-03,1.0,search\n".encode(),
            "line 4: stretch='search': comes a second time",
        ),
    ],
)
def test_a_file_that_is_no_curve_is_refused_with_its_line_and_value(content: bytes, words: str) -> None:
    with pytest.raises(StateFileError, match=r"^curve: ") as told:
        read_curve(content)
    assert words in str(told.value)

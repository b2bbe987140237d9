"""The catalogue: complete, consistent, and the same as its documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from trading.domain.errors import SpecError
from trading.strategy.indicator_catalogue import COLUMNS, INDICATORS, IndicatorDef, complete_arguments

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "rule-language.md"
PROMISED = """
sma ema wma rsi macd macd_signal macd_hist adx di_plus di_minus atr bb_upper bb_lower bb_mid kc_upper kc_lower
donchian_high donchian_low stoch_k stoch_d cci mfi obv vwap roc mom volatility zscore volume_ratio highest lowest
vwap_session rank funding_mean funding_apr basis_mean basis_zscore
"""

WARM_UPS = {
    "sma": ((20,), 19),
    "ema": ((50,), 49),
    "wma": ((1,), 0),
    "rsi": ((14,), 14),
    "macd": ((12, 26), 25),
    "macd_signal": ((12, 26, 9), 33),
    "macd_hist": ((12, 26, 9), 33),
    "adx": ((14,), 27),
    "di_plus": ((14,), 14),
    "di_minus": ((14,), 14),
    "atr": ((14,), 14),
    "bb_upper": ((20, 2.0), 19),
    "kc_lower": ((20, 2.0), 20),
    "donchian_high": ((20,), 19),
    "stoch_k": ((14, 3), 15),
    "stoch_d": ((14, 3, 3), 17),
    "cci": ((20,), 19),
    "mfi": ((14,), 14),
    "obv": ((), 0),
    "vwap": ((24,), 23),
    "roc": ((12,), 12),
    "volatility": ((20,), 20),
    "zscore": ((20,), 19),
    "volume_ratio": ((20,), 19),
    "lowest": ((20,), 19),
    "rank": ((100,), 99),
    "vwap_session": ((), 0),
    "funding_mean": ((21,), 0),
    "basis_mean": ((24,), 23),
    "basis_zscore": ((48,), 47),
}


def row_of(indicator: IndicatorDef) -> str:
    """The line of the documentation's table."""
    ranges = ", ".join(f"{p.name} {p.low:g}..{p.high:g}" for p in indicator.parameters) or "-"
    defaults = tuple(p.default for p in indicator.parameters)
    definition = indicator.definition.replace("|", "\\|")
    bars = indicator.lookback_bars(defaults)
    return f"| `{indicator.signature()}` | {ranges} | {indicator.unit} | {bars} | {definition} |"


def test_every_promised_name_is_there_and_no_other() -> None:
    assert sorted(INDICATORS) == sorted(PROMISED.split())
    assert sorted(COLUMNS) == ["basis", "close", "funding", "high", "low", "open", "volume"]


@pytest.mark.parametrize(("name", "arguments", "bars"), [(n, a, b) for n, (a, b) in WARM_UPS.items()])
def test_warm_ups_are_the_documented_ones(name: str, arguments: tuple[float, ...], bars: int) -> None:
    assert INDICATORS[name].lookback_bars(arguments) == bars


@pytest.mark.parametrize("indicator", INDICATORS.values(), ids=lambda i: i.name)
def test_defaults_lie_in_their_ranges_and_fill_in_for_what_is_left_out(indicator: IndicatorDef) -> None:
    complete = complete_arguments(indicator.name, ())
    assert complete == tuple(p.default for p in indicator.parameters)
    assert all(isinstance(v, int) == p.is_whole for v, p in zip(complete, indicator.parameters, strict=True))
    assert set(indicator.reads) <= set(COLUMNS)


@pytest.mark.parametrize("indicator", INDICATORS.values(), ids=lambda i: i.name)
def test_the_documentation_says_the_same(indicator: IndicatorDef) -> None:
    assert row_of(indicator) in DOCUMENT.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("sma", (0.0,), "n=0: must be 1..2000"),
        ("sma", (2001.0,), "n=2001: must be 1..2000"),
        ("sma", (2.5,), "whole number"),
        ("sma", (1.0, 2.0), "sma takes n, not 2 numbers; write sma(20)"),
        ("obv", (3.0,), "obv takes nothing"),
        ("bb_upper", (20.0, 11.0), "k=11: must be 0.1..10"),
        ("macd", (26.0, 12.0), "fast=26 must be shorter than slow=12"),
    ],
)
def test_arguments_out_of_range_are_refused(name: str, given: tuple[float, ...], says: str) -> None:
    with pytest.raises(SpecError) as refused:
        complete_arguments(name, given)
    assert says in str(refused.value)

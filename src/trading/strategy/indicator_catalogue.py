"""Every word of the rule language that has a value at a bar: its definition, parameters, unit and warm-up.

The simulator computes them by these names and parameters; `docs/rule-language.md` prints this table, and a test holds
the two together. Conventions of all definitions:

t         the bar of decision; only bars <= t are read
change    bar t against bar t - 1; the first bar of a tape has none
lookback  bars that must exist before the first value: the first value stands at bar index `lookback`
ema(n)    the first value is the mean of the first n inputs, then x * 2/(n+1) + before * (1 - 2/(n+1))
wilder(n) as ema, with 1/n in place of 2/(n+1)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trading.domain.errors import SpecError

MAX_PERIOD = 2000
"""Longest period of any indicator, bars."""


@dataclass(frozen=True, slots=True)
class ParameterDef:
    """One parameter of an indicator."""

    name: str
    low: float
    high: float
    default: float
    is_whole: bool = True
    """A count of bars; False: any number in the range."""


@dataclass(frozen=True, slots=True)
class IndicatorDef:
    """One indicator of the language."""

    name: str
    parameters: tuple[ParameterDef, ...]
    reads: tuple[str, ...]
    """Columns of the tape it is computed from."""
    unit: str
    """`price` (quote per base), `base`, `percent`, `fraction`, `none`."""
    definition: str
    """One sentence, enough to compute it."""
    lookback: Callable[[tuple[float, ...]], int]
    """Bars needed before the first value, from the parameters."""
    range: tuple[float, float] | None = None
    """Smallest and largest value it can take; None: unbounded."""

    def lookback_bars(self, arguments: tuple[float, ...]) -> int:
        """Bars that must exist before the first value; `arguments` complete and in order."""
        return self.lookback(arguments)

    def signature(self) -> str:
        """As written with its defaults: `bb_lower(20, 2)`."""
        return f"{self.name}({', '.join(f'{p.default:g}' for p in self.parameters)})"


COLUMNS: dict[str, str] = {
    "open": "first price of the bar",
    "high": "highest price of the bar",
    "low": "lowest price of the bar",
    "close": "last price of the bar",
    "volume": "traded in the bar, in base units",
    "funding": "last funding rate of the contract settled strictly before the bar's close (stamps to the nearest "
    "minute), fraction of notional a settlement; no value before the first one; perpetuals only",
    "basis": "close / close of the spot market's bar of the same time - 1, fraction; no value where spot has no such "
    "bar; perpetuals only",
}
"""Names without parameters, and what they are."""


def complete_arguments(name: str, given: tuple[float, ...]) -> tuple[float, ...]:
    """The arguments of a call, checked, with defaults for those left out at the right.

    Args:
        name: A key of `INDICATORS`.
        given: In the order of the parameters; whole numbers may come as floats.

    Returns:
        One number a parameter: int where the parameter counts bars, float otherwise.

    Raises:
        SpecError: too many, out of range, not whole, or a fast period that is not shorter than the slow one.
    """
    indicator = INDICATORS[name]
    if len(given) > len(indicator.parameters):
        takes = ", ".join(p.name for p in indicator.parameters) or "nothing"
        raise SpecError(f"{name} takes {takes}, not {len(given)} numbers; write {indicator.signature()}")
    values = given + tuple(p.default for p in indicator.parameters[len(given) :])
    for parameter, value in zip(indicator.parameters, values, strict=True):
        if not parameter.low <= value <= parameter.high:
            raise SpecError(f"{name}: {parameter.name}={value:g}: must be {parameter.low:g}..{parameter.high:g}")
        if parameter.is_whole and value != int(value):
            raise SpecError(f"{name}: {parameter.name}={value:g}: must be a whole number of bars")
    if name.startswith("macd") and values[0] >= values[1]:
        raise SpecError(f"{name}: fast={values[0]:g} must be shorter than slow={values[1]:g}")
    return tuple(int(v) if p.is_whole else float(v) for p, v in zip(indicator.parameters, values, strict=True))


def _period(default: int, *, low: int = 1, name: str = "n") -> ParameterDef:
    return ParameterDef(name, low, MAX_PERIOD, default)


def _factor(default: float) -> ParameterDef:
    return ParameterDef("k", 0.1, 10.0, default, is_whole=False)


def _whole(arguments: tuple[float, ...], at: int = 0) -> int:
    return int(arguments[at])


def _n_less_1(arguments: tuple[float, ...]) -> int:
    return _whole(arguments) - 1


def _n(arguments: tuple[float, ...]) -> int:
    return _whole(arguments)


def _adx_lookback(arguments: tuple[float, ...]) -> int:
    return 2 * _whole(arguments) - 1


def _slow_less_1(arguments: tuple[float, ...]) -> int:
    return _whole(arguments, 1) - 1


def _signal_lookback(arguments: tuple[float, ...]) -> int:
    return _whole(arguments, 1) + _whole(arguments, 2) - 2


def _stoch_k_lookback(arguments: tuple[float, ...]) -> int:
    return _whole(arguments) + _whole(arguments, 1) - 2


def _stoch_d_lookback(arguments: tuple[float, ...]) -> int:
    return _whole(arguments) + _whole(arguments, 1) + _whole(arguments, 2) - 3


def _none(_arguments: tuple[float, ...]) -> int:
    return 0


CLOSE = ("close",)
HLC = ("high", "low", "close")
HLCV = ("high", "low", "close", "volume")
HUNDRED = (0.0, 100.0)
FAST, SLOW, SIGNAL = _period(12, name="fast"), _period(26, name="slow"), _period(9, name="signal")
SMOOTH, D = _period(3, name="smooth"), _period(3, name="d")

_ALL = (
    IndicatorDef("sma", (_period(20),), CLOSE, "price", "mean of the last n closes", _n_less_1),
    IndicatorDef("ema", (_period(20),), CLOSE, "price", "ema(n) of the close", _n_less_1),
    IndicatorDef(
        "wma",
        (_period(20),),
        CLOSE,
        "price",
        "mean of the last n closes with weights 1 (oldest) to n (newest)",
        _n_less_1,
    ),
    IndicatorDef(
        "rsi",
        (_period(14),),
        CLOSE,
        "percent",
        "100 * g / (g + l), with g and l the wilder(n) of the rises and of the falls of the close; 50 when both are 0",
        _n,
        HUNDRED,
    ),
    IndicatorDef("macd", (FAST, SLOW), CLOSE, "price", "ema(fast) - ema(slow), each seeded on its own", _slow_less_1),
    IndicatorDef(
        "macd_signal", (FAST, SLOW, SIGNAL), CLOSE, "price", "ema(signal) of macd(fast, slow)", _signal_lookback
    ),
    IndicatorDef(
        "macd_hist", (FAST, SLOW, SIGNAL), CLOSE, "price", "macd less macd_signal, same parameters", _signal_lookback
    ),
    IndicatorDef(
        "adx",
        (_period(14, low=2),),
        HLC,
        "percent",
        "wilder(n) of 100 * |di_plus - di_minus| / (di_plus + di_minus), which is 0 when both are 0; "
        "its first value is the mean of those of bars n to 2n-1",
        _adx_lookback,
        HUNDRED,
    ),
    IndicatorDef(
        "di_plus",
        (_period(14, low=2),),
        HLC,
        "percent",
        "100 * P / T; P and T are sums of +DM and true range over bars 1 to n-1, from bar n on S - S/n + x; +DM is the "
        "rise of the high where it is positive and larger than the fall of the low, else 0; 0 when T is 0",
        _n,
        HUNDRED,
    ),
    IndicatorDef(
        "di_minus",
        (_period(14, low=2),),
        HLC,
        "percent",
        "as di_plus with -DM: the fall of the low where it is positive and larger than the rise of the high, else 0",
        _n,
        HUNDRED,
    ),
    IndicatorDef(
        "atr",
        (_period(14),),
        HLC,
        "price",
        "wilder(n) of the true range max(high - low, |high - close[1]|, |low - close[1]|), from bar 1 on",
        _n,
        (0.0, float("inf")),
    ),
    IndicatorDef(
        "bb_upper", (_period(20, low=2), _factor(2.0)), CLOSE, "price", "sma(n) + k * s, s as in zscore", _n_less_1
    ),
    IndicatorDef(
        "bb_lower", (_period(20, low=2), _factor(2.0)), CLOSE, "price", "sma(n) - k * s, s as in zscore", _n_less_1
    ),
    IndicatorDef("bb_mid", (_period(20, low=2),), CLOSE, "price", "sma(n)", _n_less_1),
    IndicatorDef("kc_upper", (_period(20), _factor(2.0)), HLC, "price", "ema(n) of the close + k * atr(n)", _n),
    IndicatorDef("kc_lower", (_period(20), _factor(2.0)), HLC, "price", "ema(n) of the close - k * atr(n)", _n),
    IndicatorDef(
        "donchian_high",
        (_period(20),),
        ("high",),
        "price",
        "highest high of the last n bars, this one included",
        _n_less_1,
    ),
    IndicatorDef(
        "donchian_low", (_period(20),), ("low",), "price", "lowest low of the last n bars, this one included", _n_less_1
    ),
    IndicatorDef(
        "stoch_k",
        (_period(14), SMOOTH),
        HLC,
        "percent",
        "mean over `smooth` bars of 100 * (close - L) / (H - L), H and L the highest high and lowest low of n bars; "
        "50 for a bar where H = L",
        _stoch_k_lookback,
        HUNDRED,
    ),
    IndicatorDef(
        "stoch_d", (_period(14), SMOOTH, D), HLC, "percent", "mean of stoch_k over d bars", _stoch_d_lookback, HUNDRED
    ),
    IndicatorDef(
        "cci",
        (_period(20, low=2),),
        HLC,
        "none",
        "(p - m) / (0.015 * a), p = (high + low + close) / 3, m its mean over n bars, a the mean of |p - m| over the "
        "same bars with this bar's m; 0 when a is 0",
        _n_less_1,
    ),
    IndicatorDef(
        "mfi",
        (_period(14),),
        HLCV,
        "percent",
        "100 * U / (U + D), sums over the last n changes of p * volume where p = (high + low + close) / 3 rose (U) or "
        "fell (D); 50 when both are 0",
        _n,
        HUNDRED,
    ),
    IndicatorDef(
        "obv",
        (),
        ("close", "volume"),
        "base",
        "running sum from the tape's first bar, whose volume it starts with: + volume when the close rose, - when it "
        "fell; only its changes mean something",
        _none,
    ),
    IndicatorDef(
        "vwap",
        (_period(24),),
        HLCV,
        "price",
        "sum of (high + low + close) / 3 * volume over the last n bars / sum of volume; no value when nothing traded",
        _n_less_1,
    ),
    IndicatorDef(
        "vwap_session",
        (),
        HLCV,
        "price",
        "sum of (high + low + close) / 3 * volume since 00:00 UTC / sum of volume; no value while nothing traded, and "
        "none on the day a tape begins inside of",
        _none,
    ),
    IndicatorDef("roc", (_period(12),), CLOSE, "percent", "100 * (close / close[n] - 1)", _n),
    IndicatorDef("mom", (_period(10),), CLOSE, "price", "close - close[n]", _n),
    IndicatorDef(
        "volatility",
        (_period(20, low=2),),
        CLOSE,
        "fraction",
        "standard deviation (divisor n - 1) of the last n log changes of the close, for one bar, not annualised",
        _n,
        (0.0, float("inf")),
    ),
    IndicatorDef(
        "zscore",
        (_period(20, low=2),),
        CLOSE,
        "none",
        "(close - sma(n)) / s, s the standard deviation (divisor n) of the last n closes; 0 when s is 0",
        _n_less_1,
    ),
    IndicatorDef(
        "volume_ratio",
        (_period(20),),
        ("volume",),
        "none",
        "volume / mean volume of the last n bars, this one included; no value when nothing traded",
        _n_less_1,
        (0.0, float(MAX_PERIOD)),
    ),
    IndicatorDef(
        "highest", (_period(20),), CLOSE, "price", "highest close of the last n bars, this one included", _n_less_1
    ),
    IndicatorDef(
        "lowest", (_period(20),), CLOSE, "price", "lowest close of the last n bars, this one included", _n_less_1
    ),
    IndicatorDef(
        "rank",
        (_period(100, low=2),),
        CLOSE,
        "fraction",
        "share of the last n closes, this one included, that are at most this close: 1 at a high, 1/n at a low",
        _n_less_1,
        (0.0, 1.0),
    ),
    IndicatorDef(
        "funding_mean",
        (_period(21),),
        ("funding",),
        "fraction",
        "mean of the last n settled rates, settled as in `funding`; no value before n of them are known",
        _none,
    ),
    IndicatorDef(
        "funding_apr",
        (),
        ("funding",),
        "fraction",
        "funding * 365 days / the time between its settlement and the one before; no value before two are known",
        _none,
    ),
    IndicatorDef(
        "basis_mean",
        (_period(24),),
        ("basis",),
        "fraction",
        "mean of the last n known values of basis; no value where basis has none",
        _n_less_1,
    ),
    IndicatorDef(
        "basis_zscore",
        (_period(48, low=2),),
        ("basis",),
        "none",
        "(basis - m) / s, m and s mean and standard deviation (divisor n) of the last n known values of basis; 0 when "
        "s is 0, no value where basis has none",
        _n_less_1,
    ),
)

INDICATORS: dict[str, IndicatorDef] = {indicator.name: indicator for indicator in _ALL}
"""By name, in the order the documentation lists them."""

"""A strategy that earns a known amount: its rules read volume alone, and the market is made to drift while it holds.

Volume does not change when prices do, so that the strategy is in the market on the same bars whatever is planted, and
planting needs no second look. An edge of this kind is fair to the gate: it is small beside the noise of every bar, and
is paid for with the costs of every trade.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray

from ai_brain.calibration.null_market import mirrored
from ai_brain.research_library import TIMEFRAME, perpetual
from trading.domain.errors import SpecError
from trading.domain.market import bars_per_year
from trading.market.tape import Tape, make_tape
from trading.simulator.costs import Costs, MarketRules
from trading.simulator.metrics import sharpe
from trading.simulator.simulate import rule_parameters, simulate
from trading.strategy.rules import reads_column
from trading.strategy.spec import (
    Origin,
    RiskParameters,
    RuleParameters,
    SpecMarket,
    StrategySpec,
    StrategyType,
    new_spec,
)

Floats = NDArray[np.float64]

PRICES = ("open", "high", "low", "close", "basis")
"""Columns that planting changes."""
LARGEST_DRIFT = 0.1
"""Of one bar, either way; beyond it a bar could lose its price."""
SHARPE_TOLERANCE = 0.005
"""Of a mean ratio; over many markets sizes on the lot make it jump by less."""
MOST_STEPS = 40
"""Of the search for a drift; three are usual."""
ONE_MARKET_JUMP = 0.1
"""Of the ratio on one market, where a lot more or less decides whether a trade is made; 0.05 was seen."""


def planted_spec(symbol: str, at_ms: int) -> StrategySpec:
    """Buys for a day when an hour trades 3.5 times the mean volume of a week.

    On null markets from BTCUSDT of 2021 to 2024 it trades 94 to 109 times a year and is in the market 26 to 30 % of the
    time. Its only way out is the time limit: a stop would read the price.

    Args:
        symbol: The venue's name: `BTCUSDT`.
        at_ms: When it is written down, UTC milliseconds.

    Raises:
        SpecError: the symbol's quote coin is not known.
    """
    return new_spec(
        name="Volume shock",
        type=StrategyType.MOMENTUM,
        market=SpecMarket(exchange="binance", symbol=perpetual(symbol), timeframe=TIMEFRAME),
        parameters=RuleParameters(
            entry_long=("volume_ratio(168) > 3.5",), risk=RiskParameters(position_pct=5.0, max_hold_bars=24)
        ),
        origin=Origin(author="calibration", thesis="None: what it earns is planted in the market."),
        at_ms=at_ms,
    )


def held_sides(market: Tape, spec: StrategySpec) -> Floats:
    """(n,) +1 on bars through which a rule strategy is long, -1 short, 0 flat.

    A position is entered at the open of its first bar and left at the open of the bar after its last one.

    Raises:
        SpecError: its rules or its exits read prices, so that positions would change with what is planted; or it does
            not fit the tape.
    """
    parameters = rule_parameters(spec)
    if parameters.risk.uses_atr or any(reads_column(c, price) for c in parameters.conditions for price in PRICES):
        raise SpecError(f"strategy {spec.id} reads prices: an edge is planted for rules of volume and funding alone")
    result = simulate(market, spec, costs=Costs(), rules=MarketRules())
    sides = np.zeros(len(market))
    for trade in result.trades:
        sides[trade["entry_bar"] : trade["exit_bar"]] = trade["side"]
    if result.open_trade is not None:
        sides[result.open_trade.entry_bar :] = result.open_trade.side
    return sides


def plant(market: Tape, spec: StrategySpec, *, drift: float) -> Tape:
    """The market, with a drift in the strategy's favour on every bar that it holds.

    Args:
        market: Usually a null market.
        spec: A rule strategy that does not read prices.
        drift: Added to (close - open) / open of each held bar, fraction; taken away where it is short. High and low
            go along and still embrace the open. 0: the same prices to the bit.

    Returns:
        Volume, times and settled rates as they were, later prices lifted along. Origin `synthetic`, marks not recorded,
        no spot beside it.

    Raises:
        SpecError: the strategy reads prices, or does not fit the tape.
        ValueError: a drift beyond 10 % a bar.
    """
    return _planted(market, held_sides(market, spec), drift)


def drift_for(
    markets: Sequence[Tape], spec: StrategySpec, *, sharpe_annual: float, costs: Costs, rules: MarketRules
) -> float:
    """The drift that gives the strategy an annual net Sharpe ratio, on average over null markets and their mirrors.

    Single markets scatter around it, over three years by 1 / sqrt(3) = 0.58; so would the drift by 0.58 / sqrt(k) of k
    markets. A market's mirror image is a null market on which the strategy holds the same bars and has the opposite
    luck, so with both the drift is that of all null markets, not of the few given.

    Args:
        markets: Null markets.
        spec: A rule strategy that does not read prices.
        sharpe_annual: Of its returns per bar, flat bars included, ddof 1. 0: it exactly earns its costs.
        costs: Charged.
        rules: The venue's.

    Returns:
        Per held bar, fraction: the mean ratio is within 0.005 of the one asked for.

    Raises:
        SpecError: the strategy reads prices, does not fit a tape, or is never in a market.
        ValueError: no markets, or no drift up to 10 % a bar gives that ratio.
    """
    if not markets:
        raise ValueError("drift for a Sharpe ratio: no markets; give at least one")
    sides = [held_sides(market, spec) for market in markets]
    if not all(one.any() for one in sides):
        raise SpecError(f"strategy {spec.id} is never in one of the markets: give longer ones")
    pairs = [(both, one) for market, one in zip(markets, sides, strict=True) for both in (market, mirrored(market))]

    def missing(drift: float) -> float:
        ratios = [_sharpe_annual(_planted(market, one, drift), spec, costs, rules) for market, one in pairs]
        return float(np.mean(ratios)) - sharpe_annual

    return _root(missing, scale=float(np.mean([_drift_of_one(market, one) for market, one in pairs])))


def drift_on(market: Tape, spec: StrategySpec, *, sharpe_annual: float, costs: Costs, rules: MarketRules) -> float:
    """The drift with which the strategy shows an annual net Sharpe ratio on this very market, luck included.

    Within 0.005 of it, or, where it jumps over it, on the nearer side, at most 0.1 from it.

    Raises:
        SpecError, ValueError: as `drift_for`.
    """
    sides = held_sides(market, spec)
    if not sides.any():
        raise SpecError(f"strategy {spec.id} is never in the market: give a longer one")

    def missing(drift: float) -> float:
        return _sharpe_annual(_planted(market, sides, drift), spec, costs, rules) - sharpe_annual

    return _root(missing, scale=_drift_of_one(market, sides), jump=ONE_MARKET_JUMP)


def _planted(market: Tape, sides: Floats, drift: float) -> Tape:
    if not abs(drift) <= LARGEST_DRIFT:
        raise ValueError(f"plant: drift={drift} a bar: give a fraction between -{LARGEST_DRIFT} and {LARGEST_DRIFT}")
    added = drift * sides * market.open
    lift = np.ones(len(market))  # of each open, by the drift of the bars before it
    np.cumprod(((market.close + added) / market.close)[:-1], out=lift[1:])
    opened = market.open * lift
    unknown = np.full(len(market.funding.rate), np.nan)
    return make_tape(
        replace(
            market,
            origin="synthetic",
            open=opened,
            high=np.maximum((market.high + added) * lift, opened),
            low=np.minimum((market.low + added) * lift, opened),
            close=(market.close + added) * lift,
            funding=replace(market.funding, mark_price=unknown),
            spot_close=np.empty(0),
        )
    )


def _sharpe_annual(market: Tape, spec: StrategySpec, costs: Costs, rules: MarketRules) -> float:
    returns = simulate(market, spec, costs=costs, rules=rules).returns
    return sharpe(returns, bars_per_year=bars_per_year(market.interval))


def _drift_of_one(market: Tape, sides: Floats) -> float:
    """About the drift that is worth an annual Sharpe ratio of one before costs: where to look first."""
    held = np.flatnonzero(sides)
    ways = market.close[held] / market.open[held] - 1.0
    share = len(held) / len(market)
    return float(np.sqrt((ways @ ways) / len(ways) / share / bars_per_year(market.interval)))


def _root(missing: Callable[[float], float], *, scale: float, jump: float = SHARPE_TOLERANCE) -> float:
    """Where a nearly straight, rising function is zero: secants, the first with a slope of 1 / scale.

    Lots make it jump, and a secant over a jump may point anywhere: one that leaves the bracket is halved. Where it
    jumps over zero, by `jump` at most, the nearer side is taken.
    """
    before, at_before = 0.0, missing(0.0)
    drift, below, above = -at_before * scale, -inf, inf
    tried = {before: at_before}
    for _ in range(MOST_STEPS):
        if abs(at_before) <= SHARPE_TOLERANCE:
            break
        below, above = (max(below, before), above) if at_before < 0.0 else (below, min(above, before))
        if not below < drift < above and isfinite(above - below):
            drift = (below + above) / 2.0
        off = tried[drift] = missing(drift)
        step = -off * (drift - before) / (off - at_before) if off != at_before else 0.0
        before, at_before = drift, off
        drift += step
    nearest = min(tried, key=lambda each: abs(tried[each]))
    if abs(tried[nearest]) > jump:
        raise ValueError(
            f"drift for a Sharpe ratio: {tried[nearest]} off at a drift of {nearest}; ask for a smaller ratio"
        )
    return nearest

"""What a fill costs, and the venue's rules that size it. Rates are fractions of notional."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isclose, isfinite
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trading.domain.errors import SettingsError
from trading.domain.instrument import Bracket, Instrument, coarser_lot
from trading.simulator.carry_weights import CarryWeights, round_trip_rate

FITTED_K = 0.6
FITTED_K_SOURCE = (
    "square-root law, k = 0.6: the larger of the fits to 346 spot and 335 perpetual books of BTCUSDT on 2024-08-08, "
    "23:54 to 24:00 UTC (0.37 and 0.56, 95 % up to 0.60), rounded up; benchmarks/impact.py, docs/costs.md"
)

DEFAULT_WEIGHTS = CarryWeights()

SMALLEST_STEP, LARGEST_STEP = 1e-12, 1e9
"""Of a tick or a lot."""


class CostRates(NamedTuple):
    """`Costs` as the kernels take them."""

    taker: float
    maker: float
    half_spread: float
    impact_k: float


MOST_BRACKETS = 32
"""Of a margin table; Binance's have 12 at most."""

MARGIN = np.dtype(
    [("count", np.int64), ("rates", np.float64, (MOST_BRACKETS,)), ("amounts", np.float64, (MOST_BRACKETS,))],
    align=True,
)
"""`MarginRow` as a record."""


class MarginRow:
    """A market's margin table as the kernels take it; one for all strategies of the market.

    A position of notional N must keep `rates[i] * N - amounts[i]`, i the bracket that N falls into.
    """

    count: int
    """Of brackets; what lies behind is nothing."""
    rates: NDArray[np.float64]
    amounts: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Costs:
    """Fees and slippage of one market.

    Slippage of a market order is `half_spread_rate + impact_k * sigma * sqrt(notional / quote volume)`, sigma and the
    quote volume those of the bar before; k is fitted to recorded books, see docs/costs.md for what that is worth.

    Raises:
        SettingsError: a rate is negative, not finite, or 1 and more.

    Source:
        Tóth et al. (2011), Physical Review X 1, 021006.
    """

    taker_rate: float = 0.001
    """Market orders, stops and liquidations; Binance spot's base tier."""
    maker_rate: float = 0.001
    """Resting take-profits."""
    half_spread_rate: float = 0.00005
    """Half of (ask - bid) / mid, paid by every market order."""
    impact_k: float = FITTED_K
    """The k of the square-root law, no unit; the literature's is near 1."""

    def __post_init__(self) -> None:
        for name in ("taker_rate", "maker_rate", "half_spread_rate"):
            value = getattr(self, name)
            if not (isfinite(value) and 0.0 <= value < 1.0):
                raise SettingsError(f"costs: {name}={value}: not a fraction from 0 to below 1; 0.001 is 0.1 %")
        if not (isfinite(self.impact_k) and 0.0 <= self.impact_k <= 100.0):
            raise SettingsError(f"costs: impact_k={self.impact_k}: outside 0..100; the square-root law's k is near 1")

    def doubled(self) -> Costs:
        """Everything twice, for the question whether an edge lives on cheap fills."""
        return Costs(2 * self.taker_rate, 2 * self.maker_rate, 2 * self.half_spread_rate, 2 * self.impact_k)

    def slipping(self, ratio: float) -> Costs:
        """The same fees with so many times the slippage; 1: the same costs."""
        return replace(self, half_spread_rate=ratio * self.half_spread_rate, impact_k=ratio * self.impact_k)

    @property
    def impact_source(self) -> str:
        """Where k comes from, for whoever reads a result."""
        return FITTED_K_SOURCE if self.impact_k == FITTED_K else f"square-root law, k = {self.impact_k:g}: as given"

    def rates(self) -> CostRates:
        """The four numbers, for a kernel."""
        return CostRates(
            float(self.taker_rate), float(self.maker_rate), float(self.half_spread_rate), float(self.impact_k)
        )


@dataclass(frozen=True, slots=True)
class CarryCosts:
    """Each leg of a carry pays its own; and how its decision weighs them."""

    spot: Costs = Costs()
    perp: Costs = Costs(taker_rate=0.0005, maker_rate=0.0002)
    """USD-M base tier."""
    weights: CarryWeights = DEFAULT_WEIGHTS

    def doubled(self) -> CarryCosts:
        """Everything twice, on both legs; the decision knows of it."""
        return replace(self, spot=self.spot.doubled(), perp=self.perp.doubled())

    @property
    def round_trip_rate(self) -> float:
        """What an entry must earn back, fraction of one leg's notional."""
        spreads = (2.0 * self.spot.half_spread_rate, 2.0 * self.perp.half_spread_rate)
        fees = (self.spot.taker_rate, self.perp.taker_rate)
        return float(round_trip_rate(*(float(rate) for rate in (*fees, *spreads, self.weights.impact_rate))))


@dataclass(frozen=True, slots=True)
class MarketRules:
    """What the venue asks of a price, a size and a margin.

    Raises:
        SettingsError: a step is not positive, or a rate is no fraction.
    """

    tick: float = 0.01
    """Smallest price step, quote per base."""
    lot: float = 0.00001
    """Smallest quantity step, base."""
    min_notional: float = 5.0
    """Smallest order, quote."""
    maintenance_rate: float = 0.004
    """Maintenance margin as a fraction of notional where `brackets` is empty; perpetuals only."""
    liquidation_fee_rate: float = 0.0125
    """Charged on the notional of a liquidation; perpetuals only."""
    brackets: tuple[Bracket, ...] = ()
    """The contract's margin table, ascending; empty: not known, `maintenance_rate` holds for every size."""

    def __post_init__(self) -> None:
        for name in ("tick", "lot"):
            value = getattr(self, name)
            if not SMALLEST_STEP <= value <= LARGEST_STEP:
                raise SettingsError(
                    f"market rules: {name}={value}: must be above 0, {SMALLEST_STEP:g} to {LARGEST_STEP:g}; "
                    "read it from the venue's filters"
                )
        for name in ("min_notional", "maintenance_rate", "liquidation_fee_rate"):
            value = getattr(self, name)
            if not (isfinite(value) and value >= 0.0):
                raise SettingsError(f"market rules: {name}={value}: must be 0 or more")
        for name in ("maintenance_rate", "liquidation_fee_rate"):
            if getattr(self, name) >= 1.0:
                raise SettingsError(f"market rules: {name}={getattr(self, name)}: a fraction of notional, below 1")
        _check_brackets(self.brackets)

    def margin(self) -> NDArray[np.void]:
        """(1,) of MARGIN: the margin table, for a kernel."""
        steps = [(b.maintenance_rate, b.maintenance_amount_quote) for b in self.brackets]
        steps = steps or [(self.maintenance_rate, 0.0)]
        table = np.zeros(1, dtype=MARGIN)
        table["count"] = len(steps)
        table["rates"][0, : len(steps)] = [rate for rate, _ in steps]
        table["amounts"][0, : len(steps)] = [amount for _, amount in steps]
        table.flags.writeable = False
        return table


def _check_brackets(brackets: tuple[Bracket, ...]) -> None:
    """Refuse a table whose margin jumps or whose rates fall: the kernel reads it as the largest of its lines.

    Raises:
        SettingsError: names the bracket and the value.
    """
    if len(brackets) > MOST_BRACKETS:
        raise SettingsError(f"market rules: {len(brackets)} brackets, {MOST_BRACKETS} are known to do; fetch the table")
    floor, rate, amount = 0.0, 0.0, 0.0
    for i, bracket in enumerate(brackets):
        where = f"market rules: brackets[{i}]"
        if not rate < bracket.maintenance_rate < 1.0:
            raise SettingsError(
                f"{where}: maintenance_rate={bracket.maintenance_rate}: not above {rate} and below 1; fetch the table"
            )
        if bracket.notional_from_quote != floor or not bracket.notional_to_quote > floor:
            raise SettingsError(
                f"{where}: from {bracket.notional_from_quote} to {bracket.notional_to_quote}: does not go on from "
                f"{floor}; fetch the table"
            )
        amount += floor * (bracket.maintenance_rate - rate)
        if not isclose(bracket.maintenance_amount_quote, amount, rel_tol=1e-6, abs_tol=0.01):
            raise SettingsError(
                f"{where}: maintenance_amount_quote={bracket.maintenance_amount_quote}: the margin would jump at "
                f"{floor}, {amount:g} keeps it continuous; fetch the table"
            )
        floor, rate = bracket.notional_to_quote, bracket.maintenance_rate


def continuous_brackets(steps: tuple[tuple[float, float], ...]) -> tuple[Bracket, ...]:
    """A margin table from its caps and rates alone: the amounts are those that let the margin not jump.

    Args:
        steps: (notional at which the bracket ends, maintenance rate), ascending.
    """
    table, floor, rate, amount = list[Bracket](), 0.0, 0.0, 0.0
    for cap, step_rate in steps:
        amount += floor * (step_rate - rate)
        table.append(Bracket(floor, cap, step_rate, round(amount, 8), 0.0))
        floor, rate = cap, step_rate
    return tuple(table)


def market_rules(instrument: Instrument) -> MarketRules:
    """An instrument's filters as float64, and its margin table; 0.4 % of every notional where it has none."""
    return MarketRules(
        tick=float(instrument.tick),
        lot=float(instrument.lot),
        min_notional=float(instrument.min_notional),
        brackets=instrument.brackets,
    )


def carry_rules(spot: Instrument, perp: Instrument) -> MarketRules:
    """Rules that both legs obey: the coarser lot, the larger minimum, the perpetual's margin."""
    return MarketRules(
        tick=max(float(spot.tick), float(perp.tick)),
        lot=float(coarser_lot(spot, perp)),
        min_notional=max(float(spot.min_notional), float(perp.min_notional)),
        brackets=perp.brackets,
    )

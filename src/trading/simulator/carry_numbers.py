"""What a carry is checked for and turned into before its kernel runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trading.domain.errors import SpecError
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS
from trading.market.tape import Tape
from trading.simulator.carry_outlook import CarryTerms
from trading.simulator.carry_records import CARRY_STATE, CarryNumbers
from trading.simulator.carry_weights import CarryWeights
from trading.simulator.costs import CarryCosts, MarketRules
from trading.simulator.simulate import check_quote
from trading.strategy.spec import CarryParameters, StrategySpec

CARRY_RULES = MarketRules(tick=0.1, lot=0.001, min_notional=100.0)
"""BTCUSDT's coarser lot and larger minimum; `costs.carry_rules` reads others from two instruments."""


def carry_terms(parameters: CarryParameters, weights: CarryWeights) -> CarryTerms:
    """A strategy's thresholds and its lab's weights, of the types that the kernels are compiled for."""
    return CarryTerms(
        entry_apr=float(parameters.entry_apr_fraction),
        exit_apr=float(parameters.exit_apr_fraction),
        max_basis_rate=float(parameters.max_basis_rate),
        min_hold_fundings=int(parameters.min_hold_fundings),
        weights=weights,
    )


def carry_numbers(
    spec: StrategySpec, rules: MarketRules, costs: CarryCosts, *, entry_delay_bars: int = 0
) -> CarryNumbers:
    """A carry's and its markets' numbers as the kernel takes them.

    Raises:
        SpecError: the spec is no carry; a negative delay.
    """
    if not isinstance(spec.parameters, CarryParameters):
        raise SpecError(f"strategy {spec.id} is a {spec.type}, not a funding_carry: use simulate")
    if entry_delay_bars < 0:
        raise SpecError(f"strategy {spec.id}: entry_delay_bars={entry_delay_bars}: must be 0 or more")
    return CarryNumbers(
        terms=carry_terms(spec.parameters, costs.weights),
        round_trip_rate=costs.round_trip_rate,
        capital_fraction=float(spec.parameters.capital_fraction),
        leverage=float(spec.parameters.leverage),
        entry_delay_bars=int(entry_delay_bars),
        lots_per_base=1.0 / rules.lot,
        min_notional=float(rules.min_notional),
        liquidation_fee_rate=float(rules.liquidation_fee_rate),
        interval_ms=INTERVAL_MS[spec.market.timeframe],
    )


def check_legs(spot: Tape, perp: Tape, spec: StrategySpec) -> None:
    """Refuse tapes that are not the two legs of a carry.

    Raises:
        SpecError: market, symbol or interval differ.
    """
    for tape, market in ((spot, Market.SPOT), (perp, Market.PERP)):
        wanted = (market, spec.market.native_symbol, spec.market.timeframe)
        given = (tape.market, tape.symbol, tape.interval)
        if wanted != given:
            raise SpecError(
                f"strategy {spec.id}: its {market} leg is {' '.join(wanted)}, the tape is {' '.join(given)}: "
                "load the leg's market"
            )


def new_carry_state(starting_quote: float) -> NDArray[np.void]:
    """A carry before its first bar.

    Raises:
        SpecError: the starting quote is not a positive number.
    """
    check_quote(starting_quote)
    state = np.zeros(1, dtype=CARRY_STATE)
    for name in ("cash", "equity", "peak"):
        state[name] = starting_quote
    return state

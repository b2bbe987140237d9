"""What a carry is checked for and turned into before its kernel runs; and the kernel's decision, for anyone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trading.domain.errors import SpecError
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS
from trading.market.tape import Tape
from trading.simulator.carry_kernel import carry_decision
from trading.simulator.carry_records import CARRY_STATE, CarryNumbers
from trading.simulator.costs import MarketRules
from trading.simulator.simulate import check_quote
from trading.strategy.spec import CarryParameters, StrategySpec

CARRY_RULES = MarketRules(tick=0.1, lot=0.001, min_notional=100.0)
"""BTCUSDT's coarser lot and larger minimum; `costs.carry_rules` reads others from two instruments."""


def decide_carry(
    parameters: CarryParameters, *, is_open: bool, expected_apr: float, basis_rate: float, settlements_held: int
) -> int:
    """The simulator's decision for anyone: +1 enter, -1 leave, 0 hold or stay out.

    Args:
        parameters: Of the strategy.
        is_open: Both legs are on.
        expected_apr: Funding a year, fraction of notional; nan: not known, then nothing is done.
        basis_rate: perpetual / spot - 1.
        settlements_held: Since the entry.
    """
    numbers = _numbers(parameters, CARRY_RULES, interval_ms=0, entry_delay_bars=0)
    return int(carry_decision(is_open, float(expected_apr), float(basis_rate), int(settlements_held), numbers))


def carry_numbers(spec: StrategySpec, rules: MarketRules, *, entry_delay_bars: int = 0) -> CarryNumbers:
    """A carry's and its markets' numbers as the kernel takes them.

    Raises:
        SpecError: the spec is no carry; a negative delay.
    """
    if not isinstance(spec.parameters, CarryParameters):
        raise SpecError(f"strategy {spec.id} is a {spec.type}, not a funding_carry: use simulate")
    if entry_delay_bars < 0:
        raise SpecError(f"strategy {spec.id}: entry_delay_bars={entry_delay_bars}: must be 0 or more")
    interval_ms = INTERVAL_MS[spec.market.timeframe]
    return _numbers(spec.parameters, rules, interval_ms=interval_ms, entry_delay_bars=entry_delay_bars)


def _numbers(
    parameters: CarryParameters, rules: MarketRules, *, interval_ms: int, entry_delay_bars: int
) -> CarryNumbers:
    return CarryNumbers(
        entry_apr=float(parameters.entry_apr_fraction),
        exit_apr=float(parameters.exit_apr_fraction),
        max_basis_rate=float(parameters.max_basis_rate),
        min_hold_fundings=int(parameters.min_hold_fundings),
        capital_fraction=float(parameters.capital_fraction),
        leverage=float(parameters.leverage),
        entry_delay_bars=int(entry_delay_bars),
        lots_per_base=1.0 / rules.lot,
        min_notional=float(rules.min_notional),
        liquidation_fee_rate=float(rules.liquidation_fee_rate),
        interval_ms=interval_ms,
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

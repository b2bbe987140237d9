"""Under which filters, margins and fees of liquidation a backtest runs: as of its first bar, and from which snapshot.

The whole test runs under one set. The simplest honest one is what was known at the first bar; where the snapshots do
not reach back so far, the earliest that is known; where there are none, the table of `known_rules.py`. Each is said,
and so is every change that falls into the stretch, for an order that was allowed at its beginning may not have been at
its end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from ops.universe.known_rules import known_rules, rules_for
from trading.domain.clock import DAY_MS, iso
from trading.domain.instrument import Bracket, Market
from trading.market.listing import Listing, plain
from trading.market.universe import Known, Sourced, Universe
from trading.simulator.costs import MarketRules
from trading.strategy.spec import CarryParameters, StrategySpec


@dataclass(frozen=True, slots=True)
class RulesAsOf:
    """The rules of a backtest, and where they come from, a line each."""

    rules: MarketRules
    told: tuple[str, ...]


def rules_as_of(universe: Universe, spec: StrategySpec, start_ms: int, end_ms: int) -> RulesAsOf:
    """The rules of a spec's market over [start, end), as of its start.

    A carry obeys both markets: the coarser steps, the larger minimum, the perpetual's margin.

    Raises:
        SettingsError: a recorded margin table is none; names the step.
    """
    symbol = spec.market.native_symbol
    is_carry = isinstance(spec.parameters, CarryParameters)
    markets = (Market.SPOT, Market.PERP) if is_carry else (spec.market.market,)
    if all(universe.earliest_ms(market) is None for market in markets):
        built_in = "filters: of the built-in table of 2024, no snapshot is recorded (./lab universe record)"
        return RulesAsOf(rules_for(spec), (built_in,))
    found = [_of_market(universe, market, symbol, start_ms) for market in markets]
    told = [line for one in found for line in one.told]
    told += [
        f"{market} {symbol}: {change.value}, known from {iso(change.taken_ms)} on, inside the test: not applied, the "
        "whole test runs under the rules of its start"
        for market in markets
        for change in universe.changes(market, symbol, start_ms, end_ms)
    ]
    if not is_carry:
        return RulesAsOf(found[0].rules, tuple(told))
    spot, perp = (one.rules for one in found)
    both = replace(
        perp,
        tick=max(spot.tick, perp.tick),
        lot=max(spot.lot, perp.lot),
        min_notional=max(spot.min_notional, perp.min_notional),
    )
    return RulesAsOf(both, tuple(told))


def _of_market(universe: Universe, market: Market, symbol: str, at_ms: int) -> RulesAsOf:
    known, rules = universe.of(market, symbol, at_ms), known_rules(market, symbol)
    listing = known.listing or known.earliest
    if listing is None:
        built_in = f"{market} {symbol} filters: in no snapshot, of the built-in table of 2024"
        return RulesAsOf(rules, (built_in,))
    value = listing.value
    rules = replace(
        rules,
        tick=_number(value.tick, rules.tick),
        lot=_number(value.lot, rules.lot),
        min_notional=_number(value.min_notional, rules.min_notional),
        liquidation_fee_rate=_number(value.liquidation_fee_rate, rules.liquidation_fee_rate),
    )
    told = [f"{market} {symbol} filters: {_filters(value)}; {_from(listing, at_ms)}"]
    if market is Market.PERP:
        rules, margins = _with_brackets(rules, known)
        told.append(f"{market} {symbol} margin table: {margins}")
    return RulesAsOf(rules, tuple(told))


def _with_brackets(rules: MarketRules, known: Known) -> tuple[MarketRules, str]:
    table = known.brackets or known.earliest_brackets
    if table is None:
        where = "of the built-in table" if rules.brackets else f"none, {rules.maintenance_rate:.1%} of every notional"
        return rules, f"{where}; no snapshot has one"
    return replace(rules, brackets=table.value), f"{len(table.value)} steps; {_from(table, known.at_ms)}"


def _filters(listing: Listing) -> str:
    named = {"tick": listing.tick, "lot": listing.lot, "minimum notional": listing.min_notional}
    return ", ".join(f"{name} {plain(value)}" for name, value in named.items())


def _from(value: Sourced[Listing] | Sourced[tuple[Bracket, ...]], at_ms: int) -> str:
    """Which snapshot, and how it lies to the first bar."""
    days = abs(value.age_ms(at_ms)) / DAY_MS
    if value.age_ms(at_ms) >= 0:
        return f"snapshot of {iso(value.taken_ms)} ({value.source}), {days:.0f} days old at the first bar"
    return (
        f"not known at the first bar; the earliest known is the snapshot of {iso(value.taken_ms)} ({value.source}), "
        f"{days:.0f} days after it"
    )


def _number(told: Decimal | None, otherwise: float) -> float:
    return otherwise if told is None else float(told)

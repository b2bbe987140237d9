"""The venue's steps and minimums where no venue is asked: a backtest from the command line works offline.

The service takes them from the exchange itself. These are Binance's filters of 2024 for five pairs, and cautious ones
for every other.
"""

from __future__ import annotations

from ops.universe.known_brackets import known_brackets
from trading.domain.instrument import Market
from trading.simulator.costs import MarketRules
from trading.strategy.spec import CarryParameters, StrategySpec

# tick, lot, minimum notional
_KNOWN: dict[tuple[Market, str], tuple[float, float, float]] = {
    (Market.SPOT, "BTCUSDT"): (0.01, 0.00001, 5.0),
    (Market.PERP, "BTCUSDT"): (0.1, 0.001, 100.0),
    (Market.SPOT, "ETHUSDT"): (0.01, 0.0001, 5.0),
    (Market.PERP, "ETHUSDT"): (0.01, 0.001, 20.0),
    (Market.SPOT, "SOLUSDT"): (0.01, 0.001, 5.0),
    (Market.PERP, "SOLUSDT"): (0.001, 1.0, 5.0),
    (Market.SPOT, "BNBUSDT"): (0.1, 0.001, 5.0),
    (Market.PERP, "BNBUSDT"): (0.01, 0.01, 5.0),
    (Market.SPOT, "XRPUSDT"): (0.0001, 1.0, 5.0),
    (Market.PERP, "XRPUSDT"): (0.0001, 0.1, 5.0),
}
_ANY_OTHER = (0.0001, 0.1, 5.0)


def known_rules(market: Market, symbol: str) -> MarketRules:
    """Steps and minimums of one market, and the margin table of a perpetual."""
    tick, lot, min_notional = _KNOWN.get((market, symbol), _ANY_OTHER)
    brackets = known_brackets(symbol) if market is Market.PERP else ()
    return MarketRules(tick=tick, lot=lot, min_notional=min_notional, brackets=brackets)


def rules_for(spec: StrategySpec) -> MarketRules:
    """Of the spec's own market; for a carry those that both legs obey: the coarser step, the larger minimum."""
    symbol = spec.market.native_symbol
    if not isinstance(spec.parameters, CarryParameters):
        return known_rules(spec.market.market, symbol)
    spot, perp = known_rules(Market.SPOT, symbol), known_rules(Market.PERP, symbol)
    return MarketRules(
        tick=max(spot.tick, perp.tick),
        lot=max(spot.lot, perp.lot),
        min_notional=max(spot.min_notional, perp.min_notional),
        brackets=perp.brackets,
    )

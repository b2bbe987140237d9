"""What a strategy does, bar for bar, on a market made up for the purpose: ideas in other words do the same there.

No performance is computed: only where positions begin and end counts, so the look costs no trial.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

import numpy as np

from trading.domain.instrument import Market
from trading.market.beside import beside_spot
from trading.market.synthetic import Plan, SyntheticMarket, synthetic_market
from trading.simulator.costs import Costs, MarketRules
from trading.simulator.simulate import simulate
from trading.strategy.spec import RuleParameters, StrategySpec

PROBE_BARS, PROBE_SEED = 4_000, 20_240_101
MIN_TRADES = 20
"""Fewer say little about what a strategy does: two that hardly act are not the same for that."""


def fingerprint(spec: StrategySpec) -> str | None:
    """Hash of a rule strategy's positions on the probe market of its symbol and interval, hex.

    Sizes are left out: the same trades in another size are the same idea. Strategies of other symbols or intervals have
    other fingerprints, whatever they do.

    Returns:
        None: a carry, or fewer than `MIN_TRADES` closed trades on the probe.
    """
    if not isinstance(spec.parameters, RuleParameters):
        return None
    made = _probe(spec.market.native_symbol, spec.market.timeframe)
    tape = made.spot if spec.market.market is Market.SPOT else made.perp
    trades = simulate(
        beside_spot(tape, made.spot) if spec.reads_basis else tape, spec, costs=Costs(), rules=MarketRules()
    ).trades
    if len(trades) < MIN_TRADES:
        return None
    positions = np.column_stack([trades[name].astype(np.int64) for name in ("entry_bar", "exit_bar", "side")])
    market = f"{spec.market.symbol} {spec.market.timeframe} ".encode()
    return sha256(market + np.ascontiguousarray(positions, dtype="<i8").tobytes()).hexdigest()


@lru_cache(maxsize=8)
def _probe(symbol: str, interval: str) -> SyntheticMarket:
    return synthetic_market(Plan(symbol=symbol, interval=interval, bars=PROBE_BARS, seed=PROBE_SEED))

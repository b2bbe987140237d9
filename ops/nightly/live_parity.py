"""Closed live carries against what their backtest makes of the same hours: what the two differ by, and why.

The model starts flat one bar before a position was opened, with the account's own fees, and scales to the position's
capital. It decides at the close of bars; the desk every minute: that difference is `time`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ai_brain.paper.account import PaperTrade
from ai_brain.paper.attribution import Differences, attribute
from ai_brain.paper.market_view import PaperTapes
from ops.trace.live_records import Holdings
from trading.domain.clock import iso
from trading.domain.market import INTERVAL_MS
from trading.funding.position import ClosedPosition
from trading.simulator.costs import CarryCosts, MarketRules
from trading.simulator.replay import replay_carry
from trading.strategy.spec import CarryParameters, StrategySpec

MODEL_QUOTE = 1_000_000.0
"""What the model starts with: so much that no lot or smallest order shapes the trade."""


@dataclass(frozen=True, slots=True)
class LiveParity:
    """One closed position against its model."""

    position: ClosedPosition
    model: PaperTrade | None
    """At the position's capital; None: the backtest opens none then, or would still hold it."""
    differences: Differences
    """Live less model, quote."""

    def __str__(self) -> str:
        held, model = self.position, self.model
        line = f"live {held.id} {iso(held.opened_ms)} to {iso(held.closed_ms)}: {float(held.profit_quote):+.4f} USDT"
        if model is None:
            return f"{line}; its backtest closed no such position"
        line += f"; its backtest {iso(model.entry_ms)} to {iso(model.exit_ms)}: {model.pnl_quote:+.4f} USDT"
        bps = self.differences.total / float(held.capital_quote or 1) * 10_000
        return f"{line}. They differ by {self.differences}; {bps:+.1f} bps of its capital"


def live_against_model(
    spec: StrategySpec, held: Holdings, tapes: PaperTapes, costs: CarryCosts, rules: MarketRules, *, start_ms: int
) -> list[LiveParity]:
    """Hold every live position of a carry that was closed between a moment and the tapes' end against its model.

    Args:
        spec: A carry; of another strategy there is nothing.
        held: What is and was held.
        tapes: Both legs, from before the positions on; their end is the end of the stretch.
        costs: The account's.
        rules: The venue's, of both legs.
        start_ms: UTC ms.
    """
    if not isinstance(spec.parameters, CarryParameters) or tapes.spot is None:
        return []
    closed = [one for one in held.closed if one.spec_id == spec.id and start_ms <= one.closed_ms < tapes.main.end_ms]
    return [_against(spec, one, tapes, costs, rules) for one in closed if one.capital_quote]


def _against(
    spec: StrategySpec, held: ClosedPosition, tapes: PaperTapes, costs: CarryCosts, rules: MarketRules
) -> LiveParity:
    live, model = _as_trade(held, INTERVAL_MS[spec.market.timeframe]), _model(spec, held, tapes, costs, rules)
    return LiveParity(held, model, attribute([live], [model] if model is not None else []))


def _model(
    spec: StrategySpec, held: ClosedPosition, tapes: PaperTapes, costs: CarryCosts, rules: MarketRules
) -> PaperTrade | None:
    """The backtest's trade of the same time."""
    interval_ms = INTERVAL_MS[spec.market.timeframe]
    from_ms = held.opened_ms // interval_ms * interval_ms - interval_ms
    if tapes.spot is None or max(tapes.main.start_ms, tapes.spot.start_ms) > from_ms:
        return None
    again = replay_carry(
        tapes.spot, tapes.main, spec, from_ms=from_ms, costs=costs, rules=rules, starting_quote=MODEL_QUOTE
    )
    for row in again.trades:
        entry_ms, exit_ms = (int(again.open_time_ms[row[name]]) for name in ("entry_bar", "exit_bar"))
        if entry_ms <= held.closed_ms and held.opened_ms <= exit_ms + interval_ms:
            return _scaled(row, entry_ms, exit_ms, float(held.capital_quote or 0))
    return None


def _scaled(row: np.void, entry_ms: int, exit_ms: int, capital_quote: float) -> PaperTrade:
    scale = capital_quote / float(row["quantity"] * row["spot_entry_price"])
    return PaperTrade(
        entry_ms=entry_ms,
        exit_ms=exit_ms,
        side=0,
        quantity_base=float(row["quantity"]) * scale,
        entry_price=float(row["spot_entry_price"]),
        exit_price=float(row["spot_exit_price"]),
        perp_entry_price=float(row["perp_entry_price"]),
        perp_exit_price=float(row["perp_exit_price"]),
        fees_quote=float(row["fees"]) * scale,
        funding_quote=float(row["funding"]) * scale,
        pnl_quote=float(row["pnl"]) * scale,
        reason="backtest",
    )


def _as_trade(held: ClosedPosition, interval_ms: int) -> PaperTrade:
    """A closed position at the bars it was opened and closed in; its books keep no prices of single fills."""
    return PaperTrade(
        entry_ms=held.opened_ms // interval_ms * interval_ms,
        exit_ms=held.closed_ms // interval_ms * interval_ms,
        side=0,
        quantity_base=0.0,
        entry_price=0.0,
        exit_price=0.0,
        fees_quote=float(held.fees_quote),
        funding_quote=float(held.funding_quote),
        pnl_quote=float(held.profit_quote),
        reason=held.reason,
    )

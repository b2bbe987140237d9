"""Closed live carries against what their backtest makes of the same hours: what the two differ by, and why.

The model starts flat one bar before a position was opened, with the account's own fees, and scales to the position's
capital. It decides at the close of bars; the desk every minute: that difference is `time`. A model that has not left
when its position is closed is marked where it stands, and compared again once it has left.
"""

from __future__ import annotations

from dataclasses import dataclass

from ai_brain.paper.account import PaperTrade
from ai_brain.paper.attribution import Differences, between
from ai_brain.paper.closed_trades import trades_of
from ai_brain.paper.market_view import PaperTapes
from ai_brain.paper.still_held import HELD, held_in_replay
from ops.trace.live_records import Holdings
from trading.domain.clock import iso
from trading.domain.market import INTERVAL_MS
from trading.funding.position import ClosedPosition
from trading.simulator.costs import CarryCosts, MarketRules
from trading.simulator.replay import replay_carry
from trading.strategy.spec import CarryParameters, StrategySpec

MODEL_QUOTE = 1_000_000.0
"""What the model starts with: so much that no lot or smallest order shapes the trade."""


LONGEST_WAIT_MS = 7 * 86_400_000
"""For a model to leave, after its position was closed; then it is marked for the last time."""


@dataclass(frozen=True, slots=True)
class LiveParity:
    """One closed position against its model."""

    position: ClosedPosition
    model: PaperTrade | None
    """At the position's capital; None: the backtest opens none then."""
    differences: Differences
    """Live less model, quote."""
    still_holds: bool = False
    """The model has not left; its result is marked at the last close."""

    def __str__(self) -> str:
        held, model = self.position, self.model
        line = f"live {held.id} {iso(held.opened_ms)} to {iso(held.closed_ms)}: {float(held.profit_quote):+.4f} USDT"
        if model is None:
            return f"{line}; its backtest opened no such position"
        until = "still holds it, marked" if self.still_holds else "to"
        line += f"; its backtest {iso(model.entry_ms)} {until} {iso(model.exit_ms)}: {model.pnl_quote:+.4f} USDT"
        bps = self.differences.total / float(held.capital_quote or 1) * 10_000
        return f"{line}. They differ by {self.differences}; {bps:+.1f} bps of its capital"


def live_against_model(
    spec: StrategySpec, held: Holdings, tapes: PaperTapes, costs: CarryCosts, rules: MarketRules, *, start_ms: int
) -> list[LiveParity]:
    """Hold every live position of a carry that was closed between a moment and the tapes' end against its model.

    One whose model left in that time, or has not left `LONGEST_WAIT_MS` after it was closed, is told of once more.

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
    found = []
    for one in held.closed:
        if one.spec_id != spec.id or not one.capital_quote:
            continue
        if one.closed_ms < tapes.main.end_ms and one.closed_ms + LONGEST_WAIT_MS >= start_ms:
            over_ms, compared = _against(spec, one, tapes, costs, rules)
            is_due = any(start_ms <= at_ms < tapes.main.end_ms for at_ms in (one.closed_ms, over_ms))
            found += [compared] if is_due else []
    return found


def _against(
    spec: StrategySpec, held: ClosedPosition, tapes: PaperTapes, costs: CarryCosts, rules: MarketRules
) -> tuple[int, LiveParity]:
    """When a closed position's comparison is over, and what it is as far as the tapes go."""
    live, model = _as_trade(held, INTERVAL_MS[spec.market.timeframe]), _model(spec, held, tapes, costs, rules)
    if model is None:
        return held.closed_ms, LiveParity(held, None, Differences(signal=live.pnl_quote))
    still_holds, latest_ms = model.reason == HELD, held.closed_ms + LONGEST_WAIT_MS
    over_ms = latest_ms if still_holds else min(max(held.closed_ms, model.exit_ms), latest_ms)
    return over_ms, LiveParity(held, model, between(live, model), still_holds)


def _model(
    spec: StrategySpec, held: ClosedPosition, tapes: PaperTapes, costs: CarryCosts, rules: MarketRules
) -> PaperTrade | None:
    """The backtest's trade that was open longest while the position was."""
    interval_ms = INTERVAL_MS[spec.market.timeframe]
    from_ms = held.opened_ms // interval_ms * interval_ms - interval_ms
    if tapes.spot is None or max(tapes.main.start_ms, tapes.spot.start_ms) > from_ms:
        return None
    again = replay_carry(
        tapes.spot, tapes.main, spec, from_ms=from_ms, costs=costs, rules=rules, starting_quote=MODEL_QUOTE
    )
    trades = [*trades_of(again, is_carry=True), *held_in_replay(again, interval_ms)]
    shared_ms = [min(one.exit_ms, held.closed_ms) - max(one.entry_ms, held.opened_ms) for one in trades]
    best = max(range(len(trades)), key=shared_ms.__getitem__, default=None)
    if best is None or shared_ms[best] <= 0:
        return None
    return _scaled(trades[best], float(held.capital_quote or 0))


def _scaled(model: PaperTrade, capital_quote: float) -> PaperTrade:
    scale = capital_quote / (model.quantity_base * model.entry_price)
    amounts = ("quantity_base", "fees_quote", "funding_quote", "pnl_quote")
    return model.model_copy(update={name: getattr(model, name) * scale for name in amounts})


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

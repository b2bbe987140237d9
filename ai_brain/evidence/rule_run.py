"""The simulator's results in the gate's own words; whatever strategy, the same `Run` comes out.

What the simulator says of itself is checked here against its own trades and against the tape.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ai_brain.evidence.run import LEFT_OPEN, Run, TradeLine
from ai_brain.evidence.run_conditions import Conditions
from trading.market.tape import Tape
from trading.simulator.open_trade import OpenTrade
from trading.simulator.records import Acted
from trading.simulator.simulate import Result, simulate
from trading.strategy.spec import StrategySpec


def run_rules(spec: StrategySpec, tape: Tape, conditions: Conditions, *, begin_ms: int | None = None) -> Run:
    """A rule strategy over a stretch.

    Args:
        spec: A rule strategy.
        tape: The stretch's bars, and those before it.
        conditions: Costs, the venue's rules, starting equity.
        begin_ms: Open of the stretch's first bar; those before it warm the indicators up. None: all are the stretch.

    Raises:
        SpecError: the spec does not fit the tape.
    """
    result = simulate(
        tape,
        spec,
        costs=conditions.costs,
        rules=conditions.rules,
        starting_quote=conditions.starting_quote,
        entry_delay_bars=conditions.entry_delay_bars,
        begin_ms=begin_ms,
    )
    t = result.trades
    closed = t["quantity"] * (t["entry_price"] + t["exit_price"])
    return Run(
        open_time_ms=result.open_time_ms,
        interval_ms=tape.interval_ms,
        equity=result.equity,
        starting_quote=conditions.starting_quote,
        trades=tuple(_lines(result)),
        entries=len(t) + int(result.open_quantity != 0.0),
        left_open=left_open(result.open_trade, result.open_time_ms, float(tape.close[-1])),
        settled=(),
        fees_quote=result.costs.fees,
        slippage_quote=result.costs.slippage,
        funding_quote=result.costs.funding,
        expected_funding_quote=result.costs.funding,
        traded_quote=float(closed.sum()) + abs(result.open_quantity) * float(tape.close[-1]),
        liquidations=int(np.count_nonzero(t["reason"] == int(Acted.LIQUIDATION))),
        identity_error_quote=_identity_error(result),
    )


def left_open(
    trade: OpenTrade | None, open_ms: NDArray[np.int64], close: float, perp_close: float | None = None
) -> tuple[TradeLine, ...]:
    """The position still open at the end of a run as a line of its table, marked at the last close of each leg."""
    if trade is None:
        return ()
    line = TradeLine(
        entry_ms=int(open_ms[trade.entry_bar]),
        exit_ms=int(open_ms[-1]),
        side=trade.side,
        quantity_base=trade.quantity,
        entry_price=trade.entry_price,
        exit_price=close,
        fees_quote=trade.fees,
        slippage_quote=trade.slippage,
        funding_quote=trade.funding,
        pnl_quote=trade.pnl,
        reason=LEFT_OPEN,
        perp_entry_price=trade.perp_entry_price,
        perp_exit_price=perp_close,
    )
    return (line,)


_IN_ORDER = ("side", "quantity", "entry_price", "exit_price", "fees", "slippage", "funding", "pnl")
_REASONS = {int(acted): acted.name for acted in Acted}


def _lines(result: Result) -> Iterator[TradeLine]:
    """Column by column: a strategy that trades ten thousand times has as many lines."""
    t = result.trades
    bars = (result.open_time_ms[t[name]].tolist() for name in ("entry_bar", "exit_bar"))
    reasons = [_REASONS[reason] for reason in t["reason"].tolist()]
    for values in zip(*bars, *(t[name].tolist() for name in _IN_ORDER), reasons, strict=True):
        yield TradeLine(*values)


def _identity_error(result: Result) -> float:
    """Equity against start plus the net result of all trades closed, at every close at which the strategy was flat."""
    t = result.trades
    if len(t) == 0:
        return float(abs(result.equity[-1] - result.starting_quote)) if result.open_quantity == 0.0 else 0.0
    books = result.starting_quote + np.cumsum(t["pnl"])
    is_flat = np.append(t["entry_bar"][1:] > t["exit_bar"][:-1], result.open_quantity == 0.0)
    off = np.abs(result.equity[t["exit_bar"]] - books)[is_flat]
    return float(off.max()) if len(off) else 0.0

"""The carry simulator's result in the gate's own words, its funding summed again from the tape."""

from __future__ import annotations

from math import fsum

import numpy as np

from ai_brain.evidence.rule_run import left_open
from ai_brain.evidence.run import Run, SettlementLine, TradeLine
from ai_brain.evidence.run_conditions import Conditions
from trading.domain.clock import MINUTE_MS
from trading.market.tape import Tape
from trading.simulator.carry import CarryResult, simulate_carry
from trading.simulator.carry_records import CarryActed
from trading.strategy.spec import StrategySpec


def run_carry(
    spec: StrategySpec, spot: Tape, perp: Tape, conditions: Conditions, *, begin_ms: int | None = None
) -> Run:
    """A funding carry over a stretch, on the bars both legs have.

    Args:
        spec: A `funding_carry`.
        spot: The leg that is bought: the stretch's bars, and those before it.
        perp: The leg that is sold short, likewise.
        conditions: Costs, the venue's rules, starting equity.
        begin_ms: Open of the stretch's first bar; those before it make the expected funding known. None: all are the
            stretch.

    Raises:
        SpecError: the tapes are not its two legs, or have no bar in common.
    """
    result = simulate_carry(
        spot,
        perp,
        spec,
        costs=conditions.carry_costs,
        starting_quote=conditions.starting_quote,
        rules=conditions.rules,
        entry_delay_bars=conditions.entry_delay_bars,
        begin_ms=begin_ms,
    )
    t = result.trades
    settled = _settled(result, perp)
    prices = t["spot_entry_price"] + t["perp_entry_price"] + t["spot_exit_price"] + t["perp_exit_price"]
    last_spot, last_perp = (float(leg.close[leg.open_time_ms == result.open_time_ms[-1]][0]) for leg in (spot, perp))
    held = float(result.short_base[-1]) * last_perp * 2.0
    return Run(
        open_time_ms=result.open_time_ms,
        interval_ms=perp.interval_ms,
        equity=result.equity,
        starting_quote=result.starting_quote,
        trades=tuple(_line(result, row) for row in t),
        entries=result.entries,
        left_open=left_open(result.open_trade, result.open_time_ms, last_spot, last_perp),
        settled=settled,
        fees_quote=result.fees_quote,
        slippage_quote=result.slippage_quote,
        funding_quote=result.funding_quote,
        expected_funding_quote=fsum(line.funding_quote for line in settled),
        traded_quote=float((t["quantity"] * prices).sum()) + held,
        liquidations=result.liquidations,
        identity_error_quote=result.identity_error_quote(),
    )


def _settled(result: CarryResult, perp: Tape) -> tuple[SettlementLine, ...]:
    """Every settlement met with the short on: rate times the notional held when it was due.

    A settlement at a bar's open meets what was held at the close before, one inside a bar what is held at its close.
    """
    opens = result.open_time_ms
    where = np.searchsorted(perp.open_time_ms, opens)
    lines = []
    for stamp, rate, mark in zip(perp.funding.time_ms, perp.funding.rate, perp.funding.mark_price, strict=True):
        due_ms = round(int(stamp) / MINUTE_MS) * MINUTE_MS
        bar = int(np.searchsorted(opens, due_ms, side="left"))
        is_inside = bar > 0 and due_ms < opens[bar - 1] + perp.interval_ms
        bar = bar - 1 if is_inside else bar
        if bar >= len(opens) or (bar == 0 and not is_inside):
            continue
        held = float(result.short_base[bar if is_inside else bar - 1])
        if held <= 0.0:
            continue
        price = float(perp.open[where[bar]]) if np.isnan(mark) else float(mark)
        lines.append(
            SettlementLine(
                bar_ms=int(opens[bar]),
                due_ms=due_ms,
                rate=float(rate),
                price=price,
                is_mark=not np.isnan(mark),
                short_base=held,
                funding_quote=held * price * float(rate),
            )
        )
    return tuple(lines)


def _line(result: CarryResult, row: np.void) -> TradeLine:
    return TradeLine(
        entry_ms=int(result.open_time_ms[row["entry_bar"]]),
        exit_ms=int(result.open_time_ms[row["exit_bar"]]),
        side=0,
        quantity_base=float(row["quantity"]),
        entry_price=float(row["spot_entry_price"]),
        exit_price=float(row["spot_exit_price"]),
        fees_quote=float(row["fees"]),
        slippage_quote=float(row["slippage"]),
        funding_quote=float(row["funding"]),
        pnl_quote=float(row["pnl"]),
        reason=CarryActed(int(row["reason"])).name,
        perp_entry_price=float(row["perp_entry_price"]),
        perp_exit_price=float(row["perp_exit_price"]),
    )

"""An account's whole life again, by the loop of backtests: the independent half of the nightly parity check.

Paper steps bar by bar and is saved and restored after each; here all bars run in one piece, as `simulate` and
`simulate_carry` do. History before the first bar only warms indicators up, as it does on paper.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import fsum

import numpy as np
from numpy.typing import NDArray

from trading.domain.errors import SpecError
from trading.market.tape import Tape
from trading.simulator.carry_feed import CarryFeeder
from trading.simulator.carry_kernel import carry_run
from trading.simulator.carry_numbers import carry_numbers, check_legs, new_carry_state
from trading.simulator.carry_records import CARRY_TRADE, CarryColumns
from trading.simulator.carry_stepper import note_carry_history
from trading.simulator.compile import Program
from trading.simulator.costs import CarryCosts, Costs, MarketRules
from trading.simulator.feed import Feeder
from trading.simulator.kernel import run
from trading.simulator.records import FILL, FILLS_A_BAR, cut_columns
from trading.simulator.simulate import as_trades, check_fit, kernel_rules, new_state, note_history, rule_parameters
from trading.strategy.spec import StrategySpec


@dataclass(frozen=True, slots=True)
class StillHeld:
    """A position that the last bar left open. Amounts are quote, prices quote per base."""

    entry_bar: int
    side: int
    """+1 long, -1 short; a carry is 0."""
    quantity_base: float
    entry_price: float
    """Of a carry the spot leg's."""
    perp_entry_price: float | None
    fees_quote: float
    """So far."""
    funding_quote: float
    """Received minus paid so far."""
    pnl_quote: float
    """Marked at the last close, net of both."""


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """What the bars from `from_ms` on did, n of them."""

    open_time_ms: NDArray[np.int64]
    """(n,) of the bars."""
    equity: NDArray[np.float64]
    """(n,) quote, marked at each close."""
    trades: NDArray[np.void]
    """(k,) of `TRADE` or `CARRY_TRADE`, closed ones; bars are indices of the n."""
    held: StillHeld | None


def replay(
    tape: Tape,
    spec: StrategySpec,
    *,
    from_ms: int,
    costs: Costs,
    rules: MarketRules,
    starting_quote: float,
    dropped_ms: Collection[int] = (),
) -> Replay:
    """A rule strategy over the bars of a tape from `from_ms` on.

    Args:
        tape: History to warm up with, then the bars of the account.
        spec: A rule strategy.
        from_ms: Open time of the account's first bar, UTC ms; bars before it are history.
        costs: Of this market.
        rules: The venue's.
        starting_quote: Equity before the first bar.
        dropped_ms: Open times of bars before which a pending entry was dropped: no place was free.

    Raises:
        SpecError: the spec does not fit the tape, or no bar opens at `from_ms` or later.
    """
    check_fit(tape, spec)
    numbers, rates, margin = kernel_rules(spec, rules), costs.rates(), rules.margin()
    feeder, state = Feeder(Program(rule_parameters(spec), tape.interval)), new_state(starting_quote)
    if tape.start_ms < from_ms:
        note_history(state, feeder.columns(tape.window(tape.start_ms, from_ms)))
    columns = feeder.columns(tape)
    bars = _bars(spec, columns.open_ms, from_ms)
    equity, closes = np.empty(bars), np.empty(bars * FILLS_A_BAR + FILLS_A_BAR, dtype=FILL)
    written = 0
    for stop in _edges(columns.open_ms, dropped_ms):
        part = cut_columns(columns, slice(stop))
        _, made = run(state, part, numbers, rates, margin, equity, closes[written:])
        written += made
        if stop < bars:
            state["pending_side"] = 0
    trades = as_trades(closes[:written])
    return Replay(columns.open_ms, equity, trades, _held(state[0], _open_pnl(equity, trades, starting_quote)))


def replay_carry(
    spot: Tape,
    perp: Tape,
    spec: StrategySpec,
    *,
    from_ms: int,
    costs: CarryCosts,
    rules: MarketRules,
    starting_quote: float,
    dropped_ms: Collection[int] = (),
) -> Replay:
    """A carry over the joined bars from `from_ms` on; arguments as of `replay`.

    Raises:
        SpecError: the tapes are not its two legs, or no joined bar opens at `from_ms` or later.
    """
    check_legs(spot, perp, spec)
    numbers, rates = carry_numbers(spec, rules, costs), (costs.spot.rates(), costs.perp.rates(), rules.margin())
    feeder, state = CarryFeeder(costs.weights), new_carry_state(starting_quote)
    if max(spot.start_ms, perp.start_ms) < from_ms:
        history = (leg.window(leg.start_ms, from_ms) for leg in (spot, perp))
        note_carry_history(state, feeder.columns(*history))
    columns = feeder.columns(spot, perp)
    bars = _bars(spec, columns.open_ms, from_ms)
    equity, short_base, closes = np.empty(bars), np.empty(bars), np.empty(bars, dtype=CARRY_TRADE)
    written, first = 0, 0
    for stop in _edges(columns.open_ms, dropped_ms):
        part = CarryColumns._make(column[first:stop] for column in columns)
        room = equity[first:stop], short_base[first:stop], closes[written:]
        written += carry_run(state, part, numbers, *rates, *room)
        if stop < bars:
            state["pending"] = 0
        first = stop
    held = _held_carry(state[0], _open_pnl(equity, closes[:written], starting_quote))
    return Replay(columns.open_ms, equity, closes[:written], held)


def _bars(spec: StrategySpec, open_ms: NDArray[np.int64], from_ms: int) -> int:
    if len(open_ms) == 0 or int(open_ms[0]) < from_ms:
        raise SpecError(f"strategy {spec.id}: no bar opens at {from_ms} or later; load the account's own days")
    return len(open_ms)


def _edges(open_ms: NDArray[np.int64], dropped_ms: Collection[int]) -> list[int]:
    """Where the loop pauses: before each bar whose entry was dropped, and at the end."""
    at = np.searchsorted(open_ms, sorted(dropped_ms))
    return [*(int(i) for i in at if 0 < i < len(open_ms)), len(open_ms)]


def _open_pnl(equity: NDArray[np.float64], trades: NDArray[np.void], starting_quote: float) -> float:
    """What the last mark has beyond all closed trades."""
    closed: list[float] = trades["pnl"].tolist()
    return float(equity[-1]) - starting_quote - fsum(closed)


def _held(s: np.void, pnl_quote: float) -> StillHeld | None:
    if s["side"] == 0:
        return None
    return StillHeld(
        entry_bar=int(s["entry_bar"]),
        side=int(s["side"]),
        quantity_base=float(s["quantity"]),
        entry_price=float(s["entry_price"]),
        perp_entry_price=None,
        fees_quote=float(s["trade_fees"]),
        funding_quote=float(s["trade_funding"]),
        pnl_quote=pnl_quote,
    )


def _held_carry(s: np.void, pnl_quote: float) -> StillHeld | None:
    if s["quantity"] == 0.0:
        return None
    return StillHeld(
        entry_bar=int(s["entry_bar"]),
        side=0,
        quantity_base=float(s["quantity"]),
        entry_price=float(s["entry_spot"]),
        perp_entry_price=float(s["entry_perp"]),
        fees_quote=float(s["fees"] - s["fees_before"]),
        funding_quote=float(s["funding"] - s["funding_before"]),
        pnl_quote=pnl_quote,
    )

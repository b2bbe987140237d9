"""A funding carry over a spot and a perpetual tape, whole; `CarryStepper` does the same as the bars come.

Profit is split: equity - start = funding + basis - fees - slippage, to rounding. Amounts are quote.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trading.domain.errors import SpecError
from trading.market.tape import Tape
from trading.simulator.carry_feed import CarryFeeder
from trading.simulator.carry_kernel import carry_run
from trading.simulator.carry_numbers import CARRY_RULES, carry_numbers, check_legs, new_carry_state
from trading.simulator.carry_records import CARRY_TRADE, CarryActed, CarryColumns
from trading.simulator.code_version import simulator_sha256
from trading.simulator.costs import CarryCosts, MarketRules
from trading.simulator.open_trade import OpenTrade, open_carry_trade
from trading.simulator.simulate import first_counted, returns_of
from trading.strategy.spec import StrategySpec, spec_sha256


@dataclass(frozen=True, slots=True, eq=False)
class CarryResult:
    """What a carry did on the bars that both tapes have and that counted, n of them. Arrays are read-only."""

    open_time_ms: NDArray[np.int64]
    """(n,) of the joined bars."""
    equity: NDArray[np.float64]
    """(n,) marked at each close of both legs."""
    returns: NDArray[np.float64]
    """(n,) per bar, fractions; the first from the starting quote."""
    in_position: NDArray[np.bool_]
    """(n,) the short leg is on at the close."""
    short_base: NDArray[np.float64]
    """(n,) base held short at the close."""
    trades: NDArray[np.void]
    """(k,) of `CARRY_TRADE`, closed carries."""
    open_trade: OpenTrade | None
    """The carry that is still on at the end, marked at the last close; None: flat."""
    entries: int
    exits: int
    settlements: int
    """Met with the short on."""
    funding_quote: float
    """Received minus paid."""
    basis_quote: float
    """Price moves of both legs together, at reference prices."""
    fees_quote: float
    """All fills of both legs, liquidation fees included."""
    slippage_quote: float
    liquidations: int
    orders_refused: int
    gaps_met: int
    worst_drawdown: float
    """With the worst mark inside bars, fraction of the highest close so far."""
    starting_quote: float
    interval: str
    origin: str
    """Of the tapes: `synthetic` when either is."""
    rates: CarryCosts
    """What was charged."""
    impact_source: str
    """Which impact law, with which k, fitted to what; of spot, and of the perpetual where it is another."""
    tape_hashes: tuple[str, str]
    """Spot, perpetual."""
    spec_hash: str
    code_hash: str
    """Of the simulator's sources, see `code_version.py`."""
    acted: dict[str, int]
    """How often each reason of `CarryActed` ended a carry."""

    def identity_error_quote(self) -> float:
        """Equity against start + funding + basis - fees - slippage; about 0."""
        books = self.starting_quote + self.funding_quote + self.basis_quote - self.fees_quote - self.slippage_quote
        return abs(float(self.equity[-1]) - books) if len(self.equity) else 0.0


def simulate_carry(
    spot: Tape,
    perp: Tape,
    spec: StrategySpec,
    *,
    costs: CarryCosts,
    starting_quote: float = 10_000.0,
    rules: MarketRules = CARRY_RULES,
    entry_delay_bars: int = 0,
    begin_ms: int | None = None,
) -> CarryResult:
    """What would this carry have earned?

    Args:
        spot: The leg that is bought.
        perp: The leg that is sold short, with its settled funding.
        spec: A `funding_carry`.
        costs: Of each leg.
        starting_quote: Equity before the first bar.
        rules: Of both legs together, see `carry_rules`.
        entry_delay_bars: Entries act this many bars late.
        begin_ms: Bars that open before only make the funding expectation and the volatility known: flat and undecided
            until then, and none of them is in the result. None: every bar counts.

    Raises:
        SpecError: the spec is no carry, the tapes are not its two legs or have no bar in common, or none at or after
            `begin_ms`.
    """
    numbers = carry_numbers(spec, rules, costs, entry_delay_bars=entry_delay_bars)
    check_legs(spot, perp, spec)
    known = CarryFeeder(costs.weights).columns(spot, perp)
    first = first_counted(known.open_ms, begin_ms)
    columns = CarryColumns._make(column[first:] for column in known)
    bars = len(columns.open_ms)
    if bars == 0:
        raise SpecError(
            f"strategy {spec.id}: the spot and the perpetual tape have no bar in common; load the same days"
        )
    state = new_carry_state(starting_quote)
    equity, short_base = np.empty(bars), np.empty(bars)
    trades = np.empty(bars, dtype=CARRY_TRADE)
    closed = carry_run(
        state, columns, numbers, costs.spot.rates(), costs.perp.rates(), rules.margin(), equity, short_base, trades
    )
    row = state[0]
    arrays = equity, returns_of(equity, starting_quote), short_base > 0.0, short_base, trades[:closed].copy()
    for array in arrays:
        array.flags.writeable = False
    return CarryResult(
        columns.open_ms,
        *arrays,
        open_trade=open_carry_trade(state),
        entries=int(row["entries"]),
        exits=int(row["exits"]),
        settlements=int(row["settlements"]),
        funding_quote=float(row["funding"]),
        basis_quote=float(row["basis"]),
        fees_quote=float(row["fees"]),
        slippage_quote=float(row["slippage"]),
        liquidations=int(row["liquidations"]),
        orders_refused=int(row["refused"]),
        gaps_met=int(row["gaps"]),
        worst_drawdown=float(row["worst_drawdown"]),
        starting_quote=starting_quote,
        interval=perp.interval,
        origin="synthetic" if "synthetic" in (spot.origin, perp.origin) else perp.origin,
        rates=costs,
        impact_source="; ".join(dict.fromkeys((costs.spot.impact_source, costs.perp.impact_source))),
        tape_hashes=(spot.content_hash, perp.content_hash),
        spec_hash=spec_sha256(spec),
        code_hash=simulator_sha256(),
        acted={reason.name: int(np.count_nonzero(arrays[-1]["reason"] == reason)) for reason in CarryActed},
    )

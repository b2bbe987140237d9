"""A funding carry over a spot and a perpetual tape, whole (`simulate_carry`) or as the bars come (`CarryStepper`).

Profit is split: equity - start = funding + basis - fees - slippage, to rounding. Amounts are quote.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from trading.domain.errors import SpecError
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS
from trading.market.tape import Tape
from trading.simulator.carry_feed import NOTHING_SEEN_MS, CarryFeeder
from trading.simulator.carry_kernel import carry_decision, carry_run, carry_step
from trading.simulator.carry_records import CARRY_STATE, CARRY_TRADE, CarryActed, CarryBar, CarryNumbers
from trading.simulator.costs import CarryCosts, MarketRules
from trading.simulator.settlements import funding_from_json, funding_to_json
from trading.simulator.simulate import check_quote, returns_of
from trading.simulator.snapshot import (
    arrays_to_json,
    as_object,
    check_spec,
    fill_arrays,
    number,
    record_from_json,
    record_to_json,
)
from trading.strategy.spec import CarryParameters, StrategySpec, spec_sha256

CARRY_RULES = MarketRules(tick=0.1, lot=0.001, min_notional=100.0)
"""BTCUSDT's coarser lot and larger minimum; `costs.carry_rules` reads others from two instruments."""


@dataclass(frozen=True, slots=True, eq=False)
class CarryResult:
    """What a carry did on the bars that both tapes have, n of them. Arrays are read-only."""

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
    tape_hashes: tuple[str, str]
    """Spot, perpetual."""
    spec_hash: str

    def identity_error_quote(self) -> float:
        """Equity against start + funding + basis - fees - slippage; about 0."""
        books = self.starting_quote + self.funding_quote + self.basis_quote - self.fees_quote - self.slippage_quote
        return abs(float(self.equity[-1]) - books) if len(self.equity) else 0.0


@dataclass(frozen=True, slots=True)
class CarryPosition:
    """Both legs as they stand. Prices are fills, quote per base."""

    quantity_base: float
    """Of the spot leg."""
    short_base: float
    """Of the perpetual leg; 0 after a liquidation."""
    spot_entry_price: float
    perp_entry_price: float
    margin_quote: float
    liquidation_price: float
    settlements: int
    """Since the entry."""


@dataclass(frozen=True, slots=True)
class CarryStep:
    """What one bar brought; everything is since the bar before. Amounts quote."""

    open_ms: int
    entered: bool
    left: CarryActed | None
    """Why both legs were closed; None: they were not."""
    was_liquidated: bool
    settlements: int
    funding_quote: float
    fees_quote: float
    slippage_quote: float
    equity_quote: float
    trade: np.void | None
    """The `CARRY_TRADE` that closed with it."""


def simulate_carry(
    spot: Tape,
    perp: Tape,
    spec: StrategySpec,
    *,
    costs: CarryCosts,
    starting_quote: float = 10_000.0,
    rules: MarketRules = CARRY_RULES,
    entry_delay_bars: int = 0,
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

    Raises:
        SpecError: the spec is no carry, or the tapes are not its two legs or have no bar in common.
    """
    numbers = carry_numbers(spec, rules, entry_delay_bars=entry_delay_bars)
    check_legs(spot, perp, spec)
    columns = CarryFeeder().columns(spot, perp)
    bars = len(columns.open_ms)
    if bars == 0:
        raise SpecError(
            f"strategy {spec.id}: the spot and the perpetual tape have no bar in common; load the same days"
        )
    state = _new_state(starting_quote)
    equity, short_base = np.empty(bars), np.empty(bars)
    trades = np.empty(bars, dtype=CARRY_TRADE)
    closed = carry_run(state, columns, numbers, costs.spot.rates(), costs.perp.rates(), equity, short_base, trades)
    row = state[0]
    arrays = equity, returns_of(equity, starting_quote), short_base > 0.0, short_base, trades[:closed].copy()
    for array in arrays:
        array.flags.writeable = False
    return CarryResult(
        columns.open_ms,
        *arrays,
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
        tape_hashes=(spot.content_hash, perp.content_hash),
        spec_hash=spec_sha256(spec),
    )


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
        maintenance_rate=float(rules.maintenance_rate),
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


def _new_state(starting_quote: float) -> NDArray[np.void]:
    check_quote(starting_quote)
    state = np.zeros(1, dtype=CARRY_STATE)
    for name in ("cash", "equity", "peak"):
        state[name] = starting_quote
    return state


class CarryStepper:
    """One carry on paper; give it both tapes, it takes the joined bars it has not seen."""

    def __init__(
        self,
        spec: StrategySpec,
        *,
        costs: CarryCosts,
        rules: MarketRules = CARRY_RULES,
        starting_quote: float = 10_000.0,
    ) -> None:
        """Start an account.

        Raises:
            SpecError: the spec is no carry, or the starting quote is not positive.
        """
        self.spec = spec
        self.starting_quote = starting_quote
        self._numbers = carry_numbers(spec, rules)
        self._rates = costs.spot.rates(), costs.perp.rates()
        self._feeder = CarryFeeder()
        self._state = _new_state(starting_quote)
        self._trade = np.empty(1, dtype=CARRY_TRADE)

    def warm_up(self, spot: Tape, perp: Tape) -> None:
        """Let the expectation and the volatilities see history; no order comes of it.

        Raises:
            SpecError: the tapes are not its two legs.
        """
        check_legs(spot, perp, self.spec)
        columns = self._feeder.columns(spot, perp)
        if len(columns.open_ms):
            for name in ("spot_sigma", "spot_quote_volume", "perp_sigma", "perp_quote_volume"):
                self._state[name] = getattr(columns, name)[-1]
            self._state["spot_mark"], self._state["perp_mark"] = columns.spot_close[-1], columns.perp_close[-1]
            self._state["last_open_ms"] = columns.open_ms[-1]

    def advance(self, spot: Tape, perp: Tape) -> list[CarryStep]:
        """Step over every joined bar not seen yet; one entry a bar, oldest first.

        Raises:
            SpecError: the tapes are not its two legs.
        """
        check_legs(spot, perp, self.spec)
        columns = self._feeder.columns(spot, perp)
        return [self._step(CarryBar(*row)) for row in zip(*(column.tolist() for column in columns), strict=True)]

    def _step(self, bar: CarryBar) -> CarryStep:
        before = self._state[0].copy()
        closed = carry_step(self._state, bar, self._numbers, *self._rates, self._trade)
        row = self._state[0]
        trade = self._trade[0].copy() if closed else None
        return CarryStep(
            open_ms=bar.open_ms,
            entered=bool(row["entries"] > before["entries"]),
            left=CarryActed(int(trade["reason"])) if trade is not None else None,
            was_liquidated=bool(row["liquidations"] > before["liquidations"]),
            settlements=int(row["settlements"] - before["settlements"]),
            funding_quote=float(row["funding"] - before["funding"]),
            fees_quote=float(row["fees"] - before["fees"]),
            slippage_quote=float(row["slippage"] - before["slippage"]),
            equity_quote=float(row["equity"]),
            trade=trade,
        )

    @property
    def equity_quote(self) -> float:
        """Marked at the last close of both legs."""
        return float(self._state["equity"][0])

    @property
    def cash_quote(self) -> float:
        """Outside both legs; the short's margin is not in it."""
        return float(self._state["cash"][0])

    @property
    def position(self) -> CarryPosition | None:
        """What is held; None: flat."""
        row = self._state[0]
        if row["quantity"] == 0.0:
            return None
        return CarryPosition(
            quantity_base=float(row["quantity"]),
            short_base=float(row["short_quantity"]),
            spot_entry_price=float(row["entry_spot"]),
            perp_entry_price=float(row["entry_perp"]),
            margin_quote=float(row["margin"]),
            liquidation_price=float(row["liquidation_price"]),
            settlements=int(row["settlements"] - row["settlements_before"]),
        )

    @property
    def split(self) -> dict[str, float]:
        """`funding_quote`, `basis_quote`, `fees_quote`, `slippage_quote` since the start."""
        names = ("funding", "basis", "fees", "slippage")
        return {f"{name}_quote": float(self._state[name][0]) for name in names}

    @property
    def settlements(self) -> int:
        """Met with the short on."""
        return int(self._state["settlements"][0])

    @property
    def bars(self) -> int:
        """Stepped over; warming up does not count."""
        return int(self._state["bar"][0])

    @property
    def last_open_ms(self) -> int | None:
        """Open time of the last joined bar seen; None: none yet."""
        last = self._feeder.last_open_ms
        return None if last == NOTHING_SEEN_MS else last

    def identity_error_quote(self) -> float:
        """Equity against start + funding + basis - fees - slippage, each added up on its own; about 0."""
        row = self._state[0]
        books = self.starting_quote + row["funding"] + row["basis"] - row["fees"] - row["slippage"]
        return abs(self.equity_quote - float(books))

    def to_json(self) -> dict[str, JsonValue]:
        """Everything it takes to go on after a restart; plain JSON values."""
        feeder = self._feeder
        return {
            "spec_sha256": spec_sha256(self.spec),
            "starting_quote": self.starting_quote,
            "last_open_ms": feeder.last_open_ms,
            "state": record_to_json(self._state),
            "memory": arrays_to_json((feeder.spot_sigma, feeder.perp_sigma)),
            "ahead": funding_to_json(feeder.ahead),
            "settled": [[int(t), float(r)] for t, r in zip(feeder.settled_ms, feeder.settled_rate, strict=True)],
        }

    @classmethod
    def from_json(
        cls, plain: JsonValue, spec: StrategySpec, *, costs: CarryCosts, rules: MarketRules = CARRY_RULES
    ) -> Self:
        """The stepper that wrote `plain`.

        Raises:
            StateFileError: it is not the memory of this spec, or damaged.
        """
        where = f"paper memory of {spec.id}"
        fields = as_object(plain, where=where)
        check_spec(fields, spec, where=where)
        stepper = cls(spec, costs=costs, rules=rules, starting_quote=number(fields, "starting_quote", where=where))
        stepper._state = record_from_json(fields.get("state"), CARRY_STATE, where=f"{where}: state")
        feeder = stepper._feeder
        fill_arrays((feeder.spot_sigma, feeder.perp_sigma), fields.get("memory"), where=f"{where}: memory")
        feeder.last_open_ms = int(number(fields, "last_open_ms", where=where))
        feeder.ahead = funding_from_json(fields.get("ahead"), where=f"{where}: ahead")
        feeder.remember(fields.get("settled"), where=f"{where}: settled")
        return stepper

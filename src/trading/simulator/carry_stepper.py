"""A funding carry as the bars come: paper trading's form of `simulate_carry`, the same step bar by bar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from trading.market.tape import Tape
from trading.simulator.carry_feed import NOTHING_SEEN_MS, CarryFeeder
from trading.simulator.carry_kernel import carry_step
from trading.simulator.carry_numbers import CARRY_RULES, carry_numbers, check_legs, new_carry_state
from trading.simulator.carry_records import CARRY_STATE, CARRY_TRADE, CarryActed, CarryBar, CarryColumns
from trading.simulator.costs import CarryCosts, MarketRules
from trading.simulator.settlements import funding_from_json, funding_to_json
from trading.simulator.snapshot import (
    arrays_to_json,
    as_object,
    check_spec,
    fill_arrays,
    number,
    record_from_json,
    record_to_json,
)
from trading.strategy.spec import StrategySpec, spec_sha256


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


def note_carry_history(state: NDArray[np.void], columns: CarryColumns) -> None:
    """Let a new account know the last joined bar before it: its marks, volatilities and volumes."""
    if len(columns.open_ms):
        for name in ("spot_sigma", "spot_quote_volume", "perp_sigma", "perp_quote_volume"):
            state[name] = getattr(columns, name)[-1]
        state["spot_mark"], state["perp_mark"] = columns.spot_close[-1], columns.perp_close[-1]
        state["last_open_ms"] = columns.open_ms[-1]


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
        self._numbers = carry_numbers(spec, rules, costs)
        self._rates = costs.spot.rates(), costs.perp.rates(), rules.margin()
        self._feeder = CarryFeeder(costs.weights)
        self._state = new_carry_state(starting_quote)
        self._trade = np.empty(1, dtype=CARRY_TRADE)

    def warm_up(self, spot: Tape, perp: Tape) -> None:
        """Let the expectation and the volatilities see history; no order comes of it.

        Raises:
            SpecError: the tapes are not its two legs.
        """
        check_legs(spot, perp, self.spec)
        note_carry_history(self._state, self._feeder.columns(spot, perp))

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

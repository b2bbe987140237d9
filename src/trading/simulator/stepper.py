"""A rule strategy as the bars come: paper trading's form of `simulate`, the same step bar by bar.

What it did is what `simulate` says of the same bars, to the last bit, also over restarts (`to_json`, `from_json`) and
on rolling tapes that have dropped their beginning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import JsonValue

from trading.market.tape import Tape
from trading.simulator.compile import Program
from trading.simulator.costs import Costs, MarketRules
from trading.simulator.feed import NOTHING_SEEN_MS, Feeder
from trading.simulator.kernel import step
from trading.simulator.records import FILL, FILLS, STATE, Acted, Bar
from trading.simulator.settlements import funding_from_json, funding_to_json
from trading.simulator.simulate import CostSplit, check_fit, kernel_rules, new_state, note_history, rule_parameters
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
class StepFill:
    """One fill of a strategy; a closing one carries its whole trade. Amounts are quote."""

    open_ms: int
    """Of the bar it happened in."""
    is_close: bool
    side: int
    """Of the position: +1 long, -1 short."""
    quantity_base: float
    price: float
    fee_quote: float
    slippage_quote: float
    """Already in the price."""
    reason: Acted
    entry_price: float
    trade_fees_quote: float
    trade_funding_quote: float
    """Received minus paid since the entry."""
    pnl_quote: float
    """Net of the whole trade; 0 on an opening fill."""
    entry_ms: int
    """Open of the bar it was opened in."""
    trade_slippage_quote: float


@dataclass(frozen=True, slots=True)
class StepPosition:
    """What is held. Prices are quote per base; None: off."""

    side: int
    quantity_base: float
    entry_price: float
    entry_ms: int
    stop_price: float | None
    target_price: float | None
    liquidation_price: float | None
    unrealised_quote: float


class Stepper:
    """One strategy on paper; give it tapes, it takes the bars it has not seen."""

    def __init__(
        self, spec: StrategySpec, *, costs: Costs, rules: MarketRules, starting_quote: float = 10_000.0
    ) -> None:
        """Compile the rules.

        Raises:
            SpecError: not a rule strategy, or a starting quote that is not positive.
        """
        self.spec = spec
        self.starting_quote = starting_quote
        self._numbers = kernel_rules(spec, rules)
        self._rates, self._margin = costs.rates(), rules.margin()
        self._feeder = Feeder(Program(rule_parameters(spec), spec.market.timeframe))
        self._state = new_state(starting_quote)
        self._fills = np.empty(1, dtype=FILLS)
        self._entry_ms = 0
        self._close = 0.0

    def warm_up(self, tape: Tape) -> None:
        """Feed history to the indicators only: no order comes of it, and it is not part of the account.

        Raises:
            SpecError: the tape is of another market.
        """
        check_fit(tape, self.spec)
        note_history(self._state, self._feeder.columns(tape))

    def advance(self, tape: Tape) -> list[StepFill]:
        """Step over every bar of the tape not seen yet; returns the fills, oldest first.

        Raises:
            SpecError: the tape is of another market.
        """
        check_fit(tape, self.spec)
        columns = self._feeder.columns(tape)
        done: list[StepFill] = []
        for row in zip(*(column.tolist() for column in columns), strict=True):
            bar = Bar(*row)
            made = step(self._state, bar, self._numbers, self._rates, self._margin, self._fills)
            for fill in self._fills.view(FILL)[:made]:
                if not fill["is_close"]:
                    self._entry_ms = bar.open_ms
                done.append(self._fill(fill, bar.open_ms))
            self._close = bar.close
        return done

    @property
    def equity_quote(self) -> float:
        """Marked at the last close."""
        return float(self._state["equity"][0])

    @property
    def wallet_quote(self) -> float:
        """Start + closed price moves - fees + funding; the open position's unrealised result is not in it."""
        return float(self._state["wallet"][0])

    @property
    def costs(self) -> CostSplit:
        """Paid so far, the open trade included."""
        row = self._state[0]
        return CostSplit(float(row["fees"]), float(row["slippage"]), float(row["funding"]))

    @property
    def position(self) -> StepPosition | None:
        """What is held; None: flat."""
        row = self._state[0]
        if row["side"] == 0:
            return None

        def price(name: str) -> float | None:
            return None if np.isnan(row[name]) else float(row[name])

        return StepPosition(
            side=int(row["side"]),
            quantity_base=float(row["quantity"]),
            entry_price=float(row["entry_price"]),
            entry_ms=self._entry_ms,
            stop_price=price("stop_price"),
            target_price=price("target_price"),
            liquidation_price=price("liquidation_price"),
            unrealised_quote=float(row["side"] * row["quantity"] * (self._close - row["entry_price"])),
        )

    @property
    def bars(self) -> int:
        """Stepped over; warming up does not count."""
        return int(self._state["bar"][0])

    @property
    def last_open_ms(self) -> int | None:
        """Open time of the last bar seen; None: none yet."""
        last = self._feeder.last_open_ms
        return None if last == NOTHING_SEEN_MS else last

    @property
    def trades(self) -> int:
        """Closed ones."""
        return int(self._state["trades"][0])

    @property
    def orders_refused(self) -> int:
        """Entries below the lot or the minimum notional."""
        return int(self._state["refused"][0])

    def identity_error_quote(self) -> float:
        """Equity against start + price moves - fees + funding + unrealised, each added up on its own; about 0."""
        row = self._state[0]
        held = self.position
        books = self.starting_quote + row["gross"] - row["fees"] + row["funding"]
        return abs(self.equity_quote - float(books) - (held.unrealised_quote if held else 0.0))

    def to_json(self) -> dict[str, JsonValue]:
        """Everything it takes to go on after a restart; plain JSON values."""
        rate = self._feeder.last_rate
        return {
            "spec_sha256": spec_sha256(self.spec),
            "starting_quote": self.starting_quote,
            "last_open_ms": self._feeder.last_open_ms,
            "last_rate": None if np.isnan(rate) else rate,
            "ahead": funding_to_json(self._feeder.ahead),
            "entry_ms": self._entry_ms,
            "close": self._close,
            "state": record_to_json(self._state),
            "memory": arrays_to_json(self._feeder.program.memory.arrays),
        }

    @classmethod
    def from_json(cls, plain: JsonValue, spec: StrategySpec, *, costs: Costs, rules: MarketRules) -> Self:
        """The stepper that wrote `plain`.

        Raises:
            StateFileError: it is not the memory of this spec, or damaged.
        """
        where = f"paper memory of {spec.id}"
        fields = as_object(plain, where=where)
        check_spec(fields, spec, where=where)
        stepper = cls(spec, costs=costs, rules=rules, starting_quote=number(fields, "starting_quote", where=where))
        stepper._state = record_from_json(fields.get("state"), STATE, where=f"{where}: state")
        fill_arrays(stepper._feeder.program.memory.arrays, fields.get("memory"), where=f"{where}: memory")
        stepper._feeder.last_open_ms = int(number(fields, "last_open_ms", where=where))
        stepper._feeder.last_rate = number(fields, "last_rate", where=where)
        stepper._feeder.ahead = funding_from_json(fields.get("ahead"), where=f"{where}: ahead")
        stepper._entry_ms = int(number(fields, "entry_ms", where=where))
        stepper._close = number(fields, "close", where=where)
        return stepper

    def _fill(self, row: np.void, open_ms: int) -> StepFill:
        return StepFill(
            open_ms=open_ms,
            is_close=bool(row["is_close"]),
            side=int(row["side"]),
            quantity_base=float(row["quantity"]),
            price=float(row["price"]),
            fee_quote=float(row["fee"]),
            slippage_quote=float(row["slippage"]),
            reason=Acted(int(row["reason"])),
            entry_price=float(row["entry_price"]),
            trade_fees_quote=float(row["trade_fees"]),
            trade_funding_quote=float(row["trade_funding"]),
            pnl_quote=float(row["pnl"]),
            entry_ms=self._entry_ms,
            trade_slippage_quote=float(row["trade_slippage"]),
        )

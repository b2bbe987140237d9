"""A funding carry on paper: the simulator's `CarryStepper` with an account's face."""

from __future__ import annotations

from pydantic import JsonValue

from ai_brain.paper.account import PaperTrade
from ai_brain.paper.book import NOTHING_HELD, BookStep, Facts, Holding
from ai_brain.paper.closed_trades import carried
from ai_brain.paper.market_view import PaperTapes
from trading.domain.counted import counted
from trading.domain.errors import DataProviderError
from trading.market.tape import Tape
from trading.simulator.carry_stepper import CarryStep, CarryStepper
from trading.simulator.costs import CarryCosts, MarketRules
from trading.simulator.snapshot import number
from trading.strategy.spec import StrategySpec


class CarryBook:
    """Steps a carry over the bars both legs have.

    Args:
        spec: The strategy.
        costs: Of each leg.
        rules: Of both legs together.
        starting_quote: Of a new account.
        saved: `to_json` of an account that goes on; empty: a new one.

    Raises:
        StateFileError: `saved` is of other parameters, or damaged.
    """

    def __init__(
        self,
        spec: StrategySpec,
        *,
        costs: CarryCosts,
        rules: MarketRules,
        starting_quote: float,
        saved: dict[str, JsonValue],
    ) -> None:
        self._spec = spec
        self._costs = costs
        self._rules = rules
        self._entry_ms, self._spot_close, self._perp_close = 0, 0.0, 0.0
        if saved:
            where = f"paper account of {spec.id}"
            self._stepper = self._restored(saved.get("stepper"))
            self._entry_ms = int(number(saved, "entry_ms", where=where))
            self._spot_close = number(saved, "spot_close", where=where)
            self._perp_close = number(saved, "perp_close", where=where)
        else:
            self._stepper = CarryStepper(spec, costs=costs, rules=rules, starting_quote=starting_quote)

    @property
    def is_open(self) -> bool:
        """A position is held."""
        return self._stepper.position is not None

    def warm_up(self, tapes: PaperTapes) -> None:
        """Let the expectation see settled funding; no order comes of it."""
        self._stepper.warm_up(_spot_of(tapes), tapes.main)

    def step(self, tapes: PaperTapes, *, may_open: bool) -> BookStep:
        """Step over the one bar not seen yet.

        Raises:
            DataProviderError: the legs have another bar than one that was not seen.
        """
        refused = not may_open and not self.is_open and self._drop_entry()
        spot = _spot_of(tapes)
        steps = self._stepper.advance(spot, tapes.main)
        if len(steps) != 1:
            raise DataProviderError(
                f"{self._spec.id}: the legs have {len(steps)} new bars in common where 1 was due; repair the history"
            )
        done = steps[0]
        self._spot_close, self._perp_close = float(spot.close[-1]), float(tapes.main.close[-1])
        split = self._stepper.split
        closed = self._closed(done)
        if done.entered:
            self._entry_ms = done.open_ms
        return BookStep(
            equity_quote=done.equity_quote,
            identity_error_quote=self._stepper.identity_error_quote(),
            opened=(self._opened(),) if done.entered else (),
            closed=closed,
            settlements=done.settlements,
            settled_quote=done.funding_quote,
            fees_quote=split["fees_quote"],
            slippage_quote=split["slippage_quote"],
            funding_quote=split["funding_quote"],
            refused_entry=refused,
        )

    @property
    def cash_quote(self) -> float:
        """Outside both legs, and the margin of the short while there is one."""
        held = self._stepper.position
        margin = held.margin_quote if held is not None and held.short_base > 0.0 else 0.0
        return self._stepper.cash_quote + margin

    def holding(self) -> Holding:
        """What is held now."""
        held = self._stepper.position
        if held is None:
            return NOTHING_HELD
        text = (
            f"carry {self._spec.market.native_symbol}: spot {held.quantity_base:g}, perpetual {-held.short_base:g}, "
            f"{counted(held.settlements, 'settlement')}, funding since the start "
            f"{self._stepper.split['funding_quote']:+.4f} USDT"
        )
        unrealised = held.short_base * (held.perp_entry_price - self._perp_close)
        return Holding(held.quantity_base * self._spot_close, unrealised, text)

    def to_json(self) -> dict[str, JsonValue]:
        """All it takes to go on after a restart."""
        return {
            "stepper": self._stepper.to_json(),
            "entry_ms": self._entry_ms,
            "spot_close": self._spot_close,
            "perp_close": self._perp_close,
        }

    def _restored(self, saved: JsonValue) -> CarryStepper:
        return CarryStepper.from_json(saved, self._spec, costs=self._costs, rules=self._rules)

    def _drop_entry(self) -> bool:
        """Forget the entry decided at the last close; False when none was."""
        saved = self._stepper.to_json()
        state = saved["state"]
        if not isinstance(state, dict) or state["pending"] == 0:
            return False
        state["pending"] = 0
        self._stepper = self._restored(saved)
        return True

    def _opened(self) -> Facts:
        held = self._stepper.position
        if held is None:  # opened and liquidated inside one bar
            return {"side": 0}
        return {
            "side": 0,
            "quantity_base": held.quantity_base,
            "price": held.spot_entry_price,
            "perp_price": held.perp_entry_price,
        }

    def _closed(self, done: CarryStep) -> tuple[PaperTrade, ...]:
        row = done.trade
        if row is None or done.left is None:
            return ()
        return (carried(row, entry_ms=self._entry_ms, exit_ms=done.open_ms, left=done.left),)


def _spot_of(tapes: PaperTapes) -> Tape:
    if tapes.spot is None:
        raise DataProviderError("a carry needs the spot bars beside the perpetual's; subscribe to both")
    return tapes.spot

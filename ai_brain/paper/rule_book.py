"""A rule strategy on paper: the simulator's `Stepper` with an account's face."""

from __future__ import annotations

from pydantic import JsonValue

from ai_brain.paper.account import PaperTrade
from ai_brain.paper.book import NOTHING_HELD, BookStep, Facts, Holding
from ai_brain.paper.market_view import PaperTapes
from trading.domain.instrument import Market
from trading.simulator.costs import Costs, MarketRules
from trading.simulator.stepper import StepFill, Stepper
from trading.strategy.spec import StrategySpec


class RuleBook:
    """Steps a rule strategy.

    Args:
        spec: The strategy.
        costs: Of its market.
        rules: The venue's steps and minimums.
        starting_quote: Of a new account.
        saved: `to_json` of an account that goes on; empty: a new one.

    Raises:
        StateFileError: `saved` is of other parameters, or damaged.
    """

    def __init__(
        self,
        spec: StrategySpec,
        *,
        costs: Costs,
        rules: MarketRules,
        starting_quote: float,
        saved: dict[str, JsonValue],
    ) -> None:
        self._spec = spec
        self._costs = costs
        self._rules = rules
        if saved:
            self._stepper = Stepper.from_json(saved, spec, costs=costs, rules=rules)
        else:
            self._stepper = Stepper(spec, costs=costs, rules=rules, starting_quote=starting_quote)

    @property
    def is_open(self) -> bool:
        """A position is held."""
        return self._stepper.position is not None

    def warm_up(self, tapes: PaperTapes) -> None:
        """Let indicators see history; no order comes of it."""
        self._stepper.warm_up(tapes.main)

    def step(self, tapes: PaperTapes, *, may_open: bool) -> BookStep:
        """Step over the one bar not seen yet."""
        refused = not may_open and not self.is_open and self._drop_entry()
        fills = self._stepper.advance(tapes.main)
        costs = self._stepper.costs
        return BookStep(
            equity_quote=self._stepper.equity_quote,
            identity_error_quote=self._stepper.identity_error_quote(),
            opened=tuple(_opened(fill) for fill in fills if not fill.is_close),
            closed=tuple(_closed(fill) for fill in fills if fill.is_close),
            settlements=0,
            settled_quote=0.0,
            fees_quote=costs.fees,
            slippage_quote=costs.slippage,
            funding_quote=costs.funding,
            refused_entry=refused,
        )

    @property
    def cash_quote(self) -> float:
        """The wallet; on the spot market less what the coins in it were bought for."""
        held, wallet = self._stepper.position, self._stepper.wallet_quote
        if held is None or self._spec.market.market is Market.PERP:
            return wallet
        return wallet - held.quantity_base * held.entry_price

    def holding(self) -> Holding:
        """What is held now."""
        held = self._stepper.position
        if held is None:
            return NOTHING_HELD
        side = "long" if held.side > 0 else "short"
        market = self._spec.market
        text = (
            f"{side} {held.quantity_base:g} {market.native_symbol} {market.market} from {held.entry_price:g}, "
            f"unrealised {held.unrealised_quote:+.2f}"
        )
        if market.market is Market.PERP:
            return Holding(0.0, held.unrealised_quote, text)
        return Holding(held.quantity_base * held.entry_price + held.unrealised_quote, 0.0, text)

    def to_json(self) -> dict[str, JsonValue]:
        """All it takes to go on after a restart."""
        return self._stepper.to_json()

    def _drop_entry(self) -> bool:
        """Forget the entry decided at the last close; False when none was."""
        saved = self._stepper.to_json()
        state = saved["state"]
        if not isinstance(state, dict) or state["pending_side"] == 0:
            return False
        state["pending_side"] = 0
        self._stepper = Stepper.from_json(saved, self._spec, costs=self._costs, rules=self._rules)
        return True


def _opened(fill: StepFill) -> Facts:
    return {
        "side": fill.side,
        "quantity_base": fill.quantity_base,
        "price": fill.price,
        "fee_quote": fill.fee_quote,
        "slippage_quote": fill.slippage_quote,
    }


def _closed(fill: StepFill) -> PaperTrade:
    return PaperTrade(
        entry_ms=fill.entry_ms,
        exit_ms=fill.open_ms,
        side=fill.side,
        quantity_base=fill.quantity_base,
        entry_price=fill.entry_price,
        exit_price=fill.price,
        fees_quote=fill.trade_fees_quote,
        funding_quote=fill.trade_funding_quote,
        pnl_quote=fill.pnl_quote,
        reason=fill.reason.name,
    )

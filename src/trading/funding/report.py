"""What one cycle of the carry desk found and did: every number the hourly report and the audit line need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from math import isfinite

from trading.domain.decisions import Decision, Reason
from trading.execution.intent_records import OrderRecord
from trading.execution.reconcile import Difference
from trading.funding.books import BookedFill, Identity, Performance, VenueAccount
from trading.funding.carry import Outlook
from trading.funding.dust import Dust
from trading.funding.position import CarryPosition
from trading.journal.audit import CycleStatus


@dataclass(frozen=True, slots=True)
class SymbolReport:
    """What a cycle found in one symbol."""

    symbol: str
    position: CarryPosition | None = None
    """None: nothing is held in it."""
    account: VenueAccount | None = None
    """The account as this symbol sees it: the wallets' cash is the same for each."""
    performance: Performance | None = None
    """Of what is held, or was closed in this cycle."""
    dust: Dust | None = None
    """Of closed positions, in the equity; None: there is none."""
    outlook: Outlook | None = None
    basis_bps: float | None = None
    present_funding_apr: float | None = None
    quality: float = 0.0
    """0..100 of the data it was decided on."""
    decision: Decision | None = None
    """About this symbol; None: none was taken."""
    liquidation_distance: float | None = None
    """How far the mark may rise until the contract is liquidated, fraction; None: nothing is held, or not known."""

    def terms_json(self) -> dict[str, object]:
        """What is held, JSON values, quote."""
        view = self.performance
        return {
            "dust_base": _number(self.dust.base if self.dust else None),
            "dust_quote": _number(self.dust.quote if self.dust else None),
            "spot_base": _number(view.spot_base if view else None),
            "perp_base": _number(view.perp_base if view else None),
            "realised_quote": _number(view.realised_quote if view else None),
            "unrealised_quote": _number(view.unrealised_quote if view else None),
            "funding_quote": _number(view.funding_quote if view else None),
            "fees_quote": _number(view.fees_quote if view else None),
            "profit_quote": _number(view.profit_quote if view else None),
            "settlements": view.settlements if view else None,
            **self._market_json(),
        }

    def _market_json(self) -> dict[str, object]:
        """What it was weighed on, JSON values: prices and margin in quote, rates as fractions a year."""
        account, outlook = self.account, self.outlook
        return {
            "spot_price": _number(account.spot_price if account else None),
            "mark_price": _number(account.mark_price if account else None),
            "margin_quote": _number(account.margin_quote if account else None),
            "basis_bps": _known(self.basis_bps),
            "present_funding_apr": _known(self.present_funding_apr),
            "expected_funding_apr": _known(outlook.expected_apr if outlook else None),
            "liquidation_distance": _known(self.liquidation_distance),
        }


@dataclass(frozen=True, slots=True)
class CycleReport:
    """One decision cycle."""

    at_ms: int
    status: CycleStatus
    decision: Decision
    """The one that decided; its reason is the line's reason code."""
    symbol: str = ""
    """That it is about; what is told of one symbol is told of this one."""
    symbols: Mapping[str, SymbolReport] = field(default_factory=dict)
    """All that were looked at, what is held first."""
    equity_quote: Decimal | None = None
    """Cash of both wallets, our spot and our dust at their bid-ask mid, unrealised; foreign coins are not in it.
    None: not read.
    """
    cash_quote: Decimal | None = None
    """Both wallets' quote, without unrealised."""
    identity: Identity | None = None
    """Of the account; None: flat, or not read."""
    checks: tuple[Decision, ...] = ()
    """Every rule that was asked."""
    differences: tuple[Difference, ...] = ()
    orders: tuple[OrderRecord, ...] = ()
    """Sent in this cycle."""
    fills: tuple[BookedFill, ...] = ()
    """Booked in this cycle."""
    funding_booked_quote: Decimal = Decimal(0)
    """Booked in this cycle."""
    max_unhedged_s: float = 0.0
    """Of this cycle's sagas."""
    flat_s: float | None = None
    """Seconds until the venue said flat; None: no flattening in this cycle."""
    stage_s: Mapping[str, float] = field(default_factory=dict)
    """Real seconds of each stage."""

    @property
    def main(self) -> SymbolReport:
        """The symbol that the decision is about."""
        return self.symbols.get(self.symbol, SymbolReport(self.symbol))

    @property
    def held(self) -> tuple[SymbolReport, ...]:
        """The symbols in which something is held."""
        return tuple(one for one in self.symbols.values() if one.position is not None)

    @property
    def position(self) -> CarryPosition | None:
        """What is held in the deciding symbol."""
        return self.main.position

    @property
    def performance(self) -> Performance | None:
        """Of the deciding symbol."""
        return self.main.performance

    @property
    def account(self) -> VenueAccount | None:
        """The account as the deciding symbol sees it."""
        return self.main.account

    @property
    def dust(self) -> Dust | None:
        """Of the deciding symbol."""
        return self.main.dust

    @property
    def outlook(self) -> Outlook | None:
        """Of the deciding symbol."""
        return self.main.outlook

    @property
    def basis_bps(self) -> float | None:
        """Of the deciding symbol."""
        return self.main.basis_bps

    @property
    def quality(self) -> float:
        """0..100 of the data the decision rests on."""
        return self.main.quality

    @property
    def reason(self) -> Reason:
        """The audit line's reason code."""
        return self.decision.reason

    def equity_json(self) -> dict[str, object]:
        """The identity's terms, JSON values, quote: the account's, the deciding symbol's, and those of all held."""
        books = self.identity
        return {
            "equity_quote": _number(self.equity_quote),
            "cash_quote": _number(self.cash_quote),
            **self.main.terms_json(),
            "identity_error_quote": _number(books.error_quote if books else None),
            "positions": [{"symbol": one.symbol, **one.terms_json()} for one in self.held],
        }

    def risk_json(self) -> dict[str, object]:
        """The deciding rule with both numbers, and every rule asked."""
        return {**_decision(self.decision), "checks": [_decision(check) for check in self.checks]}

    def orders_json(self) -> list[dict[str, object]]:
        """Orders of this cycle as the audit line carries them."""
        return [
            {
                "client_id": record.order.client_id,
                "venue_id": record.venue_id,
                "market": record.order.market.value,
                "symbol": record.order.symbol,
                "side": record.order.side.value,
                "type": record.order.type.value,
                "quantity_base": str(record.order.quantity_base),
                "filled_base": str(record.filled_base),
                "average_price": _number(record.average_price),
                "status": record.status.value,
            }
            for record in self.orders
        ]

    def fills_json(self) -> list[dict[str, object]]:
        """Fills booked in this cycle as the audit line carries them."""
        return [
            {
                "venue_trade_id": booked.fill.venue_trade_id,
                "venue_order_id": booked.fill.venue_order_id,
                "market": booked.fill.market.value,
                "symbol": booked.fill.symbol,
                "side": booked.fill.side.value,
                "quantity_base": str(booked.fill.quantity_base),
                "price": str(booked.fill.price),
                "fee": str(booked.fill.fee),
                "fee_asset": booked.fill.fee_asset,
                "ours": booked.is_ours,
            }
            for booked in self.fills
        ]


def _decision(decision: Decision) -> dict[str, object]:
    value, limit = (_finite(number) for number in (decision.value, decision.limit))
    return {
        "allowed": decision.allowed,
        "reason": decision.reason.value,
        "value": value,
        "limit": limit,
        "note": decision.note,
    }


def _finite(value: float) -> float | str:
    return value if abs(value) != float("inf") else str(value)


def _known(value: float | None) -> float | None:
    """None also of what is not a number, or infinite: a line of JSON has no words for them."""
    return value if value is not None and isfinite(value) else None


def _number(value: Decimal | None) -> str | None:
    return None if value is None else format(value.normalize(), "f")

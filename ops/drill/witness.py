"""Who says what is really open: the sandbox's own ledger, or the exchange itself, asked on another connection."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from ops.sandbox_process import SandboxProcess
from trading.domain.instrument import Market, coarser_lot
from trading.domain.venue import Venue
from trading.execution.intents import Intents

FEE_SHARE = Decimal("0.1")
"""Of a lot: what fees in coin may leave over beyond it."""


@dataclass(frozen=True, slots=True)
class Account:
    """What one symbol's account holds at one moment."""

    resting: int
    """Orders."""
    spot_base: Decimal
    """Coins, locked ones too."""
    perp_base: Decimal
    """Signed: short is negative."""


class Witness(Protocol):
    """Looks, and changes nothing."""

    every_s: float
    """Real seconds between two looks that it can be asked for."""

    async def look(self) -> Account:
        """What is open now. `TradingEngineError` when nobody answers."""


class Ledger:
    """The sandbox's ledger.

    Args:
        sandbox: Running.
        symbol: Whose account.
    """

    every_s = 0.05

    def __init__(self, sandbox: SandboxProcess, symbol: str) -> None:
        self._sandbox, self._symbol = sandbox, symbol

    async def look(self) -> Account:
        """What is open now."""
        told = await self._sandbox.ask("/sandbox/ledger")
        wallet = _rows(told, "spot").get(self._symbol.removesuffix("USDT"), {})
        coins = [Decimal(str(wallet.get(part, 0))) for part in ("free", "locked")] if isinstance(wallet, dict) else []
        positions, orders = told.get("positions"), told.get("open_orders")
        held = [Decimal(str(row["quantity"])) for row in positions] if isinstance(positions, list) else []
        return Account(len(orders) if isinstance(orders, list) else 0, sum(coins, Decimal(0)), sum(held, Decimal(0)))


class Exchange:
    """The exchange's own answers.

    Args:
        venue: A connection that nothing else of the rehearsal uses.
        symbol: Whose account.
    """

    every_s = 1.0

    def __init__(self, venue: Venue, symbol: str) -> None:
        self._venue, self._symbol = venue, symbol

    async def look(self) -> Account:
        """What is open now."""
        venue, symbol = self._venue, self._symbol
        resting = await asyncio.gather(*(venue.open_orders(market, symbol) for market in Market))
        balances = await venue.balances(Market.SPOT)
        position = await venue.position(symbol)
        base = (await venue.instrument(Market.SPOT, symbol)).base
        coins = balances[base].total if base in balances else Decimal(0)
        return Account(sum(map(len, resting)), coins, position.quantity_base)


async def lot_of(venue: Venue, symbol: str) -> Decimal:
    """How far two even legs may be apart: the coarser lot, and what fees in coin leave over; base."""
    spot, perp = [await venue.instrument(market, symbol) for market in (Market.SPOT, Market.PERP)]
    return coarser_lot(spot, perp) * (1 + FEE_SHARE)


def is_even(now: Account, before: Account, lot: Decimal) -> bool:
    """What was bought since `before` and what was sold short are the same."""
    return abs(now.spot_base - before.spot_base + now.perp_base) <= lot


def is_flat(now: Account, before: Account, lot: Decimal) -> bool:
    """Nothing rests, no contract is open, and of the coins bought no more is left than dust."""
    return now.resting == 0 and now.perp_base == 0 and now.spot_base - before.spot_base < lot


async def untrue_fills(venue: Venue, intents: Intents, symbol: str, *, since_ms: int) -> list[str]:
    """Every order whose fills at the exchange are not those of the journal; an order sent twice is one of them."""
    records = [record for record in intents.orders() if record.order.symbol == symbol]
    told: dict[tuple[Market, str], Decimal] = defaultdict(Decimal)
    for market in Market:
        for fill in await venue.fills(market, symbol, start_ms=since_ms):
            told[market, fill.venue_order_id] += fill.quantity_base
    wrong = []
    for record in records:
        found = told.pop((record.order.market, record.venue_id), Decimal(0))
        if found != record.filled_base:
            wrong.append(f"{record.order.client_id}: filled {found}, the journal has {record.filled_base}")
    unknown = (
        f"{market} order {number}: filled {base}, the journal has none" for (market, number), base in told.items()
    )
    return wrong + list(unknown)


def _rows(told: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = told.get(name)
    return found if isinstance(found, dict) else {}

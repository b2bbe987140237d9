"""What the venue in memory says of its power over a hedge; plain until a test changes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal

from trading.domain.account_events import AccountEvent
from trading.domain.hedge import ContractTerms, ForcedOrder, Listed
from trading.domain.instrument import Market
from trading.domain.market import Quote
from trading.domain.orders import Order

NEVER_MS = 4_133_404_800_000
HOUR_MS = 3_600_000


@dataclass
class FakeHedge:
    """Mixed into the venue."""

    adl: int = field(default=1, kw_only=True)
    forced: list[ForcedOrder] = field(default_factory=list, kw_only=True)
    status: dict[Market, str] = field(default_factory=dict, kw_only=True)
    delivery_ms: int = field(default=NEVER_MS, kw_only=True)
    terms: ContractTerms = field(default=ContractTerms(8 * HOUR_MS, 0.003, -0.003), kw_only=True)
    marks: dict[int, Decimal] = field(default_factory=dict, kw_only=True)
    """By settlement time."""
    dollar: float = field(default=1.0, kw_only=True)
    """A tether in USDC."""

    async def adl_quantile(self, symbol: str) -> int:
        with self._call("adl_quantile"):
            return self.adl

    async def forced_orders(self, symbol: str, *, start_ms: int) -> list[ForcedOrder]:
        with self._call("forced_orders"):
            return [order for order in self.forced if order.at_ms >= start_ms]

    async def listed(self, market: Market, symbol: str) -> Listed:
        with self._call(f"listed_{market}"):
            return Listed(self.status.get(market, "TRADING"), self.delivery_ms if market is Market.PERP else None)

    async def contract_terms(self, symbol: str) -> ContractTerms:
        with self._call("contract_terms"):
            return self.terms

    async def mark_at(self, symbol: str, at_ms: int) -> Decimal | None:
        with self._call("mark_at"):
            return self.marks.get(at_ms)

    async def account_events(self, *markets: Market) -> AsyncIterator[AccountEvent]:
        return
        yield

    def usdc(self, at_ms: int) -> Quote:
        """The venue's own book of USDC."""
        return Quote(Market.SPOT, "USDCUSDT", 1 / self.dollar, 1 / self.dollar, 1e6, 1e6, at_ms)

    @contextmanager
    def _call(self, name: str, order: Order | None = None) -> Iterator[str]:
        raise NotImplementedError
        yield ""

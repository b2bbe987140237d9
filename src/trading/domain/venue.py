"""What the lab asks of an exchange. `exchange/` implements it; every other room only knows these protocols.

Errors of every call: `NetworkDownError` when nothing answers, `RateLimitError` when told to stay away,
`DataProviderError` for an answer that is of no use; calls that send orders raise `OrderRejectedError` for a definite
no and `OutcomeUnknownError` for anything that leaves doubt.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Literal, Protocol

from trading.domain.account_events import AccountEvent
from trading.domain.hedge import ContractTerms, ForcedOrder, Listed
from trading.domain.instrument import Instrument, Market
from trading.domain.market import Bar, Book, FundingNow, FundingRate, Quote
from trading.domain.orders import (
    Balance,
    CollateralMove,
    FeeTier,
    Fill,
    Income,
    KeyPermissions,
    Order,
    OrderState,
    PerpPosition,
    Purse,
)

ExchangeName = Literal["binance", "kraken"]
"""Exchanges the lab can read; `trading.exchange.open_venue` opens them by these names."""


class MarketData(Protocol):
    """The public side of a venue; no key needed."""

    async def time_ms(self) -> int:
        """The venue's clock, UTC milliseconds."""

    async def instrument(self, market: Market, symbol: str) -> Instrument:
        """Filters of a symbol; cached by the implementation. `DataProviderError` when the venue does not list it."""

    async def klines(self, market: Market, symbol: str, interval: str, *, start_ms: int, limit: int) -> list[Bar]:
        """Up to `limit` candles from `start_ms` on, oldest first; the running one has `is_closed` False."""

    async def quote(self, market: Market, symbol: str) -> Quote:
        """Best bid and ask now."""

    async def book(self, market: Market, symbol: str, *, depth: int) -> Book:
        """The first `depth` levels of each side."""

    async def funding_now(self, symbol: str) -> FundingNow:
        """Rate estimate, next settlement, interval, cap, mark and index of a perpetual."""

    async def funding_history(self, symbol: str, *, start_ms: int, limit: int) -> list[FundingRate]:
        """Settled rates from `start_ms` on, oldest first."""

    def stream_bars(self, subscriptions: Sequence[tuple[Market, str, str]]) -> AsyncIterator[Bar]:
        """Live candles of (market, symbol, interval); reconnects by itself; ends when closed."""

    async def close(self) -> None:
        """Close every connection."""


class Venue(MarketData, Protocol):
    """The private side: an account that can trade."""

    async def permissions(self) -> KeyPermissions:
        """What the key may do."""

    async def fees(self, market: Market, symbol: str) -> FeeTier:
        """The account's own fee tier."""

    async def balances(self, market: Market) -> dict[str, Balance]:
        """Assets of the spot wallet, or of the futures wallet (wallet balance without unrealised profit)."""

    async def position(self, symbol: str) -> PerpPosition:
        """The perpetual position; quantity 0 when flat."""

    async def prepare_perp(self, symbol: str, *, leverage: int) -> None:
        """One-way mode, isolated margin, leverage; what is already so is left."""

    async def place(self, order: Order) -> OrderState:
        """Send an order once. Never retried inside. `OutcomeUnknownError` when the answer was lost."""

    async def find(self, market: Market, symbol: str, client_id: str) -> OrderState | None:
        """Look an order up by our id; None: the venue never accepted it."""

    async def cancel(self, market: Market, symbol: str, client_id: str) -> OrderState | None:
        """Cancel and return the final state, filled if that came first; None: unknown to the venue."""

    async def open_orders(self, market: Market, symbol: str) -> list[OrderState]:
        """All resting orders of a symbol, ours and foreign."""

    async def cancel_all(self, market: Market, symbol: str) -> None:
        """Cancel every resting order of a symbol; none is fine."""

    async def fills(self, market: Market, symbol: str, *, start_ms: int) -> list[Fill]:
        """Executions from `start_ms` on, oldest first."""

    async def income(self, symbol: str, *, start_ms: int) -> list[Income]:
        """Income records of the futures wallet from `start_ms` on, oldest first."""

    async def move_collateral(self, asset: str, amount: Decimal, *, to: Purse, symbol: str) -> str:
        """Move collateral once, between the wallets or into the position's isolated margin; the venue's id of it.
        Never retried inside. `OutcomeUnknownError` when the answer was lost.
        """

    async def collateral_moves(self, to: Purse, symbol: str, *, start_ms: int) -> list[CollateralMove]:
        """What was moved there from `start_ms` on, by anyone."""

    async def adl_quantile(self, symbol: str) -> int:
        """The short's place in the queue of auto-deleveraging, 0 (last) to 4 (next); 0 when flat."""

    async def forced_orders(self, symbol: str, *, start_ms: int) -> list[ForcedOrder]:
        """Closings that the venue made of ours from `start_ms` on, oldest first; settlements need not be among them."""

    async def listed(self, market: Market, symbol: str) -> Listed:
        """Status and announced end of a symbol, asked for now; of one that is gone the status is empty."""

    async def contract_terms(self, symbol: str) -> ContractTerms:
        """Funding interval, cap and floor of a perpetual, asked for now."""

    async def mark_at(self, symbol: str, at_ms: int) -> Decimal | None:
        """The mark price at a full hour that is over, quote; None: the venue does not have it."""

    def account_events(self, *markets: Market) -> AsyncIterator[AccountEvent]:
        """What happens to the account; holes are told. None named: both markets. Ends when closed."""

    async def arm_countdown(self, symbol: str, *, countdown_s: int) -> None:
        """Have the venue cancel all futures orders of a symbol unless renewed in time; 0 disarms."""

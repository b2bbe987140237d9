"""Binance spot and USD-M futures as the lab's venue. Orders are sent once, under our own client id, and never retried.

ccxt is loaded at the first call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from trading.domain.account_events import AccountEvent
from trading.domain.errors import (
    DataProviderError,
    OrderRejectedError,
    OrderValidationError,
    OutcomeUnknownError,
    SettingsError,
)
from trading.domain.instrument import Market
from trading.domain.orders import (
    Balance,
    FeeTier,
    Fill,
    Income,
    KeyPermissions,
    Order,
    OrderState,
    OrderType,
    PerpPosition,
)
from trading.exchange import parse_account
from trading.exchange.access import Access
from trading.exchange.answer import Answer, answers
from trading.exchange.binance_collateral import BinanceCollateral
from trading.exchange.binance_hedge import BinanceHedge
from trading.exchange.user_stream import UserStream

NOT_THERE = frozenset({-2011, -2013})
"""The venue knows no such order, or none that rests."""
BY_FILTER = frozenset({-1013, -1111, -4003, -4005, -4013, -4014, -4016, -4023, -4024, -4131, -4140, -4164})
"""An order was refused by a filter or the symbol's status: what we know of them is old."""
_PAGE = 1000
_FUTURES_WINDOW_MS = 7 * 86_400_000


class Binance(BinanceCollateral, BinanceHedge):
    """An account at Binance; implements `trading.domain.venue.Venue`.

    Args:
        access: Where it is, and as whom; without a key public data only.

    Raises:
        SettingsError: one half of a key without the other.
    """

    def __init__(self, access: Access) -> None:
        if (access.api_key is None) != (access.api_secret is None):
            raise SettingsError("BINANCE_API_KEY and BINANCE_API_SECRET: one is set without the other; set both")
        super().__init__(access)

    async def permissions(self) -> KeyPermissions:
        """What the key may do. The demo venue cannot say; its money cannot be withdrawn."""
        if self._access.testnet:
            account = await self._read(Market.SPOT, "privateGetAccount", {}, "spot account")
            can_trade = Answer.of(account, "spot account").flag("canTrade")
            return KeyPermissions(can_trade, can_trade, can_withdraw=False, is_ip_restricted=False)
        where = "key permissions"
        return parse_account.permissions(
            Answer.of(await self._read(Market.SPOT, "sapiGetAccountApiRestrictions", {}, where), where)
        )

    async def fees(self, market: Market, symbol: str) -> FeeTier:
        """The account's own fee tier, fractions of notional.

        Raises:
            DataProviderError: the venue does not list the symbol.
        """
        where = f"{market} {symbol} fees"
        if market is Market.PERP:
            answer = Answer.of(
                await self._read(market, "fapiPrivateGetCommissionRate", {"symbol": symbol}, where), where
            )
            return FeeTier(answer.number("makerCommissionRate"), answer.number("takerCommissionRate"))
        if self._access.testnet:
            account = Answer.of(await self._read(market, "privateGetAccount", {}, where), where)
            rates = Answer.of(account.fields.get("commissionRates"), where)
            return FeeTier(rates.number("maker"), rates.number("taker"))
        found = answers(await self._read(market, "sapiGetAssetTradeFee", {"symbol": symbol}, where), where)
        for entry in found:
            if entry.text("symbol") == symbol:
                return FeeTier(entry.number("makerCommission"), entry.number("takerCommission"))
        raise DataProviderError(f"{where}: the venue does not list {symbol}; check the symbol")

    async def balances(self, market: Market) -> dict[str, Balance]:
        """Assets of the spot wallet, or of the futures wallet (wallet balance without unrealised profit)."""
        where = f"{market} balances"
        if market is Market.SPOT:
            return parse_account.spot_balances(
                Answer.of(await self._read(market, "privateGetAccount", {}, where), where)
            )
        return parse_account.futures_balances(await self._read(market, "fapiPrivateV3GetBalance", {}, where), where)

    async def position(self, symbol: str) -> PerpPosition:
        """The perpetual position; quantity 0 when flat."""
        where = f"perp {symbol} position"
        config = await self._symbol_config(symbol)
        document = await self._read(Market.PERP, "fapiPrivateV3GetPositionRisk", {"symbol": symbol}, where)
        return parse_account.perp_position(symbol, document, config.leverage, where)

    async def prepare_perp(self, symbol: str, *, leverage: int) -> None:
        """One-way mode, isolated margin, leverage; what is already so is left."""
        where = f"perp {symbol} settings"
        mode = Answer.of(await self._read(Market.PERP, "fapiPrivateGetPositionSideDual", {}, where), where)
        if mode.flag("dualSidePosition"):
            await self._write(Market.PERP, "fapiPrivatePostPositionSideDual", {"dualSidePosition": "false"}, where)
        config = await self._symbol_config(symbol)
        if not config.is_isolated:
            params = {"symbol": symbol, "marginType": "ISOLATED"}
            await self._write(Market.PERP, "fapiPrivatePostMarginType", params, where)
        if config.leverage != leverage:
            params = {"symbol": symbol, "leverage": str(leverage)}
            await self._write(Market.PERP, "fapiPrivatePostLeverage", params, where)

    async def place(self, order: Order) -> OrderState:
        """Send an order once.

        Raises:
            OrderRejectedError: a definite no, with the venue's code.
            OutcomeUnknownError: anything that leaves doubt, an unreadable answer too.
        """
        where = f"{order.market} {order.symbol} {order.side} {order.quantity_base} {order.type} {order.client_id}"
        endpoint = "privatePostOrder" if order.market is Market.SPOT else "fapiPrivatePostOrder"
        try:
            answer = await self._write(order.market, endpoint, _order_params(order), where)
        except OrderRejectedError as error:
            if error.code in BY_FILTER:
                self._forget_filters(order.market, order.symbol)
            raise
        try:
            return parse_account.order_state(order.market, Answer.of(answer, where))
        except DataProviderError as error:
            raise OutcomeUnknownError(f"{error}; look it up by its client id, do not send it again") from error

    async def find(self, market: Market, symbol: str, client_id: str) -> OrderState | None:
        """Look an order up by our id; None: the venue never accepted it.

        A futures order can take a moment to become findable: ask again before trusting a None right after sending.
        """
        where = f"{market} {symbol} order {client_id}"
        params = {"symbol": symbol, "origClientOrderId": client_id}
        endpoint = "privateGetOrder" if market is Market.SPOT else "fapiPrivateGetOrder"
        try:
            answer = await self._read(market, endpoint, params, where)
        except DataProviderError as error:
            if _code(error) in NOT_THERE:
                return None
            raise
        return parse_account.order_state(market, Answer.of(answer, where))

    async def cancel(self, market: Market, symbol: str, client_id: str) -> OrderState | None:
        """Cancel and return the final state, filled if that came first; None: unknown to the venue.

        Raises:
            OutcomeUnknownError: no clear answer; cancelling again does no harm.
        """
        where = f"{market} {symbol} cancel {client_id}"
        params = {"symbol": symbol, "origClientOrderId": client_id}
        endpoint = "privateDeleteOrder" if market is Market.SPOT else "fapiPrivateDeleteOrder"
        try:
            answer = await self._write(market, endpoint, params, where)
        except OrderRejectedError as error:
            if error.code in NOT_THERE:
                return await self.find(market, symbol, client_id)
            raise
        try:
            return parse_account.order_state(market, Answer.of(answer, where))
        except DataProviderError as error:
            raise OutcomeUnknownError(f"{error}; look it up by its client id") from error

    async def open_orders(self, market: Market, symbol: str) -> list[OrderState]:
        """All resting orders of a symbol, ours and foreign; a foreign limit order reads as post-only: it rests."""
        where = f"{market} {symbol} open orders"
        endpoint = "privateGetOpenOrders" if market is Market.SPOT else "fapiPrivateGetOpenOrders"
        found = answers(await self._read(market, endpoint, {"symbol": symbol}, where), where)
        return [parse_account.order_state(market, row) for row in found]

    async def cancel_all(self, market: Market, symbol: str) -> None:
        """Cancel every resting order of a symbol; none is fine."""
        where = f"{market} {symbol} cancel all"
        endpoint = "privateDeleteOpenOrders" if market is Market.SPOT else "fapiPrivateDeleteAllOpenOrders"
        try:
            await self._write(market, endpoint, {"symbol": symbol}, where)
        except OrderRejectedError as error:
            if error.code not in NOT_THERE:
                raise

    async def fills(self, market: Market, symbol: str, *, start_ms: int) -> list[Fill]:
        """Executions from `start_ms` on, oldest first."""
        where = f"{market} {symbol} fills"
        endpoint = "privateGetMyTrades" if market is Market.SPOT else "fapiPrivateGetUserTrades"
        found = [
            parse_account.fill(market, row) for row in await self._pages(market, endpoint, symbol, start_ms, where)
        ]
        unique = {fill.venue_trade_id: fill for fill in found}
        return sorted(unique.values(), key=lambda fill: (fill.at_ms, int(fill.venue_trade_id)))

    async def income(self, symbol: str, *, start_ms: int) -> list[Income]:
        """Income records of the futures wallet for a symbol from `start_ms` on, oldest first."""
        where = f"perp {symbol} income"
        rows = await self._pages(Market.PERP, "fapiPrivateGetIncome", symbol, start_ms, where)
        unique = {(line.kind, line.venue_id, line.at_ms): line for line in map(parse_account.income, rows)}
        return sorted(unique.values(), key=lambda line: line.at_ms)

    async def arm_countdown(self, symbol: str, *, countdown_s: int) -> None:
        """Have the venue cancel all futures orders of a symbol unless renewed in time; 0 disarms."""
        where = f"perp {symbol} countdown"
        params = {"symbol": symbol, "countdownTime": str(countdown_s * 1000)}
        await self._write(Market.PERP, "fapiPrivatePostCountdownCancelAll", params, where)

    async def account_events(self, *markets: Market) -> AsyncIterator[AccountEvent]:
        """What happens to the account's orders, money and positions; holes are told. Ends when closed.

        Args:
            markets: Whose events; none named: both.
        """
        self._need_key("account stream")
        stream = UserStream(self._clock, self._line, markets or tuple(Market))
        self._streams.append(stream)
        try:
            async for event in stream.events():
                yield event
        finally:
            self._streams.remove(stream)

    async def _symbol_config(self, symbol: str) -> _SymbolConfig:
        where = f"perp {symbol} settings"
        document = await self._read(Market.PERP, "fapiPrivateGetSymbolConfig", {"symbol": symbol}, where)
        for entry in answers(document, where):
            if entry.text("symbol") == symbol:
                return _SymbolConfig(entry.whole("leverage"), entry.text("marginType").upper() == "ISOLATED")
        raise DataProviderError(f"{where}: the venue does not list {symbol}; check the symbol")

    async def _pages(self, market: Market, endpoint: str, symbol: str, start_ms: int, where: str) -> list[Answer]:
        """All rows of a paged listing from a start on. Futures look at most 7 days ahead of the start."""
        found: list[Answer] = []
        while True:
            params: dict[str, object] = {"symbol": symbol, "startTime": start_ms, "limit": _PAGE}
            if market is Market.PERP:
                params["endTime"] = start_ms + _FUTURES_WINDOW_MS - 1
            page = answers(await self._read(market, endpoint, params, where), where)
            found += page
            if len(page) == _PAGE:
                newest_ms = max(row.whole("time") for row in page)
                start_ms = newest_ms if newest_ms > start_ms else start_ms + 1
            elif market is Market.PERP and start_ms + _FUTURES_WINDOW_MS < self._clock.now_ms():
                start_ms += _FUTURES_WINDOW_MS
            else:
                return found


@dataclass(frozen=True, slots=True)
class _SymbolConfig:
    leverage: int
    is_isolated: bool


def _order_params(order: Order) -> dict[str, object]:
    """The venue's parameters of an order; numbers as plain decimals, never in exponent form."""
    params: dict[str, object] = {
        "symbol": order.symbol,
        "side": order.side.value.upper(),
        "quantity": f"{order.quantity_base:f}",
        "newClientOrderId": order.client_id,
        "newOrderRespType": "FULL" if order.market is Market.SPOT else "RESULT",
    }
    if order.type is OrderType.MARKET:
        params["type"] = "MARKET"
    elif order.price is None:
        name = f"{order.market} {order.symbol} {order.client_id}"
        raise OrderValidationError(f"{name}: price=None: a {order.type} order needs one")
    else:
        params["price"] = f"{order.price:f}"
        params |= _LIMITS[order.market, order.type]
    if order.reduce_only and order.market is Market.PERP:
        params["reduceOnly"] = "true"
    return params


_LIMITS: Mapping[tuple[Market, OrderType], Mapping[str, object]] = {
    (Market.SPOT, OrderType.POST_ONLY): {"type": "LIMIT_MAKER"},
    (Market.PERP, OrderType.POST_ONLY): {"type": "LIMIT", "timeInForce": "GTX"},
    (Market.SPOT, OrderType.LIMIT_IOC): {"type": "LIMIT", "timeInForce": "IOC"},
    (Market.PERP, OrderType.LIMIT_IOC): {"type": "LIMIT", "timeInForce": "IOC"},
}


def _code(error: DataProviderError) -> int | None:
    """The venue's code behind a refused read."""
    return getattr(error.__cause__, "venue_code", None)

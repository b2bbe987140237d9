"""Collateral at Binance: between the wallets (`asset/transfer`), and into an isolated position (`positionMargin`).

Neither takes an id of ours; what became of a move whose answer was lost is read from the venue's own history.

Source: https://developers.binance.com/docs/wallet/asset/user-universal-transfer
https://developers.binance.com/docs/derivatives/usds-margined-futures/trade/rest-api/Modify-Isolated-Position-Margin
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from trading.domain.errors import DataProviderError, OrderRejectedError, OutcomeUnknownError
from trading.domain.instrument import Market
from trading.domain.orders import CollateralMove, Purse
from trading.exchange.answer import Answer, answers
from trading.exchange.binance_signed import BinanceSigned

_DEMO = "Binance's demo venue has no wallet endpoints; move it on the demo web page"
_TRANSFER = {Purse.FUTURES: "MAIN_UMFUTURE", Purse.SPOT: "UMFUTURE_MAIN"}
_ADD = 1
"""`type` of `positionMargin`: into the position."""
_BY_USER = "USER_ADJUST"
"""`deltaType` of a margin that was moved by hand or by API, and not by a trade."""
_MOST_ROWS = 100


class BinanceCollateral(BinanceSigned):
    """The signed side of the wallets."""

    async def move_collateral(self, asset: str, amount: Decimal, *, to: Purse, symbol: str) -> str:
        """Move collateral once.

        Raises:
            OrderRejectedError: a definite no: too little is free, or the key may not (`permitsUniversalTransfer`).
            OutcomeUnknownError: no clear answer; look it up in `collateral_moves`.
        """
        if to is Purse.POSITION:
            return await self._add_margin(amount, symbol)
        where = f"transfer {amount} {asset} to {to}"
        if self._access.testnet:
            raise OrderRejectedError(f"{where}: {_DEMO}")
        params = {"type": _TRANSFER[to], "asset": asset, "amount": f"{amount:f}"}
        answer = await self._write(Market.SPOT, "sapiPostAssetTransfer", params, where)
        try:
            return Answer.of(answer, where).text("tranId")
        except DataProviderError as error:
            raise OutcomeUnknownError(f"{error}; look it up among the transfers") from error

    async def _add_margin(self, amount: Decimal, symbol: str) -> str:
        where = f"perp {symbol} add margin {amount}"
        params = {"symbol": symbol, "amount": f"{amount:f}", "type": str(_ADD)}
        answer = await self._write(Market.PERP, "fapiPrivatePostPositionMargin", params, where)
        if not isinstance(answer, Mapping) or str(answer.get("code")) != "200":
            raise OutcomeUnknownError(f"{where}: {str(answer)[:80]}; look it up among the margin changes")
        return ""

    async def collateral_moves(self, to: Purse, symbol: str, *, start_ms: int) -> list[CollateralMove]:
        """The last 100 moves from `start_ms` on."""
        where = f"{symbol} collateral moved to {to}"
        if to is Purse.POSITION:
            params: dict[str, object] = {"symbol": symbol, "type": str(_ADD), "startTime": start_ms}
            params["limit"] = _MOST_ROWS
            rows = answers(await self._read(Market.PERP, "fapiPrivateGetPositionMarginHistory", params, where), where)
            return [
                CollateralMove(to, row.text("asset"), row.decimal("amount"), row.whole("time"), str(row.whole("time")))
                for row in rows
                if row.fields.get("deltaType", _BY_USER) == _BY_USER
            ]
        if self._access.testnet:
            raise DataProviderError(f"{where}: {_DEMO}")
        params = {"type": _TRANSFER[to], "startTime": start_ms, "size": _MOST_ROWS}
        found = Answer.of(await self._read(Market.SPOT, "sapiGetAssetTransfer", params, where), where)
        rows = answers(found.fields.get("rows") or [], where)
        return [
            CollateralMove(to, row.text("asset"), row.decimal("amount"), row.whole("timestamp"), row.text("tranId"))
            for row in rows
            if row.text("status") == "CONFIRMED"
        ]

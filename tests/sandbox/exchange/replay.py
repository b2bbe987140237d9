"""A sandbox exchange on one perpetual's tape, traded over loopback HTTP with its clock stopped where orders are due."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import numpy as np

from sandbox.exchange.exchange import Key, Start
from sandbox.exchange.feed import Feed
from sandbox.exchange.instruments import Market
from sandbox.server import Town, build, serving
from tests.sandbox.exchange.conftest import save, save_bars

SYMBOL = "BTCUSDT"
FAST, STILL = 1e12, 1e-9
"""Sandbox seconds a real second: there at once, and as good as stopped."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a market order took, and the book it found."""

    order: int
    price: Decimal
    """Mean over its executions, quote."""
    quantity: Decimal
    fee: Decimal
    ms: int
    bids: list[list[str]]
    asks: list[list[str]]

    def walked(self, sign: int) -> Decimal:
        """The mean price of walking the published book, best first."""
        left, spent = self.quantity, Decimal(0)
        for price, size in self.asks if sign > 0 else self.bids:
            part = min(left, Decimal(size))
            spent, left = spent + part * Decimal(price), left - part
        assert left == 0
        return spent / self.quantity


@dataclass(slots=True)
class Replay:
    """The exchange's client: knows its port, its key and, for the touch of a stop, its price path."""

    http: aiohttp.ClientSession
    url: str
    key: Key
    feed: Feed
    now_ms: int
    _numbers: int = field(default=0)

    async def go(self, ms: int) -> None:
        """Let the tape run on to a moment and stop there."""
        numbers = {"scale": FAST, "until_ms": ms, "scale_after": STILL}
        async with self.http.post(f"{self.url}/sandbox/clock", json=numbers) as answer:
            assert (await answer.json())["now_ms"] == ms
        self.now_ms = ms

    async def call(self, method: str, path: str, **sent: object) -> Any:
        """A signed request; refusals fail the test."""
        query = urlencode({"symbol": SYMBOL, **sent, "timestamp": self.now_ms})
        sealed = hmac.new(self.key.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        headers, url = {"X-MBX-APIKEY": self.key.name}, f"{self.url}{path}?{query}&signature={sealed}"
        async with self.http.request(method, url, headers=headers) as answer:
            body = await answer.json()
        assert answer.status == 200, f"{method} {path} {sent}: {body}"
        return body

    async def market(self, sign: int, quantity: str, *, reduce_only: bool) -> Taken:
        """Send a market order; the book is asked for just before, in the same millisecond."""
        book = await self.call("GET", "/fapi/v1/depth", limit=1000)
        order = await self._send(sign, quantity, type="MARKET", reduceOnly="true" if reduce_only else "false")
        price, fee, ms = await self.executed(order)
        filled = Decimal((await self.call("GET", "/fapi/v1/order", orderId=order))["executedQty"])
        assert (ms, filled) == (book["E"], Decimal(quantity)), "the book stood still and was deep enough"
        return Taken(order, price, filled, fee, ms, book["bids"], book["asks"])

    async def rest(self, sign: int, quantity: str, price: str) -> int:
        """Leave a reduce-only limit order in the book; its id."""
        return await self._send(sign, quantity, type="LIMIT", price=price, timeInForce="GTC", reduceOnly="true")

    async def is_filled(self, order: int) -> bool:
        """Whether a resting order has been filled by now."""
        return bool((await self.call("GET", "/fapi/v1/order", orderId=order))["status"] == "FILLED")

    async def cancel(self, order: int) -> None:
        """Take a resting order back."""
        await self.call("DELETE", "/fapi/v1/order", orderId=order)

    async def executed(self, order: int) -> tuple[Decimal, Decimal, int]:
        """Mean price, fee and time of an order's executions."""
        rows = await self.call("GET", "/fapi/v1/userTrades", orderId=order)
        quantity = sum((Decimal(row["qty"]) for row in rows), Decimal(0))
        spent = sum((Decimal(row["price"]) * Decimal(row["qty"]) for row in rows), Decimal(0))
        fee = sum((Decimal(row["commission"]) for row in rows), Decimal(0))
        return spent / quantity, fee, int(rows[-1]["time"])

    async def wallet(self) -> Decimal:
        """The futures wallet, quote."""
        return Decimal((await self.call("GET", "/fapi/v3/account"))["totalWalletBalance"])

    async def income(self, kind: str, from_ms: int) -> Decimal:
        """The sum of one kind of income since a moment."""
        rows = await self.call("GET", "/fapi/v1/income", incomeType=kind, startTime=from_ms, limit=1000)
        return sum((Decimal(row["income"]) for row in rows), Decimal(0))

    async def _send(self, sign: int, quantity: str, **order: str) -> int:
        self._numbers += 1
        side = "BUY" if sign > 0 else "SELL"
        sent = {"side": side, "quantity": quantity, "newClientOrderId": f"witness-{self._numbers}", **order}
        return int((await self.call("POST", "/fapi/v1/order", **sent))["orderId"])


@asynccontextmanager
async def replaying(folder: Path, bars: np.ndarray, funding: np.ndarray) -> AsyncIterator[Replay]:
    """Open the exchange at the first of (6, n) hourly bars; funding is (2, m) of times and rates."""
    save_bars(folder / f"perp_{SYMBOL}_1h.parquet", bars)
    save(folder / f"funding_{SYMBOL}.parquet", {"funding_time": funding[0], "funding_rate": funding[1]})
    start_ms, key = int(bars[0, 0]), Key()
    built = build(Town(Start(folder, (SYMBOL,), start_ms, futures_usdt=Decimal(1_000_000)), key))
    async with serving(built) as opened, aiohttp.ClientSession() as http:
        feed = built.exchange.listing(Market.PERP, SYMBOL).feed
        yield Replay(http, f"http://127.0.0.1:{opened.port}", key, feed, start_ms)

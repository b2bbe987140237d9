"""An account's own events over kept sockets: futures by a listen key that is renewed, spot by a signed subscription.

Whatever could have been missed is said as `AccountUnseen`: at the start, after every break, and for an event that makes
no sense. Whoever listens then looks orders and balances up by REST.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial

import structlog

from trading.domain.account_events import AccountEvent, AccountUnseen
from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError, TradingEngineError
from trading.domain.instrument import Market
from trading.exchange.answer import Answer
from trading.exchange.kept_socket import KeptSocket
from trading.exchange.parse_user import account_event
from trading.exchange.socket_events import SocketEvents
from trading.exchange.sockets import Dial, OnMessage, SocketPlan, VenueLine

log = structlog.get_logger()

RENEW_S = 1_500.0
"""A listen key dies after 3600 s without renewal, lab seconds."""
_AGAIN_S = 60.0
"""After a renewal that was not answered, lab seconds."""


class UserStream:
    """One account's events.

    Args:
        clock: Lab time.
        line: The venue's line of a market.
        markets: Whose events.
    """

    def __init__(self, clock: Clock, line: Callable[[Market], Awaitable[VenueLine]], markets: Sequence[Market]) -> None:
        self._clock, self._line = clock, line
        self._events = SocketEvents[AccountEvent]("account")
        self._lines: dict[Market, VenueLine] = {}
        dial = Dial(clock, self._listen, self._drop)
        self._sockets = [
            KeptSocket(
                dial,
                SocketPlan(market, "private", next(dial.numbers), ()),
                on_message=partial(self._hear, market),
                on_break=partial(self._unseen, market),
            )
            for market in markets
        ]

    async def stop(self) -> None:
        """End the iteration and the connections."""
        await self._events.stop()

    def events(self) -> AsyncIterator[AccountEvent]:
        """Events until `stop`; a bug in a connection's loop is raised here."""
        return self._events.read(self._sockets)

    async def _listen(self, plan: SocketPlan, on_message: OnMessage) -> None:
        line = self._lines[plan.market] = await self._line(plan.market)
        opened = partial(self._unseen, plan.market, "the stream begins here")
        if plan.market is Market.SPOT:
            await line.listen_account(plan, None, on_message, opened)
            return
        where = "perp listen key"
        found = Answer.of(await line.ask("fapiPrivatePostListenKey", {}, where=where), where)
        renewal = asyncio.create_task(self._renew(line, plan), name="listen-key")
        try:
            await line.listen_account(plan, found.text("listenKey"), on_message, opened)
        finally:
            renewal.cancel()

    async def _renew(self, line: VenueLine, plan: SocketPlan) -> None:
        """Keep the key alive. One that the venue no longer knows ends the connection; the next has a new one."""
        wait_s = RENEW_S
        while not await self._clock.wait_s(self._events.stopped, wait_s):
            try:
                await line.ask("fapiPrivatePutListenKey", {}, where="perp listen key renewal")
            except DataProviderError as error:
                log.warning("account.key_not_renewed", error=str(error))
                if getattr(error.__cause__, "venue_code", None) == _NO_SUCH_KEY:
                    line.drop(plan)
                    return
                wait_s = _AGAIN_S
            except TradingEngineError as error:
                log.warning("account.key_not_renewed", error=str(error))
                wait_s = _AGAIN_S
            else:
                wait_s = RENEW_S

    def _drop(self, plan: SocketPlan) -> None:
        if plan.market in self._lines:
            self._lines[plan.market].drop(plan)

    def _hear(self, market: Market, message: Mapping[str, object], _received_ms: int) -> None:
        event = message.get("event")
        data = event if isinstance(event, dict) else message
        if data.get("e") in ("listenKeyExpired", "eventStreamTerminated"):
            raise DataProviderError(f"{market} account stream: {data.get('e')}; it begins anew")
        try:
            found = account_event(market, data)
        except DataProviderError as error:
            log.warning("account.unreadable", market=market, error=str(error))
            found = AccountUnseen(market, str(error))
        if found is not None:
            self._events.put(found)

    def _unseen(self, market: Market, reason: str) -> None:
        self._events.put(AccountUnseen(market, reason))


_NO_SUCH_KEY = -1125

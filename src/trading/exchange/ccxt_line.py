"""One line to one market of Binance, through ccxt.

Importing ccxt takes most of a second, so this module is imported when the first call is made, in a thread. ccxt signs,
spaces, sends and classifies; what the answers mean is read in `parse_*.py`, from the venue's own documents, because
ccxt turns decimal texts into floats. What was received on the public side is recorded as it came, where somebody
records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import cast
from urllib.parse import urlsplit

import structlog

from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError, OrderRejectedError, RateLimitError, TradingEngineError
from trading.domain.instrument import Market
from trading.exchange.access import Access
from trading.exchange.budgeted import Budgeted
from trading.exchange.ccxt_alone import BaseError, client_of
from trading.exchange.ccxt_sockets import Sockets
from trading.exchange.errors import is_clock_error, translate
from trading.exchange.rate_plan import BINANCE, budget_of
from trading.exchange.request_weights import guardian_request_of, request_of
from trading.exchange.sockets import Asked, OnMessage, Reply, SocketPlan

log = structlog.get_logger()

_TIMEOUT_MS = 10_000
ACCEPTED_FOR_MS = 5_000
"""How long after its stamp the venue may still accept a request. Short, because after a crash an order that was meant
may arrive for just as long, and until then one leg may stand alone (`ExecutionSettings.absent_after_s` is longer)."""
_WS_PATHS = {"spot": "/spot", "linear": "/fut"}
_TIMED_FOR_S = 1_800.0
"""The venue's time is asked for again after this long: a machine's clock drifts, or is set."""
_SET_MS = 250
"""And where lab time has moved by so much against the time that nobody sets."""
_PUBLIC = ("public", "fapiPublic")
_BODY: ContextVar[str] = ContextVar("body", default="")
"""Text of the answer that the running task has just received."""


class _OurBinance(Budgeted):
    """What we change in ccxt's clients: time, error noting, and the text of answers."""

    lab_clock: Clock
    lab_offset_ms: int = 0

    def nonce(self) -> int:
        """Our clock as the venue reads its own, UTC milliseconds."""
        return self.lab_clock.now_ms() - self.lab_offset_ms

    def get_exceptions_by_url(self, url: str | None, exact_or_broad: str) -> object:
        """ccxt picks the error table by host name; on another host it is picked by path."""
        family = "linear" if url and ("/fapi/" in url or "/futures/data" in url) else "spot"
        return self.exceptions[family].get(exact_or_broad, {})  # type: ignore[attr-defined]

    def handle_errors(self, *args: object) -> object:
        """As ccxt, noting status, headers and code on the error.

        ccxt turns -2015 into a rate limit once a private call has worked; a withdrawn key would then look temporary.
        """
        self.options["hasAlreadyAuthenticatedSuccessfully"] = False  # type: ignore[attr-defined]
        code, headers, response = args[0], args[4], args[6]
        try:
            return super().handle_errors(*args)  # type: ignore[misc]
        except BaseError as error:
            _note(error, code, headers, response)
            raise

    def handle_http_status_code(self, *args: object) -> object:
        """As ccxt, noting the status on the error."""
        try:
            return super().handle_http_status_code(*args)  # type: ignore[misc]
        except BaseError as error:
            _note(error, args[0], None, None)
            raise

    def on_rest_response(self, *args: object) -> object:
        """As ccxt, keeping the text for the task that asked."""
        text = super().on_rest_response(*args)
        _BODY.set(str(text))
        return text


class _OurSpot(_OurBinance, client_of("binance", streams=True)):  # type: ignore[misc]
    """Spot."""


class _OurFutures(_OurBinance, client_of("binanceusdm", streams=True)):  # type: ignore[misc]
    """USD-M futures."""


def _note(error: BaseError, status: object, headers: object, response: object) -> None:
    error.http_status = status
    error.http_headers = headers
    code = response.get("code") if isinstance(response, dict) else None
    if isinstance(code, (int, str)) and str(code).lstrip("-").isdigit():
        error.venue_code = int(code)


class Line:
    """One market of the venue: requests, and connections with streams; implements `sockets.VenueLine`.

    Args:
        market: Spot or perpetual.
        access: Where and as whom.
    """

    def __init__(self, market: Market, access: Access) -> None:
        self._clock = access.clock
        self._quiet_until_s = float("-inf")
        self._is_timed = access.base_url is not None  # a venue of our own keeps the lab's time
        self._market = market
        self._client = (_OurSpot if market is Market.SPOT else _OurFutures)(_config(access))
        self._client.lab_clock = access.clock
        self._client.lab_name, self._client.lab_request = str(market), partial(request_of, market)
        if access.is_guardian:
            self._client.lab_request = partial(guardian_request_of, market)
        name = "binance-demo" if access.testnet else "binance"
        limits, base_url = BINANCE[market], access.base_url
        self._budget = budget_of(access.rate, name, market, limits, base_url=base_url, clock=access.clock)
        self._client.lab_budget = self._budget
        if access.testnet:
            self._client.enable_demo_trading(True)
        if access.base_url is not None:
            _redirect(self._client.urls["api"], access.base_url)
        self._record = access.record
        self._timed_s = float("inf") if self._is_timed else float("-inf")
        self._apart_ms = self._apart_now_ms()
        self._unsure_ms = 0
        """Half of the way there and back of the time: the venue's clock may show so much less than we reckon."""
        self._sockets = Sockets(self._client, market, access.clock, access.record)

    async def ask(self, endpoint: str, params: Mapping[str, object], *, writes: bool = False, where: str) -> object:
        """Send one request and return the venue's JSON.

        Args:
            endpoint: ccxt's name of the venue's method: `privatePostOrder`.
            params: The venue's own parameters.
            writes: It changes something at the venue; such a call is sent at most once.
            where: The call in words.

        Raises:
            TradingEngineError: see `errors.translate`.
        """
        self._refuse_while_quiet(where)
        await self._know_time(writes=writes, where=where)
        try:
            return await self._send(endpoint, params)
        except BaseError as error:
            if is_clock_error(error) and not writes:
                await self.read_time()
                return await self._again(endpoint, params, where)
            self._is_timed = self._is_timed and not is_clock_error(error)
            raise self._told(error, writes=writes, where=where) from error

    async def ask_stamped(self, endpoint: str, params: Mapping[str, object], *, where: str) -> Reply:
        """Send one request that changes nothing; the answer with its times, recorded where it is public.

        Raises:
            TradingEngineError: see `errors.translate`.
        """
        record = self._record if endpoint.startswith(_PUBLIC) else None
        asked = Asked(self._market, endpoint, params, self._clock.now_ms(), self._clock.real_s())
        try:
            await self._know_time(writes=False, where=where)
            asked_ms = self.venue_now_ms() - self._unsure_ms
            document = await self.ask(endpoint, params, where=where)
        except TradingEngineError as error:
            if record is not None:
                record.failed(asked, self._clock.now_ms(), str(error))
            raise
        reply = Reply(document, asked_ms, self._clock.now_ms())
        if record is not None:
            record.answer(asked, reply, _BODY.get())
        return reply

    async def read_time(self) -> int:
        """The venue's clock, UTC milliseconds; from now on our stamps follow it.

        Raises:
            TradingEngineError: see `errors.translate`; an answer without a time is a `DataProviderError`.
        """
        where = f"{self._market} time"
        self._refuse_while_quiet(where)
        before_ms = self._clock.now_ms()
        try:
            answer = await self._send("publicGetTime" if self._market is Market.SPOT else "fapiPublicGetTime", {})
        except BaseError as error:
            raise self._told(error, writes=False, where=where) from error
        if not isinstance(answer, dict) or not str(answer.get("serverTime", "")).isdigit():
            raise DataProviderError(f"{where}: no serverTime in the answer {str(answer)[:80]}")
        venue_ms = int(answer["serverTime"])
        after_ms = self._clock.now_ms()
        self._client.lab_offset_ms = (before_ms + after_ms) // 2 - venue_ms
        self._unsure_ms = (after_ms - before_ms + 1) // 2
        self._is_timed, self._timed_s, self._apart_ms = True, self._clock.real_s(), self._apart_now_ms()
        return venue_ms

    def venue_now_ms(self) -> int:
        """What the venue's clock shows now by our reckoning, UTC milliseconds."""
        return self._client.nonce()

    async def listen(self, plan: SocketPlan, on_message: OnMessage) -> None:
        """Keep one connection with its streams until it breaks or is dropped; see `Sockets.listen`."""
        await self._sockets.listen(plan, on_message)

    async def listen_account(
        self, plan: SocketPlan, listen_key: str | None, on_message: OnMessage, on_open: Callable[[], None]
    ) -> None:
        """Keep the account's own connection; see `Sockets.listen_account`."""
        if listen_key is None and not self._is_timed:
            await self.read_time()
        await self._sockets.listen_account(plan, listen_key, on_message, on_open)

    def drop(self, plan: SocketPlan) -> None:
        """Tear one connection down; its `listen` raises."""
        self._sockets.drop(plan)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()
        if self._budget is not None:
            self._budget.close()

    async def _know_time(self, *, writes: bool, where: str) -> None:
        """Have the venue's time. Without it nothing that changes something is sent; for a newer one no order waits."""
        is_old = self._clock.real_s() - self._timed_s > _TIMED_FOR_S
        was_set = self._clock.is_real and abs(self._apart_now_ms() - self._apart_ms) > _SET_MS
        if self._is_timed and (writes or not (is_old or was_set)):
            return
        try:
            await self.read_time()
        except TradingEngineError as error:
            if self._is_timed:  # the last offset stays, and the next request asks again
                log.warning("venue.time_not_read", market=self._market, error=str(error))
            elif writes and isinstance(error, DataProviderError):
                raise OrderRejectedError(f"{where}: not sent, the venue's clock cannot be read: {error}") from error
            else:
                raise

    def _apart_now_ms(self) -> float:
        """What lab time is ahead of the time that nobody sets."""
        return self._clock.now_ms() - self._clock.monotonic_s() * 1000.0

    async def _send(self, endpoint: str, params: Mapping[str, object]) -> object:
        answer: object = await getattr(self._client, endpoint)(dict(params))
        if self._budget is not None and endpoint.endswith("GetExchangeInfo"):
            self._budget.learn(answer)
        return answer

    async def _again(self, endpoint: str, params: Mapping[str, object], where: str) -> object:
        try:
            return await self._send(endpoint, params)
        except BaseError as error:
            raise self._told(error, writes=False, where=where) from error

    def _told(self, error: BaseError, *, writes: bool, where: str) -> Exception:
        told = translate(error, writes=writes, where=where)
        if isinstance(told, RateLimitError):
            self._quiet_until_s = self._clock.monotonic_s() + told.retry_after_s
        return told

    def _refuse_while_quiet(self, where: str) -> None:
        left_s = self._quiet_until_s - self._clock.monotonic_s()
        if left_s > 0:
            raise RateLimitError(f"{where}: the venue asked us to stay away; {left_s:.0f} s left", retry_after_s=left_s)


def _config(access: Access) -> dict[str, object]:
    config: dict[str, object] = {
        "timeout": _TIMEOUT_MS,
        "enableRateLimit": access.base_url is None,  # Binance weighs requests; a venue of our own does not
        "timeout_on_exit": 250 if access.base_url is None else 0,  # ms; lets TLS connections say goodbye
        "options": {
            "fetchCurrencies": False,
            "fetchMargins": False,
            "warnOnFetchOpenOrdersWithoutSymbol": False,
            "timeDifference": 0,
            "recvWindow": ACCEPTED_FOR_MS,
            "crossMarginPairsData": [],  # read by ccxt's own loading, which `know` replaces
            "isolatedMarginPairsData": [],
        },
    }
    if access.api_key is not None and access.api_secret is not None:
        config["apiKey"] = access.api_key.get_secret_value()
        config["secret"] = access.api_secret.get_secret_value()
    return config


def _redirect(api: dict[str, object], base_url: str) -> None:
    """Point every URL at another host, paths kept. `linear` must go on ending in `/ws`: ccxt rewrites that."""
    base = base_url.rstrip("/")
    sockets = base.replace("http", "ws", 1)
    for name, url in api.items():
        if isinstance(url, str):
            api[name] = base + urlsplit(url).path
    streams = cast(dict[str, object], api["ws"])
    for name, url in streams.items():
        if isinstance(url, dict):
            for kind, address in url.items():
                url[kind] = f"{sockets}/wsapi-{kind}{urlsplit(address).path}"
        elif isinstance(url, str):
            streams[name] = sockets + _WS_PATHS.get(name, f"/{name}") + urlsplit(url).path

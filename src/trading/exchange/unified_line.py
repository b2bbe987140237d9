"""A line to a venue through ccxt's unified API.

Importing ccxt takes most of a second, so this module is imported when the first call is made, in a thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError, RateLimitError
from trading.domain.instrument import Market
from trading.exchange.access import Access
from trading.exchange.budgeted import Budgeted
from trading.exchange.ccxt_alone import BaseError, client_of
from trading.exchange.errors import translate
from trading.exchange.rate_plan import budget_of
from trading.exchange.rate_window import Priority
from trading.exchange.request_weights import Request
from trading.exchange.unified_terms import UnifiedTerms

_TIMEOUT_MS = 10_000
_ONE = Request(1, Priority.NORMAL)
_UNREADABLE = (TypeError, KeyError, IndexError, AttributeError, ValueError, ArithmeticError)
"""What ccxt's parsers raise on an answer of another shape than they know."""


class _Noting(Budgeted):
    """What we change in ccxt's client: status and headers are noted on the error."""

    lab_headers: object = None
    """Of the answer in hand; ccxt looks at its status right after its body."""

    def handle_errors(self, *args: object) -> object:
        """As ccxt, noting status and headers."""
        self.lab_headers = args[4]
        try:
            return super().handle_errors(*args)  # type: ignore[misc]
        except BaseError as error:
            error.http_status, error.http_headers = args[0], args[4]
            raise

    def handle_http_status_code(self, *args: object) -> object:
        """As ccxt, noting status and headers."""
        try:
            return super().handle_http_status_code(*args)  # type: ignore[misc]
        except BaseError as error:
            error.http_status, error.http_headers = args[0], self.lab_headers
            raise


class UnifiedLine:
    """Calls to one venue.

    Args:
        terms: Which, and its limits.
        access: Where; no keys are used.
    """

    def __init__(self, terms: UnifiedTerms, access: Access) -> None:
        self._clock: Clock = access.clock
        self._quiet_until_s = float("-inf")
        self._markets: dict[str, Mapping[str, object]] | None = None
        kind = type(f"Our_{terms.name}", (_Noting, client_of(terms.name, streams=False)), {})
        limits, base_url = terms.limits, access.base_url
        self._budget = budget_of(access.rate, terms.name, Market.SPOT, limits, base_url=base_url, clock=access.clock)
        config = {"timeout": _TIMEOUT_MS, "enableRateLimit": access.base_url is None, "timeout_on_exit": 0}
        self._client: Any = kind(config)
        self._client.lab_budget, self._client.lab_name = self._budget, terms.name
        self._client.lab_request = lambda *_: _ONE
        if access.base_url is not None:
            api = self._client.urls["api"]
            self._client.urls["api"] = dict.fromkeys(api, access.base_url.rstrip("/"))

    async def call(self, method: str, *words: object, where: str) -> object:
        """One call of ccxt's unified API, by ccxt's name of it.

        Raises:
            TradingEngineError: see `errors.translate`; an answer that ccxt cannot read is a `DataProviderError`.
        """
        left_s = self._quiet_until_s - self._clock.monotonic_s()
        if left_s > 0:
            raise RateLimitError(f"{where}: the venue asked us to stay away; {left_s:.0f} s left", retry_after_s=left_s)
        try:
            return cast(object, await getattr(self._client, method)(*words))
        except BaseError as error:
            told = translate(error, writes=False, where=where)
            if isinstance(told, RateLimitError):
                self._quiet_until_s = self._clock.monotonic_s() + told.retry_after_s
                if self._budget is not None:
                    self._budget.stay_away(told.retry_after_s)
            raise told from error
        except _UNREADABLE as error:
            raise DataProviderError(f"{where}: the venue's answer cannot be read: {type(error).__name__}") from error

    async def markets(self, *, where: str) -> Mapping[str, Mapping[str, object]]:
        """ccxt's entries of the spot markets by the lab's name (`BTCUSDT`), read once.

        Raises:
            TradingEngineError: as of `call`; an answer without markets is a `DataProviderError`.
        """
        if self._markets is None:
            found = await self.call("load_markets", where=where)
            if not isinstance(found, dict) or not found:
                raise DataProviderError(f"{where}: no markets in the venue's answer")
            self._markets = {f"{entry['base']}{entry['quote']}": entry for entry in found.values() if entry.get("spot")}
        return self._markets

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()
        if self._budget is not None:
            self._budget.close()

"""What a client of ccxt needs to live under a shared budget: a mix-in before the client's own class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import cast
from urllib.parse import urlsplit

from trading.domain.in_bulk import IN_BULK
from trading.exchange.rate_budget import RateBudget
from trading.exchange.rate_window import Priority
from trading.exchange.request_weights import Request

RequestOf = Callable[[str, str, str, Mapping[str, object]], Request]
"""What a request takes, by ccxt's section, the method, the path and the parameters."""


class Budgeted:
    """Every request waits for its place first, and every answer is heard; also requests that ccxt makes by itself."""

    lab_budget: RateBudget | None = None
    """None: ccxt spaces its requests itself."""
    lab_request: RequestOf
    lab_name: str = ""
    """Of the market, for messages."""

    async def throttle(self, cost: object = None) -> None:
        """ccxt's own spacing of requests, where no shared budget does that; its spacing of socket messages stays."""
        if self.lab_budget is None:
            await super().throttle(cost)  # type: ignore[misc]

    async def fetch2(
        self, path: str, api: str | Sequence[str], method: str, params: Mapping[str, object], config: object
    ) -> object:
        """As ccxt, with a place in the budget first: before the stamp and the signature, which age."""
        if self.lab_budget is not None:
            section = api if isinstance(api, str) else api[0]
            request = self.lab_request(section, method, path, params)
            if IN_BULK.get() and request.priority is Priority.NORMAL:
                request = replace(request, priority=Priority.BULK)
            await self.lab_budget.take(request, where=f"{self.lab_name} {method} {path}")
        return await super().fetch2(path, api, method, params, config)  # type: ignore[misc]

    def on_rest_response(self, *args: object) -> object:
        """As ccxt, letting the budget hear what the venue says of its limits."""
        if self.lab_budget is not None:
            status, url, method, headers = cast(tuple[int, str, str, Mapping[str, str]], (args[0], *args[2:5]))
            was_order = method == "POST" and urlsplit(url).path.endswith("/order")
            self.lab_budget.heard(status, headers, was_order=was_order)
        return super().on_rest_response(*args)  # type: ignore[misc]

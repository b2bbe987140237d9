"""Where and as whom the lab speaks to its venue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import SecretStr

from trading.domain.clock import Clock
from trading.domain.instrument import Market
from trading.exchange.rate_plan import RatePlan
from trading.exchange.sockets import Record, VenueLine


@dataclass(frozen=True, slots=True)
class Access:
    """Where and as whom a line speaks."""

    clock: Clock
    base_url: str | None = None
    """`http://host:port` of another venue that speaks Binance's protocol; None: Binance."""
    testnet: bool = False
    """Binance's demo trading venue, with keys of its own."""
    api_key: SecretStr | None = None
    api_secret: SecretStr | None = None
    rate: RatePlan | None = None
    """Where the budgets of requests lie that all processes of the lab share; None: this line minds only itself."""
    record: Record | None = None
    """Where everything public is written down as it came; None: nowhere."""
    is_guardian: bool = False
    """Every request may take from the share of the budgets that is kept for the guardian."""
    open_line: Callable[[Market], VenueLine] | None = None
    """Lines in place of ccxt's, such as a recording's; None: ccxt."""

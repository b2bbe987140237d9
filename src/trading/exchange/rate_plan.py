"""Which budget a line takes its requests from: one for each host and market, in the lab's own folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from trading.domain.clock import Clock
from trading.domain.instrument import Market
from trading.domain.loopback import is_loopback
from trading.exchange.rate_budget import RateBudget
from trading.exchange.rate_file import Limits, RateFile

log = structlog.get_logger(__name__)

BINANCE: Mapping[Market, Limits] = {Market.SPOT: Limits(6000, 100, 10), Market.PERP: Limits(2400, 300, 10)}
"""Until `exchangeInfo.rateLimits` was read. Source: Binance's documentation, spot and USD-M futures, "Limits"."""


@dataclass(frozen=True, slots=True)
class RatePlan:
    """Where the budgets lie that the processes of a lab share."""

    folder: Path
    """`state/rate` of the lab's home."""
    on_loopback: bool = False
    """A venue on this machine has a budget too. Else it has none, so that a rehearsal at a thousand times life runs."""


def budget_of(
    plan: RatePlan | None, name: str, market: Market, limits: Limits, *, base_url: str | None, clock: Clock
) -> RateBudget | None:
    """The budget of a host's market; None: the plan has none for it.

    Args:
        plan: None: no budgets at all.
        name: Of the venue, where it is the real one: `binance`, `binance-demo`.
        market: Spot and perpetuals are counted apart.
        limits: Until the venue has told its own.
        base_url: Of another host; None: the venue's own.
        clock: For the system's time.
    """
    if plan is None or (is_here(base_url) and not plan.on_loopback):
        return None
    host = name if base_url is None else re.sub(r"[^a-z0-9.]+", "_", urlsplit(base_url).netloc.lower())
    return RateBudget(RateFile(plan.folder / f"{host}-{market}", limits), clock)


def weights_used(folder: Path, now_ms: int) -> dict[str, tuple[float, float]]:
    """How much of each budget is used within the minute, and its limit, by the budget's name; one that cannot be read
    is logged and left out.

    Args:
        folder: `state/rate` of the lab's home.
        now_ms: The system's time.
    """
    found: dict[str, tuple[float, float]] = {}
    for path in sorted(folder.glob("*")):
        file = RateFile(path, BINANCE[Market.SPOT])
        try:
            weight = file.look(now_ms).weight
        except OSError as error:
            log.warning("rate.unreadable", file=str(path), error=str(error))
            continue
        finally:
            file.close()
        found[path.name] = float(weight.used(now_ms)), float(weight.limit)
    return found


def is_here(base_url: str | None) -> bool:
    """A venue on this machine."""
    host = urlsplit(base_url).hostname if base_url else None
    return host is not None and is_loopback(host)

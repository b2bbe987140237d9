"""What every cycle of a desk works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from trading.domain.decisions import Reason
from trading.domain.events import Severity
from trading.domain.instrument import Market
from trading.domain.market import FundingNow, Quote
from trading.execution.saga_steps import Tools
from trading.funding.again import Again
from trading.funding.carry_settings import CarrySettings
from trading.funding.hedge_look import HedgeWatch
from trading.funding.position import PositionStore
from trading.market.rolling import RecentPrices
from trading.market.validator_rules import ValidatorSettings
from trading.risk.counters import RiskCounters
from trading.risk.limits import RiskLimits
from trading.risk.pulse import Pulse


class Tell(Protocol):
    """Publishes an event and logs it."""

    def __call__(self, name: str, facts: Mapping[str, object], severity: Severity) -> None:
        """Name, facts and how loudly."""


@dataclass(frozen=True, slots=True)
class Room:
    """One desk's."""

    tools: Tools
    store: PositionStore
    counters: RiskCounters
    carry: CarrySettings
    limits: RiskLimits
    validator: ValidatorSettings
    tell: Tell
    pulse: Pulse
    """How well the exchange answers; the breakers read it."""
    hedge: HedgeWatch
    """What was read of what breaks the hedge, and what was told of it."""
    again: Again = field(default_factory=Again)
    """Entries that failed, and until when they rest."""
    too_large: list[Reason] = field(default_factory=list)
    """Limits that what is held had outgrown at the last look."""
    last_quotes: dict[tuple[Market, str], Quote] = field(default_factory=dict)
    """By market and symbol, of the last look; a jump since then is told by the validator."""
    last_funding: dict[str, FundingNow] = field(default_factory=dict)
    """By symbol, of the last look; a changed settlement interval is told by the validator."""
    recent_mids: dict[tuple[Market, str], RecentPrices] = field(default_factory=dict)
    """By market and symbol, of the looks before; what the validator holds a move against."""

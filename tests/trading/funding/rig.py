"""A carry desk over a venue in memory, with everything it publishes."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.trading.execution.fake_venue import HOUR_MS, FakeVenue
from tests.trading.execution.rig import START_MS
from trading.domain.events import Event
from trading.domain.market import FundingRate
from trading.execution.settings import ExecutionSettings
from trading.funding.carry_settings import CarrySettings
from trading.funding.cycle_base import Carry
from trading.funding.desk import CarryDesk, DeskSettings
from trading.funding.report import CycleReport
from trading.risk.kill_switch import Stop, read_stop
from trading.risk.limits import RiskLimits
from trading.storage.home import Home
from trading.strategy.parameters import CarryParameters
from trading.strategy.spec import StrategySpec, new_spec
from trading.strategy.spec_parts import Origin, SpecMarket, StrategyType

EIGHT_HOURS_MS = 8 * HOUR_MS
LAST_SETTLEMENT_MS = START_MS // EIGHT_HOURS_MS * EIGHT_HOURS_MS


def carry_parameters(**changes: float) -> CarryParameters:
    plain: dict[str, float] = {
        "entry_apr_pct": 8.0,
        "exit_apr_pct": -2.0,
        "max_basis_bps": 30.0,
        "leverage": 1,
        "rebalance_delta_pct": 2.0,
        "min_hold_fundings": 1,
        "capital_pct": 20.0,
    }
    return CarryParameters.model_validate({**plain, **changes})


def carry_spec(**changes: float) -> StrategySpec:
    return new_spec(
        name="Funding carry",
        type=StrategyType.FUNDING_CARRY,
        market=SpecMarket(exchange="binance", symbol="BTC/USDT:USDT", timeframe="1h"),
        parameters=carry_parameters(**changes),
        origin=Origin(author="test", thesis="longs pay for leverage"),
        at_ms=START_MS,
    )


def settled(rate: float = 0.0003, count: int = 90) -> list[FundingRate]:
    """Settlements every eight hours up to the start, with a little noise."""
    return [
        FundingRate(
            "BTCUSDT", LAST_SETTLEMENT_MS - (count - 1 - i) * EIGHT_HOURS_MS, rate * (1 + 0.1 * (i % 3 - 1)), 50_000.0
        )
        for i in range(count)
    ]


@dataclass
class DeskRig:
    """The desk; `reborn()` builds it anew from disk."""

    home: Home
    venue: FakeVenue
    limits: RiskLimits = field(default_factory=lambda: RiskLimits(live_scale_pct=100, cooldown_after_fill_s=0))
    execution: ExecutionSettings = field(default_factory=ExecutionSettings)
    carry: CarrySettings = field(default_factory=CarrySettings)
    environment: dict[str, str] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    desk: CarryDesk = field(init=False)

    def __post_init__(self) -> None:
        self.desk = CarryDesk(
            self.home,
            self.venue,
            settings=DeskSettings(self.carry, self.limits, self.execution),
            publish=self.events.append,
            clock=self.venue.clock,
            environment=self.environment,
        )

    def reborn(self) -> DeskRig:
        return DeskRig(self.home, self.venue, self.limits, self.execution, self.carry, self.environment, self.events)

    @property
    def stop(self) -> Stop:
        return read_stop(self.home, self.environment)

    async def cycle(self, spec: StrategySpec | None = None, *, armed: bool = True) -> CycleReport:
        return await self.desk.cycle([Carry(spec or carry_spec(), armed)], stop=self.stop)

    def names(self) -> list[str]:
        return [event.name for event in self.events]

    def about(self, name: str, fact: str = "symbol") -> set[object]:
        """What the events of that name say they are about."""
        return {event.facts.get(fact) for event in self.events if event.name == name}

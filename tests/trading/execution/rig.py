"""A lab's execution room on disk, around a venue that outlives its crashes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from tests.trading.execution.fake_venue import FakeVenue, spot_btc
from trading.domain.clock import Clock
from trading.execution.collateral import Collateral
from trading.execution.intent_records import Intent, Purpose
from trading.execution.intents import Intents
from trading.execution.live import LiveBroker
from trading.execution.saga_steps import SagaReport, Tools
from trading.execution.settings import ExecutionSettings
from trading.execution.two_legs import TwoLegs
from trading.risk.kill_switch import Stop

START_MS = 1_700_000_000_000
D = Decimal


class VirtualClock(Clock):
    """Lab time that passes only when somebody sleeps or the venue is asked: a busy machine changes nothing."""

    def __init__(self) -> None:
        super().__init__(origin_ms=START_MS)
        self._ms = float(START_MS)

    def spend(self, lab_s: float) -> None:
        self._ms += lab_s * 1000

    def _now_ms(self) -> float:
        return self._ms

    def monotonic_s(self) -> float:
        return self._ms / 1000

    async def sleep_until_ms(self, lab_ms: float) -> None:
        self._ms = max(self._ms, lab_ms)
        await super().sleep_until_ms(0)


@dataclass
class Rig:
    """Journal, broker and saga; `reborn()` builds them anew from disk, as a restart does."""

    folder: Path
    venue: FakeVenue
    settings: ExecutionSettings = field(default_factory=ExecutionSettings)
    read_stop: Callable[[], Stop] = Stop
    intents: Intents = field(init=False)

    def __post_init__(self) -> None:
        self.intents = Intents(self.folder / "intents.jsonl")

    def reborn(self) -> Rig:
        """The same lab after a kill -9."""
        return Rig(self.folder, self.venue, self.settings, self.read_stop)

    @property
    def tools(self) -> Tools:
        clock = self.venue.clock
        broker = LiveBroker(self.venue, self.intents, clock=clock, settings=self.settings)
        collateral = Collateral(self.venue, self.intents, clock=clock, settings=self.settings)
        return Tools(self.venue, broker, collateral, self.intents, clock, self.settings, self.read_stop)

    def begin(self, purpose: Purpose, spot: str, perp: str, position: str = "c-1") -> Intent:
        return self.intents.begin(
            position, purpose, "BTCUSDT", (D(spot), D(perp)), leverage=1, at_ms=self.venue.clock.now_ms()
        )

    async def run(self, purpose: Purpose, spot: str, perp: str, position: str = "c-1") -> SagaReport:
        intent = self.begin(purpose, spot, perp, position)
        return await TwoLegs(intent, spot_btc(), self.venue.perp, self.tools).run()

    async def resume(self) -> list[SagaReport]:
        return [
            await TwoLegs(intent, spot_btc(), self.venue.perp, self.tools, resumed=True).run()
            for intent in self.intents.unfinished()
        ]

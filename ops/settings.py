"""`lab.yaml`: every setting that is no secret, validated once, at the door.

Units stand in the names. An unknown key is an error that names the nearest known one. The hash of what was read goes on
every record the lab writes.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from ai_brain.evidence.gate_settings import GateSettings
from ai_brain.evidence.living import LivingSettings
from ai_brain.llm.budget import BudgetSettings
from ai_brain.llm.gemini_settings import GeminiSettings
from ai_brain.llm.idea_settings import GeneratorSettings
from ai_brain.paper.settings import PaperSettings
from ai_brain.senses.news_settings import NewsSettings
from ai_brain.senses.onchain_settings import OnChainSettings
from ai_brain.senses.sentiment_settings import SentimentSettings
from ops.dashboard.settings import PageSettings
from ops.reader import MessageSettings
from ops.yaml_file import read_yaml
from trading.domain.venue import ExchangeName
from trading.execution.settings import ExecutionSettings
from trading.funding.carry_settings import CarrySettings
from trading.funding.hedge_settings import HedgeSettings
from trading.market.tape import Origin
from trading.market.validator_rules import ValidatorSettings
from trading.risk.guardian import GuardianSettings
from trading.risk.limits import RiskLimits
from trading.simulator.costs import CarryCosts
from trading.simulator.executors.settings import FarmSettings
from trading.simulator.fee_tiers import FeeSettings
from trading.storage.recording_settings import RecordingSettings


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Symbol = Annotated[str, Field(pattern=r"^[A-Z0-9]{2,12}USDT$")]
"""Base and quote in one word, on every exchange."""
MAX_MORE_SYMBOLS = 19


class VenueSettings(_Section):
    """Which exchange, and what there."""

    exchange: ExchangeName = "binance"
    """Whose market is read and traded on paper. kraken: spot only; see docs/venues.md."""
    symbol: Symbol = "BTCUSDT"
    """What the lab researches and trades, base and quote in one word, on every exchange; the regime is of it."""
    more_symbols: Annotated[tuple[Symbol, ...], Field(max_length=MAX_MORE_SYMBOLS)] = ()
    """Researched and traded beside it, at most 19; every idea about any of them counts in the one ledger."""
    base_url: str | None = None
    """Everything goes there instead of to the exchange: a sandbox on loopback. None: the real thing."""
    follow_sandbox_clock: bool = False
    """Lab time is the sandbox's. Only together with base_url."""

    @field_validator("more_symbols")
    @classmethod
    def _each_once(cls, more: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        named = Counter([str(info.data.get("symbol")), *more])
        if twice := [symbol for symbol, times in named.items() if times > 1]:
            raise ValueError(f"{twice[0]} is named twice")
        return more

    @property
    def symbols(self) -> tuple[str, ...]:
        """All of them, the first one first."""
        return (self.symbol, *self.more_symbols)

    @property
    def origin(self) -> Origin:
        """What the candles that it gives are: `live`, or of a sandbox `recorded`."""
        return "live" if self.base_url is None else "recorded"


class TelegramSettings(_Section):
    """Where Telegram is."""

    base_url: str | None = None
    """None: api.telegram.org."""


class ResearchSettings(_Section):
    """What strategies are tested on."""

    history_days: Annotated[int, Field(ge=30, le=3650)] = 730
    """How far back research looks, days."""
    timeframe: Literal["5m", "15m", "1h", "4h"] = "1h"
    """Bars of research and paper trading."""
    live_bars: Annotated[int, Field(ge=200, le=20_000)] = 1500
    """Closed bars kept at hand of each live market."""


class ServiceSettings(_Section):
    """The service itself."""

    loop_s: Annotated[int, Field(ge=5, le=240)] = 60
    """Between two trading cycles, lab seconds; the watchman takes a heartbeat of 300 s for a frozen lab."""
    grace_s: Annotated[float, Field(gt=0, le=4.5)] = 3.0
    """What running jobs that touch money get when the service is told to end, real seconds; the others get none."""
    bar_patience_s: Annotated[float, Field(ge=0, le=50)] = 20.0
    """How long a cycle waits for a candle that is due, lab seconds."""


class MetricsSettings(_Section):
    """Numbers for Prometheus, see docs/metrics.md."""

    port: Annotated[int, Field(ge=0, le=65_535)] | None = None
    """Of 127.0.0.1, where the service shows them. None: nowhere; 0: a free one, told in the log."""


class LabSettings(_Section):
    """Everything in `lab.yaml`."""

    venue: VenueSettings = VenueSettings()
    service: ServiceSettings = ServiceSettings()
    telegram: TelegramSettings = TelegramSettings()
    messages: MessageSettings = MessageSettings()
    research: ResearchSettings = ResearchSettings()
    fees: FeeSettings = FeeSettings()
    gate: GateSettings = GateSettings()
    living: LivingSettings = LivingSettings()
    gemini: GeminiSettings = GeminiSettings()
    budget: BudgetSettings = BudgetSettings()
    ideas: GeneratorSettings = GeneratorSettings()
    news: NewsSettings = NewsSettings()
    onchain: OnChainSettings = OnChainSettings()
    sentiment: SentimentSettings = SentimentSettings()
    validator: ValidatorSettings = ValidatorSettings()
    recording: RecordingSettings = RecordingSettings()
    paper: PaperSettings = PaperSettings()
    risk: RiskLimits = RiskLimits()
    carry: CarrySettings = CarrySettings()
    hedge: HedgeSettings = HedgeSettings()
    execution: ExecutionSettings = ExecutionSettings()
    farm: FarmSettings = FarmSettings()
    guardian: GuardianSettings = GuardianSettings()
    metrics: MetricsSettings = MetricsSettings()
    page: PageSettings = PageSettings()

    def carry_costs(self) -> CarryCosts:
        """What a backtest charges a carry, and what its decision weighs: the live desk's own weights."""
        return replace(self.fees.carry_costs(), weights=self.carry.weights())


def read_settings(path: Path) -> LabSettings:
    """`lab.yaml`; a missing file means every default.

    Raises:
        SettingsError: see `read_yaml`.
    """
    return read_yaml(path, LabSettings)


def config_hash(settings: BaseModel) -> str:
    """Twelve hex digits that change when any setting does."""
    text = json.dumps(settings.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]

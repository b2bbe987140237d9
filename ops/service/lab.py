"""One running lab: all it is made of, and what it remembers between two cycles. Built by `ops/service/wiring.py`."""

from __future__ import annotations

import asyncio
import os
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ai_brain.desk.tuner import Adjustment, CycleMark
from ai_brain.evidence.case import Bench
from ai_brain.hypothesis_generator import HypothesisGenerator
from ai_brain.paper.parity import Parity
from ai_brain.paper_trading_engine import PaperEngine
from ai_brain.senses.fear_greed import FearGreedIndex
from ai_brain.senses.news_fetcher import NewsFetcher
from ai_brain.senses.onchain_monitor import OnChainMonitor
from ai_brain.senses.regime.label import UNKNOWN, Regime
from ai_brain.senses.sense_record import SenseRecord
from ops.environment import Environment
from ops.history.shelf import History
from ops.numbers import LastDecision
from ops.period import reasons_since
from ops.settings import LabSettings
from ops.telling.messages import Messenger
from ops.trace.live_records import Holdings, read_holdings
from trading.domain.clock import DAY_MS, Clock
from trading.domain.decisions import Decision
from trading.domain.errors import TradingEngineError
from trading.domain.events import Event, Publish, Severity
from trading.domain.instrument import Instrument, Market
from trading.domain.venue import MarketData, Venue
from trading.funding.desk import CarryDesk
from trading.funding.report import CycleReport
from trading.journal.audit import AuditLog
from trading.market.realtime_market_data import RealtimeMarketData
from trading.market.tape import Origin
from trading.notify.outbox import Outbox
from trading.storage.home import Home
from trading.strategy.repository import StrategyRepository

if TYPE_CHECKING:
    from ops.service.metrics import Meter

UNMEASURED = Regime(UNKNOWN, "no cycle yet")


@dataclass(frozen=True, slots=True)
class Setting:
    """Where this lab lives and under which settings."""

    home: Home
    settings: LabSettings
    environment: Environment
    config_hash: str
    market: Origin
    """Where bars come from: `live`, `recorded`, `downloaded` or `synthetic`."""

    @property
    def switches(self) -> Mapping[str, str]:
        """The environment as the kill switch reads it: `KILL=1` of `.env` counts like that of the process."""
        return {**os.environ, "KILL": "1"} if self.environment.kill else os.environ


@dataclass(slots=True)
class Memory:
    """What the service knows since its start; nothing here is needed to be right after a restart."""

    started_ms: int
    has_library: bool = False
    """The published effects have been written into the repository."""
    headlines_noted: set[tuple[str, int]] = field(default_factory=set)
    """Title and date of the headlines of the last round, which are on the senses' record."""
    key: Decision | None = None
    """What the exchange last said the trading key may do; None: not asked since the start."""
    last: LastDecision | None = None
    live: CycleReport | None = None
    live_start_quote: float = 0.0
    """Equity of the live account when it was first read; kept on disk."""
    live_start_flows_quote: float = 0.0
    """What the risk counters had as put in or taken out by then; kept with it."""
    live_flows_quote: float = 0.0
    """What the risk counters had as put in or taken out when `live` was read."""
    live_unexplained_quote: float = 0.0
    """Cash that the books could not explain when `live` was read."""
    qualities: Mapping[str, float] = field(default_factory=dict)
    """By symbol, 0 to 100, of its worse side at the last cycle; 0: what is here may not be traded on."""
    questions: Counter[str] = field(default_factory=Counter)
    """Asked of the language model since the start, by symbol."""
    regime: Regime = UNMEASURED
    """Of the market the lab trades, at the last cycle's newest bar; a description, nothing decides on it."""
    reasons: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=2000))
    """(time, reason) of cycles that did not trade."""
    not_judged: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Ideas that could not be judged, and on which tapes: the same bars give the same answer."""
    refused_ideas: Counter[str] = field(default_factory=Counter)
    """Ideas refused since the start, by reason: unparsable, duplicate, failed the gate."""
    errors: int = 0
    """Cycles that ended with an error of any kind."""
    bad_cycles: dict[str, Mapping[str, int]] = field(default_factory=dict)
    """Cycles in a row that were bad in some way, by the alert's name, then its key."""
    executed: int = 0
    cycles: deque[CycleMark] = field(default_factory=lambda: deque(maxlen=100))
    """The latest trading cycles, as the tuner looks at them."""
    tuned: tuple[Adjustment, ...] = ()
    """What the tuner found at its last look."""
    living: tuple[str, ...] = ()
    """Every life of every living strategy against its promise, as the last cycle found it, one line each."""
    parity_ms: int | None = None
    """When paper was last held against its backtest; None: not since the start."""
    parity: tuple[Parity, ...] = ()
    """What was found then, by strategy."""

    @property
    def quality(self) -> float:
        """Of the data as a whole: that of the worst symbol, 0 to 100."""
        return min(self.qualities.values(), default=0.0)

    @property
    def mean_quality(self) -> float:
        """Over the symbols: whether the exchange as a whole can be worked with."""
        return sum(self.qualities.values()) / len(self.qualities) if self.qualities else 0.0

    def no_trade_reasons(self, now_ms: int) -> Mapping[str, int]:
        """Reasons of the last day, by count."""
        return Counter(reason for at_ms, reason in self.reasons if at_ms > now_ms - DAY_MS)


def remembered(home: Home, now_ms: int) -> Memory:
    """The memory of a lab that starts: why the last day's cycles did not trade is on record, and outlives a restart.

    Raises:
        StateFileError: the audit file cannot be read.
    """
    memory = Memory(started_ms=now_ms)
    memory.reasons.extend(reasons_since(home, now_ms - DAY_MS))
    return memory


@dataclass(slots=True)
class Lab:
    """The rooms of one lab, wired."""

    setting: Setting
    clock: Clock
    publish: Publish
    memory: Memory
    audit: AuditLog
    outbox: Outbox
    messenger: Messenger
    venue: MarketData
    """What is read, and traded on paper."""
    account: Venue | None
    """Where live orders go; None: no trading keys."""
    market: RealtimeMarketData
    instruments: Mapping[tuple[Market, str], Instrument]
    """The filters of every market that is read, by side and symbol, read at the start."""
    history: History
    repository: StrategyRepository
    bench: Bench
    paper: PaperEngine
    news: NewsFetcher
    onchain: OnChainMonitor
    fear_greed: FearGreedIndex
    senses: SenseRecord
    """What each sense said and when the lab knew it, on disk."""
    generator: HypothesisGenerator | None
    """None: no language model is configured; the library of published effects is all there is."""
    desk: CarryDesk | None
    """None: no trading keys; paper only."""
    meter: Meter | None = None
    """None: nobody reads metrics."""
    failures: Callable[[], Mapping[str, int]] = dict
    """Jobs that failed the last time, with how often in a row; the service's schedule answers."""
    trading: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever talks to the account: the loop, or the watch that makes everything flat."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever has a process of its own think for long: at midnight all would, and one has memory enough."""

    @property
    def home(self) -> Home:
        """The lab's folder."""
        return self.setting.home

    @property
    def settings(self) -> LabSettings:
        """`lab.yaml`."""
        return self.setting.settings

    @property
    def symbols(self) -> tuple[str, ...]:
        """What is researched and traded: the symbols of the settings that the exchange lists."""
        return tuple(dict.fromkeys(symbol for _, symbol in self.instruments))

    @property
    def main_side(self) -> Market:
        """The market that ideas are about: the perpetual where there is one."""
        has_perp = any(side is Market.PERP for side, _ in self.instruments)
        return Market.PERP if has_perp else Market.SPOT

    def holdings(self) -> Holdings:
        """What is held live and what was, as the desk has it; its file may be a write behind, and is read without one.

        Raises:
            StateFileError: there is no desk, and the file makes no sense.
        """
        if self.desk is None:
            return read_holdings(self.home)
        return Holdings.model_construct(lives=self.desk.store.lives, closed=self.desk.store.closed)

    def tell(self, name: str, facts: Mapping[str, object], severity: Severity = Severity.INFO) -> None:
        """Publish an event stamped now."""
        self.publish(Event(self.clock.now_ms(), name, facts, severity))

    def failed(self, where: str, error: TradingEngineError) -> None:
        """Note an expected failure: counted, told in the journal, and an alert when it lasts."""
        self.memory.errors += 1
        self.tell("cycle.failed", {"where": where, "error": f"{type(error).__name__}: {error}"})

"""A paper engine over a live market that goes as far as a test lets it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ai_brain.paper.account import LearnedTerms
from ai_brain.paper.settings import PaperSettings
from ai_brain.paper_trading_engine import PaperEngine
from tests.ai_brain.markets import HOUR_MS, START_MS, funded_pair, planted, rule_spec
from trading.domain.clock import Clock
from trading.domain.events import Event
from trading.domain.instrument import Market
from trading.market.tape import Tape, make_tape
from trading.simulator.carry_weights import CarryWeights
from trading.simulator.costs import MarketRules
from trading.storage.home import Home
from trading.strategy.lifecycle import Stage, move
from trading.strategy.repository import StrategyRepository
from trading.strategy.spec import StrategySpec

HISTORY = 120
"""Bars before the paper accounts open."""


@dataclass
class Live:
    """A live market that has come so far; what it has not shown yet cannot be read."""

    tapes: dict[Market, Tape]
    shown: int = HISTORY
    why_blocked: str | None = None
    only: Market | None = None
    """Blocked is this market; None: all."""
    hidden: set[int] = field(default_factory=set)

    def tape(self, market: Market, symbol: str, interval: str, *, start_ms: int) -> Tape | None:
        whole = self.tapes[market]
        end_ms = START_MS + self.shown * HOUR_MS
        return whole.window(max(start_ms, whole.start_ms), end_ms) if end_ms > start_ms else None

    def blocked(self, market: Market, symbol: str, interval: str) -> str | None:
        return self.why_blocked if self.only in (None, market) else None

    def rules(self, spec: StrategySpec) -> MarketRules:
        return MarketRules()


@dataclass
class Lab:
    """An engine with its market, its clock and what it told."""

    home: Home
    live: Live
    settings: PaperSettings = field(default_factory=PaperSettings)
    told: list[Event] = field(default_factory=list)
    learned: LearnedTerms | None = None
    """What own fills have taught by now."""
    engine: PaperEngine = field(init=False)

    def __post_init__(self) -> None:
        self.repository = StrategyRepository(self.home.strategies)
        self.restart()

    def restart(self) -> None:
        now_ms = START_MS + self.live.shown * HOUR_MS + 5_000
        self.clock = Clock(scale=1e-6, origin_ms=now_ms)
        self.engine = PaperEngine(
            self.home,
            self.repository,
            self.settings,
            clock=self.clock,
            publish=self.told.append,
            weights=CarryWeights(),
            learned=lambda _: self.learned,
        )

    def add(self, spec: StrategySpec) -> StrategySpec:
        for stage in (Stage.BACKTESTING, Stage.DRY_RUN):
            spec = move(spec, stage, by="test", why="", at_ms=START_MS)
        self.repository.save(spec)
        return spec

    def play(self, bars: int, *, each: Callable[[], None] | None = None) -> None:
        for _ in range(bars):
            self.live.shown += 1
            self.engine.on_closed_bar(self.live)
            if each is not None:
                each()

    def events(self, name: str) -> list[Event]:
        return [event for event in self.told if event.name == name]


def rule_lab(home: Home, **settings: float) -> Lab:
    lab = Lab(home, Live({Market.PERP: planted(1200, 3, edge=0.006)}), PaperSettings(**settings))  # type: ignore[arg-type]
    lab.engine.on_closed_bar(lab.live)
    return lab


def carry_lab(home: Home) -> Lab:
    spot, perp = funded_pair(1200, 3, rate=0.0003)
    return Lab(home, Live({Market.SPOT: spot, Market.PERP: perp}))


BASIS = "basis_zscore(24) < -1"


def basis_spec() -> StrategySpec:
    """Buys the perpetual when it is cheap beside spot."""
    return rule_spec(BASIS, exits=("basis > basis_mean(12)",), max_hold_bars=6)


def without(tape: Tape, index: int | Sequence[int]) -> Tape:
    """The tape without these bars."""
    kept = np.delete(np.arange(len(tape)), index)
    names = ("open_time_ms", "open", "high", "low", "close", "volume_base")
    return make_tape(replace(tape, **{name: getattr(tape, name)[kept] for name in names}))


def without_spot_bar(lab: Lab, index: int) -> None:
    """The spot market has no such bar."""
    lab.live.tapes[Market.SPOT] = without(lab.live.tapes[Market.SPOT], index)

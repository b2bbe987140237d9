"""Builds a lab: the one place where rooms meet clients, files and settings. Opened in order, closed in reverse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import structlog

from ai_brain.desk.learned_file import read_learned
from ai_brain.evidence.case import Bench
from ai_brain.hypothesis_generator import HypothesisGenerator
from ai_brain.llm.budget import Budget
from ai_brain.paper_trading_engine import PaperEngine
from ai_brain.senses.fear_greed import FearGreedIndex
from ai_brain.senses.news_fetcher import NewsFetcher
from ai_brain.senses.onchain_monitor import OnChainMonitor
from ai_brain.senses.sense_record import SenseRecord
from ops.apart import at_hand
from ops.environment import Environment
from ops.history.shelf import History, shelf
from ops.judgement.costs_in_force import carry_in_force, paper_terms
from ops.learning import open_learning_db
from ops.service.lab import Lab, Setting, remembered
from ops.settings import LabSettings
from ops.telling.channels import set_up_channels
from ops.telling.messages import Messenger
from ops.venues import listed, make_market_data, make_second, make_venue
from trading.domain.clock import Clock
from trading.domain.errors import StateFileError
from trading.domain.events import Event, Publish, Severity
from trading.domain.instrument import Market
from trading.domain.venue import MarketData, Venue
from trading.exchange.open_venue import (
    MARKETS,
    TRADES_AT,
)
from trading.exchange.recording import Recorder
from trading.funding.desk import CarryDesk, DeskSettings
from trading.journal.audit import AuditLog
from trading.journal.audit_roots import ToldRoot, read_roots
from trading.journal.bus import Bus
from trading.market.realtime_market_data import LiveSettings, RealtimeMarketData
from trading.market.store import TapeStore
from trading.notify.console import Console
from trading.notify.message import Notifier
from trading.notify.outbox import Outbox
from trading.storage.home import Home
from trading.storage.raw_log import RawLog
from trading.strategy.repository import StrategyRepository

if TYPE_CHECKING:
    from ops.service.metrics import Meter

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_lab(setting: Setting, clock: Clock, bus: Bus, *, wake: asyncio.Event) -> AsyncIterator[Lab]:
    """A wired lab, for as long as the block runs. Nothing runs yet.

    Args:
        setting: Where, with which settings and secrets.
        clock: The lab's time.
        bus: Where rooms publish; the caller may listen too.
        wake: Set whenever a message was queued.

    Raises:
        TradingEngineError: a file of state cannot be used.
    """
    settings, environment = setting.settings, setting.environment
    bus.subscribe(log_event, name="log")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(at_hand())
        set_up_channels(setting.home, environment, settings)
        outbox = Outbox(setting.home.outbox, local=settings.messages.reader.local)
        is_synthetic, reader = setting.market == "synthetic", settings.messages.reader
        messenger = Messenger(outbox, clock, is_synthetic=is_synthetic, wake=wake.set, reader=reader)
        bus.subscribe(messenger.hear, name="messenger")
        repository = StrategyRepository(setting.home.strategies)
        recorder = make_recorder(setting, clock, stack)
        venue, account, second = open_lines(setting, clock, recorder, stack)
        database = open_learning_db(setting.home, environment)
        stack.callback(database.close)
        if recorder is not None:
            recorder.begin(subscriptions_of(settings), settings.research.live_bars)
        instruments = await listed(settings, venue, clock, publish=bus.publish)
        market = make_market(settings, venue, clock, list(instruments), publish=bus.publish)
        for instrument in instruments.values():
            market.know(instrument)
        loop = asyncio.get_running_loop()

        def publish_from_thread(event: Event) -> None:
            """Paper steps in a worker thread; the bus belongs to the loop."""
            loop.call_soon_threadsafe(bus.publish, event)

        yield Lab(
            setting=setting,
            clock=clock,
            publish=bus.publish,
            memory=remembered(setting.home, clock.now_ms()),
            audit=AuditLog(setting.home.audit_file, roots=told_roots(setting.home)),
            outbox=outbox,
            messenger=messenger,
            venue=venue,
            account=account,
            market=market,
            instruments=instruments,
            history=History(
                venue,
                TapeStore(shelf(setting.home, settings.venue.exchange)),
                clock,
                days=settings.research.history_days,
                origin=None if setting.market == "live" else setting.market,
                validator=settings.validator,
            ),
            repository=repository,
            bench=Bench.of(database, clock, settings.gate),
            paper=PaperEngine(
                setting.home,
                repository,
                settings.paper,
                clock=clock,
                publish=publish_from_thread,
                weights=settings.carry.weights(),
                learned=partial(paper_terms, setting.home, settings),
            ),
            news=await stack.enter_async_context(NewsFetcher(settings.news, clock)),
            onchain=await stack.enter_async_context(OnChainMonitor(settings.onchain, clock)),
            fear_greed=await stack.enter_async_context(FearGreedIndex(settings.sentiment, clock)),
            senses=SenseRecord(setting.home.state / "senses.jsonl"),
            generator=await make_generator(setting, clock, stack),
            desk=make_desk(setting, account, clock, bus, second=second),
            meter=make_meter(settings, clock, bus),
        )


class Lines(NamedTuple):
    """Connections to exchanges."""

    venue: MarketData
    """What is read."""
    account: Venue | None
    """What trades; None: there is no key."""
    second: MarketData | None
    """Who else says what the quote coin is worth; None: nothing is held, or nobody is asked."""


def open_lines(setting: Setting, clock: Clock, recorder: Recorder | None, stack: AsyncExitStack) -> Lines:
    """Connections that close with the lab; the one that trades is the one that is read, where it can be."""
    settings, environment, home = setting.settings, setting.environment, setting.home
    account, second = None, None
    if environment.binance_api_key is not None:
        account = make_venue(settings, environment, clock, home, record=recorder)
        stack.push_async_callback(account.close)
        second = make_second(settings, environment, clock, home)
    if second is not None:
        stack.push_async_callback(second.close)
    if account is not None and settings.venue.exchange == TRADES_AT:
        return Lines(account, account, second)
    venue = make_market_data(settings, environment, clock, home, record=recorder)
    stack.push_async_callback(venue.close)
    return Lines(venue, account, second)


def told_roots(home: Home) -> list[ToldRoot]:
    """Roots that were told of the audit file; those that cannot be read are for `verify-audit` to tell."""
    try:
        return read_roots(home.audit_roots_file)
    except StateFileError as error:
        log.warning("audit.roots_unread", error=str(error))
        return []


def make_recorder(setting: Setting, clock: Clock, stack: AsyncExitStack) -> Recorder | None:
    """The raw record of what the exchange sends, where the settings want one; its folder must not stop the lab."""
    settings = setting.settings.recording
    if not settings.enabled or setting.settings.venue.exchange != TRADES_AT:
        return None  # another exchange's candles are asked for, not streamed: there is no day to play back
    try:
        out = RawLog(setting.home.recordings, clock, max_bytes=settings.max_bytes, keep_days=settings.keep_days)
    except OSError as error:
        log.exception("recording.off", folder=str(setting.home.recordings), error=str(error))
        return None
    stack.callback(out.close)
    return Recorder(out, clock)


def subscriptions_of(settings: LabSettings) -> list[tuple[Market, str, str]]:
    """The live candles that the lab keeps: every symbol's markets."""
    sides, venue = MARKETS[settings.venue.exchange], settings.venue
    return [(side, symbol, settings.research.timeframe) for symbol in venue.symbols for side in sides]


def make_market(
    settings: LabSettings,
    venue: MarketData,
    clock: Clock,
    markets: Sequence[tuple[Market, str]],
    *,
    publish: Publish,
) -> RealtimeMarketData:
    """The live tapes of those markets."""
    live = LiveSettings(keep_bars=settings.research.live_bars, validator=settings.validator)
    subscriptions = [(side, symbol, settings.research.timeframe) for side, symbol in markets]
    return RealtimeMarketData(venue, clock, subscriptions, publish=publish, settings=live)


async def make_generator(setting: Setting, clock: Clock, stack: AsyncExitStack) -> HypothesisGenerator | None:
    """The language model, where there is a key for one."""
    key = setting.environment.gemini_api_key
    if key is None:
        return None
    from ai_brain.llm.gemini import Gemini  # a second and 45 MB that a lab without a model does not need

    model = await stack.enter_async_context(Gemini(setting.settings.gemini, api_key=key))
    budget = Budget(setting.home.state / "model_budget.json", setting.settings.budget, clock)
    return HypothesisGenerator(model, budget, setting.settings.ideas, clock)


def make_meter(settings: LabSettings, clock: Clock, bus: Bus) -> Meter | None:
    """What measures the lab, where somebody reads it."""
    if settings.metrics.port is None:
        return None
    from ops.service.metrics import Meter
    from trading.journal.metrics import Metrics  # a client library that a lab without metrics does not need

    metrics = Metrics()
    bus.subscribe(metrics.hear, name="metrics")
    return Meter(metrics, settings.carry_costs(), started_ms=clock.now_ms())


def make_desk(
    setting: Setting, account: Venue | None, clock: Clock, bus: Bus, *, second: MarketData | None = None
) -> CarryDesk | None:
    """The carry desk, where there are trading keys; also while another exchange is read: what is open must be kept."""
    if account is None:
        return None
    mine = setting.settings
    carry = carry_in_force(mine, read_learned(setting.home), *mine.venue.symbols)
    settings = DeskSettings(carry, mine.risk, mine.execution, mine.validator, mine.hedge)
    return CarryDesk(
        setting.home,
        account,
        settings=settings,
        publish=bus.publish,
        clock=clock,
        environment=setting.switches,
        second=second,
    )


@asynccontextmanager
async def open_notifier(environment: Environment, settings: LabSettings) -> AsyncIterator[Notifier]:
    """Telegram where there is a token, else the console."""
    if environment.telegram_token is None or environment.telegram_chat_id is None:
        yield Console()
        return
    from trading.notify.telegram import TELEGRAM_URL, Telegram  # 400 ms that a console does not need

    base_url = settings.telegram.base_url or TELEGRAM_URL
    async with Telegram(environment.telegram_token, environment.telegram_chat_id, base_url=base_url) as telegram:
        yield telegram


def log_event(event: Event) -> None:
    """Every event is a line of the log; what a human is alarmed about is a warning there."""
    write = log.warning if event.severity is Severity.ALERT else log.info
    write(event.name, event_ms=event.at_ms, **{f"fact_{key}": value for key, value in event.facts.items()})

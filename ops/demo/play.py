"""`./lab demo`: chooses a market, starts the sandbox and the lab, plays the story, tells what happened."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from pydantic import SecretStr
from rich.console import Console

import sandbox.gemini
import sandbox.telegram
from ops.ai_trading_lab import Service
from ops.demo.conductor import Conductor, Pace
from ops.demo.market import DemoMarket, choose_market
from ops.demo.options import DemoOptions
from ops.demo.scene import Scene
from ops.demo.screen import ActState, Screen
from ops.demo.story import ACTS, MARKET, Story
from ops.demo.summary import Summary, summarise, tell
from ops.environment import Environment
from ops.logs import set_up_logs
from ops.resident import peak_rss_mb
from ops.sandbox_process import API_KEY, API_SECRET, SandboxPlan, SandboxProcess
from ops.service.lab import Setting
from ops.service.wiring import open_lab, open_notifier
from ops.settings import (
    LabSettings,
    ResearchSettings,
    ServiceSettings,
    TelegramSettings,
    VenueSettings,
    config_hash,
)
from trading.domain.clock import Clock
from trading.domain.errors import SettingsError
from trading.journal.bus import Bus
from trading.market.archive_files import BASE_URL
from trading.notify.outbox import MAIN
from trading.storage.home import Home
from trading.storage.lock import only_one

WALKING, TRADING = 30.0, 5.0
"""Lab seconds per real second: at the full hours, and while orders may rest."""
LOOP_S = 3600
"""The demo's trading cycle, lab seconds: once an hour instead of once a minute, so that days pass in a minute."""
LAST = "demo-last"
"""Folder of the latest demo's files, replaced by the next one."""


def play_demo(options: DemoOptions) -> int:
    """Play; 0 when the story came to its end and everything is flat, 1 when it ended early.

    Raises:
        TradingEngineError: the market, the sandbox or the lab failed.
    """
    if options.tape is not None and not options.tape.is_dir():
        raise SettingsError(f"--tape {options.tape}: no such folder; give one with spot_BTCUSDT_1h.parquet and so on")
    console = Console()
    root = prepare_root(options)
    clock = Clock()
    workplace = Path(tempfile.mkdtemp(prefix="lab-demo-"))
    try:
        summary = asyncio.run(_play(options, root, workplace, clock, console))
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
    tell(summary, console, options)
    if not options.keep:
        tidy(root)
    return 0 if summary.figures["flat"] and not summary.note else 1


def prepare_root(options: DemoOptions) -> Path:
    """An empty folder for this demo: `demo-last`, or one of its own with `--keep`."""
    if not options.keep:
        root = Path.cwd() / LAST
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        return root
    number = 1
    while (root := Path.cwd() / f"demo-{number:03d}").exists():
        number += 1
    root.mkdir()
    return root


def tidy(root: Path) -> None:
    """Without `--keep` what was printed stays (strategies, audit, evidence, chart), the rest of the state goes."""
    home = Home(root)
    for folder in (home.tapes, home.outbox, home.state / "paper"):
        shutil.rmtree(folder, ignore_errors=True)


async def _play(options: DemoOptions, root: Path, workplace: Path, clock: Clock, console: Console) -> Summary:
    started_s = clock.real_s()
    market = await choose_market(
        options.tape,
        options.symbol,
        options.days,
        workplace=workplace,
        seed=options.seed,
        now_ms=clock.now_ms(),
        say=lambda line: console.print(line, highlight=False, soft_wrap=True, markup=False),
        archive_url=options.archive or BASE_URL,
    )
    async with AsyncExitStack() as stack:
        plan = SandboxPlan(market.folder, [market.symbol], market.start_ms, options.seed)
        outside = await SandboxProcess.start(plan)
        stack.push_async_callback(outside.close)
        await outside.follow(clock)
        await outside.set_pace(clock, WALKING)
        setting = demo_setting(market, outside.url, root)
        set_up_logs(setting.home.log_file, clock=clock, secrets=setting.environment.secret_values(), to_console=False)
        stack.enter_context(only_one(setting.home.lock_file, what="the lab"))
        screen = stack.enter_context(Screen(ACTS, market=market.origin, console=console))
        screen.act(MARKET, ActState.PLAYING, f"{market.symbol}, {market.bars:,} bars")
        bus, stop, wake = Bus(), asyncio.Event(), asyncio.Event()
        lab = await stack.enter_async_context(open_lab(setting, clock, bus, wake=wake))
        notifier = await stack.enter_async_context(open_notifier(setting.environment, setting.settings))
        service = Service(lab, {MAIN: notifier}, stop=stop, wake=wake)
        conductor = Conductor(
            outside,
            clock,
            pace=Pace(options.speed, WALKING, TRADING),
            digested=lambda hour_ms: service.has_ended or service.schedule.settled(hour_ms),
        )
        story = Story(Scene(outside, service, conductor, screen, market, notifier))
        bus.subscribe(story.hear, name="demo")
        running = asyncio.create_task(service.run(), name="service")
        try:
            await story.until_started()
            screen.act(MARKET, ActState.DONE)
            await story.play()
        finally:
            stop.set()
            await asyncio.gather(running, return_exceptions=True)
        if (bug := running.exception()) is not None:
            raise bug
        if options.picture is not None:
            screen.save_picture(options.picture)
        wall_s = clock.real_s() - started_s
        rss_mb = peak_rss_mb() + await outside.rss_mb()
        return await summarise(story.seen, lab, outside, market, wall_s=wall_s, rss_mb=rss_mb)


def demo_setting(market: DemoMarket, url: str, root: Path) -> Setting:
    """Everything points at the sandbox; every limit is the default."""
    base = LabSettings()
    settings = base.model_copy(
        update={
            "venue": VenueSettings(symbol=market.symbol, base_url=url, follow_sandbox_clock=True),
            "telegram": TelegramSettings(base_url=url),
            "gemini": base.gemini.model_copy(update={"base_url": url}),
            "news": base.news.model_copy(update={"feeds": (f"{url}/feed.xml",)}),
            "onchain": base.onchain.model_copy(
                update={"mempool_url": url, "charts_url": url, "blocks_url": url, "gap_s": 0.0}
            ),
            "sentiment": base.sentiment.model_copy(update={"fear_greed_url": f"{url}/fng/"}),
            "service": ServiceSettings().model_copy(update={"loop_s": LOOP_S}),
            "research": ResearchSettings(history_days=market.research_days),
        }
    )
    environment = Environment(
        telegram_token=SecretStr(sandbox.telegram.TOKEN),
        telegram_chat_id="42",
        gemini_api_key=SecretStr(sandbox.gemini.API_KEY),
        binance_api_key=SecretStr(API_KEY),
        binance_api_secret=SecretStr(API_SECRET),
        binance_testnet=False,
        live_trading=True,
        kill=False,
    )
    return Setting(Home(root).make(), settings, environment, config_hash(settings), market.origin)

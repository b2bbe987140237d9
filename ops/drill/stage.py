"""Where rehearsals are played: a sandbox that starts for them, or the exchange's demo venue with the operator's keys.

Each rehearsal has a home of its own in `state/drill/VENUE/NAME`, so that the lab's journal, counters and switches are
not touched. On the demo venue what an earlier rehearsal left open there is closed first.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import httpx
import yaml
from pydantic import SecretStr

from ops.drill.desk import DeskAtWork
from ops.drill.venue import OnFirstLeg, rehearsed
from ops.drill.witness import Account, Exchange, Ledger, Witness, lot_of
from ops.environment import Environment
from ops.lab_clock import lab_clock
from ops.sandbox_process import API_KEY, API_SECRET, SandboxPlan, SandboxProcess
from ops.settings import LabSettings, VenueSettings
from ops.stop_trading import make_flat
from ops.venues import make_venue
from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError
from trading.domain.venue import Venue
from trading.execution.intents import Intents
from trading.market.synthetic import Plan, synthetic_market, write_layout
from trading.storage.files import write_atomic
from trading.storage.home import Home

SANDBOX, DEMO = "sandbox", "demo"
SYMBOL = "BTCUSDT"
"""What is rehearsed with on the sandbox; on the demo venue it is the lab's own symbol."""
PLAN = Plan(symbol=SYMBOL, bars=24 * 60, funding_mean_rate=0.0004)
START_MS = PLAN.start_ms + 50 * 86_400_000 + 6 * 3_600_000 + 1_000
WRONG_SECRET = "not-the-secret-of-this-key"  # noqa: S105  # what a rehearsal signs with to be refused
PATIENCE_S = 90.0
"""Real seconds that one step of a rehearsal may take."""
_KEYS = ("BINANCE_API_KEY", "BINANCE_API_SECRET", "BINANCE_TESTNET", "KILL", "LIVE_TRADING")


@dataclass(frozen=True, slots=True)
class Outside:
    """The venue that rehearsals are played on."""

    name: str
    settings: LabSettings
    """The lab's, pointing there, with a small and impatient carry."""
    environment: Environment
    """The keys for it, and nothing else."""
    clock: Clock
    sandbox: SandboxProcess | None
    """None: the demo venue."""

    async def tell(self, path: str, body: object) -> None:
        """Tell the sandbox to misbehave."""
        if self.sandbox is not None:
            async with httpx.AsyncClient(base_url=self.sandbox.url) as http:
                (await http.post(path, json=body)).raise_for_status()

    async def behave(self) -> None:
        """No fault any more, and the key is good."""
        if self.sandbox is not None:
            async with httpx.AsyncClient(base_url=self.sandbox.url) as http:
                (await http.delete("/sandbox/faults")).raise_for_status()
            await self.tell("/sandbox/key", {"revoked": False})


@asynccontextmanager
async def open_sandbox(settings: LabSettings, folder: Path) -> AsyncIterator[Outside]:
    """A sandbox at the speed of life on a made-up market that pays, ended with the block.

    Raises:
        DataProviderError: it does not start.
    """
    made = synthetic_market(PLAN)
    write_layout(folder, [made.spot, made.perp])
    sandbox = await SandboxProcess.start(SandboxPlan(folder, [SYMBOL], START_MS, PLAN.seed))
    try:
        there = VenueSettings(symbol=SYMBOL, base_url=sandbox.url, follow_sandbox_clock=True)
        mine = small(settings).model_copy(update={"venue": there})
        keys = _only_keys(SecretStr(API_KEY), SecretStr(API_SECRET), testnet=False)
        yield Outside(SANDBOX, mine, keys, lab_clock(mine), sandbox)
    finally:
        await sandbox.close()


def demo_venue(settings: LabSettings, environment: Environment) -> Outside:
    """The exchange's demo venue, with the operator's demo keys."""
    keys = _only_keys(environment.binance_api_key, environment.binance_api_secret, testnet=True)
    mine = small(settings)
    return Outside(DEMO, mine, keys, lab_clock(mine), None)


def small(settings: LabSettings) -> LabSettings:
    """The lab's settings for one small carry at once: limits of size as they are, no cool-down, little patience as a
    maker."""
    risk = {"cooldown_after_fill_s": 0.0, "cooldown_after_loss_s": 0.0, "live_scale_pct": 100}
    hurried = {"maker_budget_s": 1.0, "poll_s": min(0.2, settings.execution.poll_s)}
    return settings.model_copy(
        update={
            "risk": settings.risk.model_copy(update=risk),
            "execution": settings.execution.model_copy(update=hurried),
        }
    )


@dataclass(frozen=True, slots=True)
class Stage:
    """One rehearsal's home, connection and witness."""

    outside: Outside
    home: Home
    venue: Venue
    witness: Witness
    before: Account
    """What the account held when it began: not the rehearsal's."""
    lot: Decimal
    began_ms: int
    """By the venue's time."""

    @property
    def symbol(self) -> str:
        """What is traded."""
        return self.outside.settings.venue.symbol

    @property
    def clock(self) -> Clock:
        """The venue's time."""
        return self.outside.clock

    def desk(self, *, on_first_leg: OnFirstLeg | None = None, venue: Venue | None = None) -> DeskAtWork:
        """A desk in this process, as built from disk."""
        connection = rehearsed(venue or self.venue, on_first_leg=on_first_leg)
        return DeskAtWork.of(self.home, connection, self.outside.settings, self.clock)

    @asynccontextmanager
    async def process(self, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """`python -m WORDS` in this home, killed when the block ends if it still lives."""
        around = {name: value for name, value in os.environ.items() if name not in _KEYS}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *words,
            env=around | _as_environment(self.outside.environment) | {"LAB_HOME": str(self.home.root)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def flat(self) -> list[str]:
        """Close what is ours on the stop script's own way; what is still open, in words."""
        said: list[str] = []
        await make_flat(self.home, self.venue, self.outside.settings, self.clock, said.append)
        left = await self.witness.look()
        is_closed = left.perp_base == 0 and left.resting == 0 and left.spot_base - self.before.spot_base < self.lot
        return [] if is_closed else [f"NOT FLAT: {left}; {'; '.join(said)}"]


@asynccontextmanager
async def open_stage(outside: Outside, lab: Home, name: str) -> AsyncIterator[Stage]:
    """An empty home for one rehearsal, with a connection of its own.

    Args:
        outside: The venue.
        lab: Whose rehearsal it is; requests to the demo venue come out of its own budget, which its guardian shares.
        name: Of the rehearsal.

    Raises:
        DataProviderError: the venue does not answer, or its account is not empty in that symbol.
    """
    home = Home(lab.state / "drill" / outside.name / name)
    async with AsyncExitStack() as stack:
        if home.intents_file.exists() and outside.name == DEMO:
            await _close_what_was_left(outside, home)
        shutil.rmtree(home.root, ignore_errors=True)
        home.make()
        lab.rate.mkdir(parents=True, exist_ok=True)
        home.rate.symlink_to(lab.rate.resolve())
        shown = yaml.safe_dump(outside.settings.model_dump(mode="json"), sort_keys=False)
        write_atomic(home.settings_file, shown.encode())
        venue = make_venue(outside.settings, outside.environment, outside.clock, home)
        stack.push_async_callback(venue.close)
        symbol = outside.settings.venue.symbol
        witness = Exchange(venue, symbol) if outside.sandbox is None else Ledger(outside.sandbox, symbol)
        before = await witness.look()
        if before.perp_base or before.resting:
            raise DataProviderError(
                f"{symbol} on the {outside.name} venue: a contract of {before.perp_base} and {before.resting} orders "
                "are there already; close them first"
            )
        began_ms = outside.clock.now_ms()
        yield Stage(outside, home, venue, witness, before, await lot_of(venue, symbol), began_ms)


async def next_line(process: asyncio.subprocess.Process) -> dict[str, object]:
    """What a desk process says next.

    Raises:
        DataProviderError: it ended, or said something else.
    """
    line = await process.stdout.readline() if process.stdout is not None else b""
    try:
        told = json.loads(line)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        said = line + (await process.stdout.read() if process.stdout is not None else b"")
        words = said.decode(errors="replace").strip().splitlines()
        raise DataProviderError(f"the desk process ended: {words[-1] if words else 'without a word'}")
    return told


def wrong_key(outside: Outside, home: Home) -> Venue:
    """A connection to the same account whose secret is not the key's."""
    keys = replace(outside.environment, binance_api_secret=SecretStr(WRONG_SECRET))
    return make_venue(outside.settings, keys, outside.clock, home)


def orders_of(home: Home) -> Sequence[object]:
    """Every order the journal of a home has."""
    return Intents(home.intents_file, mends=False).orders()


async def _close_what_was_left(outside: Outside, home: Home) -> None:
    venue = make_venue(outside.settings, outside.environment, outside.clock, home)
    try:
        await make_flat(home, venue, outside.settings, outside.clock, lambda _: None)
    finally:
        await venue.close()


def _only_keys(key: SecretStr | None, secret: SecretStr | None, *, testnet: bool) -> Environment:
    return Environment(
        telegram_token=None,
        telegram_chat_id=None,
        gemini_api_key=None,
        binance_api_key=key,
        binance_api_secret=secret,
        binance_testnet=testnet,
        live_trading=False,
        kill=False,
    )


def _as_environment(keys: Environment) -> dict[str, str]:
    if keys.binance_api_key is None or keys.binance_api_secret is None:
        return {}
    return {
        "BINANCE_API_KEY": keys.binance_api_key.get_secret_value(),
        "BINANCE_API_SECRET": keys.binance_api_secret.get_secret_value(),
        "BINANCE_TESTNET": "true" if keys.binance_testnet else "false",
    }

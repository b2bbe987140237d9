"""The guardian: a small process beside the service that makes everything flat when the lab cannot.

It has its own connection and a share of the request budget that nobody else may take. It looks at the switches ten
times a second, at the account every few seconds while something is held, and keeps the venue's countdown over resting
futures orders running: with its own death they are cancelled. It opens nothing, ever. The exchange's library is loaded
when something is held for the first time, so that a guardian with nothing to guard stays small.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress

import structlog

from ops.environment import Environment, find_home, read_environment
from ops.figures import age
from ops.guardian.eyes import Eyes
from ops.guardian.hands import Closed, Hands
from ops.lab_clock import lab_clock
from ops.logs import set_up_logs
from ops.service.supervisor import Supervisor
from ops.settings import LabSettings
from ops.status import running_pid
from ops.stop_trading import settings_or_defaults
from ops.venues import make_venue
from trading.domain.clock import Clock, iso
from trading.domain.decisions import Reason
from trading.domain.errors import KeyRefusedError, SettingsError, StateFileError, TradingEngineError
from trading.domain.events import Severity
from trading.risk.guardian import SILENT_S, Act, GuardianSettings, Sight, Verdict, decide, may_renew
from trading.risk.kill_switch import machine_stop
from trading.storage.home import Home
from trading.storage.lock import only_one
from trading.storage.reserve import keep_reserve

log = structlog.get_logger(__name__)
Look = Callable[[], Awaitable[None]]

WATCH_S = 0.1
"""Real seconds between two looks at the switches."""
FLAT_AGAIN_S = 2.0
"""Real seconds until what is not flat is tried again."""
OF_A_STOP = (Reason.KILL_SWITCH, Reason.STOPPED_BY_HUMAN)
"""Verdicts that the lab comes to as well: what it tells of them is not told a second time."""
OF_A_DEAD_LAB = (Reason.LAB_SILENT, Reason.SAGA_ABANDONED)
"""Verdicts that say that no lab lives."""
BLIND_S = 60.0
"""Real seconds without an answer about what is held, after which the human is told."""


class Guardian:
    """Eyes, decision, hands; one for a home.

    Args:
        eyes: Sees.
        hands: Acts.
        home: For its pulse.
        settings: When it acts by itself.
        environment: For messages.
        clock: The lab's.
    """

    def __init__(
        self,
        eyes: Eyes,
        hands: Hands,
        home: Home,
        settings: GuardianSettings,
        environment: Environment,
        clock: Clock,
    ) -> None:
        self._eyes, self._hands, self._home = eyes, hands, home
        self._settings, self._environment, self._clock = settings, environment, clock
        self._supervisor = Supervisor(os.environ)
        self._flat_at_s: float | None = None
        self._answered_s = clock.real_s()
        self._may_be_open = True
        """That it is not flat was told and is not over, by an earlier guardian perhaps."""
        self._life_told_of = ""
        """Of which stop it was told that the lab lives again, by when it was filed."""
        self._fine = set[str]()
        """Looks whose files were of use the last time."""

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until `stop`."""
        look_s = self._settings.look_s
        looks: Mapping[str, tuple[Look, Callable[[], float]]] = {
            "switches": (self._switches, lambda: WATCH_S),
            # the first look follows the first order at once: it loads the exchange's library, which takes seconds
            "account": (self._account, lambda: look_s if self._eyes.symbols else WATCH_S),
            "countdown": (self._countdown, lambda: WATCH_S * 2),
            "messages": (self._messages, lambda: look_s),
        }
        self._supervisor.ready()
        async with asyncio.TaskGroup() as group:
            for name, (look, every_s) in looks.items():
                group.create_task(self._again(name, look, every_s, stop), name=name)

    async def _again(self, name: str, look: Look, every_s: Callable[[], float], stop: asyncio.Event) -> None:
        """One look after another; a call that fails is tried again at the next."""
        while not stop.is_set():
            try:
                await look()
                if name not in self._fine:  # also what an earlier guardian told of
                    self._hands.resolve(f"state:{name}")
                    self._fine.add(name)
            except StateFileError as error:
                self._fine.discard(name)
                log.warning("guardian.state", error=str(error))
                self._hands.tell(f"🚨 The guardian cannot work with the lab's files: {error}", key=f"state:{name}")
            except TradingEngineError as error:
                log.warning("guardian.failed", look=name, error=str(error))
            await self._clock.real_wait_s(stop, every_s())

    async def _switches(self) -> None:
        self._supervisor.turns(self._clock.real_s())
        with suppress(OSError):  # read-only: its age tells
            self._home.guardian_pulse_file.touch()
        sight = self._eyes.look()
        verdict = decide(sight, self._settings)
        if verdict.act is Act.CANCEL:
            await self._hands.cancel(self._eyes.symbols)
        if verdict.act is not Act.FLATTEN:
            self._flat_at_s = None
            self._end_not_flat()  # a human released the stop, or closed it by hand
            return
        if not self._is_settled(sight):
            await self._flatten(verdict)
        self._tell_life()

    async def _flatten(self, verdict: Verdict) -> None:
        symbols = self._eyes.symbols
        closed = await self._hands.flatten(verdict, symbols)
        if closed.flat_s is None:
            self._may_be_open = True
            if not (verdict.decision.reason in OF_A_STOP and self._hands.lab_told_not_flat()):
                self._hands.tell(f"🚨 Guardian: NOT FLAT. {_story(closed)}. Look at the exchange now", key="not_flat")
            await self._clock.real_sleep_s(FLAT_AGAIN_S)
            return
        self._flat_at_s = closed.flat_s
        self._end_not_flat()
        self._hands.seen_flat()
        if symbols and not (verdict.decision.reason in OF_A_STOP and self._lab_turns()):
            text = f"🚨 Guardian: {_story(closed)}. Stopped until python stop_trading.py --release"
            self._hands.tell(text, key=f"flat {iso(closed.at_ms)}", severity=Severity.NOTICE)

    def _lab_turns(self) -> bool:
        """There is a lab that sees a stop and tells itself that everything is flat."""
        return running_pid(self._home.lock_file) is not None and self._eyes.look().lab_age_s <= SILENT_S

    def _tell_life(self) -> None:
        """The lab was said to be dead, and lives: told once for each such stop, of an earlier guardian too."""
        dead = machine_stop(self._home)
        if dead is None or dead.reason not in OF_A_DEAD_LAB or self._life_told_of == dead.at or not self._lab_turns():
            return
        text = (
            f"🔔 Guardian: the lab lives again. That it did not ({dead.reason}) was so at {dead.at}; live trading "
            "stays stopped until python stop_trading.py --release"
        )
        self._hands.tell(text, key=f"lives {dead.at}", severity=Severity.NOTICE)
        self._life_told_of = dead.at

    def _end_not_flat(self) -> None:
        if self._may_be_open:
            self._hands.resolve("not_flat")
            self._may_be_open = False

    def _is_settled(self, sight: Sight) -> bool:
        """Seen flat under this stop, and nothing has opened since."""
        if self._flat_at_s is None:
            return False
        account = sight.account
        return account is None or account.at_s <= self._flat_at_s or not account.is_open

    async def _account(self) -> None:
        try:
            await self._eyes.look_at_account()
        except TradingEngineError as error:
            blind_s = self._clock.real_s() - self._answered_s
            if blind_s > BLIND_S:
                text = f"🚨 The guardian has not seen the account for {age(blind_s)}: {error}. It asks again"
                if isinstance(error, KeyRefusedError):
                    text = (
                        f"🚨 The exchange does not take the trading key, for {age(blind_s)}: the guardian can close "
                        f"nothing with it. Restore the key or its address on the exchange's API page. {error}"
                    )
                self._hands.tell(f"{text}; if this lasts, look at the exchange yourself", key="blind")
            raise
        self._answered_s = self._clock.real_s()
        self._hands.resolve("blind")

    async def _countdown(self) -> None:
        sight = self._eyes.look()
        if may_renew(sight, self._settings):
            await self._hands.renew(self._eyes.symbols)
        elif not sight.holds:
            await self._hands.disarm(())

    async def _messages(self) -> None:
        await self._hands.deliver(self._environment)


@asynccontextmanager
async def open_guardian(
    home: Home, environment: Environment, settings: LabSettings, clock: Clock
) -> AsyncIterator[Guardian]:
    """A guardian with a connection of its own, closed with the block.

    Raises:
        StateFileError: the journal of intents cannot be read.
    """
    venue = make_venue(settings, environment, clock, home, is_guardian=True)
    try:
        eyes = Eyes(home, venue, settings.guardian, clock, os.environ)
        hands = Hands(home, venue, settings, clock)
        yield Guardian(eyes, hands, home, settings.guardian, environment, clock)
    finally:
        await venue.close()


def run_guardian() -> int:
    """Watch the home until a signal; 0 after one.

    Raises:
        SettingsError: there are no trading keys, so nothing to guard.
        StateFileError: another guardian watches this home.
    """
    home = find_home().make()
    environment, settings = read_environment(home), settings_or_defaults(home)
    if environment.binance_api_key is None:
        raise SettingsError("guardian: no trading keys, so nothing to guard; set them in .env, see .env.example")
    keep_reserve(home)
    clock = lab_clock(settings)
    set_up_logs(home.logs / "guardian.log", clock=clock, secrets=environment.secret_values(), to_console=False)

    async def watch() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with open_guardian(home, environment, settings, clock) as guardian:
            await guardian.run(stop)

    with only_one(home.guardian_lock_file, what="the guardian"):
        print(f"the guardian watches {home.root}; log in {home.logs / 'guardian.log'}, end with Ctrl-C", flush=True)
        log.info("guardian.started", pid=os.getpid())
        asyncio.run(watch())
    return 0


def guardian_line(home: Home) -> str:
    """Whether a guardian watches a home, in one line for a screen."""
    try:
        with only_one(home.guardian_lock_file, what="the guardian"):
            return "no guardian watches: start ./lab guardian in another terminal, or let monitor_bot.sh do it"
    except StateFileError:
        return f"a guardian watches beside (process {home.guardian_lock_file.read_text().strip()})"


def _story(closed: Closed) -> str:
    """What happened and how long it took; of what is not flat whether it can fill on, and what stood in the way."""
    why = f"{closed.reason}, {closed.note}" if closed.note != closed.reason else closed.reason
    if closed.flat_s is not None:
        return f"{why}; flat and verified after {closed.flat_s - closed.seen_s:.1f} s"
    cancelled = "cancels NOT confirmed"
    if closed.cancelled_s is not None:
        cancelled = f"all orders cancelled after {closed.cancelled_s - closed.seen_s:.1f} s"
    return f"{why}; {cancelled}" + (f"; {closed.said[-1].strip()}" if closed.said else "")

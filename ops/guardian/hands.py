"""What the guardian does: renews the venue's countdown, cancels, closes both legs, asks until flat, tells the human."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import structlog

from ops.environment import Environment
from ops.settings import LabSettings
from ops.stop_trading import Patience, make_flat, remembered
from ops.telling.alert_keys import ended_by
from ops.telling.channels import open_channels
from ops.telling.measured import both
from trading.domain.clock import Clock
from trading.domain.decisions import Decision, Reason
from trading.domain.errors import StateFileError, TradingEngineError
from trading.domain.events import Event, Severity
from trading.domain.instrument import Market
from trading.domain.venue import Venue
from trading.notify.catch_up import dated
from trading.notify.message import Message
from trading.notify.outbox import CHANNELS, MAIN, Outbox
from trading.notify.spool import Waiting
from trading.risk.guardian import Verdict
from trading.risk.kill_switch import GUARDIAN, stop_trading
from trading.storage.files import write_json
from trading.storage.home import Home

log = structlog.get_logger(__name__)

SCHEMA = 1
PATIENCE = Patience(frozen_s=0.3, busy_s=30.0)
"""Who holds the account and does not let go while everything must be flat is ended by then."""
CANCEL_TRIES = 5
TRY_AGAIN_S = 0.2
ALERT = "guardian"
"""What wrong alerts of the guardian are known by."""


@dataclass(frozen=True, slots=True)
class Closed:
    """One way to flat, as it is filed in `state/guardian.json`. Moments are CLOCK_MONOTONIC seconds."""

    at_ms: int
    """Lab time at which it was seen."""
    reason: str
    note: str
    """Which switch, or what was wrong with both numbers."""
    seen_s: float
    cancelled_s: float | None
    """When the venue had confirmed every cancel; None: it did not."""
    flat_s: float | None
    """When the venue had said flat, and that nothing rests; None: it is not flat."""
    said: tuple[str, ...]


class Hands:
    """Acts on one account.

    Args:
        home: Whose lab.
        venue: The account, over a line of its own.
        settings: `lab.yaml`.
        clock: Lab time.
    """

    def __init__(self, home: Home, venue: Venue, settings: LabSettings, clock: Clock) -> None:
        self._home, self._venue, self._settings, self._clock = home, venue, settings, clock
        self._outbox = Outbox(home.outbox, local=settings.messages.reader.local)
        self._renewed_s: dict[str, float] = {}
        self._untold: list[Waiting] = []
        """Notices that the disk did not take; an alert is told again with the next look."""

    async def renew(self, symbols: Sequence[str]) -> None:
        """Keep the venue's countdown over resting futures orders from running out; three times in its span.

        Raises:
            TradingEngineError: the venue did not take it.
        """
        span_s = self._settings.guardian.countdown_s
        for symbol in symbols:
            now_s = self._clock.monotonic_s()
            if now_s - self._renewed_s.get(symbol, float("-inf")) < span_s / 3:
                continue
            await self._venue.arm_countdown(symbol, countdown_s=span_s)
            self._renewed_s[symbol] = now_s

    async def disarm(self, symbols: Sequence[str]) -> None:
        """Let the countdown go where it runs: nothing of ours is held there any more.

        Raises:
            TradingEngineError: the venue did not take it.
        """
        for symbol in [symbol for symbol in self._renewed_s if symbol not in symbols]:
            await self._venue.arm_countdown(symbol, countdown_s=0)
            del self._renewed_s[symbol]

    async def cancel(self, symbols: Sequence[str]) -> bool:
        """Cancel all that rests, both markets at once, without waiting for the account; whether all was confirmed."""
        due = [(market, symbol) for symbol in symbols for market in Market]
        for _ in range(CANCEL_TRIES):
            calls = [self._venue.cancel_all(market, symbol) for market, symbol in due]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            for answer in answers:
                if answer is not None and not isinstance(answer, TradingEngineError):
                    raise answer
            due = [one for one, answer in zip(due, answers, strict=True) if answer is not None]
            if not due:
                return True
            log.warning("guardian.cancel_failed", due=[f"{market} {symbol}" for market, symbol in due])
            await self._clock.real_sleep_s(TRY_AGAIN_S)
        return False

    async def flatten(self, verdict: Verdict, symbols: Sequence[str]) -> Closed:
        """Stop everything, cancel, close, ask until flat, and file how long it took.

        Raises:
            StateFileError: the stop cannot be written.
        """
        seen_s, at_ms = self._clock.real_s(), self._clock.now_ms()
        reason, note = str(verdict.decision.reason), _told(verdict.decision)
        if verdict.decision.reason is not Reason.STOPPED_BY_HUMAN:
            # Stays stopped also when the kill file is gone again: until a human releases it.
            why = f"{reason}: {note}"
            stop_trading(self._home, by=GUARDIAN, why=why, at_ms=at_ms, keep_positions=False)
        log.warning("guardian.flatten", reason=reason, note=note, value=verdict.decision.value)
        cancelled_s = self._clock.real_s() if await self.cancel(symbols) else None
        said: list[str] = []
        flat_s = None
        try:
            code = await make_flat(self._home, self._venue, self._settings, self._clock, said.append, patience=PATIENCE)
            if code == 0 and await self._nothing_rests(symbols):
                flat_s = self._clock.real_s()
                remembered(self._home, 0)
        except TradingEngineError as error:
            said.append(str(error))
        closed = Closed(at_ms, reason, note, seen_s, cancelled_s, flat_s, tuple(said))
        write_json(self._home.guardian_file, asdict(closed), schema=SCHEMA)
        log.warning("guardian.flat" if flat_s else "guardian.not_flat", **asdict(closed))
        return closed

    def tell(self, text: str, *, key: str = ALERT, severity: Severity = Severity.ALERT) -> None:
        """Queue one message for the human; it is on disk when this returns, or the log says why it is not.

        Who cannot tell still watches: a full disk or a bug here ends nothing.
        """
        self._put(Message("alert", text, dedup_key=f"{ALERT}:{key}", severity=severity, is_money=True))

    def _put(self, message: Message, heard: Waiting | None = None) -> None:
        try:
            self._outbox.put(message, self._clock)
        except Exception as error:
            log.exception("guardian.not_told", text=message.text)
            if isinstance(error, StateFileError) and message.severity is not Severity.ALERT:
                self._untold.append(heard or Waiting("", message, self._clock.now_ms(), self._clock.system_ms()))

    def resolve(self, key: str) -> None:
        """What an alert told of is over; contained as `tell` is."""
        try:
            self._outbox.resolve(f"{ALERT}:{key}")
        except Exception:
            log.exception("guardian.not_told", over=key)

    def lab_told_not_flat(self) -> bool:
        """Whether the lab has told of it, and tells it again until it is over."""
        try:
            return bool(ended_by(Event(self._clock.now_ms(), "stop.flat"), self._outbox.open_alerts()))
        except Exception:
            log.exception("guardian.not_told", asked="not_flat")
            return False

    def seen_flat(self) -> None:
        """What the lab told of not being flat is over too: it may be dead, and its alerts would go on."""
        try:
            for key in ended_by(Event(self._clock.now_ms(), "stop.flat"), self._outbox.open_alerts()):
                self._outbox.resolve(key)
        except Exception:
            log.exception("guardian.not_told", over="stop.not_flat")

    async def deliver(self, environment: Environment) -> None:
        """Send what waits for the human: a frozen lab does not. Contained like `tell`. Telegram is loaded only here."""
        untold, self._untold = self._untold, []
        for one in untold:
            self._put(dated(one, (), self._clock.system_ms(), self._settings.messages.reader.local), one)
        ways = (self._by_telegram(environment), self._by_the_others(environment))
        for error in await asyncio.gather(*ways, return_exceptions=True):
            if isinstance(error, TradingEngineError):
                log.warning("guardian.not_delivered", error=str(error))
            elif isinstance(error, Exception):
                log.error("guardian.not_delivered", exc_info=error)

    async def _by_the_others(self, environment: Environment) -> None:
        if not any(self._outbox.has_work(name, self._clock, self._holds) for name in CHANNELS):
            return
        async with open_channels(environment, self._settings, self._clock) as channels:
            drains = (
                self._outbox.drain(one, self._clock, channel=name, holds=self._holds) for name, one in channels.items()
            )
            await asyncio.gather(*drains)

    def _holds(self, message: Message) -> bool:
        """The reader's quiet hours are the guardian's too; what it tells itself is about money."""
        return self._settings.messages.holds(message, self._clock.now_ms())

    async def _by_telegram(self, environment: Environment) -> None:
        if environment.telegram_token is None or environment.telegram_chat_id is None:
            return
        if not self._outbox.has_work(MAIN, self._clock, self._holds):
            return
        from trading.notify.telegram import TELEGRAM_URL, Telegram

        base_url = self._settings.telegram.base_url or TELEGRAM_URL
        async with Telegram(environment.telegram_token, environment.telegram_chat_id, base_url=base_url) as human:
            await self._outbox.drain(human, self._clock, holds=self._holds)

    async def _nothing_rests(self, symbols: Sequence[str]) -> bool:
        asked = [self._venue.open_orders(market, symbol) for symbol in symbols for market in Market]
        return not any(await asyncio.gather(*asked))


def _told(decision: Decision) -> str:
    """A verdict's note with both its numbers, where it has numbers for a person."""
    numbers = both(str(decision.reason), decision.value, decision.limit)
    return f"{decision.note}: {numbers}" if numbers else decision.note

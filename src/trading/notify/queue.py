"""What waits for one channel, and how it is sent: oldest first, until it is empty or somebody says stop.

`refused/` holds what can never be delivered, with the reason. A message whose delivery was not confirmed (a time-out,
a kill between the answer and the removal of its file) is sent again: twice rather than never, but after growing gaps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import structlog

from trading.domain.clock import Clock
from trading.domain.errors import NotifierError, StateFileError
from trading.domain.events import Severity
from trading.notify.alerts import Local
from trading.notify.catch_up import are_over, dated, folded, over, to_fold
from trading.notify.message import ID_LINE, Message, Notifier, parts
from trading.notify.spool import Holds, Spool, Waiting, id_of
from trading.notify.told import ToldLog

log = structlog.get_logger(__name__)

DOUBTED = 5
"""So many in a row that are refused each for itself are the channel's fault after all: nothing more is tried."""
UNANSWERED_GAPS_S = (60.0, 300.0, 900.0, 3600.0)
"""Real seconds until a message is sent again whose answer did not come; after the last one it waits until another one's
answer came."""

Report = Callable[[str, str, Clock], None]
"""Tells the human that a file could not be read: its name, a sentence."""


@dataclass(frozen=True, slots=True)
class Drained:
    """What one drain did."""

    sent: int = 0
    waiting: int = 0
    """Messages still on disk."""
    refused: int = 0
    """Set aside for good, with a reason."""
    retry_after_s: float | None = None
    """Real seconds that the other side asked us to wait; None: it did not."""
    reason: str = ""
    """Why messages wait; empty when none do."""


@dataclass(frozen=True, slots=True)
class _Round:
    """What holds for one drain."""

    notifier: Notifier
    clock: Clock
    holds: Holds
    open_ids: Collection[str]


class Queue:
    """The messages of one channel.

    Args:
        folder: Made if missing.
        local: The reader's clock.
        told: What was told: a message whose file is damaged is taken from there.
        report: Told of such a file.
    """

    def __init__(self, folder: Path, local: Local, told: ToldLog, report: Report) -> None:
        self.folder = folder
        self._local, self._told, self._report = local, told, report
        self._spool = Spool(folder)
        self._confirmed: set[str] = set()
        self._unanswered: dict[str, tuple[int, float]] = {}
        """By file: how often it was sent without an answer, and the real moment before which it is not sent again."""
        self._not_before_s = 0.0

    def __len__(self) -> int:
        """Messages not delivered yet."""
        return len(self._spool)

    def pending(self, holds: Holds) -> int:
        """Messages not delivered yet that need not wait now."""
        return self._spool.pending(holds)

    def is_pending(self, holds: Holds) -> bool:
        """Whether there is one; sooner known than how many."""
        return self._spool.is_pending(holds)

    def refused(self) -> list[Path]:
        """What this channel never takes, oldest first."""
        return self._spool.refused()

    def write(self, message: Message, clock: Clock) -> None:
        """Queue one message, cut to what fits; when this returns it is on disk.

        Raises:
            StateFileError: the folder cannot be written to.
        """
        self._spool.add(parts(message), clock)

    async def send_all(
        self, notifier: Notifier, clock: Clock, *, holds: Holds, open_ids: Collection[str] = ()
    ) -> Drained:
        """Send what waits, oldest first, until it is empty or somebody says stop.

        Once the first is delivered after a long time without, what only told of its moment is folded into one. What is
        refused for itself is set aside once another message was taken: where all are refused, no message is at fault.

        Args:
            notifier: Who carries.
            clock: Lab time.
            holds: Whether a message must wait now.
            open_ids: Of the alerts that are open now.

        Raises:
            StateFileError: a delivered message cannot be removed, or a refused one not be set aside.
        """
        left_s = self._not_before_s - clock.real_s()
        if left_s > 0:
            return Drained(waiting=len(self), retry_after_s=left_s, reason="told to wait")
        this = _Round(notifier, clock, holds, open_ids)
        sent = refused = 0
        doubted: dict[str, str] = {}
        pending = self._due(this)
        while pending:
            name = pending.pop(0)
            try:
                if not await self._send(name, this):
                    continue
            except NotifierError as error:
                if error.permanent and len(doubted) < DOUBTED:
                    doubted[name] = str(error)
                    continue
                self._remember(name, error, clock)
                return Drained(sent, len(self), refused, error.retry_after_s, str(error))
            sent += 1
            refused += self._set_refused(doubted)
            is_line_back = bool(self._unanswered)
            self._unanswered.clear()
            is_folded = sent == 1 and bool(pending) and await asyncio.to_thread(self._fold, this)
            if is_folded or is_line_back:
                pending = self._due(this)
        resting = f"{len(self._unanswered)} were sent without an answer and rest" if self._unanswered else ""
        return Drained(sent, len(self), refused, reason=next(iter(doubted.values()), resting))

    def _due(self, this: _Round) -> list[str]:
        """What may be sent now, oldest first."""
        now_s, names = this.clock.real_s(), self._spool.names()
        if not self._unanswered:
            return names
        there = set(names)
        self._unanswered = {name: of for name, of in self._unanswered.items() if name in there}
        return [name for name in names if self._unanswered.get(name, (0, now_s))[1] <= now_s]

    async def _send(self, name: str, this: _Round) -> bool:
        """Send one; False: it is held, gone, or makes no sense.

        Raises:
            NotifierError: it is not delivered; `permanent` also where the channel has a bug with it.
        """
        if self._spool.head(name).is_held(this.holds):
            return False
        one = self._read(name, this.clock)
        if one is None or this.holds(one.message):
            return False
        try:
            if name not in self._confirmed:
                await this.notifier.send(dated(one, this.open_ids, this.clock.system_ms(), self._local))
        except NotifierError:
            raise
        except Exception as error:  # a bug in a channel is the trouble of one message, not of who waits for others
            log.exception("outbox.channel_bug", file=name)
            raise NotifierError(f"a bug ({type(error).__name__}), see the log", permanent=True) from error
        # Remembered first: if removing fails, this process still never sends it again.
        self._confirmed.add(name)
        self._spool.remove(name)
        self._confirmed.discard(name)
        return True

    def _remember(self, name: str, error: NotifierError, clock: Clock) -> None:
        """How long nothing, or only this one, is to be sent again."""
        if error.retry_after_s is not None:
            self._not_before_s = clock.real_s() + error.retry_after_s
        if error.may_have_arrived:
            times = self._unanswered.get(name, (0, 0.0))[0] + 1
            gaps_s = (*UNANSWERED_GAPS_S, float("inf"))
            self._unanswered[name] = (times, clock.real_s() + gaps_s[min(times, len(gaps_s)) - 1])

    def _set_refused(self, doubted: dict[str, str]) -> int:
        """Another message was taken: these were refused for themselves."""
        count = len(doubted)
        while doubted:
            name, reason = doubted.popitem()
            self._spool.refuse(name, reason)
            log.warning("outbox.refused", file=name, reason=reason)
        return count

    def _fold(self, this: _Round) -> bool:
        """Two messages at most in place of many: over the first one's file, then the others go; a crash tells twice."""
        found = (self._read(name, this.clock) for name in self._due(this))
        waiting = [one for one in found if one is not None and not this.holds(one.message)]
        now_ms = this.clock.system_ms()
        ended = are_over(waiting, this.open_ids, now_ms)
        old = to_fold(waiting, now_ms)
        if old:
            self._put_in_place(old, folded(old, self._local), this.clock)
        if len(ended) > 1:
            self._put_in_place(ended, over(ended, self._local), this.clock)
        return bool(old) or len(ended) > 1

    def _put_in_place(self, old: list[Waiting], one: Message, clock: Clock) -> None:
        self._spool.put_now(old[0].name, one, clock)
        for each in old[1:]:
            self._spool.remove(each.name)
        log.info("outbox.folded", messages=len(old))

    def _read(self, name: str, clock: Clock) -> Waiting | None:
        """A queued message; None: it is gone, or unreadable and on no other record."""
        try:
            return self._spool.read(name)
        except StateFileError as error:
            log.warning("outbox.unreadable", file=name, reason=str(error))
            kept = self._spool.aside(name)
            if kept is None:
                return None
            restored = self._restored(name, kept)
            what = "it is sent as it stands in the record of what was told" if restored else "its message is lost here"
            self._report(name, f"{error}; {what}; ./lab explain tells it", clock)
            return restored

    def _restored(self, name: str, kept: Path) -> Waiting | None:
        """A damaged message as it was told, without its pictures; None: it has no id, or is on record no more."""
        told = self._told.find(id_of(name))
        if told is None:
            return None
        text, severity = f"{told.text}\n{ID_LINE}{told.id}", Severity(told.severity)
        # Whether an alert is about money is not on record: it may wake the reader.
        is_money = severity is Severity.ALERT
        message = Message(told.kind, text, dedup_key=told.key, severity=severity, is_money=is_money)
        real_ms = int(kept.stat().st_mtime * 1000)
        self._spool.put(name, message, queued_ms=told.at_ms, queued_real_ms=real_ms)
        return Waiting(name, message, told.at_ms, real_ms)

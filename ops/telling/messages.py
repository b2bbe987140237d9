"""From what happened to what the human reads: listens on the bus, writes to the outbox. No room calls Telegram."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ops.figures import figure
from ops.reader import UTC, Reader
from ops.reports import SYNTHETIC_LINE
from ops.telling.alert_keys import alert_key_of, approval_key_of, ended_by
from ops.telling.measured import told_facts
from trading.domain.clock import Clock
from trading.domain.errors import StateFileError
from trading.domain.events import Event, Severity
from trading.notify.catch_up import dated
from trading.notify.message import Message
from trading.notify.outbox import Outbox
from trading.notify.spool import Waiting

APPROVAL = "strategy.review"
"""The event that asks the human."""
MONEY_ROOMS = ("stop", "risk", "carry", "keys", "live", "report")
"""Rooms whose alerts are about money: quiet hours do not hold them, and among many they stand first."""
MONEY_ALERTS = ("job.ended_service", "strategy.expired")
"""The same of other rooms: a bug where money is touched, what is held while its evidence has expired."""
MONEY_NOTICES = ("hedge.forced", "risk.flat", "stop.flat")
"""Notices that wake: the exchange has closed a leg; what the alert of the same night was about is flat."""

KEPT = 200
"""Most messages that wait in memory for a disk that takes nothing; of more the newest."""


class Messenger:
    """Turns notices and alerts into queued messages.

    Args:
        outbox: Where messages wait for delivery.
        clock: Stamps them.
        is_synthetic: Every text says that the market is made up.
        wake: Called after a message was queued.
        reader: Whose clock the times are of.
    """

    def __init__(
        self, outbox: Outbox, clock: Clock, *, is_synthetic: bool, wake: Callable[[], None], reader: Reader = UTC
    ) -> None:
        self._outbox = outbox
        self._reader = reader
        self._clock = clock
        self._is_synthetic = is_synthetic
        self._wake = wake
        self._open = set(outbox.open_alerts())
        """Keys of the alerts that are repeated now; those of an earlier life of the lab too."""
        self._enclosed: dict[str, tuple[bytes, ...]] = {}
        self._unwritten: list[Waiting] = []
        """What was heard and the disk did not take, oldest first."""

    def enclose(self, dedup_key: str, photos: tuple[bytes, ...]) -> None:
        """Pictures for the message of that key, which is told next."""
        self._enclosed[dedup_key] = photos

    def hear(self, event: Event) -> None:
        """What the bus calls with every event."""
        self.end(event)
        if event.severity is not Severity.INFO:
            self._keep(self._message_of(event))
        self.write_again()

    def write_again(self) -> None:
        """Queue what was heard and is not on disk yet; nothing, where all is. One that cannot be told stops no other.

        Raises:
            StateFileError: the disk takes nothing still; it is kept, for the next time.
        """
        while self._unwritten:
            one = self._unwritten.pop(0)
            try:
                self._put(dated(one, (), self._clock.system_ms(), self._reader.local))
            except StateFileError:
                self._unwritten.insert(0, one)
                raise

    def end(self, event: Event) -> None:
        """Whatever that event says is over is repeated no more; the event itself is not told."""
        for alert_key in ended_by(event, self._open | {one.message.dedup_key for one in self._unwritten}):
            self.resolve(alert_key)

    def tell(
        self,
        kind: str,
        text: str,
        *,
        photos: tuple[bytes, ...] = (),
        dedup_key: str = "",
    ) -> None:
        """Queue one message; when this returns it is on disk.

        Raises:
            StateFileError: it is not, and whoever tells it tells it again.
        """
        self._put(Message(kind, text, photos, dedup_key))

    def was_told(self, dedup_key: str) -> bool:
        """Whether the message of that key is on disk, or delivered; what the disk refused or a crash cut off is not."""
        return self._outbox.was_told(dedup_key)

    def open_of(self, event_name: str) -> set[str]:
        """Keys of the alerts of that event that are on disk, to be told until they end."""
        return {key for key in self._outbox.open_alerts() if key.partition(":")[0] == event_name}

    def resolve(self, alert_key: str) -> None:
        """The state an alert told of has changed: it is repeated no more."""
        if alert_key in self._open:
            self._outbox.resolve(alert_key)
            self._open.discard(alert_key)
        for place, one in enumerate(self._unwritten):
            if one.message.dedup_key == alert_key:  # over before the disk took it: told all the same, once
                told_once = replace(one.message, dedup_key="", severity=Severity.NOTICE)
                self._unwritten[place] = replace(one, message=told_once)

    def _message_of(self, event: Event) -> Message:
        """How an event is told."""
        if event.name == APPROVAL:
            key = approval_key_of(event.facts["id"], event.facts["since"])
            return Message("approval", approval_request(event.facts), self._enclosed.pop(key, ()), key)
        if event.severity is Severity.ALERT:
            said, key = alert(event, self._reader), alert_key_of(event)
            return Message("alert", said, (), key, Severity.ALERT, is_money=is_money(event))
        return Message("notice", notice(event, self._reader), is_money=is_money(event))

    def _keep(self, message: Message) -> None:
        """Remember it until the disk has it; what is said again while it waits, waits once."""
        if not message.dedup_key or all(one.message.dedup_key != message.dedup_key for one in self._unwritten):
            heard = Waiting("", message, self._clock.now_ms(), self._clock.system_ms())
            self._unwritten = [*self._unwritten, heard][-KEPT:]

    def _put(self, message: Message) -> None:
        if self._is_synthetic and SYNTHETIC_LINE not in message.text:
            message = replace(message, text=f"{message.text}\n{SYNTHETIC_LINE}")
        is_new = self._outbox.put(message, self._clock)
        if message.severity is Severity.ALERT:
            self._open.add(message.dedup_key)
        if is_new:
            self._wake()


def is_money(event: Event) -> bool:
    """Whether quiet hours do not hold what is told of an event."""
    if event.severity is not Severity.ALERT:
        return event.name in MONEY_NOTICES
    return event.name in MONEY_ALERTS or event.name.partition(".")[0] in MONEY_ROOMS


def approval_request(facts: Mapping[str, object]) -> str:
    """What the human is asked, with everything needed to answer but the one page of evidence."""
    return "\n".join(
        [
            "🎯 Strategy Approval Needed!",
            f"{facts['name']} ({facts['id']})",
            f"Thesis: {facts['thesis']}",
            f"Backtest: {facts['backtest']}",
            f"Walk-forward with the vault: {facts['walk_forward']}",
            f"Paper: {facts['paper']}",
            f"Gate: {facts['gate']}",
            f"Would refute it: {facts['refutation']}",
            f"To read and decide: python approve_strategy.py {facts['id']}",
        ]
    )


def alert(event: Event, reader: Reader = UTC) -> str:
    """Something is wrong; repeated until the state changes."""
    return f"🚨 {sentence(event, reader)}"


def notice(event: Event, reader: Reader = UTC) -> str:
    """Something worth knowing happened."""
    return f"🔔 {sentence(event, reader)}"


WORDS = {
    "carry.opened": "Carry opened on {symbol}: spot {spot_base}, perpetual {perp_base}, fees {fees_quote:.4f} USDT, "
    "apart for at most {max_unhedged_s:.1f} s; {why}",
    "carry.rebalanced": "Carry on {symbol} made even again: {note}. Orders: {orders}",
    "carry.margin_added": "{quote:.2f} USDT put behind the short on {symbol}: its liquidation was {distance:.1%} away",
    "carry.margin_low": "The short on {symbol} is {distance:.1%} from its liquidation and lacks margin: {note}. Add "
    "funds; without them the position is made smaller, or closed",
    "carry.reduced": "{base} of both legs on {symbol} closed, so that what it freed carries the rest. {note}",
    "carry.closed": "Carry closed on {symbol} ({reason}): profit {profit_quote:+.4f} USDT, of it funding "
    "{funding_quote:+.4f} over {settlements:settlement}, fees {fees_quote:.4f}",
    "carry.money_moved": "Capital changed by {quote:+,.2f} USDT, {note}",
    "carry.funding_late": "Funding of {quote:+,.4f} USDT was {note}",
    "carry.resumed": "A trade on {symbol} that was cut off has come to its end: {state}. {note}",
    "carry.not_opened": "No carry was opened on {symbol}: {because}. It is tried again after growing gaps, and told "
    "when it is opened",
    "carry.unwound": "The carry on {symbol} was given back: the second leg failed, so the first was closed again "
    "({reason}): {note}. It cost fees, no position is left; it is tried again after growing gaps",
    "carry.close_incomplete": "carry.close_incomplete at {when}: {position} is not closed on both sides ({reason}): "
    "{note}. It is tried again; look at the exchange, close by hand what remains",
    "carry.in_doubt": "carry.in_doubt at {when}: an order's fate is not known yet ({intent}): {note}. It is looked up, "
    "never sent again; if this stays, look at the exchange",
    "carry.difference": "carry.difference at {when}, {kind}: {note}. Look at the exchange",
    "carry.books_disagree": "carry.books_disagree at {when}: the exchange and the books differ: {note}. Look at the "
    "exchange",
    "carry.resurrection_refused": "At {when} a file wanted {position} back, which is closed for good and which the "
    "exchange does not have. Nothing was done; find out who restored that file",
    "carry.funding_missing": "carry.funding_missing: {position} was not paid its funding of {settled}. Compare with "
    "the exchange's income page: ./lab trace funding",
    "carry.funding_differs": "carry.funding_differs: {position}, funding of {settled}: {booked_quote:+.4f} USDT were "
    "booked, {expected_quote:+.4f} USDT expected. Compare with the exchange's income page: ./lab trace funding",
    "carry.funding_unchecked": "Funding of {position} at {at} could not be checked: {why}. Booked: {booked_quote:+.4f} "
    "USDT",
    "hedge.found": "Hedge watch: {note}; {then}",
    "hedge.over": "Hedge watch, over: {what_was}",
    "hedge.forced": "Hedge watch, closed by force: {note}",
    "hedge.forgotten": "The hedge watch has forgotten what it told and which funding terms it knew: {note}",
    "stop.seen": "Stop seen ({source}): nothing new is opened, everything is being closed",
    "stop.stands": "Stopped, {held}. Nothing is opened live until {release}",
    "stop.released": "The stop is gone ({source}): where live trading is armed, it may be opened again",
    "stop.flat": "Everything is flat, the exchange says so after {took} ({note})",
    "stop.not_flat": "NOT FLAT, the lab cannot begin to close: {note}. It is tried again; look at the exchange, close "
    "by hand what remains",
    "risk.flat": "Position {position} is closed on the exchange after {flat_s:.1f} s ({reason})",
    "risk.not_flat": "NOT FLAT, risk.not_flat: {position} on {symbol} is still there after {flat_s:.1f} s ({reason}): "
    "{failed}. It is tried again; look at the exchange, close by hand what remains",
    "risk.halted": "risk.halted at {when}{whose}: {because}. Nothing new is opened. Do: look at the exchange, find out "
    "why, then: python stop_trading.py --release",
    "risk.released": "A halt is over. It was for {because}",
    "risk.breaker_opened": "Nothing new is opened while this lasts: {because}",
    "risk.breaker_closed": "Over, exchange and clock keep from nothing any more; it was {said}",
    "risk.book_fits": "No longer too large: {note}",
    "risk.book_too_large": "risk.book_too_large at {when}: what is held is larger than {reason} allows: {numbers}. Add "
    "funds, or close it: python stop_trading.py",
    "risk.infeasible": "No live trade is permitted: {because}. Do: {do}",
    "keys.unfit": "keys.unfit: the trading key may do too much or too little: {note}. Nothing is opened; mend it on "
    "the exchange's API page",
    "data.failing": "data.failing at {when}: {failures_in_row:bar} of {symbol} {interval} ({market}) in a row failed "
    "the validator, most for {top_reason}. Nothing trades on them; when it lasts: ./lab doctor",
    "state.set_aside": "A file could not be read, at {when}: {error}",
    "state.lies_aside": "{file} could not be read, and nothing it held is known to the lab any more. Restore it from a "
    "backup: ./lab restore; then move {file} away, which ends this",
    "strategy.stopped_for_good": "{id} is stopped for good: it lost {value:.2%} of its capital, limit {limit:.2%}",
    "risk.strategy_watch": "{id} has lost {value:.2%} of its capital; at {limit:.2%} you are told, nothing is done",
    "carry.books_agree": "The books agree with the exchange again; the halt {reason} is lifted",
    "carry.key_refused": "The exchange does not take the trading key: nothing can be opened or closed with it, look at "
    "the exchange. Held, by the lab's books: {held}. {note}",
    "carry.unattended": "{held} may be open, and there are no trading keys here: nobody looks after it. Set them in "
    ".env and restart, or close both legs on the exchange",
    "carry.unguarded": "{held} is held, and no guardian has looked for {minutes:minute}: should the lab fail, nobody "
    "closes it. Start it: ./lab guardian; sudo systemctl start ai-trading-lab-guardian; or docker compose -f "
    "deploy/compose.yaml up -d guardian",
    "carry.key_taken": "The exchange takes the trading key again. Held, by the lab's books: {held}",
    "strategy.refuted": "{name} ({id}) is retired: paper contradicts its backtest. {reason}",
    "strategy.expired": "{name} ({id}) is retired, its evidence has expired: {life}, {numbers}. What it holds live is "
    "closed by the ordinary exit, and nothing new is opened",
    "parity.differs": "{id}: paper is not its backtest on the recorded bars: {why}: paper {paper}, "
    "backtest {backtest}; in all they differ by {differences}. It stays on paper, or goes back there; what it holds "
    "live goes on by its exit rules",
    "parity.live_differs": "{id} is on paper again, its approval void: {why}. What it holds goes on by its exit rules",
    "parity.not_comparable": "{id}: paper could not be held against its backtest, nights in a row by now: {nights}; "
    "{why}. No human is asked about it meanwhile",
    "parity.day": "{id}: yesterday {otherwise:candle} came live otherwise than the exchange has them now; paper "
    "is held against what was told live",
    "parity.no_recording": "Not all that the lab was told can be read, and counts as not told: {why}",
    "paper.parked": "The paper account of {strategy_id} is set aside and does not go on by itself: {reason}",
    "report.parts_differ": "The equity of {account}, {equity:,.2f} USDT, is not the sum of its parts: {error:+,.2f} "
    "USDT are in none. The report says so too; compare with the exchange, and look whether it is so in the next one",
    "cycle.degraded": "{cycles:trading cycle} in a row could not decide: {because}. Nothing is traded meanwhile. "
    "Do: {do}",
    "journal.torn_line": "A power cut tore the last line of the journal of intents, of what had not left yet: {note}",
    "market.left_out": "{symbol} is left out, everything else runs: {why}",
    "data.stale": "The candles of {symbol} that are due have not come for {cycles:cycle}; old ones decide nothing. "
    "When it lasts: ./lab doctor",
    "job.parked": "The job {job} had a bug and is set aside: {error}. The others go on; restart after mending it",
    "job.failing": "The job {job} has failed {failures:time} in a row: {error}. It is tried again when due",
    "job.ended_service": "The job {job} had a bug where money is touched: {error}. The service ends and is restarted",
}
"""Events told in words of their own; the others are told as they stand in the journal."""


def sentence(event: Event, reader: Reader = UTC) -> str:
    """An event in one line, for a person."""
    words = WORDS.get(event.name)
    if words is not None:
        try:
            return words.format(**told_facts(event, reader))
        except (KeyError, ValueError, TypeError):
            pass  # a fact is missing or of another kind: told as it stands, below
    return as_it_stands(event, reader)


def as_it_stands(event: Event, reader: Reader = UTC) -> str:
    """An event's name, then its facts, as the journal has them."""
    told = ", ".join(f"{key} {_value(value)}" for key, value in event.facts.items() if key != "alert_key")
    return f"{event.name} at {reader.named(event.at_ms)}" + (f": {told}" if told else "")


def _value(value: object) -> str:
    return figure(value, ",.6g") if isinstance(value, float) else str(value)

"""The carry desk: one decision cycle at a time, from the venue's truth to a report.

A cycle: stops, what a crash interrupted, books and reconciliation, risk, market, decision, execution, report. It never
notifies: it publishes events and returns a report. Whatever the venue refuses to answer ends the cycle without a trade.
While a cycle runs it holds `state/trading.lock`; the stop script takes the same lock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal

from trading.domain.clock import Clock
from trading.domain.decisions import Decision, Reason
from trading.domain.errors import (
    DataProviderError,
    ExecutionError,
    KeyRefusedError,
    OutcomeUnknownError,
    PortfolioUpdateError,
    StateFileError,
)
from trading.domain.events import Event, Publish, Severity
from trading.domain.venue import MarketData, Venue
from trading.execution.collateral import Collateral
from trading.execution.flatten import FlattenReport, flatten_all
from trading.execution.intents import Intents
from trading.execution.live import LiveBroker
from trading.execution.saga_steps import Tools
from trading.execution.settings import ExecutionSettings
from trading.funding.books import performance
from trading.funding.carry_settings import CarrySettings
from trading.funding.cycle import NOTHING, Cycle
from trading.funding.cycle_base import Carry
from trading.funding.forgotten import forgotten, forgotten_error
from trading.funding.hedge_look import HedgeWatch
from trading.funding.hedge_memory import HedgeMemory
from trading.funding.hedge_settings import HedgeSettings
from trading.funding.position import CarryPosition, PositionStore
from trading.funding.report import CycleReport
from trading.funding.room import Room
from trading.journal.audit import CycleStatus
from trading.market.validator_rules import ValidatorSettings
from trading.risk.counters import RiskCounters
from trading.risk.kill_switch import Stop, read_stop
from trading.risk.limits import RiskLimits
from trading.risk.memory import Halt
from trading.risk.pulse import Pulse, Vitals, watched
from trading.storage.home import Home
from trading.storage.lock import only_one


@dataclass(frozen=True, slots=True)
class DeskSettings:
    """The settings of every room the desk works with."""

    carry: CarrySettings
    limits: RiskLimits
    execution: ExecutionSettings
    validator: ValidatorSettings = field(default_factory=ValidatorSettings)
    hedge: HedgeSettings = field(default_factory=HedgeSettings)


def trading_tools(
    home: Home,
    venue: Venue,
    *,
    settings: ExecutionSettings,
    clock: Clock,
    environment: Mapping[str, str],
    mends: bool = True,
) -> Tools:
    """Journal and broker of a home, for the desk or for a stop script; hold `trading_lock` while using them.

    Args:
        home: Whose journal.
        venue: The account.
        settings: How orders are worked.
        clock: Lab time.
        environment: For `KILL`.
        mends: See `Intents`; False where the lock is not held yet.

    Raises:
        StateFileError: the journal of intents cannot be read.
    """
    intents = Intents(home.intents_file, mends=mends)
    broker = LiveBroker(venue, intents, clock=clock, settings=settings)
    collateral = Collateral(venue, intents, clock=clock, settings=settings)
    return Tools(venue, broker, collateral, intents, clock, settings, lambda: read_stop(home, environment))


@contextmanager
def trading_lock(home: Home) -> Iterator[None]:
    """Only one process sends orders.

    Raises:
        StateFileError: another process is trading or flattening; names its pid.
    """
    with only_one(home.state / "trading.lock", what="trading"):
        yield


async def flatten_home(tools: Tools, home: Home, *, why: str) -> tuple[FlattenReport, ...]:
    """The way to flat for a stop script: takes the lock, reads the journal anew, closes everything of ours.

    Raises:
        StateFileError: another process holds the lock, the journal cannot be read or written, or it knows nothing of
            orders that were filled: of a position with such nothing is closed, for one leg of it would be left.
    """
    with trading_lock(home):
        tools.intents.catch_up(alone=True)
        lost = forgotten(home.positions_file, tools.intents)
        reports = await flatten_all(tools, why=why, but=lost)
        if lost:
            raise forgotten_error(home.positions_file, lost)
        return reports


class CarryDesk:
    """Runs the live carry of one home.

    Args:
        home: Where journal, position and counters are kept.
        venue: The exchange.
        settings: Of carry, limits and execution.
        publish: Takes events.
        clock: The lab's.
        environment: For `KILL`; `os.environ` in real life.
        second: Who else says what the quote coin is worth; None: nobody is asked.

    Raises:
        StateFileError: a file of state cannot be read; it has been set aside and a human must look.
    """

    def __init__(
        self,
        home: Home,
        venue: Venue,
        *,
        settings: DeskSettings,
        publish: Publish,
        clock: Clock,
        environment: Mapping[str, str],
        second: MarketData | None = None,
    ) -> None:
        self._home, self._clock, self._publish = home, clock, publish
        pulse = Pulse(clock)
        venue = watched(venue, pulse, clock)
        tools = trading_tools(home, venue, settings=settings.execution, clock=clock, environment=environment)
        if lost := forgotten(home.positions_file, tools.intents):
            raise forgotten_error(home.positions_file, lost)
        store = PositionStore(home.positions_file, tools.intents)
        counters = RiskCounters(home.state / "risk_counters.json")
        self._is_ending = False
        tools = replace(tools, is_ending=lambda: self._is_ending, validator=settings.validator)
        memory = HedgeMemory(home.state / "hedge_watch.json")
        hedge = HedgeWatch(memory, settings.hedge, second)
        self._room = Room(
            tools, store, counters, settings.carry, settings.limits, settings.validator, self._tell, pulse, hedge
        )
        self._last_refusal = ""
        self._is_key_refused = False
        for note in tools.intents.notes:
            self._tell("journal.torn_line", {"note": note}, Severity.NOTICE)
        if memory.note:
            self._tell("hedge.forgotten", {"note": memory.note}, Severity.NOTICE)

    @property
    def store(self) -> PositionStore:
        """What the lab believes it holds."""
        return self._room.store

    @property
    def counters(self) -> RiskCounters:
        """What the guards remember, and the halts that stand."""
        return self._room.counters

    @property
    def vitals(self) -> Vitals:
        """How well the exchange answered the latest calls."""
        return self._room.pulse.vitals

    def weigh(self, carry: CarrySettings) -> None:
        """From the next cycle on decide by these: what own fills have taught of the impact."""
        self._room = replace(self._room, carry=carry)

    def hurry(self) -> None:
        """The service ends: a saga under way stops waiting as maker and ends even at once, and nothing is opened any
        more. An opening keeps what is hedged, a closing takes the rest.
        """
        self._is_ending = True

    async def resume(self) -> CycleReport:
        """At start: finish or unwind what a crash interrupted, then hold the books against the venue. No new entry."""
        return await self.cycle((), stop=self._room.tools.read_stop())

    async def cycle(
        self, carries: Sequence[Carry], *, stop: Stop, leave: Mapping[str, Decision] = NOTHING
    ) -> CycleReport:
        """One decision cycle.

        Args:
            carries: The approved carries, and which of them are armed; none: nothing is opened, what is held is still
                managed.
            stop: The switches, read just now.
            leave: By position id, why it is closed by the ordinary exit, whatever its own rules say.

        Raises:
            StateFileError: the journal or a file of state cannot be written; nothing may be sent.
        """
        return await self._guarded(lambda cycle: cycle.run(carries, stop=stop, leave=leave))

    async def flatten(self, reason: Decision) -> CycleReport:
        """Close everything now; the reason goes to the journal."""
        return await self._guarded(lambda cycle: cycle.go_flat(reason))

    def release_halts(self) -> tuple[Halt, ...]:
        """A human releases every halt; those that stood."""
        released = self.counters.release()
        for halt in released:
            self._tell("risk.released", {"reason": halt.reason.value, "note": halt.note}, Severity.NOTICE)
        return released

    async def _guarded(self, work: Callable[[Cycle], Awaitable[None]]) -> CycleReport:
        cycle = Cycle(self._room)
        with ExitStack() as held:
            try:
                held.enter_context(trading_lock(self._home))
            except StateFileError as error:
                cycle.end(CycleStatus.HALTED, Decision(False, Reason.STOPPED_BY_HUMAN, 1.0, 0.0, str(error)))
                report = cycle.report
            else:
                self._room.tools.intents.catch_up()
                report = await self._caught(cycle, work)
        self._tell_refusal(report)
        return report

    async def _caught(self, cycle: Cycle, work: Callable[[Cycle], Awaitable[None]]) -> CycleReport:
        try:
            await work(cycle)
        except OutcomeUnknownError as error:
            cycle.end(CycleStatus.HALTED, Decision(False, Reason.OUTCOME_UNKNOWN, 1.0, 0.0, str(error)))
        except PortfolioUpdateError as error:
            self._tell("carry.books_disagree", {"note": str(error)}, Severity.ALERT)
            cycle.end(CycleStatus.HALTED, Decision(False, Reason.RECONCILE_MISMATCH, 1.0, 0.0, str(error)))
        except KeyRefusedError as error:
            self._tell_key_refused(error)
            cycle.end(CycleStatus.HALTED, Decision(False, Reason.KEY_UNFIT, 1.0, 0.0, str(error)))
        except (ExecutionError, DataProviderError) as error:
            cycle.end(CycleStatus.DEGRADED, Decision(False, Reason.DATA_UNAVAILABLE, 0.0, 0.0, str(error)))
        if self._is_key_refused and cycle.report.equity_quote is not None:  # the account was read
            self._is_key_refused = False
            self._tell("carry.key_taken", {"held": self._held_in_words()}, Severity.NOTICE)
        return cycle.report

    def _tell_key_refused(self, error: KeyRefusedError) -> None:
        """Without the key nothing can be closed either: a human hears at once what is held, by the lab's own books."""
        self._is_key_refused = True
        self._tell("carry.key_refused", {"note": str(error), "held": self._held_in_words()}, Severity.ALERT)

    def _held_in_words(self) -> str:
        return "; ".join(map(self._legs_in_words, self.store.lives)) or "nothing"

    def _legs_in_words(self, live: CarryPosition) -> str:
        """As reports tell them, without what fees took; of what is not booked yet as the journal has it."""
        view = performance(live.fills, live.income, spot_price=Decimal(0), mark_price=Decimal(0))
        spot, perp = (view.spot_base, view.perp_base) if live.fills else self._room.tools.intents.held(live.id)
        return f"{live.symbol}: spot {spot.normalize():f}, perpetual {perp.normalize():f}"

    def _tell_refusal(self, report: CycleReport) -> None:
        decision = report.decision
        refused = "" if report.status is CycleStatus.EXECUTED or decision.reason is Reason.HOLDING else decision.reason
        if refused and refused != self._last_refusal:
            facts = {"reason": refused, "value": decision.value, "limit": decision.limit, "note": decision.note}
            self._tell("carry.refused", facts, Severity.INFO)
        self._last_refusal = refused

    def _tell(self, name: str, facts: Mapping[str, object], severity: Severity) -> None:
        self._publish(Event(self._clock.now_ms(), name, facts, severity))

"""A night's comparison as the service asks for it: read yesterday's recording, replay every account on it. CPU work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ai_brain.paper.account import load_account
from ai_brain.paper.parity import Parity, ParityStatus, compare
from ops.nightly.as_told import remember, tapes_as_told
from ops.nightly.live_parity import live_against_model
from ops.settings import LabSettings
from ops.trace.live_records import read_holdings
from trading.domain.errors import DataProviderError, StateFileError
from trading.exchange.recorded_bars import RecordedBars, read_recorded_bars
from trading.market.tape import Tape
from trading.simulator.costs import MarketRules
from trading.storage.home import Home
from trading.strategy.spec import StrategySpec

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Asked:
    """One account to compare."""

    spec: StrategySpec
    shelf: tuple[Tape, ...]
    """Of `markets_of(spec)`."""
    rules: MarketRules


@dataclass(frozen=True, slots=True)
class LiveTold:
    """A live position that was closed yesterday, against its backtest."""

    position_id: str
    words: str


@dataclass(frozen=True, slots=True)
class Compared:
    """One account compared."""

    parity: Parity
    told: int = 0
    """Candles of the day that were told live, of all its markets."""
    untold: int = 0
    """Those that the shelf alone has."""
    otherwise: int = 0
    """Those that were told otherwise than the shelf has them, or that it lacks."""
    live: tuple[LiveTold, ...] = ()


@dataclass(frozen=True, slots=True)
class Night:
    """What a night found."""

    compared: tuple[Compared, ...]
    """In the order they were asked for."""
    unread: str
    """Why the recording could not be read, and so is none; empty: it was read."""


def compare_night(home: Home, settings: LabSettings, asked: Sequence[Asked], end_ms: int) -> Night:
    """Hold accounts against the market as it was told on the day that ended.

    What keeps one account from being compared is its verdict; the others go on. What the day told otherwise than the
    shelf is remembered on disk.
    """
    recorded, unread = RecordedBars(end_ms - DAY_MS, end_ms), ""
    try:
        recorded = read_recorded_bars(home.recordings, start_ms=end_ms - DAY_MS, end_ms=end_ms)
    except (DataProviderError, OSError) as error:
        unread = str(error)
    return Night(tuple(_compared(home, settings, one, recorded) for one in asked), unread)


def _compared(home: Home, settings: LabSettings, asked: Asked, recorded: RecordedBars) -> Compared:
    """What was seen before something kept the account from being compared is told all the same."""
    spec, told, live = asked.spec, None, tuple[LiveTold, ...]()
    try:
        account = load_account(home, spec.id)
        if account is None:
            return Compared(Parity(spec.id, ParityStatus.NOT_COMPARABLE, why="it has no account"))
        told = tapes_as_told(home, spec, asked.shelf, recorded)
        remember(home, told)
        costs, weights = settings.carry_costs(), settings.carry.weights()
        held = live_against_model(spec, read_holdings(home), told.tapes, costs, asked.rules, start_ms=recorded.start_ms)
        live = tuple(LiveTold(one.position.id, str(one)) for one in held)
        parity = compare(account, spec, told.tapes, settings.paper, asked.rules, weights)
    except (DataProviderError, StateFileError) as error:
        parity = Parity(spec.id, ParityStatus.NOT_COMPARABLE, why=str(error))
    return Compared(parity) if told is None else Compared(parity, told.told, told.untold, told.otherwise, live)

"""A night's comparison as the service asks for it: take in what was recorded, replay every account on it. CPU work."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ai_brain.paper.account import load_account
from ai_brain.paper.parity import Parity, ParityStatus, compare
from ops.nightly.candle_memory import Told, take_in
from ops.nightly.live_parity import live_against_model
from ops.nightly.live_verdict import beyond
from ops.nightly.tapes_as_told import TapesAsTold, tapes_as_told
from ops.nightly.verdict import settled
from ops.settings import LabSettings
from ops.trace.live_records import Holdings, read_holdings
from trading.domain.clock import DAY_MS
from trading.domain.errors import DataProviderError, StateFileError
from trading.exchange.recording import Subscription
from trading.market.tape import Tape
from trading.simulator.costs import MarketRules
from trading.storage.home import Home
from trading.strategy.spec import StrategySpec


@dataclass(frozen=True, slots=True)
class Asked:
    """One account to compare."""

    spec: StrategySpec
    shelf: tuple[Tape, ...]
    """Of `markets_of(spec)`."""
    rules: MarketRules


@dataclass(frozen=True, slots=True)
class LiveTold:
    """A live position that was closed, against its backtest."""

    position_id: str
    words: str
    beyond: str = ""
    """Why it sends its strategy back to paper; empty: it does not."""


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
    unread: tuple[str, ...]
    """What of the recording could not be read; its candles count as not told."""


def compare_night(
    home: Home,
    settings: LabSettings,
    asked: Sequence[Asked],
    end_ms: int,
    *,
    markets: Collection[Subscription],
    live_from_ms: int,
    held: Holdings | None = None,
) -> Night:
    """Take in what was told since the last night, and hold accounts against the market as it was told.

    What keeps one account from being compared is its verdict; the others go on.

    Args:
        home: Whose.
        settings: As now.
        asked: The accounts.
        end_ms: Of the day, UTC ms.
        markets: What the lab reads; all of it is taken in, for accounts that are to come.
        live_from_ms: Live positions that were closed from here on are compared.
        held: Those that the desk has; None: as the positions file has them.

    Raises:
        StateFileError: what was told cannot be written down.
    """
    needed = {(tape.market, tape.symbol, tape.interval) for one in asked for tape in one.shelf}
    told = take_in(home, sorted({*markets, *needed}), reach_bars=settings.research.live_bars)
    found = tuple(_compared(home, settings, one, told, end_ms, live_from_ms, held) for one in asked)
    return Night(found, tuple(told.unread))


def _compared(
    home: Home, settings: LabSettings, asked: Asked, told: Told, end_ms: int, live_from_ms: int, held: Holdings | None
) -> Compared:
    """What was seen before something kept the account from being compared is told all the same."""
    spec, seen, live = asked.spec, None, tuple[LiveTold, ...]()
    try:
        account = load_account(home, spec.id)
        if account is None:
            return Compared(Parity(spec.id, ParityStatus.NOT_COMPARABLE, why="it has no account"))
        seen = tapes_as_told(spec, account, asked.shelf, told, start_ms=end_ms - DAY_MS, end_ms=end_ms)
        live = _live(read_holdings(home) if held is None else held, settings, asked, seen, live_from_ms)
        compared = compare(account, spec, seen.tapes, settings.paper, asked.rules, settings.carry.weights())
        parity = settled(compared, spec, account, seen, end_ms)
    except (DataProviderError, StateFileError) as error:
        parity = Parity(spec.id, ParityStatus.NOT_COMPARABLE, why=str(error))
    return Compared(parity) if seen is None else Compared(parity, seen.told, seen.untold, seen.otherwise, live)


def _live(held: Holdings, settings: LabSettings, asked: Asked, seen: TapesAsTold, from_ms: int) -> tuple[LiveTold, ...]:
    costs = settings.carry_costs()
    found = live_against_model(asked.spec, held, seen.tapes, costs, asked.rules, start_ms=from_ms)
    return tuple(LiveTold(one.position.id, str(one), beyond(one, seen.tapes)) for one in found)

"""What paper trading asks of the live market; `ops` answers it from the stream, the history and the validator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ai_brain.paper.account import PaperAccount
from trading.domain.clock import iso
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS
from trading.market.beside import beside_spot, shared_stretch
from trading.market.tape import Tape
from trading.simulator.costs import MarketRules
from trading.strategy.spec import CarryParameters, StrategySpec

WARM_UP_FACTOR = 5
"""Bars of history before the first paper bar, in look-backs of the rules, so that recursive averages have settled."""
RECENT_MS = 3 * 86_400_000
"""Of history, once an account is under way: its stepper remembers the rest."""
LONGEST_FUNDING_MS = 28_800_000
"""Contracts settle at least every 8 h."""
CARRY_WARM_UP_MS = 30 * 86_400_000
"""History of settled funding before a carry's first paper bar."""


class MarketView(Protocol):
    """The live market as closed bars."""

    def tape(self, market: Market, symbol: str, interval: str, *, start_ms: int) -> Tape | None:
        """Closed bars from `start_ms` (or as far back as there are any) to now, with settled funding; None: none."""

    def blocked(self, market: Market, symbol: str, interval: str) -> str | None:
        """Why the validator does not let research use the newest bars; None: it does."""

    def rules(self, spec: StrategySpec) -> MarketRules:
        """The venue's steps and minimums; of both legs for a carry. `DataProviderError`: not a market of this lab."""


@dataclass(frozen=True, slots=True)
class PaperTapes:
    """The bars one strategy needs."""

    main: Tape
    """Of its own market; the perpetual for a carry. With spot closes beside it where its rules read the basis."""
    spot: Tape | None = None
    """The other leg of a carry."""

    def until(self, close_ms: int) -> PaperTapes:
        """The same, without the bars that close after `close_ms`."""
        spot = self.spot.window(self.spot.start_ms, close_ms) if self.spot is not None else None
        return PaperTapes(self.main.window(self.main.start_ms, close_ms), spot)


def markets_of(spec: StrategySpec) -> tuple[Market, ...]:
    """The markets a strategy needs bars of, its own first."""
    if isinstance(spec.parameters, CarryParameters) or spec.reads_basis:
        return (Market.PERP, Market.SPOT)
    return (spec.market.market,)


def paper_tapes(spec: StrategySpec, found: Sequence[Tape]) -> PaperTapes:
    """Tapes of `markets_of` as a strategy's book takes them.

    Both legs of a carry as they are; of rules that read the basis, the perpetual over the stretch of both markets, with
    the spot closes beside it.

    Raises:
        DataProviderError: the basis is read, and the two have no bar in common.
    """
    if spec.reads_basis:
        perp, spot = shared_stretch(*found)
        return PaperTapes(beside_spot(perp, spot))
    return PaperTapes(*found)


def tapes_of(view: MarketView, spec: StrategySpec, *, start_ms: int) -> PaperTapes | str:
    """The bars a strategy needs, or why there are none it may use.

    Two markets end with the same bar: what only one of them has is left for the next time.
    """
    found: list[Tape] = []
    symbol, interval = spec.market.native_symbol, spec.market.timeframe
    for market in markets_of(spec):
        if (why := view.blocked(market, symbol, interval)) is not None:
            return f"{market} {symbol} {interval}: {why}"
        tape = view.tape(market, symbol, interval, start_ms=start_ms)
        if tape is None:
            return f"{market} {symbol} {interval}: no closed bars yet"
        if (why := _funding_overdue(tape, is_carry=isinstance(spec.parameters, CarryParameters))) is not None:
            return f"{market} {symbol} {interval}: {why}"
        found.append(tape)
    if len(found) == 1:
        return PaperTapes(found[0])
    start, end = max(tape.start_ms for tape in found), min(tape.end_ms for tape in found)
    if start >= end:
        return f"{symbol} {interval}: spot and perpetual have no bar in common"
    return paper_tapes(spec, [tape.window(start, end) for tape in found])


def lacks_spot(tape: Tape, bar_ms: int) -> bool:
    """Whether rules that read the basis find none at a bar: spot has no bar of its time."""
    return len(tape.spot_close) > 0 and bool(np.isnan(tape.spot_close[tape.open_time_ms == bar_ms]).any())


def history_from_ms(spec: StrategySpec, account: PaperAccount) -> int:
    """From where on a strategy needs bars: history to warm up before the first bar that counts, then the newest."""
    if account.last_bar_ms is not None:
        return account.last_bar_ms - RECENT_MS
    if isinstance(spec.parameters, CarryParameters):
        return account.started_ms - CARRY_WARM_UP_MS
    bars = spec.parameters.lookback_bars(spec.market.timeframe) * WARM_UP_FACTOR + 2
    return account.started_ms - bars * INTERVAL_MS[spec.market.timeframe]


def fresh_bars(account: PaperAccount, tapes: PaperTapes) -> list[int]:
    """Open times of the bars an account has not seen and that close after it was opened; of a carry, of both legs."""
    times, interval_ms = tapes.main.open_time_ms, tapes.main.interval_ms
    if tapes.spot is not None:
        times = times[np.isin(times, tapes.spot.open_time_ms)]
    if account.last_bar_ms is not None:
        return [int(ms) for ms in times[times > account.last_bar_ms]]
    return [int(ms) for ms in times[times + interval_ms > account.started_ms]]


def _funding_overdue(tape: Tape, *, is_carry: bool) -> str | None:
    """Why a perpetual's bars must wait for its funding: a settlement before their end is not known yet.

    A bar stepped without its settlement would never be paid or charged. A rule strategy's tape without any funding is
    taken as it is.
    """
    times = tape.funding.time_ms
    if tape.market is not Market.PERP or (len(times) == 0 and not is_carry):
        return None
    if len(times) == 0:
        return "no settled funding yet"
    seen_ms = float(np.median(np.diff(times[-10:]))) if len(times) > 1 else LONGEST_FUNDING_MS
    interval_ms = min(LONGEST_FUNDING_MS, seen_ms)
    if tape.end_ms - int(times[-1]) > interval_ms + 60_000:
        return f"the funding due after {iso(int(times[-1]))} is not known yet"
    return None

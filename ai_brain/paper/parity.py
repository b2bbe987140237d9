"""Paper against the backtest: an account's life is replayed on recorded bars and must come out the same, to the bit.

What paper did was stepped bar by bar on the live stream, saved and restored. The replay runs the shelf's bars in one
piece, from the account's start, with its spec, its costs and its starting cash. Equality is of floats, no tolerance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import zip_longest

import numpy as np

from ai_brain.paper.account import PaperAccount, PaperTrade
from ai_brain.paper.attribution import Differences
from ai_brain.paper.books import terms, terms_sha256, weights_for
from ai_brain.paper.closed_trades import trades_of
from ai_brain.paper.market_view import PaperTapes
from ai_brain.paper.missed_bars import as_far_as_paper_had_it, too_much_missed
from ai_brain.paper.settings import PaperSettings
from ai_brain.paper.still_held import equity_differences
from trading.domain.clock import iso
from trading.domain.market import INTERVAL_MS
from trading.market.tape import Tape
from trading.simulator.carry_weights import CarryWeights
from trading.simulator.costs import CarryCosts, MarketRules
from trading.simulator.replay import Replay, replay, replay_carry
from trading.strategy.spec import StrategySpec, spec_sha256

NOT_BEGUN = "it has not stepped a bar yet"


class ParityStatus(StrEnum):
    """What the replay of one account found."""

    SAME = "SAME"
    DIFFERENT = "DIFFERENT"
    NOT_COMPARABLE = "NOT_COMPARABLE"
    """Not the same and not different: the replay cannot be made, `why` says why."""


@dataclass(frozen=True, slots=True)
class Parity:
    """One account held against its replay."""

    strategy_id: str
    status: ParityStatus
    bars: int = 0
    """Bars compared."""
    trades: int = 0
    """Closed trades compared."""
    why: str = ""
    """What differs first, or why nothing can be compared; of what is the same, since when nothing new was compared."""
    paper: float | str = ""
    """What paper has where the two differ first."""
    backtest: float | str = ""
    """What the replay has there."""
    missed: int = 0
    """Bars that the market has and paper went without; the replay goes without them too."""
    differs_ms: int = 0
    """Close of the bar until which the difference arose; 0: none."""
    differences: Differences | None = None
    """Paper's equity less the replay's at the last close of both, by cause; None: the same, or not comparable."""


def compare(
    account: PaperAccount,
    spec: StrategySpec,
    tapes: PaperTapes,
    settings: PaperSettings,
    rules: MarketRules,
    weights: CarryWeights,
) -> Parity:
    """Replay an account on recorded bars and hold every mark and every trade against it. CPU work.

    Args:
        account: As it lies on disk.
        spec: The strategy as it is now.
        tapes: Recorded bars, from the account's first bar of history on; they may end before the account does, then
            only what lies before their end is compared.
        settings: Fee and smallest order, as now.
        rules: The venue's, as now.
        weights: How a carry decides, as now.

    Raises:
        SpecError: the tapes are of another market.
    """
    terms_now = terms_sha256(spec, settings, rules, weights, account.learned)
    tapes, missed = as_far_as_paper_had_it(account, tapes)
    why = _not_comparable(account, spec, tapes, terms_now) or too_much_missed(account, missed)
    if why:
        return Parity(spec.id, ParityStatus.NOT_COMPARABLE, why=why, missed=missed)
    again = _replay(account, spec, tapes, settings, rules, weights)
    marks = _marks(account, int(again.open_time_ms[-1]) + tapes.main.interval_ms)
    equity = dict(
        zip((int(ms) + tapes.main.interval_ms for ms in again.open_time_ms), again.equity.tolist(), strict=True)
    )
    if (missing := next((at_ms for at_ms, _ in marks if at_ms not in equity), None)) is not None:
        note = f"paper stepped the bar that closed {iso(missing)}, the shelf has none"
        return Parity(spec.id, ParityStatus.NOT_COMPARABLE, why=note)
    trades = trades_of(again, is_carry=account.is_carry)
    mine = [trade for trade in account.trades if trade.exit_ms <= int(again.open_time_ms[-1])]
    found = Parity(spec.id, ParityStatus.SAME, len(marks), len(mine), missed=missed)
    for at_ms, quote in marks:
        if quote != equity[at_ms]:
            return replace(
                found,
                differs_ms=at_ms,
                status=ParityStatus.DIFFERENT,
                why=f"equity at the close of {iso(at_ms)}",
                paper=quote,
                backtest=equity[at_ms],
                differences=equity_differences(account, again, trades),
            )
    compared = _compare_trades(found, mine, trades, INTERVAL_MS[account.interval])
    if compared.status is ParityStatus.SAME:
        return compared
    return replace(compared, differences=equity_differences(account, again, trades))


def _compare_trades(
    found: Parity, mine: Sequence[PaperTrade], trades: Sequence[PaperTrade], interval_ms: int
) -> Parity:
    for number, (one, other) in enumerate(zip_longest(mine, trades), start=1):
        if one == other:
            continue
        different = replace(found, status=ParityStatus.DIFFERENT)
        if one is None or other is None:
            paper, backtest = float(len(mine)), float(len(trades))
            until_ms = max(trade.exit_ms for trade in (one, other) if trade is not None) + interval_ms
            why = "number of closed trades"
            return replace(different, why=why, paper=paper, backtest=backtest, differs_ms=until_ms)
        name = next(name for name in PaperTrade.model_fields if getattr(one, name) != getattr(other, name))
        return replace(
            different,
            why=f"{name} of trade {number}, opened {iso(one.entry_ms)}",
            paper=getattr(one, name),
            backtest=getattr(other, name),
            differs_ms=max(one.exit_ms, other.exit_ms) + interval_ms,
        )
    return found


def _not_comparable(account: PaperAccount, spec: StrategySpec, tapes: PaperTapes, terms_now: str) -> str:
    """Why no replay can be the account's; empty: one can."""
    main = tapes.main
    if account.last_bar_ms is None:
        return NOT_BEGUN
    if account.warm_from_ms is None:
        return "it began before its first bar of history was kept"
    if account.spec_sha256 != spec_sha256(spec):
        return "its parameters changed while it was on paper"
    if account.terms_sha256 != terms_now:
        return "its fee, the exchange's steps or how a carry decides changed since it began"
    first_ms = account.first_bar_ms
    for tape in (main, tapes.spot):
        if tape is None:
            continue
        if tape.start_ms > account.warm_from_ms:
            return f"the shelf's {tape.market} bars begin {iso(tape.start_ms)}, its history {iso(account.warm_from_ms)}"
        if tape.end_ms <= first_ms:
            return f"the shelf's {tape.market} bars end {iso(tape.end_ms)}, before its first bar has closed"
    stepped = account.returns.n
    held = _held_bars(tapes, first_ms, account.last_bar_ms)
    until_ms = min(account.last_bar_ms + INTERVAL_MS[account.interval], _end_ms(tapes))
    stepped -= sum(at_ms > until_ms for at_ms, _ in account.curve)
    if held != stepped:
        return f"paper stepped {stepped} bars until {iso(until_ms)}, the shelf has {held}"
    odd = _without_spot(main, first_ms, account.last_bar_ms) ^ {ms for ms in account.no_spot_ms if ms < main.end_ms}
    return f"of paper and the shelf one has a spot bar of {iso(min(odd))}, the other has none" if odd else ""


def _replay(
    account: PaperAccount,
    spec: StrategySpec,
    tapes: PaperTapes,
    settings: PaperSettings,
    rules: MarketRules,
    weights: CarryWeights,
) -> Replay:
    costs, stricter = terms(settings, rules, account.learned)
    last_ms = account.last_bar_ms or 0
    cut = _cut(tapes, account.warm_from_ms or 0, last_ms + INTERVAL_MS[account.interval])
    first_ms, start, dropped = account.first_bar_ms, account.starting_quote, account.dropped_ms
    if cut.spot is None:
        return replay(
            cut.main, spec, from_ms=first_ms, costs=costs, rules=stricter, starting_quote=start, dropped_ms=dropped
        )
    both = CarryCosts(spot=costs, perp=costs, weights=weights_for(weights, account.learned))
    return replay_carry(
        cut.spot, cut.main, spec, from_ms=first_ms, costs=both, rules=stricter, starting_quote=start, dropped_ms=dropped
    )


def _cut(tapes: PaperTapes, start_ms: int, end_ms: int) -> PaperTapes:
    """Both legs from the first bar of history to the account's last bar."""
    end_ms = min(end_ms, _end_ms(tapes))
    spot = None if tapes.spot is None else tapes.spot.window(start_ms, end_ms)
    return PaperTapes(tapes.main.window(start_ms, end_ms), spot)


def _end_ms(tapes: PaperTapes) -> int:
    return tapes.main.end_ms if tapes.spot is None else min(tapes.main.end_ms, tapes.spot.end_ms)


def _held_bars(tapes: PaperTapes, first_ms: int, last_ms: int) -> int:
    """How many of the account's bars the shelf has, of every leg."""
    times = tapes.main.open_time_ms
    found = (times >= first_ms) & (times <= last_ms) & (times < _end_ms(tapes))
    if tapes.spot is not None:
        found &= np.isin(times, tapes.spot.open_time_ms)
    return int(np.count_nonzero(found))


def _without_spot(main: Tape, first_ms: int, last_ms: int) -> set[int]:
    """Open times of the account's bars at which rules that read the basis find none."""
    if len(main.spot_close) == 0:
        return set()
    times = main.open_time_ms[np.isnan(main.spot_close)]
    return {int(ms) for ms in times[(times >= first_ms) & (times <= last_ms)]}


def _marks(account: PaperAccount, until_ms: int) -> list[tuple[int, float]]:
    return [(at_ms, quote) for at_ms, quote in account.curve if at_ms <= until_ms]

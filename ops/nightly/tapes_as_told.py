"""A strategy's market as the lab was told it live, which is what paper stepped on.

A replay runs on the shelf's candles with every word in place that is known of them. Where it is not known which word
paper saw, nobody may call it different: such candles are named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ai_brain.paper.account import PaperAccount
from ai_brain.paper.market_view import PaperTapes, paper_tapes
from ops.nightly.candle_memory import Told
from trading.domain.clock import iso, parse_iso
from trading.domain.market import INTERVAL_MS, Bar
from trading.market.as_told import COLUMNS, AsTold, as_told
from trading.market.tape import Tape
from trading.market.told_candles import Cells, ToldCandles
from trading.strategy.lifecycle import Stage
from trading.strategy.spec import CarryParameters, StrategySpec


@dataclass(frozen=True, slots=True)
class TapesAsTold:
    """The bars one strategy needs as they were told, and how each of its markets' day was."""

    tapes: PaperTapes
    day: tuple[AsTold, ...]
    uncertain_ms: tuple[int, ...]
    """Open times of the account's bars, and of those that warmed it up, whose word paper saw is not known; sorted."""
    shelf_ms: int
    """Where the shelf ends, UTC ms: what was settled later is not known."""

    @property
    def told(self) -> int:
        """Candles of the day that were told live, of all markets."""
        return sum(one.told for one in self.day)

    @property
    def untold(self) -> int:
        """Candles of the day that the shelf alone has."""
        return sum(len(one.untold) for one in self.day)

    @property
    def otherwise(self) -> int:
        """Candles of the day that were told otherwise than the shelf has them, or that it lacks."""
        return sum(len(one.revised) + len(one.added) for one in self.day)


def tapes_as_told(
    spec: StrategySpec, account: PaperAccount, shelf: Sequence[Tape], told: Told, *, start_ms: int, end_ms: int
) -> TapesAsTold:
    """Put what an account saw in place of the shelf's candles.

    Args:
        spec: The strategy.
        account: Its account.
        shelf: Tapes of `markets_of(spec)`.
        told: What the lab was told.
        start_ms: Where the day begins that is told of, UTC ms.
        end_ms: Where it ends, and the comparison.

    Raises:
        DataProviderError: what was told makes no tape.
    """
    found, day, uncertain, looks = list[Tape](), list[AsTold](), set[int](), _Looks.of(spec, account)
    for tape in shelf:
        known = told.of(tape.market, tape.symbol, tape.interval)
        bars = {
            ms: _bar(tape, ms, cells)
            for ms in known
            if tape.start_ms <= ms < end_ms
            and (cells := known.seen(ms, looks.at_ms(ms))) is not None
            and _is_candle(cells)
        }
        found.append(as_told(tape, bars, start_ms=tape.start_ms, end_ms=end_ms).tape)
        of_day = {ms: bar for ms, bar in bars.items() if start_ms <= ms}
        day.append(as_told(tape, of_day, start_ms=start_ms, end_ms=end_ms))
        uncertain |= set(_uncertain(spec, account, found[-1], known, looks))
    return TapesAsTold(paper_tapes(spec, found), tuple(day), tuple(sorted(uncertain)), min(one.end_ms for one in shelf))


def day_words(told: TapesAsTold) -> list[str]:
    """How each market's day was told, a line each."""
    lines = []
    for one in told.day:
        name = f"{one.tape.market} {one.tape.symbol} {one.tape.interval}"
        line = f"{name}: {one.told} candles told live, {len(one.untold)} on the shelf only"
        if one.revised:
            line += f", {len(one.revised)} told otherwise than the shelf has them, the first {iso(one.revised[0])}"
        if one.added:
            line += f", {len(one.added)} that the shelf lacks, the first {iso(one.added[0])}"
        lines.append(line)
    return lines


@dataclass(frozen=True, slots=True)
class _Looks:
    """When an account could look at each bar for the first time."""

    interval_ms: int
    first_bar_ms: int
    away: tuple[tuple[int, int], ...]
    """When the strategy left paper, and when it came back."""

    @classmethod
    def of(cls, spec: StrategySpec, account: PaperAccount) -> _Looks:
        left = [parse_iso(record.at) for record in spec.history if record.from_ is Stage.DRY_RUN]
        came = [parse_iso(record.at) for record in spec.history if record.to is Stage.DRY_RUN]
        away = ((left_ms, next((ms for ms in came if ms > left_ms), left_ms)) for left_ms in left)
        return cls(INTERVAL_MS[account.interval], account.first_bar_ms, tuple(away))

    def at_ms(self, open_ms: int) -> int:
        """The bar's close, the close of the account's first bar, or the strategy's coming back to paper."""
        close_ms = max(open_ms, self.first_bar_ms) + self.interval_ms
        return max([close_ms, *(back_ms for left_ms, back_ms in self.away if left_ms <= close_ms)])


def _uncertain(
    spec: StrategySpec, account: PaperAccount, tape: Tape, known: ToldCandles, looks: _Looks
) -> Iterator[int]:
    """Open times of the bars that an account has seen, where it is not known which word it saw."""
    if account.last_bar_ms is None or account.warm_from_ms is None:
        return
    # A carry's history is of settled funding alone.
    from_ms = account.first_bar_ms if isinstance(spec.parameters, CarryParameters) else account.warm_from_ms
    times, missed, interval_ms = tape.open_time_ms, account.missed, tape.interval_ms
    for ms in map(int, times[(times >= from_ms) & (times <= account.last_bar_ms)]):
        looked_ms = looks.at_ms(ms)
        was_told = looked_ms > ms + interval_ms
        if ms not in missed and not known.is_certain(ms, looked_ms, for_ms=interval_ms, was_told=was_told):
            yield ms


def _bar(tape: Tape, open_ms: int, cells: Cells) -> Bar:
    named = dict(zip(COLUMNS, cells, strict=True))
    return Bar(tape.market, tape.symbol, tape.interval, open_ms, **named, is_closed=True, received_ms=open_ms)


def _is_candle(cells: Cells) -> bool:
    """Whether a tape can hold it; what makes no sense was refused, and paper went without it."""
    opened, high, low, close, volume = cells
    return 0.0 < low <= min(opened, close) and max(opened, close) <= high < float("inf") and volume >= 0.0

"""What two accounts of the same trades differ by, and why: signal, time, price, fee or funding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields

from ai_brain.paper.account import PaperTrade

TOLD_FROM = 0.00005
"""Quote; a smaller part has four noughts."""


@dataclass(frozen=True, slots=True)
class Differences:
    """One side's net result less the other's, quote; the parts add up to the whole."""

    signal: float = 0.0
    """Of trades that only one side made."""
    time: float = 0.0
    """Of prices, of trades that one side opened or closed at another bar."""
    price: float = 0.0
    """Of prices and quantities, of trades at the same bars."""
    fee: float = 0.0
    funding: float = 0.0

    @property
    def total(self) -> float:
        """One side's net result less the other's."""
        return self.signal + self.time + self.price + self.fee + self.funding

    def __add__(self, other: Differences) -> Differences:
        return Differences(*(one + more for one, more in zip(astuple(self), astuple(other), strict=True)))

    def __str__(self) -> str:
        parts = {part.name: getattr(self, part.name) for part in fields(self)}
        named = ", ".join(f"{name} {value:+.4f}" for name, value in parts.items() if abs(value) >= TOLD_FROM)
        if named:
            return f"{self.total:+.4f} USDT: {named}"
        return "less than 0.0001 USDT" if any(parts.values()) else "nothing"


def attribute(mine: Sequence[PaperTrade], theirs: Sequence[PaperTrade]) -> Differences:
    """Split the difference of two lists of trades, each with one position at a time, in any order."""
    found = Differences()
    for one, other in _pairs(sorted(mine, key=_by_time), sorted(theirs, key=_by_time)):
        if one is not None and other is not None:
            found += between(one, other)
        else:
            found += Differences(signal=(one.pnl_quote if one else 0.0) - (other.pnl_quote if other else 0.0))
    return found


def between(one: PaperTrade, other: PaperTrade) -> Differences:
    """Split the difference of two trades that belong together."""
    paid, got = other.fees_quote - one.fees_quote, one.funding_quote - other.funding_quote
    rest = one.pnl_quote - other.pnl_quote - paid - got
    if (one.entry_ms, one.exit_ms) == (other.entry_ms, other.exit_ms):
        return Differences(price=rest, fee=paid, funding=got)
    return Differences(time=rest, fee=paid, funding=got)


def _pairs(
    mine: Sequence[PaperTrade], theirs: Sequence[PaperTrade]
) -> list[tuple[PaperTrade | None, PaperTrade | None]]:
    """Each trade with the one it shares most time with, trades of the same bars first; the rest stand alone."""
    free_mine, free_theirs = dict(enumerate(mine)), dict(enumerate(theirs))
    pairs: list[tuple[PaperTrade | None, PaperTrade | None]] = []
    for _, i, j in sorted(_together(mine, theirs), key=lambda found: (found[0], found[1] + found[2])):
        if i in free_mine and j in free_theirs:
            pairs.append((free_mine.pop(i), free_theirs.pop(j)))
    pairs += [(one, None) for one in free_mine.values()]
    pairs += [(None, other) for other in free_theirs.values()]
    return pairs


def _together(
    mine: Sequence[PaperTrade], theirs: Sequence[PaperTrade]
) -> Iterator[tuple[tuple[bool, int, int], int, int]]:
    """What may belong together: how well, smaller is better, and the place of both; each list oldest first."""
    first = 0
    for i, one in enumerate(mine):
        while first < len(theirs) and theirs[first].exit_ms < one.entry_ms:
            first += 1
        for j in range(first, len(theirs)):
            other = theirs[j]
            if other.entry_ms > one.exit_ms:
                break
            from_ms, shared_ms = max(one.entry_ms, other.entry_ms), shared(one, other)
            if one.side == other.side and shared_ms is not None:
                others_bars = (one.entry_ms, one.exit_ms) != (other.entry_ms, other.exit_ms)
                yield (others_bars, -shared_ms, from_ms), i, j


def shared(one: PaperTrade, other: PaperTrade) -> int | None:
    """For how long both were open, ms; None: never, one was closed where the other began at the latest.

    A trade of a single bar shares 0 with one that was open in it.
    """
    shared_ms = min(one.exit_ms, other.exit_ms) - max(one.entry_ms, other.entry_ms)
    is_short = one.entry_ms == one.exit_ms or other.entry_ms == other.exit_ms
    return shared_ms if shared_ms > 0 or (shared_ms == 0 and is_short) else None


def _by_time(trade: PaperTrade) -> tuple[float, ...]:
    amounts = trade.pnl_quote, trade.fees_quote, trade.funding_quote
    return trade.entry_ms, trade.exit_ms, trade.side, *amounts

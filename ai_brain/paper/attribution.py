"""What two accounts of the same trades differ by, and why: signal, time, price, fee or funding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from ai_brain.paper.account import PaperTrade


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

    def __str__(self) -> str:
        parts = {part.name: getattr(self, part.name) for part in fields(self)}
        named = ", ".join(f"{name} {value:+.4f}" for name, value in parts.items() if value)
        return f"{self.total:+.4f} USDT: {named}" if named else "nothing"


def attribute(mine: Sequence[PaperTrade], theirs: Sequence[PaperTrade]) -> Differences:
    """Split the difference of two lists of trades, each with one position at a time, oldest first."""
    signal = time = price = fee = funding = 0.0
    for one, other in _pairs(mine, theirs):
        if one is None or other is None:
            signal += one.pnl_quote if one is not None else 0.0
            signal -= other.pnl_quote if other is not None else 0.0
            continue
        paid, got = other.fees_quote - one.fees_quote, one.funding_quote - other.funding_quote
        rest = one.pnl_quote - other.pnl_quote - paid - got
        fee, funding = fee + paid, funding + got
        if (one.entry_ms, one.exit_ms) == (other.entry_ms, other.exit_ms):
            price += rest
        else:
            time += rest
    return Differences(signal, time, price, fee, funding)


def _pairs(
    mine: Sequence[PaperTrade], theirs: Sequence[PaperTrade]
) -> list[tuple[PaperTrade | None, PaperTrade | None]]:
    """Trades of the same side that were open at the same time belong together; the rest stand alone."""
    pairs: list[tuple[PaperTrade | None, PaperTrade | None]] = []
    i = j = 0
    while i < len(mine) and j < len(theirs):
        one, other = mine[i], theirs[j]
        if one.side == other.side and one.entry_ms <= other.exit_ms and other.entry_ms <= one.exit_ms:
            pairs.append((one, other))
            i, j = i + 1, j + 1
        elif one.exit_ms <= other.exit_ms:
            pairs.append((one, None))
            i += 1
        else:
            pairs.append((None, other))
            j += 1
    pairs += [(one, None) for one in mine[i:]]
    pairs += [(None, other) for other in theirs[j:]]
    return pairs

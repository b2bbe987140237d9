"""Where the lab and a peer disagree about a trade, and which rule of the lab's says why.

A difference counts as explained only when both sides' prices follow to the last digit from what each engine says it
does: the lab from `fills.md`'s rules, the peer from its own. Whatever is left over is unexplained, and the test fails.

Prices are quote per base, sizes base, fees and results quote; a bar is its index on the tape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from trading.market.tape import Tape

SAME = 1e-9
"""Relative: two floats that came another way to the same number."""


class Rule(StrEnum):
    """Why a trade differs, by the number of the rule it comes from."""

    TRADED_THROUGH = "rule 5: a target fills only when traded through by a tick; theirs when touched"
    LIMIT_PRICE = "rule 5: a target fills at its own price; theirs at a better open"
    LIMIT_SLIPPAGE = "rule 5: a target is a limit order and pays no slippage; theirs does"
    ENTRY_BAR = "rule 6: protective prices count from the entry bar on; theirs from the bar after"
    TARGET_AT_OPEN = "rule 6: an open beyond the target fills it there, before a stop inside the bar; theirs the stop"
    OPEN_FIRST = "rule 4: a rule exit is done at the open; theirs looks at the bar's stop and target first"
    HALF_SPREAD = "rule 4: every market order pays half the spread; theirs pays at the entry only"
    LOST_ENTRY = "rule 9: an opposite entry closes and opens at one open; theirs is lost when a stop closes in that bar"
    STILL_IN = "rule 9: one position at a time: one side was still in a trade that differs by a rule above"


@dataclass(frozen=True, slots=True)
class Trade:
    """A closed trade, of the lab or of a peer."""

    entry_bar: int
    exit_bar: int
    side: int
    """+1 long, -1 short."""
    entry_price: float
    exit_price: float
    size: float
    fees: float
    """Both fills."""
    pnl: float
    """Net of fees."""
    wallet: float
    """Quote before the entry; nan when the peer was told its sizes."""
    stop: float
    """Level in force, nan: none."""
    target: float
    """Level in force, nan: none."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a peer could be told, and how it prices what it could not."""

    tick: float
    lot: float
    fee_rate: float
    half_spread_rate: float
    exit_slippage_rate: float
    """What the peer takes off every exit."""
    protects_entry_bar: bool
    """Whether the peer looks at stop and target in the bar of the entry."""
    compares_sizes: bool


@dataclass(slots=True)
class Comparison:
    """Two lists of trades side by side."""

    ours: int = 0
    theirs: int = 0
    equal: int = 0
    explained: Counter[Rule] = field(default_factory=Counter)
    unexplained: list[tuple[Trade | None, Trade | None]] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        """Counts, and the share of equal trades among all."""
        pairs = self.equal + self.explained.total() + len(self.unexplained)
        return {
            "ours": self.ours,
            "theirs": self.theirs,
            "equal": self.equal,
            "equal_share": round(self.equal / pairs, 4) if pairs else 0.0,
            "explained": {str(rule): count for rule, count in self.explained.most_common()},
            "unexplained": len(self.unexplained),
        }


def compare(ours: Sequence[Trade], theirs: Sequence[Trade], tape: Tape, terms: Terms) -> Comparison:
    """Every trade of either side once: equal, explained by a rule, or unexplained. Pairs share entry bar and side."""
    found = Comparison(len(ours), len(theirs))
    here, there = ({(t.entry_bar, t.side): t for t in trades} for trades in (ours, theirs))
    for key in sorted(here.keys() | there.keys()):
        mine, other = here.get(key), there.get(key)
        if mine is not None and other is not None:
            if is_equal(mine, other, terms):
                found.equal += 1
                continue
            rule = explained_by(mine, other, tape, terms)
        else:
            rule = explained_absence(mine, other, here, there, tape, terms)
        if rule is None:
            found.unexplained.append((mine, other))
        else:
            found.explained[rule] += 1
    return found


def is_equal(ours: Trade, theirs: Trade, terms: Terms) -> bool:
    """Bars, side and prices; size as a share of the wallet; fees and result per base unit.

    One different trade changes every later wallet, so amounts are compared as what they were made from.
    """
    return (
        _same_entry(ours, theirs, terms)
        and ours.exit_bar == theirs.exit_bar
        and _near(ours.exit_price, theirs.exit_price)
        and _near(ours.fees / ours.size, theirs.fees / theirs.size)
        and abs(ours.pnl / ours.size - theirs.pnl / theirs.size) <= SAME * ours.entry_price
    )


def explained_by(ours: Trade, theirs: Trade, tape: Tape, terms: Terms) -> Rule | None:
    """The rule that makes two trades with the same entry end differently; None: no rule does, it is a defect.

    What is asked first: the same entry; each side's fees and result follow from its own prices. Then the exits: each
    line below says where the lab left and where the peer did, and holds only if both prices are exactly that.
    """
    if not (_same_entry(ours, theirs, terms) and adds_up(ours, terms) and adds_up(theirs, terms)):
        return None
    mine, other = _Exit(ours, tape, terms, ours=True), _Exit(theirs, tape, terms, ours=False)
    if theirs.exit_bar == ours.exit_bar:
        if mine.at_target and other.at_target and terms.exit_slippage_rate > 0.0 and not mine.opens_beyond_target:
            return Rule.LIMIT_SLIPPAGE
        if mine.at_target and mine.opens_beyond_target and other.at_open:
            return Rule.LIMIT_PRICE
        if mine.at_target and mine.opens_beyond_target and other.at_stop:
            return Rule.TARGET_AT_OPEN
        if mine.at_open and (other.at_stop or (other.at_target and other.touches_target)):
            return Rule.OPEN_FIRST if not mine.opens_beyond_stop else _half_spread(mine, other, terms)
        return _half_spread(mine, other, terms)
    if theirs.exit_bar < ours.exit_bar:
        touched = other.at_target or (other.at_open and other.opens_at_target)
        return Rule.TRADED_THROUGH if touched and other.touches_target and not other.trades_through else None
    in_entry_bar = ours.exit_bar == ours.entry_bar and (mine.at_stop or (mine.at_target and mine.trades_through))
    return Rule.ENTRY_BAR if in_entry_bar and not terms.protects_entry_bar else None


def _half_spread(mine: _Exit, other: _Exit, terms: Terms) -> Rule | None:
    """Both left by a market order around one reference, which is the open or the stop."""
    if terms.exit_slippage_rate == 0.0 < terms.half_spread_rate and (
        (mine.at_open and other.at_open) or (mine.at_stop and other.at_stop)
    ):
        return Rule.HALF_SPREAD
    return None


def explained_absence(
    ours: Trade | None,
    theirs: Trade | None,
    here: dict[tuple[int, int], Trade],
    there: dict[tuple[int, int], Trade],
    tape: Tape,
    terms: Terms,
) -> Rule | None:
    """Why one side has no trade with this entry: it was in another one, which itself is explained by a rule."""
    missed, holders, partners = (ours, there, here) if ours is not None else (theirs, here, there)
    if missed is None:
        return None
    for key, holder in holders.items():
        if not holder.entry_bar < missed.entry_bar <= holder.exit_bar:
            continue
        end = _Exit(holder, tape, terms, ours=holders is here)
        protective = end.at_stop or end.at_target or (end.at_open and end.touches_target)
        if holders is there and missed.entry_bar == holder.exit_bar and missed.side != holder.side and protective:
            return Rule.LOST_ENTRY
        partner = partners.get(key)
        if partner is not None and partner.exit_bar < missed.entry_bar:
            pair = (holder, partner) if holders is here else (partner, holder)
            if explained_by(*pair, tape, terms) is not None:
                return Rule.STILL_IN
    return None


def adds_up(trade: Trade, terms: Terms) -> bool:
    """Fees are the rate on both notionals, and the result is the price move less fees."""
    notional = trade.size * (trade.entry_price + trade.exit_price)
    moved = trade.side * trade.size * (trade.exit_price - trade.entry_price)
    return (
        abs(trade.fees - terms.fee_rate * notional) <= SAME * notional
        and abs(trade.pnl - (moved - trade.fees)) <= SAME * notional
    )


class _Exit:
    """What the bar of an exit offered, and which of it the exit price is."""

    def __init__(self, trade: Trade, tape: Tape, terms: Terms, *, ours: bool) -> None:
        bar, side = trade.exit_bar, trade.side
        opened = float(tape.open[bar])
        best, worst = (tape.high[bar], tape.low[bar]) if side > 0 else (tape.low[bar], tape.high[bar])
        slipped = 1.0 - side * (terms.half_spread_rate if ours else terms.exit_slippage_rate)
        on_target = 1.0 if ours else slipped
        room = SAME * opened
        self.opens_at_target = side * (opened - trade.target) >= -room
        self.opens_beyond_target = side * (opened - trade.target) >= terms.tick * 0.999
        self.opens_beyond_stop = side * (opened - trade.stop) <= room
        self.touches_target = side * (best - trade.target) >= -room
        self.trades_through = side * (best - trade.target) >= terms.tick * 0.999
        reaches_stop = side * (worst - trade.stop) <= room
        stop_fill = opened if self.opens_beyond_stop else trade.stop
        self.at_open = _near(trade.exit_price, opened * slipped)
        self.at_stop = reaches_stop and _near(trade.exit_price, stop_fill * slipped)
        self.at_target = self.touches_target and _near(trade.exit_price, trade.target * on_target)


def _same_entry(ours: Trade, theirs: Trade, terms: Terms) -> bool:
    same = (ours.entry_bar, ours.side) == (theirs.entry_bar, theirs.side)
    same = same and _near(ours.entry_price, theirs.entry_price)
    if terms.compares_sizes:
        same = same and abs(ours.size - theirs.size * ours.wallet / theirs.wallet) <= 2.0 * terms.lot + SAME * ours.size
    return same


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= SAME * abs(b)

"""What the lab knew of the venue's markets at a time: who was listed, under which filters, margins and funding terms.

**Look-ahead**: as of a moment only snapshots taken at or before it count. A value that differs between two snapshots is
known from the later one on, for nobody can say when between them it changed. What a later snapshot tells of an earlier
time is shown beside it as *the earliest known*, and called that.

A date is given where the venue told it; else the two snapshots it lies between. No day is ever made up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from trading.domain.clock import iso
from trading.domain.instrument import Bracket, Market
from trading.market.funding_schedule import Told
from trading.market.listing import FILLER_ONBOARD_MS, NOT_YET, FundingTerms, Listing, brackets_of, plain, terms_of
from trading.market.universe_snapshot import LISTING_OF, Kind, Snapshot

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sourced(Generic[T]):
    """A value and the snapshot it comes from."""

    value: T
    taken_ms: int
    """When the snapshot was taken."""
    confirmed_ms: int
    """The latest time at which the venue's whole document said the same again."""
    source: str

    def age_ms(self, at_ms: int) -> int:
        """How long before a time the value was last seen; negative: it was first seen after it."""
        return at_ms - (self.confirmed_ms if self.confirmed_ms <= at_ms else self.taken_ms)


@dataclass(frozen=True, slots=True)
class Span:
    """When something happened, as far as it is known."""

    from_ms: int | None
    """Not before; None: no snapshot reaches back to before it."""
    to_ms: int
    """Not after; the same as `from_ms` where the venue told the moment."""
    why: str

    @property
    def is_exact(self) -> bool:
        """The venue told the moment."""
        return self.from_ms == self.to_ms

    def __str__(self) -> str:
        if self.is_exact:
            return f"{iso(self.to_ms)} ({self.why})"
        if self.from_ms is None:
            return f"not after {iso(self.to_ms)} ({self.why})"
        return f"between {iso(self.from_ms)} and {iso(self.to_ms)} ({self.why})"


@dataclass(frozen=True, slots=True)
class Known:
    """Of one symbol of one market, as of a time."""

    market: Market
    symbol: str
    at_ms: int
    listing: Sourced[Listing] | None
    """Of the newest snapshot that lists it; None: not known then."""
    earliest: Sourced[Listing] | None
    """Of the oldest snapshot of all that lists it, which may be of later; None: none does."""
    brackets: Sourced[tuple[Bracket, ...]] | None
    earliest_brackets: Sourced[tuple[Bracket, ...]] | None
    funding: Sourced[FundingTerms] | None
    earliest_funding: Sourced[FundingTerms] | None
    listed: Span | None
    """When its trading began; None: not known."""
    delisted: Span | None
    """When it ended or will end; None: nothing says so."""

    @property
    def is_trading(self) -> bool | None:
        """Listed, and taking orders; None: not known."""
        if self.listing is None:
            return None
        is_over = self.delisted is not None and self.delisted.to_ms <= self.at_ms
        return self.listing.value.is_trading and not is_over


@dataclass(frozen=True, slots=True)
class _Seen:
    """One snapshot's word on one symbol."""

    snapshot: Snapshot
    row: object | None
    """None: it is not in a complete snapshot."""


class Universe:
    """All snapshots there are.

    Args:
        snapshots: In any order; see `UniverseStore`.
    """

    def __init__(self, snapshots: Sequence[Snapshot]) -> None:
        self._by_kind: dict[Kind, list[Snapshot]] = {kind: [] for kind in Kind}
        for snapshot in sorted(snapshots, key=lambda one: one.taken_ms):
            self._by_kind[snapshot.kind].append(snapshot)

    def earliest_ms(self, market: Market) -> int | None:
        """When the oldest snapshot of a market was taken; None: there is none."""
        held = self._by_kind[LISTING_OF[market]]
        return held[0].taken_ms if held else None

    def symbols(self, market: Market, at_ms: int) -> Sourced[tuple[str, ...]] | None:
        """What was trading as of a time, by the newest complete snapshot until then; None: not known.

        **Look-ahead**: a contract whose end the snapshot told ahead is left out from its end on.
        """
        whole = [one for one in self._by_kind[LISTING_OF[market]] if one.is_complete and one.taken_ms <= at_ms]
        if not whole:
            return None
        names = tuple(sorted(name for name in whole[-1].rows if self.of(market, name, at_ms).is_trading))
        return _of_snapshot(names, whole[-1])

    def of(self, market: Market, symbol: str, at_ms: int) -> Known:
        """What was known of a symbol as of a time.

        Args:
            market: Spot or perpetual; a quarterly contract is on the perpetuals' list.
            symbol: The venue's own name.
            at_ms: **Look-ahead**: snapshots taken later count only for what is called the earliest known.
        """
        every = self._seen(LISTING_OF[market], symbol)
        until = [seen for seen in every if seen.snapshot.taken_ms <= at_ms]

        def listing(row: object) -> Listing:
            return Listing.of(market, symbol, row if isinstance(row, dict) else {})

        is_perp = market is Market.PERP
        tables = self._seen(Kind.BRACKETS, symbol) if is_perp else []
        terms = self._seen(Kind.FUNDING, symbol) if is_perp else []
        return Known(
            market=market,
            symbol=symbol,
            at_ms=at_ms,
            listing=_newest(until, listing),
            earliest=_oldest(every, listing),
            brackets=_newest(_until(tables, at_ms), brackets_of),
            earliest_brackets=_oldest(tables, brackets_of),
            funding=_newest_terms(_until(terms, at_ms)),
            earliest_funding=_oldest(terms, _terms),
            listed=_listed(until, listing),
            delisted=_delisted(until, listing),
        )

    def end_of(self, market: Market, symbol: str) -> Span | None:
        """When trading in it ended, by all snapshots there are; for cutting history, never for a decision inside it.

        None: nothing says so, or it is told for a time after the newest snapshot.
        """
        held = self._by_kind[LISTING_OF[market]]
        if not held:
            return None
        now_ms = max(one.confirmed_ms for one in held)
        span = self.of(market, symbol, now_ms).delisted
        return span if span is not None and span.to_ms <= now_ms else None

    def funding_told(self, symbol: str) -> list[Told]:
        """What the venue said of a contract's interval, by all snapshots there are; for reading recorded stamps."""
        return [
            Told(ms, _terms(seen.row).interval_ms)
            for seen in self._seen(Kind.FUNDING, symbol)
            for ms in sorted({seen.snapshot.taken_ms, seen.snapshot.confirmed_ms})
        ]

    def changes(self, market: Market, symbol: str, start_ms: int, end_ms: int) -> list[Sourced[str]]:
        """Filters that other snapshots in (start, end] have than the one before them: `min_notional 5 -> 100`.

        None of them was known before the time it bears.
        """
        found, last = list[Sourced[str]](), None
        for seen in _until(self._seen(LISTING_OF[market], symbol), end_ms):
            if not isinstance(seen.row, dict):
                continue
            listing = Listing.of(market, symbol, seen.row)
            if last is not None and seen.snapshot.taken_ms > start_ms:
                words = [
                    f"{name} {plain(getattr(last, name))} -> {plain(getattr(listing, name))}"
                    for name in ("tick", "lot", "min_notional", "liquidation_fee_rate")
                    if getattr(last, name) != getattr(listing, name)
                ]
                found += [_of_snapshot(", ".join(words), seen.snapshot)] * bool(words)
            last = listing
        return found

    def _seen(self, kind: Kind, symbol: str) -> list[_Seen]:
        """What each snapshot says of a symbol; one that was cut down and does not have it says nothing."""
        held = [_Seen(one, one.rows.get(symbol)) for one in self._by_kind[kind]]
        return [seen for seen in held if seen.row is not None or seen.snapshot.is_complete]


def _until(seen: Sequence[_Seen], at_ms: int) -> list[_Seen]:
    return [one for one in seen if one.snapshot.taken_ms <= at_ms]


def _of_snapshot(value: T, snapshot: Snapshot) -> Sourced[T]:
    return Sourced(value, snapshot.taken_ms, snapshot.confirmed_ms, snapshot.source)


def _sourced(seen: _Seen, read: Callable[[object], T]) -> Sourced[T]:
    return _of_snapshot(read(seen.row), seen.snapshot)


def _newest(seen: Sequence[_Seen], read: Callable[[object], T]) -> Sourced[T] | None:
    there = [one for one in seen if one.row is not None]
    return _sourced(there[-1], read) if there else None


def _oldest(seen: Sequence[_Seen], read: Callable[[object], T]) -> Sourced[T] | None:
    there = [one for one in seen if one.row is not None]
    return _sourced(there[0], read) if there else None


def _newest_terms(seen: Sequence[_Seen]) -> Sourced[FundingTerms] | None:
    """A contract that a complete list does not have settles by the venue's general terms."""
    return _sourced(seen[-1], _terms) if seen else None


def _terms(row: object) -> FundingTerms:
    return terms_of(row) if isinstance(row, dict) else FundingTerms()


def _listed(seen: Sequence[_Seen], read: Callable[[object], Listing]) -> Span | None:
    """When trading began: the venue's own date, unless it is a filler or its own snapshots contradict it."""
    first = next((i for i, one in enumerate(seen) if one.row is not None), None)
    if first is None:
        return None
    taken_ms = seen[first].snapshot.taken_ms
    absent_ms = seen[first - 1].snapshot.confirmed_ms if first else None
    newest = read([one for one in seen if one.row is not None][-1].row)
    told_ms = newest.onboard_ms
    if told_ms is None:
        return Span(absent_ms, taken_ms, "first seen")
    if told_ms == FILLER_ONBOARD_MS:
        return Span(absent_ms, taken_ms, "first seen; the venue tells no date for contracts so old")
    if absent_ms is not None and told_ms <= absent_ms:
        return Span(absent_ms, taken_ms, f"first seen; the venue says {iso(told_ms)}, yet did not list it later")
    if told_ms > taken_ms and read(seen[first].row).is_trading:
        return Span(absent_ms, taken_ms, f"first seen; the venue says {iso(told_ms)} now: listed anew, or renamed")
    return Span(told_ms, told_ms, "the venue's onboardDate")


def _delisted(seen: Sequence[_Seen], read: Callable[[object], Listing]) -> Span | None:
    """When trading ended: the delivery date, else between the last snapshot in which it traded and the next."""
    there = [i for i, one in enumerate(seen) if one.row is not None]
    if not there:
        return None
    last = read(seen[there[-1]].row)
    gone = there[-1] + 1 if there[-1] + 1 < len(seen) else None
    if last.delivery_ms is not None and (gone is None or last.delivery_ms <= seen[gone].snapshot.taken_ms):
        return Span(last.delivery_ms, last.delivery_ms, "the venue's deliveryDate")
    stopped = there[-1] + 1
    while stopped > there[0] and (row := seen[stopped - 1].row) is not None and not read(row).is_trading:
        stopped -= 1
    if last.is_trading and gone is not None:
        before, after = seen[there[-1]].snapshot, seen[gone].snapshot
        return Span(before.confirmed_ms, after.taken_ms, f"gone from the snapshot of {iso(after.taken_ms)}")
    if last.is_trading or last.status in NOT_YET:
        return None
    from_ms = seen[stopped - 1].snapshot.confirmed_ms if stopped else None
    return Span(from_ms, seen[stopped].snapshot.taken_ms, f"status {last.status}, perhaps for a while")

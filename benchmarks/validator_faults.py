"""The fault each rule exists for: a pure function that damages a clean recorded stretch, and how soon it is caught.

Looks are counted from the first damaged one, which is 1; what a rule promises is `Rule.within`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks import validator_stretches as watch
from benchmarks.validator_stretches import Clean, Look
from trading.domain.market import Bar, FundingNow
from trading.market.checks.rules import RuleId
from trading.market.data_integrity_validator import ClockReading, Verdict
from trading.market.tape import PRICES, Funding, make_tape

BAR_AT, LOOK_AT, FUNDING_AT = 125, 45, 40
"""Where the damage begins."""
Bars = tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which data goes bad."""

    rule: RuleId
    """That must catch it."""
    does: str
    """In words."""
    begins: int
    """Index of the first damaged look."""
    clean: Callable[[Clean], list[Verdict]]
    """Verdicts over the undamaged stretch, in which the rule must not be broken."""
    damaged: Callable[[Clean], list[Verdict]]


def looks_until_caught(fault: Fault, clean: Clean) -> int | None:
    """Looks from the first damaged one to the one that catches it; None: never, or the clean stretch breaks it too."""
    if any(_breaks(verdict, fault.rule) for verdict in fault.clean(clean)):
        return None
    found = [i for i, verdict in enumerate(fault.damaged(clean)) if _breaks(verdict, fault.rule)]
    return found[0] - fault.begins + 1 if found and found[0] >= fault.begins else None


def _breaks(verdict: Verdict, rule: RuleId) -> bool:
    return any(finding.rule is rule for finding in verdict.findings)


def _in_bars(rule: RuleId, does: str, damage: Callable[[Bars], Bars], *, hours: bool = False) -> Fault:
    def bars(clean: Clean) -> Bars:
        return clean.hours if hours else clean.bars

    return Fault(
        rule,
        does,
        BAR_AT,
        lambda clean: watch.watch_bars(clean, bars(clean)),
        lambda clean: watch.watch_bars(clean, damage(bars(clean))),
    )


def _one_bar(rule: RuleId, does: str, change: Callable[[Bar], Bar], *, hours: bool = False) -> Fault:
    return _in_bars(rule, does, lambda bars: (*bars[:BAR_AT], change(bars[BAR_AT]), *bars[BAR_AT + 1 :]), hours=hours)


def _in_quotes(rule: RuleId, does: str, change: Callable[[Look], Look]) -> Fault:
    return Fault(
        rule,
        does,
        LOOK_AT,
        lambda clean: watch.watch_quotes(clean, clean.quotes),
        lambda clean: watch.watch_quotes(clean, _from(clean.quotes, LOOK_AT, change)),
    )


def _in_books(rule: RuleId, does: str, change: Callable[[Look], Look]) -> Fault:
    return Fault(
        rule,
        does,
        LOOK_AT,
        lambda clean: watch.watch_books(clean, clean.books),
        lambda clean: watch.watch_books(clean, _from(clean.books, LOOK_AT, change)),
    )


def _in_funding(rule: RuleId, does: str, change: Callable[[FundingNow], FundingNow]) -> Fault:
    return Fault(
        rule,
        does,
        FUNDING_AT,
        lambda clean: watch.watch_funding(clean.funding),
        lambda clean: watch.watch_funding(_from(clean.funding, FUNDING_AT, change)),
    )


def _in_history(rule: RuleId, does: str, change: Callable[[Clean], list[Verdict]]) -> Fault:
    return Fault(rule, does, 0, lambda clean: watch.watch_tape(clean.tape), change)


def _from(things: tuple, at: int, change: Callable) -> tuple:  # type: ignore[type-arg]  # of whatever the stretch is
    return (*things[:at], *(change(thing) for thing in things[at:]))


def _on_tick(bar: Bar, factor: float) -> Bar:
    return replace(bar, **{name: round(getattr(bar, name) * factor, 1) for name in PRICES})


def _frozen(bars: Bars, *, volume: float | None) -> Bars:
    """The last good bar again and again under new times."""
    last = bars[BAR_AT - 1]
    told = last.volume_base if volume is None else volume
    return (
        *bars[:BAR_AT],
        *(
            replace(last, open_time_ms=bar.open_time_ms, volume_base=told, received_ms=bar.received_ms)
            for bar in bars[BAR_AT:]
        ),
    )


def _quoted(look: Look, factor: float) -> Look:
    quote = look.what
    return replace(look, what=replace(quote, bid=round(quote.bid * factor, 1), ask=round(quote.ask * factor, 1)))


def _asks(look: Look, factor: float) -> Look:
    book = look.what
    return replace(look, what=replace(book, asks=tuple((round(p * factor, 1), q) for p, q in book.asks)))


def _level(look: Look, price: float, quantity: float) -> Look:
    """The book with its third bid changed by so much."""
    book = look.what
    bids = list(book.bids)
    bids[2] = (bids[2][0] + price, bids[2][1] + quantity)
    return replace(look, what=replace(book, bids=tuple(bids)))


def _without_settlement(clean: Clean) -> list[Verdict]:
    f = clean.tape.funding
    kept = [i for i in range(len(f.time_ms)) if i != len(f.time_ms) // 2]
    cut = Funding(f.time_ms[kept], f.rate[kept], f.mark_price[kept])
    return watch.watch_tape(make_tape(replace(clean.tape, funding=cut)))


FAULTS: tuple[Fault, ...] = (
    _one_bar(RuleId.SCHEMA, "the close is told as text", lambda bar: replace(bar, close=str(bar.close))),
    _one_bar(RuleId.OUT_OF_RANGE, "prices come in a unit 1e10 too small", lambda bar: _on_tick(bar, 1e10)),
    _one_bar(RuleId.NOT_A_PRICE, "the open is 0", lambda bar: replace(bar, open=0.0)),
    _one_bar(RuleId.NOT_A_PRICE, "the close is not a number", lambda bar: replace(bar, close=float("nan"))),
    _one_bar(RuleId.OHLC_ORDER, "high and low are swapped", lambda bar: replace(bar, high=bar.low, low=bar.high)),
    _one_bar(RuleId.NEGATIVE_VOLUME, "the volume is negative", lambda bar: replace(bar, volume_base=-bar.volume_base)),
    _one_bar(
        RuleId.TIME_OFF_GRID, "the open time is 1 s late",
        lambda bar: replace(bar, open_time_ms=bar.open_time_ms + 1000),
    ),
    _in_bars(
        RuleId.TIME_BACKWARDS, "an older bar comes again", lambda b: (*b[:BAR_AT], b[BAR_AT - 2], *b[BAR_AT:])
    ),
    _in_bars(RuleId.DUPLICATE, "a bar comes twice", lambda b: (*b[:BAR_AT], b[BAR_AT - 1], *b[BAR_AT:])),
    _in_bars(
        RuleId.BAR_FUTURE,
        "the lab's clock falls 10 s behind",
        lambda b: _from(b, BAR_AT, lambda bar: replace(bar, received_ms=bar.received_ms - 10_000)),
    ),
    _in_bars(RuleId.GAP, "a bar is left out", lambda b: (*b[:BAR_AT], *b[BAR_AT + 1 :])),
    _in_bars(RuleId.LONG_GAP, "5 bars are left out", lambda b: (*b[:BAR_AT], *b[BAR_AT + 5 :])),
    _in_bars(RuleId.FLATLINE, "the market halts: no trade, the last price", lambda b: _frozen(b, volume=0.0)),
    _in_bars(RuleId.FROZEN, "the feed repeats its last bar", lambda b: _frozen(b, volume=None)),
    _one_bar(RuleId.JUMP, "one bar of ten times the price", lambda bar: _on_tick(bar, 10.0)),
    _one_bar(RuleId.JUMP, "one hour of half the price", lambda bar: _on_tick(bar, 0.5), hours=True),
    _one_bar(RuleId.SPIKE, "one bar of 10 % more", lambda bar: _on_tick(bar, 1.10)),
    _one_bar(RuleId.SPIKE, "one hour of 15 % less", lambda bar: _on_tick(bar, 0.85), hours=True),
    _one_bar(RuleId.SECOND_SOURCE, "the perpetual is 4 % off spot", lambda bar: _on_tick(bar, 1.04)),
    _one_bar(RuleId.BASIS, "the perpetual is 1.5 % off spot", lambda bar: _on_tick(bar, 1.015)),
    _one_bar(RuleId.TICK, "the close is half a tick off", lambda bar: replace(bar, low=bar.low - 0.05)),
    _one_bar(RuleId.LOT, "the volume is half a lot off", lambda bar: replace(bar, volume_base=bar.volume_base + 5e-4)),
    Fault(
        RuleId.REVISED,
        "a closed bar comes again with another close",
        BAR_AT,
        lambda clean: watch.watch_revisions(clean, clean.bars),
        lambda clean: watch.watch_revisions(
            clean, _from(clean.bars, BAR_AT, lambda bar: replace(bar, close=bar.open, high=bar.high + 0.1))
        ),
    ),
    Fault(
        RuleId.NOT_LOOKED_AT,
        "the second source goes away, and it is wanted",
        BAR_AT,
        lambda clean: watch.watch_bars(clean, clean.bars, wanted=(RuleId.SECOND_SOURCE,)),
        lambda clean: watch.watch_bars(
            clean,
            clean.bars,
            second={ms: price for ms, price in clean.second.items() if ms < clean.bars[BAR_AT].open_time_ms},
            wanted=(RuleId.SECOND_SOURCE,),
        ),
    ),
    _in_quotes(RuleId.QUOTE_AGE, "quotes come 61 s late", lambda look: replace(look, now_ms=look.now_ms + 61_000)),
    _in_quotes(RuleId.QUOTE_DEAD, "quotes come 301 s late", lambda look: replace(look, now_ms=look.now_ms + 301_000)),
    _in_quotes(
        RuleId.QUOTE_FUTURE, "the lab's clock falls 6 s behind", lambda look: replace(look, now_ms=look.now_ms - 6_000)
    ),
    _in_quotes(
        RuleId.QUOTE_NOT_POSITIVE, "the bid's size is 0",
        lambda look: replace(look, what=replace(look.what, bid_base=0.0))
    ),
    _in_quotes(
        RuleId.QUOTE_CROSSED,
        "bid and ask are swapped",
        lambda look: replace(look, what=replace(look.what, bid=look.what.ask, ask=look.what.bid)),
    ),
    _in_quotes(
        RuleId.QUOTE_BACKWARDS,
        "an older server answers, 30 s behind",
        lambda look: replace(look, what=replace(look.what, at_ms=look.what.at_ms - 30_000)),
    ),
    _in_quotes(
        RuleId.SPREAD, "the ask is gone, the next is 1 % up",
        lambda look: replace(look, what=replace(look.what, ask=round(look.what.ask * 1.01, 1))),
    ),
    _in_quotes(RuleId.JUMP, "quotes of ten times the price", lambda look: _quoted(look, 10.0)),
    _in_quotes(RuleId.SPIKE, "quotes of 5 % more", lambda look: _quoted(look, 1.05)),
    _in_quotes(
        RuleId.SECOND_SOURCE, "spot is told 4 % higher",
        lambda look: replace(look, second_price=look.second_price * 1.04)
    ),
    _in_quotes(
        RuleId.BASIS, "spot is told 1.5 % higher", lambda look: replace(look, second_price=look.second_price * 1.015)
    ),
    _in_quotes(
        RuleId.TICK, "quotes are half a tick off",
        lambda look: replace(look, what=replace(look.what, bid=look.what.bid - 0.05)),
    ),
    _in_books(RuleId.BOOK_STALE, "books come 11 s late", lambda look: replace(look, now_ms=look.now_ms + 11_000)),
    _in_books(RuleId.BOOK_EMPTY, "nobody asks", lambda look: replace(look, what=replace(look.what, asks=()))),
    _in_books(
        RuleId.BOOK_NOT_POSITIVE, "a level that is gone stays with quantity 0",
        lambda look: _level(look, 0.0, -look.what.bids[2][1]),
    ),
    _in_books(RuleId.BOOK_ORDER, "a bid stands among better ones", lambda look: _level(look, 500.0, 0.0)),
    _in_books(RuleId.BOOK_CROSSED, "the asks are old: 1 % below the bids", lambda look: _asks(look, 0.99)),
    _in_books(RuleId.BOOK_BROKEN, "an update is missing", lambda look: replace(look, is_whole=False)),
    _in_books(RuleId.SPREAD, "the asks are 1 % away", lambda look: _asks(look, 1.01)),
    _in_books(RuleId.TICK, "a level is half a tick off", lambda look: _level(look, 0.05, 0.0)),
    _in_books(RuleId.LOT, "a quantity is half a lot off", lambda look: _level(look, 0.0, 5e-4)),
    _in_funding(RuleId.FUNDING_CAP, "the rate comes in percent", lambda said: replace(said, rate=0.31)),
    _in_funding(RuleId.FUNDING_CAP, "the rate is not a number", lambda said: replace(said, rate=float("nan"))),
    _in_funding(
        RuleId.FUNDING_TIME, "the next settlement is 9 h away",
        lambda said: replace(said, next_ms=said.next_ms + 9 * watch.HOUR_MS),
    ),
    _in_funding(
        RuleId.FUNDING_INTERVAL, "the interval is told as 3 h",
        lambda said: replace(said, interval_ms=3 * watch.HOUR_MS)
    ),
    _in_funding(
        RuleId.FUNDING_INTERVAL_CHANGED, "the contract goes over to 4 h",
        lambda said: replace(said, interval_ms=4 * watch.HOUR_MS),
    ),
    _in_funding(RuleId.NOT_A_PRICE, "the mark is 0", lambda said: replace(said, mark_price=0.0)),
    _in_funding(
        RuleId.SECOND_SOURCE, "the mark leaves its index by 4 %",
        lambda said: replace(said, mark_price=said.mark_price * 1.04),
    ),
    Fault(
        RuleId.FUNDING_MISSING, "a settlement is not listed", FUNDING_AT,
        lambda clean: watch.watch_settlements(clean.settled_ms, clean.settled_ms),
        lambda clean: watch.watch_settlements(
            (*clean.settled_ms[:FUNDING_AT], *clean.settled_ms[FUNDING_AT + 1 :]), clean.settled_ms
        ),
    ),
    _in_history(RuleId.FUNDING_MISSING, "a settlement is left out of a history", _without_settlement),
    Fault(
        RuleId.CLOCK_DRIFT, "the lab's clock goes 1.5 s ahead", LOOK_AT,
        lambda clean: watch.watch_clock(clean.readings),
        lambda clean: watch.watch_clock(
            _from(clean.readings, LOOK_AT, lambda r: ClockReading(r.asked_ms + 1500, r.answered_ms + 1500, r.venue_ms))
        ),
    ),
    Fault(
        RuleId.SYMBOL_STATUS, "the venue halts the symbol", 1,
        lambda clean: watch.watch_instrument([clean.instrument] * 2),
        lambda clean: watch.watch_instrument([clean.instrument, replace(clean.instrument, is_trading=False)]),
    ),
    _in_history(
        RuleId.PROVENANCE, "a history without a content hash",
        lambda clean: watch.watch_tape(replace(clean.tape, content_hash="")),
    ),
    _in_history(
        RuleId.PROVENANCE, "a history of an unknown origin",
        lambda clean: watch.watch_tape(replace(clean.tape, origin="somewhere")),
    ),
    _in_history(
        RuleId.SYNTHETIC, "a made-up history where a real one is wanted",
        lambda clean: watch.watch_tape(replace(clean.tape, origin="synthetic")),
    ),
)  # fmt: skip
"""At least one for every rule."""

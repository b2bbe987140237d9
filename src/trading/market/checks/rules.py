"""The table of rules: what each looks at, its limit, what it costs, what it stops, and what it asks of the user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class RuleId(StrEnum):
    """Names of the rules; they go to the journal, so they are never reworded."""

    SCHEMA = "SCHEMA"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    NOT_A_PRICE = "NOT_A_PRICE"
    OHLC_ORDER = "OHLC_ORDER"
    NEGATIVE_VOLUME = "NEGATIVE_VOLUME"
    TIME_OFF_GRID = "TIME_OFF_GRID"
    TIME_BACKWARDS = "TIME_BACKWARDS"
    DUPLICATE = "DUPLICATE"
    BAR_FUTURE = "BAR_FUTURE"
    GAP = "GAP"
    LONG_GAP = "LONG_GAP"
    FLATLINE = "FLATLINE"
    FROZEN = "FROZEN"
    JUMP = "JUMP"
    SPIKE = "SPIKE"
    SECOND_SOURCE = "SECOND_SOURCE"
    BASIS = "BASIS"
    TICK = "TICK"
    LOT = "LOT"
    REVISED = "REVISED"
    QUOTE_AGE = "QUOTE_AGE"
    QUOTE_DEAD = "QUOTE_DEAD"
    QUOTE_NOT_POSITIVE = "QUOTE_NOT_POSITIVE"
    QUOTE_CROSSED = "QUOTE_CROSSED"
    QUOTE_FUTURE = "QUOTE_FUTURE"
    QUOTE_BACKWARDS = "QUOTE_BACKWARDS"
    SPREAD = "SPREAD"
    BOOK_STALE = "BOOK_STALE"
    BOOK_EMPTY = "BOOK_EMPTY"
    BOOK_NOT_POSITIVE = "BOOK_NOT_POSITIVE"
    BOOK_ORDER = "BOOK_ORDER"
    BOOK_CROSSED = "BOOK_CROSSED"
    BOOK_BROKEN = "BOOK_BROKEN"
    FUNDING_CAP = "FUNDING_CAP"
    FUNDING_TIME = "FUNDING_TIME"
    FUNDING_INTERVAL = "FUNDING_INTERVAL"
    FUNDING_INTERVAL_CHANGED = "FUNDING_INTERVAL_CHANGED"
    FUNDING_MISSING = "FUNDING_MISSING"
    CLOCK_DRIFT = "CLOCK_DRIFT"
    SYMBOL_STATUS = "SYMBOL_STATUS"
    PROVENANCE = "PROVENANCE"
    SYNTHETIC = "SYNTHETIC"
    NOT_LOOKED_AT = "NOT_LOOKED_AT"


class Action(StrEnum):
    """What a broken rule stops."""

    WARN = "warn"
    BLOCK_ORDERS = "block_orders"
    BLOCK_RESEARCH = "block_research"
    """And orders."""


class Severity(StrEnum):
    """How bad a broken rule is."""

    MINOR = "minor"
    """Noted; the data is used."""
    MAJOR = "major"
    """The data may be right, but no money is put on it."""
    FATAL = "fatal"
    """The data is good for nothing."""


_SEVERITY = {
    Action.WARN: Severity.MINOR,
    Action.BLOCK_ORDERS: Severity.MAJOR,
    Action.BLOCK_RESEARCH: Severity.FATAL,
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing data is held to."""

    subject: str
    """What is looked at: bar, quote, book, funding, clock, instrument, history, any."""
    what: str
    """In words, for the message."""
    unit: str
    """Of value and limit."""
    limit: str
    """The field of `ValidatorSettings` that holds the limit; or, in words, what the limit is when it is no setting."""
    penalty: int
    """Taken off the quality, of 100."""
    action: Action
    asks: str
    """What it asks of the user."""
    within: int = 1
    """So many looks at the subject after the fault begins, at the default settings, it is caught."""

    @property
    def severity(self) -> Severity:
        """How bad it is, which is what it stops."""
        return _SEVERITY[self.action]


WARN, ORDERS, RESEARCH = Action.WARN, Action.BLOCK_ORDERS, Action.BLOCK_RESEARCH
_AGAIN = "nothing; the bar is fetched again, and stays out if that does not help"
_FILE = "of a file: fetch the history of that day again; of a stream: nothing, it is dropped"
_WAIT = "nothing; orders wait until the next good look"
_FILTERS = "run `./lab doctor`: the venue has changed its filters, or this is another instrument's data"

_BAR: dict[RuleId, Rule] = {
    RuleId.SCHEMA: Rule("bar", "a field is of the wrong type", "", "numbers, a known interval", 100, RESEARCH, _AGAIN),
    RuleId.OUT_OF_RANGE: Rule(
        "bar", "a value is outside of what a market can have", "", "1e-12 to 1e12 a price, 1e18 a volume", 100,
        RESEARCH, _AGAIN,
    ),
    RuleId.NOT_A_PRICE: Rule("bar", "a price is not a positive number", "quote", "above 0", 100, RESEARCH, _AGAIN),
    RuleId.OHLC_ORDER: Rule(
        "bar", "high and low do not enclose open and close", "quote", "low to high", 100, RESEARCH, _AGAIN
    ),
    RuleId.NEGATIVE_VOLUME: Rule(
        "bar", "the volume is not a number >= 0", "base", "0 or more", 100, RESEARCH, _AGAIN
    ),
    RuleId.TIME_OFF_GRID: Rule(
        "bar", "the open time is off the grid", "ms", "the interval's grid", 100, RESEARCH, _AGAIN
    ),
    RuleId.TIME_BACKWARDS: Rule(
        "bar", "the bar comes before the last one", "ms", "after the last bar", 100, RESEARCH, _FILE
    ),
    RuleId.DUPLICATE: Rule("bar", "the bar was told before", "ms", "after the last bar", 60, RESEARCH, _FILE),
    RuleId.BAR_FUTURE: Rule(
        "bar", "the bar is told as closed before its end; check the clock", "s", "5 s before its end", 40, ORDERS,
        "set this machine's clock (NTP)",
    ),
    RuleId.GAP: Rule(
        "bar", "bars are missing before this one", "bars", "gap_bars_max", 10, WARN, "nothing; the gap is kept as a gap"
    ),
    RuleId.LONG_GAP: Rule(
        "bar", "too many bars are missing before this one", "bars", "gap_bars_max", 40, ORDERS,
        "nothing at a halt of the venue; if the venue has the bars, `./lab history fetch` of that stretch",
    ),
    RuleId.FLATLINE: Rule(
        "bar", "the market stands still: bars without a trade", "bars", "flat_bars_max", 40, ORDERS,
        "look at the venue's status page: a halt, or the symbol is being delisted", within=5,
    ),
    RuleId.FROZEN: Rule(
        "bar", "the same bar comes again and again under new times", "bars", "flat_bars_max", 40, ORDERS,
        "restart the lab if it lasts: a cache between the venue and here repeats itself", within=5,
    ),
    RuleId.JUMP: Rule("bar, quote", "the price jumped", "%", "jump_max_pct", 40, ORDERS, _WAIT),
    # Light, so that a real crash, which also tears markets apart (SECOND_SOURCE), stays in the history.
    RuleId.SPIKE: Rule(
        "bar, quote", "the price moved far beyond its usual moves", "%", "spike_scales_max", 10, ORDERS, _WAIT
    ),
    RuleId.SECOND_SOURCE: Rule(
        "bar, quote, funding", "a second source disagrees", "%", "second_source_max_pct", 40, ORDERS,
        "nothing while the market is wild; else compare both prices with the venue's page",
    ),
    RuleId.BASIS: Rule(
        "bar, quote, funding", "spot and contract stand apart", "bps", "basis_warn_bps", 10, WARN,
        "nothing; the carry weighs the basis by itself",
    ),
    RuleId.TICK: Rule(
        "bar, quote, book", "a price is off the instrument's tick", "quote", "the instrument's", 40, ORDERS, _FILTERS
    ),
    RuleId.LOT: Rule(
        "bar, quote, book", "a quantity is off the instrument's lot", "base", "the instrument's", 10, WARN, _FILTERS
    ),
    RuleId.REVISED: Rule(
        "bar", "the venue tells a closed bar again with other numbers", "%", "the same numbers", 10, WARN,
        "nothing; the bar held counts, the other is noted",
    ),
}  # fmt: skip

_QUOTE: dict[RuleId, Rule] = {
    RuleId.QUOTE_AGE: Rule("quote, funding", "the quote is old", "s", "quote_max_age_orders_s", 30, ORDERS, _WAIT),
    RuleId.QUOTE_DEAD: Rule(
        "quote, funding", "the quote is too old for anything", "s", "quote_max_age_research_s", 60, RESEARCH,
        "look at the network and at the venue's status page",
    ),
    RuleId.QUOTE_NOT_POSITIVE: Rule(
        "quote", "bid, ask or size is not a positive number", "", "above 0", 100, RESEARCH, _WAIT
    ),
    RuleId.QUOTE_CROSSED: Rule("quote", "the bid is not below the ask", "quote", "the ask", 60, RESEARCH, _WAIT),
    RuleId.QUOTE_FUTURE: Rule(
        "quote", "the quote is stamped in the future; check the clock", "s", "5 s", 40, ORDERS,
        "set this machine's clock (NTP)",
    ),
    RuleId.QUOTE_BACKWARDS: Rule(
        "quote", "the quote is older than the one before it", "s", "1 s", 40, ORDERS,
        "nothing if it passes; else a proxy or a cache answers in the venue's place",
    ),
    RuleId.SPREAD: Rule("quote, book", "bid and ask stand far apart", "bps", "spread_max_bps", 20, ORDERS, _WAIT),
}  # fmt: skip

_BOOK: dict[RuleId, Rule] = {
    RuleId.BOOK_STALE: Rule("book", "the book is old", "s", "book_max_age_s", 40, ORDERS, _WAIT),
    RuleId.BOOK_EMPTY: Rule("book", "a side of the book is empty", "levels", "1 level a side", 100, RESEARCH, _WAIT),
    RuleId.BOOK_NOT_POSITIVE: Rule(
        "book", "a price or a quantity of the book is not a positive number", "", "above 0", 100, RESEARCH, _WAIT
    ),
    RuleId.BOOK_ORDER: Rule(
        "book", "the levels of the book are not best first", "quote", "the level before", 100, RESEARCH, _WAIT
    ),
    RuleId.BOOK_CROSSED: Rule(
        "book", "the book's best bid is not below its best ask", "quote", "the best ask", 60, RESEARCH, _WAIT
    ),
    RuleId.BOOK_BROKEN: Rule(
        "book", "an update of the book is missing; it must be read anew", "", "an unbroken sequence", 60, RESEARCH,
        "nothing; the book is read anew. If it comes often, the machine or its network is too slow",
    ),
}  # fmt: skip

_FUNDING: dict[RuleId, Rule] = {
    RuleId.FUNDING_CAP: Rule(
        "funding", "the funding rate is beyond the contract's own cap", "fraction", "the contract's", 60, RESEARCH,
        "nothing if it passes; else the venue has changed the cap: restart the lab, which reads it",
    ),
    RuleId.FUNDING_TIME: Rule(
        "funding", "the next settlement is not within one interval from now", "s", "the contract's interval", 40,
        ORDERS,
        "check the clock; else wait, the venue is late",
    ),
    RuleId.FUNDING_INTERVAL: Rule(
        "funding", "the settlement interval is none of 1, 2, 4, 8 h", "h", "1, 2, 4 or 8 h", 60, RESEARCH,
        "read the venue's announcements for this contract",
    ),
    RuleId.FUNDING_INTERVAL_CHANGED: Rule(
        "funding", "the contract changed its settlement interval", "h", "the interval before", 20, ORDERS,
        "read the venue's announcements; from the next look on the new interval is used",
    ),
    RuleId.FUNDING_MISSING: Rule(
        "funding, history", "settlements are missing: a gap, not zeros", "settlements", "0", 40, ORDERS,
        "nothing at first, they are asked for again; of a file: fetch the settlements again",
    ),
}  # fmt: skip

_ANY: dict[RuleId, Rule] = {
    RuleId.CLOCK_DRIFT: Rule(
        "clock", "the lab's clock and the venue's differ", "s", "clock_drift_max_s", 40, ORDERS,
        "set this machine's clock (NTP)",
    ),
    RuleId.SYMBOL_STATUS: Rule(
        "instrument", "the venue does not trade the symbol now", "", "TRADING", 40, ORDERS,
        "read the venue's announcements: a halt ends, a delisting does not",
    ),
    RuleId.PROVENANCE: Rule(
        "history", "where the data comes from is not known", "", "an origin and a content hash", 60, RESEARCH,
        "fetch the history again; what nobody vouches for is not tested on",
    ),
    RuleId.SYNTHETIC: Rule(
        "history", "the data is made up where a real market is wanted", "", "a real market", 60, RESEARCH,
        "give a folder of recorded files, or fetch the history",
    ),
    RuleId.NOT_LOOKED_AT: Rule(
        "any", "a check that is wanted could not be made", "", "every wanted check", 40, ORDERS,
        "see which check the message names, and why its input is missing",
    ),
}  # fmt: skip

RULES: Mapping[RuleId, Rule] = {**_BAR, **_QUOTE, **_BOOK, **_FUNDING, **_ANY}
"""Every rule; the other files of this folder find where one is broken."""

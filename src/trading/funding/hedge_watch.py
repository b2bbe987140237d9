"""What breaks a hedge, judged: from what was read to findings with a consequence; pure.

Worse numbers never have a milder consequence, and what could not be read never opens an entry: both are tested over
sights drawn at random. Reading is in `hedge_look.py`; the table of `docs/live-carry.md` is held to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum

from trading.domain.clock import DAY_MS, HOUR_MS, iso
from trading.domain.decisions import Decision, Reason
from trading.domain.hedge import TRADING, ContractTerms, ForcedOrder, Listed
from trading.domain.instrument import Market
from trading.funding.hedge_settings import HedgeSettings

FOREVER_MS = 4_102_444_800_000
"""2100: a perpetual that is to live is delivered later."""
ENDING = frozenset({"PRE_SETTLE", "SETTLING", "PRE_DELIVERING", "DELIVERING", "DELIVERED", "CLOSE"})
"""Statuses of a contract that the venue is ending: it closes the positions itself, at a price of its own."""


class HedgeId(StrEnum):
    """What was found; written to the journal."""

    ADL_RANK = "ADL_RANK"
    FORCED_CLOSE = "FORCED_CLOSE"
    LIQUIDATION_NEAR = "LIQUIDATION_NEAR"
    SYMBOL_STATUS = "SYMBOL_STATUS"
    DELIVERY_SET = "DELIVERY_SET"
    TERMS_CHANGED = "TERMS_CHANGED"
    QUOTE_DEPEG = "QUOTE_DEPEG"
    SOURCE_SILENT = "SOURCE_SILENT"


class Consequence(IntEnum):
    """What a finding leads to; each has those before it."""

    TOLD = 1
    """On the audit line, and one message."""
    NO_ENTRY = 2
    """Nothing is opened; what is held is kept."""
    LEAVE = 3
    """What is held is closed by the ordinary exit."""
    FLAT = 4
    """Both legs are closed at once, and trading halts until a human releases."""


class Source(StrEnum):
    """What is read."""

    ADL = "rank of auto-deleveraging"
    FORCED = "forced orders"
    POSITION = "liquidation price"
    SPOT_STATUS = "status of the spot symbol"
    PERP_STATUS = "status of the contract"
    TERMS = "funding terms"
    OWN_DOLLAR = "the exchange's book of USDC"
    SECOND_DOLLAR = "the second source of the dollar"


OF_HELD = frozenset({Source.ADL, Source.FORCED, Source.POSITION})
"""Sources that say nothing while nothing is held."""


@dataclass(frozen=True, slots=True)
class HedgeSight:
    """All that is known at one moment; None: not known, or too old to act on."""

    now_ms: int
    symbol: str
    ages_s: Mapping[Source, float]
    """Of what was to be read: seconds since it last was; infinite: never yet."""
    asked_s: Mapping[Source, float] = field(default_factory=dict)
    """Seconds since it was first asked for."""
    adl_quantile: int | None = None
    forced: tuple[ForcedOrder, ...] = ()
    """Since the position was opened."""
    liquidation_distance: float | None = None
    """How far the mark may move against the short, fraction."""
    min_liquidation_distance: float = 0.0
    """Where the carry leaves by its own rule, fraction."""
    listed: Mapping[Market, Listed] = field(default_factory=dict)
    terms: ContractTerms | None = None
    terms_before: ContractTerms | None = None
    """Those that were changed; None: no change is known."""
    terms_changed_ms: int | None = None
    dollars: Mapping[Source, float] = field(default_factory=dict)
    """What the quote coin is worth, by source."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that can break the hedge."""

    id: HedgeId
    where: str
    """Tells it from its namesake: the symbol, the market or the source."""
    consequence: Consequence
    decision: Decision
    """Value, limit, and one line for a person."""
    is_news: bool = True
    """A human hears of it; False: it may be over in a minute, and holds until then."""

    @property
    def key(self) -> str:
        """One for as long as it stands."""
        return f"{self.id}:{self.where}"


def judge(sight: HedgeSight, settings: HedgeSettings) -> tuple[Finding, ...]:
    """What is found, strongest first."""
    found = [
        *_rank(sight, settings),
        *_forced(sight),
        *_liquidation(sight, settings),
        *_statuses(sight),
        *_delivery(sight, settings),
        *_terms(sight, settings),
        *_dollar(sight, settings),
        *_silent(sight, settings),
    ]
    return tuple(sorted(found, key=lambda finding: -finding.consequence))


def strongest(findings: Iterable[Finding], least: Consequence) -> Decision | None:
    """The refusal of an entry, or of holding on, where a finding is at least so strong."""
    return next((finding.decision for finding in findings if finding.consequence >= least), None)


def leaving(findings: Iterable[Finding]) -> Decision | None:
    """The exit that a finding asks for; None: none does."""
    found = strongest(findings, Consequence.LEAVE)
    return None if found is None else replace(found, allowed=True)


def _rank(sight: HedgeSight, settings: HedgeSettings) -> Iterator[Finding]:
    rank = sight.adl_quantile
    if rank is None:
        return
    lines = ((settings.adl_told_quantile, Consequence.TOLD), (settings.adl_leave_quantile, Consequence.LEAVE))
    note = f"the short of {sight.symbol} stands at {rank} of 4 in the queue of auto-deleveraging"
    yield from _crossed(HedgeId.ADL_RANK, sight.symbol, rank, lines, note)


def _forced(sight: HedgeSight) -> Iterator[Finding]:
    for order in sight.forced:
        if order.filled_base > 0:
            closed = float(order.filled_base), 0.0
            yield _finding(HedgeId.FORCED_CLOSE, sight.symbol, Consequence.FLAT, closed, forced_words(order))
            return


def forced_words(order: ForcedOrder) -> str:
    """A forced order in one line."""
    at = f" at {order.average_price}" if order.average_price is not None else ""
    return (
        f"the exchange closed {order.filled_base} of {order.symbol}{at} by {order.kind}, "
        f"{iso(order.at_ms)[11:19]} UTC ({order.client_id})"
    )


def _liquidation(sight: HedgeSight, settings: HedgeSettings) -> Iterator[Finding]:
    distance = sight.liquidation_distance
    if distance is None:
        return
    lines = (
        (-settings.liquidation_told_pct / 100, Consequence.TOLD),
        (-sight.min_liquidation_distance, Consequence.LEAVE),
        (-settings.liquidation_flat_pct / 100, Consequence.FLAT),
    )
    note = f"the liquidation price of {sight.symbol} is {distance:.1%} away"
    # Nearer is worse: the distance is held against its lines upside down.
    for found in _crossed(HedgeId.LIQUIDATION_NEAR, sight.symbol, -distance, lines, note):
        yield _finding(found.id, found.where, found.consequence, (distance, -found.decision.limit), note)


def _statuses(sight: HedgeSight) -> Iterator[Finding]:
    for market, listed in sight.listed.items():
        if listed.status == TRADING:
            continue
        ends = market is Market.PERP and listed.status in ENDING
        says = listed.status or "not listed any more"
        note = f"{market} {sight.symbol} is {says}: " + (
            "the exchange ends the contract" if ends else "its orders are not taken, and one leg alone is not closed"
        )
        consequence = Consequence.FLAT if ends else Consequence.NO_ENTRY
        yield _finding(HedgeId.SYMBOL_STATUS, f"{market} {sight.symbol} {says}", consequence, (1.0, 0.0), note)


def _delivery(sight: HedgeSight, settings: HedgeSettings) -> Iterator[Finding]:
    lines = (settings.delivery_leave_days, settings.delivery_flat_h / 24)
    for market, listed in sight.listed.items():
        end_ms = listed.delivery_ms
        if end_ms is None or not 0 < end_ms < FOREVER_MS:
            continue
        left_days = (end_ms - sight.now_ms) / DAY_MS
        consequence, limit = Consequence.NO_ENTRY, (FOREVER_MS - sight.now_ms) / DAY_MS
        for line, worse in zip(lines, (Consequence.LEAVE, Consequence.FLAT), strict=True):
            if left_days <= line:
                consequence, limit = max((consequence, limit), (worse, line))
        note = f"{market} {sight.symbol} is to end on {iso(end_ms)[:16]} UTC, in {left_days:.1f} days"
        yield _finding(HedgeId.DELIVERY_SET, f"{market} {sight.symbol}", consequence, (left_days, limit), note)


def _terms(sight: HedgeSight, settings: HedgeSettings) -> Iterator[Finding]:
    now, before, changed_ms = sight.terms, sight.terms_before, sight.terms_changed_ms
    if now is None or before is None or changed_ms is None:
        return
    passed_h = (sight.now_ms - changed_ms) / HOUR_MS
    if passed_h >= settings.terms_quiet_h:
        return
    note = f"funding of {sight.symbol} was changed: {terms_words(before)}; now {terms_words(now)}"
    where, numbers = f"{sight.symbol} {changed_ms}", (passed_h, settings.terms_quiet_h)
    yield _finding(HedgeId.TERMS_CHANGED, where, Consequence.NO_ENTRY, numbers, note)


def terms_words(terms: ContractTerms) -> str:
    """A contract's funding terms in words."""
    return f"every {terms.interval_ms / HOUR_MS:g} h, {terms.floor_rate:.3%} to {terms.cap_rate:.3%}"


def _dollar(sight: HedgeSight, settings: HedgeSettings) -> Iterator[Finding]:
    away = {source: (price - 1) * 100 for source, price in sight.dollars.items()}
    if not away:
        return
    worst = max(away.values(), key=abs)
    # A source alone may be wrong, or be about another coin that fell: an exit needs two that agree.
    agree = len(away) > 1 and min(away.values()) * max(away.values()) > 0
    lines = [(settings.depeg_entry_pct, Consequence.NO_ENTRY, abs(worst))]
    if agree:
        lines.append((settings.depeg_leave_pct, Consequence.LEAVE, min(abs(value) for value in away.values())))
    crossed = [(consequence, line, value) for line, consequence, value in lines if value >= line]
    if crossed:
        consequence, limit, value = max(crossed)
        told = ", ".join(f"{source} {sight.dollars[source]:.4f}" for source in sorted(away))
        note = f"the quote coin is off its dollar: {told}"
        yield _finding(HedgeId.QUOTE_DEPEG, "quote", consequence, (value, limit), note)


def _silent(sight: HedgeSight, settings: HedgeSettings) -> Iterator[Finding]:
    lines = ((settings.silent_told_s, Consequence.TOLD), (settings.silent_s, Consequence.NO_ENTRY))
    for source, age_s in sight.ages_s.items():
        since = "yet" if age_s == float("inf") else f"for {age_s / 60:.0f} minutes"
        note, asked_s = f"{source} could not be read {since}", sight.asked_s.get(source, age_s)
        for found in _crossed(HedgeId.SOURCE_SILENT, source, age_s, lines, note):
            yield replace(found, is_news=asked_s >= settings.silent_told_s)


REASONS: Mapping[HedgeId, Reason] = {
    HedgeId.ADL_RANK: Reason.ADL_RANK,
    HedgeId.FORCED_CLOSE: Reason.FORCED_CLOSE,
    HedgeId.LIQUIDATION_NEAR: Reason.LEVERAGE,
    HedgeId.SYMBOL_STATUS: Reason.SYMBOL_STATUS,
    HedgeId.DELIVERY_SET: Reason.DELIVERY_SET,
    HedgeId.TERMS_CHANGED: Reason.TERMS_CHANGED,
    HedgeId.QUOTE_DEPEG: Reason.QUOTE_DEPEG,
    HedgeId.SOURCE_SILENT: Reason.HEDGE_UNSEEN,
}
"""What each is called on the audit line."""


def _crossed(
    found: HedgeId, where: str, value: float, lines: Iterable[tuple[float, Consequence]], note: str
) -> Iterator[Finding]:
    """The strongest line that a value has reached, however the lines lie to each other."""
    reached = [(consequence, line) for line, consequence in lines if value >= line]
    if reached:
        consequence, limit = max(reached)
        yield _finding(found, where, consequence, (value, limit), note)


def _finding(found: HedgeId, where: str, consequence: Consequence, numbers: tuple[float, float], note: str) -> Finding:
    return Finding(found, where, consequence, Decision(False, REASONS[found], *numbers, note))

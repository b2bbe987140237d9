"""What a day or a week brought, for the summaries: counted from the records on disk, so that a restart loses nothing.

A day is a UTC day that has ended. Cycles and live fills come from the audit file, settlements from the positions file,
paper from its accounts and from what `performance_log.json` had them at when the day began.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice

from pydantic import ValidationError

from ai_brain.paper.account import PaperAccount, load_account
from ops.object_file import read_object
from ops.performance_log import paper_totals
from ops.trace.live_records import CycleLine, EquityLine, Holdings, read_holdings
from ops.trace.money import QUOTE
from trading.domain.clock import DAY_MS, iso
from trading.domain.counted import counted
from trading.domain.errors import StateFileError
from trading.funding.settlements import settled_of
from trading.journal.audit_window import AuditWindow, time_of
from trading.storage.home import Home

SUNDAY_MS = 3 * DAY_MS
"""The first Sunday after 1970 began."""
NEAR_LINES = 60
"""Lines before a period in which the account's equity is looked for: about an hour."""
TRADED = "EXECUTED"
_ANSWER = re.compile(rb'"reason":"([A-Z_]+)","regime":.*"status":"([A-Z_]+)"')
_EQUITY = re.compile(rb'"equity":\{[^}]*"equity_quote":"')


@dataclass(frozen=True, slots=True)
class Span:
    """Whole UTC days, [start, end)."""

    start_ms: int
    end_ms: int

    @property
    def title(self) -> str:
        """`2026-01-21 UTC`, `2026-01-18 to 2026-01-24 UTC`."""
        first, last = iso(self.start_ms)[:10], iso(self.end_ms - DAY_MS)[:10]
        return f"{first} UTC" if first == last else f"{first} to {last} UTC"

    @property
    def before(self) -> str:
        """The day that ended where it begins."""
        return iso(self.start_ms - DAY_MS)[:10]

    def has(self, at_ms: int) -> bool:
        """Whether a moment lies in it."""
        return self.start_ms <= at_ms < self.end_ms


@dataclass(frozen=True, slots=True)
class Gain:
    """What one account did in it; amounts quote."""

    kind: str
    """`live`, or `paper ID`."""
    change_quote: float
    """Earned: without what was put in or taken out, and without what no record explains."""
    change_fraction: float
    """Of its equity when the period began."""
    done: str
    """`2 fills`, `3 trades closed`."""
    funding_quote: float | None
    """Received less paid; None: not known."""
    fees_quote: float | None
    """None: not known."""

    @property
    def is_none(self) -> bool:
        """On paper, and nothing happened."""
        is_still = self.change_quote == self.funding_quote == self.fees_quote == 0.0 and self.done.startswith("0 ")
        return self.kind.startswith("paper ") and is_still


@dataclass(frozen=True, slots=True)
class Period:
    """What a summary tells of its time."""

    span: Span
    cycles: int | None = None
    """None: the records could not be read."""
    traded: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Of the cycles that did not trade."""
    gains: tuple[Gain, ...] = ()


def day_ended(now_ms: int) -> Span:
    """The UTC day that ended last."""
    end_ms = now_ms // DAY_MS * DAY_MS
    return Span(end_ms - DAY_MS, end_ms)


def week_ended(now_ms: int) -> Span:
    """The seven UTC days up to the last Sunday's beginning."""
    end_ms = (now_ms - SUNDAY_MS) // (7 * DAY_MS) * (7 * DAY_MS) + SUNDAY_MS
    return Span(end_ms - 7 * DAY_MS, end_ms)


def read_period(home: Home, span: Span, paper_ids: Iterable[str], held: Holdings | None = None) -> Period:
    """Count it; reads files only, for a worker thread.

    Args:
        home: Whose.
        span: Of what.
        paper_ids: Strategies whose paper accounts are told.
        held: What is held live and what was; None: as the positions file has it.

    Raises:
        StateFileError: the audit file or the positions file cannot be read.
    """
    tally = _Counted()
    for raw in _lines(home, span):
        tally.see(raw)
    live = _live_gain(home, span, tally, held)
    gains = [*([live] if live else []), *_paper_gains(home, span, paper_ids)]
    return Period(span, tally.cycles, tally.traded, dict(tally.reasons), tuple(gains))


def reasons_since(home: Home, since_ms: int) -> list[tuple[int, str]]:
    """(time, reason) of the cycles since a moment that did not trade, oldest first: what a lab that starts remembers.

    Raises:
        StateFileError: the audit file cannot be read.
    """
    found = ((time_of(raw), _ANSWER.search(raw)) for raw in AuditWindow(home.audit_file).from_ms(since_ms))
    return [(at, answer[1].decode()) for at, answer in found if at and answer and answer[2].decode() != TRADED]


def _lines(home: Home, span: Span) -> Iterator[bytes]:
    for raw in AuditWindow(home.audit_file).from_ms(span.start_ms):
        at_ms = time_of(raw)
        if at_ms is not None and at_ms >= span.end_ms:
            return
        yield raw


class _Counted:
    """Cycles of the period, one line at a time; only lines that hold fills are taken apart, and two for the equity."""

    def __init__(self) -> None:
        self.cycles = self.traded = self.fills = 0
        self.reasons: Counter[str] = Counter()
        self.fees_quote: Decimal | None = Decimal(0)
        self.first: bytes | None = None
        self.last: bytes | None = None

    def see(self, raw: bytes) -> None:
        """One line."""
        self.cycles += 1
        answer = _ANSWER.search(raw)
        if answer is not None and answer[2].decode() == TRADED:
            self.traded += 1
        elif answer is not None:
            self.reasons[answer[1].decode()] += 1
        if _EQUITY.search(raw):
            self.first, self.last = self.first or raw, raw
        if b'"fills":[]' not in raw and (line := _parsed(raw)) is not None:
            for fill in (fill for fill in line.fills if fill.ours):
                self.fills += 1
                fee = fill.fee_in_quote(QUOTE)
                self.fees_quote = None if fee is None or self.fees_quote is None else self.fees_quote + fee


def _live_gain(home: Home, span: Span, tally: _Counted, held: Holdings | None) -> Gain | None:
    """Of the live account; None: it was not read twice in that time."""
    before = islice(AuditWindow(home.audit_file).before_ms(span.start_ms), NEAR_LINES)
    first = next((raw for raw in before if _EQUITY.search(raw)), None)
    begun = _books(first) or _account_began(home, span) or _books(tally.first)
    ended = _books(tally.last)
    if begun is None or ended is None or not begun.equity_quote:
        return None
    change = _earned(ended) - _earned(begun)
    held = read_holdings(home) if held is None else held
    return Gain(
        kind="live",
        change_quote=float(change),
        change_fraction=float(change / begun.equity_quote),
        done=counted(tally.fills, "fill"),
        funding_quote=float(sum(_settled(held, span), Decimal(0))),
        fees_quote=None if tally.fees_quote is None else float(tally.fees_quote),
    )


def _account_began(home: Home, span: Span) -> EquityLine | None:
    """What it was worth before its first order, where that was in the period: the first reading may be behind it."""
    kept = read_object(home.state / "live_start.json", [])
    at_ms, equity = kept.get("at_ms"), kept.get("equity_quote")
    if not isinstance(at_ms, int) or not isinstance(equity, (int, float)) or not span.has(at_ms):
        return None
    return EquityLine(equity_quote=Decimal(str(equity)))


def _books(raw: bytes | None) -> EquityLine | None:
    line = None if raw is None else _parsed(raw)
    return None if line is None else line.equity


def _earned(books: EquityLine) -> Decimal:
    """Equity less what was put in, and less what the books could not explain: neither is a profit."""
    unexplained = max(Decimal(0), books.identity_error_quote or Decimal(0))
    return (books.equity_quote or Decimal(0)) - (books.flows_quote or Decimal(0)) - unexplained


def _settled(held: Holdings, span: Span) -> Iterator[Decimal]:
    """Funding by the venue's records; a position that an older lab closed has none."""
    settlements = [one for live in held.lives for one in settled_of(live)]
    settlements += [one for closed in held.closed for one in closed.settled or ()]
    return (one.amount_quote for one in settlements if span.has(one.at_ms))


def _paper_gains(home: Home, span: Span, paper_ids: Iterable[str]) -> Iterator[Gain]:
    for spec_id in paper_ids:
        try:
            account, totals = load_account(home, spec_id), paper_totals(home, span.before, spec_id)
        except StateFileError:
            continue  # set aside, and told by whoever steps it: no line of a summary
        if account is not None and (gain := _paper_gain(account, span, totals)) is not None:
            yield gain


def _paper_gain(account: PaperAccount, span: Span, totals: Mapping[str, float] | None) -> Gain | None:
    began = account.started_ms >= span.start_ms
    before = [equity for at, equity in account.curve if at <= span.start_ms]
    until = [equity for at, equity in account.curve if at <= span.end_ms]
    start = before[-1] if before else account.starting_quote if began else None
    if start is None or not until:
        return None
    known = {"funding_quote": 0.0, "fees_quote": 0.0} if began else totals or {}
    closed = sum(span.has(trade.exit_ms) for trade in account.trades)
    return Gain(
        kind=f"paper {account.spec_id}",
        change_quote=until[-1] - start,
        change_fraction=until[-1] / start - 1.0,
        done=f"{counted(closed, 'trade')} closed",
        funding_quote=account.funding_quote - known["funding_quote"] if "funding_quote" in known else None,
        fees_quote=account.fees_quote - known["fees_quote"] if "fees_quote" in known else None,
    )


def _parsed(raw: bytes) -> CycleLine | None:
    """A line taken apart; None: it makes no sense, which `./lab verify-audit` names."""
    try:
        return CycleLine.model_validate_json(raw)
    except ValidationError:
        return None

"""Every night: each paper account is replayed on recorded bars, and must have done the same to the bit.

The bars are those that the lab's raw recording has: what the exchange told then, not what it tells now. A human is
asked only about a strategy that was found the same lately; one that differs, on paper or live, goes back to paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ai_brain.paper.account import account_path
from ai_brain.paper.market_view import markets_of
from ai_brain.paper.parity import NOT_BEGUN, Parity, ParityStatus
from ops.apart import apart
from ops.market_view import check_market, paper_rules
from ops.nightly.parity import Asked, Compared, LiveTold, compare_night
from ops.nightly.verdicts_file import Verdict, Verdicts, read_verdicts, write_verdicts
from ops.service.lab import Lab
from trading.domain.clock import DAY_MS
from trading.domain.errors import DataProviderError, FarmError, StateFileError
from trading.domain.events import Severity
from trading.risk.arming import disarm, read_armed
from trading.strategy.lifecycle import LEGAL_MOVES, TRADING, Stage, move
from trading.strategy.spec import StrategySpec

TOLD_AFTER_MS = 60_000
"""After midnight: the day's last candles have been told by then, and written down."""
STEP_PATIENCE_S, POLL_S = 120.0, 1.0
"""Lab seconds after that for paper to step them: their funding may come late."""
ALERT_NIGHTS = 3
"""Nights in a row without a comparison until that is an alert."""
LONGEST_LIVE_MS = 30 * DAY_MS
"""Live positions that were closed in nights nobody looked are compared later, up to so long ago."""
DIFFERS, DOUBT, LIVE_DIFFERS = "parity.differs", "parity.not_comparable", "parity.live_differs"


@dataclass(frozen=True, slots=True)
class _Found:
    """What a night found of one strategy."""

    parity: Parity
    live: tuple[LiveTold, ...] = ()


@dataclass(frozen=True, slots=True)
class Doubt:
    """One account that could not be compared."""

    strategy_id: str
    why: str
    nights: int
    """In a row."""


async def run(lab: Lab) -> None:
    """Compare every strategy that has a paper account and is not retired; tell, and move back what differs.

    Raises:
        StateFileError: the verdicts cannot be read or written.
    """
    end_ms, verdicts = lab.clock.now_ms() // DAY_MS * DAY_MS, read_verdicts(lab.home)
    found = await _found(lab, verdicts, end_ms)
    gone = ({*verdicts.differing, *verdicts.by_id}) - {one.parity.strategy_id for one in found}
    for name in sorted(gone):
        lab.tell("parity.ended", {"id": name})
        _resolve(lab, name)
    kept, doubts = Verdicts(verdicts.differing - gone, end_ms=end_ms), list[Doubt]()
    for one in found:
        name, status = one.parity.strategy_id, one.parity.status
        before = verdicts.by_id.get(name)
        nights = 1 + (before.nights if before else 0) if status is ParityStatus.NOT_COMPARABLE else 0
        kept.by_id[name] = Verdict(status=status, end_ms=end_ms, nights=nights)
        _judge(lab, one.parity, nights, kept.differing, doubts)
        _judge_live(lab, one, kept.differing)
    tell_doubts(lab, doubts)
    write_verdicts(lab.home, kept)
    lab.memory.parity_ms, lab.memory.parity = lab.clock.now_ms(), tuple(one.parity for one in found)


def may_ask(lab: Lab, spec: StrategySpec) -> bool:
    """Whether a human may be asked about a strategy: what paper has not been found to be proves nothing.

    Raises:
        StateFileError: the verdicts are broken and have been set aside.
    """
    return read_verdicts(lab.home).is_same(spec.id, lab.clock.now_ms())


async def _found(lab: Lab, verdicts: Verdicts, end_ms: int) -> list[_Found]:
    """Every account against the market as it was told; what keeps one from that is its verdict, no failed job."""
    await lab.clock.sleep_s(max(0, end_ms + TOLD_AFTER_MS - lab.clock.now_ms()) / 1000)
    specs = [spec for spec in lab.repository.living() if account_path(lab.home, spec.id).exists()]
    await _until_stepped(lab, specs, end_ms)
    asked, found = list[Asked](), list[_Found]()
    for spec in sorted(specs, key=lambda spec: spec.id):
        try:
            asked.append(await _asked(lab, spec))
        except (DataProviderError, StateFileError, FarmError) as error:
            found.append(_Found(Parity(spec.id, ParityStatus.NOT_COMPARABLE, why=str(error))))
    interval = lab.settings.research.timeframe
    markets = [(side, symbol, interval) for side, symbol in lab.instruments]
    live_from_ms = max(min(verdicts.end_ms or end_ms, end_ms - DAY_MS), end_ms - LONGEST_LIVE_MS)
    async with lab.turn:
        held = None if lab.desk is None else lab.holdings()
        night = await apart(
            compare_night, lab.home, lab.settings, asked, end_ms, markets=markets, live_from_ms=live_from_ms, held=held
        )
    for why in night.unread:
        lab.tell("parity.no_recording", {"why": why}, Severity.NOTICE)
    for one in night.compared:
        _tell_day(lab, one)
    return found + [_Found(one.parity, one.live) for one in night.compared]


async def _until_stepped(lab: Lab, specs: Sequence[StrategySpec], end_ms: int) -> None:
    """Wait for what is on paper to have stepped the day's last bar; not for long."""
    until_ms = end_ms + TOLD_AFTER_MS + int(STEP_PATIENCE_S * 1000)
    for spec in specs:
        while spec.stage is Stage.DRY_RUN and lab.clock.now_ms() < until_ms and not _has_stepped(lab, spec, end_ms):
            await lab.clock.sleep_s(POLL_S)


def _has_stepped(lab: Lab, spec: StrategySpec, end_ms: int) -> bool:
    try:
        curve = lab.paper.curve(spec.id)
    except StateFileError:  # told by whoever compares it
        return True
    return bool(curve) and curve[-1][0] >= end_ms


async def _asked(lab: Lab, spec: StrategySpec) -> Asked:
    check_market(spec, lab.settings.venue.exchange, lab.instruments)
    symbol, interval = spec.market.native_symbol, spec.market.timeframe
    shelf = [await lab.history.tape(market, symbol, interval) for market in markets_of(spec)]
    return Asked(spec, tuple(shelf), paper_rules(lab.instruments, spec))


def _tell_day(lab: Lab, one: Compared) -> None:
    """How yesterday's candles of a strategy were told, and the live positions that were closed since the last night."""
    if one.told or one.untold:
        facts = {"id": one.parity.strategy_id, "told": one.told, "untold": one.untold, "otherwise": one.otherwise}
        lab.tell("parity.day", facts, Severity.NOTICE if one.otherwise else Severity.INFO)
    for live in one.live:
        lab.tell("parity.live", {"id": one.parity.strategy_id, "position": live.position_id, "words": live.words})


def tell_doubts(lab: Lab, doubts: Sequence[Doubt]) -> None:
    """One notice for all that could not be compared for the same reason."""
    for why in dict.fromkeys(doubt.why for doubt in doubts):
        alike = [doubt for doubt in doubts if doubt.why == why]
        names, nights = ", ".join(doubt.strategy_id for doubt in alike), max(doubt.nights for doubt in alike)
        lab.tell(DOUBT, {"id": names, "why": why, "nights": nights}, Severity.NOTICE)


def _judge(lab: Lab, parity: Parity, nights: int, standing: set[str], doubts: list[Doubt]) -> None:
    """Tell one verdict and act on it; `standing` gains or loses the strategy, doubt changes nothing.

    Doubts that are no alert yet are gathered in `doubts`.
    """
    facts: dict[str, object] = {"id": parity.strategy_id, "bars": parity.bars, "trades": parity.trades}
    if parity.status is ParityStatus.SAME:
        standing.discard(parity.strategy_id)
        lab.tell("parity.same", facts | {"missed": parity.missed})
        _resolve(lab, parity.strategy_id)
    elif parity.status is ParityStatus.NOT_COMPARABLE:
        begins = Severity.INFO if parity.why == NOT_BEGUN else Severity.NOTICE
        severity = Severity.ALERT if nights >= ALERT_NIGHTS else begins
        if severity is Severity.NOTICE:
            doubts.append(Doubt(parity.strategy_id, parity.why, nights))
        else:
            lab.tell(DOUBT, {"id": parity.strategy_id, "why": parity.why, "nights": nights}, severity)
    else:
        standing.add(parity.strategy_id)
        facts |= {"why": parity.why, "paper": parity.paper, "backtest": parity.backtest}
        facts["differences"] = str(parity.differences)
        lab.tell(DIFFERS, facts, Severity.ALERT)
        lab.messenger.resolve(f"{DOUBT}:{parity.strategy_id}")
        why = f"paper is not its backtest: {parity.why}: paper {parity.paper!r}, backtest {parity.backtest!r}"
        _back_to_paper(lab, parity.strategy_id, why)


def _judge_live(lab: Lab, one: _Found, standing: set[str]) -> None:
    """A live result too far from its backtest's takes the strategy back to paper."""
    why = "; ".join(live.beyond for live in one.live if live.beyond)
    if not why or not _back_to_paper(lab, one.parity.strategy_id, why):
        return
    standing.add(one.parity.strategy_id)
    lab.tell(LIVE_DIFFERS, {"id": one.parity.strategy_id, "why": why}, Severity.ALERT)


def _back_to_paper(lab: Lab, strategy_id: str, why: str) -> bool:
    """A strategy that has left paper goes back, its approval void; False: it is on paper, where no human is asked."""
    spec = lab.repository.get(strategy_id)
    if spec.stage is Stage.BACKTESTING or Stage.DRY_RUN not in LEGAL_MOVES[spec.stage]:
        return False
    was_armed = spec.stage in TRADING and read_armed(lab.home, spec).allowed
    lab.repository.save(move(spec, Stage.DRY_RUN, by="parity", why=why[:500], at_ms=lab.clock.now_ms()))
    if was_armed:
        disarm(lab.home, spec.id)  # nothing new is opened; what is held goes on by its own exit rules
    return True


def _resolve(lab: Lab, strategy_id: str) -> None:
    """The alerts of a strategy that `parity.same` and `parity.ended` do not end by themselves."""
    for name in (DOUBT, LIVE_DIFFERS):
        lab.messenger.resolve(f"{name}:{strategy_id}")

"""Every night: each paper account is replayed on recorded bars, and must have done the same to the bit.

Yesterday's bars are those that the lab's raw recording has: what the exchange told then, not what it tells now. The
verdicts lie in `state/parity.json`: a strategy whose replay differed is put before no human until a later night
finds it the same.
"""

from __future__ import annotations

from pathlib import Path

from ai_brain.paper.account import account_path
from ai_brain.paper.market_view import markets_of
from ai_brain.paper.parity import Parity, ParityStatus
from ops.apart import apart
from ops.market_view import check_market, paper_rules
from ops.nightly.parity import Asked, Compared, compare_night
from ops.service.lab import DAY_MS, Lab
from trading.domain.errors import DataProviderError, FarmError, StateFileError
from trading.domain.events import Severity
from trading.risk.arming import disarm, read_armed
from trading.storage.files import read_json, write_json
from trading.storage.home import Home
from trading.strategy.lifecycle import LEGAL_MOVES, TRADING, Stage, move
from trading.strategy.spec import StrategySpec

PARITY_SCHEMA = 1
TOLD_AFTER_MS = 60_000
"""After midnight: the day's last candles have been told by then, and written down."""


async def run(lab: Lab) -> None:
    """Compare every strategy that has a paper account and is not retired; tell, and move back what differs.

    Raises:
        StateFileError: the verdicts cannot be written.
    """
    found = await _found(lab)
    before = differing(lab.home)
    standing = before & {parity.strategy_id for parity in found}
    for gone in sorted(before - standing):
        lab.tell("parity.ended", {"id": gone})
    for parity in found:
        _judge(lab, parity, standing)
    verdicts = {parity.strategy_id: str(parity.status) for parity in found}
    write_json(_file(lab.home), {"differing": sorted(standing), "verdicts": verdicts}, schema=PARITY_SCHEMA)
    lab.memory.parity_ms, lab.memory.parity = lab.clock.now_ms(), tuple(found)


def differing(home: Home) -> set[str]:
    """Strategies whose last comparable night was another than paper told.

    Raises:
        StateFileError: the file is broken and has been set aside.
    """
    kept = read_json(_file(home), schema=PARITY_SCHEMA) or {}
    names = kept.get("differing")
    return {str(name) for name in names} if isinstance(names, list) else set()


async def _found(lab: Lab) -> list[Parity]:
    """Every account against the market as it was told; what keeps one from that is its verdict, no failed job."""
    end_ms = lab.clock.now_ms() // DAY_MS * DAY_MS
    await lab.clock.sleep_s(max(0, end_ms + TOLD_AFTER_MS - lab.clock.now_ms()) / 1000)
    asked, found = list[Asked](), list[Parity]()
    for spec in sorted(lab.repository.living(), key=lambda spec: spec.id):
        if not account_path(lab.home, spec.id).exists():
            continue
        try:
            asked.append(await _asked(lab, spec))
        except (DataProviderError, StateFileError, FarmError) as error:
            found.append(Parity(spec.id, ParityStatus.NOT_COMPARABLE, why=str(error)))
    if not asked:
        return found
    async with lab.turn:
        night = await apart(compare_night, lab.home, lab.settings, asked, end_ms)
    if night.unread:
        lab.tell("parity.no_recording", {"why": night.unread}, Severity.NOTICE)
    for one in night.compared:
        _tell_day(lab, one)
    return found + [one.parity for one in night.compared]


async def _asked(lab: Lab, spec: StrategySpec) -> Asked:
    check_market(spec, lab.settings.venue.exchange, lab.instruments)
    symbol, interval = spec.market.native_symbol, spec.market.timeframe
    shelf = [await lab.history.tape(market, symbol, interval) for market in markets_of(spec)]
    return Asked(spec, tuple(shelf), paper_rules(lab.instruments, spec))


def _tell_day(lab: Lab, one: Compared) -> None:
    """How yesterday's candles of a strategy were told, and the live positions that were closed then."""
    if one.told or one.untold:
        facts = {"id": one.parity.strategy_id, "told": one.told, "untold": one.untold, "otherwise": one.otherwise}
        lab.tell("parity.day", facts, Severity.NOTICE if one.otherwise else Severity.INFO)
    for live in one.live:
        lab.tell("parity.live", {"id": one.parity.strategy_id, "position": live.position_id, "words": live.words})


def _judge(lab: Lab, parity: Parity, standing: set[str]) -> None:
    """Tell one verdict and act on it; `standing` gains or loses the strategy, doubt changes nothing."""
    facts: dict[str, object] = {"id": parity.strategy_id, "bars": parity.bars, "trades": parity.trades}
    if parity.status is ParityStatus.SAME:
        standing.discard(parity.strategy_id)
        lab.tell("parity.same", facts)
    elif parity.status is ParityStatus.NOT_COMPARABLE:
        lab.tell("parity.not_comparable", {"id": parity.strategy_id, "why": parity.why})
    else:
        standing.add(parity.strategy_id)
        facts |= {"why": parity.why, "paper": parity.paper, "backtest": parity.backtest}
        facts["differences"] = str(parity.differences)
        lab.tell("parity.differs", facts, Severity.ALERT)
        _back_to_paper(lab, parity)


def _back_to_paper(lab: Lab, parity: Parity) -> None:
    """A strategy that has left paper goes back, its approval void; one on paper stays there, and no human is asked."""
    spec = lab.repository.get(parity.strategy_id)
    if spec.stage is Stage.BACKTESTING or Stage.DRY_RUN not in LEGAL_MOVES[spec.stage]:
        return
    why = f"paper is not its backtest: {parity.why}: paper {parity.paper!r}, backtest {parity.backtest!r}"
    was_armed = spec.stage in TRADING and read_armed(lab.home, spec).allowed
    lab.repository.save(move(spec, Stage.DRY_RUN, by="parity", why=why[:500], at_ms=lab.clock.now_ms()))
    if was_armed:
        disarm(lab.home, spec.id)  # nothing new is opened; what is held goes on by its own exit rules


def _file(home: Home) -> Path:
    return home.state / "parity.json"

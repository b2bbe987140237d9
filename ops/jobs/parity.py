"""Every night: each paper account is replayed on recorded bars, and must have done the same to the bit.

Yesterday's bars are those that the lab's raw recording has: what the exchange told then, not what it tells now. The
verdicts lie in `state/parity.json`: a strategy whose replay differed is put before no human until a later night
finds it the same.
"""

from __future__ import annotations

from pathlib import Path

from ai_brain.paper.account import account_path, load_account
from ai_brain.paper.market_view import markets_of
from ai_brain.paper.parity import Parity, ParityStatus, compare
from ops.as_told import Told, remember, tapes_as_told
from ops.lab import DAY_MS, Lab
from ops.live_parity import live_against_model
from ops.live_records import read_holdings
from ops.market_view import check_market, paper_rules
from ops.thinking import think
from trading.domain.errors import DataProviderError, StateFileError
from trading.domain.events import Severity
from trading.exchange.recorded_bars import RecordedBars, read_recorded_bars
from trading.risk.arming import disarm, read_armed
from trading.simulator.costs import MarketRules
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
    recorded = await _recorded_yesterday(lab)
    found = [
        await _check(lab, spec, recorded)
        for spec in sorted(lab.repository.all(), key=lambda spec: spec.id)
        if spec.stage is not Stage.RETIRED and account_path(lab.home, spec.id).exists()
    ]
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


async def _recorded_yesterday(lab: Lab) -> RecordedBars:
    """The candles of the last whole UTC day as they were told; a recording that cannot be read is told, and is none."""
    end_ms = lab.clock.now_ms() // DAY_MS * DAY_MS
    await lab.clock.sleep_s(max(0, end_ms + TOLD_AFTER_MS - lab.clock.now_ms()) / 1000)
    try:
        return await think(read_recorded_bars, lab.home.recordings, start_ms=end_ms - DAY_MS, end_ms=end_ms)
    except (DataProviderError, OSError) as error:
        lab.tell("parity.no_recording", {"why": str(error)}, Severity.NOTICE)
        return RecordedBars(end_ms - DAY_MS, end_ms)


async def _check(lab: Lab, spec: StrategySpec, recorded: RecordedBars) -> Parity:
    """One account against the market as it was told; what keeps it from that is a reason, not a failure of the job."""
    try:
        account = load_account(lab.home, spec.id)
        if account is None:
            return Parity(spec.id, ParityStatus.NOT_COMPARABLE, why="it has no account")
        check_market(spec, lab.settings.venue.exchange, lab.instruments)
        symbol, interval = spec.market.native_symbol, spec.market.timeframe
        shelf = [await lab.history.tape(market, symbol, interval) for market in markets_of(spec)]
        told = await think(tapes_as_told, lab.home, spec, shelf, recorded)
        remember(lab.home, told)
        _tell_day(lab, spec, told)
        rules, weights = paper_rules(lab.instruments, spec), lab.settings.carry.weights()
        await _tell_live(lab, spec, told, rules, recorded)
        return await think(compare, account, spec, told.tapes, lab.settings.paper, rules, weights)
    except (DataProviderError, StateFileError) as error:
        return Parity(spec.id, ParityStatus.NOT_COMPARABLE, why=str(error))


def _tell_day(lab: Lab, spec: StrategySpec, told: Told) -> None:
    """How yesterday's candles of a strategy were told, against the shelf."""
    facts = {"id": spec.id, "told": told.told, "untold": told.untold, "otherwise": told.otherwise}
    lab.tell("parity.day", facts, Severity.NOTICE if told.otherwise else Severity.INFO)


async def _tell_live(lab: Lab, spec: StrategySpec, told: Told, rules: MarketRules, recorded: RecordedBars) -> None:
    """Live positions that were closed yesterday, against what their backtest makes of the same hours."""
    costs, held = lab.settings.carry_costs(), read_holdings(lab.home)
    for one in await think(live_against_model, spec, held, told.tapes, costs, rules, start_ms=recorded.start_ms):
        lab.tell("parity.live", {"id": spec.id, "position": one.position.id, "words": str(one)})


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

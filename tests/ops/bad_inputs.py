"""Everything wrong that a person, a file or the other side can hand to the lab, each given for real.

`test_bad_input.py` runs them, and writes what they say to `docs/bad-input.md`.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import SecretStr
from rich.console import Console

import sandbox.telegram
from ai_brain.desk.learned_file import read_learned
from ai_brain.evidence.filing import evidence_folder
from ai_brain.ideas import Asked, read_ideas
from ai_brain.learning_db import LearningDb
from ai_brain.paper.account import account_path, load_account
from ops import get_status
from ops.approve_strategy import approve_strategy
from ops.environment import read_environment
from ops.history import show as history_show
from ops.history.fetch import Sources, Wanted, fetch
from ops.history.recorded import run_import
from ops.judgement.backtest import run_backtest
from ops.learning import open_learning_db
from ops.schedule import Schedule
from ops.trace.audit_chain import run_verify_audit
from ops.trace.number import run_decisions, run_fills
from ops.trace.strategy import run_strategy
from ops.universe import saved as universe
from tests.loopback import SetClock, serving
from tests.ops.giving import (
    DIPS,
    HOUR_MS,
    NO_THESIS,
    START_MS,
    Case,
    Give,
    Place,
    Told,
    at_start,
    command,
    raised,
    secrets,
    settings,
    spec_file,
    state_file,
    tape,
    typed,
    with_risk,
    with_rule,
)  # fmt: skip
from tests.ops.world import BASIS, CARRY
from tests.trading.market.test_universe import day, listed, perp
from trading.domain.clock import Clock
from trading.domain.decisions import Reason
from trading.domain.errors import StateFileError
from trading.domain.events import Event
from trading.exchange.access import Access
from trading.exchange.binance import Binance
from trading.execution.intents import Intents
from trading.funding.position import PositionStore
from trading.journal.audit import AuditLine, AuditLog, CycleStatus
from trading.market.archive_rows import candles_of
from trading.market.history_intake import Stretch
from trading.market.synthetic import Plan, synthetic_market, write_layout
from trading.market.tape import make_tape
from trading.market.universe_store import UniverseStore
from trading.notify.telegram import Telegram
from trading.risk.counters import RiskCounters
from trading.storage.home import Home
from trading.storage.lock import only_one
from trading.strategy.approval import load_key
from trading.strategy.repository import StrategyRepository
from trading.strategy.spec import SpecMarket, load_spec

# Single cases that need more than a line


def audit_of(home: Home, lines: int) -> Path:
    """An audit file with so many good lines."""
    audit = AuditLog(home.audit_file)
    for number in range(lines):
        audit.append(AuditLine(START_MS + number, "demo", CycleStatus.NO_TRADE, Reason.HOLDING, "c", note=str(number)))
    return home.audit_file


def edited_audit(place: Place) -> Told:
    path = audit_of(place.home, 3)
    path.write_text(path.read_text().replace('"note":"1"', '"note":"nothing to see"'))
    return command(lambda: run_verify_audit(None), also=True)


def edited_audit_at_start(place: Place) -> Told:
    path = audit_of(place.home, 3)
    path.write_text(path.read_text().replace('"note":"2"', '"note":"nothing to see"'))
    return at_start(lambda: AuditLog(path))


def rubbish_in_audit(place: Place) -> Told:
    with audit_of(place.home, 2).open("a") as file:
        file.write("hello\n")
    return command(lambda: run_decisions(5))


def second_service(place: Place) -> Told:
    with only_one(place.home.lock_file, what="the lab"):
        return typed(place, "run")


def broken_strategy(place: Place) -> Told:
    (place.home.strategies / "testing" / "fc-20240601-000000.json").write_text("{")

    def look() -> int:
        repository = StrategyRepository(place.home.strategies)
        repository.all()
        raise StateFileError(repository.problems[0])

    return Told(command(look).message, None)


def not_in_review(place: Place) -> Told:
    spec = load_spec(CARRY.encode(), where="test")
    StrategyRepository(place.home.strategies).save(spec)
    ask = lambda _question: "yes"  # noqa: E731  # whoever asks
    return at_start(lambda: approve_strategy(place.home, spec.id, ask=ask, say=print, clock=Clock(), operator="test"))


def open_key(place: Place) -> Told:
    path = place.home.state / "approval.key"
    load_key(path)
    path.chmod(0o644)
    return at_start(lambda: load_key(path))


def broken_evidence(place: Place) -> Told:
    spec = load_spec(CARRY.encode(), where="test")
    StrategyRepository(place.home.strategies).save(spec)
    evidence_folder(place.home).mkdir()
    (evidence_folder(place.home) / f"{spec.id}.json").write_text('{"schema": 1, "verdict": "SPLENDID"}')
    return command(lambda: run_strategy(spec.id))


def emptied_memory(place: Place) -> Told:
    folder = evidence_folder(place.home)
    folder.mkdir(parents=True)
    (folder / "fc-20240601-000000.json").write_text("{}")
    place.home.learning_db.touch()
    return command(lambda: len(str(open_learning_db(place.home, read_environment(place.home)))))


def broken_heartbeat(place: Place) -> Told:
    place.home.heartbeat_file.write_text("{half")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        get_status.main([])
    (line,) = (line for line in out.getvalue().splitlines() if line.startswith("  problem"))
    return Told(line.removeprefix("  problem").strip(), None)


def broken_schedule(place: Place) -> Told:
    path, heard = place.home.state / "schedule.json", list[Event]()
    path.write_text("[]")

    async def start() -> None:
        stop = asyncio.Event()
        stop.set()
        schedule = Schedule((), {}, clock=Clock(), publish=heard.append, last_runs_file=path)
        await schedule.run(stop, grace_s=0.1)

    asyncio.run(start())
    return Told(str(heard[0].facts["error"]), None)


def wrong_token(_: Place) -> Told:
    async def ask() -> None:
        async with (
            serving(sandbox.telegram.TelegramDesk(SetClock())) as url,
            Telegram(SecretStr("999:wrong"), "42", base_url=url) as bot,
        ):
            await bot.check()

    return raised(lambda: asyncio.run(ask()))


def model_says(text: str) -> Give:
    """A language model's answer."""

    def give(_: Place) -> Told:
        market = SpecMarket(exchange="binance", symbol="BTC/USDT:USDT", timeframe="1h")
        ideas = read_ideas(text, Asked(market, "gemini-x", "0" * 64, START_MS))
        assert ideas.specs == ()
        return Told(f"{ideas.rejected[0].reason.value}: {ideas.rejected[0].detail}", None)

    return give


def archive_says(content: bytes) -> Give:
    """What the public archive answered where a zip should be."""
    return lambda _: at_start(lambda: candles_of(content, "archive spot BTCUSDT 1h"))


def no_network(place: Place) -> Told:
    wanted = Wanted(Stretch("BTCUSDT", "1h", START_MS, START_MS + 24 * HOUR_MS), ("spot",))
    clock = Clock(origin_ms=START_MS + 90 * 24 * HOUR_MS)
    sources = Sources("http://127.0.0.1:1", Binance(Access(clock)), clock, Console(file=io.StringIO()))

    def work() -> int:
        asyncio.run(fetch(place.home, wanted, sources, lambda _: None))
        return 0

    return command(work)


def carry_without_spot(place: Place) -> Told:
    write_layout(place.folder, [synthetic_market(Plan(bars=50)).perp])
    return carry_on(place, place.folder)


def carry_on(place: Place, market: Path) -> Told:
    return backtest_of(CARRY, place, market)


def basis_without_spot(place: Place) -> Told:
    write_layout(place.folder, [synthetic_market(Plan(bars=50)).perp])
    return backtest_of(BASIS, place, place.folder)


def backtest_of(text: str, place: Place, market: Path) -> Told:
    path = place.folder / "mine.json"
    path.write_text(text)
    return command(lambda: run_backtest(str(path), market, None, None))


def with_times(change: Callable[[NDArray[np.int64]], NDArray[np.int64]]) -> Give:
    """A tape whose times are other than they should be, as a program of ours might make it."""

    def give(_: Place) -> Told:
        made = synthetic_market(Plan(bars=50)).spot
        return at_start(lambda: make_tape(replace(made, open_time_ms=change(made.open_time_ms))))

    return give


def imported_universe(text: str) -> Give:
    """A saved answer of the venue, in a home that knows three contracts of the day before."""

    def give(place: Place) -> Told:
        UniverseStore(place.home.tapes).save(listed(0, perp("AAAUSDT"), perp("BBBUSDT"), perp("CCCUSDT")))
        path = place.folder / "saved.json"
        path.write_text(text)
        return command(lambda: universe.run_import([path], None, partial=False))

    return give


CUT_DOWN = json.dumps({"serverTime": day(1), "symbols": [perp("AAAUSDT")]})


def torn_parquet(place: Place) -> Told:
    (place.folder / "spot_BTCUSDT_1h.parquet").write_bytes(b"PAR1 and then the disk was full")
    return command(lambda: run_import(place.folder, "BTCUSDT", "1h"))


def intents_rubbish(place: Place) -> Told:
    place.home.intents_file.write_text('{"kind": "order"}\n{"kind": "done"}\n')
    return at_start(lambda: Intents(place.home.intents_file))


def positions_rubbish(place: Place) -> Told:
    place.home.positions_file.write_text('{"schema": 1, "sequence": "many"}')
    return at_start(lambda: PositionStore(place.home.positions_file, Intents(place.home.intents_file)))


def traced_positions(place: Place) -> Told:
    place.home.positions_file.write_text('{"schema": 1, "closed": [{"id": "c-1"}]}')
    return command(run_fills)


def double_key() -> str:
    return json.dumps(DIPS).replace('"name": "Dips"', '"name": "Dips", "name": "Peaks"')


BAD_INPUTS = (
    # rules
    Case("`rsj(14) < 28`", "rule", with_rule("rsj(14) < 28")),
    Case("`rsi(14) <`", "rule", with_rule("rsi(14) <")),
    Case("`rsi(0) < 28`", "rule", with_rule("rsi(0) < 28")),
    Case("`rsi(14) == 28`", "rule", with_rule("rsi(14) == 28")),
    Case("`close < sma(20) @ 4hours`", "rule", with_rule("close < sma(20) @ 4hours")),
    Case("`close < sma(20) @ 15m` on hours", "rule", with_rule("close < sma(20) @ 15m")),
    Case("`__import__('os')`", "rule", with_rule("__import__('os')")),
    # strategy files
    Case("a key that is none", "strategy file", spec_file(json.dumps({**DIPS, "nmae": "Dips"}))),
    Case("`NaN` for a number", "strategy file", with_risk(stop_loss_atr=float("nan"))),
    Case("a key twice", "strategy file", spec_file(double_key())),
    Case("leverage 50", "strategy file", with_risk(leverage=50)),
    Case("position of -5 %", "strategy file", with_risk(position_pct=-5)),
    Case("an id of another type", "strategy file", spec_file(json.dumps({**DIPS, "type": "momentum"}))),
    Case("a carry with rules", "strategy file", spec_file(json.dumps({**DIPS, "type": "funding_carry"}))),
    Case("half a file", "strategy file", spec_file(json.dumps(DIPS)[:100])),
    Case("no such file", "`lab backtest`", lambda place: typed(place, "backtest", "none.json")),
    Case("an unknown id", "`lab verify`", lambda place: typed(place, "verify", "mr-99")),
    Case("a strategy file torn by another program", "`strategies/`", broken_strategy),
    # settings
    Case("a setting that is none", "`lab.yaml`", settings("risk: {trade_pc: 3}\n")),
    Case("a setting out of range", "`lab.yaml`", settings("risk: {trade_pct: -3}\n")),
    Case("a setting of another kind", "`lab.yaml`", settings("paper: {fee_pct: cheap}\n")),
    Case("a setting twice", "`lab.yaml`", settings("risk: {trade_pct: 3, trade_pct: 4}\n")),
    Case("not YAML", "`lab.yaml`", settings("risk: [\n")),
    Case("not text", "`lab.yaml`", settings(b"risk: \xff\xfe\n")),
    # secrets
    Case("a name that is none", "`.env`", secrets("TELEGRAM_TOKN=1\n")),
    Case("half a pair of keys", "`.env`", secrets("BINANCE_API_KEY=1\n")),
    Case("readable by others", "`.env`", secrets("KILL=0\n", mode=0o644)),
    Case("`LIVE_TRADING=maybe`", "`.env`", secrets("LIVE_TRADING=maybe\n")),
    Case("`LAB_HOME` that is not there", "environment", lambda p: typed(p, "verify-audit", home=p.folder / "none")),
    # command lines
    Case("`--days 0`", "`lab demo`", lambda place: typed(place, "demo", "--days", "0")),
    Case("`lab frobnicate`", "command line", lambda place: typed(place, "frobnicate")),
    Case("`--tape` that is not there", "`lab backtest`", lambda place: carry_on(place, place.folder / "none")),
    Case("an id that nobody has", "`lab evidence`", lambda place: typed(place, "evidence", "mr-20200101-ffffff")),
    Case("`--json` in a folder that is not there", "`lab calibrate`",
         lambda place: typed(place, "calibrate", "--quick", "--json", "none/figures.json")),
    Case("`--tape` without a market in it", "`lab calibrate`",
         lambda place: typed(place, "calibrate", "--quick", "--tape", str(place.folder))),
    Case("`--from yesterday`", "`lab backtest`", lambda p: typed(p, "backtest", "x.json", "--from", "yesterday")),
    Case("`--interval 7m`", "`lab history fetch`",
         lambda p: typed(p, "history", "fetch", "BTCUSDT", "--from", "2024-01-01", "--interval", "7m")),
    Case("`--start noon`", "`python -m sandbox`",
         lambda p: typed(p, "--tape", "x", "--symbol", "BTCUSDT", "--start", "noon", program="sandbox")),
    Case("an unknown id", "`approve_strategy.py`", lambda place: typed(place, "fc-1", program="ops.approve_strategy")),
    Case("a strategy that is not in review", "`approve_strategy.py`", not_in_review),
    Case("a second service in one home", "`lab run`", second_service),
    # recorded markets
    Case("no such folder", "`lab history import`",
         lambda place: command(lambda: run_import(place.folder / "none", "BTCUSDT", "1h"))),
    Case("symbol and folder swapped", "`lab history import`",
         lambda place: command(lambda: run_import(Path("btcusdt"), str(place.folder), "1h"))),
    Case("a symbol with a stroke", "`lab history import`",
         lambda place: command(lambda: run_import(place.folder, "Btc/Usdt", "1h"))),
    Case("a symbol that is not on the shelf", "`lab history show`",
         lambda place: command(lambda: history_show.run_show("NOPE"), also=True)),
    Case("an empty folder", "`lab history import`",
         lambda place: command(lambda: run_import(place.folder, "BTCUSDT", "1h"))),
    Case("a torn Parquet file", "recorded market", torn_parquet),
    Case("a price that is no number", "recorded market", tape(close=[100, float("nan"), 100, 100, 100])),
    Case("a price of 0", "recorded market", tape(low=[99, 99, 0, 99, 99])),
    Case("a high below the close", "recorded market", tape(close=[100, 100, 105, 100, 100])),
    Case("a bar between the hours", "recorded market",
         tape(open_time=[START_MS + int(HOUR_MS * hours) for hours in (0, 1, 2.5, 3, 4)])),
    Case("bars out of order", "tape", with_times(lambda times: times[::-1])),
    Case("a bar twice", "tape", with_times(lambda times: np.maximum(times, times[1]))),
    Case("a carry without its spot leg", "`lab backtest`", carry_without_spot),
    Case("rules of the basis without spot", "`lab backtest`", basis_without_spot),
    Case("something that is no zip", "public archive", archive_says(b"<html>Bad gateway</html>")),
    Case("a month that is not there", "public archive", archive_says(b"<Error><Code>NoSuchKey</Code></Error>")),
    Case("no network", "`lab history fetch`", no_network),
    Case("a document that is none of the venue's", "`lab universe import`", imported_universe('{"code": -1121}')),
    Case("an exchange info that was cut down", "`lab universe import`", imported_universe(CUT_DOWN)),
    # files of state
    Case("half a heartbeat", "`state/heartbeat.json`", broken_heartbeat),
    Case("a list", "`state/schedule.json`", broken_schedule),
    Case("not a book of positions", "`state/current_positions.json`", positions_rubbish),
    Case("a position without its fields", "`lab trace fills`", traced_positions),
    Case("a line that is no order", "`state/intents.jsonl`", intents_rubbish),
    Case("another program's counters", "`state/risk_counters.json`",
         state_file("risk_counters.json", '{"schema": 99}', lambda h: RiskCounters(h.state / "risk_counters.json"))),
    Case("a ratio that is none", "`state/learned_fills.json`",
         state_file("learned_fills.json", '{"schema": 1, "as_of_ms": "yesterday"}', read_learned)),
    Case("not a database", "`state/ai_learning.db`",
         state_file("ai_learning.db", "a note to myself, written over the ledger" * 20,
                    lambda home: LearningDb(home.learning_db))),
    Case("emptied, where ideas were judged", "`state/ai_learning.db`", emptied_memory),
    Case("an address that is none of PostgreSQL", "`LEARNING_DB_URL`",
         lambda place: command(lambda: LearningDb("mysql://lab:a-password@host/lab"))),
    Case("a server that is not there", "`LEARNING_DB_URL`",
         lambda place: command(lambda: LearningDb("postgresql://lab:a-password@127.0.0.1:1/lab"))),
    Case("not an account", "`state/paper/ID.json`",
         state_file("paper/fc-20240601-000000.json", '{"schema": 1, "equity_quote": "much"}',
                    lambda home: load_account(home, account_path(home, "fc-20240601-000000").stem))),
    Case("a verdict that is none", "`state/evidence/ID.json`", broken_evidence),
    Case("readable by others", "`state/approval.key`", open_key),
    Case("not a key", "`state/approval.key`",
         state_file("approval.key", "secret", lambda home: home.state.joinpath("approval.key").chmod(0o600)
                    or load_key(home.state / "approval.key"))),
    Case("an edited line", "`lab verify-audit`", edited_audit),
    Case("an edited last line", "`state/audit.jsonl`, at the start", edited_audit_at_start),
    Case("a line of rubbish", "`lab trace decisions`", rubbish_in_audit),
    # answers from outside
    Case("not JSON", "language model", model_says("Sure! Here are some ideas:")),
    Case("an idea without a thesis", "language model", model_says(NO_THESIS)),
    Case("a token that is not ours", "Telegram", wrong_token),
)  # fmt: skip

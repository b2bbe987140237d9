"""Homes for `benchmarks/page.py` to show: nothing ever ran, a small lab, and a year of a busy one.

Written by the lab's own writers. Of the year only the audit file is not: half a million fsynced lines take an hour, so
some of its lines are written by the audit log and repeated with later times; their hashes do not chain, and the page
does not look at them.
"""

from __future__ import annotations

import json
from pathlib import Path

from ai_brain.evidence.graveyard import Burial, Graveyard
from ai_brain.evidence.trial_ledger import Trial, TrialLedger
from ai_brain.learning_db import LearningDb
from ops.numbers import Account, Holding, LastDecision, Numbers
from trading.domain.clock import Clock, iso, parse_iso
from trading.domain.decisions import Reason
from trading.journal.audit import AuditLine, AuditLog, CycleStatus
from trading.risk.counters import RiskCounters
from trading.storage.files import write_json
from trading.storage.home import Home

START_MS = parse_iso("2025-01-01")
MINUTE_MS, DAY_CYCLES, YEAR_DAYS = 60_000, 1440, 365
IDEAS, RETIRED, LOG_LINES = 20_000, 20_000, 60_000
LIVE = Account("live", 1012.5, 812.25, 200.5, -0.25, 0.3125, 0.4321, 1000.0)
PAPER = Account("paper fc-20250101-000001", 10_010.0, 10_010.0, 0.0, 0.0, 11.2, 8.9, 10_000.0)


def small_home(root: Path) -> Home:
    """A lab that runs since a day: one live account, one on paper."""
    home = Home(root).make()
    log = AuditLog(home.audit_file)
    for n in range(120):
        log.append(_cycle(n))
    _counters(home, 120)
    write_json(home.heartbeat_file, _numbers(120).to_json() | {"pid": 1}, schema=1)
    _strategies(home, 12)
    _memory(home, 40)
    _log(home, 200)
    return home


def large_home(root: Path) -> Home:
    """A year of cycles a minute apart, tens of thousands of ideas, most of them retired, a full log."""
    home = small_home(root)
    home.audit_file.unlink()
    log = AuditLog(home.audit_file)
    for n in range(60):
        log.append(_cycle(n))
    lines = home.audit_file.read_text().splitlines()
    with home.audit_file.open("w") as file:
        for day in range(YEAR_DAYS):
            file.write("".join(_later(lines, day * DAY_CYCLES + n) for n in range(DAY_CYCLES)))
    _strategies(home, RETIRED)
    _memory(home, IDEAS)
    _log(home, LOG_LINES)
    return home


def _later(lines: list[str], n: int) -> str:
    """A line with the time, and an equity, of the n-th cycle."""
    at_ms = START_MS + n * MINUTE_MS
    told = lines[n % len(lines)].partition(',"config_sha256"')[2]
    moved = told.replace('"equity_quote":"1000"', f'"equity_quote":"{1000 + n * 1e-4 + n % 97 * 0.01:.4f}"')
    return f'{{"at_ms":{at_ms},"config_sha256"{moved}\n'


def _cycle(n: int) -> AuditLine:
    is_trade = n % 40 == 7
    check = {"reason": "DAILY_LOSS", "allowed": True, "value": 0.001 * (n % 9), "limit": 0.03, "note": ""}
    return AuditLine(
        at_ms=START_MS + n * MINUTE_MS,
        mode="live",
        status=CycleStatus.EXECUTED if is_trade else CycleStatus.NO_TRADE,
        reason=Reason.OK if is_trade else Reason.HOLDING,
        config_sha256="76d1789694a9",
        data_sha256="d" * 64,
        data_quality=97.0 if n % 31 else 40.0,
        stage_s={"books": 0.05, "live": 0.1, "market": 0.02},
        regime="calm up",
        signals=[
            {"strategy_id": PAPER.kind.partition(" ")[2], "equity_quote": 10_000.0 + n, "holding": "carry BTCUSDT"}
        ],
        risk={
            "allowed": False,
            "reason": "HOLDING",
            "value": 11,
            "limit": 21,
            "note": "expected 14 % a year",
            "checks": [check] * 8,
        },
        equity={"equity_quote": "1000", "cash_quote": "812.25", "positions": []},
        note="market: live",
    )


def _numbers(n: int) -> Numbers:
    return Numbers(
        at_ms=START_MS + n * MINUTE_MS,
        market="live",
        accounts=(LIVE, PAPER),
        holdings=(Holding("fc-20250101-000001", "carry BTCUSDT: spot 0.006, perpetual -0.006, funding +0.3125"),),
        stages={"live_testing": 1},
        best=None,
        data_quality=97.0,
        last=LastDecision(START_MS + n * MINUTE_MS, "NO_TRADE", "HOLDING", 11.0, 21.0, "expected 14 % a year"),
        no_trade_reasons={"HOLDING": 1400, "FUNDING_TOO_LOW": 30},
        next_action="the next live cycle",
        waiting_for_human=(),
        uptime_s=86_400.0,
        ideas_tried=118,
        rss_mb=312.4,
        regime="calm up",
    )


def _counters(home: Home, cycles: int) -> None:
    counters = RiskCounters(home.state / "risk_counters.json")
    for n in (0, cycles // 2, cycles):
        counters.mark(1000.0 - n * 0.1, START_MS + n * MINUTE_MS)


def _strategies(home: Home, count: int) -> None:
    for n in range(count):
        stage, folder = (
            ("live_testing", "active") if n == 0 else ("review", "testing") if n == 1 else ("retired", "retired")
        )
        moves = ({"from": "generated", "to": "backtesting", "at": iso(START_MS), "by": "lab", "why": "meets the gate"},)
        told = {
            "id": f"fc-20250101-{n:06x}",
            "name": f"Collect funding, variant {n}",
            "type": "funding_carry",
            "market": {"exchange": "binance", "symbol": "BTC/USDT:USDT", "timeframe": "1h"},
            "parameters": {"entry_apr_pct": 6.0},
            "performance": {"dry_run": {"results": 30, "net_return": 0.001, "mean_low": -1e-4, "mean_high": 2e-4}},
            "stage": stage,
            "status": "testing",
            "created_at": iso(START_MS + n * MINUTE_MS),
            "approved_at": iso(START_MS) if n == 0 else None,
            "origin": {"author": "library", "thesis": "Longs pay for leverage."},
            "history": [*moves, {**moves[0], "from": "backtesting", "to": stage, "why": "REJECTED: LOST_ON_SEARCH"}],
        }
        (home.strategies / folder / f"{told['id']}.json").write_text(json.dumps(told))


def _memory(home: Home, count: int) -> None:
    db = LearningDb(home.learning_db)
    try:
        trials = [
            Trial(
                "evaluator", "momentum", f"mo-{n}", f"{n:064x}", "d" * 64, "search", 0, 3_600_000, 5000, 8760.0, 0.01,
                0.0, 3.0, 12.0, 0.03, 40,
            )
            for n in range(count)
        ]  # fmt: skip
        TrialLedger(db, Clock()).record(trials)
        reasons = ("LOST_ON_SEARCH", "WEAK_ON_SEARCH", "TOO_FEW_SIGNALS")
        stones = [
            Burial(f"{n:064x}", f"mo-{n}", f"Idea {n}", reasons[n % 3], "Net return -1.8 %.") for n in range(count)
        ]
        for begin in range(0, count, 10_000):
            Graveyard(db, Clock()).bury(stones[begin : begin + 10_000])
    finally:
        db.close()


def _log(home: Home, count: int) -> None:
    names = ("job.cycle", "carry.funding_booked", "data.blocked", "paper.equity", "notify.sent", "risk.halted")
    lines = (
        f'at={iso(START_MS + n * MINUTE_MS)} level=info event={names[n % 6]} fact_n={n} fact_note="of cycle {n}"\n'
        for n in range(count)
    )
    home.log_file.write_text("".join(lines))

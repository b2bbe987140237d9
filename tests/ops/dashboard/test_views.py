"""Every other view from files that the lab's own writers wrote: empty, small, long, broken; and nothing written."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from ai_brain.evidence.graveyard import Burial, Graveyard
from ai_brain.evidence.memory_glance import glance
from ai_brain.evidence.trial_ledger import TrialLedger
from ai_brain.evidence.verdict import Verdict
from ai_brain.learning_db import LearningDb
from ops.dashboard import audit, cycles, data, events, funding, health, ideas, risk, strategies, strategy
from ops.dashboard.cycles import Wanted
from ops.dashboard.html import block_html
from ops.dashboard.outcomes import OUTCOMES
from ops.dashboard.risk import used
from ops.dashboard.view import (
    Cell,
    Chart,
    Facts,
    Figures,
    Line,
    Meters,
    Table,
    Tone,
    View,
    fine,
    money,
    number,
    percent,
    when,
)
from ops.dashboard.views import BY_KEY, Asked, look
from ops.door import ROOT
from ops.logs import set_up_logs
from ops.pictures.commission import shown
from ops.resident import peak_rss_mb
from ops.status import ALIVE_S, read_status
from tests.ai_brain.evidence.test_trial_ledger import TRIAL
from tests.ops.dashboard.rooms import MINUTE_MS, beat, client, everything, line
from tests.ops.dashboard.rooms import cycles as write_cycles
from tests.ops.papers import put_in_review
from tests.ops.test_reports import AT_MS, FULL, PAPER
from tests.ops.test_trace import live_position
from trading.domain.clock import Clock
from trading.domain.decisions import Decision, Reason
from trading.domain.errors import StateFileError
from trading.domain.hedge import ContractTerms
from trading.execution.intents import Intents
from trading.funding.hedge_memory import HedgeMemory
from trading.funding.position import ClosedPosition, PositionStore, Settled
from trading.journal.audit import AuditLog, CycleStatus
from trading.market.importers import SETTLEMENT
from trading.market.parquet import write_parquet
from trading.risk.counters import RiskCounters
from trading.storage.home import Home

HOUR_MS = 3_600_000


def block(view: View, title: str) -> Table | Facts | Chart | Meters:
    return next(b for b in view.blocks if isinstance(b, Table | Facts | Chart | Meters) and b.title.startswith(title))


def table(view: View, title: str) -> list[tuple[str, ...]]:
    found = block(view, title)
    assert isinstance(found, Table)
    return [tuple(cell.text for cell in row) for row in found.rows]


def facts(view: View, title: str) -> dict[str, Cell]:
    found = block(view, title)
    assert isinstance(found, Facts)
    return dict(found.rows)


def meters(view: View, title: str) -> dict[str, str]:
    found = block(view, title)
    assert isinstance(found, Meters)
    return {meter.name: meter.told for meter in found.meters}


# the audit trail


def trail(home: Home, wanted: Wanted = Wanted(), *, before: int | None = None, limit: int = 50) -> audit.Trail:  # noqa: B008  # frozen
    return audit.read_trail(home, wanted, before=before, limit=limit)


def test_the_trail_is_newest_first_and_pages_meet_without_gap_or_repeat(home: Home) -> None:
    write_cycles(home, 23)
    seen, before = list[int](), None
    while True:
        page = trail(home, before=before, limit=5)
        seen += [cycle.at_ms for _, cycle in page.found.cycles]
        if (before := page.found.older) is None:
            break
    assert seen == [AT_MS + n * MINUTE_MS for n in range(23)][::-1]


def test_the_trail_is_narrowed_by_the_cycles_own_status_and_reason(home: Home) -> None:
    log = AuditLog(home.audit_file)
    order = {"client_id": "x", "status": "EXECUTED", "market": "spot"}
    log.append(line(0, orders=[order]))
    log.append(line(1, status=CycleStatus.EXECUTED, reason=Reason.OK, note="closed c-000017"))
    log.append(line(2, risk={"reason": "HOLDING", "checks": [{"reason": "DAILY_LOSS", "allowed": True}]}))
    assert [c.at_ms for _, c in trail(home, Wanted(status="EXECUTED")).found.cycles] == [AT_MS + MINUTE_MS]
    assert trail(home, Wanted(reason="DAILY_LOSS")).found.cycles == ()
    assert len(trail(home, Wanted(text="C-000017")).found.cycles) == 1


def test_a_search_stops_after_its_share_of_the_file_and_says_so(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cycles(home, 30)
    monkeypatch.setattr(cycles, "SEARCH_BYTES", 5_000)
    page = trail(home, Wanted(text="nowhere"))
    assert page.found.cycles == ()
    assert 5_000 <= page.found.looked_bytes < 7_000
    view = audit.trail(page)
    assert "Older goes on from there" in view.banners[0].text
    assert page.found.older is not None


def test_one_cycle_is_told_with_every_rule_order_and_fill(home: Home) -> None:
    order = {"client_id": "lab-1", "market": "spot", "average_price": None}
    fill = {
        "venue_trade_id": "7", "venue_order_id": "9", "market": "spot", "symbol": "BTCUSDT", "side": "buy",
        "quantity_base": "0.002", "price": "94000.5", "fee": "0.19", "fee_asset": "USDT", "ours": True,
    }  # fmt: skip
    checks = [{"reason": "DAILY_LOSS", "allowed": False, "value": 0.04, "limit": 0.03, "note": "of the day's start"}]
    asked = {"reason": "DAILY_LOSS", "checks": checks}
    AuditLog(home.audit_file).append(line(0, orders=[order], fills=[fill], risk=asked))
    offset = trail(home).found.cycles[0][0]
    view = audit.one(audit.read_one(home.audit_file, offset))
    assert table(view, "Every rule") == [("DAILY_LOSS", "refuses", "0.04", "0.03", "of the day's start")]
    assert set(table(view, "Orders")[0]) == {"lab-1", "spot", "–"}
    assert table(view, "Fills") == [("7", "spot BTCUSDT", "buy", "0.002", "94000.5", "0.19 USDT")]
    assert facts(view, "What it decided")["Equity"].text == "1,000.00 USDT"
    assert "no cycle begins there" in audit.one(audit.read_one(home.audit_file, offset + 3)).banners[0].text


def test_lines_that_are_none_are_counted_and_the_rest_is_told(home: Home) -> None:
    write_cycles(home, 3)
    with home.audit_file.open("a") as file:
        file.write("rubbish\n" + json.dumps({"at_ms": 1}) + "\n")
    page = trail(home)
    assert (len(page.found.cycles), page.found.unreadable) == (3, 2)
    assert "run ./lab verify-audit" in audit.trail(page).banners[0].text


# events


def logged(home: Home, *names: str, secrets: tuple[str, ...] = ()) -> None:
    """Lines as the lab's log has them."""
    import structlog

    set_up_logs(home.log_file, clock=Clock(), secrets=(), to_console=False)
    log = structlog.get_logger("test")
    for name in names:
        log.info(name, event_ms=1, fact_note='she said "no"', fact_value=0.5, fact_secret=" ".join(secrets))


def test_events_are_newest_first_each_with_the_word_of_its_kind(home: Home) -> None:
    logged(home, "carry.opened", "data.blocked", "risk.halted", "something.new", "notify.sent")
    view = events.events(events.read_events(home, events.Sought()))
    assert [row[1:3] for row in table(view, "Events")] == [
        ("message", "notify.sent"), ("other", "something.new"), ("stop", "risk.halted"), ("data", "data.blocked"),
        ("money", "carry.opened"),
    ]  # fmt: skip
    assert 'note="she said \\"no\\""  value=0.5' in table(view, "Events")[0][3]
    names = [row[2] for row in block(view, "Events").rows]  # type: ignore[union-attr]  # a table
    assert all(cell.signed for cell in names)
    only = events.read_events(home, events.Sought(kind="data"))
    assert [event.name for event in only.events] == ["data.blocked"]


@pytest.mark.parametrize(
    ("name", "level", "facts", "tone"),
    [
        ("strategy.not_judged", "info", "reason=NOTHING_PROVABLE", Tone.QUIET),
        ("strategy.judged", "info", "verdict=APPROVED", Tone.GOOD),
        ("strategy.judged", "info", "verdict=REJECTED", Tone.QUIET),
        ("carry.refused", "info", "reason=FUNDING_TOO_LOW", Tone.QUIET),
        ("carry.opened", "info", "", Tone.MONEY),
        ("carry.margin_low", "info", "", Tone.CAUTION),
        ("stop.seen", "warning", "", Tone.BAD),
        ("stop.flat", "info", "", Tone.GOOD),
        ("parity.differs", "warning", "", Tone.BAD),
        ("paper.trade_opened", "warning", "", Tone.CAUTION),
        ("paper.trade_opened", "error", "", Tone.BAD),
        ("job.cycle", "info", "job=loop  outcome=done", Tone.QUIET),
        ("job.cycle", "info", "job=loop  outcome=DataProviderError:", Tone.CAUTION),
    ],
)
def test_an_event_is_signed_by_what_came_of_it(name: str, level: str, facts: str, tone: Tone) -> None:
    assert events.Happened("", level, name, facts).tone is tone


def test_every_event_that_has_an_outcome_is_told_somewhere() -> None:
    code = "".join(
        path.read_text() for floor in ("ops", "ai_brain", "src/trading") for path in (ROOT / floor).rglob("*.py")
    )
    names = set().union(*OUTCOMES.values())
    assert sorted(name for name in names if code.count(f'"{name}"') < 2) == []


def test_events_go_on_into_the_older_files_after_a_rotation_between_two_pages(home: Home) -> None:
    logged(home, *(f"paper.n{n}" for n in range(10)))
    first = events.read_events(home, events.Sought(), limit=4)
    home.log_file.rename(home.log_file.with_name("ai_lab.log.1"))
    logged(home, "paper.n10")
    names = [event.name for event in first.events]
    older = first.older
    while older:
        page = events.read_events(home, events.Sought(before=older), limit=4)
        names += [event.name for event in page.events]
        older = page.older
    assert names == [f"paper.n{n}" for n in range(10)][::-1]
    assert len(events.read_events(home, events.Sought()).events) == 11


def test_a_secret_in_the_log_is_taken_out_once_more(home: Home) -> None:
    logged(home, "lab.started", secrets=("hunter2hunter2", "bot12345678:AAAAAAAAAAAAAAAAAAAAAAAAAAA"))
    told = events.read_events(home, events.Sought(), secrets=("hunter2hunter2",))
    assert "hunter2" not in told.events[0].facts
    assert "AAAA" not in told.events[0].facts
    assert told.events[0].facts.count("***") == 2


def test_a_traceback_in_the_log_is_no_event(home: Home) -> None:
    logged(home, "job.bug")
    with home.log_file.open("a") as file:
        file.write("Traceback (most recent call last):\n  at=nowhere event=none\n")
    assert [event.name for event in events.read_events(home, events.Sought()).events] == ["job.bug"]


# risk


def test_of_each_limit_is_told_how_much_is_used_and_what_is_near_or_reached() -> None:
    assert used("x", 1.0, 4.0, "1 of 4").tone is Tone.PLAIN
    assert (used("x", 3.3, 4.0, "3.3 of 4").tone, used("x", 3.3, 4.0, "3.3 of 4").told) == (
        Tone.CAUTION,
        "3.3 of 4: near",
    )
    assert used("x", 4.0, 4.0, "4 of 4").told == "4 of 4: REACHED"


def test_risk_is_read_from_counters_limits_and_the_last_answers(home: Home) -> None:
    counters = RiskCounters(home.state / "risk_counters.json")
    counters.mark(1000.0, AT_MS)
    counters.mark(975.0, AT_MS + MINUTE_MS)
    log = AuditLog(home.audit_file)
    for n, value in enumerate((0.01, 0.025)):
        check = {"reason": "DAILY_LOSS", "allowed": True, "value": value, "limit": 0.03, "note": ""}
        log.append(line(n, risk={"reason": "OK", "checks": [check]}))
    home.settings_file.write_text("risk:\n  daily_loss_pct: 3.0\nventures: {}\n")
    view = risk.risk(risk.read_risk(home))
    told = meters(view, "Used of the account")
    assert told["Loss today"] == "2.500 % of 3 %: near"
    assert told["Fall from the peak, until review"] == "2.500 % of 10 %"
    assert told["Trades today"] == "0 of 20"
    assert table(view, "What each rule")[0][:5] == ("DAILY_LOSS", "allows", "2.5 %", "3 %", "83.3 %")
    fixed = {name: cell.text for name, cell in facts(view, "Limits as lab.yaml").items()}
    assert (fixed["daily_loss_pct"], fixed["min_notional_usdt"], fixed["cooldown_after_loss_s"]) == (
        "3 %",
        "5 USDT",
        "3,600 s",
    )
    assert (fixed["leverage"], fixed["trades_per_day"]) == ("1×", "20 a day")
    counters.halt(Decision(False, Reason.DAILY_LOSS, 0.04, 0.03), AT_MS)
    assert "HALTED" in risk.risk(risk.read_risk(home)).banners[-1].text


def test_a_rule_that_is_asked_of_several_things_is_shown_for_each(home: Home) -> None:
    checks = [
        {"reason": "COOL_DOWN", "allowed": True, "value": 2400, "limit": 300, "note": "since the last fill"},
        {"reason": "COOL_DOWN", "allowed": False, "value": 2400, "limit": 172800, "note": "since the last loss"},
        {"reason": "FIRST_LIVE_SIZE", "allowed": True, "value": 200, "limit": 500, "note": "first_live_pct"},
        {"reason": "FIRST_LIVE_SIZE", "allowed": False, "value": 300, "limit": 250, "note": "first_live_usdt"},
        {"reason": "STRESS_LOSS", "allowed": False, "value": 300, "limit": 250, "note": "of what is held: covid"},
    ]
    AuditLog(home.audit_file).append(line(0, risk={"reason": "COOL_DOWN", "checks": checks}))
    rows = table(risk.risk(risk.read_risk(home)), "What each rule")
    assert [(row[0], row[1], row[3]) for row in rows] == [
        ("COOL_DOWN", "allows", "300 s"),
        ("COOL_DOWN", "refuses", "172,800 s"),
        ("FIRST_LIVE_SIZE", "allows", "500.00 USDT"),
        ("FIRST_LIVE_SIZE", "trims", "250.00 USDT"),
        ("STRESS_LOSS", "refuses", "250.00 USDT"),
    ]


def test_what_is_held_is_shown_against_the_limits_until_it_is_closed(home: Home) -> None:
    held = {"reason": "POSITION_SIZE", "allowed": True, "value": 226.0, "limit": 280.0, "note": "of what is held"}
    crash = {"reason": "STRESS_LOSS", "allowed": True, "value": 9.0, "limit": 90.0, "note": "of what is held: covid"}
    log = AuditLog(home.audit_file)
    log.append(line(0, risk={"reason": "HOLDING", "checks": [held, crash]}))
    told = meters(risk.risk(risk.read_risk(home)), "Used of the limits on what is held")
    assert told == {
        "One position": "226.00 of 280.00 USDT: near",
        "Loss in the worst crash on record": "9.00 of 90.00 USDT",
    }
    log.append(line(1, risk={"reason": "NOT_ARMED", "checks": []}))
    view = risk.risk(risk.read_risk(home))
    assert meters(view, "Used of the limits on what is held") == {}


def test_market_data_shows_each_symbol_the_worst_first(home: Home) -> None:
    markets = [
        {"symbol": "ETHUSDT", "quality": 100.0, "age_s": 61.0},
        {"symbol": "BTCUSDT", "quality": 0.0, "age_s": None},
    ]
    beat(home, markets=markets)
    rows = table(data.data(data.read_data(home)), "Markets, the worst first")
    assert rows == [("BTCUSDT", "0 of 100", "never"), ("ETHUSDT", "100 of 100", "61 s ago")]
    write_cycles(home, 1)
    rows = table(data.data(data.read_data(home), age_s=ALIVE_S + 1), "Markets, the worst first")
    assert rows[0] == ("BTCUSDT", "was 0 of 100", "never")
    assert rows[1] == ("ETHUSDT", "was 100 of 100", when(AT_MS - 61_000)), "of a dead lab nothing is 61 s old"


def test_risk_without_counters_or_with_a_broken_lab_yaml_is_told_as_not_known(home: Home) -> None:
    view = risk.risk(risk.read_risk(home))
    assert block(view, "Used of").empty == "nothing has been traded live here yet"  # type: ignore[union-attr]
    home.settings_file.write_text("risk:\n  daily_loss_pct: lots\n")
    RiskCounters(home.state / "risk_counters.json").mark(1.0, AT_MS)
    view = risk.risk(risk.read_risk(home))
    assert "daily_loss_pct" in view.banners[0].text
    assert meters(view, "Used of") == {}


# strategies


def test_strategies_are_listed_with_stage_paper_and_verdict(home: Home) -> None:
    spec = put_in_review(home)
    put_in_review(home, verdict=Verdict.REJECTED, number=1)
    view = strategies.strategies(strategies.read_strategies(home))
    rows = table(view, "Alive")
    assert (rows[0][0], rows[0][2], rows[0][6]) == (spec.id, "review", "APPROVED")
    assert rows[1][6] == "REJECTED"
    assert meters(view, "By stage")["review"] == "2"
    assert table(strategies.strategies(strategies.read_strategies(home, "nothing like it")), "Alive") == []


def test_what_the_gate_could_not_judge_waits_apart_from_what_it_refused(home: Home) -> None:
    spec = put_in_review(home)
    path = next(home.strategies.glob(f"*/{spec.id}.json"))
    evidence = home.state / "evidence"
    told, judged = json.loads(path.read_text()), json.loads((evidence / f"{spec.id}.json").read_text())
    for n in range(strategies.SHOWN + 20):
        name = f"mo-20260101-{n:06x}"
        (path.parent / f"{name}.json").write_text(json.dumps({**told, "id": name, "stage": "generated"}))
        said = {**judged, "verdict": "REJECTED", "deciding": "NOTHING_PROVABLE"}
        (evidence / f"{name}.json").write_text(json.dumps(said))
    view = strategies.strategies(strategies.read_strategies(home))
    assert [row[0] for row in table(view, "Alive")] == [spec.id]
    waiting = table(view, "Waiting, not provable yet")
    assert len(waiting) == strategies.SHOWN
    assert {row[3] for row in waiting} == {"not judged: NOTHING_PROVABLE"}
    assert "The newest 100 of 120" in block(view, "Waiting").note  # type: ignore[union-attr]  # a table
    one = strategy.one(strategy.read_one(home, "mo-20260101-000000"))
    assert facts(one, "What it is")["Evidence"].text == "not judged: NOTHING_PROVABLE"


def test_of_thousands_of_retired_only_what_is_shown_is_opened(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = put_in_review(home)
    told = json.loads(next(home.strategies.glob(f"*/{spec.id}.json")).read_text()) | {"stage": "retired"}
    for n in range(strategies.SHOWN + 20):
        path = home.strategies / "retired" / f"mo-20260101-{n:06x}.json"
        path.write_text(json.dumps({**told, "id": path.stem, "name": f"Idea {n}"}))
        os.utime(path, (n, n))
    opened, plain = list[Path](), Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (opened.append(path), plain(path))[1])
    view = strategies.strategies(strategies.read_strategies(home))
    gone = table(view, "Retired")
    assert (gone[0][1], gone[-1][1], len(gone)) == ("Idea 119", "Idea 20", strategies.SHOWN)
    assert meters(view, "By stage")["retired"] == "120"
    assert "The newest 100 of 120" in block(view, "Retired").note  # type: ignore[union-attr]  # a table
    assert sum(path.parent.name == "retired" for path in opened) == strategies.SHOWN
    assert [row[1] for row in table(strategies.strategies(strategies.read_strategies(home, "idea 7")), "Retired")] == [
        f"Idea {n}" for n in (*range(79, 69, -1), 7)
    ]
    opened.clear()
    assert read_status(home, Clock()).stages == {"review": 1, "retired": 120}
    assert ideas.read_ideas(home).stages == {"review": 1, "retired": 120}
    assert [spec.id for spec in shown(home)] == [spec.id]
    assert not [path for path in opened if path.parent.name == "retired"]


def test_a_rate_of_few_results_is_not_told(home: Home) -> None:
    spec = put_in_review(home)
    path = next(home.strategies.glob(f"*/{spec.id}.json"))
    told = json.loads(path.read_text())
    told["performance"]["dry_run"] = {"results": 29, "net_return": 0.5, "mean_low": 0.0, "mean_high": 1.0}
    path.write_text(json.dumps(told))
    assert table(strategies.strategies(strategies.read_strategies(home)), "Alive")[0][3:6] == (
        "29",
        "not enough data",
        "–",
    )
    told["performance"]["dry_run"]["results"] = 30
    path.write_text(json.dumps(told))
    row = table(strategies.strategies(strategies.read_strategies(home)), "Alive")[0]
    assert row[3:6] == ("30", "+50.000 %", "0.0000 % to +100.0000 %")


def test_one_strategy_is_told_with_its_moves_and_every_question_of_the_gate(home: Home) -> None:
    spec = put_in_review(home)
    view = strategy.one(strategy.read_one(home, spec.id))
    assert facts(view, "What it is")["Waits for you"].text == f"python approve_strategy.py {spec.id}"
    assert [row[1] for row in table(view, "Life")] == [
        "generated → backtesting",
        "backtesting → dry_run",
        "dry_run → review",
    ]
    assert table(view, "Every question")[0][:2] == ("LOST_AT_DOUBLE_COST", "holds")


@pytest.mark.parametrize("wanted", ["no-such", "../../etc/passwd", "", "a" * 200])
def test_an_unknown_strategy_is_said_to_be_none_and_no_other_file_is_read(home: Home, wanted: str) -> None:
    assert "There is no strategy" in strategy.one(strategy.read_one(home, wanted)).banners[0].text


async def test_the_evidence_page_comes_from_a_process_of_its_own_and_says_why_there_is_none(home: Home) -> None:
    put_in_review(home)
    before = everything(home)
    async with client(home) as browser:
        unknown = await browser.get("/evidence/no-such")
        assert (unknown.status_code, "unknown; known: fc-" in unknown.text) == (404, True)
        assert (await browser.get("/evidence/..%2Fx")).status_code == 404
    assert everything(home) == before


# ideas


def test_the_funnel_and_the_graveyard_are_read_while_somebody_writes(home: Home) -> None:
    db = LearningDb(home.learning_db)
    TrialLedger(db, Clock()).record([TRIAL])
    Graveyard(db, Clock()).bury(
        [Burial(f"{n:064d}", f"mo-{n}", f"name {n}", "COST" if n else "LUCK", "1 > 0") for n in range(3)]
    )
    put_in_review(home)
    view = ideas.ideas(ideas.read_ideas(home))
    db.close()
    funnel = meters(view, "From idea to live")
    assert (funnel["Ideas tried on data"], funnel["On paper or beyond, now"], funnel["Live"]) == ("1", "1", "0")
    assert meters(view, "Refused") == {"COST": "2×", "LUCK": "1×"}
    narrowed = ideas.ideas(ideas.read_ideas(home, reason="COST", text="NAME 2"))
    assert [row[0] for row in table(narrowed, "Graveyard")] == ["name 2"]


def test_a_glance_at_the_memory_leaves_no_trace(home: Home) -> None:
    assert glance(home.learning_db) is None
    db = LearningDb(home.learning_db)
    TrialLedger(db, Clock()).record([TRIAL])
    db.close()
    before = everything(home)
    found = glance(home.learning_db)
    assert found is not None
    assert (found.ideas, found.looks) == (1, 1)
    assert everything(home) == before


def test_a_memory_that_is_none_or_elsewhere_is_said_to_be(home: Home) -> None:
    home.learning_db.write_text("no database")
    with pytest.raises(StateFileError, match="restore it from a backup"):
        glance(home.learning_db)
    assert "Cannot be read" in ideas.ideas(ideas.read_ideas(home)).banners[0].text
    assert "LEARNING_DB_URL" in ideas.ideas(ideas.read_ideas(home, elsewhere=True)).banners[0].text


# funding

NEXT_MS = (AT_MS // (8 * HOUR_MS) + 1) * 8 * HOUR_MS


def settled(home: Home, count: int) -> None:
    """A closed position with so many settlements, and all but the last on the shelf."""
    rates, marks = [0.0001 * (n + 1) for n in range(count)], [90_000.0] * count
    times = [AT_MS + n * 8 * HOUR_MS for n in range(count)]
    store = PositionStore(home.positions_file, Intents(home.intents_file))
    position = store.open(live_position(AT_MS - HOUR_MS))
    paid = tuple(
        Settled(at_ms, Decimal("0.002") * Decimal(str(mark)) * Decimal(str(rate)), Decimal("-0.002"), str(n))
        for n, (at_ms, rate, mark) in enumerate(zip(times, rates, marks, strict=True))
    )
    over = ClosedPosition(
        position.id, position.spec_id, "BTCUSDT", position.opened_ms, times[-1] + HOUR_MS, "OK", Decimal("-0.5"),
        sum((one.amount_quote for one in paid), Decimal(0)), Decimal("0.76"), count, 1.2, settled=paid,
    )  # fmt: skip
    store.close(over, at_ms=over.closed_ms)
    folder = home.tapes / "perp" / "BTCUSDT"
    folder.mkdir(parents=True)
    columns = (np.array(times[:-1], dtype=np.int64), np.array(rates[:-1]), np.array(marks[:-1]))
    write_parquet(folder / "funding.parquet", dict(zip(SETTLEMENT, columns, strict=True)))


def test_settlements_paid_are_told_beside_what_was_expected(home: Home) -> None:
    settled(home, 4)
    view = funding.carry(funding.read_carry(home))
    rows = table(view, "Settlements")
    assert len(rows) == 4
    assert rows[0][4:6] == ("not on the shelf", "–")
    assert rows[1][3:6] == ("+0.05400000", "+0.05400000", "0.00000000")
    figures = {figure.label: figure for figure in next(b for b in view.blocks if isinstance(b, Figures)).figures}
    assert figures["Paid − expected"].value == "0.0000 USDT"
    assert "n = 3" in figures["Paid − expected"].beside
    chart = block(view, "Funding, summed up")
    assert isinstance(chart, Chart)
    assert [line.name for line in chart.lines] == ["paid"]
    assert chart.lines[0].values[-1] == pytest.approx(0.18)
    assert table(view, "Closed")[0][-2:] == ("−0.5000", "1.2 s")


def test_what_is_held_and_no_cycle_has_read_is_told_by_the_lab_s_own_books(home: Home) -> None:
    store = PositionStore(home.positions_file, Intents(home.intents_file))
    store.open(live_position(AT_MS))
    view = funding.carry(funding.read_carry(home))
    found = block(view, "BTCUSDT: both legs")
    assert found.title == "BTCUSDT: both legs", "of no moment"
    assert [row[0] for row in table(view, "BTCUSDT: both legs")] == ["spot, long", "perpetual, short", "both together"]
    assert {row[2:] for row in table(view, "BTCUSDT: both legs")} == {("–", "–")}
    assert "held by the lab's own books, at no price" in found.note
    assert "not written down" not in str(facts(view, "BTCUSDT: margin"))


def test_both_legs_margin_and_basis_are_told_as_the_last_cycle_read_them(home: Home) -> None:
    store = PositionStore(home.positions_file, Intents(home.intents_file))
    store.open(live_position(AT_MS))
    held = {
        "symbol": "BTCUSDT", "spot_base": "0.002", "perp_base": "-0.002",
        "spot_price": "94000.00000000001", "mark_price": "94100",
        "margin_quote": "95.5", "basis_bps": 10.6, "present_funding_apr": 0.1095, "expected_funding_apr": None,
        "liquidation_distance": 0.48, "funding_quote": "0.1", "fees_quote": "0.2", "profit_quote": "-0.1",
        "settlements": 2,
    }  # fmt: skip
    AuditLog(home.audit_file).append(line(0, equity={"equity_quote": "1000", "positions": [held]}))
    HedgeMemory(home.state / "hedge_watch.json").learn("BTCUSDT", ContractTerms(8 * HOUR_MS, 0.003, -0.003), AT_MS)
    view = funding.carry(funding.read_carry(home))
    assert table(view, "BTCUSDT: both legs") == [
        ("spot, long", "0.002", "94,000", "188.00"),
        ("perpetual, short", "−0.002", "94,100", "−188.20"),
        ("both together", "0", "", "−0.20"),
    ]
    told = {name: cell.text for name, cell in facts(view, "BTCUSDT: margin").items()}
    for perp_base, words in (("-0.0015", "25.0 % apart"), ("0", "ONE LEG ALONE")):
        uneven = {"equity_quote": "1000", "positions": [held | {"perp_base": perp_base}]}
        AuditLog(home.audit_file).append(line(1, equity=uneven))
        together = table(funding.carry(funding.read_carry(home)), "BTCUSDT: both legs")[2]
        assert together[0] == f"both together: {words}"
    assert told["Margin of the contract"] == "95.50 USDT"
    assert told["Liquidation is away"] == "48.0 %"
    assert told["Basis"].startswith("+10.6 bps, at most")
    assert told["Funding expected"] == "not written down"
    assert told["Next settlement"] == f"{when(NEXT_MS)} UTC, +0.0188 USDT at the present rate", "0.01 % of 188.20"
    assert "settles every 8 h" in table(view, "Hedge watch")[0][1]


def test_carries_on_paper_are_told_as_the_last_heartbeat_has_them(home: Home) -> None:
    beat(home)
    assert table(funding.carry(funding.read_carry(home)), "Carries on paper") == [
        ("fc-1", "carry BTCUSDT: spot 0.006, perpetual -0.006", "9,990.00", "+0.3125", "−0.4321", "−0.100 %")
    ]


def test_a_carry_on_paper_that_is_stale_holds_what_it_held(home: Home) -> None:
    age = ", STALE, as of 2026-01-21 05:00 UTC, 4 h old"
    beat(home, accounts=replace(FULL, accounts=(replace(PAPER, kind=f"paper fc-1{age}"),)).to_json()["accounts"])
    row = table(funding.carry(funding.read_carry(home)), "Carries on paper")[0]
    assert row[:2] == (f"fc-1{age}", "carry BTCUSDT: spot 0.006, perpetual -0.006")


def test_what_rounds_to_nothing_is_no_loss() -> None:
    assert (fine(-0.00001), fine(-0.00006), fine(0)) == ("0.0000", "−0.0001", "0.0000")
    assert (money(-0.001, signed=True), percent(-1e-9, signed=True), number(-1e-12)) == ("0.00", "0.00 %", "0")


def test_small_amounts_of_a_chart_are_told_and_a_note_is_of_something() -> None:
    chart = Chart("Funding, summed up", "USDT", (0, 1), (Line("paid", (0.0144, 0.0773)),))
    assert "paid: 0.0144 to 0.0773 USDT, lowest 0.0144, highest 0.0773" in block_html(chart, "b0")
    assert "USDT" not in block_html(Meters("Used of the limits", (), empty="nothing is held", note="USDT"), "b0")


def test_a_carry_of_which_nothing_is_there_or_all_is_broken_is_said_so(home: Home) -> None:
    assert table(funding.carry(funding.read_carry(home)), "Settlements") == []
    home.positions_file.write_text('{"schema": 3, "closed": "many"}')
    (home.state / "hedge_watch.json").write_text("[]")
    before = everything(home)
    view = funding.carry(funding.read_carry(home))
    assert [banner.text.partition(":")[0] for banner in view.banners] == ["Cannot be read"] * 2
    assert everything(home) == before


def test_a_damaged_shelf_is_named_and_left_as_it_lies(home: Home) -> None:
    settled(home, 2)
    (home.tapes / "perp" / "BTCUSDT" / "funding.parquet").write_bytes(b"no parquet")
    before = everything(home)
    assert "Cannot be read" in funding.carry(funding.read_carry(home)).banners[0].text
    assert everything(home) == before


# data and health


def test_market_data_is_told_with_quality_over_time_shelf_and_senses(home: Home) -> None:
    write_cycles(home, 4)
    AuditLog(home.audit_file).append(line(4, data_quality=30.0))
    folder = home.tapes / "spot" / "BTCUSDT" / "1h"
    folder.mkdir(parents=True)
    month = {"bars": 10, "start_ms": 0, "end_ms": 12 * HOUR_MS, "origin": "recorded", "file": "x", "sha256": "y"}
    (folder / "manifest.json").write_text(json.dumps({"schema": 1, "months": {"1970-01": month}}))
    (home.state / "senses.jsonl").write_text(
        '{"sense": "news", "known": "2026-01-21T08:00:00Z", "title": "old"}\nhalf\n'
        '{"sense": "news", "known": "2026-01-21T09:00:00Z", "title": "new"}\n'
    )
    view = data.data(data.read_data(home))
    assert facts(view, "Now")["Quality now"] == Cell("30 of 100", Tone.BAD, signed=True)
    chart = block(view, "Data quality")
    assert isinstance(chart, Chart)
    assert chart.lines[0].values == (97.0, 97.0, 97.0, 97.0, 30.0)
    assert table(view, "On the shelf") == [("spot BTCUSDT 1h", "1970-01-01", "1970-01-01", "10", "2", "recorded")]
    assert table(view, "What the senses")[0][1] == "new"


def test_health_tells_processes_jobs_stages_and_a_missing_backup(home: Home) -> None:
    beat(home)
    write_cycles(home, 3)
    (home.state / "schedule.json").write_text(json.dumps({"schema": 1, "loop": AT_MS, "old_job": AT_MS}))
    (home.state / "model_budget.json").write_text('{"schema": 1, "day": "2026-01-21", "usd": 0.25, "calls": 4}')
    home.settings_file.write_text("service: {loop_s: 30}\n")
    view = health.health(health.read_health(home, Clock()))
    jobs = {row[0]: row[1:] for row in table(view, "Jobs")}
    assert jobs["loop"] == ("30 s", "2026-01-21 09:00")
    assert jobs["keys"] == ("24 h", "never")
    assert jobs["old_job"][0] == "–"
    assert table(view, "Stages")[0] == ("live", "100.0 ms", "100.0 ms", "3")
    disk = facts(view, "On disk")
    assert disk["Newest backup"].tone is Tone.CAUTION
    assert disk["Language model"].text == "$0.2500, 4 calls on 2026-01-21"
    told = facts(view, "Processes")
    assert told["Guardian's last look"].text == "never"
    assert told["Heartbeat"].tone is Tone.BAD, "its service is not there"
    assert told["Was up for"].text == "2 d"
    assert disk["audit file"].text.endswith(" kB")
    assert disk["backups"].text == "0"
    assert meters(view, "Machine")["Memory of service and guardian"] == "neither runs"


def test_the_memory_of_a_stranger_who_got_the_number_of_a_dead_service_is_not_told(home: Home) -> None:
    beat(home, pid=os.getpid())
    home.guardian_lock_file.write_text(str(os.getpid()))
    told = facts(health.health(health.read_health(home, Clock())), "Processes")
    assert {"Memory of the service", "Memory of the guardian", "Up for"} <= told.keys()
    assert float(told["Memory of the service"].text.partition(" ")[0]) <= peak_rss_mb() + 1
    long_ago = time.time() - 10 * 365 * 86_400  # the locks are older than this process: it cannot have taken them
    for lock in (home.lock_file, home.guardian_lock_file):
        os.utime(lock, (long_ago, long_ago))
    view = look(BY_KEY["health"], Asked(home, Clock()))
    assert "NOT RUNNING" in view.banners[0].text
    assert not [name for name in facts(view, "Processes") if name.startswith("Memory of")]


@pytest.mark.parametrize(
    "name", ["heartbeat.json", "schedule.json", "model_budget.json", "current_positions.json", "audit.jsonl"]
)
async def test_no_broken_file_keeps_any_view_from_being_shown(home: Home, name: str) -> None:
    (home.state / name).write_bytes(b"\xff\xfe broken \n[1, 2]\n")
    paths = ["/", "/strategies", "/funding", "/data", "/ideas", "/risk", "/audit", "/events", "/health"]
    async with client(home) as browser:
        for path in paths:
            assert (await browser.get(path)).status_code == 200, path


def test_where_the_log_cannot_be_read_there_are_no_events(tmp_path: Path) -> None:
    assert events.read_events(Home(tmp_path), events.Sought()).events == ()

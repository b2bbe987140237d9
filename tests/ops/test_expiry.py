"""Evidence expires: what a life on paper or live makes of its promise, and what it costs to break it."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from ai_brain.evidence.filing import Judgement, save_evidence
from ai_brain.evidence.living import LifePromise
from ai_brain.paper.account import PaperAccount, PaperTrade, save_account
from ops.gather import gather
from ops.get_status import status_lines
from ops.jobs import expiry
from ops.jobs.trading_loop import run as run_loop
from ops.jobs.trading_loop import write_heartbeat
from ops.lab_clock import lab_clock
from ops.period import day_ended, read_period
from ops.settings import read_settings
from ops.status import read_status
from ops.trace.live_records import read_holdings
from ops.trace.living import live_results, lives_of
from ops.trace.strategy import run_strategy
from tests.ai_brain.markets import rule_spec
from tests.ops.at_night import lab_at_night, named
from tests.ops.papers import TABLE, carry_in, evidence_of
from tests.ops.world import NOW_MS, approved_carry
from trading.domain.decisions import Reason
from trading.domain.events import Severity
from trading.domain.orders import Income, IncomeKind
from trading.execution.intents import Intents
from trading.funding.books import Baseline
from trading.funding.position import CarryPosition, ClosedPosition, PositionStatus, PositionStore, Settled
from trading.storage.home import Home
from trading.strategy.lifecycle import Stage, move
from trading.strategy.parameters import CarryParameters
from trading.strategy.spec import StrategySpec, spec_sha256

ALPHA = 0.05
PER_TRADE = LifePromise(expectancy=0.001, low=-0.02, high=0.03, results=60, mean=0.004, settlements_a_result=0)
PER_MONTH = LifePromise(expectancy=0.002, low=-0.004, high=0.014, results=9, mean=0.005, settlements_a_result=90)
KEEPS = (0.02, -0.01, 0.005, -0.008, 0.012)
"""Results of a strategy that goes on well, over and over; mean 0.38 %."""
LOSES = (0.01, -0.012, -0.01, 0.002, -0.015)


def rules_on_paper() -> StrategySpec:
    spec = rule_spec()
    for to in (Stage.BACKTESTING, Stage.DRY_RUN):
        spec = move(spec, to, by="test", why="test", at_ms=NOW_MS)
    return spec


def judge(home: Home, spec: StrategySpec, promise: LifePromise | None) -> None:
    evidence = evidence_of(spec) if promise is None else evidence_of(spec).model_copy(update={"promise": promise})
    save_evidence(home, Judgement(evidence, TABLE))


def trade(result: float) -> PaperTrade:
    """A closed trade of 1,000 USDT that brought this part of them."""
    return PaperTrade(
        entry_ms=NOW_MS, exit_ms=NOW_MS + 3_600_000, side=1, quantity_base=0.02, entry_price=50_000.0,
        exit_price=50_000.0 * (1 + result), fees_quote=0.0, funding_quote=0.0, pnl_quote=1_000.0 * result,
        reason="RULE",
    )  # fmt: skip


def account_of(spec: StrategySpec, **changes: object) -> PaperAccount:
    account = PaperAccount(
        spec_id=spec.id, spec_sha256=spec_sha256(spec), family=str(spec.type), interval="1h", started_ms=NOW_MS,
        starting_quote=10_000.0, equity_quote=10_000.0, settled_equity_quote=10_000.0, book={},
    )  # fmt: skip
    return replace(account, **changes)  # type: ignore[arg-type]


def traded(home: Home, spec: StrategySpec, results: Sequence[float]) -> None:
    save_account(home, account_of(spec, trades=[trade(result) for result in results]))


def closed_carry(spec: StrategySpec, settlements: Sequence[float], *, price_and_fees: float) -> ClosedPosition:
    """A position of 1,000 USDT a leg; each settlement brought this many USDT, prices and fees the rest."""
    settled = tuple(Settled(NOW_MS + n, Decimal(str(x)), Decimal("-0.02"), f"i-{n}") for n, x in enumerate(settlements))
    funding = sum((one.amount_quote for one in settled), Decimal(0))
    return ClosedPosition(
        "c-000001", spec.id, "BTCUSDT", NOW_MS, NOW_MS, "OK", funding + Decimal(str(price_and_fees)), funding,
        Decimal(0), len(settled), 1.0, settled=settled, capital_quote=Decimal(1_000),
    )  # fmt: skip


def open_carry(spec: StrategySpec, *settlements: float, number: int = 1) -> CarryPosition:
    assert isinstance(spec.parameters, CarryParameters)
    nothing = Baseline(NOW_MS, Decimal(10_000), Decimal(0), Decimal(10_000), Decimal(0), Decimal(0))
    paid = tuple(
        Income("BTCUSDT", IncomeKind.FUNDING_FEE, Decimal(str(x)), NOW_MS + n, f"j-{n}")
        for n, x in enumerate(settlements)
    )
    return CarryPosition(
        f"c-{number:06d}", number, spec.id, spec_sha256(spec), "BTCUSDT", spec.parameters, PositionStatus.OPEN, NOW_MS,
        Decimal(1_000), nothing, income=paid,
    )  # fmt: skip


def live_before(home: Home, spec: StrategySpec, closed: ClosedPosition, held: CarryPosition | None = None) -> None:
    """The positions file as the desk would have left it."""
    store = PositionStore(home.positions_file, Intents(home.intents_file))
    store.open(open_carry(spec))
    store.close(closed, at_ms=NOW_MS)
    if held is not None:
        store.open(held)


async def test_a_paper_account_that_loses_is_retired_after_so_many_results_with_the_numbers(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, heard):
        spec = rules_on_paper()
        lab.repository.save(spec)
        judge(lab_home, spec, PER_TRADE)
        results = (LOSES * 40)[:200]
        lived = next(n for n in range(201) if fails(lab_home, spec, results[:n]))
        assert 5 < lived < 200
        traded(lab_home, spec, results[: lived - 1])
        expiry.run(lab)
        assert lab.repository.get(spec.id).stage is Stage.DRY_RUN
        traded(lab_home, spec, results[:lived])
        expiry.run(lab)
        retired = lab.repository.get(spec.id)
        assert (retired.stage, retired.history[-1].by) == (Stage.RETIRED, "evidence")
        why = f"EVIDENCE_EXPIRED: paper: promise 0.10 %/trade, {lived} results, mean -0."
        assert retired.history[-1].why.startswith(why)
        assert "e-value reached 2" in retired.history[-1].why
        (told,) = named(heard, "strategy.expired")
        assert told.severity is Severity.NOTICE
        assert "of 20" in str(told.facts["numbers"])


def fails(home: Home, spec: StrategySpec, results: Sequence[float]) -> bool:
    traded(home, spec, results)
    return lives_of(home, spec, alpha=ALPHA)[0].has_failed


async def test_one_that_keeps_its_promise_lives_on_and_a_restart_changes_nothing(lab_home: Home) -> None:
    spec = rules_on_paper()
    async with lab_at_night(lab_home) as (lab, heard):
        lab.repository.save(spec)
        judge(lab_home, spec, PER_TRADE)
        traded(lab_home, spec, KEEPS * 40)
        expiry.run(lab)
        expiry.run(lab)
        before = lab.memory.living
    async with lab_at_night(lab_home) as (lab, heard):
        expiry.run(lab)
        assert lab.memory.living == before
        assert lab.repository.get(spec.id).stage is Stage.DRY_RUN
        assert named(heard, "strategy.expired") == []
    (line,) = before
    assert line.startswith(f"{spec.id} paper: promise 0.10 %/trade, 200 results, mean 0.38 %, e-value 0.")


async def test_a_carry_is_tested_on_whole_sums_of_its_settlements(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, _):
        spec = carry_in(Stage.DRY_RUN)
        lab.repository.save(spec)
        judge(lab_home, spec, PER_MONTH)
        save_account(lab_home, account_of(spec, results=[-0.00005] * (90 * 30 - 1)))
        (life,) = lives_of(lab_home, spec, alpha=ALPHA)
        assert life.results == 29
        assert life.mean == pytest.approx(-0.0048, rel=0.1)
        assert life.has_failed
        expiry.run(lab)
        assert "%/90 settlements, 29 results" in lab.repository.get(spec.id).history[-1].why


async def test_an_account_of_other_parameters_and_evidence_without_a_promise_are_no_life(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, _):
        spec = rules_on_paper()
        lab.repository.save(spec)
        traded(lab_home, spec, LOSES * 40)
        assert lives_of(lab_home, spec, alpha=ALPHA) == ()
        judge(lab_home, spec, None)
        assert lives_of(lab_home, spec, alpha=ALPHA) == ()
        judge(lab_home, spec, PER_TRADE)
        assert len(lives_of(lab_home, spec, alpha=ALPHA)) == 1
        save_account(lab_home, account_of(spec, spec_sha256="0" * 64, trades=[trade(-0.01)] * 100))
        assert lives_of(lab_home, spec, alpha=ALPHA) == ()
        expiry.run(lab)
        assert lab.repository.get(spec.id).stage is Stage.DRY_RUN


async def test_a_broken_account_keeps_no_other_strategy_from_its_test(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, heard):
        broken, losing = carry_in(Stage.DRY_RUN), rules_on_paper()
        for spec, promise in ((broken, PER_MONTH), (losing, PER_TRADE)):
            lab.repository.save(spec)
            judge(lab_home, spec, promise)
            traded(lab_home, spec, LOSES * 40)
        (lab_home.state / "paper" / f"{broken.id}.json").write_text("{")
        expiry.run(lab)
        assert lab.repository.get(losing.id).stage is Stage.RETIRED
        assert lab.repository.get(broken.id).stage is Stage.DRY_RUN
        assert [event.facts["where"] for event in named(heard, "cycle.failed")] == ["living"]


def test_live_results_are_what_the_venue_booked_in_parts_of_the_equity_behind_it(home: Home) -> None:
    spec = approved_carry(home)
    one_by_one = PER_MONTH.model_copy(update={"settlements_a_result": 1})
    judge(home, spec, one_by_one)
    live_before(home, spec, closed_carry(spec, [1.0, 2.0], price_and_fees=-4.0), open_carry(spec, 3.0, 1.0, number=2))
    held = read_holdings(home)
    (first,) = held.closed
    second = closed_carry(spec, [5.0], price_and_fees=-2.0)
    assert live_results(held.model_copy(update={"closed": (first, second)}), spec, one_by_one) == pytest.approx(
        np.array([1.0, 2.0, 5.0 - 4.0, 3.0 - 2.0, 1.0]) * 0.45 / 1_000
    )
    (life,) = lives_of(home, spec, alpha=ALPHA)
    # 90 % of equity in both legs at leverage 1: 1,000 a leg is 45 %. Prices and fees of a position that is over count
    # with the next settlement.
    assert (life.where, life.results) == ("live", 4)
    assert life.mean == pytest.approx(np.mean([1.0, 2.0, 3.0 - 4.0, 1.0]) * 0.45 / 1_000)


async def test_a_live_strategy_that_breaks_its_promise_is_retired_disarmed_and_what_it_holds_called_back(
    lab_home: Home,
) -> None:
    spec = approved_carry(lab_home)
    judge(lab_home, spec, PER_MONTH)
    live_before(lab_home, spec, closed_carry(spec, [-0.12] * 2700, price_and_fees=0.0), open_carry(spec, number=2))
    async with lab_at_night(lab_home) as (lab, heard):
        assert expiry.leave(lab) == {}
        expiry.run(lab)
        gone = lab.repository.get(spec.id)
        assert (gone.stage, gone.approved_at) == (Stage.RETIRED, None)
        assert gone.history[-1].why.startswith("EVIDENCE_EXPIRED: live: promise 0.20 %/90 settlements, 30 results")
        assert not lab_home.armed_file.exists()
        (told,) = named(heard, "strategy.expired")
        assert told.severity is Severity.ALERT
        assert f"strategy.expired:{spec.id}" in lab.outbox.open_alerts()
    async with lab_at_night(lab_home) as (lab, _):
        (called,) = expiry.leave(lab).values()
        assert (called.allowed, called.reason) == (True, Reason.EVIDENCE_EXPIRED)
        assert called.note == gone.history[-1].why


async def test_what_is_held_is_asked_of_the_desk_and_not_read_from_its_file(lab_home: Home) -> None:
    spec = approved_carry(lab_home)
    judge(lab_home, spec, PER_MONTH)
    live_before(lab_home, spec, closed_carry(spec, [-0.12] * 2700, price_and_fees=0.0), open_carry(spec, number=2))
    async with lab_at_night(lab_home) as (lab, heard):
        assert lab.desk is not None
        span = day_ended(lab.clock.now_ms())
        told = read_period(lab_home, span, [], lab.holdings())
        lab_home.positions_file.write_text("{ torn")
        assert read_period(lab_home, span, [], lab.holdings()) == told
        expiry.run(lab)
        assert lab.repository.get(spec.id).stage is Stage.RETIRED
        assert named(heard, "cycle.failed") == []
        assert lab_home.positions_file.read_text() == "{ torn", "the desk alone writes it"
        assert pickle.loads(pickle.dumps(lab.holdings())) == lab.holdings(), "the night's own process is given it"  # noqa: S301


async def test_what_a_strategy_retired_for_another_reason_holds_goes_on_by_its_own_rules(lab_home: Home) -> None:
    spec = approved_carry(lab_home)
    live_before(lab_home, spec, closed_carry(spec, [1.0], price_and_fees=0.0), open_carry(spec, number=2))
    async with lab_at_night(lab_home) as (lab, _):
        lab.repository.save(move(spec, Stage.RETIRED, by="test", why="no longer wanted", at_ms=NOW_MS))
        assert expiry.leave(lab) == {}


async def test_the_state_is_shown_by_the_status_page_and_the_trace(
    lab_home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = rules_on_paper()
    words = "promise 0.10 %/trade, 200 results, mean 0.38 %, e-value 0."
    async with lab_at_night(lab_home) as (lab, _):
        lab.repository.save(spec)
        judge(lab_home, spec, PER_TRADE)
        traded(lab_home, spec, KEEPS * 40)
        expiry.run(lab)
        assert gather(lab).living == lab.memory.living
        write_heartbeat(lab)
        page = status_lines(read_status(lab_home, lab.clock))
    assert any(line.startswith(f"  lives       {spec.id} paper: {words}") for line in page)
    monkeypatch.setenv("LAB_HOME", str(lab_home.root))
    run_strategy(spec.id)
    assert f"Held to its promise:\n  paper: {words}" in capsys.readouterr().out


async def test_the_trading_loop_asks_every_cycle(lab_home: Home) -> None:
    async with lab_at_night(lab_home) as (lab, _):
        spec = rules_on_paper()
        lab.repository.save(spec)
        judge(lab_home, spec, PER_TRADE)
        traded(lab_home, spec, LOSES * 40)
        await lab.market.open()
        await run_loop(lab)
        assert lab.repository.get(spec.id).history[-1].why.startswith("EVIDENCE_EXPIRED: paper")


async def test_the_loop_closes_what_an_expired_strategy_holds_at_the_exchange(lab_home: Home) -> None:
    text = lab_home.settings_file.read_text().replace("maker_budget_s: 20", "maker_budget_s: 0.2, poll_s: 0.1")
    lab_home.settings_file.write_text(text)
    spec = approved_carry(lab_home)
    judge(lab_home, spec, None)
    live_before(lab_home, spec, closed_carry(spec, [-0.12] * 2700, price_and_fees=0.0))
    async with lab_at_night(lab_home, lab_clock(read_settings(lab_home.settings_file))) as (lab, heard):
        assert lab.desk is not None
        await lab.market.open()
        await run_loop(lab)
        assert lab.desk.store.lives
        judge(lab_home, spec, PER_MONTH)
        await run_loop(lab)
        assert lab.repository.get(spec.id).stage is Stage.RETIRED
        assert lab.desk.store.lives == ()
        assert lab.desk.store.closed[-1].reason == "EVIDENCE_EXPIRED"
        assert named(heard, "risk.halted") == []
        assert f"strategy.expired:{spec.id}" not in lab.outbox.open_alerts(), "its capital is back"
        await run_loop(lab)
        assert lab.desk.store.lives == ()
